//! The groups of one correlation: who they are about, which are kept and which must go.
//!
//! Groups are judged each for itself: a slow shipper harms nobody else. A time ahead of its receipt
//! does not make the matches after it late.

use std::collections::{BTreeMap, BTreeSet};

use ahash::HashMap;
use rsigma_eval::{CompiledCorrelation, Event, EventValue, GroupKey};
use serde::{Deserialize, Serialize};

use super::flood::Doorkeeper;
use super::named::Named;
use super::windows::{Ended, Entry, Plan, SECOND_NS, Window};
use crate::cells::hash_text;
use crate::explain::FieldValue;

/// Windows held for a correlation; beyond, those with the fewest matches go.
pub(super) const MAX_GROUPS: usize = if cfg!(test) { 500 } else { 50_000 };
/// A window is swept when it ran out this long ago: late matches may still come.
const GRACE_NS: i64 = 3_600 * SECOND_NS;

/// A match of a rule with what correlations need of its event.
pub(crate) struct Match<'a> {
    pub(crate) rule_id: &'a str,
    pub(crate) time_ns: i64,
    /// When it was received; 0 where that is not known.
    pub(crate) received_ns: i64,
    pub(crate) seq: u64,
    pub(crate) entities: &'a BTreeMap<String, String>,
    /// What the rule found in the event: values of fields that a query can ask for. Asked only for
    /// the first match of a group.
    pub(crate) values: &'a mut dyn FnMut() -> Vec<FieldValue>,
    /// Has the event this value?
    pub(crate) has: &'a dyn Fn(&FieldValue) -> bool,
}

impl Match<'_> {
    /// A time of its group, as far as it is trusted.
    pub(super) fn trusted_ns(&self, time: i64) -> i64 {
        match self.received_ns {
            0 => time,
            received => time.min(received),
        }
    }
}

/// A group: the matches that have the same values in the fields that are grouped by.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) window: Window,
    /// Newest match.
    newest: i64,
    /// Who the matches named last.
    named: Named,
    /// Of what the rule found in the first match since the group was last quiet, what all matches
    /// after it have too.
    #[serde(default)]
    common: Vec<FieldValue>,
    /// Matches that were turned away before it had a window.
    before: u32,
}

impl Group {
    fn note(&mut self, matched: &mut Match<'_>, time: i64, span_ns: i64) {
        let is_empty = self.window.entries.is_empty();
        if is_empty || time.saturating_sub(self.newest) > span_ns {
            self.common = (matched.values)();
        } else {
            self.common.retain(|value| (matched.has)(value));
        }
        let trusted = matched.trusted_ns(time);
        self.newest = if is_empty {
            trusted
        } else {
            self.newest.max(trusted)
        };
        for (kind, value) in matched.entities {
            self.named.note(kind, value, time);
        }
    }

    /// How many matches speak for it.
    fn weight(&self) -> u32 {
        let held = u32::try_from(self.window.entries.len()).unwrap_or(u32::MAX);
        held.saturating_add(self.before)
    }
}

/// Who the matches of a group name, and what finds them.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    /// Kind and value, the newest first.
    pub(super) named: Vec<(String, String)>,
    pub(super) clauses: BTreeSet<String>,
}

/// What became of a match.
pub(super) enum Taken {
    /// It is in its place; these windows are such that the correlation fires.
    In(Vec<Ended>, About),
    /// It came too late.
    Late,
    /// Windows are scarce, and its group was not seen often enough.
    Away,
}

/// A correlation with its groups.
pub(super) struct Groups {
    pub(super) plan: Plan,
    held: HashMap<GroupKey, Group>,
    door: Doorkeeper,
}

/// The groups of a correlation, to be kept.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct GroupsState {
    /// Names of its rules: matches say which of them by number.
    pub(super) rules: Vec<String>,
    pub(super) groups: Vec<(GroupKey, Group)>,
    #[serde(default)]
    pub(super) door: Doorkeeper,
}

impl Groups {
    pub(super) fn new(correlation: CompiledCorrelation) -> Self {
        Groups {
            plan: Plan::new(correlation),
            held: HashMap::default(),
            door: Doorkeeper::default(),
        }
    }

    /// The group of an event, by the names of the rule that it matched.
    pub(super) fn key(&self, event: &impl Event, names: &[&str]) -> GroupKey {
        GroupKey::extract(event, &self.plan.correlation.group_by, names)
    }

    /// What is counted or added up of an event; none where it has no such thing.
    pub(super) fn value(&self, event: &impl Event) -> Option<u64> {
        let fields = self.plan.correlation.condition.field.as_deref()?;
        if self.plan.needs_number() {
            let value = event.get_field(fields.first()?)?;
            return value.as_f64().map(f64::to_bits);
        }
        let texts = fields.iter().map(|f| text_of(&event.get_field(f)?));
        let texts: Vec<String> = texts.collect::<Option<_>>()?;
        Some(hash_text(&texts.join("\u{1f}")))
    }

