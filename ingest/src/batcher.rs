//! The two threads behind the doors: one turns requests into batches, one makes them durable.
//!
//! Parsing the next batch overlaps with the sync of the last one. A request is answered only
//! after the commit of the batch that holds it, and of those that hold what it repeats.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use watchfire_event::{BatchBuilder, DeadLetter, EventLog, Record};

use crate::batch::{Closed, OpenBatch, Outcome, Reply, Request, Waiting, dead_letter};
use crate::config::IngestConfig;
use crate::error::Refusal;
use crate::keys::{Keys, first_half};
use crate::normalize::Mappings;
use crate::queue::{Fill, Queue, Step};

/// How many failed batches are remembered: more than can be built before the builder sees it.
const FAILURES_KEPT: usize = 8;

/// A request in line.
struct Job {
    request: Request,
    reply: oneshot::Sender<Reply>,
    claim: Arc<Claim>,
}

/// Settles who has a request: the batcher that takes it, or its door that gives up waiting.
#[derive(Default)]
struct Claim(AtomicBool);

impl Claim {
    /// True for the first who asks.
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// Turns requests into durable batches. Dropping it ends its threads after the work in line.
pub(crate) struct Batcher {
    queue: Arc<Queue<Job, Closed>>,
    log: Arc<dyn EventLog>,
    queue_wait: Duration,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Batcher {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(
        log: Arc<dyn EventLog>,
        config: &IngestConfig,
        mappings: Arc<Mappings>,
    ) -> std::io::Result<Batcher> {
        let queue = Arc::new(Queue::new(config.max_pending_requests));
        let keys = Arc::new(Keys::new(log.clone()));
        let build = Build {
            queue: queue.clone(),
            keys: keys.clone(),
            log: log.clone(),
            config: config.clone(),
            mappings,
        };
        let commit = Commit {
            queue: queue.clone(),
            keys,
            log: log.clone(),
            failures: VecDeque::new(),
        };
        let named = |name: &str| std::thread::Builder::new().name(name.into());
        let committer = named("ingest-commit").spawn(move || commit.run())?;
        let builder = match named("ingest-batch").spawn(move || build.run()) {
            Ok(builder) => builder,
            Err(error) => {
                queue.end();
                return Err(error);
            }
        };
        Ok(Batcher {
            queue,
            log,
            queue_wait: config.queue_wait,
            threads: Mutex::new(vec![builder, committer]),
        })
    }

    /// Would a request be taken just now? Asked before its body is read.
    pub(crate) fn admit(&self) -> Result<(), Refusal> {
        if self.queue.is_closed() {
            return Err(Refusal::Draining);
        }
        self.log.admit().map_err(Refusal::from)
    }

    /// Takes a request and waits until it is durable. One that no batch takes in time is refused,
    /// and then never stored: during a stall clients hear of it, and may send it again.
    pub(crate) async fn submit(&self, request: Request) -> Reply {
        let (reply, mut answer) = oneshot::channel();
        let claim = Arc::new(Claim::default());
        self.queue.push(Job {
            request,
            reply,
            claim: claim.clone(),
        })?;
        metrics::gauge!("watchfire_ingest_queue_requests").set(self.queue.len() as f64);
        let early = tokio::time::timeout(self.queue_wait, &mut answer).await;
        let answer = match early {
            Ok(answer) => answer,
            Err(_) if claim.take() => {
                return Err(Refusal::Overloaded("the queue does not move".into()));
            }
            Err(_) => answer.await,
        };
        answer.unwrap_or(Err(Refusal::Internal))
    }

    /// Requests in line.
    pub(crate) fn pending_requests(&self) -> usize {
        self.queue.len()
    }

    /// Keeps refused bytes. Blocks on the disk.
    pub(crate) fn keep_dead(&self, letter: DeadLetter) {
        self.log.dead_letters(vec![letter]);
    }

    /// Takes no more requests and blocks until those taken are answered.
    pub(crate) fn close(&self) {
        self.queue.close();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("an intake thread panicked");
            }
        }
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The thread that builds batches.
struct Build {
    queue: Arc<Queue<Job, Closed>>,
    keys: Arc<Keys>,
    log: Arc<dyn EventLog>,
    config: IngestConfig,
    mappings: Arc<Mappings>,
}

impl Build {
    fn run(self) {
        let mut next_id = 1;
        let limits = self.config.limits;
        let mut open = OpenBatch::new(next_id, limits, BatchBuilder::new(limits));
        loop {
            match self.queue.step(self.fill(&open)) {
                Step::Take(job) => self.take(&mut open, job),
                Step::HandOver => {
                    next_id += 1;
                    open = OpenBatch::new(next_id, limits, self.close(open));
                }
                Step::End => break,
            }
        }
        self.queue.end();
    }

