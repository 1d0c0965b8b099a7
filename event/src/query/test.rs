//! Tests of a single value.

use std::cmp::Ordering;
use std::net::IpAddr;

use regex::Regex;

use super::glob::Glob;
use super::question::Question;
use super::tokens;
use crate::time;

/// What a value must pass.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// Equal, or holding the words in a row.
    Words(Words),
    /// A pattern with `*` and `?`.
    Glob(Glob),
    /// A regular expression, found anywhere in the value, letter case as written.
    Regex(Regexp),
    /// Between two bounds.
    Range(Range),
    /// An address in a network.
    Network(Network),
    /// Any of these.
    In(Vec<Words>),
    /// What only who asks it can answer; the value as a whole.
    Ask(Question),
}

impl Test {
    /// Does a string pass? `any_field`: the query names no field, so words count in every value.
    pub fn passes_str(&self, value: &str, any_field: bool) -> bool {
        match self {
            Test::Words(words) => words.passes_str(value, any_field),
            Test::Glob(glob) => glob.passes(value, any_field),
            Test::Regex(regex) => regex.0.is_match(value),
            Test::Range(range) => range.passes_str(value),
            Test::Network(network) => network.passes(value),
            Test::In(list) => list.iter().any(|w| w.passes_str(value, any_field)),
            Test::Ask(question) => question.ask().takes_text(value),
        }
    }

    /// Does an integer pass?
    pub fn passes_int(&self, value: i64) -> bool {
        match self {
            Test::Words(words) => words.passes_int(value),
            Test::In(list) => list.iter().any(|w| w.passes_int(value)),
            Test::Ask(question) => question.ask().takes_int(value),
            Test::Range(range) => range.passes_number(value as f64),
            Test::Network(_) => false,
            Test::Glob(_) | Test::Regex(_) => self.passes_str(&value.to_string(), false),
        }
    }

    /// Does a float pass?
    pub fn passes_float(&self, value: f64) -> bool {
        match self {
            Test::Words(words) => words.number == Some(value),
            Test::In(list) => list.iter().any(|w| w.number == Some(value)),
            Test::Ask(question) => question.ask().takes_float(value),
            Test::Range(range) => range.passes_number(value),
            Test::Network(_) => false,
            Test::Glob(_) | Test::Regex(_) => self.passes_str(&value.to_string(), false),
        }
    }

    /// Does a boolean pass?
    pub fn passes_bool(&self, value: bool) -> bool {
        match self {
            Test::Range(_) | Test::Network(_) => false,
            Test::Ask(question) => question.ask().takes_bool(value),
            _ => self.passes_str(if value { "true" } else { "false" }, false),
        }
    }
}

/// A value to equal, or words to hold in a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Words {
    /// The whole value, lower case.
    pub text: String,
    /// Its words, lower case.
    pub tokens: Vec<String>,
    number: Option<f64>,
    int: Option<i64>,
}

impl Words {
    /// The test for this text.
    pub fn new(text: &str) -> Self {
        let lower = text.to_lowercase();
        Words {
            tokens: tokens(&lower).map(str::to_owned).collect(),
            number: text.parse().ok().filter(|n: &f64| n.is_finite()),
            int: text.parse().ok(),
            text: lower,
        }
    }

    fn passes_str(&self, value: &str, any_field: bool) -> bool {
        if equals(value, &self.text) {
            return true;
        }
        let is_text = any_field || value.contains(char::is_whitespace);
        is_text && self.in_a_row(value)
    }

    /// Does the text hold the words in a row?
    pub fn in_a_row(&self, value: &str) -> bool {
        let Some((first, rest)) = self.tokens.split_first() else {
            return false;
        };
        // Most values do not hold the first word at all: finding its letters is far cheaper than
        // taking the value apart. Beyond ASCII, letters change length with their case.
        if value.is_ascii() && first.is_ascii() {
            return find_words(value, first).any(|end| follows(value.get(end..), rest));
        }
        let mut words = tokens(value);
        while let Some(word) = words.next() {
            if equals(word, first) && continues(words.clone(), rest) {
                return true;
            }
        }
        false
    }

    fn passes_int(&self, value: i64) -> bool {
        match self.int {
            Some(int) => int == value,
            None => self.number.is_some_and(|n| n == value as f64),
        }
    }
}

/// Ends of the places where an ASCII text holds this lower-case word as a whole.
fn find_words<'a>(value: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = value.as_bytes();
    let lower = word.as_bytes().first().copied().unwrap_or_default();
    let is_letter = |at: Option<&u8>| at.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    memchr::memchr2_iter(lower, lower.to_ascii_uppercase(), bytes).filter_map(move |start| {
        let end = start + word.len();
        let found = bytes.get(start..end)?;
        let before = start.checked_sub(1).and_then(|i| bytes.get(i));
        let whole = !is_letter(before) && !is_letter(bytes.get(end));
        (whole && found.eq_ignore_ascii_case(word.as_bytes())).then_some(end)
    })
}

fn follows(rest_of_text: Option<&str>, words: &[String]) -> bool {
    words.is_empty() || rest_of_text.is_some_and(|text| continues(tokens(text), words))
}

