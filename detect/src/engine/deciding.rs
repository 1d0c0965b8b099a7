//! From findings to alerts: which alert a finding belongs to, what risk it comes to, and whether
//! people are called.

use watchfire_event::{AlertKind, EventBatch, Severity};

use super::Engine;
use crate::activity::Moment;
use crate::alert::{Applied, Touched};
use crate::budget::Asking;
use crate::calibrate::rounded;
use crate::cost::DetectorState;
use crate::finding::Finding;

/// An alert is worse when the risk is this many times what it was.
const WORSE: f64 = 1.2;

impl Engine {
    /// Looks into the detectors: what they hold, and whether their probabilities do.
    pub(super) fn weigh(&mut self) {
        let states = self.detectors.iter().map(|(id, detector)| {
            let state = DetectorState {
                bytes: detector.memory_bytes(),
                calibration: detector.calibration().cloned(),
            };
            (id.clone(), state)
        });
        self.costs.detectors = states.collect();
        let bytes = self.costs.detectors.values().map(|state| state.bytes);
        self.stats.detector_bytes = bytes.sum::<usize>() + self.facts.bytes();
    }

    /// Puts findings into the alerts they belong to.
    pub(super) fn alerts(
        &mut self,
        batch: &EventBatch,
        findings: Vec<Finding>,
        touched: &mut Touched,
    ) {
        let mut unseen = Touched::default();
        for mut finding in findings {
            self.gate.weigh(&mut finding);
            let rule = finding.source.id();
            let suppress_ns = self.gate.suppress_ns(rule);
            let is_shadow = self.gate.is_shadow(rule);
            let (book, touched) = match is_shadow {
                true => (&mut self.shadow, &mut unseen),
                false => (&mut self.book, &mut *touched),
            };
            let applied = book.apply(&finding, suppress_ns, touched);
            if !is_shadow && self.config.risk {
                self.decide(&finding);
            }
            if applied == Applied::Joined {
                continue;
            }
            let at = Moment::of(batch, finding.row);
            self.activity
                .note(rule, &at, false, |counts| match (applied, is_shadow) {
                    (Applied::Suppressed, _) => counts.suppressed += 1,
                    (_, true) => counts.shadow_alerts += 1,
                    (_, false) => counts.alerts += 1,
                });
        }
    }

    /// Weighs a finding that is part of an alert now: is the alert for people, or held back? One
    /// that is held back is asked about again when its risk has risen by [`WORSE`].
    fn decide(&mut self, finding: &Finding) {
        let source = &finding.source;
        let weight = match source.kind {
            AlertKind::Rule => Some(finding.score),
            _ => finding.fused,
        };
        let risk = self.risks.note(finding, weight);
        let Some(alert) = self.book.last_mut() else {
            return;
        };
        let is_new = alert.risk == 0.0;
        let asks = is_new || (alert.held && risk >= alert.risk * WORSE);
        if !asks && risk <= alert.risk {
            return;
        }
        let severity = alert.severity;
        alert.risk = rounded(risk);
        if asks || (alert.held && severity >= Severity::High) {
            let asking = Asking {
                kind: alert.kind,
                severity,
                risk,
                time_ns: finding.time_ns,
                again: !is_new,
            };
            alert.held = self.gate.policy().holds(alert)
                || !self.budget.passes(self.config.alerts_per_day, &asking);
        }
    }
}
