//! From lines of JSON to a batch.

use arrow::array::{BooleanArray, Int64Array};
use serde_json::{Map, Value};

use super::column::{self, ColumnBuilder};
use super::gather::Spare;
use super::parse::{self, LineCode, LineError};
use super::tree::{NodeId, Tree};
use super::{BatchLimits, EventBatch, Kind, Origin, RowMeta};
use crate::field;

/// The rows of a batch while they are read.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) limits: BatchLimits,
    tree: Tree,
    columns: Vec<ColumnBuilder>,
    spare: Spare,
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
            tree: Tree::new(),
            columns: Vec::new(),
            spare: Spare::default(),
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

    /// The child of `node` at `key`, which comes after the sibling `before`; `None` when it is
    /// new and there is no room for a column.
    pub(super) fn child(
        &mut self,
        node: NodeId,
        key: &str,
        before: &mut Option<NodeId>,
    ) -> Option<NodeId> {
        let room = self.columns.len() < self.limits.max_columns;
        let child = self.tree.child(node, key, *before, room);
        if child.is_some() {
            *before = child;
        } else {
            self.pending_key.clear();
            self.pending_key.push_str(key);
        }
        child
    }

    /// Notes that the current row has a value at `node`; true when it had one before.
    pub(super) fn enter(&mut self, node: NodeId) -> bool {
        let stamp = self.row + 1;
        let Some(node) = self.tree.get_mut(node) else {
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
        let place = self.tree.get_mut(node)?;
        let slot = place.columns.get_mut(kind as usize)?;
        if slot.is_none() && self.columns.len() < self.limits.max_columns {
            *slot = Some(u32::try_from(self.columns.len()).ok()?);
            let names = (place.path.clone(), place.name.clone());
            let builder = self.spare.builder(names, Origin::Own, kind);
            self.columns.push(builder);
        }
        self.columns.get_mut((*slot)? as usize)
    }

    fn inner_column(&mut self, node: NodeId) -> Option<&mut ColumnBuilder> {
        let place = self.tree.get_mut(node)?;
        if place.inner.is_none() && self.columns.len() < self.limits.max_columns {
            place.inner = Some(u32::try_from(self.columns.len()).ok()?);
            let names = (place.path.clone(), place.name.clone());
            let builder = self.spare.builder(names, Origin::Inner, Kind::StrList);
            self.columns.push(builder);
        }
        self.columns.get_mut(place.inner? as usize)
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
                let mut before = None;
                for (key, v) in members {
                    match self.child(node, key, &mut before) {
                        Some(child) => self.push_inner_tree(child, v),
                        None => self.overflow_pending(node, v.clone()),
                    }
                }
            }
        }
    }

    /// Keeps a value that found no column, at the key last asked for under `node`.
    pub(super) fn overflow_pending(&mut self, node: NodeId, value: Value) {
        let parent = self.tree.get(node).map_or("", |n| &n.name);
        let mut name = parent.to_owned();
        if node != NodeId::ROOT {
            name.push('.');
        }
        name.push_str(&self.pending_key);
        self.keep_overflow(name, value);
    }

    fn overflow_at(&mut self, node: NodeId, value: Value) {
        let name = self.tree.get(node).map_or("", |n| &n.name).to_owned();
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
        let meta = |path: &str, kind| ColumnBuilder::new(column::names(path), Origin::Meta, kind);
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
    pub fn finish(mut self) -> EventBatch {
        self.take()
    }

    /// The batch as [`BatchBuilder::finish`] gives it. The builder is empty then and can be filled
    /// again, which is quicker than with a new one: it still knows the paths, and has the room.
    pub fn take(&mut self) -> EventBatch {
        let rows = std::mem::take(&mut self.rows.row);
        let own = self.rows.columns.drain(..);
        let meta = [
            &mut self.source,
            &mut self.flags,
            &mut self.raw,
            &mut self.overflow,
        ];
        let meta = meta.map(ColumnBuilder::take);
        let columns = self.rows.spare.columns(own.chain(meta), rows);
        self.rows.tree.begin();
        self.bytes = 0;
        let received = Int64Array::from(std::mem::take(&mut self.received));
        let batch = EventBatch::from_columns(received, columns);
        let dead = std::mem::take(&mut self.dead);
        if dead.is_empty() {
            return batch;
        }
        let mut alive = vec![true; rows];
        for row in dead {
            if let Some(alive) = alive.get_mut(row) {
                *alive = false;
            }
        }
        let batch = batch.filter(BooleanArray::from(alive).values());
        let kept = batch.columns.iter().filter(|c| c.count() > 0).cloned();
        EventBatch::from_columns(batch.received.clone(), kept.collect())
    }
}
