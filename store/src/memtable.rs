//! The newest events, in memory, and the picture of everything that readers work on.
//!
//! A [`View`] is immutable; writers make a new one and swap it in. So a reader sees each row
//! exactly once, whatever is committed, merged or sealed meanwhile.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::compute::{max, min};
use watchfire_event::{EventBatch, Query, TimeRange};

use crate::StoreError;
use crate::search::{ColumnCache, Held, Hidden};
use crate::segment::{Rows, Segment, Segments};

/// Batches smaller than this are worth merging: each costs a query its own pass.
const SMALL_ROWS: usize = 2_048;
/// So many small batches in a row are merged into one.
const MERGE_COUNT: usize = 16;
/// A merged batch grows to about this.
const MERGED_ROWS: usize = 16_384;

/// Queries of which a batch remembers the answer.
const MATCHES_KEPT: usize = 16;

/// A batch in memory with what is asked of it often.
#[derive(Debug)]
pub(crate) struct MemoryBatch {
    pub batch: EventBatch,
    pub bytes: usize,
    pub min_time_ns: i64,
    pub max_time_ns: i64,
    pub min_received_ns: i64,
    warm: Mutex<Warm>,
}

/// What queries found out about a batch, for the next ones.
#[derive(Debug, Default)]
struct Warm {
    /// Fields as codes; `None` where they cannot be.
    held: HashMap<String, Option<Arc<Held>>>,
    /// Key of a query, and the rows that match; the newest last.
    matched: VecDeque<(String, Rows)>,
}

impl MemoryBatch {
    pub fn new(batch: EventBatch) -> Self {
        MemoryBatch {
            bytes: batch.memory_bytes(),
            min_time_ns: min(batch.time()).unwrap_or(i64::MAX),
            max_time_ns: max(batch.time()).unwrap_or(i64::MIN),
            min_received_ns: min(batch.received()).unwrap_or(i64::MAX),
            batch,
            warm: Mutex::default(),
        }
    }

    /// Rows that match a query.
    pub fn matching(&self, query: &Query) -> Rows {
        let known = |warm: &Warm| {
            let mut matched = warm.matched.iter();
            matched
                .find(|(k, _)| k == query.key())
                .map(|(_, r)| r.clone())
        };
        if let Some(rows) = known(&self.warm()) {
            return rows;
        }
        let rows = Rows::of(query.matches(&self.batch));
        let mut warm = self.warm();
        if warm.matched.len() >= MATCHES_KEPT {
            warm.matched.pop_front();
        }
        warm.matched
            .push_back((query.key().to_owned(), rows.clone()));
        rows
    }

    /// The values of a field as codes, where one column alone holds them and it has few enough.
    pub fn held(&self, field: &str, cache: &ColumnCache) -> Result<Option<Arc<Held>>, StoreError> {
        let run = cache.run();
        if let Some(held) = self.warm().held.get(field) {
            // Numbers of an earlier run are of no use any more.
            if held.as_ref().is_none_or(|h| h.numbers(run).is_some()) {
                return Ok(held.clone());
            }
        }
        let mut named = self.batch.named(field);
        let held = match (named.next(), named.next()) {
            (Some(column), None) => cache.code(column)?.map(Arc::new),
            _ => None,
        };
        self.warm().held.insert(field.to_owned(), held.clone());
        Ok(held)
    }

    fn warm(&self) -> MutexGuard<'_, Warm> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn overlaps(&self, range: &TimeRange) -> bool {
        range.overlaps(self.min_time_ns, self.max_time_ns)
    }

    pub fn within(&self, range: &TimeRange) -> bool {
        range.contains(self.min_time_ns) && range.contains(self.max_time_ns)
    }
}

/// Everything that is searchable at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// By rising sequence number, after those of the segments.
    pub memory: Vec<Arc<MemoryBatch>>,
    /// By rising first sequence number.
    pub segments: Segments,
    /// Rows that are in segments and that detection has still to read: from here it need not
    /// parse them again out of the log. By rising sequence number, before `memory`.
    pub passed: Vec<Arc<MemoryBatch>>,
    /// Rows of memory and segments that no answer may hold.
    pub hidden: Arc<[Hidden]>,
}

impl View {
    pub fn memory_rows(&self) -> usize {
        self.memory.iter().map(|m| m.batch.rows()).sum()
    }

    pub fn memory_bytes(&self) -> usize {
        self.memory.iter().map(|m| m.bytes).sum()
    }

    /// When the oldest row in memory was received.
    pub fn oldest_in_memory_ns(&self) -> Option<i64> {
        self.memory.iter().map(|m| m.min_received_ns).min()
    }

    /// The oldest batches that make a segment of `rows` rows.
    pub fn oldest(&self, rows: usize) -> &[Arc<MemoryBatch>] {
        let mut sum = 0;
        let end = self.memory.iter().position(|m| {
            sum += m.batch.rows();
            sum >= rows
        });
        self.memory
            .get(..end.map_or(self.memory.len(), |i| i + 1))
            .unwrap_or_default()
    }

