//! From lines of JSON to a batch.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{BooleanArray, Int64Array};
use serde_json::{Map, Value};

use super::column::{self, ColumnBuilder};
use super::parse::{self, LineCode, LineError};
use super::{BatchLimits, EventBatch, Kind, Origin, RowMeta};
use crate::field;

/// A place in the tree of all paths seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(usize);

impl NodeId {
    /// The event itself.
    pub(super) const ROOT: NodeId = NodeId(0);
}

#[derive(Debug)]
struct Node {
    path: Arc<str>,
    /// Key under the parent, and which child of the parent this is.
    key: Box<str>,
    ordinal: usize,
    by_key: HashMap<Box<str>, NodeId>,
    children: Vec<NodeId>,
    /// Columns by kind, as indices into `Rows::columns`.
    columns: [Option<usize>; 7],
    inner: Option<usize>,
    /// The row in which this node was last entered, plus one.
    entered: usize,
}

impl Node {
    fn new(path: Arc<str>, key: &str, ordinal: usize) -> Self {
        Node {
            path,
            key: key.into(),
            ordinal,
            by_key: HashMap::new(),
            children: Vec::new(),
            columns: [None; 7],
            inner: None,
            entered: 0,
        }
    }
}

/// The rows of a batch while they are read.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) limits: BatchLimits,
    nodes: Vec<Node>,
    columns: Vec<ColumnBuilder>,
    /// The current row.
    row: usize,
    overflow: Map<String, Value>,
    pending_key: String,
    /// The columns cannot give the current row back: keep its text.
    inexact: bool,
    repeated: bool,
    pub(super) too_deep: bool,
    pub(super) not_object: bool,
    pub(super) scratch: Vec<Value>,
}

impl Rows {
    fn new(limits: BatchLimits) -> Self {
        Rows {
            limits,
            nodes: vec![Node::new("".into(), "", 0)],
            columns: Vec::new(),
            row: 0,
            overflow: Map::new(),
            pending_key: String::new(),
            inexact: false,
            repeated: false,
            too_deep: false,
            not_object: false,
            scratch: Vec::new(),
        }
    }

    /// The child of `node` at `key`; `None` when it is new and there is no room for a column.
    /// `expected` walks along the order of keys seen before: most events repeat it.
    pub(super) fn child(
        &mut self,
        node: NodeId,
        key: &str,
        expected: &mut usize,
    ) -> Option<NodeId> {
        let parent = self.nodes.get(node.0)?;
        let guess = parent.children.get(*expected).copied();
        if let Some(id) = guess
            && self.nodes.get(id.0).is_some_and(|n| *n.key == *key)
        {
            *expected += 1;
            return Some(id);
        }
        if let Some(id) = parent.by_key.get(key).copied() {
            *expected = self.nodes.get(id.0).map_or(0, |n| n.ordinal + 1);
            return Some(id);
        }
        if self.columns.len() >= self.limits.max_columns {
            self.pending_key.clear();
            self.pending_key.push_str(key);
            return None;
        }
        let mut path = String::with_capacity(parent.path.len() + key.len() + 1);
        if node != NodeId::ROOT {
            path.push_str(&parent.path);
            path.push('.');
        }
        column::escape(key, &mut path);
        let ordinal = parent.children.len();
        let id = NodeId(self.nodes.len());
        self.nodes.push(Node::new(path.into(), key, ordinal));
        if let Some(parent) = self.nodes.get_mut(node.0) {
            parent.by_key.insert(key.into(), id);
            parent.children.push(id);
        }
        *expected = ordinal + 1;
        Some(id)
    }

    /// Notes that the current row has a value at `node`; true when it had one before.
    pub(super) fn enter(&mut self, node: NodeId) -> bool {
        let stamp = self.row + 1;
        let Some(node) = self.nodes.get_mut(node.0) else {
            return false;
        };
        let repeated = node.entered == stamp;
        node.entered = stamp;
        if repeated {
            self.note_repeated();
        }
        repeated
    }

    pub(super) fn note_repeated(&mut self) {
        self.repeated = true;
        self.inexact = true;
    }

    /// Integers beyond 64 bits arrive as floats and lose digits.
    pub(super) fn note_float(&mut self, v: f64) {
        if v.fract() == 0.0 && v.abs() >= 9.2e18 {
            self.inexact = true;
        }
    }

    fn column(&mut self, node: NodeId, kind: Kind) -> Option<&mut ColumnBuilder> {
        let full = self.columns.len() >= self.limits.max_columns;
        let place = self.nodes.get_mut(node.0)?;
        let slot = place.columns.get_mut(kind as usize)?;
        if slot.is_none() && !full {
            *slot = Some(self.columns.len());
            self.columns
                .push(ColumnBuilder::new(place.path.clone(), Origin::Own, kind));
        }
        self.columns.get_mut((*slot)?)
    }

