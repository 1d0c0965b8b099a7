//! What rules did, by the hour and by the day, for people who tune them.
//!
//! Hours and days are those of receipt, so that late events count when they were evaluated.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use watchfire_event::EventBatch;

const HOUR_NS: i64 = 3_600 * 1_000_000_000;
const DAY_NS: i64 = 24 * HOUR_NS;
/// Hours kept.
const HOURS: usize = 48;
/// Days kept.
const DAYS: usize = 31;
/// Names of fields remembered; beyond, nothing is said about fields that do not arrive.
const MAX_FIELDS: usize = 20_000;
/// Rules and exceptions remembered; beyond, new ones are not counted.
const MAX_RULES: usize = 50_000;

/// Counts of a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleCounts {
    /// Events that matched, those hidden by exceptions included; of a correlation or a detector,
    /// how often it fired.
    #[serde(skip_serializing_if = "is_zero")]
    pub matched: u64,
    /// Matches that an exception hid.
    #[serde(skip_serializing_if = "is_zero")]
    pub hidden: u64,
    /// Matches that became part of an alert only because the rule suppresses for longer.
    #[serde(skip_serializing_if = "is_zero")]
    pub suppressed: u64,
    /// Alerts raised.
    #[serde(skip_serializing_if = "is_zero")]
    pub alerts: u64,
    /// Alerts that would have been raised, had the rule not been in shadow.
    #[serde(skip_serializing_if = "is_zero")]
    pub shadow_alerts: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl RuleCounts {
    fn add(&mut self, other: &RuleCounts) {
        self.matched += other.matched;
        self.hidden += other.hidden;
        self.suppressed += other.suppressed;
        self.alerts += other.alerts;
        self.shadow_alerts += other.shadow_alerts;
    }
}

/// Counts by the number of a span, oldest first.
type Spans = VecDeque<(i64, RuleCounts)>;

/// What one rule did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RuleActivity {
    hours: Spans,
    days: Spans,
    /// Event time of the newest match, nanoseconds.
    pub last_match_ns: Option<i64>,
}

impl RuleActivity {
    /// The counts of each of the last `n` hours (at most 48), oldest first; the last is the
    /// running one.
    pub fn hours(&self, now_ns: i64, n: usize) -> Vec<RuleCounts> {
        row(&self.hours, now_ns.div_euclid(HOUR_NS), n.min(HOURS))
    }

    /// The counts of each of the last `n` days (at most 31, in UTC), oldest first; the last is
    /// today.
    pub fn days(&self, now_ns: i64, n: usize) -> Vec<RuleCounts> {
        row(&self.days, now_ns.div_euclid(DAY_NS), n.min(DAYS))
    }
}

/// The sum of counts.
pub fn total(counts: &[RuleCounts]) -> RuleCounts {
    let mut sum = RuleCounts::default();
    counts.iter().for_each(|c| sum.add(c));
    sum
}

fn row(spans: &Spans, newest: i64, n: usize) -> Vec<RuleCounts> {
    let mut out = vec![RuleCounts::default(); n];
    for (span, counts) in spans {
        let age = usize::try_from(newest - span).ok().filter(|age| *age < n);
        if let Some(cell) = age.and_then(|age| out.get_mut(n - 1 - age)) {
            cell.add(counts);
        }
    }
    out
}

fn note(spans: &mut Spans, span: i64, keep: usize, change: impl Fn(&mut RuleCounts)) {
    let at = spans.partition_point(|(s, _)| *s < span);
    if spans.get(at).is_none_or(|(s, _)| *s != span) {
        spans.insert(at, (span, RuleCounts::default()));
    }
    if let Some((_, counts)) = spans.get_mut(at) {
        change(counts);
    }
    while spans.len() > keep {
        spans.pop_front();
    }
}

/// What an exception hid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hidden {
    /// Matches of rules.
    pub matches: u64,
    /// Event time of the newest, nanoseconds.
    pub last_ns: Option<i64>,
}

/// What all rules did, and which fields events had.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Activity {
    rules: HashMap<String, RuleActivity>,
    exceptions: HashMap<String, Hidden>,
    /// Day on which a field, lower case, last had a value.
    fields: BTreeMap<String, i64>,
    /// Day of the last event that rules of a log source were asked about, by
    /// `product/category/service`.
    log_sources: BTreeMap<String, i64>,
}

impl Activity {
    /// What a rule did; none when nothing is known.
    pub fn rule(&self, id: &str) -> Option<&RuleActivity> {
        self.rules.get(id)
    }

    /// What an exception hid.
    pub fn hidden_by(&self, exception: &str) -> Hidden {
        self.exceptions.get(exception).copied().unwrap_or_default()
    }

    /// Fields, lower case, that had a value in the last `days` days; none when too many names
    /// came for all to be remembered, or no event at all.
    pub fn fields_seen(&self, now_ns: i64, days: i64) -> Option<Vec<&str>> {
        if self.fields.len() >= MAX_FIELDS {
            return None;
        }
        let oldest = now_ns.div_euclid(DAY_NS) - days;
        let recent = self.fields.iter().filter(|(_, day)| **day > oldest);
        let names: Vec<&str> = recent.map(|(name, _)| name.as_str()).collect();
        (!names.is_empty()).then_some(names)
    }

