//! Reading chosen columns of chosen rows of a segment.

use std::io;

use arrow::buffer::BooleanBuffer;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use watchfire_event::EventBatch;

use super::{EVENTS_FILE, FILTER_FILE, Segment, hex, plain};
use crate::StoreError;
use crate::vault::VaultFile;

/// Picking rows out pays when they are fewer than one in so many.
const SPARSE: usize = 8;
/// Rows from which on it pays to read each row group by itself.
const MANY: usize = 512;

/// Rows of a segment or of a batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Rows {
    /// Every row.
    All,
    /// No row.
    None,
    /// The rows whose bit is set.
    Some(BooleanBuffer),
}

impl Rows {
    /// Rows in either.
    pub fn or(self, other: Rows) -> Rows {
        match (self, other) {
            (Rows::All, _) | (_, Rows::All) => Rows::All,
            (Rows::None, rows) | (rows, Rows::None) => rows,
            (Rows::Some(a), Rows::Some(b)) => Rows::of(&a | &b),
        }
    }

    /// Rows in both.
    pub fn and(self, other: Rows) -> Rows {
        match (self, other) {
            (Rows::None, _) | (_, Rows::None) => Rows::None,
            (Rows::All, rows) | (rows, Rows::All) => rows,
            (Rows::Some(a), Rows::Some(b)) => Rows::of(&a & &b),
        }
    }

    /// The other rows.
    pub fn not(self) -> Rows {
        match self {
            Rows::All => Rows::None,
            Rows::None => Rows::All,
            Rows::Some(mask) => Rows::of(!&mask),
        }
    }

    /// A mask; [`Rows::None`] when no bit is set, and [`Rows::All`] when all are.
    pub fn of(mask: BooleanBuffer) -> Rows {
        match mask.count_set_bits() {
            0 => Rows::None,
            set if set == mask.len() => Rows::All,
            _ => Rows::Some(mask),
        }
    }

    /// How many of `rows` rows.
    pub fn count(&self, rows: usize) -> usize {
        match self {
            Rows::All => rows,
            Rows::None => 0,
            Rows::Some(mask) => mask.count_set_bits(),
        }
    }

    /// Are they so few of `rows` rows that picking them out is faster than reading all?
    pub fn is_sparse(&self, rows: usize) -> bool {
        self.count(rows) * SPARSE < rows
    }

    /// Is the row among them?
    pub fn holds(&self, row: usize) -> bool {
        match self {
            Rows::All => true,
            Rows::None => false,
            Rows::Some(mask) => row < mask.len() && mask.value(row),
        }
    }

    /// As a mask over `rows` rows.
    pub fn to_mask(&self, rows: usize) -> BooleanBuffer {
        match self {
            Rows::All => BooleanBuffer::new_set(rows),
            Rows::None => BooleanBuffer::new_unset(rows),
            Rows::Some(mask) => mask.clone(),
        }
    }
}

impl Segment {
    /// Reads the columns whose stored name `keep` takes (the row's own are `_seq`, `_time` and
    /// `_received`), in row order, as one batch of the chosen rows.
    pub fn read(&self, keep: impl Fn(&str) -> bool, rows: &Rows) -> Result<EventBatch, StoreError> {
        if let Rows::Some(mask) = rows
            && !rows.is_sparse(self.rows())
        {
            // Picking most of the rows one by one takes longer than reading all of them.
            return Ok(self.read(keep, &Rows::All)?.filter(mask));
        }
        if let Rows::Some(mask) = rows
            && rows.count(self.rows()) >= MANY
        {
            return self.read_by_groups(keep, mask);
        }
        let wanted = rows.count(self.rows());
        let mut reader = self.record_batches(keep, rows, wanted.max(1))?;
        let record = match reader.next() {
            Some(record) => record?,
            None => RecordBatch::new_empty(reader_schema(&reader)),
        };
        self.batch(record, wanted)
    }

    fn batch(&self, record: RecordBatch, wanted: usize) -> Result<EventBatch, StoreError> {
        let record = hex::unpacked(record)?;
        if record.num_rows() != wanted {
            return Err(StoreError::Corrupt(format!(
                "{}: {} of {wanted} rows read",
                self.info.id,
                record.num_rows()
            )));
        }
        Ok(EventBatch::from_record_batch(&record)?)
    }