    fn fill(&self, open: &OpenBatch) -> Fill {
        if open.rows() >= self.config.batch_rows || open.bytes() >= self.config.batch_bytes {
            Fill::Full
        } else if open.is_empty() {
            Fill::Empty
        } else {
            Fill::Some
        }
    }

    fn take(&self, open: &mut OpenBatch, job: Job) {
        let Job {
            mut request,
            reply,
            claim,
        } = job;
        // Nobody who has gone was told that it is stored, and it may come again.
        if reply.is_closed() || !claim.take() {
            metrics::counter!("watchfire_ingest_abandoned_total").increment(1);
            return;
        }
        let add = AssertUnwindSafe(|| open.add(&mut request, &self.keys, reply));
        if catch_unwind(add).is_err() {
            // The answer went with the panic; the door says 500 when its channel closes.
            tracing::error!("a request broke the batch builder; its bytes are a dead letter");
            metrics::counter!("watchfire_ingest_panics_total").increment(1);
            open.recover(&self.keys);
            let code = Refusal::Internal.code();
            self.log
                .dead_letters(vec![dead_letter(&request, 0, code, &request.lines.body)]);
        }
    }

    /// Hands a batch over; gives its builder, or a new one, for the next.
    fn close(&self, open: OpenBatch) -> BatchBuilder {
        let id = open.id();
        let close = AssertUnwindSafe(|| open.close(&self.keys, &self.mappings));
        match catch_unwind(close) {
            Ok((closed, builder)) => {
                self.queue.hand_over(closed);
                builder
            }
            Err(_) => {
                tracing::error!("a batch broke the mappings; its requests are answered 500");
                metrics::counter!("watchfire_ingest_panics_total").increment(1);
                self.keys.abandon(id);
                BatchBuilder::new(self.config.limits)
            }
        }
    }
}

/// The thread that makes batches durable.
struct Commit {
    queue: Arc<Queue<Job, Closed>>,
    keys: Arc<Keys>,
    log: Arc<dyn EventLog>,
    failures: VecDeque<(u64, Refusal)>,
}

impl Commit {
    fn run(mut self) {
        while let Some(closed) = self.queue.next_batch() {
            self.settle(closed);
            self.queue.committed();
        }
    }

    fn settle(&mut self, closed: Closed) {
        let Closed {
            id,
            batch,
            records,
            mut waiting,
            depends_on,
        } = closed;
        let started = Instant::now();
        let rows = batch.rows();
        let failed = self.failures.iter().find(|(id, _)| depends_on.contains(id));
        let result = match failed {
            Some((_, refusal)) => Err(refusal.clone()),
            None if rows == 0 => Ok(0),
            None => catch_unwind(AssertUnwindSafe(|| self.log.commit(batch, &records)))
                .unwrap_or_else(|_| Err(watchfire_event::CommitError::LogFailed("panic".into())))
                .map_err(Refusal::from),
        };
        self.keys.settle(&records);
        metrics::histogram!("watchfire_ingest_commit_seconds")
            .record(started.elapsed().as_secs_f64());
        metrics::histogram!("watchfire_ingest_batch_rows").record(rows as f64);
        let dead: Vec<_> = waiting
            .iter_mut()
            .flat_map(|w| std::mem::take(&mut w.dead))
            .collect();
        match result {
            Ok(first) => {
                if !dead.is_empty() {
                    self.log.dead_letters(dead);
                }
                answer(waiting, &records, first);
            }
            Err(refusal) => {
                tracing::warn!(batch = id, rows, %refusal, "a batch was not stored");
                self.failures.push_back((id, refusal.clone()));
                if self.failures.len() > FAILURES_KEPT {
                    self.failures.pop_front();
                }
                // A door that has gone away needs no answer.
                waiting
                    .into_iter()
                    .for_each(|w| drop(w.reply.send(Err(refusal.clone()))));
            }
        }
    }
}

fn answer(waiting: Vec<Waiting>, records: &[Record], first: u64) {
    let mut next = first;
    let mut total = Outcome::default();
    let (mut duplicates, mut rejected) = (0, 0);
    for w in waiting {
        let mut outcome = w.outcome;
        if let Some(record) = w.record.and_then(|r| records.get(r)) {
            let last = next + u64::from(record.rows) - 1;
            let digest = first_half(&Sha256::digest(&record.lines));
            let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
            outcome.first_seq = Some(next);
            outcome.receipt = Some(format!("{next}-{last}-{hex}"));
            next = last + 1;
        }
        total.accepted += outcome.accepted;
        duplicates += outcome.duplicates.len();
        rejected += outcome.rejected.len();
        drop(w.reply.send(Ok(outcome)));
    }
    let count = |result: &'static str, n: usize| {
        metrics::counter!("watchfire_ingest_events_total", "result" => result).increment(n as u64);
    };
    count("accepted", total.accepted);
    count("duplicate", duplicates);
    count("rejected", rejected);
}
