//! Several batches as one.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, Int64Array, StringArray, UInt64Array,
    new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute;
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;
use serde_json::{Map, Value};

use super::column::{self, ColumnBuilder};
use super::interner::{Interner, Texts};
use super::{Column, EventBatch, Kind, Origin};
use crate::field;

type Place = (Origin, Kind, Arc<str>);

impl EventBatch {
    /// The rows of all batches in order, with the union of their columns and compact
    /// dictionaries. Beyond `max_columns` columns the sparsest of the event's own and inner
    /// ones move to `_overflow`; their rows keep their text, so nothing is lost.
    ///
    /// # Errors
    /// When a column would hold more than 2 GiB of text.
    pub fn concat(batches: &[EventBatch], max_columns: usize) -> Result<EventBatch, ArrowError> {
        let demoted = sparsest_beyond(batches, max_columns);
        let moved: Vec<EventBatch>;
        let batches = if demoted.is_empty() {
            batches
        } else {
            moved = batches.iter().map(|b| b.demote(&demoted)).collect();
            &moved
        };
        let mut places: Vec<Place> = Vec::new();
        let mut sources: HashMap<Place, Vec<Option<&Column>>> = HashMap::new();
        for (i, batch) in batches.iter().enumerate() {
            for column in batch.columns.iter() {
                let place = (column.origin, column.kind, column.path.clone());
                let source = sources.entry(place.clone()).or_insert_with(|| {
                    places.push(place);
                    vec![None; batches.len()]
                });
                if let Some(slot) = source.get_mut(i) {
                    *slot = Some(column);
                }
            }
        }
        let mut columns = Vec::with_capacity(places.len());
        for place in places {
            let source = sources.get(&place).map_or(&[][..], Vec::as_slice);
            let array = concat_column(place.1, source, batches)?;
            columns.push(Column::new(&place.2, place.1, place.0, array));
        }
        let seq = batches.iter().flat_map(|b| b.seq.values().iter().copied());
        let time = batches.iter().flat_map(|b| b.time.values().iter().copied());
        let received = batches
            .iter()
            .flat_map(|b| b.received.values().iter().copied());
        Ok(EventBatch::assemble(
            UInt64Array::from_iter_values(seq),
            Int64Array::from_iter_values(time),
            Int64Array::from_iter_values(received),
            columns,
        ))
    }

    /// Moves columns to `_overflow`, keeping the text of the rows that had them.
    fn demote(&self, demoted: &HashMap<Place, ()>) -> EventBatch {
        let gone = |c: &Column| demoted.contains_key(&(c.origin, c.kind, c.path.clone()));
        let leaving: Vec<&Column> = self.columns.iter().filter(|c| gone(c)).collect();
        if leaving.is_empty() {
            return self.clone();
        }
        let meta = |path: &str, kind| ColumnBuilder::new(column::names(path), Origin::Meta, kind);
        let mut overflow = meta(field::OVERFLOW, Kind::Json);
        let mut raw = meta(field::RAW, Kind::Str);
        for row in 0..self.rows() {
            let mut object: Map<String, Value> = self
                .meta_text(field::OVERFLOW, row)
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default();
            let mut moved = false;
            for column in &leaving {
                if let Some(value) = column.json(row) {
                    moved = true;
                    merge(&mut object, &column.name, value);
                }
            }
            if !object.is_empty() {
                overflow.push_str(row, &Value::Object(object).to_string());
            }
            if moved {
                raw.push_str(row, &self.event_text(row));
            } else if let Some(text) = self.meta_text(field::RAW, row) {
                raw.push_str(row, &text);
            }
        }
        let ours = |c: &Column| {
            c.origin == Origin::Meta && (&*c.name == field::OVERFLOW || &*c.name == field::RAW)
        };
        let rebuilt = [overflow, raw]
            .into_iter()
            .filter_map(|b| b.finish(self.rows()).ok());
        self.project(|c| !gone(c) && !ours(c))
            .with_columns(rebuilt.collect())
    }
}

