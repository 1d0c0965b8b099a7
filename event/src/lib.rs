//! The language all parts of Watchfire speak.
//!
//! An event is a JSON object; events travel as an [`EventBatch`]: one Arrow column per path.
//! Everything else works on batches: a [`Query`] selects rows of one, detectors read one and
//! answer with an [`Alert`], the store keeps one.
//!
//! This crate has no input or output, no clock and no threads. It depends on none of the other
//! Watchfire crates, and they meet only here.

pub mod alert;
pub mod batch;
pub mod field;
pub mod log;
pub mod query;
pub mod time;

pub use alert::{Alert, AlertKind, AlertStatus, Evidence, RuleRef, Severity};
pub use batch::{
    BatchBuilder, BatchLimits, Column, ColumnShape, EventBatch, Kind, LineCode, LineError, Origin,
    RowMeta,
};
pub use log::{CommitError, DeadLetter, EventLog, Key, Record};
pub use query::{Query, QueryError};
pub use time::TimeRange;
