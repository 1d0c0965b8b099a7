//! A column while it is being built, and its name on disk.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;

use super::gather;
use super::held::Held;
use super::interner::{Interner, Texts};
use super::sparse::{Arena, Laid, Need, Values};
use super::{Column, Kind, Origin};

/// Path and name of a column, see the module's documentation.
pub(super) type Names = (Arc<str>, Arc<str>);

/// A growing column. What has no value in a row costs nothing until the column is finished.
#[derive(Debug)]
pub(super) struct ColumnBuilder {
    names: Names,
    origin: Origin,
    kind: Kind,
    data: Data,
    /// Rows that have a value, rising. Empty as long as these are the first ones, without a gap.
    rows: Vec<u32>,
    /// How many rows have a value.
    values: usize,
    /// The last row that has one, plus one.
    last: usize,
}

/// The values of the rows that have one.
#[derive(Debug)]
enum Data {
    Text {
        interner: Interner,
        keys: Vec<i32>,
    },
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(Vec<bool>),
    /// Members of all lists, and where each list ends.
    StrList {
        members: Texts,
        ends: Vec<i32>,
    },
    IntList {
        members: Vec<i64>,
        ends: Vec<i32>,
    },
}

impl ColumnBuilder {
    pub(super) fn new(names: Names, origin: Origin, kind: Kind) -> Self {
        let data = match kind {
            Kind::Str | Kind::Json => Data::Text {
                interner: Interner::new(),
                keys: Vec::new(),
            },
            Kind::Int => Data::Int(Vec::new()),
            Kind::Float => Data::Float(Vec::new()),
            Kind::Bool => Data::Bool(Vec::new()),
            Kind::StrList => Data::StrList {
                members: Texts::default(),
                ends: Vec::new(),
            },
            Kind::IntList => Data::IntList {
                members: Vec::new(),
                ends: Vec::new(),
            },
        };
        ColumnBuilder {
            names,
            origin,
            kind,
            data,
            rows: Vec::new(),
            values: 0,
            last: 0,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Rows that have a value.
    pub(super) fn values(&self) -> usize {
        self.values
    }

    /// Makes an empty builder that of another column of the same kind.
    pub(super) fn rename(&mut self, names: Names, origin: Origin) {
        self.names = names;
        self.origin = origin;
    }

    /// Takes everything out.
    pub(super) fn take(&mut self) -> ColumnBuilder {
        let empty = ColumnBuilder::new(self.names.clone(), self.origin, self.kind);
        std::mem::replace(self, empty)
    }

    /// Notes that `row` has a value; false when it has one already.
    fn enter(&mut self, row: usize) -> bool {
        let Ok(number) = u32::try_from(row) else {
            return false;
        };
        if row < self.last {
            return false;
        }
        if !self.rows.is_empty() {
            self.rows.push(number);
        } else if row != self.values {
            self.rows.extend((0..number).take(self.values));
            self.rows.push(number);
        }
        self.values += 1;
        self.last = row + 1;
        true
    }

    pub(super) fn push_str(&mut self, row: usize, v: &str) {
        if let Data::Text { interner, .. } = &mut self.data
            && let Some(key) = interner.intern(v)
            && self.enter(row)
            && let Data::Text { keys, .. } = &mut self.data
        {
            keys.push(key);
        }
    }

    pub(super) fn push_int(&mut self, row: usize, v: i64) {
        if self.enter(row)
            && let Data::Int(values) = &mut self.data
        {
            values.push(v);
        }
    }

    pub(super) fn push_float(&mut self, row: usize, v: f64) {
        if self.enter(row)
            && let Data::Float(values) = &mut self.data
        {
            values.push(v);
        }
    }

    pub(super) fn push_bool(&mut self, row: usize, v: bool) {
        if self.enter(row)
            && let Data::Bool(values) = &mut self.data
        {
            values.push(v);
        }
    }

    /// Adds a value to the list of `row`, which stays open for more until another row comes.
    pub(super) fn push_member(&mut self, row: usize, v: &str) {
        let fresh = self.enter(row);
        if let Data::StrList { members, ends } = &mut self.data {
            members.push(v);
            close(ends, members.ends.len() - 1, fresh);
        }
    }

    /// Adds an integer to the list of `row`, which stays open for more until another row comes.
    pub(super) fn push_int_member(&mut self, row: usize, v: i64) {
        let fresh = self.enter(row);
        if let Data::IntList { members, ends } = &mut self.data {
            members.push(v);
            close(ends, members.len(), fresh);
        }
    }

    /// Adds the room that [`ColumnBuilder::lay`] will take.
    pub(super) fn add_need(&self, need: &mut Need) {
        need.columns += 1;
        need.places += self.rows.len();
        match &self.data {
            Data::Text { interner, keys } => {
                need.i32s += keys.len() + interner.texts.ends.len();
                need.text += interner.texts.text.len();
            }
            Data::Int(values) => need.i64s += values.len(),
            Data::Float(values) => need.f64s += values.len(),
            Data::Bool(values) => need.bools += values.len(),
            Data::StrList { members, ends } => {
                need.i32s += ends.len() + members.ends.len();
                need.text += members.text.len();
            }
            Data::IntList { members, ends } => {
                need.i32s += ends.len();
                need.i64s += members.len();
            }
        }
    }

    /// Puts the values into the arena.
    pub(super) fn lay(&self, arena: &mut Arena) {
        let places = put(&mut arena.places, &self.rows);
        let values = match &self.data {
            Data::Text { interner, keys } => {
                let codes = put(&mut arena.i32s, keys).start;
                let (ends, text) = arena.put_texts(&interner.texts);
                Values::Text { codes, ends, text }
            }
            Data::Int(values) => Values::Int(put(&mut arena.i64s, values).start),
            Data::Float(values) => Values::Float(put(&mut arena.f64s, values).start),
            Data::Bool(values) => Values::Bool(put(&mut arena.bools, values).start),
            Data::StrList { members, ends } => {
                let lists = put(&mut arena.i32s, ends).start;
                let (ends, text) = arena.put_texts(members);
                Values::StrList { lists, ends, text }
            }
            Data::IntList { members, ends } => Values::IntList {
                lists: put(&mut arena.i32s, ends).start,
                members: put(&mut arena.i64s, members),
            },
        };
        arena.laid.push(Laid {
            places,
            count: self.values,
            values,
        });
    }

    /// Forgets all values and keeps the room for others.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        (self.values, self.last) = (0, 0);
        match &mut self.data {
            Data::Text { interner, keys } => {
                interner.clear();
                keys.clear();
            }
            Data::Int(values) => values.clear(),
            Data::Float(values) => values.clear(),
            Data::Bool(values) => values.clear(),
            Data::StrList { members, ends } => {
                members.clear();
                ends.clear();
            }
            Data::IntList { members, ends } => {
                members.clear();
                ends.clear();
            }
        }
    }

    /// Bytes of room, about.
    pub(super) fn room(&self) -> usize {
        let data = match &self.data {
            Data::Text { interner, keys } => interner.room() + 4 * keys.capacity(),
            Data::Int(values) => 8 * values.capacity(),
            Data::Float(values) => 8 * values.capacity(),
            Data::Bool(values) => values.capacity(),
            Data::StrList { members, ends } => {
                members.text.capacity() + 4 * (members.ends.capacity() + ends.capacity())
            }
            Data::IntList { members, ends } => 8 * members.capacity() + 4 * ends.capacity(),
        };
        size_of::<ColumnBuilder>() + data + 4 * self.rows.capacity()
    }

    /// The column without its values.
    pub(super) fn column(&self) -> Bare {
        Bare {
            names: self.names.clone(),
            kind: self.kind,
            origin: self.origin,
        }
    }

    /// The finished column of `rows` rows.
    pub(super) fn finish(self, rows: usize) -> Result<Column, ArrowError> {
        let array = gather::alone(&self, rows)?;
        Ok(self.column().with(Held::Array(array)))
    }
}

/// A column that waits for its values.
#[derive(Debug)]
pub(super) struct Bare {
    names: Names,
    kind: Kind,
    origin: Origin,
}

impl Bare {
    pub(super) fn with(self, values: Held) -> Column {
        let (path, name) = self.names;
        Column {
            name,
            path,
            kind: self.kind,
            origin: self.origin,
            values,
        }
    }
}

impl Arena {
    fn put_texts(&mut self, texts: &Texts) -> (Range<usize>, Range<usize>) {
        let ends = put(&mut self.i32s, &texts.ends);
        let text = self.text.len();
        self.text.push_str(&texts.text);
        (ends, text..self.text.len())
    }
}

/// Puts values behind those of other columns; gives where they are.
fn put<T: Copy>(out: &mut Vec<T>, values: &[T]) -> Range<usize> {
    let start = out.len();
    out.extend_from_slice(values);
    start..out.len()
}

/// Notes where the last list ends, or that of a fresh row.
fn close(ends: &mut Vec<i32>, members: usize, fresh: bool) {
    let end = i32::try_from(members).unwrap_or(i32::MAX);
    match ends.last_mut() {
        Some(last) if !fresh => *last = end,
        _ => ends.push(end),
    }
}

/// Letters of [`Origin`] in physical names.
const ORIGINS: [(Origin, &str); 4] = [
    (Origin::Own, "o"),
    (Origin::Mapped, "m"),
    (Origin::Inner, "i"),
    (Origin::Meta, "w"),
];

/// Letters of [`Kind`] in physical names.
const KINDS: [(Kind, &str); 7] = [
    (Kind::Str, "s"),
    (Kind::Int, "i"),
    (Kind::Float, "f"),
    (Kind::Bool, "b"),
    (Kind::StrList, "ls"),
    (Kind::IntList, "li"),
    (Kind::Json, "j"),
];

impl Column {
    /// A column at `path` (escaped, see the module's documentation).
    pub fn new(path: &str, kind: Kind, origin: Origin, array: ArrayRef) -> Column {
        let (path, name) = names(path);
        Column {
            name,
            path,
            kind,
            origin,
            values: Held::Array(array),
        }
    }