    /// Takes in a match of the rule `part` at the time `time` of event.
    pub(super) fn take(
        &mut self,
        key: &GroupKey,
        (part, value, time): (u16, Option<u64>, i64),
        matched: &mut Match<'_>,
    ) -> Taken {
        let plan = &self.plan;
        if let Some(group) = self.held.get(key) {
            if group.newest.saturating_sub(time) > plan.accepts_ns {
                return Taken::Late;
            }
            self.door.note(|| hash_of(key));
        } else {
            let in_use = self.held.len();
            let Some(before) = self.door.admits(|| hash_of(key), in_use) else {
                return Taken::Away;
            };
            let group = Group {
                before,
                ..Group::default()
            };
            self.held.insert(key.clone(), group);
        }
        let Some(group) = self.held.get_mut(key) else {
            return Taken::Away;
        };
        group.note(matched, time, plan.span_ns);
        let entry = Entry {
            time,
            seq: matched.seq,
            value,
            part,
            fired: false,
        };
        let ended = group.window.take(plan, entry, group.newest);
        let about = match ended.first() {
            None => About::default(),
            Some(first) => {
                let since = first.time.saturating_sub(plan.span_ns);
                let named = group.named.newest_first().filter(|(_, _, at)| *at >= since);
                About {
                    named: named
                        .map(|(k, v, _)| (k.to_owned(), v.to_owned()))
                        .collect(),
                    clauses: group.common.iter().map(FieldValue::clause).collect(),
                }
            }
        };
        Taken::In(ended, about)
    }

    /// Makes room where there are too many groups.
    pub(super) fn make_room(&mut self, newest: i64) {
        if self.held.len() <= MAX_GROUPS {
            return;
        }
        self.sweep(newest);
        let excess = self.held.len().saturating_sub(MAX_GROUPS / 10 * 9);
        if excess <= MAX_GROUPS / 10 {
            return;
        }
        let weights = self
            .held
            .iter()
            .map(|(k, g)| (g.weight(), g.newest, k.0.clone()));
        let mut weights: Vec<_> = weights.collect();
        weights.sort_unstable();
        weights.truncate(excess);
        if let Some((heaviest, ..)) = weights.last() {
            self.door.raise(*heaviest);
        }
        for (_, _, key) in weights {
            self.held.remove(&GroupKey(key));
        }
    }

    /// Drops groups that have run out.
    pub(super) fn sweep(&mut self, newest: i64) {
        let old = newest.saturating_sub(self.plan.keeps_ns);
        let old = old.saturating_sub(GRACE_NS);
        self.held.retain(|_, g| g.newest >= old);
    }

    /// Matches held.
    pub(super) fn entries(&self) -> usize {
        self.held.values().map(|g| g.window.entries.len()).sum()
    }

    /// Keeps so many of each group's matches, the newest.
    pub(super) fn keep(&mut self, cap: usize) {
        self.held.values_mut().for_each(|g| g.window.keep(cap));
    }

    /// Groups that have a window.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn door(&self) -> &Doorkeeper {
        &self.door
    }

    pub(super) fn save(&self) -> GroupsState {
        let groups = self.held.iter().map(|(k, g)| (k.clone(), g.clone()));
        GroupsState {
            rules: self.plan.correlation.rule_refs.clone(),
            groups: groups.collect(),
            door: self.door.clone(),
        }
    }

    /// Goes on from a saved state. Matches of rules that are gone are left out.
    pub(super) fn restore(&mut self, state: GroupsState) {
        let place = |name: &String| self.plan.part(&[name.as_str()]);
        let places: Vec<Option<u16>> = state.rules.iter().map(place).collect();
        let there = |(key, mut group): (GroupKey, Group)| {
            let new = |part: u16| places.get(usize::from(part)).copied().flatten();
            group.window.entries.retain_mut(|entry| {
                let place = new(entry.part);
                entry.part = place.unwrap_or_default();
                place.is_some()
            });
            (key, group)
        };
        self.held = state.groups.into_iter().map(there).collect();
        self.door = state.door;
    }

    /// Takes over the windows of an earlier version's snapshot.
    pub(super) fn restore_older(&mut self, windows: Vec<(GroupKey, rsigma_eval::WindowState)>) {
        for (key, window) in windows {
            let window = Window::of_older(&window, &self.plan);
            let newest = window.entries.back().map_or(i64::MIN, |e| e.time);
            let group = Group {
                window,
                newest,
                ..Group::default()
            };
            self.held.insert(key, group);
        }
    }
}

/// A value as it is told apart from others.
fn text_of(value: &EventValue<'_>) -> Option<String> {
    match value {
        EventValue::Str(text) => Some(text.to_string()),
        EventValue::Int(number) => Some(number.to_string()),
        EventValue::Float(number) => Some(number.to_string()),
        EventValue::Bool(value) => Some(value.to_string()),
        EventValue::Null => Some("null".to_owned()),
        _ => None,
    }
}

fn hash_of(key: &GroupKey) -> u64 {
    let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "\u{1e}".to_owned());
    let parts: Vec<String> = key.0.iter().map(part).collect();
    hash_text(&parts.join("\u{1f}"))
}
