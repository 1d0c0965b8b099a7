//! The Arrow IPC stream format.

use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;

use super::{EncodeError, Encoder};

/// Writes an Arrow IPC stream.
pub struct ArrowIpc(StreamWriter<Vec<u8>>);

impl ArrowIpc {
    /// A stream of batches of `schema`.
    ///
    /// # Errors
    /// The schema cannot be written.
    pub fn new(schema: &Schema) -> Result<Self, ArrowError> {
        Ok(ArrowIpc(StreamWriter::try_new(Vec::new(), schema)?))
    }
}

impl Encoder<RecordBatch> for ArrowIpc {
    fn encode(&mut self, batch: RecordBatch) -> Result<Vec<u8>, EncodeError> {
        self.0.write(&batch)?;
        Ok(std::mem::take(self.0.get_mut()))
    }

    fn finish(&mut self) -> Result<Vec<u8>, EncodeError> {
        self.0.finish()?;
        Ok(std::mem::take(self.0.get_mut()))
    }
}
