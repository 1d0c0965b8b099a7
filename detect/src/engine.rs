//! The engine: rules and detectors over batches, state in one place.

mod deciding;
pub(crate) mod learning;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use watchfire_event::{EventBatch, Query};

use crate::activity::{Activity, day_of};
use crate::alert::{AlertBook, AlertChange, Change, Shown, Touched};
use crate::budget::{self, Budget};
use crate::cost::{Costs, SAMPLE, Watch};
use crate::detectors::{Detector, Observed};
use crate::entity::EntityReader;
use crate::facts::FactReader;
use crate::finding::Finding;
use crate::gate::{Gate, OpenGate};
use crate::policy::RulePolicy;
use crate::risk::Risks;
use crate::ruleset::RuleSet;
use crate::sigma::book::NameBook;
use crate::sigma::correlate::Windows;
use crate::sigma::event::BatchFields;
use crate::sigma::run::{SigmaRun, SigmaState};
use crate::state::{self, StateError};

/// Events after which the memory of detectors is added up again.
const WEIGH_EVERY: u64 = 100_000;

/// What an engine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineConfig {
    /// Evaluate Sigma rules and correlations.
    pub sigma: bool,
    /// Run the detectors.
    pub detectors: bool,
    /// Alerts a day that people are asked about; 0 for all.
    pub alerts_per_day: u32,
    /// Weigh alerts by the risk of those they are about. Without it, none is held back.
    pub risk: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            sigma: true,
            detectors: true,
            alerts_per_day: budget::PER_DAY,
            risk: true,
        }
    }
}

/// What an engine has done since it was made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EngineStats {
    /// Events seen.
    pub events: u64,
    /// Matches of Sigma rules and correlations.
    pub matches: u64,
    /// Alerts raised.
    pub alerts: u64,
    /// Matches that exceptions hid, and those of disabled rules.
    pub hidden: u64,
    /// Matches by rule id.
    pub matches_by_rule: BTreeMap<String, u64>,
    /// Matches that came too late for their correlation.
    pub late: u64,
    /// Windows of correlations.
    pub windows: Windows,
    /// Bytes that the detectors' state takes, about.
    pub detector_bytes: usize,
    /// Bytes that Sigma rules remember of values seen, about.
    pub sigma_bytes: usize,
    /// Sigma rules that can be true where none of their tests holds, and so are looked at in
    /// every event of their log sources; counted once for each log source seen.
    pub open_rules: usize,
    /// Seconds spent in Sigma rules and correlations; 0 without a clock.
    pub sigma_seconds: f64,
    /// Seconds spent in detectors; 0 without a clock.
    pub detector_seconds: f64,
}

/// Evaluates rules and detectors over a stream of batches.
pub struct Engine {
    rules: Arc<RuleSet>,
    config: EngineConfig,
    clock: Option<fn() -> f64>,
    sigma: SigmaRun,
    /// With the ids under which their states are kept, in the order of the rule set.
    detectors: Vec<(String, Box<dyn Detector>)>,
    facts: FactReader,
    gate: Gate,
    book: AlertBook,
    /// What rules in shadow would have raised.
    shadow: AlertBook,
    risks: Risks,
    budget: Budget,
    activity: Activity,
    /// Names of the columns seen.
    names: NameBook,
    stats: EngineStats,
    costs: Costs,
    batches: u64,
    /// Events at which the detectors' state is weighed next.
    weighed_at: u64,
}