    /// Log sources of rules, `product/category/service`, that an event of the last `days` days
    /// was of; none when nothing is known.
    pub fn log_sources_seen(&self, now_ns: i64, days: i64) -> Option<Vec<&str>> {
        let oldest = now_ns.div_euclid(DAY_NS) - days;
        let recent = self.log_sources.iter().filter(|(_, day)| **day > oldest);
        let names: Vec<&str> = recent.map(|(name, _)| name.as_str()).collect();
        (!names.is_empty()).then_some(names)
    }

    /// Notes that events of a batch were of a log source of rules.
    pub(crate) fn note_log_source(&mut self, name: &str, day: i64) {
        let room = self.log_sources.len() < MAX_FIELDS;
        match self.log_sources.get_mut(name) {
            Some(seen) => *seen = (*seen).max(day),
            None if room => {
                self.log_sources.insert(name.to_owned(), day);
            }
            None => {}
        }
    }

    /// Counts what happened to a rule at a row of a batch.
    pub(crate) fn note(
        &mut self,
        rule: &str,
        at: &Moment,
        matched: bool,
        change: impl Fn(&mut RuleCounts),
    ) {
        if !self.rules.contains_key(rule) {
            if self.rules.len() >= MAX_RULES {
                return;
            }
            self.rules.insert(rule.to_owned(), RuleActivity::default());
        }
        let Some(activity) = self.rules.get_mut(rule) else {
            return;
        };
        let (hour, day) = (
            at.received_ns.div_euclid(HOUR_NS),
            at.received_ns.div_euclid(DAY_NS),
        );
        note(&mut activity.hours, hour, HOURS, &change);
        note(&mut activity.days, day, DAYS, &change);
        if matched {
            activity.last_match_ns = activity.last_match_ns.max(Some(at.time_ns));
        }
    }

    /// Counts what an exception hid.
    pub(crate) fn hid(&mut self, exception: &str, at: &Moment) {
        if !self.exceptions.contains_key(exception) && self.exceptions.len() >= MAX_RULES {
            return;
        }
        let hidden = self.exceptions.entry(exception.to_owned()).or_default();
        hidden.matches += 1;
        hidden.last_ns = hidden.last_ns.max(Some(at.time_ns));
    }

    /// Notes that an event had a field, given in lower case.
    pub(crate) fn note_field(&mut self, name: &str, day: i64) {
        let room = self.fields.len() < MAX_FIELDS;
        match self.fields.get_mut(name) {
            Some(seen) => *seen = (*seen).max(day),
            None if room => {
                self.fields.insert(name.to_owned(), day);
            }
            None => {}
        }
    }

    /// Forgets exceptions that are no longer there.
    pub(crate) fn keep_exceptions(&mut self, is_there: impl Fn(&str) -> bool) {
        self.exceptions.retain(|id, _| is_there(id));
    }
}

/// The day on which the newest event of a batch was received, from 1970; none without rows.
pub(crate) fn day_of(batch: &EventBatch) -> Option<i64> {
    let newest = batch.received().iter().flatten().max();
    newest.map(|ns| ns.div_euclid(DAY_NS))
}

/// When a row came and what time it tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) received_ns: i64,
    pub(crate) time_ns: i64,
}

impl Moment {
    /// Of a row.
    pub(crate) fn of(batch: &EventBatch, row: usize) -> Self {
        Moment {
            received_ns: batch.received().value(row),
            time_ns: batch.time().value(row),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stand_in_their_hour_and_day() {
        let mut activity = Activity::default();
        let at = |hours: i64| Moment {
            received_ns: hours * HOUR_NS + 5,
            time_ns: hours,
        };
        // The late one comes into its place.
        for hour in [100, 101, 101, 99, 171] {
            activity.note("r", &at(hour), true, |c| c.matched += 1);
        }
        let rule = activity.rule("r").cloned().unwrap_or_default();
        let matched =
            |counts: Vec<RuleCounts>| -> Vec<u64> { counts.iter().map(|c| c.matched).collect() };
        assert_eq!(matched(rule.hours(101 * HOUR_NS, 4)), [0, 1, 1, 2]);
        assert_eq!(matched(rule.days(171 * HOUR_NS, 4)), [4, 0, 0, 1]);
        assert_eq!(total(&rule.days(171 * HOUR_NS, 4)).matched, 5);
        assert_eq!(rule.last_match_ns, Some(171));
        // A clock that went back asks for hours that are yet to come.
        assert_eq!(matched(rule.hours(98 * HOUR_NS, 2)), [0, 0]);
    }

    #[test]
    fn old_hours_go() {
        let mut activity = Activity::default();
        for hour in 0..1_000 {
            let at = Moment {
                received_ns: hour * HOUR_NS,
                time_ns: 0,
            };
            activity.note("r", &at, true, |c| c.matched += 1);
        }
        let rule = activity.rule("r").cloned().unwrap_or_default();
        assert_eq!((rule.hours.len(), rule.days.len()), (HOURS, DAYS));
    }
}
