//! Names of fields: the ECS names that Watchfire itself reads, and the fields it adds.
//!
//! ECS is the Elastic Common Schema, the field names that Sigma pipelines, shippers and analysts
//! share. A field that is not listed here is kept and searchable all the same.

/// Sequence number of the event in the log; unique, rising in the order of arrival.
pub const SEQ: &str = "_seq";
/// When the event was received.
pub const RECEIVED: &str = "_received";
/// Name of the token that shipped the event.
pub const SOURCE: &str = "_source";
/// What was odd about the event, see the `FLAG_` constants.
pub const FLAGS: &str = "_flags";
/// The line as it was received, kept where columns cannot give the event back exactly.
pub const RAW: &str = "_raw";
/// JSON object (dotted name to value) of fields beyond the column limit of a batch.
pub const OVERFLOW: &str = "_overflow";

/// When the event happened, as the event says.
pub const TIMESTAMP: &str = "@timestamp";
/// The sentence a person wrote.
pub const MESSAGE: &str = "message";

/// The event has no time of its own; the time of receipt is used.
pub const FLAG_NO_TIMESTAMP: &str = "no_timestamp";
/// The event's time could not be read; the time of receipt is used.
pub const FLAG_BAD_TIMESTAMP: &str = "bad_timestamp";
/// The event's time is more than 10 minutes ahead of, or 30 days behind, its receipt.
pub const FLAG_CLOCK_SKEW: &str = "clock_skew";
/// The event says a key twice; all values are searchable, the text is kept.
pub const FLAG_DUP_KEY: &str = "dup_key";
/// The event has fields beyond the column limit; they are kept in [`OVERFLOW`].
pub const FLAG_FIELD_OVERFLOW: &str = "field_overflow";
