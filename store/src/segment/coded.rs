//! A column as codes: each distinct value once, and one small number a row.
//!
//! Most columns of most logs repeat. A test is then asked once per distinct value and a count is
//! an addition, whatever the number of rows; and one or two bytes a row are few enough to keep
//! the columns that people query in memory.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array, StringArray};
use arrow::array::{RecordBatch, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};
use arrow::row::{RowConverter, SortField};
use watchfire_event::query::Node;
use watchfire_event::{Column, EventBatch, Kind};

use super::Rows;
use crate::StoreError;

/// Rows of a block, for which counts by code are kept where codes are few.
const BLOCK_ROWS: usize = 4_096;
/// Up to so many codes have counts by block.
const BLOCK_CODES: usize = 64;
/// Columns with more distinct values than that have no codes.
const MAX_CODES: usize = u16::MAX as usize;

/// Codes of the rows, as narrow as they can be.
#[derive(Debug)]
enum Codes {
    Byte(Vec<u8>),
    Word(Vec<u16>),
}

/// A column of a segment or of a batch in memory, as codes.
#[derive(Debug)]
pub(crate) struct Coded {
    /// A row a distinct value, by code; the last row is a row without a value.
    values: EventBatch,
    codes: Codes,
    /// Rows by code; the last is of rows without a value.
    counts: Vec<u32>,
    /// Rows before each block, by block and then by code; empty where codes are many.
    blocks: Vec<u32>,
}

impl Coded {
    /// Can a column of so many rows with about so many distinct values have codes? Not one whose
    /// values hardly repeat, such as times: their texts would push out all others.
    pub fn is_worthwhile(rows: u64, distinct: u64) -> bool {
        distinct < MAX_CODES as u64 && (distinct < 1_024 || distinct * 4 <= rows)
    }

    /// The column as codes; `None` when it has too many distinct values.
    pub fn of(column: &Column) -> Result<Option<Coded>, StoreError> {
        let Some((numbers, firsts)) = number(column)? else {
            return Ok(None);
        };
        let distinct = firsts.len();
        let values = distinct_values(column, &firsts)?;
        let mut counts = vec![0_u32; distinct + 1];
        for number in &numbers {
            if let Some(count) = counts.get_mut(usize::from(*number)) {
                *count += 1;
            }
        }
        let codes = match distinct <= usize::from(u8::MAX) {
            true => Codes::Byte(numbers.iter().map(|n| *n as u8).collect()),
            false => Codes::Word(numbers),
        };
        let mut coded = Coded {
            values,
            codes,
            counts,
            blocks: Vec::new(),
        };
        if distinct < BLOCK_CODES {
            coded.count_blocks();
        }
        Ok(Some(coded))
    }

    fn count_blocks(&mut self) {
        let width = self.counts.len();
        let mut sums = vec![0_u32; width];
        let mut blocks = Vec::with_capacity((self.rows() / BLOCK_ROWS + 1) * width);
        for row in 0..self.rows() {
            if row % BLOCK_ROWS == 0 {
                blocks.extend_from_slice(&sums);
            }
            if let Some(sum) = sums.get_mut(self.code(row)) {
                *sum += 1;
            }
        }
        blocks.extend_from_slice(&sums);
        self.blocks = blocks;
    }

    pub fn rows(&self) -> usize {
        match &self.codes {
            Codes::Byte(codes) => codes.len(),
            Codes::Word(codes) => codes.len(),
        }
    }

    /// Number of distinct values, which is also the code of rows without one.
    pub fn distinct(&self) -> usize {
        self.counts.len() - 1
    }

    /// The code of a row; that of rows without a value beyond the last row.
    pub fn code(&self, row: usize) -> usize {
        let code = match &self.codes {
            Codes::Byte(codes) => codes.get(row).map(|c| usize::from(*c)),
            Codes::Word(codes) => codes.get(row).map(|c| usize::from(*c)),
        };
        code.unwrap_or(self.distinct())
    }