fn continues<'a>(mut words: impl Iterator<Item = &'a str>, wanted: &[String]) -> bool {
    wanted
        .iter()
        .all(|wanted| words.next().is_some_and(|w| equals(w, wanted)))
}

/// Is `value` in lower case equal to `lower`?
fn equals(value: &str, lower: &str) -> bool {
    if value.is_ascii() {
        value.eq_ignore_ascii_case(lower)
    } else {
        value.to_lowercase() == lower
    }
}

/// A compiled regular expression; equal when written the same.
#[derive(Debug, Clone)]
pub struct Regexp(pub(super) Regex);

impl PartialEq for Regexp {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Regexp {
    /// The expression.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// One end of a range.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// No end.
    Open,
    /// The value is inside.
    Inclusive(String),
    /// The value is outside.
    Exclusive(String),
}

impl Bound {
    fn text(&self) -> Option<&str> {
        match self {
            Bound::Open => None,
            Bound::Inclusive(text) | Bound::Exclusive(text) => Some(text),
        }
    }

    fn allows(&self, ordering: Option<Ordering>, wanted: Ordering) -> bool {
        match self {
            Bound::Open => true,
            Bound::Inclusive(_) => ordering.is_some_and(|o| o == wanted || o == Ordering::Equal),
            Bound::Exclusive(_) => ordering == Some(wanted),
        }
    }
}

/// Between two bounds: as numbers where both bounds are numbers, as times where they are times,
/// else as text, letter case aside.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// The lower end.
    pub lower: Bound,
    /// The upper end.
    pub upper: Bound,
    numbers: Option<(f64, f64)>,
    times: Option<(i64, i64)>,
}

impl Range {
    /// The range between two bounds.
    pub fn new(lower: Bound, upper: Bound) -> Self {
        let number = |b: &Bound, open: f64| match b.text() {
            None => Some(open),
            Some(text) => text.parse::<f64>().ok(),
        };
        let numbers = number(&lower, f64::NEG_INFINITY).zip(number(&upper, f64::INFINITY));
        let time = |b: &Bound, open: i64| match b.text() {
            None => Some(open),
            Some(text) => time::parse_timestamp(text).or_else(|| time::parse_date(text)),
        };
        let times = time(&lower, i64::MIN).zip(time(&upper, i64::MAX));
        Range {
            lower,
            upper,
            numbers,
            times,
        }
    }

    fn passes_str(&self, value: &str) -> bool {
        if self.numbers.is_some() {
            return value.parse::<f64>().is_ok_and(|n| self.passes_number(n));
        }
        if self.times.is_some() {
            return time::parse_timestamp(value).is_some_and(|t| self.passes_time(t));
        }
        let value = value.to_lowercase();
        let against = |b: &Bound| {
            b.text()
                .map(|t| value.as_str().cmp(t.to_lowercase().as_str()))
        };
        self.lower.allows(against(&self.lower), Ordering::Greater)
            && self.upper.allows(against(&self.upper), Ordering::Less)
    }

    fn passes_number(&self, value: f64) -> bool {
        let Some((lower, upper)) = self.numbers else {
            return false;
        };
        self.lower
            .allows(value.partial_cmp(&lower), Ordering::Greater)
            && self.upper.allows(value.partial_cmp(&upper), Ordering::Less)
    }

    /// Does an instant (nanoseconds since the epoch) pass? Bounds are times or epoch numbers.
    pub fn passes_time(&self, ns: i64) -> bool {
        let Some((lower, upper)) = self.times else {
            return false;
        };
        self.lower.allows(Some(ns.cmp(&lower)), Ordering::Greater)
            && self.upper.allows(Some(ns.cmp(&upper)), Ordering::Less)
    }

    /// Does a sequence number pass?
    pub fn passes_seq(&self, seq: u64) -> bool {
        self.passes_number(seq as f64)
    }

    /// The bounds as times, nanoseconds since the epoch, where they are times.
    pub fn times(&self) -> Option<(i64, i64)> {
        self.times
    }
}

/// A network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: u128,
    is_v4: bool,
    /// Low bits that may differ.
    free_bits: u32,
}

impl Network {
    /// Reads `10.0.0.0/8` or `2001:db8::/32`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let (address, is_v4) = number(address.parse().ok()?);
        let width = if is_v4 { 32 } else { 128 };
        let bits: u32 = bits.parse().ok().filter(|b| *b <= width)?;
        Some(Network {
            address,
            is_v4,
            free_bits: width - bits,
        })
    }

    fn passes(&self, value: &str) -> bool {
        let Ok(address) = value.trim().parse::<IpAddr>() else {
            return false;
        };
        let (address, is_v4) = number(address);
        let differing = (address ^ self.address)
            .checked_shr(self.free_bits)
            .unwrap_or(0);
        is_v4 == self.is_v4 && differing == 0
    }
}

/// An address as a number, v4-mapped ones as v4, with whether it is v4.
fn number(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), true),
        IpAddr::V6(v6) => (v6.to_bits(), false),
    }
}