    fn inner_column(&mut self, node: NodeId) -> Option<&mut ColumnBuilder> {
        let full = self.columns.len() >= self.limits.max_columns;
        let place = self.nodes.get_mut(node.0)?;
        if place.inner.is_none() && !full {
            place.inner = Some(self.columns.len());
            let builder = ColumnBuilder::new(place.path.clone(), Origin::Inner, Kind::StrList);
            self.columns.push(builder);
        }
        self.columns.get_mut(place.inner?)
    }

    pub(super) fn push_str(&mut self, node: NodeId, v: &str) {
        let row = self.row;
        match self.column(node, Kind::Str) {
            Some(column) => column.push_str(row, v),
            None => self.overflow_at(node, Value::from(v)),
        }
    }

    pub(super) fn push_json(&mut self, node: NodeId, text: &str) {
        let row = self.row;
        match self.column(node, Kind::Json) {
            Some(column) => column.push_str(row, text),
            None => {
                self.overflow_at(
                    node,
                    serde_json::from_str(text).unwrap_or(Value::from(text)),
                );
            }
        }
    }

    pub(super) fn push_int(&mut self, node: NodeId, v: i64) {
        let row = self.row;
        match self.column(node, Kind::Int) {
            Some(column) => column.push_int(row, v),
            None => self.overflow_at(node, Value::from(v)),
        }
    }

    pub(super) fn push_float(&mut self, node: NodeId, v: f64) {
        let row = self.row;
        match self.column(node, Kind::Float) {
            Some(column) => column.push_float(row, v),
            None => self.overflow_at(node, Value::from(v)),
        }
    }

    pub(super) fn push_bool(&mut self, node: NodeId, v: bool) {
        let row = self.row;
        match self.column(node, Kind::Bool) {
            Some(column) => column.push_bool(row, v),
            None => self.overflow_at(node, Value::from(v)),
        }
    }

    /// An array: a list column where all members are of one kind, else its text, with the
    /// members searchable as inner columns.
    pub(super) fn push_list(&mut self, node: NodeId, list: &[Value]) {
        let row = self.row;
        if !list.is_empty() && list.iter().all(Value::is_string) {
            if let Some(column) = self.column(node, Kind::StrList) {
                list.iter()
                    .filter_map(Value::as_str)
                    .for_each(|v| column.push_member(row, v));
                return;
            }
        } else if !list.is_empty() && list.iter().all(Value::is_i64) {
            if let Some(column) = self.column(node, Kind::IntList) {
                list.iter()
                    .filter_map(Value::as_i64)
                    .for_each(|v| column.push_int_member(row, v));
                return;
            }
        } else if self.column(node, Kind::Json).is_some() {
            let text = serde_json::to_string(list).unwrap_or_default();
            self.push_json(node, &text);
            list.iter().for_each(|v| self.push_inner_tree(node, v));
            return;
        }
        self.overflow_at(node, Value::Array(list.to_vec()));
    }

    /// A value for searching only.
    pub(super) fn push_inner(&mut self, node: NodeId, v: &str) {
        let row = self.row;
        match self.inner_column(node) {
            Some(column) => column.push_member(row, v),
            None => self.overflow_at(node, Value::from(v)),
        }
    }

    /// The scalars of a tree, for searching only.
    pub(super) fn push_inner_tree(&mut self, node: NodeId, value: &Value) {
        match value {
            Value::Null => {}
            Value::String(v) => self.push_inner(node, v),
            Value::Bool(_) | Value::Number(_) => self.push_inner(node, &value.to_string()),
            Value::Array(list) => list.iter().for_each(|v| self.push_inner_tree(node, v)),
            Value::Object(members) => {
                let mut expected = 0;
                for (key, v) in members {
                    match self.child(node, key, &mut expected) {
                        Some(child) => self.push_inner_tree(child, v),
                        None => self.overflow_pending(node, v.clone()),
                    }
                }
            }
        }
    }

    /// Keeps a value that found no column, at the key last asked for under `node`.
    pub(super) fn overflow_pending(&mut self, node: NodeId, value: Value) {
        let parent = self.nodes.get(node.0).map_or("", |n| &n.path);
        let mut name = column::unescape(parent);
        if node != NodeId::ROOT {
            name.push('.');
        }
        name.push_str(&self.pending_key);
        self.keep_overflow(name, value);
    }

    fn overflow_at(&mut self, node: NodeId, value: Value) {
        let name = column::unescape(self.nodes.get(node.0).map_or("", |n| &n.path));
        self.keep_overflow(name, value);
    }

    fn keep_overflow(&mut self, name: String, value: Value) {
        self.inexact = true;
        let value = match value {
            Value::Object(members) if !members.is_empty() => {
                for (key, member) in members {
                    self.keep_overflow(format!("{name}.{key}"), member);
                }
                return;
            }
            other => other,
        };
        match self.overflow.get_mut(&name) {
            Some(Value::Array(list)) => list.push(value),
            Some(earlier) => *earlier = Value::Array(vec![earlier.take(), value]),
            None => {
                self.overflow.insert(name, value);
            }
        }
    }
}

