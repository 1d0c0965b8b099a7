//! Detectors of our own: a score for a row against what is usual.
//!
//! Adding one = one file and one line in [`DETECTORS`].

pub(crate) mod beacon;
pub(crate) mod bloom;
pub(crate) mod cardinality;
pub(crate) mod config;
mod first_seen;
mod keys;
mod log_template;
pub(crate) mod new_place;
pub(crate) mod on_facts;
mod payload;
mod rate;
pub(crate) mod reach;
pub(crate) mod silence;
pub(crate) mod spree;
pub(crate) mod takeover;
pub(crate) mod token_use;
pub(crate) mod unissued;
pub(crate) mod volume;
pub(crate) mod walk;

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use watchfire_event::Query;

use crate::calibration::Calibration;
use crate::cells::hash_text;
use crate::entity::EntityReader;
use crate::facts::{Facts, Names};
use crate::finding::Finding;
use crate::sigma::event::BatchFields;
use crate::state::StateError;
use config::DetectorConfig;
use on_facts::OnFacts;

/// A detector with what it has learned, as the engine uses it.
pub(crate) trait Detector: Send {
    /// Scores the rows of a batch in their order and learns from them. The findings, also those of
    /// windows that end, belong to the row that brought them about.
    fn observe(&mut self, batch: &Observed<'_>, findings: &mut Vec<Finding>);

    /// Writes everything learned, as JSON.
    ///
    /// # Errors
    /// Those of `out`.
    fn save(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Goes on from a saved state. One that it cannot read changes nothing.
    ///
    /// # Errors
    /// [`StateError::Malformed`].
    fn restore(&mut self, state: Value) -> Result<(), StateError>;

    /// Forgets words that name what `query` asks for, if it keeps any.
    fn forget(&mut self, _query: &Query) {}

    /// The p-values of its windows; `None` for one whose score is no probability.
    fn calibration(&self) -> Option<&Calibration>;

    /// What it has seen of an entity that it does not judge yet; `None` if it judges it, or keeps
    /// nothing about it.
    fn learning(&self, _about: &About<'_>) -> Option<Learned> {
        None
    }

    /// Bytes that its state takes, about.
    fn memory_bytes(&self) -> usize;
}

/// An entity that is asked about.
pub(crate) struct About<'a> {
    pub(crate) kind: &'a str,
    pub(crate) value: &'a str,
    /// Of the value, as facts and keys have it.
    pub(crate) hash: u64,
}

impl<'a> About<'a> {
    pub(crate) fn new(kind: &'a str, value: &'a str) -> Self {
        let hash = hash_text(value);
        About { kind, value, hash }
    }
}

/// How much of something was seen, of what is needed to judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Learned {
    pub(crate) seen: u64,
    pub(crate) needed: u64,
    /// What is counted: `days`.
    pub(crate) unit: &'static str,
}

/// A detector as its file writes it: one row after the other, and a state that serde knows.
pub(crate) trait RowDetector: Send {
    /// Everything learned.
    type State: Serialize + DeserializeOwned;
    /// What rows are read by.
    type Keys<'a>;

    fn config(&self) -> &Arc<DetectorConfig>;

    /// Finds the columns of a batch.
    fn keys<'a>(config: &DetectorConfig, batch: &Observed<'a>) -> Self::Keys<'a>;

    /// Scores a row that passes the filter, and learns from it.
    fn row(&mut self, batch: &Observed<'_>, keys: &Self::Keys<'_>, row: usize) -> Option<Finding>;

    fn state(&self) -> &Self::State;

    fn set_state(&mut self, state: Self::State);

    /// The p-values of its windows, if it keeps them.
    fn calibration(&self) -> Option<&Calibration> {
        None
    }

    /// See [`Detector::learning`].
    fn learning(&self, _about: &About<'_>) -> Option<Learned> {
        None
    }

    fn state_bytes(&self) -> usize;
}

impl<D: RowDetector> Detector for D {
    fn observe(&mut self, batch: &Observed<'_>, findings: &mut Vec<Finding>) {
        let config = Arc::clone(self.config());
        let events = batch.fields.batch();
        let mask = config.filter.as_ref().map(|query| query.matches(events));
        let keys = D::keys(&config, batch);
        for row in 0..events.rows() {
            if mask.as_ref().is_none_or(|mask| mask.value(row)) {
                let found = self.row(batch, &keys, row);
                findings.extend(found.map(|mut finding| {
                    fuse(&mut finding, RowDetector::calibration(self));
                    finding
                }));
            }
        }
    }

    fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        save_state(self.state(), out)
    }

    fn restore(&mut self, state: Value) -> Result<(), StateError> {
        self.set_state(restored(self.config(), state)?);
        Ok(())
    }

    fn calibration(&self) -> Option<&Calibration> {
        RowDetector::calibration(self)
    }

    fn learning(&self, about: &About<'_>) -> Option<Learned> {
        RowDetector::learning(self, about)
    }

    fn memory_bytes(&self) -> usize {
        self.state_bytes()
    }
}

/// Says what a finding weighs now: at the end of the batch its detector may know better, but a
/// batch may end anywhere.
fn fuse(finding: &mut Finding, calibration: Option<&Calibration>) {
    finding.fused = match calibration {
        Some(calibration) => calibration.weight(finding.score),
        None => Some(finding.score),
    };
}

/// Writes what a detector has learned.
fn save_state(state: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    Ok(serde_json::to_writer(out, state)?)
}

/// A saved state as the detector of `config` keeps it.
fn restored<S: DeserializeOwned>(config: &DetectorConfig, state: Value) -> Result<S, StateError> {
    let malformed = |e| StateError::Malformed(format!("detector {}: {e}", config.id));
    serde_json::from_value(state).map_err(malformed)
}

/// A batch as detectors see it.
pub(crate) struct Observed<'a> {
    pub(crate) fields: &'a BatchFields<'a>,
    pub(crate) entities: &'a EntityReader,
    /// The rows as facts, and what their hashes stand for.
    pub(crate) facts: &'a Facts,
    pub(crate) names: &'a Names,
}

/// Makes a detector from its configuration.
pub(crate) type Make = fn(Arc<DetectorConfig>) -> Box<dyn Detector>;

/// A kind of detector.
pub(crate) struct Kind {
    /// The word in `detector:`.
    pub(crate) name: &'static str,
    pub(crate) make: Make,
    /// Fields that it reads besides those its file names. A kind that has such decides for itself
    /// who an alert is about: its file names no entity.
    pub(crate) reads: &'static [&'static str],
}

/// Every kind of detector.
pub(crate) const DETECTORS: &[Kind] = &[
    Kind {
        name: "beacon",
        make: |config| Box::new(OnFacts(beacon::Beacon::new(config))),
        reads: &["source.service.name", "destination.domain"],
    },
    Kind {
        name: "cardinality",
        make: |config| Box::new(OnFacts(cardinality::Cardinality::new(config))),
        reads: &["user.id", "source.ip", "event.outcome"],
    },
    Kind {
        name: "first_seen",
        make: |config| Box::new(first_seen::FirstSeen::new(config)),
        reads: &[],
    },
    Kind {
        name: "log_template",
        make: |config| Box::new(log_template::LogTemplate::new(config)),
        reads: &[],
    },
    Kind {
        name: "new_place",
        make: |config| Box::new(OnFacts(new_place::NewPlace::new(config))),
        reads: &["user.id", "source.ip", "user_agent.original"],
    },
    Kind {
        name: "payload",
        make: |config| Box::new(payload::Payload::new(config)),
        reads: &[],
    },
    Kind {
        name: "rate",
        make: |config| Box::new(rate::Rate::new(config)),
        reads: &[],
    },
    Kind {
        name: "reach",
        make: |config| Box::new(OnFacts(reach::Reach::new(config))),
        reads: &["user.id", "url.path"],
    },
    Kind {
        name: "silence",
        make: |config| Box::new(OnFacts(silence::Silence::new(config))),
        reads: &["service.name"],
    },
    Kind {
        name: "spree",
        make: |config| Box::new(OnFacts(spree::Spree::new(config))),
        reads: &["user.id"],
    },
    Kind {
        name: "takeover",
        make: |config| Box::new(OnFacts(takeover::Takeover::new(config))),
        reads: &["user.id", "url.path"],
    },
    Kind {
        name: "token_use",
        make: |config| Box::new(OnFacts(token_use::TokenUse::new(config))),
        reads: &["token.hash", "source.ip", "user_agent.original"],
    },
    Kind {
        name: "unissued",
        make: |config| Box::new(OnFacts(unissued::Unissued::new(config))),
        reads: &["token.hash", "user.id", "user_agent.original"],
    },
    Kind {
        name: "volume",
        make: |config| Box::new(OnFacts(volume::Volume::new(config))),
        reads: &["user.id"],
    },
    Kind {
        name: "walk",
        make: |config| Box::new(OnFacts(walk::Walks::new(config))),
        reads: &["url.path"],
    },
];
