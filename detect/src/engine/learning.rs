//! What detectors do not judge yet, as they have seen too little of it.

use serde::Serialize;

use super::Engine;
use crate::detectors::About;

/// A detector that is silent about an entity until it has learned enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Learning {
    /// The detector's id.
    pub detector: String,
    /// Its title.
    pub title: String,
    /// What it has seen of the entity so far.
    pub learned: u64,
    /// What it needs to judge it.
    pub needed: u64,
    /// What is counted: `days`.
    pub unit: &'static str,
}

impl Engine {
    /// The detectors that know an entity and have seen too little to judge it, in the order of the
    /// rules. Of one that they never saw, or that they need not learn, they say nothing.
    pub fn learning(&self, kind: &str, value: &str) -> Vec<Learning> {
        let about = About::new(kind, value);
        let title = |id: &str| {
            let mut configs = self.rules.detectors.iter();
            let config = configs.find(|config| config.id == id);
            config.map_or_else(String::new, |config| config.source.title.clone())
        };
        let learning = self.detectors.iter().filter_map(|(id, detector)| {
            let learned = detector.learning(&about)?;
            Some(Learning {
                detector: id.clone(),
                title: title(id),
                learned: learned.seen,
                needed: learned.needed,
                unit: learned.unit,
            })
        });
        learning.collect()
    }
}
