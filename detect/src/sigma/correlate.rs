//! Correlations: matches of rules over time, grouped.
//!
//! Event time decides, not the order of arrival: a match that comes late is put where it belongs
//! ([`super::windows`]), and a window that it completes fires. What fired stays told: a late match
//! after which a condition such as "fewer than" would not hold takes nothing back.

use std::collections::BTreeSet;

use ahash::HashMap;
use rsigma_eval::correlation::compile_correlation;
use rsigma_eval::{CorrelationBody, CorrelationSnapshot, GroupKey};
use serde::{Deserialize, Serialize};

use super::component::{Component, Subject};
use super::event::RowEvent;
pub(crate) use super::groups::Match;
use super::groups::{About, Groups, GroupsState, Taken};
use super::windows::{Ended, MAX_ENTRIES, Plan};

/// Matches between two sweeps of windows that have run out.
const SWEEP_EVERY: u64 = 4_096;
/// Matches held for a set of correlations that refer to each other; beyond, every group keeps
/// fewer of them.
const MAX_HELD: usize = 1_000_000;
/// Correlations over correlations, one upon another.
const MAX_CHAIN: usize = 10;

/// What a correlator has learned.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CorrelatorState {
    /// By the id of the correlation.
    #[serde(default)]
    pub(super) groups_of: HashMap<String, GroupsState>,
    #[serde(default)]
    newest_ns: Option<i64>,
    fed: u64,
    late: u64,
    /// What versions before kept.
    #[serde(default, skip_serializing)]
    windows: Option<CorrelationSnapshot>,
}

/// Windows of correlations that are held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Windows {
    /// Groups that have a window.
    pub open: u64,
    /// Matches of new groups that were turned away while windows were scarce.
    pub turned_away: u64,
    /// Bytes that remembering those takes.
    pub door_bytes: u64,
}

/// A correlation that fired.
pub(crate) struct Fired {
    pub(crate) id: String,
    pub(crate) body: CorrelationBody,
    /// Event time of the last match in its window, which need not be the one that came last.
    pub(crate) time_ns: i64,
    /// Event time of the first.
    pub(crate) since_ns: i64,
    /// It fired for this window before, which now begins sooner.
    again: bool,
    /// Up to this count it is silent.
    pub(crate) silent: Option<u64>,
    /// Sequence numbers of the newest matches in its window.
    pub(crate) evidence: Vec<u64>,
    /// Who the matches in the window name: kind and value.
    pub(crate) named: Vec<(String, String)>,
    /// Query clauses that hold for the matches in the window.
    pub(crate) clauses: BTreeSet<String>,
    pub(crate) subject: Subject,
}

/// Runs the correlations of a component.
pub(crate) struct Correlator {
    correlations: Vec<Groups>,
    /// Name of each rule by id.
    names: HashMap<String, Option<String>>,
    /// Which correlations take a rule, or a correlation, by its id; and as which of their rules.
    takers: HashMap<String, Vec<(usize, u16)>>,
    /// By the id of a correlation.
    subjects: HashMap<String, Subject>,
    newest: i64,
    fed: u64,
    late: u64,
}

impl Correlator {
    /// A correlator with nothing in its windows; `None` only for a component that was not checked.
    pub(crate) fn new(component: &Component) -> Option<Self> {
        let compiled = component.correlations.iter().map(compile_correlation);
        let compiled = compiled.map(|c| c.map(Groups::new));
        let correlations: Vec<Groups> = compiled.collect::<Result<_, _>>().ok()?;
        let names = component.rules.iter();
        let names: HashMap<_, _> = names
            .filter_map(|r| Some((r.id.clone()?, r.name.clone())))
            .collect();
        let inner = correlations.iter().map(|c| &c.plan.correlation);
        let inner = inner.filter_map(|c| Some((c.id.clone()?, c.name.clone())));
        let all = names.iter().map(|(id, name)| (id.clone(), name.clone()));
        let takers = all.chain(inner).map(|(id, name)| {
            let refs: Vec<&str> = std::iter::once(id.as_str())
                .chain(name.as_deref())
                .collect();
            let taken = |(at, groups): (usize, &Groups)| Some((at, groups.plan.part(&refs)?));
            let takers = correlations.iter().enumerate().filter_map(taken).collect();
            (id, takers)
        });
        Some(Correlator {
            takers: takers.collect(),
            correlations,
            names,
            subjects: component.subjects(),
            newest: i64::MIN,
            fed: 0,
            late: 0,
        })
    }

