//! Which rows of a source match: the one place where a query meets stored rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::BooleanBufferBuilder;
use arrow::buffer::BooleanBuffer;
use watchfire_event::{EventBatch, Query, TimeRange};

use super::cache::MatchCache;
use super::columns::{ColumnCache, Held};
use super::hidden::{Hidden, subtract};
use super::plan::Plan;
use crate::StoreError;
use crate::memtable::{MemoryBatch, View};
use crate::segment::{Rows, Segment, is_named};

/// Rows of a segment are shown so often before its columns are read ahead.
const LOOKS: u32 = 1;

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

impl Source {
    /// Reads every column of the chosen rows. What is held as codes is not read again.
    pub fn read_whole(&self, rows: &Rows, cache: &MatchCache) -> Result<EventBatch, StoreError> {
        let Source::Segment(segment) = self else {
            return self.read(|_| true, rows);
        };
        if segment.looked_at() > LOOKS {
            cache.columns.want(segment);
        }
        self.read_fields(None, rows, cache)
    }

    /// Reads the columns of these fields (`None` is all) of the chosen rows. What is held as codes
    /// is not read again.
    pub fn read_fields(
        &self,
        fields: Option<&[String]>,
        rows: &Rows,
        cache: &MatchCache,
    ) -> Result<EventBatch, StoreError> {
        let wanted = |stored: &str| fields.is_none_or(|fields| is_named(stored, fields));
        let Source::Segment(segment) = self else {
            return self.read(wanted, rows);
        };
        let mut held = HashMap::new();
        for column in segment.info.columns.iter().filter(|c| wanted(&c.stored)) {
            if let Some(kept) = cache.columns.peek(segment, &column.stored) {
                held.insert(column.stored.as_str(), kept);
            }
        }
        let batch = segment.read(|name| wanted(name) && !held.contains_key(name), rows)?;
        let mut columns = Vec::with_capacity(held.len());
        for kept in held.values() {
            columns.extend(kept.coded.take(rows)?);
        }
        Ok(match columns.is_empty() {
            true => batch,
            false => batch.with_columns(columns),
        })
    }

    /// The sequence number of each row.
    pub fn seq_of_rows(&self, cache: &MatchCache) -> Result<Vec<u64>, StoreError> {
        Ok(match self {
            Source::Memory(memory) => memory.batch.seq().values().to_vec(),
            Source::Segment(segment) => {
                let times = cache.columns.times(segment)?;
                (0..segment.rows()).map(|row| times.seq(row)).collect()
            }
        })
    }

    /// The values of a field as codes, where one column alone holds them and it has few enough.
    /// `few`: only few rows are asked, which is no reason to read all of a column.
    pub fn held(
        &self,
        field: &str,
        few: bool,
        cache: &ColumnCache,
    ) -> Result<Option<Arc<Held>>, StoreError> {
        let segment = match self {
            Source::Memory(memory) => return memory.held(field, cache),
            Source::Segment(segment) => segment,
        };
        let mut named = segment.info.columns.iter().filter(|c| c.name == field);
        match (named.next(), named.next()) {
            (Some(column), None) if few => Ok(cache.peek(segment, &column.stored)),
            (Some(column), None) => cache.coded(segment, column),
            _ => Ok(None),
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
        false => memory.matching(query),
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
        rows_in_time(segment, range, cache)?
    };
    if query.is_all() || inside == Rows::None {
        return Ok(inside);
    }
    if let Some(rows) = cache.get(&segment.info.id, query.key()) {
        return Ok(rows.and(inside));
    }
    // A small part of a segment is not worth matching all of it for the next time.
    let part = inside.is_sparse(segment.rows());
    let among = if part { inside.clone() } else { Rows::All };
    let matched = evaluate(segment, query, &among, cache)?;
    if !part {
        cache.put(&segment.info.id, query.key(), matched.clone());
    }
    Ok(matched.and(inside))
}

/// Rows are sorted by time, so those of a range are one run.
fn rows_in_time(
    segment: &Segment,
    range: &TimeRange,
    cache: &MatchCache,
) -> Result<Rows, StoreError> {
    let times = cache.columns.times(segment)?;
    let first = times.first_at(range.from_ns);
    let end = match range.to_ns {
        i64::MAX => segment.rows(),
        to_ns => times.first_at(to_ns),
    };
    let mut mask = BooleanBufferBuilder::new(segment.rows());
    mask.append_n(first, false);
    mask.append_n(end.saturating_sub(first), true);
    mask.append_n(segment.rows() - end.max(first), false);
    Ok(Rows::of(mask.finish()))
}

/// Matches the rows `among` of a segment.
fn evaluate(
    segment: &Segment,
    query: &Query,
    among: &Rows,
    cache: &MatchCache,
) -> Result<Rows, StoreError> {
    let plan = Plan::of(segment, query, among, &cache.columns)?;
    let open = plan.may.clone().and(plan.must.clone().not());
    if open == Rows::None {
        return Ok(plan.must);
    }
    let stored = |i: &usize| segment.info.columns.get(*i).map(|c| c.stored.as_str());
    let columns: Vec<&str> = plan.columns.iter().filter_map(stored).collect();
    let keep = |name: &str| plan.own.contains(&name) || columns.contains(&name);
    let batch = segment.read(keep, &open)?;
    let mut held = Vec::with_capacity(plan.held.len());
    for column in &plan.held {
        held.extend(column.coded.take(&open)?);
    }
    let batch = match held.is_empty() {
        true => batch,
        false => batch.with_columns(held),
    };
    let matched = query.matches(&batch);
    let matched = Rows::of(spread_mask(&matched, &open.to_mask(segment.rows())));
    Ok(plan.must.or(matched))
}

/// A mask over the set rows of `rows` as a mask over all rows.
fn spread_mask(mask: &BooleanBuffer, rows: &BooleanBuffer) -> BooleanBuffer {
    let mut spread = BooleanBufferBuilder::new(rows.len());
    spread.append_n(rows.len(), false);
    for (place, row) in rows.set_indices().enumerate() {
        if mask.value(place) {
            spread.set_bit(row, true);
        }
    }
    spread.finish()
}
