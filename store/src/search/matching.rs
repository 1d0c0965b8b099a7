//! Which rows of a source match: the one place where a query meets stored rows.

use std::sync::Arc;

use arrow::array::{Array, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::take;
use watchfire_event::{Column, EventBatch, Query, TimeRange};

use super::cache::MatchCache;
use super::hidden::{Hidden, subtract};
use super::plan::Plan;
use crate::StoreError;
use crate::memtable::{MemoryBatch, View};
use crate::segment::{Rows, Segment};

/// A batch in memory or a segment.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Memory(Arc<MemoryBatch>),
    Segment(Arc<Segment>),
}

impl Source {
    pub fn rows(&self) -> usize {
        match self {
            Source::Memory(memory) => memory.batch.rows(),
            Source::Segment(segment) => segment.rows(),
        }
    }

    /// First and last event time.
    pub fn times(&self) -> (i64, i64) {
        match self {
            Source::Memory(memory) => (memory.min_time_ns, memory.max_time_ns),
            Source::Segment(segment) => (segment.info.min_time_ns, segment.info.max_time_ns),
        }
    }

    /// First and last sequence number; none without rows.
    pub fn seqs(&self) -> Option<(u64, u64)> {
        match self {
            Source::Memory(memory) => memory.batch.first_seq().zip(memory.batch.last_seq()),
            Source::Segment(segment) => Some((segment.info.first_seq, segment.info.last_seq)),
        }
    }

    /// Reads the chosen rows, in row order, of the columns that `keep` takes by stored name
    /// (`_seq`, `_time` and `_received` for the row's own).
    pub fn read(&self, keep: impl Fn(&str) -> bool, rows: &Rows) -> Result<EventBatch, StoreError> {
        match self {
            Source::Segment(segment) => segment.read(keep, rows),
            Source::Memory(memory) => {
                let batch = memory.batch.project(|c| keep(&c.physical_name()));
                Ok(match rows {
                    Rows::All => batch,
                    rows => batch.filter(&rows.to_mask(batch.rows())),
                })
            }
        }
    }
}

/// Every source of a view with rows in the range, oldest first by arrival.
pub(crate) fn sources(view: &View, range: &TimeRange) -> Vec<Source> {
    let segments = view.segments.iter().filter(|s| s.overlaps(range)).cloned();
    let memory = view.memory.iter().filter(|m| m.overlaps(range)).cloned();
    segments
        .map(Source::Segment)
        .chain(memory.map(Source::Memory))
        .collect()
}

/// The rows of a source that match, lie in the range and are not hidden.
pub(crate) fn matching(
    source: &Source,
    query: &Query,
    range: &TimeRange,
    hidden: &[Hidden],
    cache: &MatchCache,
) -> Result<Rows, StoreError> {
    let rows = of_all(source, query, range, cache)?;
    subtract(source, rows, hidden, cache)
}

/// As [`matching`], of all rows.
pub(super) fn of_all(
    source: &Source,
    query: &Query,
    range: &TimeRange,
    cache: &MatchCache,
) -> Result<Rows, StoreError> {
    match source {
        Source::Memory(memory) => Ok(in_memory(memory, query, range)),
        Source::Segment(segment) => in_segment(segment, query, range, cache),
    }
}

fn in_memory(memory: &MemoryBatch, query: &Query, range: &TimeRange) -> Rows {
    if !memory.overlaps(range) {
        return Rows::None;
    }
    let matched = match query.is_all() {
        true => Rows::All,
        false => Rows::of(query.matches(&memory.batch)),
    };
    if memory.within(range) {
        return matched;
    }
    let times = memory.batch.time().values();
    let inside = BooleanBuffer::collect_bool(times.len(), |row| {
        times.get(row).is_some_and(|t| range.contains(*t))
    });
    matched.and(Rows::of(inside))
}

fn in_segment(
    segment: &Segment,
    query: &Query,
    range: &TimeRange,
    cache: &MatchCache,
) -> Result<Rows, StoreError> {
    if !segment.overlaps(range) {
        return Ok(Rows::None);
    }
    let inside = if segment.within(range) {
        Rows::All
    } else {
        rows_in_time(segment, range)?
    };
    if query.is_all() || inside == Rows::None {
        return Ok(inside);
    }
    if let Some(rows) = cache.get(&segment.info.id, query.text()) {
        return Ok(rows.and(inside));
    }
    // A small part of a segment is not worth matching all of it for the next time.
    let part = inside.is_sparse(segment.rows());
    let matched = evaluate(
        segment,
        query,
        if part { inside.clone() } else { Rows::All },
    )?;
    if !part {
        cache.put(&segment.info.id, query.text(), matched.clone());
    }
    Ok(matched.and(inside))
}

/// Rows are sorted by time, so those of a range are one run.
fn rows_in_time(segment: &Segment, range: &TimeRange) -> Result<Rows, StoreError> {
    let batch = segment.read(|name| name == "_time", &Rows::All)?;
    let times = batch.time().values();
    let first = times.partition_point(|t| *t < range.from_ns);
    let end = times.partition_point(|t| *t < range.from_ns || range.contains(*t));
    Ok(Rows::of(BooleanBuffer::collect_bool(times.len(), |row| {
        (first..end).contains(&row)
    })))
}

/// Matches the rows `among` of a segment.
fn evaluate(segment: &Segment, query: &Query, among: Rows) -> Result<Rows, StoreError> {
    let mut plan = Plan::of(segment, query)?;
    plan.rows = plan.rows.and(among);
    if plan.rows == Rows::None {
        return Ok(Rows::None);
    }
    let total = segment.rows();
    let is_sparse = |rows: &Rows| rows.is_sparse(total);
    if is_sparse(&plan.rows) {
        let keep = |name: &str| {
            plan.own.contains(&name) || plan.columns.iter().any(|(stored, _)| stored == name)
        };
        let matched = query.matches(&segment.read(keep, &plan.rows)?);
        return Ok(Rows::of(spread_mask(&matched, &plan.rows.to_mask(total))));
    }
    let dense = |name: &str| {
        plan.own.contains(&name)
            || plan
                .columns
                .iter()
                .any(|(stored, rows)| stored == name && !is_sparse(rows))
    };
    let mut batch = segment.read(dense, &Rows::All)?;
    let mut sparse = Vec::new();
    for (stored, rows) in plan.columns.iter().filter(|(_, rows)| is_sparse(rows)) {
        let part = segment.read(|name| name == stored, rows)?;
        for column in part.columns() {
            sparse.push(spread_column(column, &rows.to_mask(total))?);
        }
    }
    if !sparse.is_empty() {
        batch = batch.with_columns(sparse);
    }
    Ok(Rows::of(query.matches(&batch)).and(plan.rows))
}

/// A mask over the set rows of `rows` as a mask over all rows.
fn spread_mask(mask: &BooleanBuffer, rows: &BooleanBuffer) -> BooleanBuffer {
    let mut set = mask.iter();
    BooleanBuffer::collect_bool(rows.len(), |row| {
        rows.value(row) && set.next().unwrap_or_default()
    })
}

/// A column of the set rows of `rows` as one of all rows, null elsewhere.
fn spread_column(column: &Column, rows: &BooleanBuffer) -> Result<Column, StoreError> {
    let mut next = 0;
    let places: UInt32Array = rows
        .iter()
        .map(|set| {
            let place = set.then_some(next);
            next += u32::from(set);
            place
        })
        .collect();
    let array = take(column.array.as_ref(), &places, None)?;
    debug_assert_eq!(array.len(), rows.len());
    Ok(Column {
        array,
        ..column.clone()
    })
}
