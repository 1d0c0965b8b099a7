//! One segment: its files, what the manifest says of it, and its columns against what is there to
//! find their rows faster.

use watchfire_event::{Column, EventBatch};

use super::{Compared, words};
use crate::StoreError;
use crate::meta::SegmentRow;
use crate::seal::manifest_row;
use crate::segment::{Access, ColumnInfo, Rows, Segment, indexed_words};

/// Rows of a column whose values are looked up in its filter.
const FILTER_ROWS: usize = 512;

/// Reads all of a segment and compares its parts.
///
/// # Errors
/// [`StoreError::Corrupt`] with the first thing that does not fit.
pub(super) fn check(
    segment: &Segment,
    row: &SegmentRow,
    compared: &mut Compared,
) -> Result<(), StoreError> {
    segment.verify()?;
    if manifest_row(&segment.info) != *row {
        return Err(corrupt("segment.json and the manifest do not agree"));
    }
    check_rows(segment)?;
    check_names(segment)?;
    for info in &segment.info.columns {
        let batch = segment.read(|stored| stored == info.stored, &Rows::All)?;
        let [column] = batch.columns() else {
            return Err(corrupt(format!("{} cannot be read", info.stored)));
        };
        let rows = column.count() as u64;
        if rows != info.rows {
            return Err(corrupt(format!(
                "{} has {rows} values, not {}",
                info.stored, info.rows
            )));
        }
        compared.columns += 1;
        match info.access {
            Access::Index => compared.words += words::compare(segment, info, column)?,
            Access::Bloom | Access::Scan => compared.values += check_filter(segment, info, column)?,
        }
    }
    Ok(())
}

pub(super) fn corrupt(what: impl Into<String>) -> StoreError {
    StoreError::Corrupt(what.into())
}

/// Sequence numbers and times are those that `segment.json` tells, in order and unique.
fn check_rows(segment: &Segment) -> Result<(), StoreError> {
    let info = &segment.info;
    let own = ["_seq", "_time", "_received"];
    let batch = segment.read(|stored| own.contains(&stored), &Rows::All)?;
    if batch.rows() as u64 != info.rows {
        return Err(corrupt(format!("{} rows, not {}", batch.rows(), info.rows)));
    }
    let mut seqs: Vec<u64> = batch.seq().values().to_vec();
    let times = batch.time().values();
    if !times.iter().zip(&seqs).is_sorted() {
        return Err(corrupt("the rows are not in the order of their times"));
    }
    seqs.sort_unstable();
    if seqs.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(corrupt("two rows have the same sequence number"));
    }
    let ends = |values: &[i64]| (values.iter().min().copied(), values.iter().max().copied());
    let told = (
        (seqs.first().copied(), seqs.last().copied()),
        ends(times),
        ends(batch.received().values()),
    );
    let expected = (
        (Some(info.first_seq), Some(info.last_seq)),
        (Some(info.min_time_ns), Some(info.max_time_ns)),
        (Some(info.min_received_ns), Some(info.max_received_ns)),
    );
    match told == expected {
        true => Ok(()),
        false => Err(corrupt(
            "sequence numbers or times reach beyond what segment.json tells",
        )),
    }
}

/// The columns of the file are those that `segment.json` names.
fn check_names(segment: &Segment) -> Result<(), StoreError> {
    let none: EventBatch = segment.read(|_| true, &Rows::None)?;
    let there = none.columns().iter().map(Column::physical_name);
    let told = segment.info.columns.iter().map(|info| info.stored.clone());
    match there.eq(told) {
        true => Ok(()),
        false => Err(corrupt("segment.json names other columns than there are")),
    }
}

/// The filter of a column, where it has one, knows the values of rows all over the column.
fn check_filter(segment: &Segment, info: &ColumnInfo, column: &Column) -> Result<u64, StoreError> {
    let filter = segment
        .info
        .filters
        .iter()
        .find(|f| f.stored == info.stored);
    let (Some(filter), Some((keys, values))) = (filter, column.dictionary()) else {
        return Ok(0);
    };
    let is_known = |row: usize, value: &str| -> Result<bool, StoreError> {
        if filter.words {
            let words: Vec<String> = indexed_words(value).collect();
            return segment.may_hold_words(&info.stored, &words);
        }
        Ok(segment.rows_that_may_hold(&info.stored, value)?.holds(row))
    };
    let step = (keys.len() / FILTER_ROWS).max(1);
    let mut looked_up = 0;
    for row in (0..keys.len()).step_by(step) {
        use arrow::array::Array as _;
        if keys.is_null(row) {
            continue;
        }
        let value = values.value(keys.value(row) as usize);
        if !is_known(row, value)? {
            return Err(corrupt(format!(
                "the filter of {} does not know the value of row {row}",
                info.stored
            )));
        }
        looked_up += 1;
    }
    Ok(looked_up)
}
