//! Parquet with zstd; a row group is closed by memory, so that any export fits.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::{EncodeError, Encoder};

/// Encoded bytes in memory at which a row group is closed.
const ROW_GROUP_BYTES: usize = 16 << 20;

/// Writes a Parquet file.
pub struct Parquet(ArrowWriter<Vec<u8>>);

impl Parquet {
    /// A file with the columns of `schema`.
    ///
    /// # Errors
    /// Parquet knows no such columns.
    pub fn new(schema: SchemaRef) -> Result<Self, ParquetError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_created_by("watchfire".to_owned())
            .build();
        Ok(Parquet(ArrowWriter::try_new(
            Vec::new(),
            schema,
            Some(properties),
        )?))
    }

    fn take(&mut self) -> Result<Vec<u8>, EncodeError> {
        self.0.sync().map_err(ParquetError::from)?;
        // The writer counts what it wrote by itself, so its sink may be emptied.
        Ok(std::mem::take(self.0.inner_mut()))
    }
}

impl Encoder<RecordBatch> for Parquet {
    fn encode(&mut self, batch: RecordBatch) -> Result<Vec<u8>, EncodeError> {
        self.0.write(&batch)?;
        if self.0.in_progress_size() >= ROW_GROUP_BYTES {
            self.0.flush()?;
        }
        self.take()
    }

    fn finish(&mut self) -> Result<Vec<u8>, EncodeError> {
        self.0.finish()?;
        self.take()
    }
}
