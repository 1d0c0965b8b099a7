//! A batch as an Arrow record batch, which is also how it lies in files.
//!
//! Fields: `_seq` (UInt64), `_time` and `_received` (Int64, nanoseconds), then one a column
//! under its physical name, such as `o:s:user.id` (see [`Column::physical_name`]).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt64Type};
use arrow::error::ArrowError;

use super::{Column, EventBatch, Kind};

/// Name of the event time in a record batch.
pub const TIME_COLUMN: &str = "_time";

impl Kind {
    /// The Arrow type that holds values of this kind.
    pub fn data_type(self) -> DataType {
        match self {
            Kind::Str | Kind::Json => {
                DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
            }
            Kind::Int => DataType::Int64,
            Kind::Float => DataType::Float64,
            Kind::Bool => DataType::Boolean,
            Kind::StrList => DataType::new_list(DataType::Utf8, true),
            Kind::IntList => DataType::new_list(DataType::Int64, true),
        }
    }
}

impl EventBatch {
    /// The batch as a record batch, see the module's documentation.
    ///
    /// # Errors
    /// None in practice: columns are as long as the batch by construction.
    pub fn to_record_batch(&self) -> Result<RecordBatch, ArrowError> {
        let mut fields = vec![
            Field::new(crate::field::SEQ, DataType::UInt64, false),
            Field::new(TIME_COLUMN, DataType::Int64, false),
            Field::new(crate::field::RECEIVED, DataType::Int64, false),
        ];
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(self.seq.clone()),
            Arc::new(self.time.clone()),
            Arc::new(self.received.clone()),
        ];
        for column in self.columns.iter() {
            let data_type = column.array().data_type().clone();
            fields.push(Field::new(column.physical_name(), data_type, true));
            arrays.push(column.array().clone());
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
    }

    /// A batch from a record batch with any subset of the columns. Missing `_seq`, `_time` and
    /// `_received` read as zeros; arrays of another type are cast; foreign fields are ignored.
    ///
    /// # Errors
    /// When a column cannot be cast to the type of its kind.
    pub fn from_record_batch(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let rows = batch.num_rows();
        let ns = |name: &str| -> Result<Int64Array, ArrowError> {
            match batch.column_by_name(name) {
                Some(array) => Ok(cast(array, &DataType::Int64)?
                    .as_primitive::<Int64Type>()
                    .clone()),
                None => Ok(Int64Array::from(vec![0; rows])),
            }
        };
        let seq = match batch.column_by_name(crate::field::SEQ) {
            Some(array) => cast(array, &DataType::UInt64)?
                .as_primitive::<UInt64Type>()
                .clone(),
            None => UInt64Array::from(vec![0; rows]),
        };
        let mut columns = Vec::new();
        for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
            let Some((origin, kind, path)) = Column::parse_physical_name(field.name()) else {
                continue;
            };
            let wanted = kind.data_type();
            let array = match array.data_type().equals_datatype(&wanted) {
                true => array.clone(),
                false => cast(array, &wanted)?,
            };
            columns.push(Column::new(path, kind, origin, array));
        }
        let (time, received) = (ns(TIME_COLUMN)?, ns(crate::field::RECEIVED)?);
        Ok(Self::assemble(seq, time, received, columns))
    }
}
