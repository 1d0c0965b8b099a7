//! What a rule or a detector says about a row, before it becomes part of an alert.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use watchfire_event::{AlertKind, RuleRef, Severity};

use crate::entity::Entity;

/// The unchanging part of a rule's or detector's findings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source {
    /// `sigma:<rule id>` or the detector's dotted name.
    pub(crate) detector: String,
    pub(crate) kind: AlertKind,
    pub(crate) title: String,
    pub(crate) severity: Severity,
    pub(crate) tags: Vec<String>,
    pub(crate) rule: Option<RuleRef>,
    /// The condition of a Sigma rule.
    pub(crate) condition: Option<String>,
}

impl Source {
    /// The id by which people set something about the rule or detector.
    pub(crate) fn id(&self) -> &str {
        self.rule.as_ref().map_or(&self.detector, |rule| &rule.id)
    }
}

/// One thing found in one row.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) source: Arc<Source>,
    pub(crate) row: usize,
    pub(crate) seq: u64,
    /// Event time at which it was found.
    pub(crate) time_ns: i64,
    /// First event time it speaks of.
    pub(crate) since_ns: i64,
    pub(crate) entity: Entity,
    pub(crate) entities: BTreeMap<String, String>,
    /// -log10 p, or by level for rules.
    pub(crate) score: f64,
    /// What one of a detector weighs beside other findings, as its p-values held when it was made;
    /// `None` where they promise more than they keep. One of a rule weighs its score.
    pub(crate) fused: Option<f64>,
    /// The sentence; `{count}` stands for the alert's count of events.
    pub(crate) summary: String,
    /// Shared by the findings of a batch that say the same.
    pub(crate) baseline: Arc<Value>,
    /// Clauses of the query that finds the events again.
    pub(crate) clauses: Vec<String>,
    /// Earlier events it rests on, besides `seq`.
    pub(crate) evidence: Vec<u64>,
    /// How many events it stands for.
    pub(crate) weight: u64,
    /// Who else its earlier events name: kind and value.
    pub(crate) others: Vec<(String, String)>,
    /// First and last event time of the events it rests on, where the clauses alone would find
    /// others too.
    pub(crate) within_ns: Option<(i64, i64)>,
}

/// The score of a rule's alert, on the scale of -log10 p: certain enough not to wait for
/// statistics, ordered by level.
pub(crate) fn score_of(severity: Severity) -> f64 {
    match severity {
        Severity::Info => 2.0,
        Severity::Low => 4.0,
        Severity::Medium => 6.0,
        Severity::High => 8.0,
        Severity::Critical => 10.0,
    }
}

/// A moment as alerts say it: seconds since the epoch.
pub(crate) fn seconds(ns: i64) -> f64 {
    // Microseconds first: exact in a double until the year 2255.
    (ns / 1_000) as f64 / 1e6
}