    /// Takes one match of one rule.
    pub(crate) fn feed(&mut self, event: RowEvent<'_>, matched: &mut Match<'_>) -> Vec<Fired> {
        let event = event.single();
        let id = matched.rule_id;
        let (Some(name), Some(takers)) = (self.names.get(id), self.takers.get(id)) else {
            return Vec::new();
        };
        let refs: Vec<&str> = std::iter::once(id).chain(name.as_deref()).collect();
        let (mut fired, mut is_late) = (Vec::new(), false);
        for (at, part) in takers {
            let Some(groups) = self.correlations.get_mut(*at) else {
                continue;
            };
            let value = match groups.plan.needs_value() {
                true => groups.value(&event),
                false => None,
            };
            if groups.plan.needs_value() && value.is_none() {
                continue;
            }
            let key = groups.key(&event, &refs);
            match groups.take(&key, (*part, value, matched.time_ns), matched) {
                Taken::In(ended, about) => {
                    let told = |ended| told(&groups.plan, &key, ended, &about, &self.subjects);
                    fired.extend(ended.into_iter().map(told));
                }
                Taken::Late => is_late = true,
                Taken::Away => {}
            }
        }
        self.late += u64::from(is_late);
        self.chain(&mut fired, matched);
        self.sweep(matched.trusted_ns(matched.time_ns));
        fired
    }

    /// Gives what fired to the correlations over it.
    fn chain(&mut self, fired: &mut Vec<Fired>, matched: &mut Match<'_>) {
        let mut from = 0;
        for _ in 0..MAX_CHAIN {
            let mut next = Vec::new();
            for child in fired.iter().skip(from).filter(|child| !child.again) {
                for (at, part) in self.takers.get(&child.id).into_iter().flatten() {
                    let Some(groups) = self.correlations.get_mut(*at) else {
                        continue;
                    };
                    let group_by = &groups.plan.correlation.group_by;
                    let key = GroupKey::from_pairs(&child.body.group_key, group_by);
                    let taken = groups.take(&key, (*part, None, child.time_ns), matched);
                    let Taken::In(ended, _) = taken else {
                        continue;
                    };
                    let about = About {
                        named: child.named.clone(),
                        clauses: child.clauses.clone(),
                    };
                    for ended in ended {
                        let mut parent = told(&groups.plan, &key, ended, &about, &self.subjects);
                        parent.evidence.clone_from(&child.evidence);
                        next.push(parent);
                    }
                }
            }
            from = fired.len();
            if next.is_empty() {
                return;
            }
            fired.append(&mut next);
        }
    }

    /// Now and then drops what has run out. Counted in matches, not in batches.
    fn sweep(&mut self, time: i64) {
        self.newest = self.newest.max(time);
        self.fed += 1;
        for groups in &mut self.correlations {
            groups.make_room(self.newest);
        }
        if !self.fed.is_multiple_of(SWEEP_EVERY) {
            return;
        }
        let newest = self.newest;
        self.correlations.iter_mut().for_each(|g| g.sweep(newest));
        let held = |all: &[Groups]| all.iter().map(Groups::entries).sum::<usize>();
        let mut cap = MAX_ENTRIES;
        while held(&self.correlations) > MAX_HELD && cap > 1 {
            cap /= 2;
            self.correlations.iter_mut().for_each(|g| g.keep(cap));
        }
    }

    /// Adds what is held to `held`.
    pub(crate) fn count(&self, held: &mut Windows) {
        for groups in &self.correlations {
            held.open += groups.len() as u64;
            held.turned_away += groups.door().turned_away();
            held.door_bytes += groups.door().memory_bytes() as u64;
        }
    }

    /// Matches left out because they came too late.
    pub(crate) fn late(&self) -> u64 {
        self.late
    }

    /// What is in the windows.
    pub(crate) fn save(&self) -> CorrelatorState {
        let groups = self.correlations.iter();
        let groups = groups.filter_map(|g| Some((g.plan.correlation.id.clone()?, g.save())));
        CorrelatorState {
            groups_of: groups.collect(),
            newest_ns: Some(self.newest),
            fed: self.fed,
            late: self.late,
            windows: None,
        }
    }

    /// Goes on from a saved state. Windows of correlations that are gone are left out.
    pub(crate) fn restore(&mut self, mut state: CorrelatorState) {
        for groups in &mut self.correlations {
            let Some(id) = groups.plan.correlation.id.clone() else {
                continue;
            };
            let older = state.windows.as_mut().and_then(|w| w.windows.remove(&id));
            if let Some(windows) = older {
                groups.restore_older(windows);
            }
            if let Some(state) = state.groups_of.remove(&id) {
                groups.restore(state);
            }
        }
        self.newest = state.newest_ns.unwrap_or(i64::MIN);
        self.fed = state.fed;
        self.late = state.late;
    }
}

fn told(
    plan: &Plan,
    key: &GroupKey,
    ended: Ended,
    about: &About,
    subjects: &HashMap<String, Subject>,
) -> Fired {
    let correlation = &plan.correlation;
    let id = correlation.id.clone().unwrap_or_default();
    Fired {
        body: CorrelationBody {
            correlation_type: correlation.correlation_type,
            group_key: key.to_pairs(&correlation.group_by),
            aggregated_value: ended.value,
            timespan_secs: correlation.timespan_secs,
            events: None,
            event_refs: None,
        },
        time_ns: ended.time,
        since_ns: ended.since,
        again: ended.again,
        silent: plan.silent(),
        evidence: ended.seqs,
        named: about.named.clone(),
        clauses: about.clauses.clone(),
        subject: subjects.get(&id).cloned().unwrap_or_default(),
        id,
    }
}
