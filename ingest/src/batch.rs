//! One batch while requests are added to it: rows, records for the log, and who waits for it.

use std::sync::Arc;

use tokio::sync::oneshot;
use watchfire_event::{
    BatchBuilder, BatchLimits, DeadLetter, EventBatch, Key, Kind, Origin, Record, RowMeta,
};

use crate::error::{LISTED_REJECTIONS, Refusal, Rejected};
use crate::keys::{Keys, Known, body_key, event_key};
use crate::lines::Lines;
use crate::memory::Budget;
use crate::normalize::{Mappings, normalize, with_overflown};

/// Bytes of a refused line that are kept.
const DEAD_LETTER_BYTES: usize = 64 << 10;

/// A decoded request.
#[derive(Debug)]
pub struct Request {
    /// Name of the token that shipped it.
    pub source: Arc<str>,
    /// When it was received, nanoseconds since the epoch.
    pub received_ns: i64,
    /// Its `Idempotency-Key`, see [`crate::keys::request_key`].
    pub key: Option<Key>,
    /// Its lines.
    pub lines: Lines,
    /// The memory it holds, given back when it is answered.
    pub held: Option<Budget>,
}

/// What became of the lines of a request, all of it durable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Lines received: accepted, duplicate and rejected together.
    pub received: usize,
    /// Sequence number of the first accepted line; the others follow it in order.
    pub first_seq: Option<u64>,
    /// Lines accepted now.
    pub accepted: usize,
    /// Positions of lines that were accepted earlier, in order.
    pub duplicates: Vec<u32>,
    /// Lines refused, in order.
    pub rejected: Vec<Rejected>,
    /// Range of sequence numbers and SHA-256 of the accepted lines; none without any.
    pub receipt: Option<String>,
}

/// Answer to a request.
pub(crate) type Reply = Result<Outcome, Refusal>;

/// A request that waits for its batch to be durable.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) reply: oneshot::Sender<Reply>,
    pub(crate) outcome: Outcome,
    /// Positions of the lines that became rows of the batch.
    accepted: Vec<u32>,
    /// Its record, as an index into the batch's.
    pub(crate) record: Option<usize>,
    pub(crate) dead: Vec<DeadLetter>,
    _held: Option<Budget>,
}

/// A closed batch, for the committer.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) id: u64,
    pub(crate) batch: EventBatch,
    pub(crate) records: Vec<Record>,
    pub(crate) waiting: Vec<Waiting>,
    /// Earlier batches, not durable when this one was closed, that hold what lines here repeat.
    pub(crate) depends_on: Vec<u64>,
}

/// A batch that takes requests.
#[derive(Debug)]
pub(crate) struct OpenBatch {
    id: u64,
    limits: BatchLimits,
    builder: BatchBuilder,
    records: Vec<Record>,
    waiting: Vec<Waiting>,
    depends_on: Vec<u64>,
}

