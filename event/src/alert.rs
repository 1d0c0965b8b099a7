//! Alerts: what a detector tells a person. The serialised form is part of the public contract.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How bad it is. Ordered: `Critical` is the greatest.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing, nothing to do.
    Info,
    /// Look when there is time.
    #[default]
    Low,
    /// Look today.
    Medium,
    /// Look now.
    High,
    /// Wake somebody.
    Critical,
}

impl Severity {
    /// The word used in the API and in Sigma's `level`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }

    /// Reads the API's word or Sigma's `level` (`informational` is [`Severity::Info`]).
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "info" | "informational" => Severity::Info,
            "low" => Severity::Low,
            "medium" => Severity::Medium,
            "high" => Severity::High,
            "critical" => Severity::Critical,
            _ => return None,
        })
    }
}

/// Where an alert is in its life: open, acknowledged, closed with a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertStatus {
    /// Nobody has looked yet.
    #[default]
    Open,
    /// Somebody is on it.
    Acknowledged,
    /// Done, with a reason.
    Closed,
}

impl AlertStatus {
    /// The word used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            AlertStatus::Open => "open",
            AlertStatus::Acknowledged => "acknowledged",
            AlertStatus::Closed => "closed",
        }
    }

    /// Reads the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "open" => AlertStatus::Open,
            "acknowledged" => AlertStatus::Acknowledged,
            "closed" => AlertStatus::Closed,
            _ => return None,
        })
    }
}

/// What kind of detector raised an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertKind {
    /// A Sigma rule or correlation.
    Rule,
    /// A statistic against its baseline.
    Statistic,
    /// A learned model.
    Model,
}

/// The rule behind an alert of kind [`AlertKind::Rule`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRef {
    /// The rule's id (a UUID in Sigma).
    pub id: String,
    /// The rule's title.
    pub title: String,
    /// The rule's level, Sigma's word.
    pub level: String,
}

/// What an alert rests on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// The query that finds the events again.
    pub query: String,
    /// Sequence numbers (`_seq`, as text) of sample events, oldest first, at most
    /// [`Evidence::MAX_EVENTS`].
    pub events: Vec<String>,
    /// What was usual: detector-specific numbers, an object.
    pub baseline: serde_json::Value,
}

impl Evidence {
    /// Sample events kept with an alert.
    pub const MAX_EVENTS: usize = 20;
}

/// A finding a person should look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Hash of (detector, entity, window start): a replay raises the same id.
    pub id: String,
    /// Event time at which the alert was raised, seconds since the epoch.
    pub ts: f64,
    /// First event time it speaks of, seconds.
    pub t0: f64,
    /// Last event time it speaks of, seconds.
    pub t1: f64,
    /// Where it is in its life.
    pub status: AlertStatus,
    /// How bad it is.
    pub severity: Severity,
    /// -log10 p for statistics, 2 to 10 by level for rules.
    pub score: f64,
    /// `sigma:<rule id>`, or the detector's dotted name.
    pub detector: String,
    /// What kind of detector.
    pub kind: AlertKind,
    /// A few words.
    pub title: String,
    /// One sentence with numbers.
    pub summary: String,
    /// Who is involved, by entity kind (`user`, `ip`, `token`, `service`, `edge`, ...).
    pub entities: BTreeMap<String, Vec<String>>,
    /// What it rests on.
    pub evidence: Evidence,
    /// ATT&CK (`attack.t1110.003`) and OWASP (`owasp.api2`) tags, lower case.
    pub tags: Vec<String>,
    /// The rule, for alerts of rules.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<RuleRef>,
    /// How many events or findings this alert stands for.
    #[serde(default = "one")]
    pub count: u64,
    /// The risk, with this alert, of those it is about, when it was last decided whom to tell; 0
    /// where nobody asked.
    #[serde(default)]
    pub risk: f64,
    /// Nobody is called: there were worse ones, as many as people want to be asked about.
    #[serde(default, skip_serializing_if = "is_not")]
    pub held: bool,
}

fn is_not(held: &bool) -> bool {
    !held
}

fn one() -> u64 {
    1
}
