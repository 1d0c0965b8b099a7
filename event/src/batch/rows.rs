//! What can be asked of a batch, and how rows and columns of it are chosen.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, StringArray, UInt32Array,
    UInt64Array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute;
use arrow::datatypes::{Int32Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;

use super::names::ByName;
use super::{Column, EventBatch, Kind};

impl EventBatch {
    /// A batch with sequence numbers 0, 1, ... and event times equal to times of receipt.
    pub(super) fn from_columns(received: Int64Array, columns: Vec<Column>) -> Self {
        let rows = received.len() as u64;
        let seq = UInt64Array::from_iter_values(0..rows);
        Self::assemble(seq, received.clone(), received, columns)
    }

    pub(super) fn assemble(
        seq: UInt64Array,
        time: Int64Array,
        received: Int64Array,
        columns: Vec<Column>,
    ) -> Self {
        EventBatch {
            seq,
            time,
            received,
            columns: columns.into(),
            by_name: Arc::default(),
        }
    }

    /// A batch without rows or columns.
    pub fn empty() -> Self {
        Self::from_columns(Int64Array::from(Vec::<i64>::new()), Vec::new())
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.seq.len()
    }

    /// Sequence number of the first row.
    pub fn first_seq(&self) -> Option<u64> {
        self.seq.values().first().copied()
    }

    /// Sequence number of the last row.
    pub fn last_seq(&self) -> Option<u64> {
        self.seq.values().last().copied()
    }

    /// Sequence number of each row.
    pub fn seq(&self) -> &UInt64Array {
        &self.seq
    }

    /// Event time of each row, nanoseconds since the epoch.
    pub fn time(&self) -> &Int64Array {
        &self.time
    }

    /// Time of receipt of each row, nanoseconds since the epoch.
    pub fn received(&self) -> &Int64Array {
        &self.received
    }

    /// All columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The columns of that name: the event's own first, then mapped, inner, ours.
    pub fn named<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Column> + use<'a> {
        let by_name = self.by_name.get_or_init(|| ByName::of(&self.columns));
        by_name
            .get(&self.columns, name)
            .filter_map(|i| self.columns.get(i))
    }

    /// Numbers the rows `first`, `first + 1`, ...
    #[must_use]
    pub fn with_first_seq(mut self, first: u64) -> Self {
        let rows = self.rows() as u64;
        self.seq = UInt64Array::from_iter_values(first..first + rows);
        self
    }

    /// Appends columns, which must have as many values as the batch has rows; others are
    /// left out.
    #[must_use]
    pub fn with_columns(self, extra: Vec<Column>) -> Self {
        let rows = self.rows();
        let fitting = extra.into_iter().filter(|c| c.rows() == rows);
        let mut columns = Arc::unwrap_or_clone(self.columns);
        columns.extend(fitting);
        Self::assemble(self.seq, self.time, self.received, columns)
    }

    /// Sets the event times, nanoseconds since the epoch; ignored unless there is one a row.
    #[must_use]
    pub fn with_time(mut self, time: Int64Array) -> Self {
        if time.len() == self.rows() {
            self.time = time;
        }
        self
    }

    fn map_arrays(
        &self,
        f: impl Fn(&dyn Array) -> Result<ArrayRef, ArrowError>,
    ) -> Result<Self, ArrowError> {
        let columns = self
            .columns
            .iter()
            .map(|c| Ok(c.with_array(f(c.array().as_ref())?)))
            .collect::<Result<Vec<_>, ArrowError>>()?;
        Ok(EventBatch {
            seq: f(&self.seq)?.as_primitive::<UInt64Type>().clone(),
            time: f(&self.time)?.as_primitive::<Int64Type>().clone(),
            received: f(&self.received)?.as_primitive::<Int64Type>().clone(),
            columns: columns.into(),
            by_name: self.by_name.clone(),
        })
    }

    /// The rows where `mask` is set. A mask of another length selects nothing.
    #[must_use]
    pub fn filter(&self, mask: &BooleanBuffer) -> Self {
        if mask.count_set_bits() == self.rows() {
            return self.clone();
        }
        let mask = BooleanArray::new(mask.clone(), None);
        self.map_arrays(|a| compute::filter(a, &mask))
            .unwrap_or_else(|_| Self::empty())
    }

    /// The given rows in the given order; numbers beyond the last row select nothing at all.
    #[must_use]
    pub fn take(&self, rows: &[u32]) -> Self {
        if rows.iter().any(|r| *r as usize >= self.rows()) {
            return Self::empty();
        }
        let rows = UInt32Array::from(rows.to_vec());
        self.map_arrays(|a| compute::take(a, &rows, None))
            .unwrap_or_else(|_| Self::empty())
    }

    /// `len` rows from `offset`, cut to what there is. Copies nothing.
    #[must_use]
    pub fn slice(&self, offset: usize, len: usize) -> Self {
        let offset = offset.min(self.rows());
        let len = len.min(self.rows() - offset);
        self.map_arrays(|a| Ok(a.slice(offset, len)))
            .unwrap_or_else(|_| Self::empty())
    }

    /// The columns for which `keep` says so.
    #[must_use]
    pub fn project(&self, keep: impl Fn(&Column) -> bool) -> Self {
        let columns = self.columns.iter().filter(|c| keep(c)).cloned().collect();
        Self::assemble(
            self.seq.clone(),
            self.time.clone(),
            self.received.clone(),
            columns,
        )
    }

    /// Bytes of memory held, about. What batches share is counted in each.
    pub fn memory_bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(Column::memory_bytes).sum();
        columns + self.columns.len() * size_of::<Column>() + self.rows() * 24
    }
}

impl Column {
    /// Keys and distinct values of a dictionary column ([`Kind::Str`], [`Kind::Json`]). The
    /// dictionary may hold values that no row uses.
    pub fn dictionary(&self) -> Option<(&Int32Array, &StringArray)> {
        let dictionary = self.array().as_dictionary_opt::<Int32Type>()?;
        Some((
            dictionary.keys(),
            dictionary.values().as_string_opt::<i32>()?,
        ))
    }

    /// Bytes of its values as an array, and about what an array takes besides. Columns can share
    /// buffers, so the arrays themselves cannot be asked, and one that was not made may yet be.
    fn memory_bytes(&self) -> usize {
        const ARRAY: usize = 256;
        let rows = self.rows();
        let nulls = if self.count() < rows { rows / 8 } else { 0 };
        let cells = match self.kind {
            Kind::Str | Kind::Json | Kind::StrList | Kind::IntList => 4 * rows,
            Kind::Int | Kind::Float => 8 * rows,
            Kind::Bool => rows / 8,
        };
        let content = self.sparse_bytes().unwrap_or_else(|| self.content_bytes());
        ARRAY + nulls + cells + content
    }

    fn content_bytes(&self) -> usize {
        let texts = |values: &StringArray| values.value_data().len() + 4 * values.len();
        match self.kind {
            Kind::Str | Kind::Json => self.dictionary().map_or(0, |(_, values)| texts(values)),
            Kind::StrList => {
                let lists = self.array().as_list_opt::<i32>();
                let members = lists.and_then(|l| l.values().as_string_opt::<i32>());
                members.map_or(0, texts)
            }
            Kind::IntList => {
                let lists = self.array().as_list_opt::<i32>();
                8 * lists.map_or(0, |l| l.values().len())
            }
            Kind::Int | Kind::Float | Kind::Bool => 0,
        }
    }
}
