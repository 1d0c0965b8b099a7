//! A column while it is being built, and its name on disk.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder,
};
use arrow::error::ArrowError;

use super::interner::Interner;
use super::{Column, Kind, Origin};

/// A growing column. Rows without a value are filled in when a later row has one.
#[derive(Debug)]
pub(super) struct ColumnBuilder {
    path: Arc<str>,
    origin: Origin,
    kind: Kind,
    data: Data,
    /// Rows closed so far.
    rows: usize,
    /// A list whose row is still taking values.
    open: bool,
}

#[derive(Debug)]
enum Data {
    Dictionary { interner: Interner, keys: Vec<i32> },
    Int(Int64Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
    StrList(ListBuilder<StringBuilder>),
    IntList(ListBuilder<Int64Builder>),
}

impl ColumnBuilder {
    pub(super) fn new(path: Arc<str>, origin: Origin, kind: Kind) -> Self {
        let data = match kind {
            Kind::Str | Kind::Json => Data::Dictionary {
                interner: Interner::new(),
                keys: Vec::new(),
            },
            Kind::Int => Data::Int(Int64Builder::new()),
            Kind::Float => Data::Float(Float64Builder::new()),
            Kind::Bool => Data::Bool(BooleanBuilder::new()),
            Kind::StrList => Data::StrList(ListBuilder::new(StringBuilder::new())),
            Kind::IntList => Data::IntList(ListBuilder::new(Int64Builder::new())),
        };
        ColumnBuilder {
            path,
            origin,
            kind,
            data,
            rows: 0,
            open: false,
        }
    }

    /// Fills rows up to, not including, `row` with nulls.
    pub(super) fn pad(&mut self, row: usize) {
        self.close_list();
        let missing = row.saturating_sub(self.rows);
        if missing == 0 {
            return;
        }
        match &mut self.data {
            Data::Dictionary { keys, .. } => keys.resize(keys.len() + missing, -1),
            Data::Int(b) => b.append_nulls(missing),
            Data::Float(b) => b.append_nulls(missing),
            Data::Bool(b) => b.append_nulls(missing),
            Data::StrList(b) => (0..missing).for_each(|_| b.append(false)),
            Data::IntList(b) => (0..missing).for_each(|_| b.append(false)),
        }
        self.rows = row;
    }

    fn close_list(&mut self) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        match &mut self.data {
            Data::StrList(b) => b.append(true),
            Data::IntList(b) => b.append(true),
            _ => {}
        }
        self.rows += 1;
    }

    pub(super) fn push_str(&mut self, row: usize, v: &str) {
        self.pad(row);
        if let Data::Dictionary { interner, keys } = &mut self.data {
            keys.push(interner.intern(v).unwrap_or(-1));
            self.rows += 1;
        }
    }

    pub(super) fn push_int(&mut self, row: usize, v: i64) {
        self.pad(row);
        if let Data::Int(b) = &mut self.data {
            b.append_value(v);
            self.rows += 1;
        }
    }

    pub(super) fn push_float(&mut self, row: usize, v: f64) {
        self.pad(row);
        if let Data::Float(b) = &mut self.data {
            b.append_value(v);
            self.rows += 1;
        }
    }

    pub(super) fn push_bool(&mut self, row: usize, v: bool) {
        self.pad(row);
        if let Data::Bool(b) = &mut self.data {
            b.append_value(v);
            self.rows += 1;
        }
    }

    /// Adds a value to the list of `row`, which stays open for more.
    pub(super) fn push_member(&mut self, row: usize, v: &str) {
        if !(self.open && self.rows == row) {
            self.pad(row);
        }
        if let Data::StrList(b) = &mut self.data {
            b.values().append_value(v);
            self.open = true;
        }
    }

    /// Adds an integer to the list of `row`, which stays open for more.
    pub(super) fn push_int_member(&mut self, row: usize, v: i64) {
        if !(self.open && self.rows == row) {
            self.pad(row);
        }
        if let Data::IntList(b) = &mut self.data {
            b.values().append_value(v);
            self.open = true;
        }
    }

    /// The finished column of `rows` rows.
    pub(super) fn finish(mut self, rows: usize) -> Result<Column, ArrowError> {
        self.pad(rows);
        let array: ArrayRef = match self.data {
            Data::Dictionary { interner, keys } => interner.finish(keys)?,
            Data::Int(mut b) => Arc::new(b.finish()),
            Data::Float(mut b) => Arc::new(b.finish()),
            Data::Bool(mut b) => Arc::new(b.finish()),
            Data::StrList(mut b) => Arc::new(b.finish()),
            Data::IntList(mut b) => Arc::new(b.finish()),
        };
        Ok(Column::new(&self.path, self.kind, self.origin, array))
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
        Column {
            name: unescape(path).into(),
            path: path.into(),
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

/// A path without its escapes.
pub(super) fn unescape(path: &str) -> String {
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