fn merge(object: &mut Map<String, Value>, name: &str, value: Value) {
    match object.get_mut(name) {
        Some(Value::Array(list)) => list.push(value),
        Some(earlier) => *earlier = Value::Array(vec![earlier.take(), value]),
        None => {
            object.insert(name.to_owned(), value);
        }
    }
}

/// The columns to move so that at most `max_columns` of the events' own and inner ones stay.
fn sparsest_beyond(batches: &[EventBatch], max_columns: usize) -> HashMap<Place, ()> {
    let mut counts: HashMap<Place, usize> = HashMap::new();
    for column in batches.iter().flat_map(|b| b.columns.iter()) {
        if matches!(column.origin, Origin::Own | Origin::Inner) {
            let place = (column.origin, column.kind, column.path.clone());
            *counts.entry(place).or_default() += column.count();
        }
    }
    if counts.len() <= max_columns {
        return HashMap::new();
    }
    let mut by_count: Vec<(Place, usize)> = counts.into_iter().collect();
    by_count.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    by_count
        .into_iter()
        .skip(max_columns)
        .map(|(place, _)| (place, ()))
        .collect()
}

fn concat_column(
    kind: Kind,
    source: &[Option<&Column>],
    batches: &[EventBatch],
) -> Result<ArrayRef, ArrowError> {
    if matches!(kind, Kind::Str | Kind::Json) {
        return concat_dictionaries(source, batches);
    }
    let data_type = kind.data_type();
    let arrays: Vec<ArrayRef> = source
        .iter()
        .zip(batches)
        .map(|(column, batch)| match column {
            Some(column) => column.array().clone(),
            None => new_null_array(&data_type, batch.rows()),
        })
        .collect();
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    compute::concat(&arrays)
}

/// Interns the values that are used, so that the result's dictionary is no larger than needed.
fn concat_dictionaries(
    source: &[Option<&Column>],
    batches: &[EventBatch],
) -> Result<ArrayRef, ArrowError> {
    let mut interner = Interner::new();
    let values = source.iter().flatten().filter_map(|c| c.dictionary());
    let most = values.map(|(keys, values)| values.len().min(keys.len()));
    interner.reserve(most.sum());
    let mut keys = Vec::with_capacity(batches.iter().map(EventBatch::rows).sum());
    for (column, batch) in source.iter().zip(batches) {
        let Some(column) = column else {
            keys.resize(keys.len() + batch.rows(), -1);
            continue;
        };
        let dictionary = column.array().as_dictionary::<Int32Type>();
        let values = dictionary.values().as_string::<i32>();
        let mut renumbered: Vec<i32> = vec![-1; values.len()];
        for key in dictionary.keys() {
            let Some(slot) = key.and_then(|k| renumbered.get_mut(k as usize)) else {
                keys.push(-1);
                continue;
            };
            if *slot < 0 {
                let value = values.value(key.unwrap_or_default() as usize);
                *slot = interner
                    .intern(value)
                    .ok_or(ArrowError::OffsetOverflowError(interner.text_bytes()))?;
            }
            keys.push(*slot);
        }
    }
    dictionary(keys, interner)
}

/// An array of the interned strings with these numbers; negative ones are null.
fn dictionary(mut keys: Vec<i32>, interner: Interner) -> Result<ArrayRef, ArrowError> {
    let is_valid = |row: usize| keys.get(row).is_some_and(|key| *key >= 0);
    let valid = NullBuffer::new(BooleanBuffer::collect_bool(keys.len(), is_valid));
    let nulls = (valid.null_count() > 0).then_some(valid);
    if nulls.is_some() {
        keys.iter_mut().for_each(|key| *key = (*key).max(0));
    }
    let Texts { text, ends } = interner.texts;
    let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
    let values = StringArray::try_new(ends, text.into_bytes().into(), None)?;
    let keys = Int32Array::try_new(ScalarBuffer::from(keys), nulls)?;
    let array = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(values))?;
    Ok(Arc::new(array))
}