/// Collects lines into an [`EventBatch`].
#[derive(Debug)]
pub struct BatchBuilder {
    rows: Rows,
    source: ColumnBuilder,
    flags: ColumnBuilder,
    raw: ColumnBuilder,
    overflow: ColumnBuilder,
    received: Vec<i64>,
    /// Rows that broke half way, to be left out.
    dead: Vec<usize>,
    bytes: usize,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new(limits: BatchLimits) -> Self {
        let meta = |path: &str, kind| ColumnBuilder::new(path.into(), Origin::Meta, kind);
        BatchBuilder {
            rows: Rows::new(limits),
            source: meta(field::SOURCE, Kind::Str),
            flags: meta(field::FLAGS, Kind::StrList),
            raw: meta(field::RAW, Kind::Str),
            overflow: meta(field::OVERFLOW, Kind::Json),
            received: Vec::new(),
            dead: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds one line: a JSON object.
    ///
    /// # Errors
    /// [`LineError`]; then nothing of the line is kept.
    pub fn push(&mut self, line: &[u8], meta: &RowMeta) -> Result<(), LineError> {
        let limit = self.rows.limits.max_line_bytes;
        if line.len() > limit {
            let message = format!("a line may have {limit} bytes, this one has {}", line.len());
            return Err(LineError::new(LineCode::LineTooLarge, message));
        }
        let text = std::str::from_utf8(line).map_err(|e| {
            LineError::new(
                LineCode::InvalidUtf8,
                format!("not UTF-8 at byte {}", e.valid_up_to()),
            )
        })?;
        self.bytes += line.len();
        let row = self.rows.row;
        let parsed = parse::parse_line(&mut self.rows, text);
        if parsed.is_ok() {
            self.end_row(row, text, meta);
        } else {
            self.dead.push(row);
        }
        self.received.push(meta.received_ns);
        self.rows.row += 1;
        self.rows.overflow.clear();
        self.rows.inexact = false;
        self.rows.repeated = false;
        self.rows.too_deep = false;
        parsed
    }

    fn end_row(&mut self, row: usize, text: &str, meta: &RowMeta) {
        self.source.push_str(row, &meta.source);
        if self.rows.repeated {
            self.flags.push_member(row, field::FLAG_DUP_KEY);
        }
        if !self.rows.overflow.is_empty() {
            self.flags.push_member(row, field::FLAG_FIELD_OVERFLOW);
            let object = Value::Object(std::mem::take(&mut self.rows.overflow));
            self.overflow.push_str(row, &object.to_string());
        }
        if self.rows.inexact || self.rows.limits.keep_raw_all {
            self.raw.push_str(row, text);
        }
    }

    /// Adds a flag (see [`crate::field`]) to the row last pushed.
    pub fn flag_last(&mut self, flag: &'static str) {
        if let Some(row) = self.rows.row.checked_sub(1)
            && self.dead.last() != Some(&row)
        {
            self.flags.push_member(row, flag);
        }
    }

    /// Rows taken so far.
    pub fn rows(&self) -> usize {
        self.rows.row - self.dead.len()
    }

    /// Bytes of lines taken so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Columns so far. At the limit, further fields go without a column.
    pub fn columns(&self) -> usize {
        self.rows.columns.len()
    }

    /// The batch. Sequence numbers are 0, 1, ...; event times are the times of receipt until
    /// [`EventBatch::with_time`] says better.
    pub fn finish(self) -> EventBatch {
        let rows = self.rows.row;
        let mut columns = Vec::with_capacity(self.rows.columns.len() + 4);
        let meta = [self.source, self.flags, self.raw, self.overflow];
        for builder in self.rows.columns.into_iter().chain(meta) {
            match builder.finish(rows) {
                // An all-null column (only dead rows had it, or a meta column unused) says nothing.
                Ok(column) if column.array.null_count() < rows => columns.push(column),
                Ok(_) => {}
                // Arrays are built to fit; if one did not, losing it must not lose the batch.
                Err(error) => debug_assert!(false, "column does not fit: {error}"),
            }
        }
        let batch = EventBatch::from_columns(Int64Array::from(self.received), columns);
        if self.dead.is_empty() {
            return batch;
        }
        let mut alive = vec![true; rows];
        for row in self.dead {
            if let Some(alive) = alive.get_mut(row) {
                *alive = false;
            }
        }
        let batch = batch.filter(BooleanArray::from(alive).values());
        let rows = batch.rows();
        let kept = batch
            .columns
            .iter()
            .filter(|c| c.array.null_count() < rows)
            .cloned();
        EventBatch::from_columns(batch.received.clone(), kept.collect())
    }
}
