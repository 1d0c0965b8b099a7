//! Events as columns.
//!
//! # Model
//!
//! A JSON object flattens to *paths*; a path and the kind of its value make a [`Column`]. The
//! same path with values of two kinds makes two columns, so mixed types stay exact and
//! searchable. A column has
//!
//! - a **path**: keys joined by `.`, literal dots and backslashes in keys escaped with `\`, so
//!   that `{"a":{"b":1}}` and `{"a.b":1}` are told apart when the event is given back;
//! - a **name**: the path without escapes, which is what people query. Several columns can
//!   share a name: a query on the name looks at all of them;
//! - an **origin**: the event's own, mapped (added by a mapping), inner (a member of objects
//!   inside arrays or of a repeated key, derived for searching only) or meta (ours, such as
//!   `_source`).

mod build;
mod column;
mod concat;
mod convert;
mod flags;
mod gather;
mod giveback;
mod held;
mod interner;
mod names;
mod parse;
mod rows;
mod sparse;
#[cfg(test)]
mod tests;
mod tree;
mod values;

use std::sync::{Arc, OnceLock};

use arrow::array::{Int64Array, UInt64Array};

pub use build::BatchBuilder;
pub use convert::TIME_COLUMN;
pub use parse::{LineCode, LineError};
pub use sparse::SparseTexts;
pub(crate) use values::is_number;

/// What the values of a column are, and the Arrow type that holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Strings: `Dictionary<Int32, Utf8>`.
    Str,
    /// Integers that fit: `Int64`.
    Int,
    /// Other numbers: `Float64`.
    Float,
    /// `Boolean`.
    Bool,
    /// Non-empty arrays of strings only: `List<Utf8>`.
    StrList,
    /// Non-empty arrays of integers only: `List<Int64>`.
    IntList,
    /// JSON text of what has no column of its own (null, `{}`, `[]`, mixed or nested arrays,
    /// arrays of objects, integers beyond `i64`): `Dictionary<Int32, Utf8>`.
    Json,
}

/// Where the values of a column come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The event as it came.
    Own,
    /// Added by a mapping to ECS.
    Mapped,
    /// Derived for searching: members of objects inside arrays, all values of a repeated key.
    Inner,
    /// Watchfire's own: `_source`, `_flags`, `_raw`, `_overflow`.
    Meta,
}

/// A column without its values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnShape {
    /// As [`Column::name`].
    pub name: Arc<str>,
    /// As [`Column::kind`].
    pub kind: Kind,
    /// As [`Column::origin`].
    pub origin: Origin,
}

/// Values of one kind at one path, see [`Column::array`].
#[derive(Debug, Clone)]
pub struct Column {
    /// What people query, see the module's documentation.
    pub name: Arc<str>,
    /// The name with escapes, see the module's documentation.
    pub path: Arc<str>,
    /// What the values are.
    pub kind: Kind,
    /// Where they come from.
    pub origin: Origin,
    values: held::Held,
}

/// Rows of events as columns. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EventBatch {
    /// Log sequence number of each row, rising.
    pub(crate) seq: UInt64Array,
    /// Event time of each row, nanoseconds since the epoch.
    pub(crate) time: Int64Array,
    /// Time of receipt of each row, nanoseconds since the epoch.
    pub(crate) received: Int64Array,
    pub(crate) columns: Arc<Vec<Column>>,
    /// Columns by name, made when first asked for: many batches are only passed on.
    pub(crate) by_name: Arc<OnceLock<names::ByName>>,
}

/// What is the same for all rows of a request.
#[derive(Debug, Clone)]
pub struct RowMeta {
    /// When the request was received, nanoseconds since the epoch.
    pub received_ns: i64,
    /// Name of the token that shipped it.
    pub source: Arc<str>,
}

/// Limits of a batch and of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Nesting of objects and arrays in a line, the outermost object counted.
    pub max_depth: usize,
    /// Bytes of a line.
    pub max_line_bytes: usize,
    /// Columns of a batch; fields beyond are kept in `_overflow`.
    pub max_columns: usize,
    /// Keep the text of every event, not only where columns cannot give it back.
    pub keep_raw_all: bool,
}

impl Default for BatchLimits {
    fn default() -> Self {
        BatchLimits {
            max_depth: 64,
            max_line_bytes: 1 << 20,
            max_columns: 1_000,
            keep_raw_all: false,
        }
    }
}
