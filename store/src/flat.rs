//! Events as one flat table: a column a field, one Arrow type a field.
//!
//! The names are those that people query. Fields with values of several kinds become text;
//! fields that only ever hold lists stay lists. `_seq`, `@timestamp` (the event time) and
//! `_received` come first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray,
    TimestampNanosecondArray, new_null_array,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, is_not_null};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use watchfire_event::{Column, EventBatch, Kind, Origin, field};

use crate::StoreError;
use crate::memtable::View;

/// Fields that every row has.
const OWN: [&str; 3] = [field::SEQ, field::TIMESTAMP, field::RECEIVED];

/// The fields of a view with the kinds of their values.
fn kinds(view: &View) -> BTreeMap<String, BTreeSet<Kind>> {
    let mut kinds: BTreeMap<String, BTreeSet<Kind>> = BTreeMap::new();
    let mut note = |name: &str, origin: Origin, kind: Kind| {
        let hidden = origin == Origin::Meta && (name == field::RAW || name == field::OVERFLOW);
        if hidden || OWN.contains(&name) {
            return;
        }
        match kinds.get_mut(name) {
            Some(found) => drop(found.insert(kind)),
            None => drop(kinds.insert(name.to_owned(), BTreeSet::from([kind]))),
        }
    };
    for column in view.segments.iter().flat_map(|s| &s.info.columns) {
        let (origin, kind) = column.origin_and_kind();
        note(&column.name, origin, kind);
    }
    for column in view.memory.iter().flat_map(|m| m.batch.columns()) {
        note(&column.name, column.origin, column.kind);
    }
    kinds
}

/// The schema of everything in a view.
pub(crate) fn schema(view: &View) -> SchemaRef {
    let instant = || DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new(field::SEQ, DataType::UInt64, false),
        Field::new(field::TIMESTAMP, instant(), false),
        Field::new(field::RECEIVED, instant(), false),
    ];
    let field = |(name, kinds)| Field::new(name, one_type(&kinds), true);
    fields.extend(kinds(view).into_iter().map(field));
    Arc::new(Schema::new(fields))
}

/// Fields whose values read the same here and in queries: not lists, and not JSON.
pub(crate) fn plain_fields(view: &View) -> BTreeSet<String> {
    const PLAIN: [Kind; 4] = [Kind::Str, Kind::Int, Kind::Float, Kind::Bool];
    let is_plain = |kinds: &BTreeSet<Kind>| kinds.iter().all(|k| PLAIN.contains(k));
    kinds(view)
        .into_iter()
        .filter(|(_, kinds)| is_plain(kinds))
        .map(|(name, _)| name)
        .collect()
}

/// One type for values of these kinds.
fn one_type(kinds: &BTreeSet<Kind>) -> DataType {
    let only = |allowed: &[Kind]| kinds.iter().all(|k| allowed.contains(k));
    if only(&[Kind::Int]) {
        DataType::Int64
    } else if only(&[Kind::Int, Kind::Float]) {
        DataType::Float64
    } else if only(&[Kind::Bool]) {
        DataType::Boolean
    } else if only(&[Kind::StrList, Kind::IntList]) {
        DataType::new_list(DataType::Utf8, true)
    } else {
        DataType::Utf8
    }
}

/// The names of the fields of a schema.
pub(crate) fn names(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|f| f.name().clone()).collect()
}

/// A batch in the form of `schema`, which is [`schema`] or a projection of it.
pub(crate) fn flatten(batch: &EventBatch, schema: &SchemaRef) -> Result<RecordBatch, StoreError> {
    let instants = |ns: &[i64]| -> ArrayRef {
        Arc::new(TimestampNanosecondArray::from(ns.to_vec()).with_timezone("UTC"))
    };
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        arrays.push(match field.name().as_str() {
            field::SEQ => Arc::new(batch.seq().clone()),
            field::TIMESTAMP => instants(batch.time().values()),
            field::RECEIVED => instants(batch.received().values()),
            name => values(batch, name, field.data_type())?,
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.rows()));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        arrays,
        &options,
    )?)
}

/// The values of a field as one type; of several columns, the first that has a value.
fn values(batch: &EventBatch, name: &str, data_type: &DataType) -> Result<ArrayRef, StoreError> {
    let mut merged: Option<ArrayRef> = None;
    for column in batch.named(name) {
        let array = convert(column, data_type)?;
        merged = Some(match merged {
            None => array,
            Some(first) if first.null_count() == 0 => first,
            Some(first) => zip(&is_not_null(&first)?, &first, &array)?,
        });
    }
    Ok(merged.unwrap_or_else(|| new_null_array(data_type, batch.rows())))
}

fn convert(column: &Column, data_type: &DataType) -> Result<ArrayRef, StoreError> {
    let array = column.array();
    Ok(match (column.kind, data_type) {
        (Kind::StrList | Kind::IntList, DataType::Utf8) => Arc::new(lists_as_text(array)),
        (Kind::Json, DataType::Utf8) => Arc::new(json_as_text(column)),
        _ if array.data_type() == data_type => array.clone(),
        _ => cast(array, data_type)?,
    })
}

/// Lists as JSON text.
fn lists_as_text(array: &ArrayRef) -> StringArray {
    let list = array.as_list::<i32>();
    let text = |row: usize| {
        let members = list.value(row);
        let json = match members.as_string_opt::<i32>() {
            Some(texts) => serde_json::to_string(&texts.iter().collect::<Vec<_>>()),
            None => {
                let numbers = members.as_primitive_opt::<Int64Type>();
                serde_json::to_string(&numbers.map(|n| n.values().to_vec()))
            }
        };
        json.ok()
    };
    (0..list.len())
        .map(|row| if list.is_null(row) { None } else { text(row) })
        .collect()
}

/// JSON text, where a JSON null is no value.
fn json_as_text(column: &Column) -> StringArray {
    let Some((keys, texts)) = column.dictionary() else {
        return StringArray::new_null(column.rows());
    };
    let text = |key: Option<i32>| {
        let text = texts.value(usize::try_from(key?).ok()?);
        (text != "null").then_some(text)
    };
    keys.iter().map(text).collect()
}
