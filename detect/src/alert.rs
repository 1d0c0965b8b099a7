//! Alerts from findings: one per detector and entity until it has been quiet for an hour.
//!
//! An alert's id is a hash of (detector, entity, first event time), so a replay raises the same
//! alert again and nothing else. Times are event times: findings may come late, and a late one
//! joins the episode it falls into.

use std::collections::{BTreeMap, BTreeSet};

use ahash::HashMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use watchfire_event::{Alert, AlertStatus, Evidence, Query, time};

use crate::finding::{Finding, seconds};

/// An alert ends when nothing was found for so long.
const QUIET_NS: i64 = 3_600 * 1_000_000_000;
/// Alerts remembered. Beyond, those touched least recently are forgotten: their next finding then
/// starts another alert.
const MAX_EPISODES: usize = 50_000;
/// Episodes of one detector and entity remembered: late events can belong to an earlier one.
const MAX_PER_ENTITY: usize = 4;
/// Values kept of each kind of entity.
const MAX_ENTITIES: usize = 20;

/// What happened to an alert in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It did not exist before.
    New,
    /// It became more severe.
    Worse,
    /// It stands for more events now.
    Updated,
}

/// An alert as it is after a batch, and what the batch did to it.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertChange {
    /// The alert, complete.
    pub alert: Alert,
    /// What happened to it.
    pub change: Change,
}

/// An alert that a batch touched. Making it complete costs more than looking at it.
pub(crate) enum Shown<'a> {
    There(&'a Episode),
    /// It is forgotten by now.
    Gone(&'a Alert),
}

impl Shown<'_> {
    /// The alert, which may lack its sentence and its query.
    pub(crate) fn bare(&self) -> &Alert {
        match self {
            Shown::There(episode) => &episode.alert,
            Shown::Gone(alert) => alert,
        }
    }

    /// The alert, complete.
    pub(crate) fn alert(&self) -> Alert {
        match self {
            Shown::There(episode) => episode.shown(),
            Shown::Gone(alert) => (*alert).clone(),
        }
    }
}

/// What became of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It started an alert.
    Started,
    /// It belongs to an alert that was not quiet yet.
    Joined,
    /// It belongs to an alert that would have been over.
    Suppressed,
}

/// An alert that can still grow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Episode {
    alert: Alert,
    t0_ns: i64,
    t1_ns: i64,
    /// Sequence number of the last finding: order of forgetting.
    touched: u64,
    summary: String,
    clauses: Vec<String>,
    /// See [`Finding::within_ns`].
    #[serde(default)]
    within_ns: Option<(i64, i64)>,
}

/// All alerts that can still grow.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct AlertBook {
    /// By detector and entity, newest episode last.
    episodes: HashMap<String, Vec<Episode>>,
    count: usize,
    /// Key and id of the alert that the last finding became part of.
    #[serde(skip)]
    last: Option<(String, String)>,
}

/// What batches did to the alerts of one engine: id to place in the book and change, in order of
/// first touch.
#[derive(Debug, Default)]
pub struct Touched {
    order: Vec<(String, String)>,
    changes: HashMap<String, Change>,
    /// Alerts touched and then forgotten within the batch, as they were last.
    gone: HashMap<String, Alert>,
}

impl AlertBook {
    /// Adds `finding` to its alert, or starts one. For `suppress_ns` after an alert began,
    /// findings join it however quiet it was between.
    pub(crate) fn apply(
        &mut self,
        finding: &Finding,
        suppress_ns: i64,
        touched: &mut Touched,
    ) -> Applied {
        let key = key_of(finding);
        if !self.episodes.contains_key(&key) {
            self.episodes.insert(key.clone(), Vec::new());
        }
        let Some(episodes) = self.episodes.get_mut(&key) else {
            // Cannot be: it was put there just now.
            return Applied::Joined;
        };
        let time = finding.time_ns;
        let joins = |e: &Episode| {
            time >= e.t0_ns.saturating_sub(QUIET_NS) && time <= e.t1_ns.saturating_add(QUIET_NS)
        };
        let folds = |e: &Episode| time >= e.t0_ns && time - e.t0_ns < suppress_ns;
        let found = episodes.iter().rposition(joins);
        let place = found.or_else(|| episodes.iter().rposition(folds));
        let applied = match (found, place) {
            (Some(_), _) => Applied::Joined,
            (None, Some(_)) => Applied::Suppressed,
            (None, None) => Applied::Started,
        };
        let (id, change) = match place.and_then(|place| episodes.get_mut(place)) {
            Some(episode) => {
                let change = episode.grow(finding);
                (episode.alert.id.clone(), change)
            }
            None => {
                let episode = Episode::new(finding);
                let id = episode.alert.id.clone();
                if episodes.len() == MAX_PER_ENTITY {
                    touched.keep(&episodes.remove(0));
                    self.count -= 1;
                }
                episodes.push(episode);
                self.count += 1;
                (id, Change::New)
            }
        };
        touched.note(&id, &key, change);
        self.last = Some((key, id));
        // Here and not at the end of a batch: what is forgotten must not depend on the cut.
        if self.count > MAX_EPISODES {
            self.forget(touched);
        }
        applied
    }

