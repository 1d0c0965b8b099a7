//! Reading single cells of a batch's columns, whatever kind they are.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use arrow::array::{
    Array, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, StringArray,
};
use arrow::datatypes::{Float64Type, Int64Type};
use watchfire_event::{Column, Kind};

/// The values of one column, typed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cells<'a> {
    Str {
        keys: &'a Int32Array,
        values: &'a StringArray,
    },
    Int(&'a Int64Array),
    Float(&'a Float64Array),
    Bool(&'a BooleanArray),
    StrList {
        lists: &'a ListArray,
        members: &'a StringArray,
    },
    IntList {
        lists: &'a ListArray,
        members: &'a Int64Array,
    },
    Json {
        keys: &'a Int32Array,
        values: &'a StringArray,
    },
}

impl<'a> Cells<'a> {
    /// The cells of `column`; `None` when its array is not what its kind says.
    pub(crate) fn of(column: &'a Column) -> Option<Self> {
        let array = column.array();
        Some(match column.kind {
            Kind::Str => {
                let (keys, values) = column.dictionary()?;
                Cells::Str { keys, values }
            }
            Kind::Json => {
                let (keys, values) = column.dictionary()?;
                Cells::Json { keys, values }
            }
            Kind::Int => Cells::Int(array.as_primitive_opt::<Int64Type>()?),
            Kind::Float => Cells::Float(array.as_primitive_opt::<Float64Type>()?),
            Kind::Bool => Cells::Bool(array.as_boolean_opt()?),
            Kind::StrList => {
                let lists = array.as_list_opt::<i32>()?;
                Cells::StrList {
                    lists,
                    members: lists.values().as_string_opt::<i32>()?,
                }
            }
            Kind::IntList => {
                let lists = array.as_list_opt::<i32>()?;
                Cells::IntList {
                    lists,
                    members: lists.values().as_primitive_opt::<Int64Type>()?,
                }
            }
        })
    }

    /// Has the row no value here?
    pub(crate) fn is_null(&self, row: usize) -> bool {
        match self {
            Cells::Str { keys, .. } | Cells::Json { keys, .. } => keys.is_null(row),
            Cells::Int(a) => a.is_null(row),
            Cells::Float(a) => a.is_null(row),
            Cells::Bool(a) => a.is_null(row),
            Cells::StrList { lists, .. } | Cells::IntList { lists, .. } => lists.is_null(row),
        }
    }

    /// The row's value as text, of a list the first member. JSON text is not a value.
    pub(crate) fn text(&self, row: usize) -> Option<Cow<'a, str>> {
        if self.is_null(row) {
            return None;
        }
        match self {
            Cells::Str { keys, values } => Some(Cow::Borrowed(
                values.value(usize::try_from(keys.value(row)).ok()?),
            )),
            Cells::Int(a) => Some(Cow::Owned(a.value(row).to_string())),
            Cells::Float(a) => Some(Cow::Owned(a.value(row).to_string())),
            Cells::Bool(a) => Some(Cow::Borrowed(if a.value(row) { "true" } else { "false" })),
            Cells::StrList { lists, members } => {
                let range = span(lists, row);
                (!range.is_empty()).then(|| Cow::Borrowed(members.value(range.start)))
            }
            Cells::IntList { lists, members } => {
                let range = span(lists, row);
                (!range.is_empty()).then(|| Cow::Owned(members.value(range.start).to_string()))
            }
            Cells::Json { .. } => None,
        }
    }

    /// All values of the row as text, list members one by one. JSON text is not a value.
    pub(crate) fn texts(&self, row: usize, visit: &mut dyn FnMut(&str)) {
        if let Cells::StrList { lists, members } = self {
            if !lists.is_null(row) {
                span(lists, row).for_each(|i| visit(members.value(i)));
            }
        } else if let Cells::IntList { lists, members } = self {
            if !lists.is_null(row) {
                span(lists, row).for_each(|i| visit(&members.value(i).to_string()));
            }
        } else if let Some(text) = self.text(row) {
            visit(&text);
        }
    }
}

/// Where the members of the row's list are.
pub(crate) fn span(lists: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = lists.value_offsets();
    let at = |i: usize| {
        offsets
            .get(i)
            .and_then(|o| usize::try_from(*o).ok())
            .unwrap_or(0)
    };
    at(row)..at(row + 1)
}

/// 64-bit hash of a text, the same in every process: snapshots hold such hashes. (The standard
/// hasher with its default key; should it ever change, snapshots of older builds only forget.)
pub(crate) fn hash_text(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Combines two hashes, order counts.
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let x = (a ^ b.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x ^ (x >> 29))
        .wrapping_add(b)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// The column as one hash a row: distinct strings are hashed once.
#[derive(Debug)]
pub(crate) struct HashedCells<'a> {
    cells: Cells<'a>,
    distinct: Vec<u64>,
}

impl<'a> HashedCells<'a> {
    /// Hashes the distinct values of `cells`.
    pub(crate) fn new(cells: Cells<'a>) -> Self {
        let distinct = match &cells {
            Cells::Str { values, .. } | Cells::Json { values, .. } => (0..values.len())
                .map(|i| hash_text(values.value(i)))
                .collect(),
            _ => Vec::new(),
        };
        HashedCells { cells, distinct }
    }

    /// Hash of the row's value (of a list: of all members), `None` where there is none.
    pub(crate) fn get(&self, row: usize) -> Option<u64> {
        if self.cells.is_null(row) {
            return None;
        }
        match &self.cells {
            Cells::Str { keys, .. } | Cells::Json { keys, .. } => self
                .distinct
                .get(usize::try_from(keys.value(row)).ok()?)
                .copied(),
            other => {
                let mut all = 0;
                other.texts(row, &mut |t| all = mix(all, hash_text(t)));
                Some(all)
            }
        }
    }

    /// Calls `visit` with hash and text of every distinct string.
    pub(crate) fn each_distinct(&self, mut visit: impl FnMut(u64, &str)) {
        if let Cells::Str { values, .. } = &self.cells {
            for (i, hash) in self.distinct.iter().enumerate() {
                visit(*hash, values.value(i));
            }
        }
    }

    /// The cells themselves.
    pub(crate) fn cells(&self) -> &Cells<'a> {
        &self.cells
    }
}