impl OpenBatch {
    /// A batch that is filled with the help of a builder that is empty.
    pub(crate) fn new(id: u64, limits: BatchLimits, builder: BatchBuilder) -> Self {
        OpenBatch {
            id,
            limits,
            builder,
            records: Vec::new(),
            waiting: Vec::new(),
            depends_on: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn rows(&self) -> usize {
        self.builder.rows()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.builder.bytes()
    }

    /// Adds a request; `reply` is answered when the batch is durable.
    pub(crate) fn add(
        &mut self,
        request: &mut Request,
        keys: &Keys,
        reply: oneshot::Sender<Reply>,
    ) {
        let held = request.held.take();
        let request = &*request;
        let mut intake = Intake::new(request);
        let body = request.key.map(|key| body_key(&key, &request.lines.body));
        let both = request.key.as_ref().zip(body.as_ref());
        match both.map_or(Ok(Known::New), |(key, body)| keys.request(key, body)) {
            Err(refusal) => {
                // The door may have given up, and then nobody wants to know.
                let _ = reply.send(Err(refusal));
                return;
            }
            Ok(Known::New) => {
                for index in 0..request.lines.spans.len() {
                    self.add_line(&mut intake, request, index, keys);
                }
            }
            Ok(known) => {
                self.depend(known);
                intake.repeat(request, self.limits);
            }
        }
        if intake.record.rows > 0 {
            // In this order: what is said is then never forgotten before its key.
            for key in request.key.into_iter().chain(body) {
                intake.record.keys.push(key);
                keys.carry(key, self.id);
            }
        }
        let record = (intake.record.rows > 0).then_some(self.records.len());
        if record.is_some() {
            self.records.push(intake.record);
        }
        let received = request.lines.spans.len();
        self.waiting.push(Waiting {
            reply,
            outcome: Outcome {
                received,
                ..intake.outcome
            },
            accepted: intake.accepted,
            record,
            dead: intake.dead,
            _held: held,
        });
    }

    fn add_line(&mut self, intake: &mut Intake, request: &Request, index: usize, keys: &Keys) {
        let key = request.lines.key(index);
        if let Some(key) = key {
            let known = keys.known(&key);
            if known != Known::New {
                self.depend(known);
                intake.outcome.duplicates.push(index as u32);
                return;
            }
        }
        let start = intake.start_line(&request.lines, index);
        let line = intake.record.lines.get(start..).unwrap_or_default();
        match self.builder.push(line, &intake.meta) {
            Ok(()) => {
                intake.accepted.push(index as u32);
                intake.record.rows += 1;
                if let Some(key) = key {
                    intake.record.keys.push(key);
                    keys.carry(key, self.id);
                }
            }
            Err(error) => {
                intake.drop_line(start);
                intake.reject(request, index, error);
            }
        }
    }

    fn depend(&mut self, known: Known) {
        if let Known::InFlight(batch) = known
            && batch != self.id
            && !self.depends_on.contains(&batch)
        {
            self.depends_on.push(batch);
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Starts columns and keys over from the records, after a panic left them in an unknown
    /// state. The request that panicked is in neither.
    pub(crate) fn recover(&mut self, keys: &Keys) {
        keys.abandon(self.id);
        self.builder = BatchBuilder::new(self.limits);
        for record in &self.records {
            push_record(&mut self.builder, record);
            record.keys.iter().for_each(|key| keys.carry(*key, self.id));
        }
    }

    /// Turns the rows into columns, drops rows that repeat an `event.id`, and maps the rest. Gives
    /// the builder back for the next batch.
    pub(crate) fn close(mut self, keys: &Keys, mappings: &Mappings) -> (Closed, BatchBuilder) {
        let batch = self.builder.take();
        let batch = self.drop_repeated_events(batch, keys);
        let batch = normalize(batch, mappings);
        for waiting in &mut self.waiting {
            waiting.outcome.accepted = waiting.accepted.len();
        }
        let closed = Closed {
            id: self.id,
            batch,
            records: self.records,
            waiting: self.waiting,
            depends_on: self.depends_on,
        };
        (closed, self.builder)
    }

    fn drop_repeated_events(&mut self, batch: EventBatch, keys: &Keys) -> EventBatch {
        let view = with_overflown(&batch, |name| name == "event.id");
        let ids = view
            .named("event.id")
            .find(|c| c.origin == Origin::Own && matches!(c.kind, Kind::Str | Kind::Int))
            .cloned();
        let Some(ids) = ids else { return batch };
        let mut kept = Vec::with_capacity(batch.rows());
        for w in 0..self.waiting.len() {
            let Some(record) = self.waiting.get(w).and_then(|w| w.record) else {
                continue;
            };
            let Some(lines) = self
                .records
                .get_mut(record)
                .map(|r| std::mem::take(&mut r.lines))
            else {
                continue;
            };
            let source = self
                .records
                .get(record)
                .map(|r| r.source.clone())
                .unwrap_or_default();
            let first = kept.len();
            let mut new_keys = Vec::new();
            for line in lines.split(|b| *b == b'\n') {
                let mut id = None;
                ids.for_each_text(kept.len(), |text| id = Some(text));
                let repeated = id.is_some_and(|id| {
                    let key = event_key(&source, &id, line);
                    let known = keys.known(&key);
                    self.depend(known);
                    if known == Known::New {
                        keys.carry(key, self.id);
                        new_keys.push(key);
                    }
                    known != Known::New
                });
                kept.push(!repeated);
            }
            let kept = kept.get(first..).unwrap_or_default();
            self.keep_lines(w, record, lines, kept, new_keys);
        }
        let records = std::mem::take(&mut self.records);
        self.renumber(records, keys);
        if kept.iter().all(|k| *k) {
            return batch;
        }
        // Columns that only the dropped rows had, or that they pushed over a limit, must not be
        // in what is stored: it is what a replay of the records gives.
        let OpenBatch {
            records, builder, ..
        } = self;
        records
            .iter()
            .for_each(|record| push_record(builder, record));
        builder.take()
    }

    fn keep_lines(
        &mut self,
        waiting: usize,
        record: usize,
        lines: Vec<u8>,
        kept: &[bool],
        new_keys: Vec<Key>,
    ) {
        let Some(record) = self.records.get_mut(record) else {
            return;
        };
        record.keys.extend(new_keys);
        if kept.iter().all(|k| *k) {
            record.lines = lines;
            return;
        }
        let chosen = lines.split(|b| *b == b'\n').zip(kept).filter(|(_, k)| **k);
        let chosen: Vec<&[u8]> = chosen.map(|(line, _)| line).collect();
        record.rows = chosen.len() as u32;
        record.lines = chosen.join(&b'\n');
        let Some(waiting) = self.waiting.get_mut(waiting) else {
            return;
        };
        let mut keep = kept.iter().copied();
        let duplicates = &mut waiting.outcome.duplicates;
        waiting.accepted.retain(|index| {
            let keep = keep.next().unwrap_or(true);
            if !keep {
                duplicates.push(*index);
            }
            keep
        });
        waiting.outcome.duplicates.sort_unstable();
    }

    /// Leaves out records without rows. A resend of such a request is told by its lines again.
    fn renumber(&mut self, records: Vec<Record>, keys: &Keys) {
        let mut places = Vec::with_capacity(records.len());
        for record in records {
            places.push((record.rows > 0).then_some(self.records.len()));
            if record.rows > 0 {
                self.records.push(record);
            } else {
                keys.settle(&[record]);
            }
        }
        for waiting in &mut self.waiting {
            waiting.record = waiting
                .record
                .and_then(|r| places.get(r).copied().flatten());
        }
    }
}

/// One request while its lines are looked at.
struct Intake {
    meta: RowMeta,
    record: Record,
    outcome: Outcome,
    accepted: Vec<u32>,
    dead: Vec<DeadLetter>,
}

impl Intake {
    fn new(request: &Request) -> Self {
        let (received_ns, source) = (request.received_ns, request.source.clone());
        Intake {
            meta: RowMeta {
                received_ns,
                source: source.clone(),
            },
            record: Record {
                received_ns,
                source,
                lines: Vec::with_capacity(request.lines.body.len()),
                rows: 0,
                keys: Vec::new(),
            },
            outcome: Outcome::default(),
            accepted: Vec::new(),
            dead: Vec::new(),
        }
    }

    /// Appends a line to the record; gives where it starts.
    fn start_line(&mut self, lines: &Lines, index: usize) -> usize {
        if self.record.rows > 0 {
            self.record.lines.push(b'\n');
        }
        let start = self.record.lines.len();
        lines.write(index, &mut self.record.lines);
        start
    }

    fn drop_line(&mut self, start: usize) {
        self.record
            .lines
            .truncate(start.saturating_sub(usize::from(self.record.rows > 0)));
    }

    fn reject(&mut self, request: &Request, index: usize, mut error: watchfire_event::LineError) {
        let line = request.lines.spans.get(index).map_or(0, |s| s.number);
        if self.outcome.rejected.len() < LISTED_REJECTIONS {
            let raw = request.lines.raw(index);
            self.dead
                .push(dead_letter(request, line, error.code.as_str(), raw));
        } else {
            error.message = String::new();
        }
        self.outcome
            .rejected
            .push(Rejected::new(index as u32, line, error));
    }

    /// The request was stored before: its usable lines are duplicates, and the others were
    /// refused then as they are now. Their bytes are in the dead letters already.
    fn repeat(&mut self, request: &Request, limits: BatchLimits) {
        let mut scratch = BatchBuilder::new(limits);
        let mut line = Vec::new();
        for index in 0..request.lines.spans.len() {
            line.clear();
            request.lines.write(index, &mut line);
            match scratch.push(&line, &self.meta) {
                Ok(()) => self.outcome.duplicates.push(index as u32),
                Err(error) => self.reject(request, index, error),
            }
        }
        self.dead.clear();
    }
}

/// A refused piece of a request.
pub(crate) fn dead_letter(
    request: &Request,
    line: u32,
    code: &'static str,
    raw: &[u8],
) -> DeadLetter {
    DeadLetter {
        received_ns: request.received_ns,
        source: request.source.clone(),
        line,
        code,
        bytes: raw.get(..DEAD_LETTER_BYTES).unwrap_or(raw).to_vec(),
    }
}

/// Adds the lines of a record. A line that was taken once and is not taken now becomes an event
/// that holds its text, because every line must keep its sequence number.
pub(crate) fn push_record(builder: &mut BatchBuilder, record: &Record) {
    let meta = RowMeta {
        received_ns: record.received_ns,
        source: record.source.clone(),
    };
    let mut rows = 0;
    for line in record
        .lines
        .split(|b| *b == b'\n')
        .take(record.rows as usize)
    {
        rows += 1;
        if builder.push(line, &meta).is_err() {
            push_unreadable(builder, &String::from_utf8_lossy(line), &meta);
        }
    }
    for _ in rows..record.rows {
        push_unreadable(builder, "", &meta);
    }
}

fn push_unreadable(builder: &mut BatchBuilder, text: &str, meta: &RowMeta) {
    tracing::error!(source = %meta.source, "a line of the log cannot be read back");
    let text: String = text.chars().take(DEAD_LETTER_BYTES).collect();
    let event = serde_json::json!({"event": {"original": text, "kind": "pipeline_error"}});
    // Cannot fail: it is an object, shallow and short.
    let _ = builder.push(event.to_string().as_bytes(), meta);
}
