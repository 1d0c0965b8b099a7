//! The thread that reads the log from its own position and evaluates every event.
//!
//! Alerts are stored together with the position they were found at, and every few seconds with
//! a snapshot of the engine's state. After a crash the engine starts from the snapshot and reads
//! the log again from there: it finds the same alerts with the same ids, so none is missed and
//! none is stored twice.

mod questions;

use std::collections::HashMap;
use std::io::{self, BufWriter};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use watchfire_detect::{Activity, AlertChange, Costs, Engine, EngineConfig, RuleSet};
use watchfire_event::{Alert, EventBatch};
use watchfire_store::Store;
use watchfire_store::meta::{DetectionCommit, DetectionState, PackedState, StateWriter};
use watchfire_web::RuleCatalog;

use questions::Question;
pub use questions::Questions;

/// Rows read at a time.
const ROWS: usize = 8_192;
/// A snapshot is taken when this much time has passed since the last and something happened.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(60);
/// A snapshot is taken when this many events have passed since the last.
const SNAPSHOT_EVENTS: u64 = 250_000;
/// With more to read, snapshots may take one part in so many of the time.
const SNAPSHOT_SHARE: u32 = 20;
/// With nothing left to read, a snapshot is taken after this many events: the log can go.
const SNAPSHOT_EVENTS_IDLE: u64 = 20_000;
/// What rules did is shown this often while events come without a pause.
const SHOW_EVERY: Duration = Duration::from_secs(1);
/// Pause before a failed read or commit is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The engine's state and the sequence number it was taken after.
type Snapshot = Option<(u64, PackedState)>;

/// What is told about detection.
#[derive(Debug, Default)]
pub struct Progress {
    /// Sequence number up to which every event is evaluated and its alerts are stored.
    pub position: AtomicU64,
    /// Alerts raised since the start.
    pub alerts: AtomicU64,
    /// Batches given up because evaluating them panicked.
    pub panics: AtomicU64,
    /// What rules did, as of the last second or so.
    pub activity: ArcSwap<Activity>,
    /// What they cost since the start, as of then.
    pub costs: ArcSwap<Costs>,
    /// The change of settings of rules that detection goes by, counted from 1.
    pub settings: AtomicU64,
}

/// The running thread.
pub struct Detection {
    thread: JoinHandle<()>,
    progress: Arc<Progress>,
    questions: Questions,
}

impl Detection {
    /// Starts the thread. `stop` turning true ends it after a last snapshot.
    ///
    /// # Errors
    /// When the stored state cannot be read or the system gives no thread.
    pub async fn start(
        store: Store,
        rules: Arc<ArcSwap<RuleCatalog>>,
        config: EngineConfig,
        stop: watch::Receiver<bool>,
    ) -> Result<Detection> {
        let progress = Arc::new(Progress::default());
        let (questions, asked) = Questions::new();
        let worker = Worker::new(store, rules, config, (progress.clone(), asked)).await?;
        let thread = std::thread::Builder::new()
            .name("detect".into())
            .spawn(move || worker.run(stop))
            .context("cannot start the detection thread")?;
        Ok(Detection {
            thread,
            progress,
            questions,
        })
    }

    /// What is told about detection, kept up to date by the thread.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Where the thread can be asked.
    pub fn questions(&self) -> Questions {
        self.questions.clone()
    }

    /// Waits until the thread has ended.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the detection thread panicked");
        }
    }
}

struct Worker {
    store: Store,
    rules: Arc<ArcSwap<RuleCatalog>>,
    generation: u64,
    engine: Engine,
    config: EngineConfig,
    /// The state of before the last stop, until the engine has it.
    saved: Option<DetectionState>,
    /// Tells when people change settings or exceptions of rules.
    settings: watch::Receiver<u64>,
    /// Must the settings be read?
    settings_due: bool,
    /// Before the last stop, events were evaluated up to here.
    replayed_to: u64,
    shown_at: Instant,
    /// Evaluated up to here.
    position: u64,
    /// The last snapshot stands here.
    snapshot: u64,
    snapshot_at: Instant,
    /// How long taking it took.
    snapshot_took: Duration,
    progress: Arc<Progress>,
    asked: mpsc::Receiver<Question>,
    runtime: Handle,
}

impl Worker {
    async fn new(
        store: Store,
        rules: Arc<ArcSwap<RuleCatalog>>,
        config: EngineConfig,
        (progress, asked): (Arc<Progress>, mpsc::Receiver<Question>),
    ) -> Result<Worker> {
        let catalog = rules.load_full();
        let saved = store
            .meta()
            .load_detection()
            .await
            .context("cannot read detection state")?;
        let engine = new_engine(catalog.set.clone(), config);
        let position = saved.as_ref().map_or(0, |state| state.snapshot_seq);
        let replayed_to = saved.as_ref().map_or(0, |state| state.position);
        progress.position.store(position, Ordering::Release);
        Ok(Worker {
            settings: store.meta().watch_rules(),
            settings_due: true,
            replayed_to,
            shown_at: Instant::now(),
            store,
            rules,
            generation: catalog.generation,
            engine,
            config,
            saved,
            position,
            snapshot: position,
            snapshot_at: Instant::now(),
            snapshot_took: Duration::ZERO,
            progress,
            asked,
            runtime: Handle::current(),
        })
    }

