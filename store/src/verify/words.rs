//! The index against its column: every word of every row, and no other.

use std::collections::HashMap;

use arrow::array::Array;
use watchfire_event::Column;

use super::segment::corrupt;
use crate::StoreError;
use crate::segment::{ColumnInfo, Segment, indexed_words};

/// Rows by their number and the sum of their digests: equal for equal sets of rows, and for
/// others with a chance of 2^-64.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct RowSet {
    rows: u64,
    sum: u64,
}

impl RowSet {
    fn add(&mut self, row: u32) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(mix(row));
    }

    fn join(&mut self, other: RowSet) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// The finisher of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(row: u32) -> u64 {
    let mut z = (u64::from(row) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Compares both ways; answers with the number of words.
///
/// # Errors
/// [`StoreError::Corrupt`] when a row is missing from the index or one too many is in it.
pub(super) fn compare(
    segment: &Segment,
    info: &ColumnInfo,
    column: &Column,
) -> Result<u64, StoreError> {
    let stored = &info.stored;
    let index = segment
        .index()
        .ok_or_else(|| corrupt("the index cannot be opened"))?;
    let mut expected = words_of(column);
    let words = expected.len() as u64;
    let mut odd = 0;
    let known = index.each_word(stored, |word, rows| {
        let mut found = RowSet::default();
        rows.for_each(|row| found.add(row));
        let right = std::str::from_utf8(word)
            .ok()
            .and_then(|word| expected.remove(word));
        odd += u64::from(right != Some(found));
    })?;
    match (known, odd, expected.len()) {
        (true, 0, 0) => Ok(words),
        (false, ..) => Err(corrupt(format!("the index does not know {stored}"))),
        (_, odd, missing) => Err(corrupt(format!(
            "the index of {stored} differs from the column in {odd} words and lacks {missing}"
        ))),
    }
}

/// The rows of each word, out of the column.
fn words_of(column: &Column) -> HashMap<String, RowSet> {
    let mut expected: HashMap<String, RowSet> = HashMap::new();
    let Some((keys, values)) = column.dictionary() else {
        return expected;
    };
    let mut by_value = vec![RowSet::default(); values.len()];
    for row in 0..keys.len() {
        if keys.is_valid(row)
            && let Some(set) = by_value.get_mut(keys.value(row) as usize)
        {
            set.add(row as u32);
        }
    }
    for (value, set) in by_value.into_iter().enumerate() {
        if set.rows == 0 {
            continue;
        }
        let mut words: Vec<String> = indexed_words(values.value(value)).collect();
        words.sort_unstable();
        words.dedup();
        for word in words {
            expected.entry(word).or_default().join(set);
        }
    }
    expected
}
