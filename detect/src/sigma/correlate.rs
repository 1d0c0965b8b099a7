//! Correlations: matches of rules over time, grouped.
//!
//! rsigma's correlation engine holds the windows. It takes matches in the order of their arrival
//! and expects their times to rise within a group, so late matches are settled here first: one
//! that still lies within a time span of the group's newest counts as if it came now (order
//! between rules is kept where the correlation asks for order), an older one is left out and
//! counted. Groups are judged each for itself: a slow shipper harms nobody else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ahash::HashMap;
use rsigma_eval::correlation::compile_correlation;
use rsigma_eval::{
    CompiledCorrelation, CorrelationEngine, CorrelationSnapshot, DetectionBody, EvaluationResult,
    GroupKey, ResultBody, RuleHeader,
};
use rsigma_parser::CorrelationType;
use serde::{Deserialize, Serialize};
use watchfire_event::Evidence;

use super::component::{Component, Subject};
use super::event::RowEvent;
use super::flood::Doorkeeper;
use crate::cells::hash_text;

/// Windows held for a set of correlations that refer to each other; beyond, the stalest go.
pub(super) const MAX_GROUPS: usize = if cfg!(test) { 500 } else { 50_000 };
/// Values of each kind of entity that a group remembers.
const MAX_NAMED: usize = 5;
/// Matches between two sweeps of windows that have run out.
const SWEEP_EVERY: u64 = 4_096;
/// A window is swept when it ran out this long ago: late matches may still come.
const GRACE_SECS: i64 = 3_600;

/// What is known of a group besides its windows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Group {
    /// Newest match, seconds.
    newest: i64,
    /// Newest matches: time and sequence number.
    recent: VecDeque<(i64, u64)>,
    /// Who the matches named last: kind, value and time, the newest last.
    #[serde(default)]
    named: Vec<(String, String, i64)>,
    /// Query clauses that hold for all matches since the group was last quiet.
    #[serde(default)]
    clauses: BTreeSet<String>,
}

impl Group {
    fn add(&mut self, matched: &mut Match<'_>, time: i64, span: i64) {
        let quiet = self.recent.is_empty() || time.saturating_sub(self.newest) > span;
        if quiet {
            self.clauses.clear();
            (matched.clauses)(&mut |clauses| self.clauses.clone_from(clauses));
        } else if !self.clauses.is_empty() {
            let mut common = BTreeSet::new();
            (matched.clauses)(&mut |clauses| {
                if *clauses == self.clauses {
                    std::mem::swap(&mut common, &mut self.clauses);
                } else {
                    common.extend(self.clauses.intersection(clauses).cloned());
                }
            });
            self.clauses = common;
        }
        self.newest = self.newest.max(time);
        self.recent.push_back((time, matched.seq));
        while self.recent.len() > Evidence::MAX_EVENTS {
            self.recent.pop_front();
        }
        for (kind, value) in matched.entities {
            let known = self.named.iter();
            let mut known = known.enumerate().rev();
            let known = known.find(|(_, (k, v, _))| k == kind && v == value);
            if let Some((place, _)) = known {
                let mut named = self.named.remove(place);
                named.2 = time;
                self.named.push(named);
                continue;
            }
            let same = || self.named.iter().position(|(k, ..)| k == kind);
            let count = self.named.iter().filter(|(k, ..)| k == kind).count();
            if count >= MAX_NAMED
                && let Some(oldest) = same()
            {
                self.named.remove(oldest);
            }
            self.named.push((kind.clone(), value.clone(), time));
        }
    }
}

/// Takes a look at clauses.
pub(crate) type ShowClauses<'a> = &'a mut dyn FnMut(&BTreeSet<String>);

/// A match of a rule with what correlations need of its event.
pub(crate) struct Match<'a> {
    pub(crate) rule_id: &'a str,
    pub(crate) time_ns: i64,
    pub(crate) seq: u64,
    pub(crate) entities: &'a BTreeMap<String, String>,
    /// Shows clauses that find the event, if there are any. Asked only where a group still needs
    /// them.
    pub(crate) clauses: &'a mut dyn FnMut(ShowClauses<'_>),
}

/// What a correlator has learned.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CorrelatorState {
    pub(super) windows: CorrelationSnapshot,
    pub(super) groups: HashMap<String, Group>,
    #[serde(default)]
    door: Doorkeeper,
    newest: i64,
    fed: u64,
    late: u64,
}

/// Windows of correlations that are held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Windows {
    /// Groups that have a window.
    pub open: u64,
    /// First matches of groups that were turned away while windows were scarce.
    pub turned_away: u64,
    /// Bytes that remembering those takes.
    pub door_bytes: u64,
}

