//! Stored events once more, in the order in which they came, for rules that are tried on them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use watchfire_event::{ColumnShape, EventBatch, Origin, Query, TimeRange, field};

use crate::StoreError;
use crate::memtable::View;
use crate::search::{Hit, Job, Source, hit, mask_of, matching, sources};
use crate::segment::Rows;
use crate::shared::Shared;

/// Sources read at a time: their rows are in memory together.
const WAVE: usize = 2;
/// Rows handed on at a time.
const BATCH_ROWS: usize = 65_536;

/// The rows of a part of the store that were asked for.
#[derive(Debug)]
pub struct Replayed {
    /// The rows, in the order of their sequence numbers.
    pub batches: Vec<EventBatch>,
    /// Rows of the part, whether asked for or not.
    pub searched: u64,
}

/// The events of a time range as they are now, whatever happens to the store meanwhile.
pub struct Replay {
    shared: Arc<Shared>,
    view: Arc<View>,
    range: TimeRange,
    /// By rising sequence numbers.
    sources: Vec<Source>,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Replay({} sources)", self.sources.len())
    }
}

impl Replay {
    pub(crate) fn new(shared: Arc<Shared>, range: TimeRange) -> Self {
        let view = shared.view.get();
        let mut sources = sources(&view, &range);
        sources.sort_by_key(Source::seqs);
        Replay {
            shared,
            view,
            range,
            sources,
        }
    }

    /// The columns that the events have, each once, in order.
    pub fn shapes(&self) -> Vec<ColumnShape> {
        let mut shapes = BTreeSet::new();
        for source in &self.sources {
            match source {
                Source::Memory(memory) => shapes.extend(memory.batch.columns().iter().map(|c| {
                    let (name, kind, origin) = (c.name.clone(), c.kind, c.origin);
                    ColumnShape { name, kind, origin }
                })),
                Source::Segment(segment) => shapes.extend(segment.info.columns.iter().map(|c| {
                    let (origin, kind) = c.origin_and_kind();
                    let name = c.name.as_str().into();
                    ColumnShape { name, kind, origin }
                })),
            }
        }
        shapes.retain(|s| s.origin != Origin::Meta || &*s.name != field::RAW);
        shapes.into_iter().collect()
    }

    /// Rows of the parts of the store that have events of the range.
    pub fn rows(&self) -> u64 {
        self.sources.iter().map(|s| s.rows() as u64).sum()
    }

    /// Hands the matching rows to `take`, one part of the store after the other, with the fields
    /// that are named (`None` is all), until it says stop. Parts are read ahead while it works.
    /// Blocks.
    ///
    /// # Errors
    /// `query_limit` when it takes longer than `limit`, or a failure to read.
    pub fn run(
        &self,
        query: &Query,
        fields: Option<&[String]>,
        limit: Duration,
        mut take: impl FnMut(Replayed) -> bool,
    ) -> Result<(), StoreError> {
        let (job, guard) = Job::new(limit);
        let (outlet, inlet) = sync_channel::<Result<Replayed, StoreError>>(1);
        std::thread::scope(|scope| {
            let job = &job;
            scope.spawn(move || {
                for wave in self.sources.chunks(WAVE) {
                    let read = job.on_threads(wave, |source| self.read(source, query, fields));
                    let (parts, failed) = match read {
                        Ok(parts) => (parts, None),
                        Err(error) => (Vec::new(), Some(error)),
                    };
                    let stop = failed.is_some();
                    let parts = parts.into_iter().map(Ok).chain(failed.map(Err));
                    for part in parts {
                        // Whoever takes them has gone.
                        if outlet.send(part).is_err() {
                            return;
                        }
                    }
                    if stop {
                        return;
                    }
                }
            });
            for part in &inlet {
                job.check()?;
                if !take(part?) {
                    break;
                }
            }
            drop(guard);
            drop(inlet);
            Ok(())
        })
    }

    fn read(
        &self,
        source: &Source,
        query: &Query,
        fields: Option<&[String]>,
    ) -> Result<Replayed, StoreError> {
        let (view, cache) = (&self.view, &self.shared.cache);
        let rows = matching(source, query, &self.range, &view.hidden, cache)?;
        let mut batches = Vec::new();
        if rows != Rows::None {
            let batch = source.read_fields(fields, &rows, cache)?;
            let batch = in_order(batch);
            let starts = (0..batch.rows()).step_by(BATCH_ROWS);
            batches.extend(starts.map(|start| batch.slice(start, BATCH_ROWS)));
        }
        Ok(Replayed {
            batches,
            searched: source.rows() as u64,
        })
    }

    /// The events of these sequence numbers, as they came; those that are not there are left out.
    /// Blocks.
    ///
    /// # Errors
    /// A failure to read.
    pub fn events(&self, seqs: &[u64]) -> Result<Vec<Hit>, StoreError> {
        let mut hits = Vec::with_capacity(seqs.len());
        for source in &self.sources {
            let Some((first, last)) = source.seqs() else {
                continue;
            };
            let wanted = seqs.iter().filter(|seq| (first..=last).contains(*seq));
            let wanted: BTreeSet<u64> = wanted.copied().collect();
            if wanted.is_empty() {
                continue;
            }
            let of_source = source.seq_of_rows(&self.shared.cache)?;
            let rows = of_source.iter().enumerate();
            let rows = rows
                .filter(|(_, seq)| wanted.contains(seq))
                .map(|(row, _)| row);
            let rows: Vec<usize> = rows.collect();
            let rows = mask_of(&rows, source.rows());
            if rows != Rows::None {
                let batch = source.read_whole(&rows, &self.shared.cache)?;
                hits.extend((0..batch.rows()).map(|row| hit(&batch, row)));
            }
        }
        let place: HashMap<u64, usize> = seqs.iter().enumerate().map(|(i, s)| (*s, i)).collect();
        hits.sort_by_key(|hit| place.get(&hit.seq).copied());
        Ok(hits)
    }
}

/// The rows in the order in which they came; segments keep them in the order of their times.
fn in_order(batch: EventBatch) -> EventBatch {
    let seqs = batch.seq().values();
    if seqs.is_sorted() {
        return batch;
    }
    let mut rows: Vec<u32> = (0..seqs.len() as u32).collect();
    rows.sort_unstable_by_key(|row| seqs.get(*row as usize));
    batch.take(&rows)
}