    /// Gives the engine the state of before the last stop. That may take a second, in which events
    /// are taken and searched already.
    fn restore(&mut self) {
        if let Some(saved) = self.saved.take()
            && let Err(error) = self.engine.restore(&saved.snapshot)
        {
            // Starting from nothing at the old position loses baselines, not alerts.
            tracing::error!(%error, "detection state cannot be restored; learning anew");
            let set = self.rules.load().set.clone();
            self.engine = new_engine(set, self.config);
            (self.position, self.snapshot) = (saved.position, saved.position);
            self.progress
                .position
                .store(saved.position, Ordering::Release);
        }
        self.store.set_detect_position(self.position);
        self.show_activity();
    }

    fn run(mut self, mut stop: watch::Receiver<bool>) {
        self.restore();
        let mut head = self.store.watch_head();
        while !*stop.borrow() {
            self.take_new_rules();
            self.take_new_settings();
            self.forget_what_is_erased();
            while let Ok(question) = self.asked.try_recv() {
                question.answer(&self.engine);
            }
            match self.store.read_after(self.position, ROWS) {
                Ok(batches) if batches.is_empty() => {
                    self.snapshot_if_due(SNAPSHOT_EVENTS_IDLE);
                    self.show_activity();
                    self.runtime.clone().block_on(async {
                        tokio::select! {
                            _ = head.changed() => {}
                            _ = self.settings.changed() => self.settings_due = true,
                            _ = stop.changed() => {}
                            Some(question) = self.asked.recv() => question.answer(&self.engine),
                            () = tokio::time::sleep(SNAPSHOT_EVERY) => {}
                        }
                    });
                }
                Ok(batches) => {
                    batches.iter().for_each(|batch| self.evaluate_parts(batch));
                    if self.snapshot_at.elapsed() >= self.snapshot_took * SNAPSHOT_SHARE {
                        self.snapshot_if_due(SNAPSHOT_EVENTS);
                    }
                    if self.shown_at.elapsed() >= SHOW_EVERY {
                        self.show_activity();
                    }
                }
                Err(error) => {
                    tracing::error!(%error, position = self.position, "detection cannot read");
                    std::thread::sleep(RETRY);
                }
            }
        }
        if self.position > self.snapshot {
            self.snapshot();
        }
    }

    fn take_new_rules(&mut self) {
        let catalog = self.rules.load();
        if catalog.generation != self.generation {
            self.generation = catalog.generation;
            self.engine.replace_rules(catalog.set.clone());
        }
    }

    /// Takes settings and exceptions that people have changed. They hold from here on, and the
    /// saved state says so: after a crash, events that were evaluated before the change are
    /// evaluated as they were, and give the same alerts.
    fn take_new_settings(&mut self) {
        // Counted from 1: before the first, nothing has been read.
        let version = *self.settings.borrow_and_update() + 1;
        self.settings_due |= version != self.progress.settings.load(Ordering::Acquire);
        if !self.settings_due || self.position < self.replayed_to {
            return;
        }
        let meta = self.store.meta().clone();
        let policy = match self.runtime.block_on(watchfire_web::policy(&meta)) {
            Ok(policy) => policy,
            Err(error) => {
                tracing::error!(%error, "settings of rules cannot be read; trying again");
                std::thread::sleep(RETRY);
                return;
            }
        };
        let before = Arc::clone(self.engine.policy());
        if policy != *before {
            self.engine.set_policy(Arc::new(policy));
            if !self.snapshot() {
                self.engine.set_policy(before);
                std::thread::sleep(RETRY);
                return;
            }
            tracing::info!(position = self.position, "settings of rules taken over");
        }
        self.settings_due = false;
        self.progress.settings.store(version, Ordering::Release);
        self.show_activity();
    }

    /// Lets others see what rules did.
    fn show_activity(&mut self) {
        let activity = Arc::new(self.engine.activity().clone());
        self.progress.activity.store(activity);
        self.progress
            .costs
            .store(Arc::new(self.engine.costs().clone()));
        self.shown_at = Instant::now();
    }

    /// Evaluates a batch; new settings are taken where the events end that were evaluated before
    /// the last stop.
    fn evaluate_parts(&mut self, batch: &EventBatch) {
        let seqs = batch.seq().values();
        let known = seqs.partition_point(|seq| *seq <= self.replayed_to);
        if known == 0 || known == seqs.len() {
            return self.evaluate(batch);
        }
        self.evaluate(&batch.slice(0, known));
        self.take_new_settings();
        self.evaluate(&batch.slice(known, seqs.len() - known));
    }

    /// Forgets what erasures ask for, and saves the state without it.
    fn forget_what_is_erased(&mut self) {
        let asked = self.store.to_forget();
        if asked.is_empty() {
            return;
        }
        for (_, query) in &asked {
            self.engine.forget(query);
        }
        if self.snapshot() {
            asked
                .iter()
                .for_each(|(id, _)| self.store.has_forgotten(id));
        }
    }