    /// Rows with each code, of all rows; the last is of rows without a value.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// One row a distinct value, by code, and one without a value.
    pub fn values(&self) -> &EventBatch {
        &self.values
    }

    /// Rows that pass a test of this column alone. Exact.
    pub fn rows_passing(&self, node: &Node) -> Rows {
        let passing = node.matches(&self.values);
        let mut passed = 0_u64;
        for code in passing.set_indices() {
            passed += u64::from(self.counts.get(code).copied().unwrap_or_default());
        }
        if passed == 0 {
            return Rows::None;
        }
        if passed == self.rows() as u64 {
            return Rows::All;
        }
        let passing: Vec<bool> = passing.iter().collect();
        let mask = match &self.codes {
            Codes::Byte(codes) => {
                let mut table = [false; 256];
                table.iter_mut().zip(&passing).for_each(|(t, p)| *t = *p);
                BooleanBuffer::collect_bool(codes.len(), |row| table[usize::from(codes[row])])
            }
            Codes::Word(codes) => {
                BooleanBuffer::collect_bool(codes.len(), |row| passing[usize::from(codes[row])])
            }
        };
        Rows::Some(mask)
    }

    /// Adds to `counts`, by code, the rows `from..to` that are set in `rows`.
    pub fn count_range(&self, rows: &Rows, (from, to): (usize, usize), counts: &mut [u64]) {
        match rows {
            Rows::None => {}
            Rows::All => self.count_all(from, to, counts),
            Rows::Some(mask) => {
                let to = to.min(mask.len());
                for row in mask.slice(from.min(to), to - from.min(to)).set_indices() {
                    increment(counts, self.code(from + row), 1);
                }
            }
        }
    }

    fn count_all(&self, from: usize, to: usize, counts: &mut [u64]) {
        let (first, last) = (from.div_ceil(BLOCK_ROWS), to / BLOCK_ROWS);
        if self.blocks.is_empty() || first >= last {
            (from..to).for_each(|row| increment(counts, self.code(row), 1));
            return;
        }
        (from..first * BLOCK_ROWS).for_each(|row| increment(counts, self.code(row), 1));
        (last * BLOCK_ROWS..to).for_each(|row| increment(counts, self.code(row), 1));
        let width = self.counts.len();
        for code in 0..width {
            let before = |block: usize| self.blocks.get(block * width + code).copied();
            let (start, end) = (before(first), before(last));
            let between = end.unwrap_or_default() - start.unwrap_or_default();
            increment(counts, code, u64::from(between));
        }
    }

    /// The values of the set rows of `rows`, in row order, as a column.
    pub fn take(&self, rows: &Rows) -> Result<Option<Column>, StoreError> {
        let Some(column) = self.values.columns().first() else {
            return Ok(None);
        };
        let places: UInt32Array = match rows {
            Rows::None => UInt32Array::from(Vec::<u32>::new()),
            Rows::All => (0..self.rows())
                .map(|r| Some(self.code(r) as u32))
                .collect(),
            Rows::Some(mask) => {
                let set = mask.set_indices();
                set.map(|row| Some(self.code(row) as u32)).collect()
            }
        };
        let array = take(column.array().as_ref(), &places, None)?;
        Ok(Some(column.with_array(array)))
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        let codes = match &self.codes {
            Codes::Byte(codes) => codes.len(),
            Codes::Word(codes) => codes.len() * 2,
        };
        codes + self.values.memory_bytes() + (self.counts.len() + self.blocks.len()) * 4
    }
}

fn increment(counts: &mut [u64], place: usize, n: u64) {
    if let Some(count) = counts.get_mut(place) {
        *count += n;
    }
}

/// A number for the value of each row, in the order in which values are first seen (that of
/// rows without one is the number of distinct values), and the first row of each value.
type Numbered = (Vec<u16>, Vec<u32>);

