//! The delivery worker: wakes when something is due and gives every channel its turn.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use watchfire_store::meta::{Attempt, DueDelivery, Meta, MetaError, Outcome};

use super::schedule;
use super::sender::{Answer, Lookup, Sender, system_lookup};
use super::target::TargetPolicy;

const SECOND: i64 = 1_000_000_000;

/// Channels served at the same time; the others wait for a turn.
const MAX_TASKS: usize = 16;

/// Messages a channel sends in one turn, so that others get theirs.
const TURN: usize = 64;

/// Messages read at a time: they hold whole alerts.
const BATCH: usize = 16;

/// A channel that fails rests for a second, then two, ... at most a minute. A dead receiver
/// with a long backlog then costs one attempt a minute, and one poisonous message does not hold
/// up the others behind it.
const MAX_REST_NS: i64 = 60 * SECOND;

/// Most that a receiver's `Retry-After` makes the whole channel rest (1 h).
const MAX_ASKED_REST_NS: i64 = 3_600 * SECOND;

/// Messages a channel gets in a minute; in a storm the least severe beyond it become one digest.
const MAX_PER_MINUTE: usize = 60;

/// The worker looks at the outbox at least so often, wake-up or not.
const MAX_SLEEP: Duration = Duration::from_secs(30);

/// Old deliveries are removed so often, nanoseconds (10 min).
const PRUNE_EVERY_NS: i64 = 600 * SECOND;

/// On shutdown, requests under way get so long to end. What is cut off is sent again later.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// Delivers what the outbox holds until `shutdown` ends. Errors of the database are logged and
/// overcome by waiting.
pub async fn run(meta: Meta, policy: Arc<TargetPolicy>, shutdown: impl Future<Output = ()>) {
    let mut worker = match Worker::new(meta, policy, system_lookup()) {
        Ok(worker) => worker,
        Err(error) => {
            tracing::error!(%error, "no http client can be made, alerts stay in the outbox");
            return;
        }
    };
    tokio::pin!(shutdown);
    loop {
        let sleep = worker.turn().await;
        tokio::select! {
            () = &mut shutdown => break,
            () = worker.wake.notified() => {}
            Some(done) = worker.tasks.join_next() => worker.settle(done),
            () = tokio::time::sleep(sleep) => {}
        }
    }
    let _ = tokio::time::timeout(SHUTDOWN_GRACE, async {
        while worker.tasks.join_next().await.is_some() {}
    })
    .await;
}

/// The worker's state. Its clock is the metadata store's.
pub struct Worker {
    meta: Meta,
    sender: Sender,
    wake: Arc<tokio::sync::Notify>,
    tasks: JoinSet<(String, Pace)>,
    /// How each channel is doing; bounded by the number of channels. Those being served are
    /// marked busy.
    paces: HashMap<String, Pace>,
    pruned_ns: i64,
}

/// How a channel is doing.
#[derive(Debug, Clone, Default)]
struct Pace {
    busy: bool,
    /// Failures in a row.
    failures: u32,
    /// Rests until then.
    rest_until_ns: i64,
    /// The present minute and what was sent in it.
    minute_ns: i64,
    sent: usize,
}

impl Worker {
    /// A worker with a resolver of the caller's.
    ///
    /// # Errors
    /// When no HTTP client can be made on this machine.
    pub fn new(
        meta: Meta,
        policy: Arc<TargetPolicy>,
        lookup: Lookup,
    ) -> Result<Worker, reqwest::Error> {
        Ok(Worker {
            sender: Sender::new(policy, lookup)?,
            wake: meta.outbox_wake(),
            tasks: JoinSet::new(),
            paces: HashMap::new(),
            pruned_ns: meta.now_ns(),
            meta,
        })
    }

    /// Sends until nothing more is due at the clock's present time. For tests, which move the
    /// clock by hand.
    pub async fn send_due(&mut self) {
        loop {
            self.turn().await;
            match self.tasks.join_next().await {
                Some(done) => self.settle(done),
                None => return,
            }
        }
    }

    /// Starts a task for every channel that may send. Returns how long to sleep unless
    /// something happens.
    async fn turn(&mut self) -> Duration {
        match self.start_tasks().await {
            Ok(sleep) => sleep,
            Err(error) => {
                tracing::error!(%error, "the outbox cannot be read");
                Duration::from_secs(1)
            }
        }
    }

    async fn start_tasks(&mut self) -> Result<Duration, MetaError> {
        let now = self.meta.now_ns();
        if now - self.pruned_ns >= PRUNE_EVERY_NS {
            self.pruned_ns = now;
            self.meta.prune_deliveries().await?;
            let known = self.meta.list_channels().await?;
            self.paces
                .retain(|id, pace| pace.busy || known.iter().any(|c| c.id == *id));
        }
        let mut wake_ns = self.meta.next_due_ns(now).await?;
        for id in self.meta.due_channels(now).await? {
            let pace = self.paces.entry(id.clone()).or_default();
            if pace.busy {
                continue;
            }
            // Beyond the longest rest, the clock was set back.
            if (1..=MAX_ASKED_REST_NS).contains(&pace.rest_until_ns.saturating_sub(now)) {
                let rest = pace.rest_until_ns;
                wake_ns = Some(wake_ns.map_or(rest, |wake| wake.min(rest)));
                continue;
            }
            // Beyond the limit a channel waits; a task that ends starts the next turn.
            if self.tasks.len() < MAX_TASKS {
                pace.busy = true;
                let turn = Turn {
                    meta: self.meta.clone(),
                    sender: self.sender.clone(),
                    channel_id: id,
                    pace: pace.clone(),
                };
                self.tasks.spawn(turn.run());
            }
        }
        let sleep = wake_ns.map_or(i64::MAX, |wake| wake.saturating_sub(now).max(0));
        Ok(MAX_SLEEP.min(Duration::from_nanos(sleep.unsigned_abs())))
    }

