//! The matches of one group of a correlation in the order of their event times, and what a window
//! over them amounts to.
//!
//! What a window amounts to depends on the times of its matches alone and not on the order in
//! which they came: a window ends at each match and reaches back as its kind says. A match that
//! comes late is put in its place, and the windows that it belongs to are looked at again.
//! rsigma's engine of correlations, with which a property test compares this one where matches
//! come in order, has windows in the order of arrival.

use std::collections::VecDeque;
use std::ops::Range;

use rsigma_eval::{CompiledCorrelation, CorrelationAction, WindowState};
use rsigma_parser::{ConditionOperator, CorrelationType, WindowMode};
use serde::{Deserialize, Serialize};

use super::measures::Running;

/// Matches of a group that are held; beyond, the oldest go, so counts saturate here.
pub(super) const MAX_ENTRIES: usize = 5_000;
/// Matches looked at again for one that came late. With more in its windows, those that end
/// soonest after it are looked at.
const MAX_VISITS: usize = 20_000;
/// How late a match may be and have every window that it belongs to looked at: as long as the
/// time span, but not less or more than these.
const LEAST_LATENESS_NS: i64 = 300 * SECOND_NS;
const MOST_LATENESS_NS: i64 = 3_600 * SECOND_NS;
pub(super) const SECOND_NS: i64 = 1_000_000_000;

/// A match.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub(super) struct Entry {
    /// Event time, nanoseconds since the epoch.
    pub(super) time: i64,
    pub(super) seq: u64,
    /// Of what is counted, a hash; of what is added up, the number's bits.
    pub(super) value: Option<u64>,
    /// Which of the correlation's rules matched.
    pub(super) part: u16,
    /// The correlation fired for the window that ends here.
    pub(super) fired: bool,
}

/// An entry as it is saved: a list is half as long as a map.
type Written = (i64, u64, Option<u64>, u16, bool);

impl From<Written> for Entry {
    fn from((time, seq, value, part, fired): Written) -> Self {
        Entry {
            time,
            seq,
            value,
            part,
            fired,
        }
    }
}

impl From<Entry> for Written {
    fn from(e: Entry) -> Self {
        (e.time, e.seq, e.value, e.part, e.fired)
    }
}

/// What a correlation asks of windows.
pub(super) struct Plan {
    pub(super) correlation: CompiledCorrelation,
    pub(super) span_ns: i64,
    gap_ns: i64,
    /// Older than the newest match by more, a match is left out.
    pub(super) accepts_ns: i64,
    /// Older than the newest match by more, no window needs a match.
    pub(super) keeps_ns: i64,
    cap: usize,
    /// Does it begin anew when it has fired?
    resets: bool,
    /// For each rule the first one of the same name.
    pub(super) first: Vec<u16>,
    /// The fewest matches with which the condition can hold.
    least: usize,
}

/// A window for which the correlation fired.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ended {
    /// Event time of its last match.
    pub(super) time: i64,
    /// Event time of its first.
    pub(super) since: i64,
    /// What it amounts to.
    pub(super) value: f64,
    /// Sequence numbers of its newest matches.
    pub(super) seqs: Vec<u64>,
    /// The correlation fired for it before; now it begins sooner.
    pub(super) again: bool,
}

impl Plan {
    /// The greatest count with which the condition never holds, where one is counted.
    pub(super) fn silent(&self) -> Option<u64> {
        let silent = self.least.checked_sub(1).filter(|count| *count > 0);
        silent.map(|count| count as u64)
    }

    pub(super) fn new(correlation: CompiledCorrelation) -> Self {
        let ns = |secs: u64| {
            i64::try_from(secs)
                .unwrap_or(i64::MAX)
                .saturating_mul(SECOND_NS)
        };
        let span_ns = ns(correlation.timespan_secs);
        let late = span_ns.clamp(LEAST_LATENESS_NS, MOST_LATENESS_NS);
        let refs = &correlation.rule_refs;
        let first = |name: &String| refs.iter().position(|r| r == name).unwrap_or_default();
        // A session begins anew for its first match, which may be as far back again.
        let spans = match correlation.window_mode {
            WindowMode::Session => 2,
            WindowMode::Sliding | WindowMode::Tumbling => 1,
        };
        Plan {
            gap_ns: correlation.gap_secs.map_or(span_ns, ns),
            accepts_ns: span_ns.max(LEAST_LATENESS_NS),
            keeps_ns: span_ns.saturating_mul(spans).saturating_add(late),
            cap: correlation.max_group_entries.unwrap_or(MAX_ENTRIES).max(1),
            resets: correlation.action == Some(CorrelationAction::Reset),
            first: refs.iter().map(|name| first(name) as u16).collect(),
            least: least(&correlation),
            span_ns,
            correlation,
        }
    }

    /// Which of its rules is called by one of these names.
    pub(super) fn part(&self, names: &[&str]) -> Option<u16> {
        let refs = &self.correlation.rule_refs;
        let found = names
            .iter()
            .find_map(|name| refs.iter().position(|r| r == name));
        found.map(|place| place as u16)
    }