/// A snapshot as it is read.
#[derive(Deserialize)]
struct Snapshot {
    sigma: SigmaState,
    detectors: HashMap<String, Value>,
    #[serde(default)]
    facts: FactReader,
    book: AlertBook,
    #[serde(default)]
    shadow: AlertBook,
    #[serde(default)]
    risks: Risks,
    #[serde(default)]
    budget: Budget,
    #[serde(default)]
    activity: Activity,
    /// What the events after this state are evaluated with until others are set.
    #[serde(default)]
    policy: RulePolicy,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("rules", &self.rules.len())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine that has learned nothing yet.
    pub fn new(rules: Arc<RuleSet>, config: EngineConfig) -> Self {
        Engine {
            sigma: SigmaRun::new(Arc::clone(&rules.sigma)),
            detectors: detectors(&rules),
            facts: FactReader::default(),
            rules,
            config,
            clock: None,
            gate: Gate::default(),
            book: AlertBook::default(),
            shadow: AlertBook::default(),
            risks: Risks::default(),
            budget: Budget::default(),
            activity: Activity::default(),
            names: NameBook::default(),
            stats: EngineStats::default(),
            costs: Costs::default(),
            batches: 0,
            weighed_at: 0,
        }
    }

    /// Measures the stages with `clock`, which gives seconds since any fixed point.
    pub fn with_clock(mut self, clock: fn() -> f64) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Evaluates the rows of `batch` in their order. Every alert that was raised or changed comes
    /// once, as it is after the batch.
    pub fn process(&mut self, batch: &EventBatch) -> Vec<AlertChange> {
        let mut touched = Touched::default();
        self.process_onto(batch, &mut touched);
        self.changes(touched)
    }

    /// As [`Engine::process`], but what became of alerts is noted in `touched`: for whom many
    /// batches are one, an alert that most of them change is copied once, in
    /// [`Engine::changes`].
    pub fn process_onto(&mut self, batch: &EventBatch, touched: &mut Touched) {
        self.process_noting(batch, &mut |_, _| {}, touched);
    }

    /// Every alert that was raised or changed since `touched` was empty, once, as it is now.
    pub fn changes(&mut self, touched: Touched) -> Vec<AlertChange> {
        let mut changes = Vec::new();
        self.settle(touched, &mut |shown, change| {
            let alert = shown.alert();
            changes.push(AlertChange { alert, change });
        });
        changes
    }

