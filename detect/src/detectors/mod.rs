//! Detectors of our own: a score for a row against what is usual.
//!
//! Adding one = one file and one line in [`DETECTORS`].

mod bloom;
pub(crate) mod config;
mod first_seen;
mod keys;
mod rate;

use std::sync::Arc;

use serde_json::Value;

use crate::entity::EntityReader;
use crate::finding::Finding;
use crate::sigma::event::BatchFields;
use config::DetectorConfig;

/// A detector with what it has learned.
pub(crate) trait Detector: Send {
    /// Scores the rows of a batch in their order and learns from them. The findings, also those of
    /// windows that end, belong to the row that brought them about.
    fn observe(&mut self, batch: &Observed<'_>, findings: &mut Vec<Finding>);

    /// Everything learned.
    fn save(&self) -> Value;

    /// Goes on from a saved state; a state it cannot read is left, and it starts anew.
    fn restore(&mut self, state: Value);

    /// Bytes that its state takes, about.
    fn memory_bytes(&self) -> usize;
}

/// A batch as detectors see it.
pub(crate) struct Observed<'a> {
    pub(crate) fields: &'a BatchFields<'a>,
    pub(crate) entities: &'a EntityReader,
}

/// Makes a detector from its configuration.
pub(crate) type Make = fn(Arc<DetectorConfig>) -> Box<dyn Detector>;

/// Every kind of detector by the word in `detector:`.
pub(crate) const DETECTORS: &[(&str, Make)] = &[
    ("first_seen", |config| {
        Box::new(first_seen::FirstSeen::new(config))
    }),
    ("rate", |config| Box::new(rate::Rate::new(config))),
];
