//! What a query matches: one bit a row, computed column by column, once per distinct value.

use arrow::array::{Array, AsArray, GenericListArray, Int32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{Float64Type, Int64Type};
use serde_json::{Map, Value};

use super::{Node, Query, Test, is_under};
use crate::batch::{Column, EventBatch, Kind, Origin, is_number};
use crate::field;

impl Query {
    /// One bit a row: does the event match? The meaning of a query, see [`crate::query`].
    pub fn matches(&self, batch: &EventBatch) -> BooleanBuffer {
        self.node.matches(batch)
    }
}

impl Node {
    /// One bit a row: the meaning of this part of a query.
    pub fn matches(&self, batch: &EventBatch) -> BooleanBuffer {
        eval(self, batch, &BooleanBuffer::new_set(batch.rows()))
    }

    /// About what it costs to ask, in no unit.
    fn cost(&self) -> u32 {
        match self {
            Node::All | Node::Never | Node::Exists(_) => 1,
            Node::Not(inner) => inner.cost(),
            Node::And(list) | Node::Or(list) => list.iter().map(Node::cost).sum(),
            Node::Test { field: None, .. } => 100,
            Node::Test { test, .. } => match test {
                Test::Words(_) | Test::Range(_) | Test::Network(_) => 2,
                Test::Glob(_) | Test::Ask(_) => 5,
                Test::In(list) => 1 + u32::try_from(list.len()).unwrap_or(100).min(100),
                Test::Regex(_) => 20,
            },
        }
    }
}

/// The rows that match, of those `within`; what it says of others means nothing.
fn eval(node: &Node, batch: &EventBatch, within: &BooleanBuffer) -> BooleanBuffer {
    let rows = batch.rows();
    match node {
        Node::All => BooleanBuffer::new_set(rows),
        Node::Never => BooleanBuffer::new_unset(rows),
        Node::Not(inner) => !&eval(inner, batch, within),
        Node::And(list) => {
            let mut mask = within.clone();
            // What is cheap leaves fewer rows to the rest.
            for node in by_cost(list) {
                // Once nothing is left the rest need not be asked.
                if mask.count_set_bits() == 0 {
                    break;
                }
                mask = &mask & &eval(node, batch, &mask);
            }
            mask
        }
        Node::Or(list) => {
            let mut mask = BooleanBuffer::new_unset(rows);
            for node in by_cost(list) {
                let left = within & &!&mask;
                if left.count_set_bits() == 0 {
                    break;
                }
                mask = &mask | &(&left & &eval(node, batch, &left));
            }
            mask
        }
        Node::Exists(name) => exists(name, batch),
        Node::Test {
            field: Some(name),
            test,
        } => test_field(name, test, batch, within),
        Node::Test { field: None, test } => test_any(test, batch, within),
    }
}

fn by_cost(list: &[Node]) -> Vec<&Node> {
    let mut list: Vec<&Node> = list.iter().collect();
    list.sort_by_key(|node| node.cost());
    list
}

fn exists(name: &str, batch: &EventBatch) -> BooleanBuffer {
    let mut mask = BooleanBuffer::new_unset(batch.rows());
    for column in batch.columns() {
        if &*column.name == name || is_under(&column.name, name) {
            mask = &mask | &present(column);
        }
    }
    &mask
        | &overflow_mask(batch, |object| {
            object
                .iter()
                .any(|(key, v)| (key == name || is_under(key, name)) && !v.is_null())
        })
}

/// Rows with a value other than null.
fn present(column: &Column) -> BooleanBuffer {
    let array = column.array().as_ref();
    if let (Kind::Json, Some((keys, values))) = (column.kind, column.dictionary()) {
        let all = BooleanBuffer::new_set(array.len());
        return by_dictionary(keys, values.len(), &all, |i| values.value(i) != "null");
    }
    match array.nulls() {
        Some(nulls) => nulls.inner().clone(),
        None => BooleanBuffer::new_set(array.len()),
    }
}

fn test_field(
    name: &str,
    test: &Test,
    batch: &EventBatch,
    within: &BooleanBuffer,
) -> BooleanBuffer {
    let rows = batch.rows();
    if let Test::Range(range) = test {
        let times = match name {
            field::TIMESTAMP => Some(batch.time().values()),
            field::RECEIVED => Some(batch.received().values()),
            _ => None,
        };
        if let Some(times) = times {
            return BooleanBuffer::collect_bool(rows, |i| range.passes_time(times[i]));
        }
        if name == field::SEQ {
            let seq = batch.seq().values();
            return BooleanBuffer::collect_bool(rows, |i| range.passes_seq(seq[i]));
        }
    }
    let mut mask = BooleanBuffer::new_unset(rows);
    if name == field::SEQ {
        let seq = batch.seq().values();
        mask = BooleanBuffer::collect_bool(rows, |i| test.passes_int(seq[i] as i64));
    }
    for column in batch.named(name) {
        mask = &mask | &column_mask(column, test, within, false);
    }
    &mask
        | &overflow_mask(batch, |object| {
            object
                .get(name)
                .is_some_and(|v| value_passes(v, test, false))
        })
}

/// Any field: the event's own, mapped and inner columns, and `_overflow`; not our own columns.
fn test_any(test: &Test, batch: &EventBatch, within: &BooleanBuffer) -> BooleanBuffer {
    let mut mask = BooleanBuffer::new_unset(batch.rows());
    for column in batch.columns().iter().filter(|c| c.origin != Origin::Meta) {
        mask = &mask | &column_mask(column, test, within, true);
    }
    &mask
        | &overflow_mask(batch, |object| {
            object.values().any(|v| value_passes(v, test, true))
        })
}

/// Rows of one column with a value that passes.
fn column_mask(
    column: &Column,
    test: &Test,
    within: &BooleanBuffer,
    any_field: bool,
) -> BooleanBuffer {
    let array = column.array().as_ref();
    let rows = array.len();
    match column.kind {
        Kind::Str | Kind::Json => match column.dictionary() {
            Some((keys, values)) => by_dictionary(keys, values.len(), within, |i| {
                let text = values.value(i);
                // Of JSON text only numbers are values; the rest is in inner columns.
                (column.kind == Kind::Str || is_number(text)) && test.passes_str(text, any_field)
            }),
            None => BooleanBuffer::new_unset(rows),
        },
        Kind::Int => {
            let values = array.as_primitive::<Int64Type>().values();
            let mask = BooleanBuffer::collect_bool(rows, |i| test.passes_int(values[i]));
            masked(array.nulls(), mask)
        }
        Kind::Float => {
            let values = array.as_primitive::<Float64Type>().values();
            let mask = BooleanBuffer::collect_bool(rows, |i| test.passes_float(values[i]));
            masked(array.nulls(), mask)
        }
        Kind::Bool => {
            let values = array.as_boolean().values();
            let (yes, no) = (test.passes_bool(true), test.passes_bool(false));
            let mask = BooleanBuffer::collect_bool(rows, |i| match values.value(i) {
                true => yes,
                false => no,
            });
            masked(array.nulls(), mask)
        }
        Kind::StrList => {
            let list = array.as_list::<i32>();
            let values = list.values().as_string::<i32>();
            any_member(list, |i| test.passes_str(values.value(i), any_field))
        }
        Kind::IntList => {
            let list = array.as_list::<i32>();
            let values = list.values().as_primitive::<Int64Type>();
            any_member(list, |i| test.passes_int(values.value(i)))
        }
    }
}

fn masked(nulls: Option<&NullBuffer>, mask: BooleanBuffer) -> BooleanBuffer {
    match nulls {
        Some(nulls) => &mask & nulls.inner(),
        None => mask,
    }
}

fn any_member(list: &GenericListArray<i32>, passes: impl Fn(usize) -> bool) -> BooleanBuffer {
    let offsets = list.value_offsets();
    BooleanBuffer::collect_bool(list.len(), |row| {
        list.is_valid(row) && (offsets[row]..offsets[row + 1]).any(|i| passes(i as usize))
    })
}

/// Asks once per distinct value that a row `within` uses.
fn by_dictionary(
    keys: &Int32Array,
    distinct: usize,
    within: &BooleanBuffer,
    passes: impl Fn(usize) -> bool,
) -> BooleanBuffer {
    let mut answers: Vec<Option<bool>> = vec![None; distinct];
    let values = keys.values();
    BooleanBuffer::collect_bool(keys.len(), |row| {
        let key = values[row] as usize;
        within.value(row)
            && keys.is_valid(row)
            && answers
                .get_mut(key)
                .is_some_and(|a| *a.get_or_insert_with(|| passes(key)))
    })
}

/// Rows whose fields beyond the column limit pass. Rare, so they are parsed when asked.
fn overflow_mask(
    batch: &EventBatch,
    passes: impl Fn(&Map<String, Value>) -> bool,
) -> BooleanBuffer {
    let rows = batch.rows();
    if batch
        .named(field::OVERFLOW)
        .all(|c| c.origin != Origin::Meta)
    {
        return BooleanBuffer::new_unset(rows);
    }
    BooleanBuffer::collect_bool(rows, |row| {
        batch
            .meta_text(field::OVERFLOW, row)
            .and_then(|text| serde_json::from_str::<Map<String, Value>>(&text).ok())
            .is_some_and(|object| passes(&object))
    })
}

fn value_passes(value: &Value, test: &Test, any_field: bool) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(v) => test.passes_bool(*v),
        Value::String(v) => test.passes_str(v, any_field),
        Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(v), _) => test.passes_int(v),
            (None, Some(v)) => test.passes_float(v),
            (None, None) => false,
        },
        Value::Array(list) => list.iter().any(|v| value_passes(v, test, any_field)),
        Value::Object(members) => members.values().any(|v| value_passes(v, test, any_field)),
    }
}
