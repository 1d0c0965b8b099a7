//! The alert budget: how many alerts a day people are asked to look at.
//!
//! What is not urgent is ranked by risk. An alert passes when its risk is among the greatest of
//! the last two weeks, so that about as many pass as there are in the budget, and when the day's
//! allowance is not used up; half of that is kept for what ranks in the upper quarter. The rest is
//! held back: it is there to be read, and nobody is called. It is let through later when its risk
//! has risen. Rules of high level, and whatever is critical, pass unasked and use nothing up.
//!
//! Time is event time, so the same events give the same decisions.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use watchfire_event::{AlertKind, Severity};

/// Alerts a day.
pub(crate) const PER_DAY: u32 = 20;
const DAY_NS: i64 = 24 * 3_600 * 1_000_000_000;
/// Days whose risks are remembered.
const DAYS: i64 = 14;
/// Risks remembered of a day, the greatest; no budget is larger.
const MOST_PER_DAY: usize = 1_000;

/// What the budget is asked about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Asking {
    pub(crate) kind: AlertKind,
    pub(crate) severity: Severity,
    /// See [`crate::risk`].
    pub(crate) risk: f64,
    /// Event time.
    pub(crate) time_ns: i64,
    /// It was asked about before.
    pub(crate) again: bool,
}

/// The allowance, and the risks it is measured by.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Budget {
    /// Days with the risks of their alerts, the greatest first; oldest day first.
    days: VecDeque<(i64, Vec<f32>)>,
    /// Alerts used up of the allowance, less what time has given back.
    used: f64,
    /// Time up to which it was given back.
    at_ns: Option<i64>,
}

impl Budget {
    /// Is it for people now? With a budget of none everything is.
    pub(crate) fn passes(&mut self, per_day: u32, asking: &Asking) -> bool {
        if per_day == 0 {
            return true;
        }
        self.give_back(per_day, asking.time_ns);
        let urgent = match asking.severity {
            Severity::Critical => true,
            Severity::High => asking.kind == AlertKind::Rule,
            _ => false,
        };
        let (bar, upper) = self.bars(per_day);
        if !asking.again {
            self.note(asking);
        }
        if urgent {
            return true;
        }
        let left = f64::from(per_day) - self.used;
        let kept = match asking.risk >= upper {
            true => 0.0,
            false => f64::from(per_day) / 2.0,
        };
        let passes = asking.risk >= bar && left - kept >= 1.0;
        self.used += f64::from(u8::from(passes));
        passes
    }

    /// The allowance grows back evenly over a day.
    fn give_back(&mut self, per_day: u32, time_ns: i64) {
        let before = *self.at_ns.get_or_insert(time_ns);
        let passed = time_ns.saturating_sub(before).max(0);
        let back = passed as f64 / DAY_NS as f64 * f64::from(per_day);
        self.used = (self.used - back).max(0.0);
        self.at_ns = Some(before.max(time_ns));
    }

    /// The risk above which there were as many alerts a day as the budget has, and that above
    /// which there were a quarter as many; 0 where there were fewer.
    fn bars(&self, per_day: u32) -> (f64, f64) {
        let (Some((first, _)), Some((last, _))) = (self.days.front(), self.days.back()) else {
            return (0.0, 0.0);
        };
        // The running day is not over: it counts, but its alerts do too.
        let days = (last - first + 1).max(1) as usize;
        let all = self.days.iter().flat_map(|(_, risks)| risks);
        let mut risks: Vec<f32> = all.copied().collect();
        risks.sort_unstable_by(|a, b| b.total_cmp(a));
        let at = |n: usize| risks.get(n).map_or(0.0, |risk| f64::from(*risk));
        let most = per_day as usize * days;
        (at(most), at(most / 4))
    }

    fn note(&mut self, asking: &Asking) {
        let day = asking.time_ns.div_euclid(DAY_NS);
        let place = self.days.partition_point(|(of, _)| *of < day);
        if self.days.get(place).is_none_or(|(of, _)| *of != day) {
            self.days.insert(place, (day, Vec::new()));
        }
        if let Some((_, risks)) = self.days.get_mut(place) {
            let risk = asking.risk as f32;
            let rank = risks.partition_point(|other| *other >= risk);
            if rank < MOST_PER_DAY {
                risks.insert(rank, risk);
                risks.truncate(MOST_PER_DAY);
            }
        }
        let newest = self.days.back().map_or(day, |(of, _)| *of);
        while self.days.front().is_some_and(|(of, _)| newest - of >= DAYS) {
            self.days.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(hours: f64, risk: f64) -> Asking {
        Asking {
            kind: AlertKind::Statistic,
            severity: Severity::Medium,
            risk,
            time_ns: (hours * DAY_NS as f64 / 24.0) as i64,
            again: false,
        }
    }

    #[test]
    fn few_alerts_pass_whatever_they_are() {
        let mut budget = Budget::default();
        for hour in 0..240 {
            let passes = budget.passes(20, &asking(f64::from(hour) * 3.0, 2.0));
            assert!(passes, "{hour}");
        }
    }

    #[test]
    fn of_many_the_worst_pass_and_about_as_many_as_there_may_be() {
        let mut budget = Budget::default();
        let (mut passed, mut worst) = (0, 0);
        let (days, a_day) = (20, 240);
        for i in 0..days * a_day {
            // One in forty stands out: six a day.
            let risk = 2.0 + f64::from(i * 7_919 % 1_000) / 1_000.0;
            let risk = if i % 40 == 0 { risk + 6.0 } else { risk };
            let hours = f64::from(i) * 24.0 / f64::from(a_day);
            if budget.passes(20, &asking(hours, risk)) {
                passed += 1;
                worst += i32::from(i % 40 == 0);
            }
        }
        assert_eq!(worst, days * 6, "what stands out always passes");
        assert!((days * 8..=days * 21).contains(&passed), "{passed}");
    }

    #[test]
    fn what_is_severe_never_waits() {
        let mut budget = Budget::default();
        let storm = |i: i32| asking(f64::from(i) / 1_000.0, 3.0);
        let passed = (0..500).filter(|i| budget.passes(20, &storm(*i))).count();
        assert!(passed <= 20, "{passed}");
        let rule = Asking {
            kind: AlertKind::Rule,
            severity: Severity::High,
            ..asking(0.6, 0.0)
        };
        assert!((0..50).all(|_| budget.passes(20, &rule)));
        let critical = Asking {
            severity: Severity::Critical,
            ..asking(0.6, 0.0)
        };
        assert!(budget.passes(20, &critical));
        assert!(!budget.passes(20, &asking(0.6, 0.1)));
        assert!(budget.passes(0, &asking(0.6, 0.1)), "no budget, no limit");
    }

    #[test]
    fn a_decision_is_the_same_after_a_restart() {
        let mut budget = Budget::default();
        for i in 0..300 {
            budget.passes(20, &asking(f64::from(i) / 5.0, f64::from(i % 11)));
        }
        let saved = serde_json::to_string(&budget).unwrap_or_default();
        let again: Result<Budget, _> = serde_json::from_str(&saved);
        let Ok(mut again) = again else {
            panic!("{saved}");
        };
        for i in 300..600 {
            let asking = asking(f64::from(i) / 5.0, f64::from(i % 11));
            assert_eq!(budget.passes(20, &asking), again.passes(20, &asking));
        }
    }
}
