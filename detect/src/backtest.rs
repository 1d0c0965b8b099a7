//! Rules over events of the past: what they would have found, and what an exception would have
//! hidden.
//!
//! The engine is the one that runs live, so a backtest over all events gives the alerts that were
//! raised then, except for their risk, which is a matter of all rules together. It is given only
//! rows that can matter ([`Backtest::reading`]): rows that no rule and no detector could take
//! change nothing.

mod tally;

use std::collections::BTreeSet;
use std::sync::Arc;

use ahash::HashSet;
use serde::Serialize;
use sha2::{Digest, Sha256};
use watchfire_event::query::{Needs, Node};
use watchfire_event::{
    Alert, AlertKind, ColumnShape, EventBatch, Origin, Query, Severity, field, time,
};

use crate::alert::{Change, Touched};
use crate::engine::{Engine, EngineConfig};
use crate::entity;
use crate::facts;
use crate::ruleset::{RuleFault, RuleFile, RuleKind, RuleSet};
use crate::sigma::prefilter::{Asking, all, any};
use tally::Tally;

/// Alerts told in full, at most.
pub const MAX_ALERTS: usize = 1_000;
/// Alerts that are compared with those that an exception leaves.
const MAX_IDS: usize = 100_000;
/// Alerts touched and not counted yet, about: beyond, they are counted.
const MAX_TOUCHED: usize = 16_384;
const DAY_NS: i64 = 86_400 * 1_000_000_000;

/// What a backtest has to read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Rows outside of it change nothing.
    pub query: Query,
    /// Names of the fields that count; `None` is all.
    pub fields: Option<Vec<String>>,
}

/// What one rule found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleCount {
    /// The rule's id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// What kind of rule it is.
    pub kind: RuleKind,
    /// Severity of its alerts.
    pub severity: Severity,
    /// Events that matched; of a correlation or a detector, how often it fired.
    pub matches: u64,
    /// Alerts raised.
    pub alerts: u64,
}

/// A day, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DayCount {
    /// The date, `2026-11-01`.
    pub day: String,
    /// Matches of rules that raise alerts.
    pub matches: u64,
    /// Alerts raised.
    pub alerts: u64,
}

/// Who alerts are about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntityCount {
    /// Kind of entity.
    pub kind: String,
    /// Its value.
    pub value: String,
    /// Alerts that name it.
    pub alerts: u64,
    /// Events these alerts stand for.
    pub events: u64,
}

/// What an exception would have hidden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExceptionCount {
    /// The query.
    pub query: String,
    /// Matches on events that it names.
    pub matches_hidden: u64,
    /// Alerts that would not have been raised.
    pub alerts_hidden: u64,
    /// Alerts that would have been raised all the same, or under another id.
    pub alerts_left: u64,
}

/// What rules would have found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BacktestReport {
    /// By rule, in the order of the files.
    pub rules: Vec<RuleCount>,
    /// Matches of rules that raise alerts; those that only feed correlations do not count.
    pub matches: u64,
    /// Alerts raised.
    pub alerts: u64,
    /// By day, oldest first; days without any are left out.
    pub days: Vec<DayCount>,
    /// Who is named most.
    pub entities: Vec<EntityCount>,
    /// The first alerts, as they would be now.
    pub sample_alerts: Vec<Alert>,
    /// What an exception would have hidden, where one was given.
    pub exception: Option<ExceptionCount>,
    /// Matches that came too late for their correlation.
    pub late: u64,
    /// There were more alerts or days than are told by day and by entity.
    pub truncated: bool,
}

/// An exception on trial: the same rules without the events it names.
struct Trial {
    query: Query,
    engine: Engine,
    matches_hidden: u64,
    touched: Touched,
    alerts: HashSet<String>,
}

/// Rules on trial.
pub struct Backtest {
    rules: Arc<RuleSet>,
    /// Stands for the rules' texts.
    digest: String,
    /// Count these rules alone: the others are there for what they refer to.
    only: BTreeSet<String>,
    max_alerts: usize,
    pub(crate) engine: Engine,
    trial: Option<Trial>,
    /// Alerts that are not counted yet: most change again with the next events.
    touched: Touched,
    tally: Tally,
}

impl std::fmt::Debug for Backtest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Backtest({} rules)", self.rules.len())
    }
}

impl Backtest {
    /// Loads rules for a trial, with what is wrong with them, as they would be beside the rules
    /// of `live`: with its threat lists, pipelines and filters, and its rules where they refer to
    /// them. The rules of the files alone are counted.
    pub fn load(files: &[RuleFile], live: &RuleSet) -> (Backtest, Vec<RuleFault>) {
        let (rules, faults, only) = RuleSet::load_beside(files, live);
        (Backtest::of(rules, only), faults)
    }

