//! Stands between matching and alerts: what people set about rules decides here what a match
//! comes to. Everything above the matching goes through one gate, so rules, correlations and
//! detectors obey the same settings.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::buffer::BooleanBuffer;
use watchfire_event::{AlertKind, EventBatch, Query};

use crate::activity::{Activity, Moment};
use crate::finding::{Finding, Source, score_of};
use crate::intel::IntelSet;
use crate::policy::{RulePolicy, RuleSettings, RuleState};

/// An exception, compiled.
struct Compiled {
    id: String,
    query: Query,
    expires_ns: Option<i64>,
}

/// A policy, ready to be asked.
#[derive(Default)]
pub(crate) struct Gate {
    policy: Arc<RulePolicy>,
    exceptions: Vec<Compiled>,
    /// Places of the exceptions of a rule.
    by_rule: HashMap<String, Vec<usize>>,
    /// Places of those of every rule.
    of_all: Vec<usize>,
    /// Sources with another severity than the file's, by rule.
    changed: HashMap<String, Arc<Source>>,
}

impl Gate {
    /// Compiles a policy. An exception that is no query, or names a list that is not there, is
    /// left out.
    pub(crate) fn new(policy: Arc<RulePolicy>, lists: &IntelSet) -> Self {
        let mut gate = Gate::default();
        for exception in &policy.exceptions {
            let Ok(query) = Query::parse_with(&exception.query, lists) else {
                continue;
            };
            let place = gate.exceptions.len();
            gate.exceptions.push(Compiled {
                id: exception.id.clone(),
                query,
                expires_ns: exception.expires_ns,
            });
            if exception.rules.is_empty() {
                gate.of_all.push(place);
            }
            for rule in &exception.rules {
                gate.by_rule.entry(rule.clone()).or_default().push(place);
            }
        }
        gate.policy = policy;
        gate
    }

    /// The policy it was made of.
    pub(crate) fn policy(&self) -> &Arc<RulePolicy> {
        &self.policy
    }

    /// The gate for one batch.
    pub(crate) fn open<'a>(
        &'a self,
        batch: &'a EventBatch,
        activity: &'a mut Activity,
    ) -> OpenGate<'a> {
        OpenGate {
            gate: self,
            batch,
            activity,
            masks: vec![None; self.exceptions.len()],
        }
    }

    /// What is set about a rule.
    fn settings(&self, rule: &str) -> Option<&RuleSettings> {
        self.policy.settings.get(rule)
    }

    /// Is the rule only watched?
    pub(crate) fn is_shadow(&self, rule: &str) -> bool {
        self.settings(rule)
            .is_some_and(|s| s.state == RuleState::Shadow)
    }

    /// How long the rule suppresses, nanoseconds.
    pub(crate) fn suppress_ns(&self, rule: &str) -> i64 {
        let set = self.settings(rule).and_then(|s| s.suppress_ns);
        set.unwrap_or_default()
    }

    /// Gives a finding the severity that is set for its rule.
    pub(crate) fn weigh(&mut self, finding: &mut Finding) {
        let rule = finding.source.id();
        let Some(severity) = self.settings(rule).and_then(|s| s.severity) else {
            return;
        };
        if severity == finding.source.severity {
            return;
        }
        // Rules are replaced without a new policy, and their sources with them.
        let current = |known: &&Arc<Source>| {
            let back = Source {
                severity: finding.source.severity,
                ..Source::clone(known)
            };
            back == *finding.source
        };
        let known = self.changed.get(rule).filter(current).cloned();
        let source = known.unwrap_or_else(|| {
            let made = Arc::new(Source {
                severity,
                ..Source::clone(&finding.source)
            });
            self.changed.insert(rule.to_owned(), Arc::clone(&made));
            made
        });
        if source.kind == AlertKind::Rule {
            finding.score = score_of(severity);
        }
        finding.source = source;
    }
}

/// A gate with a batch before it. Exceptions are evaluated when first asked for.
pub(crate) struct OpenGate<'a> {
    gate: &'a Gate,
    batch: &'a EventBatch,
    activity: &'a mut Activity,
    masks: Vec<Option<BooleanBuffer>>,
}

impl OpenGate<'_> {
    /// May the rule speak of the row that it matched? Counts what it decides.
    pub(crate) fn admits(&mut self, rule: &str, row: usize) -> bool {
        let settings = self.gate.settings(rule);
        if settings.is_some_and(|s| s.state == RuleState::Disabled) {
            return false;
        }
        let at = Moment::of(self.batch, row);
        let hidden = self.hides(rule, row, &at);
        self.activity.note(rule, &at, true, |counts| {
            counts.matched += 1;
            counts.hidden += u64::from(hidden);
        });
        !hidden
    }

    /// Does an exception hide the row from the rule? The first that does counts it.
    fn hides(&mut self, rule: &str, row: usize, at: &Moment) -> bool {
        let gate = self.gate;
        let own = gate.by_rule.get(rule).map_or(&[][..], Vec::as_slice);
        for place in own.iter().chain(&gate.of_all) {
            let Some(exception) = gate.exceptions.get(*place) else {
                continue;
            };
            if exception
                .expires_ns
                .is_some_and(|end| at.received_ns >= end)
            {
                continue;
            }
            let Some(mask) = self.masks.get_mut(*place) else {
                continue;
            };
            let mask = mask.get_or_insert_with(|| exception.query.matches(self.batch));
            if mask.value(row) {
                self.activity.hid(&exception.id, at);
                return true;
            }
        }
        false
    }
}
