//! The shape of a value that a client sent: what kinds of characters it is made of.
//!
//! Twelve numbers describe a value; a mixture of four Gaussians ([`super::mixture`]) fitted on
//! usual values says how far from them it is. Injection needs characters that names, numbers and
//! addresses do not have, whatever its exact form, so this finds what no signature lists.
//!
//! Pitfalls. Even one value in a thousand flagged wrongly is a thousand a day for a million
//! requests: the score is to be summed up by client and time, never alerted on alone. The model
//! must be fitted on usual values of the same service; foreign alphabets are strange to one that
//! never saw them.

use super::ModelError;
use super::codec::{Reader, Writer};
use super::mixture::Mixture;

const NAME: &str = "payload";
const VERSION: u32 = 1;

/// Gaussians of the mixture.
const COMPONENTS: usize = 4;
/// Bytes of a value that are looked at.
const LOOKED_AT: usize = 4096;

/// What the numbers of [`features`] are, in words for a person.
pub const FEATURES: [&str; 12] = [
    "length",
    "letters",
    "capital letters",
    "digits",
    "spaces",
    "quotes and backquotes",
    "brackets",
    "slashes, dots and colons",
    "equal signs, semicolons, ampersands and percent signs",
    "other punctuation",
    "control and non-ASCII characters",
    "changes between kinds of characters",
];

/// The shape of a value. Counts are on a logarithmic scale: one quote where none was is as telling
/// as ten more where ten were.
pub fn features(value: &str) -> [f64; 12] {
    let mut counts = [0u32; 12];
    let mut before = None;
    let (mut length, mut bytes) = (0u32, 0);
    for c in value.chars() {
        bytes += c.len_utf8();
        if bytes > LOOKED_AT {
            break;
        }
        length += 1;
        let kind = kind(c);
        counts[kind] += 1;
        if c.is_ascii_uppercase() {
            counts[2] += 1;
        }
        if before.is_some_and(|b| b != kind) {
            counts[11] += 1;
        }
        before = Some(kind);
    }
    counts[0] = length;
    counts.map(|count| f64::from(count).ln_1p())
}

/// The place in [`FEATURES`] of a character's kind.
fn kind(c: char) -> usize {
    match c {
        'a'..='z' | 'A'..='Z' => 1,
        '0'..='9' => 3,
        ' ' | '+' | '\t' => 4,
        '\'' | '"' | '`' => 5,
        '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' => 6,
        '/' | '\\' | '.' | ':' => 7,
        '=' | ';' | '&' | '%' | '|' => 8,
        c if c.is_ascii_punctuation() => 9,
        _ => 10,
    }
}

/// What usual values look like.
#[derive(Debug, Clone, PartialEq)]
pub struct PayloadModel {
    mixture: Mixture,
}

impl PayloadModel {
    /// Fits usual values.
    ///
    /// # Errors
    /// [`ModelError::TooLittle`] if there are too few different ones.
    pub fn fit<'a>(values: impl Iterator<Item = &'a str>) -> Result<Self, ModelError> {
        let points: Vec<Vec<f64>> = values.map(|v| features(v).to_vec()).collect();
        Ok(PayloadModel {
            mixture: Mixture::fit(&points, COMPONENTS)?,
        })
    }

    /// How far the value is from usual ones: minus the log likelihood of its shape.
    pub fn score(&self, value: &str) -> f64 {
        self.mixture.score(&features(value))
    }

    /// What is unusual about the value: kinds of characters with how many deviations there are too
    /// many (or too few), the worst first.
    pub fn explain(&self, value: &str) -> Vec<(&'static str, f64)> {
        let deviations = self.mixture.deviations(&features(value));
        let mut each: Vec<_> = FEATURES.into_iter().zip(deviations).collect();
        each.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        each
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.mixture.bytes()
    }

    /// The model as bytes.
    pub fn save(&self) -> Vec<u8> {
        let mut out = Writer::begin(NAME, VERSION);
        out.bytes(&self.mixture.save());
        out.finish()
    }

    /// The model that was saved.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] if the bytes are not one.
    pub fn restore(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut from = Reader::begin(bytes, NAME, VERSION)?;
        let mixture = Mixture::restore(from.bytes()?)?;
        from.end()?;
        Ok(PayloadModel { mixture })
    }
}