/// Numbers the values of a column; `None` when there are too many.
fn number(column: &Column) -> Result<Option<Numbered>, StoreError> {
    let array = column.array();
    let present = |row: usize| array.is_valid(row);
    if let Some((keys, values)) = column.dictionary() {
        return Ok(number_dictionary(keys, values));
    }
    if let Some(ints) = array.as_primitive_opt::<Int64Type>() {
        return Ok(number_by(array.len(), |row| {
            present(row).then(|| ints.value(row))
        }));
    }
    if let Some(floats) = array.as_primitive_opt::<Float64Type>() {
        return Ok(number_by(array.len(), |row| {
            present(row).then(|| floats.value(row).to_bits())
        }));
    }
    if let Some(bools) = array.as_boolean_opt() {
        return Ok(number_by(array.len(), |row| {
            present(row).then(|| bools.value(row))
        }));
    }
    let sort = SortField::new(array.data_type().clone());
    let converter = RowConverter::new(vec![sort])?;
    let rows = converter.convert_columns(std::slice::from_ref(array))?;
    Ok(number_by(array.len(), |row| {
        present(row).then(|| rows.row(row))
    }))
}

/// The same value may lie in a dictionary several times, and some of its values in no row.
fn number_dictionary(keys: &Int32Array, values: &StringArray) -> Option<Numbered> {
    let mut of_key: Vec<Option<u16>> = vec![None; values.len()];
    let mut of_text: HashMap<&str, u16> = HashMap::new();
    let (mut numbers, mut firsts) = (Vec::with_capacity(keys.len()), Vec::new());
    for row in 0..keys.len() {
        if keys.is_null(row) {
            numbers.push(u16::MAX);
            continue;
        }
        let key = keys.value(row) as usize;
        let known = of_key.get(key).copied().flatten();
        let number = match known {
            Some(number) => number,
            None => {
                let next = firsts.len();
                let number = *of_text.entry(values.value(key)).or_insert(next as u16);
                if usize::from(number) == next {
                    firsts.push(row as u32);
                }
                if firsts.len() >= MAX_CODES {
                    return None;
                }
                if let Some(slot) = of_key.get_mut(key) {
                    *slot = Some(number);
                }
                number
            }
        };
        numbers.push(number);
    }
    Some(closed(numbers, firsts))
}

fn number_by<T: std::hash::Hash + Eq>(
    rows: usize,
    value: impl Fn(usize) -> Option<T>,
) -> Option<Numbered> {
    let mut known: HashMap<T, u16> = HashMap::new();
    let (mut numbers, mut firsts) = (Vec::with_capacity(rows), Vec::new());
    for row in 0..rows {
        let Some(value) = value(row) else {
            numbers.push(u16::MAX);
            continue;
        };
        let next = firsts.len();
        let number = *known.entry(value).or_insert(next as u16);
        if usize::from(number) == next {
            firsts.push(row as u32);
        }
        if firsts.len() >= MAX_CODES {
            return None;
        }
        numbers.push(number);
    }
    Some(closed(numbers, firsts))
}

/// Gives rows without a value the number after the last.
fn closed(mut numbers: Vec<u16>, firsts: Vec<u32>) -> Numbered {
    let none = firsts.len() as u16;
    for number in &mut numbers {
        *number = (*number).min(none);
    }
    (numbers, firsts)
}

