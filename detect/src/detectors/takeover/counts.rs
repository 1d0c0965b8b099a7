//! How often something was seen: by an account, by a role, by everybody.

use ahash::HashMap;
use serde::{Deserialize, Serialize};

/// Values of one aspect that are kept for everybody.
const MAX_COMMON: usize = 20_000;
/// A value younger than this for everybody (a new route) says nothing.
pub(super) const YOUNG_NS: i64 = 3 * 86_400 * 1_000_000_000;
/// Sum of counts of everybody beyond which they are halved.
const FADE: f64 = 160_000.0;

/// Counts of values.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) total: f64,
    pub(super) by_value: HashMap<u64, f32>,
}

/// Counts of everybody, and when values came first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Common {
    pub(super) counts: Counts,
    pub(super) first: HashMap<u64, i64>,
}

impl Counts {
    /// Share of a value, never 0.
    pub(super) fn share(&self, value: u64) -> f64 {
        let count = self.by_value.get(&value).copied().unwrap_or(0.0);
        (f64::from(count) + 0.5) / (self.total + 1.0 + 0.5 * self.by_value.len() as f64)
    }

    /// Share of a value, shrunk to `otherwise` the more, the more kinds of values there are
    /// (Witten & Bell, IEEE Trans. Information Theory 1991).
    pub(super) fn shrunk(&self, value: u64, otherwise: f64) -> f64 {
        let count = self.by_value.get(&value).copied().unwrap_or(0.0);
        let kinds = self.by_value.len() as f64;
        if kinds == 0.0 {
            return otherwise;
        }
        (f64::from(count) + kinds * otherwise) / (self.total + kinds)
    }

    /// Share of a value, 0 if it was never seen.
    pub(super) fn known_share(&self, value: u64) -> f64 {
        let count = self.by_value.get(&value).copied().unwrap_or(0.0);
        f64::from(count) / self.total.max(1.0)
    }

    /// Chance that the next hour brings a value never seen (Good-Turing).
    pub(super) fn unseen(&self) -> f64 {
        let once = self
            .by_value
            .values()
            .filter(|count| **count <= 1.0)
            .count();
        ((once as f64 + 0.5) / (self.total + 1.0)).clamp(0.02, 1.0)
    }

    /// Counts a value; keeps about `most` values, and halves all beyond a sum of `fade`.
    pub(super) fn add(&mut self, value: u64, weight: f64, most: usize, fade: f64) {
        self.total += weight;
        *self.by_value.entry(value).or_insert(0.0) += weight as f32;
        if self.total > fade {
            self.total *= 0.5;
            self.by_value.values_mut().for_each(|count| *count *= 0.5);
        }
        if self.by_value.len() > most {
            let mut counts: Vec<_> = self.by_value.iter().map(|(k, c)| (*c, *k)).collect();
            counts.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            for (_, key) in counts.iter().take(most / 4) {
                self.by_value.remove(key);
            }
        }
    }
}

impl Common {
    /// Counts a value that was seen now.
    pub(super) fn add(&mut self, value: u64, time_ns: i64) {
        self.counts.add(value, 1.0, MAX_COMMON, FADE);
        if self.first.len() < MAX_COMMON {
            self.first.entry(value).or_insert(time_ns);
        }
    }

    /// Is it new for everybody?
    pub(super) fn is_young(&self, value: u64, time_ns: i64) -> bool {
        let first = self.first.get(&value);
        first.is_some_and(|first| time_ns - first < YOUNG_NS)
    }
}