    /// A trial of the rule of this id in `live`; `None` when there is none.
    pub fn of_live(id: &str, live: &RuleSet) -> Option<(Backtest, Vec<RuleFault>)> {
        live.info(id)?;
        let (lists, pipelines) = (live.lists().clone(), live.pipelines.as_ref().clone());
        let parts = live.with_parts(id);
        let (rules, faults) = RuleSet::load_all(&parts, lists, pipelines, Vec::new());
        let only = BTreeSet::from([id.to_owned()]);
        Some((Backtest::of(rules, only), faults))
    }

    fn of(rules: RuleSet, only: BTreeSet<String>) -> Backtest {
        let rules = Arc::new(rules);
        let mut hash = Sha256::new();
        hash.update(rules.pipelines.digest());
        for info in &rules.infos {
            hash.update((info.text.len() as u64).to_be_bytes());
            hash.update(&*info.text);
        }
        Backtest {
            engine: engine(&rules),
            rules,
            digest: hex(hash),
            only,
            max_alerts: 20,
            trial: None,
            touched: Touched::default(),
            tally: Tally::default(),
        }
    }

    /// The rules that were loaded.
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// Tells so many alerts in full, up to [`MAX_ALERTS`].
    #[must_use]
    pub fn telling(mut self, alerts: usize) -> Self {
        self.max_alerts = alerts.min(MAX_ALERTS);
        self
    }

    /// Counts what an exception would have hidden, too.
    #[must_use]
    pub fn without(mut self, exception: Query) -> Self {
        let mut engine = engine(&self.rules);
        engine.set_policy(Arc::clone(self.engine.policy()));
        self.trial = Some(Trial {
            query: exception,
            engine,
            matches_hidden: 0,
            touched: Touched::default(),
            alerts: HashSet::default(),
        });
        self
    }

    /// What to read of events that have columns of these shapes.
    pub fn reading(&self, shapes: &[ColumnShape]) -> Reading {
        let mut hash = Sha256::new();
        hash.update(&self.digest);
        for shape in shapes {
            hash.update(format!(
                "{:?} {:?} {}\n",
                shape.kind, shape.origin, shape.name
            ));
        }
        for list in self.rules.lists().lists() {
            hash.update(&list.digest);
        }
        let name = format!("backtest {}", hex(hash));
        let mut asking = Asking::new(&name, shapes, self.rules.lists());
        let mut parts = vec![self.rules.sigma.prefilter(&mut asking)];
        parts.extend(self.rules.detectors.iter().map(|detector| {
            let filter = detector.filter.as_ref().map(|query| query.node().clone());
            let about = detector
                .entity
                .iter()
                .map(|f| asking.present(&f.to_lowercase()));
            all(vec![filter.unwrap_or(Node::All), any(about.collect())])
        }));
        // Of fields beyond the limit of columns nothing is known.
        if shapes.iter().any(|s| &*s.name == field::OVERFLOW) {
            parts.push(Node::Exists(field::OVERFLOW.into()));
        }
        let node = any(parts);
        Reading {
            query: match node {
                Node::All => Query::all(),
                node => Query::of_node(&name, node),
            },
            fields: self.fields(shapes),
        }
    }

    /// Names of the columns that rules, detectors and alerts look at.
    fn fields(&self, shapes: &[ColumnShape]) -> Option<Vec<String>> {
        let mut read = self.rules.sigma.reads()?;
        read.extend(entity::fields().map(str::to_owned));
        let mut needs: Vec<Needs> = Vec::new();
        if !self.rules.detectors.is_empty() {
            read.extend(facts::fields().map(str::to_owned));
        }
        for detector in &self.rules.detectors {
            let fields = [&detector.entity, &detector.pair, &detector.group];
            read.extend(fields.into_iter().flatten().map(|f| f.to_lowercase()));
            needs.extend(detector.filter.as_ref().map(Query::needs));
        }
        needs.extend(self.trial.as_ref().map(|trial| trial.query.needs()));
        if needs.contains(&Needs::Everything) {
            return None;
        }
        let wants = |shape: &ColumnShape| {
            let lower = shape.name.to_lowercase();
            let mut dots = lower.match_indices('.');
            shape.origin == Origin::Meta && &*shape.name == field::OVERFLOW
                || read.contains(&lower)
                || dots.any(|(at, _)| lower.get(..=at).is_some_and(|above| read.contains(above)))
                || needs.iter().any(|n| n.wants(&shape.name))
        };
        let names = shapes.iter().filter(|s| wants(s));
        let own = [field::SEQ, field::TIMESTAMP, field::RECEIVED];
        let mut names: BTreeSet<String> = names.map(|s| s.name.to_string()).collect();
        names.extend(own.map(str::to_owned));
        Some(names.into_iter().collect())
    }

