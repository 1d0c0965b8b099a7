//! What people set about rules: how each is run, and which events it is not to speak of.
//!
//! The texts of rules are files. This is kept beside them and changes without them. Settings and
//! exceptions go by the id of a rule: a Sigma rule, a correlation or a detector.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use watchfire_event::Severity;

/// How a rule is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleState {
    /// It raises alerts.
    #[default]
    Live,
    /// It is evaluated, counted and feeds correlations, and raises nothing.
    Shadow,
    /// It counts for nothing: no match, no alert, no correlation.
    Disabled,
}

impl RuleState {
    /// The word used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            RuleState::Live => "live",
            RuleState::Shadow => "shadow",
            RuleState::Disabled => "disabled",
        }
    }

    /// Reads the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "live" => RuleState::Live,
            "shadow" => RuleState::Shadow,
            "disabled" => RuleState::Disabled,
            _ => return None,
        })
    }
}

/// What is set about one rule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RuleSettings {
    /// How it is run.
    pub state: RuleState,
    /// The severity of its alerts, where it is not the file's.
    pub severity: Option<Severity>,
    /// For so long after an alert began, nanoseconds of event time, everything else that the rule
    /// finds about the same entity becomes part of it.
    pub suppress_ns: Option<i64>,
}

/// Events that rules are not to speak of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleException {
    /// Its id.
    pub id: String,
    /// The rules it is about; none for every rule.
    pub rules: Vec<String>,
    /// A query; it may name threat lists. One that cannot be read hides nothing.
    pub query: String,
    /// It hides nothing that is received from then on, nanoseconds since the epoch.
    pub expires_ns: Option<i64>,
}

/// Everything that is set about rules.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RulePolicy {
    /// By rule id.
    pub settings: BTreeMap<String, RuleSettings>,
    /// All exceptions.
    pub exceptions: Vec<RuleException>,
}
