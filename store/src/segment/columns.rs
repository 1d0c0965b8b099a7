//! What a column holds, and which way of finding values suits it.

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::Int32Type;
use serde::{Deserialize, Serialize};
use watchfire_event::{Column, EventBatch, Kind, Origin, field};

/// Fewer distinct values than this never pay for an index: scanning the dictionary is faster.
const MIN_DISTINCT: usize = if cfg!(test) { 4 } else { 256 };
/// A column with fewer distinct values than one in so many rows is scanned.
const ROWS_PER_DISTINCT: usize = 4;
/// Values looked at to tell text from identifiers.
const SAMPLE: usize = 1_000;

/// How values of a column are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Access {
    /// By reading the column.
    Scan,
    /// By the words of each value: text.
    Index,
    /// By a bloom filter over whole values: identifiers, each a single lower-case word.
    Bloom,
}

/// A column of a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ColumnInfo {
    /// Name in the Parquet file, see `Column::physical_name`.
    pub stored: String,
    /// What people query.
    pub name: String,
    /// Rows with a value.
    pub rows: u64,
    /// Distinct values, about.
    pub distinct: u64,
    pub access: Access,
}

impl ColumnInfo {
    pub fn of(column: &Column) -> ColumnInfo {
        let rows = column.count();
        let distinct = distinct_values(column);
        let access = choose(column, rows, distinct);
        ColumnInfo {
            stored: column.physical_name(),
            name: column.name.to_string(),
            rows: rows as u64,
            distinct: distinct as u64,
            access,
        }
    }

    /// Origin and kind, out of the stored name.
    pub fn origin_and_kind(&self) -> (Origin, Kind) {
        let parsed = Column::parse_physical_name(&self.stored);
        parsed.map_or((Origin::Own, Kind::Json), |(origin, kind, _)| {
            (origin, kind)
        })
    }
}

/// The name of a row's own columns in a Parquet file; none for columns of the event.
pub(crate) fn sealed_name(name: &str) -> Option<&'static str> {
    match name {
        field::SEQ => Some("_seq"),
        field::RECEIVED => Some("_received"),
        field::TIMESTAMP => Some("_time"),
        _ => None,
    }
}

/// Does a stored name belong to one of the fields, by the names that people query?
pub(crate) fn is_named(stored: &str, fields: &[String]) -> bool {
    let Some((.., path)) = Column::parse_physical_name(stored) else {
        return fields.iter().any(|f| sealed_name(f) == Some(stored));
    };
    if !path.contains('\\') {
        return fields.iter().any(|f| f == path);
    }
    let mut name = String::with_capacity(path.len());
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => name.extend(chars.next()),
            c => name.push(c),
        }
    }
    fields.contains(&name)
}

/// The distinct strings of a dictionary column.
pub(crate) fn dictionary_values(column: &Column) -> Option<&StringArray> {
    column
        .array()
        .as_dictionary_opt::<Int32Type>()?
        .values()
        .as_string_opt::<i32>()
}

fn distinct_values(column: &Column) -> usize {
    match dictionary_values(column) {
        Some(values) => values.len(),
        None => estimate_distinct(column),
    }
}

/// Distinct values of a numeric or boolean column, exact up to [`SAMPLE`] and then a guess from
/// how many values of a sample repeat.
fn estimate_distinct(column: &Column) -> usize {
    use std::collections::HashSet;
    let mut seen = HashSet::new();
    let mut looked = 0;
    let step = (column.rows() / (SAMPLE * 8)).max(1);
    for row in (0..column.rows()).step_by(step) {
        if let Some(bits) = number_bits(column, row) {
            looked += 1;
            seen.insert(bits);
        }
    }
    let present = column.count();
    // Where most of the sample was new, so is most of the rest.
    if seen.len() * 2 > looked {
        present * seen.len() / looked.max(1)
    } else {
        seen.len()
    }
}

fn number_bits(column: &Column, row: usize) -> Option<u64> {
    use arrow::datatypes::{Float64Type, Int64Type};
    let array = column.array();
    if array.is_null(row) {
        return None;
    }
    if let Some(ints) = array.as_primitive_opt::<Int64Type>() {
        return Some(ints.value(row) as u64);
    }
    if let Some(floats) = array.as_primitive_opt::<Float64Type>() {
        return Some(floats.value(row).to_bits());
    }
    array.as_boolean_opt().map(|b| u64::from(b.value(row)))
}

fn choose(column: &Column, rows: usize, distinct: usize) -> Access {
    // Times are found by range over the event time, not by words of their text.
    let searchable = column.kind == Kind::Str
        && &*column.name != field::RAW
        && &*column.name != field::TIMESTAMP;
    if !searchable || distinct < MIN_DISTINCT || distinct * ROWS_PER_DISTINCT < rows {
        return Access::Scan;
    }
    let Some(values) = dictionary_values(column) else {
        return Access::Scan;
    };
    let identifier = |v: &str| !v.is_empty() && v.bytes().all(is_identifier_byte);
    if values.iter().flatten().all(identifier) {
        return Access::Bloom;
    }
    let step = (values.len() / SAMPLE).max(1);
    let sample = values.iter().flatten().step_by(step);
    let words: Vec<usize> = sample
        .map(|v| watchfire_event::query::tokens(v).take(2).count())
        .collect();
    let several = words.iter().filter(|n| **n > 1).count();
    if several * 2 > words.len() {
        Access::Index
    } else {
        Access::Scan
    }
}

/// ASCII lower-case letters, digits and `_`: such a value is one word, equal to itself in lower
/// case, so that it contains a word only by being equal to it.
fn is_identifier_byte(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'
}

/// Columns of a batch as a segment describes them.
pub(super) fn describe(batch: &EventBatch) -> Vec<ColumnInfo> {
    batch.columns().iter().map(ColumnInfo::of).collect()
}