    /// Takes the next events, in the order of their sequence numbers.
    pub fn take(&mut self, batch: &EventBatch) {
        let hidden = self.trial.as_ref().map(|trial| trial.query.matches(batch));
        let (times, seqs) = (batch.time().values(), batch.seq().values());
        let (rules, only) = (&self.rules, &self.only);
        let tally = &mut self.tally;
        let mut matches_hidden = 0;
        let mut note = |rule: &str, row: usize| {
            tally.matched(rule);
            if !only.contains(rule) || rules.sigma.is_silent(rule) {
                return;
            }
            let time_ns = times.get(row).copied().unwrap_or_default();
            tally.on_day(time_ns, |day| day.0 += 1);
            tally.sample(seqs.get(row).copied().unwrap_or_default());
            let is_hidden = hidden.as_ref().is_some_and(|mask| mask.value(row));
            matches_hidden += u64::from(is_hidden);
        };
        let touched = &mut self.touched;
        self.engine.process_noting(batch, &mut note, touched);
        if let (Some(trial), Some(hidden)) = (&mut self.trial, hidden) {
            trial.matches_hidden += matches_hidden;
            let kept = batch.filter(&!&hidden);
            trial.engine.process_onto(&kept, &mut trial.touched);
        }
        let most = self.trial.as_ref().map_or(0, |trial| trial.touched.len());
        if self.touched.len().max(most) >= MAX_TOUCHED {
            self.count();
        }
    }

    /// Counts the alerts that were raised or changed since they were counted last.
    fn count(&mut self) {
        let (only, tally, most) = (&self.only, &mut self.tally, self.max_alerts);
        let touched = std::mem::take(&mut self.touched);
        self.engine.settle(touched, &mut |shown, change| {
            let rule = rule_of(shown.bare());
            if only.contains(rule) {
                tally.alert(&shown, rule, change, most);
            }
        });
        let Some(trial) = &mut self.trial else {
            return;
        };
        let (touched, alerts) = (std::mem::take(&mut trial.touched), &mut trial.alerts);
        trial.engine.settle(touched, &mut |shown, change| {
            let alert = shown.bare();
            let is_counted = change == Change::New && only.contains(rule_of(alert));
            if is_counted && alerts.len() < MAX_IDS {
                alerts.insert(alert.id.clone());
            }
        });
    }

    /// Matches so far, of rules that raise alerts.
    pub fn matches(&self) -> u64 {
        let raising = |id: &str| self.only.contains(id) && !self.rules.sigma.is_silent(id);
        let matches = self.tally.matches.iter();
        matches.filter(|(id, _)| raising(id)).map(|(_, n)| n).sum()
    }

    /// Alerts so far.
    pub fn alerts(&mut self) -> u64 {
        self.count();
        self.tally.alerts.values().sum()
    }

    /// Sequence numbers of some of the matching events, rising.
    pub fn samples(&self) -> Vec<u64> {
        let all = self.tally.first.iter().chain(&self.tally.last);
        let all: BTreeSet<u64> = all.copied().collect();
        all.into_iter().collect()
    }

    /// What was found.
    pub fn report(&mut self) -> BacktestReport {
        let alerts = self.alerts();
        let tally = &self.tally;
        let infos = self.rules.infos().into_iter();
        let told = infos.filter(|info| info.kind != RuleKind::Filter);
        let rules = told.map(|info| RuleCount {
            matches: tally.matches.get(&info.id).copied().unwrap_or_default(),
            alerts: tally.alerts.get(&info.id).copied().unwrap_or_default(),
            id: info.id,
            title: info.title,
            kind: info.kind,
            severity: info.severity,
        });
        let days = tally.days.iter().map(|(day, (matches, alerts))| DayCount {
            day: time::to_rfc3339(day.saturating_mul(DAY_NS))
                .chars()
                .take(10)
                .collect(),
            matches: *matches,
            alerts: *alerts,
        });
        let exception = self.trial.as_ref().map(|trial| {
            let before = &tally.ids;
            let kept = trial.alerts.intersection(before).count();
            ExceptionCount {
                query: trial.query.text().to_owned(),
                matches_hidden: trial.matches_hidden,
                alerts_hidden: (before.len() - kept) as u64,
                alerts_left: trial.alerts.len() as u64,
            }
        });
        BacktestReport {
            rules: rules.collect(),
            matches: self.matches(),
            alerts,
            days: days.collect(),
            entities: tally.entities(),
            sample_alerts: tally.sample_alerts.clone(),
            exception,
            late: self.engine.stats().late,
            truncated: tally.truncated,
        }
    }
}

/// The id of the rule that raised the alert.
fn rule_of(alert: &Alert) -> &str {
    match (alert.kind, &alert.rule) {
        (AlertKind::Rule, Some(rule)) => &rule.id,
        _ => &alert.detector,
    }
}

fn hex(hash: Sha256) -> String {
    let bytes = hash.finalize();
    bytes.iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// Risk is a matter of all rules together, and these are tried alone.
fn engine(rules: &Arc<RuleSet>) -> Engine {
    let config = EngineConfig {
        risk: false,
        ..EngineConfig::default()
    };
    Engine::new(Arc::clone(rules), config)
}
