//! What a backtest counts as it goes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use ahash::{HashMap, HashSet};
use watchfire_event::Alert;

use super::{DAY_NS, EntityCount, MAX_IDS};
use crate::alert::{Change, Shown};

/// Alerts of which it is remembered who they are about; of those beyond only the number.
const MAX_NOTED: usize = 25_000;
/// Days told; events of others count in the sums alone.
const MAX_DAYS: usize = 4_000;
/// Entities told.
const MAX_ENTITIES: usize = 50;
/// Matching events told, half of them the first and half the last.
const SAMPLES: usize = 20;

/// An alert, as far as it is remembered.
struct Noted {
    /// Values by kind.
    entities: BTreeMap<String, Vec<String>>,
    events: u64,
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) matches: BTreeMap<String, u64>,
    pub(super) alerts: BTreeMap<String, u64>,
    pub(super) days: BTreeMap<i64, (u64, u64)>,
    noted: HashMap<String, Noted>,
    pub(super) ids: HashSet<String>,
    /// Places of told alerts, by id.
    told: HashMap<String, usize>,
    pub(super) sample_alerts: Vec<Alert>,
    pub(super) first: Vec<u64>,
    pub(super) last: VecDeque<u64>,
    pub(super) truncated: bool,
}

impl Noted {
    /// Notes the names that came since: they are added at the end and never taken away.
    fn add(&mut self, entities: &BTreeMap<String, Vec<String>>) {
        let more = |known: &mut Vec<String>, values: &[String]| {
            known.extend(values.iter().skip(known.len()).cloned());
        };
        if self.entities.len() == entities.len() {
            // Kinds are never taken away either.
            let pairs = self.entities.values_mut().zip(entities.values());
            pairs.for_each(|(known, values)| more(known, values));
            return;
        }
        for (kind, values) in entities {
            match self.entities.get_mut(kind) {
                Some(known) => more(known, values),
                None => {
                    self.entities.insert(kind.clone(), values.clone());
                }
            }
        }
    }
}

impl Tally {
    /// A rule matched an event.
    pub(super) fn matched(&mut self, rule: &str) {
        match self.matches.get_mut(rule) {
            Some(count) => *count += 1,
            None => {
                self.matches.insert(rule.to_owned(), 1);
            }
        }
    }

    pub(super) fn on_day(&mut self, time_ns: i64, change: impl Fn(&mut (u64, u64))) {
        let day = time_ns.div_euclid(DAY_NS);
        if !self.days.contains_key(&day) && self.days.len() >= MAX_DAYS {
            self.truncated = true;
            return;
        }
        change(self.days.entry(day).or_default());
    }

    pub(super) fn sample(&mut self, seq: u64) {
        if self.first.len() < SAMPLES / 2 {
            self.first.push(seq);
            return;
        }
        if self.last.len() == SAMPLES / 2 {
            self.last.pop_front();
        }
        self.last.push_back(seq);
    }

    /// Takes in what a rule found as it is now.
    pub(super) fn alert(&mut self, shown: &Shown<'_>, rule: &str, change: Change, max_told: usize) {
        let alert = shown.bare();
        if change == Change::New {
            *self.alerts.entry(rule.to_owned()).or_default() += 1;
            self.on_day((alert.ts * 1e9) as i64, |day| day.1 += 1);
            if self.ids.len() < MAX_IDS {
                self.ids.insert(alert.id.clone());
            }
            if self.sample_alerts.len() < max_told {
                self.told.insert(alert.id.clone(), self.sample_alerts.len());
                self.sample_alerts.push(shown.alert());
            }
        }
        if let Some(place) = self.told.get(&alert.id)
            && let Some(told) = self.sample_alerts.get_mut(*place)
        {
            *told = shown.alert();
        }
        if let Some(noted) = self.noted.get_mut(&alert.id) {
            noted.events = alert.count;
            noted.add(&alert.entities);
        } else if self.noted.len() < MAX_NOTED {
            let noted = Noted {
                entities: alert.entities.clone(),
                events: alert.count,
            };
            self.noted.insert(alert.id.clone(), noted);
        } else {
            self.truncated = true;
        }
    }

    /// Who is named most.
    pub(super) fn entities(&self) -> Vec<EntityCount> {
        let mut sums: BTreeMap<&String, HashMap<&String, (u64, u64)>> = BTreeMap::new();
        for noted in self.noted.values() {
            for (kind, values) in &noted.entities {
                let sums = sums.entry(kind).or_default();
                for value in values {
                    let sum = sums.entry(value).or_default();
                    sum.0 += 1;
                    sum.1 += noted.events;
                }
            }
        }
        let mut all = Vec::new();
        for (kind, of_kind) in &sums {
            all.extend(
                of_kind
                    .iter()
                    .map(|(value, n)| (Reverse(*n), *kind, *value)),
            );
        }
        // Of the hundreds of thousands that there may be, few are told.
        if all.len() > MAX_ENTITIES {
            all.select_nth_unstable(MAX_ENTITIES);
            all.truncate(MAX_ENTITIES);
        }
        all.sort_unstable();
        let count = |(Reverse((alerts, events)), kind, value): (_, &String, &String)| EntityCount {
            kind: kind.clone(),
            value: value.clone(),
            alerts,
            events,
        };
        all.into_iter().map(count).collect()
    }
}
