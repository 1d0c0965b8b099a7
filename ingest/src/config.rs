//! Settings of the intake, with the values that hold unless somebody says otherwise.

use std::time::Duration;

use watchfire_event::BatchLimits;

/// Settings of [`crate::Ingest`].
#[derive(Debug, Clone)]
pub struct IngestConfig {
    /// Bytes of a body, as sent and as inflated. Over it: 413.
    pub max_body_bytes: usize,
    /// Lines of a body. Over it: 413.
    pub max_lines: usize,
    /// Bytes of all requests under way together. Over it: 429.
    pub max_pending_bytes: usize,
    /// Requests that wait for the batcher. Over it: 429.
    pub max_pending_requests: usize,
    /// A request that no batch has taken for this long is refused: 429.
    pub queue_wait: Duration,
    /// A body that brings nothing for this long, or less than 1 KiB/s after it, is cut off: 408.
    pub body_timeout: Duration,
    /// A batch is closed at this many rows (a single request may be larger).
    pub batch_rows: usize,
    /// A batch is closed at this many bytes of input (a single request may be larger).
    pub batch_bytes: usize,
    /// Limits of a line and of the columns of a batch.
    pub limits: BatchLimits,
}

impl Default for IngestConfig {
    fn default() -> Self {
        IngestConfig {
            max_body_bytes: 64 << 20,
            max_lines: 1_000_000,
            max_pending_bytes: 256 << 20,
            max_pending_requests: 4_096,
            queue_wait: Duration::from_secs(1),
            body_timeout: Duration::from_secs(10),
            batch_rows: 8_192,
            batch_bytes: 8 << 20,
            limits: BatchLimits::default(),
        }
    }
}
