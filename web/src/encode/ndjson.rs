//! One event a line, as it came: what is exported can be sent in again.

use watchfire_event::EventBatch;

use super::{EncodeError, Encoder};

/// Writes newline-delimited JSON.
#[derive(Debug, Default)]
pub struct Ndjson;

impl Encoder<EventBatch> for Ndjson {
    fn encode(&mut self, batch: EventBatch) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::with_capacity(batch.rows() * 512);
        for row in 0..batch.rows() {
            serde_json::to_writer(&mut out, &batch.event_json(row))?;
            out.push(b'\n');
        }
        Ok(out)
    }

    fn finish(&mut self) -> Result<Vec<u8>, EncodeError> {
        Ok(Vec::new())
    }
}
