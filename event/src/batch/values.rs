//! Single values of a batch as text.

use std::borrow::Cow;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};

use super::{Column, EventBatch, Kind, Origin};
use crate::field;

impl Column {
    /// Calls `f` with each value of the row as text: numbers in decimal, booleans as `true` and
    /// `false`, members of lists one by one. Of [`Kind::Json`] only numbers count: what is
    /// inside other JSON text is in inner columns.
    pub fn for_each_text<'a>(&'a self, row: usize, mut f: impl FnMut(Cow<'a, str>)) {
        let array = self.array().as_ref();
        if row >= array.len() || array.is_null(row) {
            return;
        }
        match self.kind {
            Kind::Str | Kind::Json => {
                let Some((keys, values)) = self.dictionary() else {
                    return;
                };
                let text = values.value(keys.value(row) as usize);
                if self.kind == Kind::Str || is_number(text) {
                    f(Cow::Borrowed(text));
                }
            }
            Kind::Int => f(array
                .as_primitive::<Int64Type>()
                .value(row)
                .to_string()
                .into()),
            Kind::Float => f(array
                .as_primitive::<Float64Type>()
                .value(row)
                .to_string()
                .into()),
            Kind::Bool => {
                f(Cow::Borrowed(if array.as_boolean().value(row) {
                    "true"
                } else {
                    "false"
                }));
            }
            Kind::StrList => {
                let list = array.as_list::<i32>();
                let offsets = list.value_offsets();
                let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
                let values = list.values().as_string::<i32>();
                (from..to).for_each(|i| f(Cow::Borrowed(values.value(i))));
            }
            Kind::IntList => {
                let list = array.as_list::<i32>();
                let offsets = list.value_offsets();
                let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
                let values = list.values().as_primitive::<Int64Type>();
                (from..to).for_each(|i| f(Cow::Owned(values.value(i).to_string())));
            }
        }
    }
}

/// Is this JSON text a number?
pub(crate) fn is_number(json: &str) -> bool {
    json.starts_with(|c: char| c.is_ascii_digit() || c == '-')
}

impl EventBatch {
    /// The first value of the field as text.
    pub fn text(&self, name: &str, row: usize) -> Option<Cow<'_, str>> {
        let mut first = None;
        for column in self.named(name) {
            column.for_each_text(row, |v| {
                first.get_or_insert(v);
            });
            if first.is_some() {
                return first;
            }
        }
        None
    }

    /// All values of the field as text, over all columns of that name.
    pub fn values(&self, name: &str, row: usize) -> Vec<Cow<'_, str>> {
        let mut all = Vec::new();
        for column in self.named(name) {
            column.for_each_text(row, |v| all.push(v));
        }
        all
    }

    pub(super) fn meta(&self, name: &str) -> Option<&Column> {
        self.named(name).find(|c| c.origin == Origin::Meta)
    }

    /// Name of the token that shipped the event.
    pub fn source(&self, row: usize) -> Option<Cow<'_, str>> {
        self.meta_text(field::SOURCE, row)
    }

    /// The text of one of our own string columns.
    pub(crate) fn meta_text(&self, name: &str, row: usize) -> Option<Cow<'_, str>> {
        let column = self.meta(name)?;
        let (keys, values) = column.dictionary()?;
        (row < keys.len() && keys.is_valid(row))
            .then(|| Cow::Borrowed(values.value(keys.value(row) as usize)))
    }
}