    /// Shows every alert that was raised or changed since `touched` was empty, once, as it is now.
    pub(crate) fn settle(&mut self, touched: Touched, show: &mut dyn FnMut(Shown<'_>, Change)) {
        let mut new = 0;
        self.book.settle(touched, &mut |shown, change| {
            new += u64::from(change == Change::New);
            show(shown, change);
        });
        self.stats.alerts += new;
    }

    /// As [`Engine::process_onto`], telling the id and the row of everything that rules,
    /// correlations and detectors find.
    pub(crate) fn process_noting(
        &mut self,
        batch: &EventBatch,
        note: &mut dyn FnMut(&str, usize),
        touched: &mut Touched,
    ) {
        let mut book = std::mem::take(&mut self.names);
        let names = book.learn(batch);
        let day = day_of(batch);
        if let Some(day) = day {
            let note = |name: &str| self.activity.note_field(name, day);
            book.note(batch, &names, day, note);
        }
        let fields = BatchFields::with_book(batch, &book, names).with_lists(self.rules.lists());
        self.findings_of(&fields, day, note, touched);
        drop(fields);
        self.names = book;
    }

    fn findings_of(
        &mut self,
        fields: &BatchFields<'_>,
        day: Option<i64>,
        note: &mut dyn FnMut(&str, usize),
        touched: &mut Touched,
    ) {
        let batch = fields.batch();
        let clock = Watch(self.clock);
        let start = clock.now();
        let mut findings = self.sigma_findings(fields, note);
        if let Some(day) = day {
            let note = &mut |name: &str| self.activity.note_log_source(name, day);
            self.sigma.log_sources(day, note);
        }
        let middle = clock.now();
        self.detector_findings(fields, &mut findings, note);
        let end = clock.now();
        // Stable: of a row, rules come before correlations and these before detectors.
        findings.sort_by_key(|finding| finding.row);
        self.alerts(batch, findings, touched);
        self.stats.events += batch.rows() as u64;
        self.stats.sigma_seconds += middle - start;
        self.stats.detector_seconds += end - middle;
        self.costs.add_batch(batch.rows() as u64, end - start);
        self.stats.late = self.sigma.late();
        self.stats.windows = self.sigma.windows();
        self.stats.sigma_bytes = self.sigma.remembered();
        self.stats.open_rules = self.sigma.open_rules();
        // Adding up what every entity takes is work, too.
        if self.stats.events >= self.weighed_at {
            self.weigh();
            self.weighed_at = self.stats.events + WEIGH_EVERY;
        }
    }

    fn sigma_findings(
        &mut self,
        fields: &BatchFields<'_>,
        note: &mut dyn FnMut(&str, usize),
    ) -> Vec<Finding> {
        if !self.config.sigma {
            return Vec::new();
        }
        let stats = &mut self.stats;
        let measured = self.batches.is_multiple_of(SAMPLE);
        self.batches += 1;
        let watch = Watch(self.clock.filter(|_| measured));
        let mut gate = self.gate.open(fields.batch(), &mut self.activity);
        let costs = (watch, &mut self.costs);
        self.sigma.process(fields, costs, &mut |id, row| {
            note(id, row);
            stats.matches += 1;
            match stats.matches_by_rule.get_mut(id) {
                Some(count) => *count += 1,
                None => {
                    stats.matches_by_rule.insert(id.to_owned(), 1);
                }
            }
            let admitted = gate.admits(id, row);
            stats.hidden += u64::from(!admitted);
            admitted
        })
    }

    fn detector_findings(
        &mut self,
        fields: &BatchFields<'_>,
        findings: &mut Vec<Finding>,
        note: &mut dyn FnMut(&str, usize),
    ) {
        if !self.config.detectors || self.detectors.is_empty() {
            return;
        }
        let entities = EntityReader::new(fields);
        let facts = self.facts.read(fields);
        let observed = Observed {
            fields,
            entities: &entities,
            facts: &facts,
            names: self.facts.names(),
        };
        let clock = Watch(self.clock);
        let mut gate: OpenGate<'_> = self.gate.open(fields.batch(), &mut self.activity);
        for (id, detector) in &mut self.detectors {
            // A detector goes on learning whatever is set: its baseline has no gap afterwards.
            let mut found = Vec::new();
            let start = clock.now();
            detector.observe(&observed, &mut found);
            if clock.is_on() {
                let rows = fields.batch().rows() as u64;
                self.costs.add(id, rows, clock.now() - start);
            }
            let before = found.len();
            found.retain(|finding| gate.admits(id, finding.row));
            self.stats.hidden += (before - found.len()) as u64;
            found.iter().for_each(|finding| note(id, finding.row));
            findings.append(&mut found);
        }
    }

    /// Takes other settings and exceptions from the next batch on. Alerts that are there stay.
    pub fn set_policy(&mut self, policy: Arc<RulePolicy>) {
        let is_there = |id: &str| policy.exceptions.iter().any(|e| e.id == id);
        self.activity.keep_exceptions(is_there);
        self.gate = Gate::new(policy, self.rules.lists());
    }

    /// The settings and exceptions that are in force; after [`Engine::restore`], those of the
    /// saved state.
    pub fn policy(&self) -> &Arc<RulePolicy> {
        self.gate.policy()
    }

    /// What rules did, part of the saved state.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// What rules cost since this engine was made; nothing without a clock.
    pub fn costs(&self) -> &Costs {
        &self.costs
    }

    /// Takes other rules from the next batch on. What was learned is kept for every correlation
    /// and detector whose id is still there.
    pub fn replace_rules(&mut self, rules: Arc<RuleSet>) {
        let (sigma, mut states) = (self.sigma.save(), self.detector_states());
        self.sigma = SigmaRun::new(Arc::clone(&rules.sigma));
        self.sigma.restore(sigma);
        self.detectors = detectors(&rules);
        for (id, detector) in &mut self.detectors {
            if let Some(state) = states.remove(id) {
                // Of another kind under the same id: what was learned is of no use to it.
                let _ = detector.restore(state);
            }
        }
        // Exceptions may name lists, which come with the rules.
        self.gate = Gate::new(Arc::clone(self.gate.policy()), rules.lists());
        self.rules = rules;
    }

    /// Writes everything learned. Each part is asked for its state when its turn comes, so that
    /// all of it is never in memory twice.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn save(&self, mut out: impl Write) -> io::Result<()> {
        let out: &mut dyn Write = &mut out;
        state::begin(out)?;
        out.write_all(b"{\"sigma\":")?;
        serde_json::to_writer(&mut *out, &self.sigma.saving())?;
        out.write_all(b",\"detectors\":{")?;
        for (i, (id, detector)) in self.detectors.iter().enumerate() {
            if i > 0 {
                out.write_all(b",")?;
            }
            serde_json::to_writer(&mut *out, id)?;
            out.write_all(b":")?;
            detector.save(out)?;
        }
        out.write_all(b"},\"facts\":")?;
        serde_json::to_writer(&mut *out, &self.facts)?;
        out.write_all(b",\"book\":")?;
        serde_json::to_writer(&mut *out, &self.book)?;
        out.write_all(b",\"shadow\":")?;
        serde_json::to_writer(&mut *out, &self.shadow)?;
        out.write_all(b",\"risks\":")?;
        serde_json::to_writer(&mut *out, &self.risks)?;
        out.write_all(b",\"budget\":")?;
        serde_json::to_writer(&mut *out, &self.budget)?;
        out.write_all(b",\"activity\":")?;
        serde_json::to_writer(&mut *out, &self.activity)?;
        out.write_all(b",\"policy\":")?;
        serde_json::to_writer(&mut *out, self.gate.policy().as_ref())?;
        out.write_all(b"}")?;
        state::end(out)
    }

