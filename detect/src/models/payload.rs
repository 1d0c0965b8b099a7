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

/// The values of a query string, decoded: what stands behind `=`, or a part without one.
pub(crate) fn values(query: &str) -> impl Iterator<Item = String> + '_ {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts.map(|part| decoded(part.split_once('=').map_or(part, |(_, value)| value)))
}

/// Percent and plus signs undone once. What is no encoding stays as it is.
fn decoded(value: &str) -> String {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes().iter();
    while let Some(byte) = rest.next() {
        let digits = rest
            .as_slice()
            .get(..2)
            .and_then(|d| std::str::from_utf8(d).ok());
        let code = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
        match (*byte, code) {
            (b'%', Some(code)) => {
                out.push(code);
                rest.nth(1);
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
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
        let shapes: Vec<Vec<f64>> = values.map(|v| features(v).to_vec()).collect();
        Self::fit_shapes(&shapes)
    }

    /// Fits the [`features`] of usual values.
    ///
    /// # Errors
    /// As [`PayloadModel::fit`].
    pub(crate) fn fit_shapes(shapes: &[Vec<f64>]) -> Result<Self, ModelError> {
        Ok(PayloadModel {
            mixture: Mixture::fit(shapes, COMPONENTS)?,
        })
    }

    /// As [`PayloadModel::score`], of the features of a value.
    pub(crate) fn score_shape(&self, shape: &[f64]) -> f64 {
        self.mixture.score(shape)
    }

    /// How far the value is from usual ones: minus the log likelihood of its shape.
    pub fn score(&self, value: &str) -> f64 {
        self.mixture.score(&features(value))
    }

    /// Which kinds of characters the value has too many of, by how many deviations, the worst
    /// first.
    pub fn explain(&self, value: &str) -> Vec<(&'static str, f64)> {
        let deviations = self.mixture.deviations(&features(value));
        let kinds = FEATURES.into_iter().zip(deviations);
        // Length and changes of kind follow from the others and tell a person less.
        let mut each: Vec<_> = kinds.skip(1).take(FEATURES.len() - 2).collect();
        each.retain(|(_, by)| *by > 0.0);
        each.sort_by(|a, b| b.1.total_cmp(&a.1));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_strings_are_taken_apart() {
        let all = |query| values(query).collect::<Vec<_>>();
        assert_eq!(all("q=red+lamp&page=2&&flag"), ["red lamp", "2", "flag"]);
        assert_eq!(all("q=%27%20or%201%3d1"), ["' or 1=1"]);
        assert_eq!(
            all("a=%&b=%4&c=%zz&d=%c3%a4&e=%ff"),
            ["%", "%4", "%zz", "ä", "\u{fffd}"]
        );
        assert_eq!(all(""), [""; 0]);
    }

    #[test]
    fn shapes_are_finite_and_told_in_words() {
        for value in ["", "é\0\u{202e}", &"'".repeat(1 << 20), "a b", "1"] {
            assert!(features(value).iter().all(|f| f.is_finite() && *f >= 0.0));
        }
        let model = usual();
        let odd = model.explain("5' or '1'='1");
        let quotes = odd
            .iter()
            .find(|(kind, _)| *kind == "quotes and backquotes");
        assert!(quotes.is_some_and(|(_, by)| *by > 3.0), "{odd:?}");
        assert!(model.score("5' or '1'='1") > model.score("57") + 20.0);
        assert!(model.score("57") < 20.0);
    }

    #[test]
    fn a_restored_model_gives_the_same_scores() {
        let model = usual();
        let restored = PayloadModel::restore(&model.save()).unwrap();
        assert_eq!(model, restored);
        assert!(PayloadModel::restore(&model.save()[1..]).is_err());
        assert!(model.bytes() < 4_096);
    }

    fn usual() -> PayloadModel {
        let words = [
            "red lamp",
            "chair",
            "two tables",
            "sofa blue",
            "Mrs. Green",
            "3,50",
        ];
        let values: Vec<String> = (0..600)
            .map(|i| match i % 3 {
                0 => i.to_string(),
                1 => words[i % words.len()].to_owned(),
                _ => format!("2026-11-{:02}", i % 28 + 1),
            })
            .collect();
        PayloadModel::fit(values.iter().map(String::as_str)).unwrap()
    }
}
