//! Gives equal strings equal numbers: the dictionary of a column while it is being built.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;
use hashbrown::HashTable;

/// Distinct strings in order of first appearance.
///
/// Hashing is randomly seeded: keys and values come from outside.
#[derive(Debug)]
pub(super) struct Interner {
    hasher: RandomState,
    table: HashTable<i32>,
    text: String,
    ends: Vec<i32>,
}

impl Interner {
    pub(super) fn new() -> Self {
        Interner {
            hasher: RandomState::new(),
            table: HashTable::new(),
            text: String::new(),
            ends: vec![0],
        }
    }

    /// The number of `value`, new or known. `None` when the dictionary would pass 2 GiB.
    pub(super) fn intern(&mut self, value: &str) -> Option<i32> {
        let Interner {
            hasher,
            table,
            text,
            ends,
        } = self;
        let at = |id: i32| slice(text, ends, id);
        let hash = hasher.hash_one(value);
        if let Some(id) = table.find(hash, |id| at(*id) == value) {
            return Some(*id);
        }
        let end = i32::try_from(text.len() + value.len()).ok()?;
        let id = i32::try_from(ends.len() - 1).ok()?;
        table.insert_unique(hash, id, |id| hasher.hash_one(at(*id)));
        text.push_str(value);
        ends.push(end);
        Some(id)
    }

    /// Bytes of text held.
    pub(super) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// A dictionary array of these strings with `keys` (negative: null).
    pub(super) fn finish(self, keys: Vec<i32>) -> Result<ArrayRef, ArrowError> {
        let values = StringArray::try_new(
            OffsetBuffer::new(ScalarBuffer::from(self.ends)),
            self.text.into_bytes().into(),
            None,
        )?;
        let nulls: Option<arrow::buffer::NullBuffer> = if keys.iter().any(|k| *k < 0) {
            Some(keys.iter().map(|k| *k >= 0).collect::<Vec<bool>>().into())
        } else {
            None
        };
        let keys: Vec<i32> = keys.into_iter().map(|k| k.max(0)).collect();
        let keys = Int32Array::new(ScalarBuffer::from(keys), nulls);
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(
            keys,
            Arc::new(values),
        )?))
    }
}

fn slice<'a>(text: &'a str, ends: &[i32], id: i32) -> &'a str {
    let id = id as usize;
    match (ends.get(id), ends.get(id + 1)) {
        (Some(from), Some(to)) => text.get(*from as usize..*to as usize).unwrap_or(""),
        _ => "",
    }
}