    /// Keeps aside only batches with rows after `unread`, up to `bytes`, the newest first.
    fn drop_passed(&mut self, unread: u64, bytes: usize) {
        self.passed
            .retain(|m| m.batch.last_seq().is_some_and(|last| last > unread));
        let mut sum = 0;
        let kept = self.passed.iter().rev().take_while(|m| {
            sum += m.bytes;
            sum <= bytes
        });
        let gone = self.passed.len() - kept.count();
        self.passed.drain(..gone);
    }

    /// Batches after `after` in order, up to about `max_rows` rows, as far as they are here
    /// without a gap. `None` when the row after `after` is not here.
    pub fn read_after(&self, after: u64, max_rows: usize) -> Option<Vec<EventBatch>> {
        let here = || self.passed.iter().chain(&self.memory);
        let first = here().next()?.batch.first_seq()?;
        if first > after + 1 {
            return None;
        }
        let mut batches = Vec::new();
        let mut rows = 0;
        for memory in here() {
            if rows >= max_rows {
                break;
            }
            let seq = memory.batch.seq().values();
            let known = seq.partition_point(|s| *s <= after);
            let taken = (seq.len() - known).min(max_rows - rows);
            if taken > 0 {
                batches.push(memory.batch.slice(known, taken));
                rows += taken;
            }
        }
        Some(batches)
    }

    /// Are all these segments here?
    pub fn holds(&self, ids: &[String]) -> bool {
        let is_here = |id: &String| self.segments.iter().any(|s| s.info.id == *id);
        ids.iter().all(is_here)
    }

    /// A run of small batches to merge: where it starts and how many.
    pub fn small_run(&self) -> Option<(usize, usize)> {
        let mut start = 0;
        let (mut count, mut rows) = (0, 0);
        for (i, m) in self.memory.iter().enumerate() {
            if m.batch.rows() >= SMALL_ROWS || rows + m.batch.rows() > MERGED_ROWS {
                if count >= MERGE_COUNT {
                    break;
                }
                (start, count, rows) = (i + 1, 0, 0);
                continue;
            }
            count += 1;
            rows += m.batch.rows();
        }
        (count >= MERGE_COUNT).then_some((start, count))
    }
}

/// The current view.
#[derive(Debug, Default)]
pub(crate) struct CurrentView(Mutex<Arc<View>>);

impl CurrentView {
    pub fn new(view: View) -> Self {
        CurrentView(Mutex::new(Arc::new(view)))
    }

    pub fn get(&self) -> Arc<View> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Swaps in what `change` makes of the current view. `change` must be quick.
    pub fn change<R>(&self, change: impl FnOnce(&mut View) -> R) -> R {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = View::clone(&current);
        let result = change(&mut next);
        *current = Arc::new(next);
        result
    }

    /// Adds a committed batch.
    pub fn push(&self, batch: EventBatch) {
        let batch = Arc::new(MemoryBatch::new(batch));
        self.change(|view| view.memory.push(batch));
    }

    /// Puts `merged` in the place of `count` batches from `start`.
    pub fn replace(&self, start: usize, count: usize, merged: EventBatch) {
        let merged = Arc::new(MemoryBatch::new(merged));
        self.change(|view| {
            let end = (start + count).min(view.memory.len());
            view.memory.splice(start.min(end)..end, [merged]);
        });
    }

    /// Puts a segment in the place of the `count` oldest batches. Those with rows after `unread`
    /// are kept aside for detection, up to a number of bytes, the newest first.
    pub fn seal(&self, count: usize, segment: Arc<Segment>, (unread, bytes): (u64, usize)) {
        self.change(|view| {
            let sealed = view.memory.drain(..count.min(view.memory.len()));
            view.passed.extend(sealed);
            view.segments.push(segment);
            view.drop_passed(unread, bytes);
        });
    }

    /// Forgets batches kept aside that detection has read.
    pub fn forget_passed(&self, read: u64) {
        let first = self.get().passed.first().and_then(|m| m.batch.last_seq());
        if first.is_some_and(|last| last <= read) {
            self.change(|view| view.drop_passed(read, usize::MAX));
        }
    }

    /// Takes segments out.
    pub fn remove(&self, ids: &[String]) -> Segments {
        self.swap(ids, None)
    }

    /// Puts a segment, or nothing, in the place of others.
    pub fn swap(&self, ids: &[String], with: Option<Arc<Segment>>) -> Segments {
        self.change(|view| {
            let (gone, kept) = view
                .segments
                .drain(..)
                .partition(|s: &Arc<Segment>| ids.contains(&s.info.id));
            view.segments = kept;
            if let Some(new) = with {
                let first = |s: &Arc<Segment>| s.info.first_seq < new.info.first_seq;
                let place = view.segments.partition_point(first);
                view.segments.insert(place, new);
            }
            gone
        })
    }
}