    fn is_numeric(&self) -> bool {
        matches!(
            self.correlation.correlation_type,
            CorrelationType::ValueSum
                | CorrelationType::ValueAvg
                | CorrelationType::ValuePercentile
                | CorrelationType::ValueMedian
        )
    }

    /// Does it need a value of each match?
    pub(super) fn needs_value(&self) -> bool {
        self.is_numeric() || self.correlation.correlation_type == CorrelationType::ValueCount
    }

    /// Does it add values up, so that they must be numbers?
    pub(super) fn needs_number(&self) -> bool {
        self.is_numeric()
    }
}

/// How many matches a window must at least have, where that can be told.
fn least(correlation: &CompiledCorrelation) -> usize {
    let counts = matches!(
        correlation.correlation_type,
        CorrelationType::EventCount | CorrelationType::ValueCount
    );
    let of = |(operator, number): &(ConditionOperator, f64)| match operator {
        ConditionOperator::Gte | ConditionOperator::Eq => *number as usize,
        ConditionOperator::Gt => *number as usize + 1,
        _ => 0,
    };
    let all = correlation.condition.predicates.iter();
    all.map(of).max().filter(|_| counts).unwrap_or(0)
}

/// The matches of a group, oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Window {
    pub(super) entries: VecDeque<Entry>,
    /// Start of the session that the newest match belongs to.
    #[serde(default)]
    session: Option<i64>,
    /// Everything before was cleared when the correlation fired (`rsigma.action: reset`).
    #[serde(default)]
    cleared: Option<i64>,
    /// When it fired last, where that holds it back (`rsigma.suppress`).
    #[serde(default)]
    told: Option<i64>,
}

impl Window {
    /// Takes a match in; gives the windows for which the correlation fires now and did not before,
    /// and one for which it did that now begins sooner, in the order of their ends. `newest` is
    /// the time up to which the group has come.
    pub(super) fn take(&mut self, plan: &Plan, entry: Entry, newest: i64) -> Vec<Ended> {
        if self.cleared.is_some_and(|at| entry.time < at) {
            return Vec::new();
        }
        let place = self.entries.partition_point(|e| e.time <= entry.time);
        let is_last = place == self.entries.len();
        if is_last {
            self.session = self.session_with(plan, entry.time);
        }
        self.entries.insert(place, entry);
        let ended = match is_last {
            true => self.ended(plan, place, None).into_iter().collect(),
            false => self.look_again(plan, place),
        };
        if plan.resets
            && let Some(first) = ended.first()
        {
            self.clear(first.time);
        }
        self.forget(plan, newest);
        if !is_last {
            self.session = self.sessions(plan).pop();
        }
        ended
    }

    /// The windows that a late match belongs to.
    fn look_again(&mut self, plan: &Plan, place: usize) -> Vec<Ended> {
        let Some(time) = self.entries.get(place).map(|e| e.time) else {
            return Vec::new();
        };
        let sessions = match plan.correlation.window_mode {
            WindowMode::Session => Some(self.sessions(plan)),
            WindowMode::Sliding | WindowMode::Tumbling => None,
        };
        // Sessions may fall otherwise up to the newest match.
        let until = match &sessions {
            Some(_) => i64::MAX,
            None => time.saturating_add(plan.span_ns),
        };
        let mut running = Running::default();
        let (mut found, mut visits, mut told_again) = (Vec::new(), 0, false);
        for at in place..self.entries.len() {
            let Some(end) = self.entries.get(at).copied().filter(|e| e.time <= until) else {
                break;
            };
            let start = sessions.as_ref().and_then(|s| s.get(at)).copied();
            let range = self.range(plan, at, start);
            // Of what is told already, only that it began sooner is told once more.
            let again = end.fired;
            if again && (range.start != place || told_again) {
                continue;
            }
            visits += range.len();
            if visits > MAX_VISITS && !Running::is_cheap(plan) {
                break;
            }
            let ended = self.ended_by(plan, at, start, &mut running);
            told_again |= again && ended.is_some();
            found.extend(ended.map(|ended| Ended { again, ..ended }));
            if plan.resets && !found.is_empty() {
                break;
            }
        }
        found
    }

    /// The window that ends at a match, if the correlation fires for it.
    fn ended(&mut self, plan: &Plan, at: usize, start: Option<i64>) -> Option<Ended> {
        let start = start.or(self.session);
        self.ended_by(plan, at, start, &mut Running::default())
    }