/// A correlation that fired.
pub(crate) struct Fired {
    pub(crate) result: EvaluationResult,
    /// Sequence numbers of the newest matches in its window.
    pub(crate) evidence: Vec<u64>,
    /// Time of the oldest of these.
    pub(crate) since_ns: i64,
    /// Time of the newest match of the group, which a late one does not move.
    pub(crate) until_ns: i64,
    /// Who the matches in the window name: kind and value.
    pub(crate) named: Vec<(String, String)>,
    /// Query clauses that hold for the matches in the window.
    pub(crate) clauses: BTreeSet<String>,
    pub(crate) subject: Subject,
}

/// Runs the correlations of a component.
pub(crate) struct Correlator {
    engine: CorrelationEngine,
    correlations: Vec<CompiledCorrelation>,
    /// Name of each rule by id.
    names: HashMap<String, Option<String>>,
    /// By the id of a correlation.
    subjects: HashMap<String, Subject>,
    groups: HashMap<String, Group>,
    door: Doorkeeper,
    /// Time span of the longest correlation, seconds.
    longest: i64,
    newest: i64,
    fed: u64,
    late: u64,
}

impl Correlator {
    /// A correlator with nothing in its windows; `None` only for a component that was not checked.
    pub(crate) fn new(component: &Component) -> Option<Self> {
        let compiled = component.correlations.iter().map(compile_correlation);
        let correlations: Vec<CompiledCorrelation> = compiled.collect::<Result<_, _>>().ok()?;
        let longest = correlations.iter().map(timespan).max();
        let names = component.rules.iter();
        Some(Correlator {
            engine: component.engine().ok()?,
            correlations,
            longest: longest.unwrap_or_default(),
            door: Doorkeeper::default(),
            names: names
                .filter_map(|r| Some((r.id.clone()?, r.name.clone())))
                .collect(),
            subjects: component.subjects().into_iter().collect(),
            groups: HashMap::default(),
            newest: i64::MIN,
            fed: 0,
            late: 0,
        })
    }

    /// Takes one match of one rule.
    pub(crate) fn feed(&mut self, event: RowEvent<'_>, matched: &mut Match<'_>) -> Vec<Fired> {
        let event = event.single();
        let id = matched.rule_id;
        let Some(name) = self.names.get(id) else {
            return Vec::new();
        };
        let refs: Vec<&str> = std::iter::once(id).chain(name.as_deref()).collect();
        let time = matched.time_ns.div_euclid(1_000_000_000);
        let (mut at, mut span, mut keys) = (time, 0, Vec::new());
        for (i, correlation) in self.correlations.iter().enumerate() {
            if !correlation
                .rule_refs
                .iter()
                .any(|r| refs.contains(&r.as_str()))
            {
                continue;
            }
            let key = group_key(i, &GroupKey::extract(&event, &correlation.group_by, &refs));
            let newest = self.groups.get(&key).map_or(time, |g| g.newest);
            let timespan = timespan(correlation);
            if newest.saturating_sub(time) > timespan {
                self.late += 1;
                return Vec::new();
            }
            let ordered = matches!(
                correlation.correlation_type,
                CorrelationType::Temporal | CorrelationType::TemporalOrdered
            );
            if !ordered {
                at = at.max(newest);
            }
            span = span.max(timespan);
            keys.push(key);
        }
        if !self.may_watch(&keys) {
            self.sweep(time);
            return Vec::new();
        }
        for key in &keys {
            if !self.groups.contains_key(key) {
                self.groups.insert(key.clone(), Group::default());
            }
            if let Some(group) = self.groups.get_mut(key) {
                group.add(matched, time, span);
            }
        }
        let results = self
            .engine
            .process_with_detections(&event, vec![bare_match(id)], at);
        let fired = results.into_iter().filter(EvaluationResult::is_correlation);
        let fired: Vec<_> = fired.collect();
        let told = match fired.is_empty() {
            true => Vec::new(),
            false => self.told(fired, &keys, matched, time.saturating_sub(span)),
        };
        self.sweep(time);
        told
    }

    /// What fired, with what is known of the groups since `since`.
    fn told(
        &self,
        fired: Vec<EvaluationResult>,
        keys: &[String],
        matched: &Match<'_>,
        since: i64,
    ) -> Vec<Fired> {
        let time = matched.time_ns.div_euclid(1_000_000_000);
        let recent = self.recent(keys, since);
        let oldest = recent.iter().map(|(time, _)| *time).min().unwrap_or(time);
        let clauses = self.common_clauses(keys);
        let named = self.named(keys, since);
        let until_ns = self.newest_of(keys, time).unwrap_or(matched.time_ns);
        let of = |result: EvaluationResult| Fired {
            evidence: recent.iter().map(|(_, seq)| *seq).collect(),
            since_ns: oldest.saturating_mul(1_000_000_000),
            until_ns,
            named: named.clone(),
            clauses: clauses.clone(),
            subject: self.subject(&result),
            result,
        };
        fired.into_iter().map(of).collect()
    }

    fn recent(&self, keys: &[String], since: i64) -> Vec<(i64, u64)> {
        let recent = keys
            .iter()
            .filter_map(|k| self.groups.get(k))
            .flat_map(|g| &g.recent);
        recent.filter(|(time, _)| *time >= since).copied().collect()
    }

