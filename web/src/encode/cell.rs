//! One Arrow value as a JSON value, for answers to SQL.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::Value;

/// A short word for a column's type.
pub fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::Dictionary(_, values) => type_name(values),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        kind if kind.is_integer() => "integer".to_owned(),
        kind if kind.is_floating() => "float".to_owned(),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => "time".to_owned(),
        DataType::List(item) | DataType::LargeList(item) => {
            format!("list<{}>", type_name(item.data_type()))
        }
        DataType::Null => "null".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

/// The value in `row`. Numbers stay numbers (those that JSON cannot say are null), lists stay
/// lists, times are RFC 3339, anything else is text.
///
/// # Errors
/// A value that cannot be shown, such as a time out of the calendar.
pub fn json_cell(array: &ArrayRef, row: usize) -> Result<Value, ArrowError> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::from(array.as_boolean().value(row)),
        DataType::Int8 => Value::from(array.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => Value::from(array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => Value::from(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => Value::from(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt8 => Value::from(array.as_primitive::<UInt8Type>().value(row)),
        DataType::UInt16 => Value::from(array.as_primitive::<UInt16Type>().value(row)),
        DataType::UInt32 => Value::from(array.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => Value::from(array.as_primitive::<UInt64Type>().value(row)),
        DataType::Float32 => Value::from(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => Value::from(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Value::from(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Value::from(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Value::from(array.as_string_view().value(row)),
        DataType::List(_) => list(&array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row))?,
        _ => {
            let formatter = ArrayFormatter::try_new(array, &FormatOptions::new())?;
            Value::from(formatter.value(row).try_to_string()?)
        }
    })
}

fn list(values: &ArrayRef) -> Result<Value, ArrowError> {
    (0..values.len())
        .map(|i| json_cell(values, i))
        .collect::<Result<Vec<_>, _>>()
        .map(Value::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, DictionaryArray, Float64Array, ListArray, TimestampMillisecondArray,
        UInt64Array,
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn values_keep_their_kind() {
        let words: DictionaryArray<Int32Type> = [Some("a"), None].into_iter().collect();
        let numbers = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1), None])]);
        let time = TimestampMillisecondArray::from(vec![1_760_000_000_000]).with_timezone("UTC");
        let table: [(ArrayRef, Value, &str); 7] = [
            (
                Arc::new(UInt64Array::from(vec![u64::MAX])),
                json!(u64::MAX),
                "integer",
            ),
            (Arc::new(Float64Array::from(vec![1.5])), json!(1.5), "float"),
            (
                Arc::new(Float64Array::from(vec![f64::NAN])),
                Value::Null,
                "float",
            ),
            (
                Arc::new(BooleanArray::from(vec![true])),
                json!(true),
                "boolean",
            ),
            (Arc::new(words), json!("a"), "string"),
            (Arc::new(numbers), json!([1, null]), "list<integer>"),
            (Arc::new(time), json!("2025-10-09T08:53:20Z"), "time"),
        ];
        for (array, expected, name) in table {
            assert_eq!(json_cell(&array, 0).unwrap(), expected);
            assert_eq!(type_name(array.data_type()), name);
        }
    }
}
