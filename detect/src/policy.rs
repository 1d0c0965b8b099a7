//! What people set about rules: how each is run, and which events it is not to speak of.
//!
//! The texts of rules are files. This is kept beside them and changes without them. Settings and
//! exceptions go by the id of a rule: a Sigma rule, a correlation or a detector.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use watchfire_event::{Alert, AlertKind, Severity};

use crate::models::verdicts::VerdictModel;

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
    /// What people's verdicts ask of alerts, by detector.
    #[serde(default)]
    pub bars: BTreeMap<String, VerdictBar>,
    /// What all verdicts together say of alerts, once there are enough.
    #[serde(default)]
    pub model: Option<VerdictModel>,
}

/// Alerts of a detector that score no higher are held back: people closed such ones as false or
/// benign, and none as an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictBar {
    /// The score, in thousandths.
    pub up_to_milli: i64,
    /// Verdicts that it rests on.
    pub verdicts: u32,
}

impl RulePolicy {
    /// What verdicts ask of detectors, and say of all alerts, by closed alerts, each with whether
    /// it was an attack.
    #[must_use]
    pub fn with_verdicts(mut self, closed: &[(Alert, bool)]) -> Self {
        let mut scores: BTreeMap<&str, Vec<(f64, bool)>> = BTreeMap::new();
        for (alert, attack) in closed.iter().filter(|(a, _)| a.kind != AlertKind::Rule) {
            let of = scores.entry(&alert.detector).or_default();
            of.push((alert.score, *attack));
        }
        let bars = scores.into_iter();
        let bars = bars.filter_map(|(name, of)| Some((name.to_owned(), VerdictBar::of(&of)?)));
        self.bars = bars.collect();
        let told = closed.iter().map(|(alert, attack)| (alert.into(), *attack));
        self.model = VerdictModel::learn(&told.collect::<Vec<_>>());
        self
    }

    /// Do verdicts hold the alert back?
    pub(crate) fn holds(&self, alert: &Alert) -> bool {
        let bar = self.bars.get(&alert.detector);
        bar.is_some_and(|bar| bar.holds(alert.score))
            || self.model.as_ref().is_some_and(|model| model.holds(alert))
    }
}

/// Verdicts that it takes to hold alerts back.
const LEAST_VERDICTS: u32 = 3;

impl VerdictBar {
    /// The bar that the scores of closed alerts give, each with whether it was an attack; none
    /// where too few were false, or attacks score as low.
    pub fn of(closed: &[(f64, bool)]) -> Option<VerdictBar> {
        let milli = |score: f64| (score * 1e3).round() as i64;
        let attacks = closed.iter().filter(|(_, attack)| *attack);
        let lowest = attacks.map(|(score, _)| milli(*score)).min();
        let others = closed.iter().filter(|(_, attack)| !attack);
        let others = others.map(|(score, _)| milli(*score));
        let below = others.filter(|score| lowest.is_none_or(|lowest| *score < lowest));
        let below: Vec<i64> = below.collect();
        let verdicts = u32::try_from(below.len()).unwrap_or(u32::MAX);
        let up_to_milli = below.into_iter().max()?;
        (verdicts >= LEAST_VERDICTS).then_some(VerdictBar {
            up_to_milli,
            verdicts,
        })
    }

    /// Is a score held back?
    pub(crate) fn holds(&self, score: f64) -> bool {
        (score * 1e3).round() as i64 <= self.up_to_milli
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_hold_back_what_was_false_and_never_what_was_an_attack() {
        let bar = |closed: &[(f64, bool)]| VerdictBar::of(closed).map(|b| b.up_to_milli);
        assert_eq!(bar(&[(3.0, false), (3.5, false)]), None, "too few");
        assert_eq!(
            bar(&[(3.0, false), (3.5, false), (4.25, false)]),
            Some(4_250)
        );
        let mixed = [
            (3.0, false),
            (3.5, false),
            (3.1, false),
            (3.6, true),
            (5.0, false),
        ];
        assert_eq!(bar(&mixed), Some(3_500), "an attack bounds it");
        let low = [(3.0, true), (3.5, false), (4.0, false), (5.0, false)];
        assert_eq!(bar(&low), None, "an attack scored lower than all of them");
    }
}