    /// Goes on from what [`Engine::save`] wrote.
    ///
    /// # Errors
    /// [`StateError`]; the engine is then unchanged.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut snapshot: Snapshot = state::decode(bytes)?;
        let mut detectors = detectors(&self.rules);
        for (id, detector) in &mut detectors {
            if let Some(state) = snapshot.detectors.remove(id) {
                detector.restore(state)?;
            }
        }
        self.detectors = detectors;
        self.facts = snapshot.facts;
        self.sigma = SigmaRun::new(Arc::clone(&self.rules.sigma));
        self.sigma.restore(snapshot.sigma);
        self.book = snapshot.book;
        self.shadow = snapshot.shadow;
        self.risks = snapshot.risks;
        self.budget = snapshot.budget;
        self.activity = snapshot.activity;
        self.names.note_anew();
        self.gate = Gate::new(Arc::new(snapshot.policy), self.rules.lists());
        Ok(())
    }

    /// Forgets alerts, correlation windows and words of detectors that name what `query` asks
    /// for. What detectors keep besides is hashes and counts, from which no value can be read.
    pub fn forget(&mut self, query: &Query) {
        self.book.forget_mentions(query);
        self.shadow.forget_mentions(query);
        self.facts.forget(query);
        self.detectors
            .iter_mut()
            .for_each(|(_, detector)| detector.forget(query));
        let mut learned = self.sigma.save();
        learned.forget(query);
        self.sigma = SigmaRun::new(Arc::clone(&self.rules.sigma));
        self.sigma.restore(learned);
    }

    fn detector_states(&self) -> HashMap<String, Value> {
        let state = |detector: &dyn Detector| {
            let mut bytes = Vec::new();
            detector.save(&mut bytes).ok()?;
            serde_json::from_slice(&bytes).ok()
        };
        let named = self.detectors.iter();
        named
            .filter_map(|(id, detector)| Some((id.clone(), state(detector.as_ref())?)))
            .collect()
    }

    /// What was done so far.
    pub fn stats(&self) -> &EngineStats {
        &self.stats
    }
}

fn detectors(rules: &RuleSet) -> Vec<(String, Box<dyn Detector>)> {
    let make = |config: &Arc<_>| -> (String, Box<dyn Detector>) {
        let config: &Arc<crate::detectors::config::DetectorConfig> = config;
        (config.id.clone(), (config.make)(Arc::clone(config)))
    };
    rules.detectors.iter().map(make).collect()
}
