//! A column while it is being built, and its name on disk.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;

use super::gather::{self, Arena, Laid, Need, Values};
use super::interner::{Interner, Texts};
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
    pub(super) fn add_need(&self, rows: usize, need: &mut Need) {
        let words = rows.div_ceil(64);
        if self.values < rows {
            need.words += words;
        }
        match &self.data {
            Data::Text { interner, .. } => {
                need.i32s += rows + interner.texts.ends.len();
                need.text += interner.texts.text.len();
            }
            Data::Int(_) => need.i64s += rows,
            Data::Float(_) => need.f64s += rows,
            Data::Bool(_) => need.words += words,
            Data::StrList { members, .. } => {
                need.i32s += rows + 1 + members.ends.len();
                need.text += members.text.len();
            }
            Data::IntList { members, .. } => {
                need.i32s += rows + 1;
                need.i64s += members.len();
            }
        }
    }

    /// Puts the values into the arena, as a column of `rows` rows.
    pub(super) fn lay(&self, rows: usize, arena: &mut Arena) -> Laid {
        let (at, values) = (&self.rows[..], self.values);
        let nulls = (values < rows).then(|| mark(&mut arena.words, at, values, rows, |_| true));
        let values = match &self.data {
            Data::Text { interner, keys } => {
                let keys = spread(&mut arena.i32s, keys, at, rows);
                let (ends, text) = arena.put_texts(&interner.texts);
                Values::Text { keys, ends, text }
            }
            Data::Int(values) => Values::Int(spread(&mut arena.i64s, values, at, rows)),
            Data::Float(values) => Values::Float(spread(&mut arena.f64s, values, at, rows)),
            Data::Bool(bools) => {
                let is_set = |i: usize| bools.get(i) == Some(&true);
                Values::Bool(mark(&mut arena.words, at, values, rows, is_set))
            }
            Data::StrList { members, ends } => {
                let offsets = offsets(&mut arena.i32s, ends, at, rows);
                let (ends, text) = arena.put_texts(members);
                Values::StrList {
                    offsets,
                    ends,
                    text,
                }
            }
            Data::IntList { members, ends } => {
                let offsets = offsets(&mut arena.i32s, ends, at, rows);
                let start = put(&mut arena.i64s, members);
                let members = start..arena.i64s.len();
                Values::IntList { offsets, members }
            }
        };
        Laid { nulls, values }
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
        Ok(self.column().with(array))
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
    pub(super) fn with(self, array: ArrayRef) -> Column {
        let (path, name) = self.names;
        Column {
            name,
            path,
            kind: self.kind,
            origin: self.origin,
            array,
        }
    }
}

impl Arena {
    fn put_texts(&mut self, texts: &Texts) -> (Range<usize>, Range<usize>) {
        let ends = put(&mut self.i32s, &texts.ends);
        let ends = ends..self.i32s.len();
        let text = self.text.len();
        self.text.push_str(&texts.text);
        (ends, text..self.text.len())
    }
}

/// Puts values behind those of other columns; gives where they begin.
fn put<T: Copy>(out: &mut Vec<T>, values: &[T]) -> usize {
    let start = out.len();
    out.extend_from_slice(values);
    start
}

/// Puts one value a row behind those of other columns, those of the rows `at` (if empty, of the
/// first rows) and zeros elsewhere; gives where they begin.
fn spread<T: Copy + Default>(out: &mut Vec<T>, values: &[T], at: &[u32], rows: usize) -> usize {
    if at.is_empty() {
        let start = put(out, values);
        out.resize(start + rows, T::default());
        return start;
    }
    let start = out.len();
    out.resize(start + rows, T::default());
    let out = out.get_mut(start..).unwrap_or_default();
    for (row, value) in at.iter().zip(values) {
        if let Some(slot) = out.get_mut(*row as usize) {
            *slot = *value;
        }
    }
    start
}

/// Puts one bit a row: set for the rows `at` (if empty, the first ones) where `is_set` says so of
/// the place of the value. Gives the word where they begin.
fn mark(
    out: &mut Vec<u64>,
    at: &[u32],
    values: usize,
    rows: usize,
    is_set: impl Fn(usize) -> bool,
) -> usize {
    let start = out.len();
    out.resize(start + rows.div_ceil(64), 0);
    let out = out.get_mut(start..).unwrap_or_default();
    for i in (0..values).filter(|i| is_set(*i)) {
        let row = at.get(i).map_or(i, |row| *row as usize);
        if let Some(word) = out.get_mut(row / 64) {
            *word |= 1 << (row % 64);
        }
    }
    start
}

/// Puts where the list of each row begins, and where the last ends.
fn offsets(out: &mut Vec<i32>, ends: &[i32], at: &[u32], rows: usize) -> usize {
    let start = out.len();
    let mut end = 0;
    for (i, next) in ends.iter().enumerate() {
        let row = at.get(i).map_or(i, |row| *row as usize);
        out.resize(start + row + 1, end);
        end = *next;
    }
    out.resize(start + rows + 1, end);
    start
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
            array,
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