    fn ended_by(
        &mut self,
        plan: &Plan,
        at: usize,
        session: Option<i64>,
        running: &mut Running,
    ) -> Option<Ended> {
        let range = self.range(plan, at, session);
        if range.len() < plan.least {
            return None;
        }
        let value = running.amounts_to(plan, &self.entries, range.clone())?;
        let end = self.entries.get_mut(at)?;
        end.fired = true;
        let time = end.time;
        let suppress = plan.correlation.suppress_secs;
        let suppress_ns = suppress.map(|s| i64::try_from(s).unwrap_or(i64::MAX / SECOND_NS));
        if let (Some(told), Some(secs)) = (self.told, suppress_ns)
            && time.saturating_sub(told) < secs.saturating_mul(SECOND_NS)
        {
            return None;
        }
        self.told = suppress.map(|_| time);
        let since = self.entries.get(range.start).map_or(time, |e| e.time);
        let newest = range
            .clone()
            .rev()
            .take(watchfire_event::Evidence::MAX_EVENTS);
        let seqs = newest
            .filter_map(|i| self.entries.get(i))
            .map(|e| e.seq)
            .collect();
        Some(Ended {
            time,
            since,
            value,
            seqs,
            again: false,
        })
    }

    /// Starts from nothing, with what comes from `time` on.
    fn clear(&mut self, time: i64) {
        self.entries.retain(|e| e.time > time);
        self.session = None;
        self.cleared = self.cleared.max(Some(time));
    }

    /// Places of the matches in the window that ends at a match, those of the same time included.
    fn range(&self, plan: &Plan, at: usize, session: Option<i64>) -> Range<usize> {
        let Some(end) = self.entries.get(at).map(|e| e.time) else {
            return 0..0;
        };
        let start = match plan.correlation.window_mode {
            WindowMode::Sliding => end.saturating_sub(plan.span_ns),
            WindowMode::Tumbling if plan.span_ns > 0 => end - end.rem_euclid(plan.span_ns),
            WindowMode::Tumbling => i64::MIN,
            WindowMode::Session => session.unwrap_or(end),
        };
        let after = |time: i64| self.entries.partition_point(|e| e.time <= time);
        let is_last = at + 1 == self.entries.len();
        let last = if is_last { at + 1 } else { after(end) };
        self.entries.partition_point(|e| e.time < start)..last
    }

    /// The start of the session that a match belongs to which is newer than all others.
    fn session_with(&self, plan: &Plan, time: i64) -> Option<i64> {
        let last = self.entries.back()?.time;
        next_session(plan, self.session.unwrap_or(last), last, time).or(Some(time))
    }

    /// The start of the session of every match.
    fn sessions(&self, plan: &Plan) -> Vec<i64> {
        let mut starts: Vec<i64> = Vec::with_capacity(self.entries.len());
        let mut last = None;
        for entry in &self.entries {
            let start = match (starts.last(), last) {
                (Some(start), Some(last)) => next_session(plan, *start, last, entry.time),
                _ => None,
            };
            starts.push(start.unwrap_or(entry.time));
            last = Some(entry.time);
        }
        starts
    }

    /// Drops what no window needs any more.
    fn forget(&mut self, plan: &Plan, newest: i64) {
        let old = newest.saturating_sub(plan.keeps_ns);
        while self.entries.front().is_some_and(|e| e.time < old) {
            self.entries.pop_front();
        }
        self.keep(plan.cap);
    }

    /// Keeps the newest matches alone.
    pub(super) fn keep(&mut self, cap: usize) {
        while self.entries.len() > cap {
            self.entries.pop_front();
        }
    }

    /// The window of an earlier version's snapshot. Its times are seconds.
    pub(super) fn of_older(window: &WindowState, plan: &Plan) -> Self {
        let entry = |secs: i64, value, part| Entry {
            time: secs.saturating_mul(SECOND_NS),
            seq: 0,
            value,
            part,
            fired: true,
        };
        let mut entries: Vec<Entry> = match window {
            WindowState::EventCount { timestamps } => {
                timestamps.iter().map(|t| entry(*t, None, 0)).collect()
            }
            WindowState::ValueCount { entries } => {
                let hash = |text: &String| Some(crate::cells::hash_text(text));
                entries.iter().map(|(t, v)| entry(*t, hash(v), 0)).collect()
            }
            WindowState::NumericAgg { entries } => {
                let bits = |number: &f64| Some(number.to_bits());
                entries.iter().map(|(t, v)| entry(*t, bits(v), 0)).collect()
            }
            WindowState::Temporal { rule_hits } => {
                let hits = rule_hits.iter().filter_map(|(name, times)| {
                    let part = plan.part(&[name.as_str()])?;
                    Some(times.iter().map(move |t| entry(*t, None, part)))
                });
                hits.flatten().collect()
            }
        };
        entries.sort_by_key(|e| e.time);
        let mut window = Window {
            entries: entries.into(),
            ..Window::default()
        };
        window.session = window.sessions(plan).pop();
        window
    }
}

/// The start of the session of a match at `time`, when that of the one before it, at `last`,
/// began at `start`; none where it begins another.
fn next_session(plan: &Plan, start: i64, last: i64, time: i64) -> Option<i64> {
    let goes_on = time.saturating_sub(last) <= plan.gap_ns
        && (plan.span_ns <= 0 || time.saturating_sub(start) <= plan.span_ns);
    goes_on.then_some(start)
}
