//! Columns back to the event as it came.

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use serde_json::{Map, Value};

use super::column::segments;
use super::{Column, EventBatch, Kind, Origin};
use crate::field;

impl EventBatch {
    /// The event as it came: the same JSON value.
    pub fn event_json(&self, row: usize) -> Value {
        if let Some(raw) = self.meta_text(field::RAW, row)
            && let Ok(event) = serde_json::from_str(&raw)
        {
            return event;
        }
        let mut event = Map::new();
        for column in self.columns.iter().filter(|c| c.origin == Origin::Own) {
            if let Some(value) = column.json(row) {
                insert(&mut event, &segments(&column.path), value);
            }
        }
        Value::Object(event)
    }

    /// The text of the event where it was kept, else the event as compact JSON.
    pub fn event_text(&self, row: usize) -> String {
        match self.meta_text(field::RAW, row) {
            Some(raw) => raw.into_owned(),
            None => self.event_json(row).to_string(),
        }
    }

    /// The fields that mappings added, by dotted name.
    pub fn mapped_json(&self, row: usize) -> Map<String, Value> {
        let mapped = self.columns.iter().filter(|c| c.origin == Origin::Mapped);
        mapped
            .filter_map(|c| Some((c.name.to_string(), c.json(row)?)))
            .collect()
    }
}

fn insert(object: &mut Map<String, Value>, keys: &[String], value: Value) {
    match keys {
        [] => {}
        [key] => {
            object.insert(key.clone(), value);
        }
        [key, rest @ ..] => {
            let child = object
                .entry(key.clone())
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(child) = child {
                insert(child, rest, value);
            }
        }
    }
}

impl Column {
    /// The value of a row as JSON; `None` where there is none.
    pub fn json(&self, row: usize) -> Option<Value> {
        let array = self.array().as_ref();
        if row >= array.len() || array.is_null(row) {
            return None;
        }
        Some(match self.kind {
            Kind::Str | Kind::Json => {
                let (keys, values) = self.dictionary()?;
                let text = values.value(keys.value(row) as usize);
                match self.kind {
                    Kind::Json => serde_json::from_str(text).ok()?,
                    _ => Value::from(text),
                }
            }
            Kind::Int => Value::from(array.as_primitive::<Int64Type>().value(row)),
            Kind::Float => Value::from(array.as_primitive::<Float64Type>().value(row)),
            Kind::Bool => Value::from(array.as_boolean().value(row)),
            Kind::StrList => {
                let list = array.as_list::<i32>().value(row);
                let list = list.as_string::<i32>();
                Value::Array(list.iter().flatten().map(Value::from).collect())
            }
            Kind::IntList => {
                let list = array.as_list::<i32>().value(row);
                let list = list.as_primitive::<Int64Type>();
                Value::Array(list.iter().flatten().map(Value::from).collect())
            }
        })
    }
}
