//! What rules cost: how much of the engine's time goes into each.
//!
//! Rules share the work of looking at columns, so a rule's cost is its own part: deciding it where
//! something it asks for holds, telling why it matched, and the windows of its correlations. Rules
//! are measured in one batch of [`SAMPLE`], whose time stands for the others'; detectors always.

use std::collections::HashMap;

use crate::calibration::Calibration;

/// One batch of so many is measured.
pub(crate) const SAMPLE: u64 = 16;
/// Rules remembered; beyond, new ones are not counted.
const MAX_RULES: usize = 50_000;

/// What one rule, correlation or detector cost since the engine was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuleCost {
    /// Events for which it had to be decided; of a detector, all it was given.
    pub asked: u64,
    /// Time spent in it, nanoseconds.
    pub nanos: u64,
}

/// What is known of a detector's inside.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DetectorState {
    /// Bytes that what it has learned takes, about.
    pub bytes: usize,
    /// Do its probabilities hold? None for one whose score is no probability.
    pub calibration: Option<Calibration>,
}

/// What rules cost since the engine was made. No part of its saved state.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Costs {
    by_rule: HashMap<String, RuleCost>,
    /// By detector; as of some time ago, for adding up what every entity takes is work.
    pub detectors: HashMap<String, DetectorState>,
    /// Events that the engine was given.
    pub events: u64,
    /// Time spent in rules and detectors together, nanoseconds, what rules share included.
    pub nanos: u64,
}

impl Costs {
    /// What one cost; none where nothing is known.
    pub fn of(&self, rule: &str) -> Option<&RuleCost> {
        self.by_rule.get(rule)
    }

    /// Every rule that cost something.
    pub fn all(&self) -> impl Iterator<Item = (&str, &RuleCost)> {
        self.by_rule.iter().map(|(id, cost)| (id.as_str(), cost))
    }

    pub(crate) fn add(&mut self, rule: &str, asked: u64, seconds: f64) {
        if !self.by_rule.contains_key(rule) {
            if self.by_rule.len() >= MAX_RULES {
                return;
            }
            self.by_rule.insert(rule.to_owned(), RuleCost::default());
        }
        if let Some(cost) = self.by_rule.get_mut(rule) {
            cost.asked += asked;
            cost.nanos += nanos(seconds);
        }
    }

    pub(crate) fn add_batch(&mut self, events: u64, seconds: f64) {
        self.events += events;
        self.nanos += nanos(seconds);
    }
}

fn nanos(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1e9) as u64
}

/// A clock for a batch that is measured; without one nothing is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch(pub(crate) Option<fn() -> f64>);

impl Watch {
    /// The time, in seconds; 0 where nothing is measured.
    pub(crate) fn now(self) -> f64 {
        self.0.map_or(0.0, |clock| clock())
    }

    /// Is anything measured?
    pub(crate) fn is_on(self) -> bool {
        self.0.is_some()
    }

    /// Seconds since `start`, for this batch and those that it stands for.
    pub(crate) fn since(self, start: f64) -> f64 {
        self.0
            .map_or(0.0, |clock| (clock() - start) * SAMPLE as f64)
    }
}