    /// Evaluates a batch and stores what was found. Does not return before it is stored.
    fn evaluate(&mut self, batch: &EventBatch) {
        let Some(last) = batch.last_seq() else { return };
        let (started, hidden) = (Instant::now(), self.engine.stats().hidden);
        let changes = match catch_unwind(AssertUnwindSafe(|| self.engine.process(batch))) {
            Ok(changes) => changes,
            Err(_) => {
                self.give_up(batch);
                Vec::new()
            }
        };
        metrics::histogram!("watchfire_detect_batch_seconds").record(started.elapsed());
        let hidden = self.engine.stats().hidden.saturating_sub(hidden);
        metrics::counter!("watchfire_rule_matches_hidden_total").increment(hidden);
        let alerts = latest(changes, &self.progress);
        while !alerts.is_empty() && !self.commit(&alerts, last, None) {
            std::thread::sleep(RETRY);
        }
        self.position = last;
        self.progress.position.store(last, Ordering::Release);
        let windows = self.engine.stats().windows;
        metrics::gauge!("watchfire_detect_windows").set(windows.open as f64);
        metrics::counter!("watchfire_detect_windows_turned_away_total")
            .absolute(windows.turned_away);
        metrics::gauge!("watchfire_detect_position").set(last as f64);
        metrics::gauge!("watchfire_detect_lag_events")
            .set(self.store.head().saturating_sub(last) as f64);
        let remembered = self.engine.stats().sigma_bytes;
        metrics::gauge!("watchfire_detect_sigma_bytes").set(remembered as f64);
    }

    /// A batch that makes the engine panic is passed over, loudly; the engine goes on from its
    /// last snapshot, for a half-done step may have left it inconsistent.
    fn give_up(&mut self, batch: &EventBatch) {
        tracing::error!(
            first = batch.first_seq(),
            last = batch.last_seq(),
            "evaluating a batch panicked; it is passed over"
        );
        self.progress.panics.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("watchfire_detect_panics_total").increment(1);
        let set = self.rules.load().set.clone();
        let mut engine = new_engine(set.clone(), self.config);
        let meta = self.store.meta().clone();
        if let Ok(Some(state)) = self.runtime.block_on(meta.load_detection())
            && let Err(error) = engine.restore(&state.snapshot)
        {
            tracing::error!(%error, "detection state cannot be restored; learning anew");
            engine = new_engine(set, self.config);
        }
        self.engine = engine;
        self.settings_due = true;
    }

    fn snapshot_if_due(&mut self, events: u64) {
        let behind = self.position - self.snapshot;
        let due = behind >= events || self.snapshot_at.elapsed() >= SNAPSHOT_EVERY;
        if behind == 0 || !due {
            return;
        }
        self.snapshot();
    }

    /// Saves the engine's state. False when it cannot be stored.
    fn snapshot(&mut self) -> bool {
        let started = Instant::now();
        let stored = match self.packed_state() {
            Ok(state) => self.commit(&[], self.position, Some((self.position, state))),
            Err(error) => {
                tracing::error!(%error, "the state of detection cannot be packed");
                false
            }
        };
        if stored {
            self.snapshot = self.position;
            self.store.set_detect_position(self.position);
        }
        self.snapshot_at = Instant::now();
        self.snapshot_took = started.elapsed();
        stored
    }

    fn packed_state(&self) -> io::Result<PackedState> {
        let mut writer = BufWriter::new(StateWriter::new()?);
        self.engine.save(&mut writer)?;
        let state = writer.into_inner()?.finish()?;
        metrics::gauge!("watchfire_detect_state_bytes").set(state.bytes() as f64);
        Ok(state)
    }

    fn commit(&self, alerts: &[Alert], position: u64, snapshot: Snapshot) -> bool {
        let commit = DetectionCommit {
            alerts,
            position,
            snapshot,
        };
        match self
            .runtime
            .block_on(self.store.meta().commit_detection(&commit))
        {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "alerts cannot be stored; trying again");
                false
            }
        }
    }
}

/// An engine that measures what rules cost.
fn new_engine(rules: Arc<RuleSet>, config: EngineConfig) -> Engine {
    Engine::new(rules, config).with_clock(crate::telemetry::clock)
}

/// The last state of each alert that changed, in order of first change.
fn latest(changes: Vec<AlertChange>, progress: &Progress) -> Vec<Alert> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut alerts: Vec<Alert> = Vec::new();
    for AlertChange { alert, change } in changes {
        if change == watchfire_detect::Change::New {
            progress.alerts.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("watchfire_alerts_total", "severity" => alert.severity.as_str())
                .increment(1);
        }
        match places.get(&alert.id).and_then(|i| alerts.get_mut(*i)) {
            Some(known) => *known = alert,
            None => {
                places.insert(alert.id.clone(), alerts.len());
                alerts.push(alert);
            }
        }
    }
    alerts
}