    /// The end of the second of the groups' newest match, where that came after `time`.
    fn newest_of(&self, keys: &[String], time: i64) -> Option<i64> {
        let groups = keys.iter().filter_map(|k| self.groups.get(k));
        let newest = groups.map(|g| g.newest).max()?;
        let end = newest.saturating_add(1).saturating_mul(1_000_000_000) - 1;
        (newest > time).then_some(end)
    }

    /// Who the groups' matches since then name.
    fn named(&self, keys: &[String], since: i64) -> Vec<(String, String)> {
        let groups = keys.iter().filter_map(|k| self.groups.get(k));
        let named = groups.flat_map(|g| g.named.iter().rev());
        let named = named.filter(|(_, _, time)| *time >= since);
        named.map(|(k, v, _)| (k.clone(), v.clone())).collect()
    }

    fn common_clauses(&self, keys: &[String]) -> BTreeSet<String> {
        let mut groups = keys.iter().filter_map(|k| self.groups.get(k));
        let first = groups.next().map(|g| g.clauses.clone());
        let both = |all: BTreeSet<String>, g: &Group| &all & &g.clauses;
        groups.fold(first.unwrap_or_default(), both)
    }

    fn subject(&self, result: &EvaluationResult) -> Subject {
        let id = result.header.rule_id.as_deref();
        let subject = id.and_then(|id| self.subjects.get(id));
        subject.cloned().unwrap_or_default()
    }

    /// Has one of the groups a window, or may they open one?
    fn may_watch(&mut self, keys: &[String]) -> bool {
        let Some(first) = keys.first() else {
            return true;
        };
        if keys.iter().any(|key| self.groups.contains_key(key)) {
            return true;
        }
        self.door.admits(hash_text(first), self.groups.len())
    }

    /// Now and then drops what has run out. Counted in matches, not in batches.
    fn sweep(&mut self, time: i64) {
        self.newest = self.newest.max(time);
        self.fed += 1;
        let full = self.groups.len() > MAX_GROUPS;
        if self.fed.is_multiple_of(SWEEP_EVERY) {
            self.engine
                .evict_expired(self.newest.saturating_sub(GRACE_SECS));
        }
        if full || self.fed.is_multiple_of(SWEEP_EVERY) {
            let old = self.newest.saturating_sub(self.longest);
            let old = old.saturating_sub(GRACE_SECS);
            self.groups.retain(|_, g| g.newest >= old);
        }
        let excess = self.groups.len().saturating_sub(MAX_GROUPS / 10 * 9);
        if full && excess > MAX_GROUPS / 10 {
            let ages = self.groups.iter().map(|(k, g)| (g.newest, k.clone()));
            let mut ages: Vec<_> = ages.collect();
            ages.sort_unstable();
            for (_, key) in ages.into_iter().take(excess) {
                self.groups.remove(&key);
            }
        }
    }

    /// Adds what is held to `held`.
    pub(crate) fn count(&self, held: &mut Windows) {
        held.open += self.groups.len() as u64;
        held.turned_away += self.door.turned_away();
        held.door_bytes += self.door.memory_bytes() as u64;
    }

    /// Matches left out because they came too late.
    pub(crate) fn late(&self) -> u64 {
        self.late
    }

    /// What is in the windows.
    pub(crate) fn save(&self) -> CorrelatorState {
        CorrelatorState {
            windows: self.engine.export_state(),
            groups: self.groups.clone(),
            door: self.door.clone(),
            newest: self.newest,
            fed: self.fed,
            late: self.late,
        }
    }

    /// Goes on from a saved state. Windows of correlations that are gone are left out.
    pub(crate) fn restore(&mut self, state: CorrelatorState) {
        if self.engine.import_state(state.windows) {
            self.groups = state.groups;
            self.door = state.door;
            self.newest = state.newest;
            self.fed = state.fed;
            self.late = state.late;
        }
    }
}

fn timespan(correlation: &CompiledCorrelation) -> i64 {
    i64::try_from(correlation.timespan_secs).unwrap_or(i64::MAX)
}

/// A match as the engine of correlations needs it: the rule's id.
fn bare_match(id: &str) -> EvaluationResult {
    EvaluationResult {
        header: RuleHeader {
            rule_title: String::new(),
            rule_id: Some(id.to_owned()),
            level: None,
            tags: Vec::new(),
            custom_attributes: Default::default(),
            enrichments: None,
        },
        body: ResultBody::Detection(DetectionBody {
            matched_selections: Vec::new(),
            matched_fields: Vec::new(),
            event: None,
        }),
    }
}

fn group_key(correlation: usize, key: &GroupKey) -> String {
    let mut text = correlation.to_string();
    for part in &key.0 {
        text.push('\u{1f}');
        text.push_str(part.as_deref().unwrap_or("\u{1e}"));
    }
    text
}
