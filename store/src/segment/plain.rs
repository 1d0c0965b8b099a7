//! Columns that are stored without a dictionary because their values hardly repeat.
//!
//! The reader hashes every one of their values to make a dictionary. Where many rows are read that
//! is half of the work, so such columns are read as plain text, and get a dictionary with a value
//! a row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array, RecordBatch};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;

/// The footer by which a reader gives columns without any dictionary as plain text.
pub(super) fn footer(footer: &ArrowReaderMetadata) -> Result<ArrowReaderMetadata, ParquetError> {
    let metadata = footer.metadata();
    let described = footer.parquet_schema();
    let mut coded = vec![false; footer.schema().fields().len()];
    for leaf in 0..described.num_columns() {
        let chunks = metadata.row_groups().iter().map(|g| g.column(leaf));
        let is_coded = chunks
            .into_iter()
            .any(|c| c.dictionary_page_offset().is_some());
        if let Some(of_root) = coded.get_mut(described.get_column_root_idx(leaf)) {
            *of_root |= is_coded;
        }
    }
    let fields = footer.schema().fields().iter().zip(coded);
    let fields = fields.map(|(field, coded)| match field.data_type() {
        DataType::Dictionary(_, values) if !coded && **values == DataType::Utf8 => {
            let plain = Field::clone(field).with_data_type(DataType::Utf8);
            Arc::new(plain)
        }
        _ => Arc::clone(field),
    });
    let schema = Schema::new_with_metadata(
        fields.collect::<Vec<_>>(),
        footer.schema().metadata().clone(),
    );
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    ArrowReaderMetadata::try_new(Arc::clone(metadata), options)
}

/// Gives plain text a dictionary with a value a row.
pub(super) fn coded(record: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let is_plain = |array: &ArrayRef| *array.data_type() == DataType::Utf8;
    if !record.columns().iter().any(is_plain) {
        return Ok(record);
    }
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for (field, array) in record.schema().fields().iter().zip(record.columns()) {
        if !is_plain(array) {
            fields.push(Arc::clone(field));
            arrays.push(Arc::clone(array));
            continue;
        }
        let coded = one_a_row(array)?;
        let field = Field::clone(field).with_data_type(coded.data_type().clone());
        fields.push(Arc::new(field));
        arrays.push(coded);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

fn one_a_row(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let mut next = 0;
    let mut key = |row: usize| {
        array.is_valid(row).then(|| {
            next += 1;
            next - 1
        })
    };
    let keys: Int32Array = (0..array.len()).map(&mut key).collect();
    let values = match array.null_count() {
        0 => Arc::clone(array),
        _ => compute::filter(array, &compute::is_not_null(array)?)?,
    };
    // Without the bitmap that says that none is missing.
    let (ends, text, _) = values.as_string::<i32>().clone().into_parts();
    let values = arrow::array::StringArray::try_new(ends, text, None)?;
    Ok(Arc::new(DictionaryArray::try_new(keys, Arc::new(values))?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::StringArray;
    use watchfire_event::{Column, Kind, Origin};

    use super::*;

    #[test]
    fn plain_text_becomes_a_column_with_the_same_values() {
        let full = vec![Some("a"), Some("b"), Some("a"), Some("")];
        let gaps = vec![None, Some("x"), None, Some("x")];
        let none = vec![None; 4];
        for values in [full, gaps, none] {
            let array: ArrayRef = Arc::new(StringArray::from(values.clone()));
            let field = Field::new("c", DataType::Utf8, true);
            let schema = Arc::new(Schema::new(vec![field]));
            let record = coded(RecordBatch::try_new(schema, vec![array]).unwrap()).unwrap();
            assert_eq!(*record.column(0).data_type(), Kind::Str.data_type());
            let array = Arc::clone(record.column(0));
            let column = Column::new("c", Kind::Str, Origin::Own, array);
            let (keys, texts) = column.dictionary().unwrap();
            assert_eq!(texts.null_count(), 0);
            let text = |key: Option<i32>| key.map(|k| texts.value(k as usize));
            assert_eq!(keys.iter().map(text).collect::<Vec<_>>(), values);
        }
    }
}