    /// Reads the rows of one row group after the other. Each has its dictionaries, and where one
    /// read crosses from one to the next, the reader hashes every value again to make one of
    /// them; here only the different values are.
    fn read_by_groups(
        &self,
        keep: impl Fn(&str) -> bool,
        mask: &BooleanBuffer,
    ) -> Result<EventBatch, StoreError> {
        let groups = self.footer.metadata().row_groups().iter();
        let lengths = groups.map(|group| usize::try_from(group.num_rows()).unwrap_or(0));
        let mut batches = Vec::new();
        let mut start = 0;
        for (group, length) in lengths.enumerate() {
            let length = length.min(mask.len().saturating_sub(start));
            let of_group = mask.slice(start, length);
            start += length;
            let wanted = of_group.count_set_bits();
            if wanted == 0 {
                continue;
            }
            let footer = self.plain_footer();
            let builder = self.builder(&keep, footer, wanted)?;
            let builder = builder.with_row_groups(vec![group]);
            let selection = RowSelection::from_boolean_buffer(of_group);
            let mut reader = builder.with_row_selection(selection).build()?;
            let record = match reader.next() {
                Some(record) => record?,
                None => RecordBatch::new_empty(reader_schema(&reader)),
            };
            batches.push(self.batch(plain::coded(record)?, wanted)?);
        }
        Ok(EventBatch::concat(&batches, usize::MAX)?)
    }

    /// As [`Self::read`], in batches of `batch_rows` rows.
    pub fn batches<F: Fn(&str) -> bool>(
        &self,
        keep: F,
        rows: &Rows,
        batch_rows: usize,
    ) -> Result<impl Iterator<Item = Result<EventBatch, StoreError>> + use<F>, StoreError> {
        let records = self.record_batches(keep, rows, batch_rows)?;
        let batch = |record: RecordBatch| -> Result<EventBatch, StoreError> {
            Ok(EventBatch::from_record_batch(&hex::unpacked(record)?)?)
        };
        Ok(records.map(move |record| batch(record?)))
    }

    fn record_batches(
        &self,
        keep: impl Fn(&str) -> bool,
        rows: &Rows,
        batch_rows: usize,
    ) -> Result<ParquetRecordBatchReader, StoreError> {
        let builder = self.builder(keep, self.footer.clone(), batch_rows)?;
        let builder = match rows {
            Rows::All => builder,
            Rows::None => builder.with_row_groups(Vec::new()),
            Rows::Some(mask) => {
                builder.with_row_selection(RowSelection::from_boolean_buffer(mask.clone()))
            }
        };
        Ok(builder.build()?)
    }

    fn builder(
        &self,
        keep: impl Fn(&str) -> bool,
        footer: ArrowReaderMetadata,
        batch_rows: usize,
    ) -> Result<ParquetRecordBatchReaderBuilder<VaultFile>, StoreError> {
        let file = self.open_events()?;
        let fields = footer.schema().fields();
        let roots = fields
            .iter()
            .enumerate()
            .filter(|(_, f)| keep(f.name()))
            .map(|(i, _)| i);
        let projection = ProjectionMask::roots(footer.parquet_schema(), roots);
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer)
            .with_projection(projection)
            .with_batch_size(batch_rows);
        Ok(builder)
    }

    fn plain_footer(&self) -> ArrowReaderMetadata {
        let made = self.plain_footer.get_or_init(|| {
            // What cannot be read as plain text is read with dictionaries.
            plain::footer(&self.footer).unwrap_or_else(|_| self.footer.clone())
        });
        made.clone()
    }

    fn open_events(&self) -> Result<VaultFile, StoreError> {
        let path = self.dir.join(EVENTS_FILE);
        let opened = self.vault.open_file(&path);
        opened.map_err(StoreError::io(path.display().to_string()))
    }

    /// Rows that may hold exactly this value of `stored`, a column with a filter.
    pub fn rows_that_may_hold(&self, stored: &str, value: &str) -> Result<Rows, StoreError> {
        let mut filters = self.info.filters.iter();
        let Some(filter) = filters.find(|f| f.stored == stored && !f.words) else {
            return Ok(Rows::All);
        };
        self.ask_filters(|file| filter.rows(file, value, self.rows()))
    }

    /// May a value of the column hold all these words, given in lower case? Yes where no filter
    /// tells.
    pub fn may_hold_words(&self, stored: &str, words: &[String]) -> Result<bool, StoreError> {
        let mut filters = self.info.filters.iter();
        match filters.find(|f| f.stored == stored && f.words) {
            Some(filter) => self.ask_filters(|file| filter.may_hold(file, words)),
            None => Ok(true),
        }
    }

    fn ask_filters<T>(&self, ask: impl Fn(&VaultFile) -> io::Result<T>) -> Result<T, StoreError> {
        let path = self.dir.join(FILTER_FILE);
        let answer = self.vault.open_file(&path).and_then(|file| ask(&file));
        answer.map_err(StoreError::io(path.display().to_string()))
    }
}

fn reader_schema(reader: &ParquetRecordBatchReader) -> arrow::datatypes::SchemaRef {
    use arrow::record_batch::RecordBatchReader;
    reader.schema()
}
