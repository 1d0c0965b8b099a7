//! The values of a column: an array, or what it is made of when somebody asks.

use std::sync::OnceLock;

use arrow::array::{Array, ArrayRef, BooleanBufferBuilder, new_null_array};
use arrow::buffer::BooleanBuffer;

use super::sparse::{Sparse, SparseTexts};
use super::{Column, Kind};

/// How a column holds its values.
#[derive(Debug, Clone)]
pub(super) enum Held {
    Array(ArrayRef),
    Sparse {
        sparse: Sparse,
        /// Made when first asked for.
        array: OnceLock<ArrayRef>,
    },
}

impl Held {
    /// Values of which no array is made yet.
    pub(super) fn sparse(sparse: Sparse) -> Self {
        let array = OnceLock::new();
        Held::Sparse { sparse, array }
    }

    fn array(&self, kind: Kind) -> &ArrayRef {
        match self {
            Held::Array(array) => array,
            Held::Sparse { sparse, array } => array.get_or_init(|| {
                // Arrays are made to fit; if one did not, losing it must not lose the batch.
                sparse.array().unwrap_or_else(|error| {
                    debug_assert!(false, "column does not fit: {error}");
                    new_null_array(&kind.data_type(), sparse.len())
                })
            }),
        }
    }
}

impl Column {
    /// The values, one a row, null where the row has none. Asked for the first time, it may have
    /// to be made; what can be told without it is cheaper to ask.
    pub fn array(&self) -> &ArrayRef {
        self.values.array(self.kind)
    }

    /// The same column with other values, which must be of its kind.
    #[must_use]
    pub fn with_array(&self, array: ArrayRef) -> Column {
        Column {
            name: self.name.clone(),
            path: self.path.clone(),
            kind: self.kind,
            origin: self.origin,
            values: Held::Array(array),
        }
    }

    /// Is the array made? Then it costs nothing to ask for it.
    pub fn has_array(&self) -> bool {
        match &self.values {
            Held::Array(_) => true,
            Held::Sparse { array, .. } => array.get().is_some(),
        }
    }

    /// Rows of the column.
    pub fn rows(&self) -> usize {
        match &self.values {
            Held::Array(array) => array.len(),
            Held::Sparse { sparse, .. } => sparse.len(),
        }
    }

    /// How many rows have a value.
    pub fn count(&self) -> usize {
        match &self.values {
            Held::Array(array) => array.len() - array.null_count(),
            Held::Sparse { sparse, .. } => sparse.count(),
        }
    }

    /// The rows that have a value, rising.
    pub fn rows_with_value(&self) -> impl Iterator<Item = usize> + '_ {
        let (mut first, mut some, mut valid) = (0, None, None);
        match &self.values {
            Held::Array(array) => match array.nulls() {
                Some(nulls) => valid = Some(nulls.valid_indices()),
                None => first = array.len(),
            },
            Held::Sparse { sparse, .. } => match sparse.rows() {
                Some(rows) => some = Some(rows.iter().map(|row| *row as usize)),
                None => first = sparse.count(),
            },
        }
        let some = some.into_iter().flatten();
        (0..first).chain(some).chain(valid.into_iter().flatten())
    }

    /// The rows that have a value, as bits.
    pub fn mask(&self) -> BooleanBuffer {
        if let Held::Array(array) = &self.values {
            return match array.nulls() {
                Some(nulls) => nulls.inner().clone(),
                None => BooleanBuffer::new_set(array.len()),
            };
        }
        let mut mask = BooleanBufferBuilder::new(self.rows());
        mask.append_n(self.rows(), false);
        self.rows_with_value()
            .for_each(|row| mask.set_bit(row, true));
        mask.finish()
    }

    /// Has the row a value?
    pub fn has_value(&self, row: usize) -> bool {
        match &self.values {
            Held::Array(array) => row < array.len() && array.is_valid(row),
            Held::Sparse { sparse, .. } => match sparse.rows() {
                Some(rows) => u32::try_from(row).is_ok_and(|row| rows.binary_search(&row).is_ok()),
                None => row < sparse.count(),
            },
        }
    }

    /// The texts of a column of which no array was made yet.
    pub fn sparse_texts(&self) -> Option<SparseTexts<'_>> {
        match &self.values {
            Held::Sparse { sparse, array } if array.get().is_none() => sparse.texts(),
            _ => None,
        }
    }

    /// Bytes of texts and members of lists, if they can be told without the array.
    pub(super) fn sparse_bytes(&self) -> Option<usize> {
        match &self.values {
            Held::Sparse { sparse, .. } => Some(sparse.content_bytes()),
            Held::Array(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::{BatchBuilder, BatchLimits, Column, EventBatch, Kind, RowMeta};

    /// Rows of which few have each field: some at the beginning, the others with gaps.
    fn batch() -> EventBatch {
        let mut builder = BatchBuilder::new(BatchLimits::default());
        let meta = RowMeta {
            received_ns: 0,
            source: "test".into(),
        };
        for row in 0..200 {
            let line = match row {
                0..3 => r#"{"first":"ä","early":[1,2]}"#.to_owned(),
                50 | 120 => format!(r#"{{"s":"v{row}","i":{row},"l":["a","b"],"j":[1,"x"]}}"#),
                121 => r#"{"s":"v50","f":0.5,"b":true,"l":["c"],"j":{},"s2":""}"#.to_owned(),
                _ => "{}".to_owned(),
            };
            builder.push(line.as_bytes(), &meta).unwrap();
        }
        builder.finish()
    }

    /// What a sparse column says of itself.
    fn told(column: &Column) -> (usize, Vec<usize>, Vec<bool>, Vec<bool>) {
        let has = (0..column.rows() + 2).map(|row| column.has_value(row));
        let mask = column.mask().iter().collect();
        let rows = column.rows_with_value().collect();
        (column.count(), rows, has.collect(), mask)
    }

    #[test]
    fn what_is_told_without_an_array_is_what_the_array_says() {
        let batch = batch();
        let mut kinds: Vec<Kind> = Vec::new();
        for column in batch.columns().iter().filter(|c| !c.has_array()) {
            let without = told(column);
            assert!(!column.has_array(), "{}", column.name);
            let texts = column.sparse_texts().map(|texts| {
                let mut all = Vec::new();
                texts.each(|row, code| all.push((row, texts.text(code).to_owned())));
                all
            });
            let with = column.with_array(column.array().clone());
            assert_eq!(without, told(&with), "{}", column.name);
            assert!(column.sparse_texts().is_none(), "{}", column.name);
            if let Some(texts) = texts {
                let mut all = Vec::new();
                for row in 0..with.rows() {
                    match (with.kind, with.json(row)) {
                        (_, None) => {}
                        (Kind::Json, Some(value)) => all.push((row, value.to_string())),
                        (_, Some(_)) => with.for_each_text(row, |t| all.push((row, t.into()))),
                    }
                }
                assert_eq!(texts, all, "{}", column.name);
            }
            kinds.push(column.kind);
        }
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), 7, "{kinds:?}");
    }
}
