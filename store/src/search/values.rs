//! The values of a field as texts, counted.

use std::collections::HashMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};
use watchfire_event::{Column, EventBatch, Kind};

/// Distinct values counted of one field; values first seen beyond are left out.
const MAX_DISTINCT: usize = 200_000;

/// Numbers for texts, in the order in which they were first seen.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<String, u32>,
    /// Were there more than [`MAX_DISTINCT`]?
    pub overflowed: bool,
}

impl Names {
    pub fn number(&mut self, text: &str) -> Option<u32> {
        if let Some(number) = self.numbers.get(text) {
            return Some(*number);
        }
        if self.numbers.len() >= MAX_DISTINCT {
            self.overflowed = true;
            return None;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(text.to_owned(), number);
        Some(number)
    }

    /// Texts with their numbers.
    pub fn into_texts(self) -> Vec<(String, u32)> {
        self.numbers.into_iter().collect()
    }
}

/// Calls `take(row, value)` for every distinct value that a row has for the field, where a value
/// is the number of its text in `names`. Returns the number of rows without the field.
pub(super) fn for_each_value(
    batch: &EventBatch,
    name: &str,
    names: &mut Names,
    mut take: impl FnMut(usize, u32),
) -> usize {
    let columns: Vec<&Column> = batch.named(name).collect();
    match columns.as_slice() {
        [] => batch.rows(),
        [column]
            if matches!(
                column.kind,
                Kind::Str | Kind::Int | Kind::Float | Kind::Bool
            ) =>
        {
            let mut missing = 0;
            let mut value = numbering(column);
            for row in 0..batch.rows() {
                match value(row, names) {
                    Value::Missing => missing += 1,
                    Value::Uncounted => {}
                    Value::Number(number) => take(row, number),
                }
            }
            missing
        }
        _ => several(batch, name, names, take),
    }
}

type Numbering<'a> = Box<dyn FnMut(usize, &mut Names) -> Value + 'a>;

enum Value {
    Missing,
    /// There is a value, but too many were seen to count it.
    Uncounted,
    Number(u32),
}

impl Value {
    fn of(number: Option<u32>) -> Value {
        number.map_or(Value::Uncounted, Value::Number)
    }
}

/// How to number the values of a column that has one value a row. A dictionary is looked up
/// once per distinct value.
fn numbering(column: &Column) -> Numbering<'_> {
    let array = column.array();
    if let Some((keys, values)) = column.dictionary() {
        let mut known: Vec<Option<Option<u32>>> = vec![None; values.len()];
        return Box::new(move |row, names| {
            if keys.is_null(row) {
                return Value::Missing;
            }
            let key = keys.value(row) as usize;
            match known.get_mut(key) {
                Some(slot) => {
                    Value::of(*slot.get_or_insert_with(|| names.number(values.value(key))))
                }
                None => Value::Missing,
            }
        });
    }
    if let Some(ints) = array.as_primitive_opt::<Int64Type>() {
        let mut known: HashMap<i64, Option<u32>> = HashMap::new();
        return Box::new(move |row, names| match ints.is_valid(row) {
            false => Value::Missing,
            true => {
                let v = ints.value(row);
                let number = known
                    .entry(v)
                    .or_insert_with(|| names.number(&v.to_string()));
                Value::of(*number)
            }
        });
    }
    let floats = array.as_primitive_opt::<Float64Type>();
    let bools = array.as_boolean_opt();
    Box::new(move |row, names| {
        if array.is_null(row) {
            return Value::Missing;
        }
        match (floats, bools) {
            (Some(floats), _) => Value::of(names.number(&floats.value(row).to_string())),
            (None, Some(bools)) => {
                Value::of(names.number(if bools.value(row) { "true" } else { "false" }))
            }
            (None, None) => Value::Missing,
        }
    })
}

/// Lists, JSON and fields with several columns: each distinct value of a row once.
fn several(
    batch: &EventBatch,
    name: &str,
    names: &mut Names,
    mut take: impl FnMut(usize, u32),
) -> usize {
    let mut missing = 0;
    let mut seen: Vec<u32> = Vec::new();
    for row in 0..batch.rows() {
        let values = batch.values(name, row);
        if values.is_empty() {
            missing += 1;
        }
        seen.clear();
        for number in values.iter().filter_map(|v| names.number(v)) {
            if !seen.contains(&number) {
                seen.push(number);
                take(row, number);
            }
        }
    }
    missing
}