    /// The alert that a finding just became part of, until another comes.
    pub(crate) fn last_mut(&mut self) -> Option<&mut Alert> {
        let (key, id) = self.last.as_ref()?;
        let episodes = self.episodes.get_mut(key)?;
        let found = episodes.iter_mut().find(|e| e.alert.id == *id);
        found.map(|episode| &mut episode.alert)
    }

    /// Shows the alerts that a batch touched, as they are now.
    pub(crate) fn settle(&mut self, mut touched: Touched, show: &mut dyn FnMut(Shown<'_>, Change)) {
        for (id, key) in touched.order {
            let of_entity = self.episodes.get(&key).into_iter().flatten();
            let mut there = of_entity.filter(|e| e.alert.id == id).map(Shown::There);
            let gone = touched.gone.remove(&id);
            let shown = there.next().or(gone.as_ref().map(Shown::Gone));
            if let (Some(shown), Some(change)) = (shown, touched.changes.get(&id)) {
                show(shown, *change);
            }
        }
    }

    /// Forgets episodes that name what the query asks for.
    pub(crate) fn forget_mentions(&mut self, query: &Query) {
        for (key, episodes) in &mut self.episodes {
            episodes.retain(|episode| !episode.mentions(query, key));
        }
        self.episodes.retain(|_, episodes| !episodes.is_empty());
        self.count = self.episodes.values().map(Vec::len).sum();
    }

    /// Keeps the nine tenths touched last.
    fn forget(&mut self, touched: &mut Touched) {
        let mut ages: Vec<u64> = self
            .episodes
            .values()
            .flatten()
            .map(|e| e.touched)
            .collect();
        ages.sort_unstable();
        let oldest = ages
            .get(self.count - MAX_EPISODES / 10 * 9)
            .copied()
            .unwrap_or(u64::MAX);
        for episodes in self.episodes.values_mut() {
            let (kept, gone) = std::mem::take(episodes)
                .into_iter()
                .partition(|e| e.touched >= oldest);
            *episodes = kept;
            let gone: Vec<Episode> = gone;
            gone.iter().for_each(|episode| touched.keep(episode));
        }
        self.episodes.retain(|_, episodes| !episodes.is_empty());
        self.count = self.episodes.values().map(Vec::len).sum();
    }
}

impl Touched {
    /// How many alerts.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Remembers an episode that the book forgets, if the batch touched it.
    fn keep(&mut self, episode: &Episode) {
        if self.changes.contains_key(&episode.alert.id) {
            self.gone.insert(episode.alert.id.clone(), episode.shown());
        }
    }

    fn note(&mut self, id: &str, key: &str, change: Change) {
        match self.changes.get_mut(id) {
            None => {
                self.changes.insert(id.to_owned(), change);
                self.order.push((id.to_owned(), key.to_owned()));
            }
            // An alert that is new in this batch stays new, one that became worse stays worse.
            Some(earlier) => {
                if *earlier == Change::Updated {
                    *earlier = change;
                }
            }
        }
    }
}

impl Episode {
    fn new(finding: &Finding) -> Self {
        let source = &finding.source;
        let (t0, t1) = (finding.since_ns.min(finding.time_ns), finding.time_ns);
        let alert = Alert {
            id: alert_id(&source.detector, &finding.entity.key(), finding.time_ns),
            ts: seconds(finding.time_ns),
            t0: seconds(t0),
            t1: seconds(t1),
            status: AlertStatus::Open,
            severity: source.severity,
            score: finding.score,
            detector: source.detector.clone(),
            kind: source.kind,
            title: source.title.clone(),
            summary: String::new(),
            entities: BTreeMap::new(),
            evidence: Evidence {
                query: String::new(),
                events: Vec::new(),
                baseline: Value::clone(&finding.baseline),
            },
            tags: source.tags.clone(),
            rule: source.rule.clone(),
            count: finding.weight,
            risk: 0.0,
            held: false,
        };
        let mut episode = Episode {
            alert,
            t0_ns: t0,
            t1_ns: t1,
            touched: finding.seq,
            summary: finding.summary.clone(),
            clauses: finding.clauses.clone(),
            within_ns: finding.within_ns,
        };
        add_evidence(&mut episode.alert.evidence.events, finding);
        episode.name(finding);
        episode
    }

    /// Notes who a finding is about.
    fn name(&mut self, finding: &Finding) {
        let known = &mut self.alert.entities;
        let others = finding.others.iter().map(|(kind, value)| (kind, value));
        // Nearly always the kinds are the same: then they need not be looked up.
        if known.keys().eq(finding.entities.keys()) {
            let values = known.values_mut().zip(finding.entities.values());
            values.for_each(|(values, value)| add_value(values, value));
        } else {
            let all = finding.entities.iter();
            all.for_each(|(kind, value)| add_name(known, kind, value));
        }
        others.for_each(|(kind, value)| add_name(known, kind, value));
    }

