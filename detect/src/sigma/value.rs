//! Values of cells as rsigma sees values.

use std::borrow::Cow;

use arrow::array::Array;
use rsigma_eval::EventValue;
use serde_json::Value;

use super::strings::any_string_in;
use crate::cells::{Cells, span};

/// Is there a text in JSON that satisfies `pred`? Most of what is kept as JSON has none at all.
pub(super) fn any_json_text(json: &str, pred: &mut dyn FnMut(&str) -> bool) -> bool {
    json.contains('"') && any_string_in(json, pred)
}

/// The last part of a dotted name.
pub(super) fn last_segment(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

pub(super) fn json_text<'a>(cells: &Cells<'a>, row: usize) -> Option<&'a str> {
    match cells {
        Cells::Json { .. } => json_or_text(cells, row),
        _ => None,
    }
}

pub(super) fn json_or_text<'a>(cells: &Cells<'a>, row: usize) -> Option<&'a str> {
    match cells {
        Cells::Json { keys, values } | Cells::Str { keys, values } if !keys.is_null(row) => {
            Some(values.value(usize::try_from(keys.value(row)).ok()?))
        }
        _ => None,
    }
}

pub(super) fn push_values<'a>(cells: &Cells<'a>, row: usize, out: &mut Vec<EventValue<'a>>) {
    if cells.is_null(row) {
        return;
    }
    match cells {
        Cells::Str { .. } => out.extend(cells.text(row).map(EventValue::Str)),
        Cells::Int(a) => out.push(EventValue::Int(a.value(row))),
        Cells::Float(a) => out.push(EventValue::Float(a.value(row))),
        Cells::Bool(a) => out.push(EventValue::Bool(a.value(row))),
        Cells::StrList { lists, members } => {
            out.extend(span(lists, row).map(|i| EventValue::Str(Cow::Borrowed(members.value(i)))))
        }
        Cells::IntList { lists, members } => {
            out.extend(span(lists, row).map(|i| EventValue::Int(members.value(i))));
        }
        Cells::Json { .. } => {
            let parsed = json_text(cells, row).and_then(|t| serde_json::from_str(t).ok());
            match parsed.map(owned) {
                Some(EventValue::Array(members)) if !members.is_empty() => out.extend(members),
                Some(value) => out.push(value),
                None => {}
            }
        }
    }
}

/// A JSON value as rsigma sees values, owning its strings.
pub(super) fn owned(value: Value) -> EventValue<'static> {
    match value {
        Value::Null => EventValue::Null,
        Value::Bool(b) => EventValue::Bool(b),
        Value::Number(n) => match n.as_i64() {
            Some(i) => EventValue::Int(i),
            None => EventValue::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(s) => EventValue::Str(Cow::Owned(s)),
        Value::Array(members) => EventValue::Array(members.into_iter().map(owned).collect()),
        Value::Object(members) => EventValue::Map(
            members
                .into_iter()
                .map(|(k, v)| (Cow::Owned(k), owned(v)))
                .collect(),
        ),
    }
}
