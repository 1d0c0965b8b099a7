//! Identifiers in hexadecimal, as the bytes they mean: half as long, and nothing is left in them
//! to compress.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, FixedSizeBinaryArray, FixedSizeBinaryBuilder,
    Int32Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use watchfire_event::Column;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The values of a column as bytes, where all are lower-case hexadecimal of one even length.
pub(super) fn packed(column: &Column) -> Option<FixedSizeBinaryArray> {
    let (keys, values) = column.dictionary()?;
    let length = values.iter().flatten().next()?.len();
    let fits = |v: &str| v.len() == length && v.bytes().all(|b| digit(b).is_some());
    if length == 0 || length % 2 != 0 || !values.iter().flatten().all(fits) {
        return None;
    }
    let width = i32::try_from(length / 2).ok()?;
    let mut builder = FixedSizeBinaryBuilder::with_capacity(keys.len(), width);
    let mut bytes = Vec::with_capacity(length / 2);
    for key in keys {
        let Some(key) = key else {
            builder.append_null();
            continue;
        };
        bytes.clear();
        let (pairs, _) = values.value(key as usize).as_bytes().as_chunks::<2>();
        bytes.extend(pairs.iter().map(|[high, low]| {
            digit(*high).unwrap_or_default() << 4 | digit(*low).unwrap_or_default()
        }));
        builder.append_value(&bytes).ok()?;
    }
    Some(builder.finish())
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// A record batch as read, with packed columns as the texts they were.
pub(super) fn unpacked(record: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let is_packed = |data_type: &DataType| matches!(data_type, DataType::FixedSizeBinary(_));
    if !record.columns().iter().any(|c| is_packed(c.data_type())) {
        return Ok(record);
    }
    let schema = record.schema();
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for (field, array) in schema.fields().iter().zip(record.columns()) {
        match array.as_fixed_size_binary_opt() {
            Some(bytes) => {
                let texts = texts(bytes)?;
                let field = Field::new(field.name(), texts.data_type().clone(), true);
                fields.push(Arc::new(field));
                arrays.push(texts);
            }
            None => {
                fields.push(field.clone());
                arrays.push(array.clone());
            }
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// Each value as text, in a dictionary with a value a row: such values hardly repeat.
fn texts(bytes: &FixedSizeBinaryArray) -> Result<ArrayRef, ArrowError> {
    let mut next = 0;
    let keys: Int32Array = (0..bytes.len())
        .map(|row| {
            bytes.is_valid(row).then(|| {
                next += 1;
                next - 1
            })
        })
        .collect();
    let text = |value: &[u8]| {
        let digits = value.iter().flat_map(|b| [b >> 4, b & 15]);
        digits
            .filter_map(|d| DIGITS.get(usize::from(d)))
            .map(|d| char::from(*d))
            .collect::<String>()
    };
    let values: StringArray = bytes.iter().flatten().map(|v| Some(text(v))).collect();
    Ok(Arc::new(DictionaryArray::try_new(keys, Arc::new(values))?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use watchfire_event::{Kind, Origin};

    fn column(values: &[Option<&str>]) -> Column {
        let array: DictionaryArray<arrow::datatypes::Int32Type> = values.iter().copied().collect();
        Column::new("trace", Kind::Str, Origin::Own, Arc::new(array))
    }

    #[test]
    fn hexadecimal_comes_back_as_it_was() {
        let values = [Some("00ff10ab"), None, Some("deadbeef"), Some("00ff10ab")];
        let bytes = packed(&column(&values)).unwrap();
        assert_eq!(bytes.value_length(), 4);
        let schema = Schema::new(vec![Field::new("t", bytes.data_type().clone(), true)]);
        let record = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(bytes)]).unwrap();
        let back = unpacked(record).unwrap();
        let back = Column::new("trace", Kind::Str, Origin::Own, back.column(0).clone());
        let (keys, texts) = back.dictionary().unwrap();
        let text = |key: Option<i32>| key.map(|k| texts.value(k as usize));
        assert_eq!(keys.iter().map(text).collect::<Vec<_>>(), values);
    }

    #[test]
    fn what_is_not_hexadecimal_of_one_length_stays_text() {
        for values in [
            &[Some("00ff"), Some("00f")][..],
            &[Some("00FF")],
            &[Some("xyz0")],
            &[Some("abc")],
            &[Some("")],
            &[None],
        ] {
            assert!(packed(&column(values)).is_none(), "{values:?}");
        }
    }
}