    /// Takes in another finding. The sentence and the numbers are those of the worst one.
    fn grow(&mut self, finding: &Finding) -> Change {
        let worse = finding.source.severity > self.alert.severity;
        if finding.score > self.alert.score {
            self.alert.score = finding.score;
            self.alert.evidence.baseline = Value::clone(&finding.baseline);
            self.summary.clone_from(&finding.summary);
        }
        self.alert.severity = self.alert.severity.max(finding.source.severity);
        self.t0_ns = self.t0_ns.min(finding.since_ns).min(finding.time_ns);
        self.t1_ns = self.t1_ns.max(finding.time_ns);
        self.alert.t0 = seconds(self.t0_ns);
        self.alert.t1 = seconds(self.t1_ns);
        self.alert.count += finding.weight;
        self.touched = finding.seq;
        add_evidence(&mut self.alert.evidence.events, finding);
        self.name(finding);
        self.within_ns = match (self.within_ns, finding.within_ns) {
            (Some((from, to)), Some((since, until))) => Some((from.min(since), to.max(until))),
            _ => None,
        };
        self.clauses
            .retain(|clause| finding.clauses.contains(clause));
        if worse {
            Change::Worse
        } else {
            Change::Updated
        }
    }

    fn mentions(&self, query: &Query, key: &str) -> bool {
        let mut texts = vec![key.to_owned()];
        if let Ok(value) = serde_json::to_value(self) {
            crate::state::texts(&value, &mut texts);
        }
        query.is_mentioned_by(&texts)
    }

    /// The alert with its sentence and its query.
    fn shown(&self) -> Alert {
        let mut alert = self.alert.clone();
        alert.summary = self.summary.replace("{count}", &counted(alert.count));
        alert.evidence.query = if self.clauses.is_empty() {
            let of = |at: Option<&String>| at.cloned().unwrap_or_default();
            let events = &alert.evidence.events;
            format!("_seq:[{} TO {}]", of(events.first()), of(events.last()))
        } else {
            let within = self.within_ns.map(|(from, to)| {
                let (from, to) = (time::to_rfc3339(from), time::to_rfc3339(to));
                format!("@timestamp:[{from} TO {to}]")
            });
            let clauses = self.clauses.iter().cloned().chain(within);
            clauses.collect::<Vec<_>>().join(" AND ")
        };
        alert
    }
}

/// Adds an entity to those that an alert names.
fn add_name(known: &mut BTreeMap<String, Vec<String>>, kind: &str, value: &str) {
    match known.get_mut(kind) {
        Some(values) => add_value(values, value),
        None => {
            known.insert(kind.to_owned(), vec![value.to_owned()]);
        }
    }
}

fn add_value(values: &mut Vec<String>, value: &str) {
    // What came last comes again most often.
    let is_new = || !values.iter().rev().any(|known| known == value);
    if values.len() < MAX_ENTITIES && is_new() {
        values.push(value.to_owned());
    }
}

/// Adds the events of a finding to those that an alert rests on: the earliest, in order.
fn add_evidence(known: &mut Vec<String>, finding: &Finding) {
    if known.len() >= Evidence::MAX_EVENTS {
        return;
    }
    let last = known.last().and_then(|seq| seq.parse().ok());
    if finding.evidence.is_empty() && last < Some(finding.seq) {
        known.push(finding.seq.to_string());
        return;
    }
    let mut all: BTreeSet<u64> = known.iter().filter_map(|s| s.parse().ok()).collect();
    all.extend(finding.evidence.iter().copied());
    all.insert(finding.seq);
    let earliest = all.into_iter().take(Evidence::MAX_EVENTS);
    *known = earliest.map(|seq| seq.to_string()).collect();
}

/// What alerts are kept by: detector and entity.
fn key_of(finding: &Finding) -> String {
    let (detector, entity) = (&finding.source.detector, &finding.entity);
    let mut key =
        String::with_capacity(detector.len() + entity.kind.len() + entity.value.len() + 2);
    key.push_str(detector);
    key.push('\n');
    key.push_str(&entity.kind);
    key.push(':');
    key.push_str(&entity.value);
    key
}

/// `1 event`, `1,204 events`.
pub(crate) fn counted(n: u64) -> String {
    format!("{} {}", grouped(n), if n == 1 { "event" } else { "events" })
}

/// A number with thousands apart.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// 128 bits of SHA-256 over (detector, entity, start), hexadecimal.
fn alert_id(detector: &str, entity: &str, start_ns: i64) -> String {
    let mut hash = Sha256::new();
    for part in [
        detector.as_bytes(),
        entity.as_bytes(),
        &start_ns.to_be_bytes(),
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