    /// The column's name in a record batch or file: `origin:kind:path`, such as `o:s:user.id`.
    pub fn physical_name(&self) -> String {
        let origin = ORIGINS
            .iter()
            .find(|(o, _)| *o == self.origin)
            .map_or("o", |(_, l)| l);
        let kind = KINDS
            .iter()
            .find(|(k, _)| *k == self.kind)
            .map_or("s", |(_, l)| l);
        format!("{origin}:{kind}:{}", self.path)
    }

    /// Takes a physical name apart. `None` where it is not one.
    pub fn parse_physical_name(name: &str) -> Option<(Origin, Kind, &str)> {
        let (origin, rest) = name.split_once(':')?;
        let (kind, path) = rest.split_once(':')?;
        let origin = ORIGINS.iter().find(|(_, l)| *l == origin)?.0;
        let kind = KINDS.iter().find(|(_, l)| *l == kind)?.0;
        Some((origin, kind, path))
    }
}

/// Escapes a key for use in a path.
pub(super) fn escape(key: &str, path: &mut String) {
    for c in key.chars() {
        if c == '.' || c == '\\' {
            path.push('\\');
        }
        path.push(c);
    }
}

/// A path with its name.
pub(super) fn names(path: &str) -> Names {
    let shared: Arc<str> = path.into();
    match path.contains('\\') {
        true => (shared, unescape(path).into()),
        false => (Arc::clone(&shared), shared),
    }
}

/// A path without its escapes.
fn unescape(path: &str) -> String {
    let mut name = String::with_capacity(path.len());
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => name.extend(chars.next()),
            c => name.push(c),
        }
    }
    name
}

/// The keys of a path, unescaped.
pub(super) fn segments(path: &str) -> Vec<String> {
    let mut keys = vec![String::new()];
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match (c, keys.last_mut()) {
            ('.', _) => keys.push(String::new()),
            ('\\', Some(key)) => key.extend(chars.next()),
            (c, Some(key)) => key.push(c),
            (_, None) => {}
        }
    }
    keys
}