/// A batch with a row a distinct value and one more without a value.
fn distinct_values(column: &Column, firsts: &[u32]) -> Result<EventBatch, StoreError> {
    let array: ArrayRef = match column.dictionary() {
        Some((keys, values)) => {
            // Only the values in use, each once.
            let texts = firsts.iter().map(|row| {
                let key = keys.value(*row as usize) as usize;
                Some(values.value(key))
            });
            let texts: StringArray = texts.collect();
            let keys = (0..firsts.len() as i32).map(Some).chain([None]);
            let keys: Int32Array = keys.collect();
            Arc::new(DictionaryArray::try_new(keys, Arc::new(texts))?)
        }
        None => {
            let places: UInt32Array = firsts.iter().map(|r| Some(*r)).chain([None]).collect();
            take(column.array().as_ref(), &places, None)?
        }
    };
    debug_assert!(
        column.kind != Kind::Str || matches!(array.data_type(), DataType::Dictionary(..))
    );
    let field = Field::new(column.physical_name(), array.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array])?;
    Ok(EventBatch::from_record_batch(&batch)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use watchfire_event::{BatchBuilder, BatchLimits, Query, RowMeta};

    fn batch(values: &[serde_json::Value]) -> EventBatch {
        let mut builder = BatchBuilder::new(BatchLimits::default());
        let meta = RowMeta {
            received_ns: 0,
            source: "t".into(),
        };
        for value in values {
            let line = json!({"v": value, "other": 1}).to_string();
            builder.push(line.as_bytes(), &meta).unwrap();
        }
        builder.finish()
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        prop_oneof![
            Just(json!(null)),
            (0..4).prop_map(|n| json!(n)),
            (0..4).prop_map(|n| json!(format!("text {n}"))),
            (0..4).prop_map(|n| json!(f64::from(n) / 2.0 + 0.25)),
            any::<bool>().prop_map(|b| json!(b)),
            (0..3, 0..3).prop_map(|(a, b)| json!([format!("m{a}"), format!("m{b}")])),
            (0..3).prop_map(|a| json!([a, 1])),
        ]
    }

    proptest! {
        #[test]
        fn codes_pass_count_and_give_back_as_the_column_does(
            values in prop::collection::vec(value(), 1..60),
            cut in (0_usize..60, 0_usize..60),
        ) {
            let batch = batch(&values);
            let queries = ["v:1", "v:\"text 2\"", "v:m1", "v:*", "v:>=1", "v:true", "text"];
            for column in batch.named("v") {
                let coded = Coded::of(column).unwrap().unwrap();
                let alone = batch.project(|c| c.physical_name() == column.physical_name());
                for text in queries {
                    let query = Query::parse(text).unwrap();
                    let expected = query.matches(&alone);
                    let found = coded.rows_passing(query.node()).to_mask(batch.rows());
                    prop_assert_eq!(&found, &expected, "{}", text);
                }
                let taken = coded.take(&Rows::All).unwrap().unwrap();
                prop_assert_eq!(taken.rows(), batch.rows());
                let (low, high) = (cut.0.min(cut.1), cut.0.max(cut.1));
                let range = (low.min(batch.rows()), high.min(batch.rows()));
                let mut counts = vec![0; coded.distinct() + 1];
                coded.count_range(&Rows::All, range, &mut counts);
                let mut masked = vec![0; coded.distinct() + 1];
                let full = Rows::Some(BooleanBuffer::new_set(batch.rows()));
                coded.count_range(&full, range, &mut masked);
                prop_assert_eq!(&counts, &masked);
                prop_assert_eq!(counts.iter().sum::<u64>() as usize, range.1 - range.0);
            }
        }
    }

    #[test]
    fn counts_by_block_are_those_of_the_rows() {
        let values: Vec<_> = (0..10_000).map(|i| json!(i * i % 7)).collect();
        let batch = batch(&values);
        let column = batch.named("v").next().unwrap();
        let coded = Coded::of(column).unwrap().unwrap();
        for range in [
            (0, 10_000),
            (1, 9_999),
            (4_096, 8_192),
            (4_000, 4_100),
            (10, 8_200),
        ] {
            let mut counts = vec![0; coded.distinct() + 1];
            coded.count_range(&Rows::All, range, &mut counts);
            let mut expected = vec![0; coded.distinct() + 1];
            (range.0..range.1).for_each(|row| expected[coded.code(row)] += 1);
            assert_eq!(counts, expected, "{range:?}");
        }
    }
}