    fn settle(&mut self, done: Result<(String, Pace), tokio::task::JoinError>) {
        match done {
            Ok((id, pace)) => {
                self.paces.insert(
                    id,
                    Pace {
                        busy: false,
                        ..pace
                    },
                );
            }
            Err(error) => {
                tracing::error!(%error, "a delivery task broke off");
                // Which one is not known: all that are not running may go again.
                if self.tasks.is_empty() {
                    self.paces.values_mut().for_each(|pace| pace.busy = false);
                }
            }
        }
    }
}

/// One channel's turn.
struct Turn {
    meta: Meta,
    sender: Sender,
    channel_id: String,
    pace: Pace,
}

impl Turn {
    async fn run(mut self) -> (String, Pace) {
        if let Err(error) = self.send_some().await {
            tracing::error!(%error, channel = %self.channel_id, "a delivery cannot be recorded");
            self.rest(SECOND);
        }
        (self.channel_id, self.pace)
    }

    /// Sends until nothing is due, something fails, or the turn is over.
    async fn send_some(&mut self) -> Result<(), MetaError> {
        let mut sent = 0;
        while sent < TURN {
            let now = self.meta.now_ns();
            let room = self.room(now);
            if room == 0 {
                self.pace.rest_until_ns = self.pace.minute_ns + 60 * SECOND;
                return Ok(());
            }
            self.meta
                .fold_deliveries(&self.channel_id, now, room)
                .await?;
            let due = self
                .meta
                .due_deliveries(&self.channel_id, now, BATCH.min(room))
                .await?;
            if due.is_empty() {
                return Ok(());
            }
            for message in &due {
                sent += 1;
                self.pace.sent += 1;
                if !self.send(message).await? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// How many messages may still go out in this minute.
    fn room(&mut self, now_ns: i64) -> usize {
        // A clock that was set back begins a new minute as well.
        if !(0..60 * SECOND).contains(&now_ns.saturating_sub(self.pace.minute_ns)) {
            self.pace.minute_ns = now_ns;
            self.pace.sent = 0;
        }
        MAX_PER_MINUTE.saturating_sub(self.pace.sent)
    }

    /// One attempt and its record. True when the receiver took the message.
    async fn send(&mut self, due: &DueDelivery) -> Result<bool, MetaError> {
        let at_ns = self.meta.now_ns();
        let answer = self.sender.send(due, at_ns).await;
        // The schedule counts from the end of the attempt: a receiver that lets us wait for the
        // timeout is not asked again at once.
        let now_ns = self.meta.now_ns();
        let asked = asked_ns(&answer, now_ns);
        let attempt = Attempt {
            at_ns,
            took_ms: u64::try_from(answer.took.as_millis()).unwrap_or(u64::MAX),
            status: answer.status,
            error: fault(&answer),
            outcome: outcome(due, &answer, now_ns, asked),
        };
        note(&attempt, answer.took);
        if attempt.outcome == Outcome::Gone {
            let channel = &due.channel.name;
            tracing::warn!(%channel, "a channel is switched off: its receiver answered 410");
        }
        match self.meta.record_attempt(&due.delivery.id, &attempt).await {
            // The channel was deleted while we sent.
            Err(MetaError::NotFound(_)) => return Ok(false),
            other => other?,
        }
        if attempt.outcome == Outcome::Delivered {
            self.pace.failures = 0;
            return Ok(true);
        }
        self.pace.failures = self.pace.failures.saturating_add(1);
        let own = i64::from(self.pace.failures)
            .saturating_mul(SECOND)
            .min(MAX_REST_NS);
        self.rest(own.max(asked.unwrap_or(0).min(MAX_ASKED_REST_NS)));
        Ok(false)
    }

    fn rest(&mut self, ns: i64) {
        self.pace.rest_until_ns = self.meta.now_ns().saturating_add(ns);
    }
}

/// How long the receiver asks us to wait, which 429 and 503 may.
fn asked_ns(answer: &Answer, now_ns: i64) -> Option<i64> {
    matches!(answer.status, Some(429 | 503))
        .then_some(answer.retry_after.as_deref())
        .flatten()
        .and_then(|value| schedule::retry_after_ns(value, now_ns))
}

fn outcome(due: &DueDelivery, answer: &Answer, now_ns: i64, asked: Option<i64>) -> Outcome {
    match answer.status {
        Some(200..=299) => Outcome::Delivered,
        Some(410) => Outcome::Gone,
        _ => {
            let tries = due.delivery.tries.saturating_add(1);
            match schedule::next_ns(&due.delivery.id, tries, due.clock_ns, now_ns, asked) {
                Some(due_ns) => Outcome::Retry { due_ns },
                None => Outcome::Parked,
            }
        }
    }
}

/// What the delivery log says went wrong.
fn fault(answer: &Answer) -> Option<String> {
    match answer.status {
        Some(200..=299) => None,
        Some(status @ 300..=399) => Some(format!("answered {status}; redirects are not followed")),
        Some(status) => Some(format!("answered {status}")),
        None => answer.error.clone(),
    }
}

fn note(attempt: &Attempt, took: Duration) {
    let outcome = match attempt.outcome {
        Outcome::Delivered => "delivered",
        Outcome::Retry { .. } => "retry",
        Outcome::Parked => "parked",
        Outcome::Gone => "gone",
    };
    metrics::counter!("watchfire_notifications_total", "outcome" => outcome).increment(1);
    metrics::histogram!("watchfire_notification_seconds").record(took.as_secs_f64());
}
