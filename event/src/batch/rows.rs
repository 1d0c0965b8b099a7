//! What can be asked of a batch, and how rows and columns of it are chosen.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, StringArray, UInt32Array,
    UInt64Array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute;
use arrow::datatypes::{Int32Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;

use super::{Column, EventBatch, Kind, Origin};

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
        let mut by_name: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
        for (i, column) in columns.iter().enumerate() {
            by_name.entry(column.name.clone()).or_default().push(i);
        }
        for list in by_name.values_mut() {
            list.sort_by_key(|i| columns.get(*i).map(|c| c.origin));
        }
        EventBatch {
            seq,
            time,
            received,
            columns: columns.into(),
            by_name: by_name.into(),
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
        let found = self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        found.iter().filter_map(|i| self.columns.get(*i))
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
        let fitting = extra.into_iter().filter(|c| c.array.len() == rows);
        let columns = self.columns.iter().cloned().chain(fitting).collect();
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

    /// Adds a flag (see [`crate::field`]) to the rows where `mask` is set.
    #[must_use]
    pub fn with_flag(self, flag: &str, mask: &BooleanBuffer) -> Self {
        use arrow::array::{ListBuilder, StringBuilder};
        let mut builder = ListBuilder::new(StringBuilder::new());
        for row in 0..self.rows() {
            let before = self.flags(row);
            let set = mask.value(row);
            before.iter().for_each(|f| builder.values().append_value(f));
            if set {
                builder.values().append_value(flag);
            }
            builder.append(set || !before.is_empty());
        }
        let array: ArrayRef = Arc::new(builder.finish());
        let flags = Column::new(crate::field::FLAGS, Kind::StrList, Origin::Meta, array);
        let others = self
            .columns
            .iter()
            .filter(|c| !(c.origin == Origin::Meta && &*c.name == crate::field::FLAGS));
        let columns = others.cloned().chain([flags]).collect();
        Self::assemble(self.seq, self.time, self.received, columns)
    }

    fn map_arrays(
        &self,
        f: impl Fn(&dyn Array) -> Result<ArrayRef, ArrowError>,
    ) -> Result<Self, ArrowError> {
        let columns = self
            .columns
            .iter()
            .map(|c| {
                Ok(Column {
                    array: f(c.array.as_ref())?,
                    ..c.clone()
                })
            })
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

    /// Bytes of memory held, shared buffers counted each time.
    pub fn memory_bytes(&self) -> usize {
        let columns: usize = self
            .columns
            .iter()
            .map(|c| c.array.get_array_memory_size())
            .sum();
        columns + self.columns.len() * size_of::<Column>() + self.rows() * 24
    }
}

impl Column {
    /// Keys and distinct values of a dictionary column ([`Kind::Str`], [`Kind::Json`]). The
    /// dictionary may hold values that no row uses.
    pub fn dictionary(&self) -> Option<(&Int32Array, &StringArray)> {
        let dictionary = self.array.as_dictionary_opt::<Int32Type>()?;
        Some((
            dictionary.keys(),
            dictionary.values().as_string_opt::<i32>()?,
        ))
    }
}
