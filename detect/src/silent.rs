//! Counterfactuals: what would have kept a finding from being made, all else being as it was.
//!
//! Such a bound is exact: at the value that it names the same events say nothing, one step beyond
//! they do (Wachter et al., Harvard JOLT 2018: the closest world in which the decision is another).
//! A detector that knows no such bound says none. It is worked out when a finding is made, and
//! stands in its baseline as `silent_at`.

use serde_json::{Value, json};

use crate::alert::grouped;

/// The side of a bound on which nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    AtMost,
    AtLeast,
}

/// So many of something say nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) side: Side,
    pub(crate) value: u64,
    /// What is counted, after its number: `events in 10 min`.
    pub(crate) what: String,
}

impl Bound {
    /// So many or fewer say nothing.
    pub(crate) fn at_most(value: u64, what: impl Into<String>) -> Self {
        let (side, what) = (Side::AtMost, what.into());
        Bound { side, value, what }
    }

    /// So many or more say nothing.
    pub(crate) fn at_least(value: u64, what: impl Into<String>) -> Self {
        let (side, what) = (Side::AtLeast, what.into());
        Bound { side, value, what }
    }

    /// As a baseline shows it, with the sentence `Silent at 31 or fewer events in 10 min.`
    pub(crate) fn told(&self) -> Value {
        told(std::slice::from_ref(self))
    }

    /// The same with a sentence of its own.
    pub(crate) fn told_as(&self, sentence: &str) -> Value {
        json!({ "sentence": sentence, "bounds": [self.value()] })
    }

    fn words(&self) -> String {
        let side = match self.side {
            Side::AtMost => "fewer",
            Side::AtLeast => "more",
        };
        format!("{} or {side} {}", grouped(self.value), self.what)
    }

    fn value(&self) -> Value {
        let side = match self.side {
            Side::AtMost => "at_most",
            Side::AtLeast => "at_least",
        };
        json!({ "what": self.what, side: self.value })
    }
}

/// Bounds as a baseline shows them: nothing is said where all of them hold. `null` where there is
/// none.
pub(crate) fn told(bounds: &[Bound]) -> Value {
    if bounds.is_empty() {
        return Value::Null;
    }
    let each: Vec<String> = bounds.iter().map(Bound::words).collect();
    let sentence = format!("Silent at {}.", each.join(" and "));
    let values: Vec<Value> = bounds.iter().map(Bound::value).collect();
    json!({ "sentence": sentence, "bounds": values })
}
