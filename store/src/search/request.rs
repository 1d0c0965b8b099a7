//! What can be asked of the store, and the shape of the answers.

use std::time::Duration;

use serde::Serialize;
use watchfire_event::{Query, TimeRange};

use super::cursor::Cursor;

/// The most hits of one page.
pub const MAX_PAGE: usize = 10_000;
/// The most buckets of a histogram.
pub const MAX_BUCKETS: usize = 2_000;
/// The most fields of one facets call.
pub const MAX_FACET_FIELDS: usize = 50;
/// The most values of one facet.
pub const MAX_FACET_VALUES: usize = 1_000;

/// A page of events that match.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    /// What to find.
    pub query: Query,
    /// Event time.
    pub range: TimeRange,
    /// Most hits to return, at most [`MAX_PAGE`].
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
    /// Which end to start from.
    pub order: Order,
}

/// Order of hits, by event time and then by sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The newest event first.
    #[default]
    NewestFirst,
    /// The oldest event first.
    OldestFirst,
}

/// A page of hits.
#[derive(Debug, Clone, Serialize)]
pub struct SearchPage {
    /// The events, in the order asked for.
    pub hits: Vec<Hit>,
    /// How many events match in the whole range, whatever the page.
    pub total: u64,
    /// False when counting was cut short; `total` is then a lower bound.
    pub total_is_exact: bool,
    /// Where the next page starts; none when this is the last page.
    #[serde(skip)]
    pub cursor: Option<Cursor>,
    /// Rows of the segments and batches that were looked at.
    pub searched: u64,
    /// Damaged segments are left out, see `StoreStatus::damaged_segments`.
    pub partial: bool,
}

/// One event found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hit {
    /// Sequence number.
    pub seq: u64,
    /// Event time, nanoseconds since the epoch.
    pub time_ns: i64,
    /// Time of receipt, nanoseconds since the epoch.
    pub received_ns: i64,
    /// Name of the token that shipped it.
    pub source: Option<String>,
    /// What was odd about it.
    pub flags: Vec<String>,
    /// The event as it came.
    pub event: serde_json::Value,
    /// Fields added by mappings, by dotted name.
    pub mapped: serde_json::Map<String, serde_json::Value>,
}

/// Counts over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Histogram {
    /// Start of the first bucket, nanoseconds since the epoch.
    pub from_ns: i64,
    /// End of the last bucket (exclusive).
    pub to_ns: i64,
    /// Width of a bucket, nanoseconds.
    pub width_ns: i64,
    /// Every bucket in order, empty ones too.
    pub buckets: Vec<Bucket>,
}

/// One bucket of a histogram.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// Its start, nanoseconds since the epoch.
    pub from_ns: i64,
    /// Events in it.
    pub count: u64,
    /// Events by value of the field asked for; the greatest values over the whole histogram,
    /// greatest first.
    pub by: Vec<(String, u64)>,
}

/// The most frequent values of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facet {
    /// The field.
    pub field: String,
    /// Number of distinct values among the matching events.
    pub distinct: u64,
    /// False when `distinct` and the counts are lower bounds, because the field has too many
    /// values to count them all.
    pub distinct_is_exact: bool,
    /// Values with the number of events that have them, greatest first, then by value.
    pub values: Vec<(String, u64)>,
    /// Matching events without the field.
    pub missing: u64,
}

/// A field of the stored events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldInfo {
    /// Its dotted name.
    pub name: String,
    /// Kinds of values seen: `string`, `integer`, `float`, `boolean`, `strings`, `integers`,
    /// `json`.
    pub types: Vec<&'static str>,
    /// Values stored; of a field with several kinds of values, the sum.
    pub events: u64,
    /// Distinct values, an estimate (the greatest count of one segment).
    pub distinct: u64,
    /// Was it added by a mapping and never sent by an event?
    pub mapped: bool,
}

/// Limits of one SQL query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlLimits {
    /// Wall clock from the start to the last row.
    pub timeout: Duration,
    /// Most rows returned.
    pub max_rows: usize,
    /// Most memory of sorts, joins and groups.
    pub memory_bytes: usize,
}

impl Default for SqlLimits {
    fn default() -> Self {
        SqlLimits {
            timeout: Duration::from_secs(30),
            max_rows: 100_000,
            memory_bytes: 256 << 20,
        }
    }
}
