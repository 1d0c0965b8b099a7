//! The columns that mappings add, while they are being filled.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array,
    ListBuilder, StringArray, StringBuilder,
};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use watchfire_event::{Column, EventBatch, Kind, Origin};

use super::mapping::Entry;
use super::present;
use super::transform::{Scalar, Take};

/// All fields added to a batch. Bounded by the fields that mappings name.
pub(super) struct Targets {
    batch: EventBatch,
    by_name: BTreeMap<String, Target>,
}

impl Targets {
    pub(super) fn new(batch: &EventBatch) -> Self {
        Targets {
            batch: batch.clone(),
            by_name: BTreeMap::new(),
        }
    }

    pub(super) fn batch(&self) -> &EventBatch {
        &self.batch
    }

    fn target(&mut self, name: &str) -> &mut Target {
        let batch = &self.batch;
        self.by_name
            .entry(name.to_owned())
            .or_insert_with(|| Target::new(batch, name))
    }

    /// Writes `value` to those of `rows` that have nothing yet.
    pub(super) fn constant(&mut self, name: &str, value: &str, rows: &BooleanBuffer) {
        let target = self.target(name);
        if target.full() {
            return;
        }
        let cell = target.cell(Scalar::Text(value.into()));
        rows.set_indices().for_each(|row| target.put(row, &cell));
    }

    /// Writes what `entry` takes of the event's own field `from` to those of `rows` that have
    /// nothing yet.
    pub(super) fn copy(&mut self, entry: &Entry, from: &str, rows: &BooleanBuffer) {
        let batch = self.batch.clone();
        for column in batch.named(from).filter(|c| c.origin == Origin::Own) {
            let target = self.target(&entry.to);
            if !target.full() && !target.share(column, entry, rows) {
                target.fill(column, entry, rows);
            }
        }
    }

    pub(super) fn finish(self) -> Vec<Column> {
        self.by_name
            .into_iter()
            .flat_map(|(name, target)| target.finish(&name))
            .collect()
    }
}

/// A value as it is kept: text by its place in the dictionary.
#[derive(Debug, Clone)]
enum Cell {
    Nothing,
    Text(i32),
    Int(i64),
    Float(f64),
    Bool(bool),
    List(Vec<String>),
}

#[derive(Default)]
struct Texts {
    places: HashMap<String, i32>,
    values: Vec<String>,
}

struct Target {
    rows: usize,
    /// Rows that have a value: the event's own, or one added before.
    taken: Vec<bool>,
    open: usize,
    /// Another column's values as they are, as long as they are all there is.
    shared: Option<(Kind, ArrayRef)>,
    texts: Texts,
    keys: Option<Vec<Option<i32>>>,
    ints: Option<Vec<Option<i64>>>,
    floats: Option<Vec<Option<f64>>>,
    bools: Option<Vec<Option<bool>>>,
    lists: Option<Vec<Option<Vec<String>>>>,
}

impl Target {
    fn new(batch: &EventBatch, name: &str) -> Self {
        let rows = batch.rows();
        let (taken, open) = match present(batch, name) {
            Some(own) => (own.iter().collect(), rows - own.count_set_bits()),
            None => (vec![false; rows], rows),
        };
        Target {
            rows,
            taken,
            open,
            shared: None,
            texts: Texts::default(),
            keys: None,
            ints: None,
            floats: None,
            bools: None,
            lists: None,
        }
    }

    fn full(&self) -> bool {
        self.open == 0
    }

    fn untouched(&self) -> bool {
        self.open == self.rows
    }

    /// Takes a whole column over without copying it, where it fits as it is.
    fn share(&mut self, column: &Column, entry: &Entry, rows: &BooleanBuffer) -> bool {
        let plain = entry.take == Take::All && entry.values.is_empty();
        let nulls = column.array().nulls();
        let inside = match nulls {
            Some(nulls) => {
                (nulls.inner() & rows).count_set_bits() == self.rows - nulls.null_count()
            }
            None => rows.count_set_bits() == self.rows,
        };
        let clean = match column.kind {
            Kind::Str => column.dictionary().is_some_and(|(_, values)| {
                values.iter().flatten().all(|v| !v.is_empty() && v != "-")
            }),
            Kind::Json => false,
            _ => true,
        };
        if !(plain && inside && clean && self.untouched()) {
            return false;
        }
        self.shared = Some((column.kind, column.array().clone()));
        match nulls {
            Some(nulls) => {
                self.taken = nulls.inner().iter().collect();
                self.open = nulls.null_count();
            }
            None => {
                self.taken = vec![true; self.rows];
                self.open = 0;
            }
        }
        true
    }

    /// Turns shared values into own ones, before others are added.
    fn unshare(&mut self) {
        let Some((kind, array)) = self.shared.take() else {
            return;
        };
        let column = Column::new("", kind, Origin::Own, array);
        self.taken = vec![false; self.rows];
        self.open = self.rows;
        let entry = Entry {
            to: String::new(),
            from: Vec::new(),
            value: None,
            take: Take::All,
            values: BTreeMap::new(),
        };
        self.fill_from(&column, &entry, &BooleanBuffer::new_set(self.rows));
    }

    fn fill(&mut self, column: &Column, entry: &Entry, rows: &BooleanBuffer) {
        self.unshare();
        self.fill_from(column, entry, rows);
    }

    fn fill_from(&mut self, column: &Column, entry: &Entry, rows: &BooleanBuffer) {
        let rows = match column.array().nulls() {
            Some(nulls) => nulls.inner() & rows,
            None => rows.clone(),
        };
        if let (Kind::Str, Some((keys, values))) = (column.kind, column.dictionary()) {
            self.fill_texts(keys, values, entry, &rows);
            return;
        }
        for row in rows.set_indices() {
            if self.taken.get(row) == Some(&false) {
                let cell = scalar(column, row).map_or(Cell::Nothing, |v| self.taken_of(entry, v));
                self.put(row, &cell);
            }
        }
    }

    fn fill_texts(
        &mut self,
        keys: &Int32Array,
        values: &StringArray,
        entry: &Entry,
        rows: &BooleanBuffer,
    ) {
        let mut cells: Vec<Option<Cell>> = vec![None; values.len()];
        for row in rows.set_indices() {
            if self.taken.get(row) != Some(&false) {
                continue;
            }
            let place = keys.value(row) as usize;
            let Some(slot) = cells.get_mut(place) else {
                continue;
            };
            if slot.is_none() {
                let value = Scalar::Text(values.value(place).into());
                *slot = Some(self.taken_of(entry, value));
            }
            if let Some(cell) = slot {
                self.put(row, cell);
            }
        }
    }

    fn taken_of(&mut self, entry: &Entry, value: Scalar<'_>) -> Cell {
        let Some(value) = entry.take.of(value) else {
            return Cell::Nothing;
        };
        if entry.values.is_empty() {
            return self.cell(value);
        }
        let key = match &value {
            Scalar::Text(text) => text.to_lowercase(),
            Scalar::Int(n) => n.to_string(),
            Scalar::Bool(b) => b.to_string(),
            _ => return Cell::Nothing,
        };
        match entry.values.get(&key) {
            Some(replacement) => self.cell(Scalar::Text(replacement.into())),
            None => Cell::Nothing,
        }
    }

    fn cell(&mut self, value: Scalar<'_>) -> Cell {
        match value {
            Scalar::Text(text) => {
                if let Some(place) = self.texts.places.get(text.as_ref()) {
                    return Cell::Text(*place);
                }
                let place = self.texts.values.len() as i32;
                self.texts.values.push(text.clone().into_owned());
                self.texts.places.insert(text.into_owned(), place);
                Cell::Text(place)
            }
            Scalar::Int(n) => Cell::Int(n),
            Scalar::Float(n) => Cell::Float(n),
            Scalar::Bool(b) => Cell::Bool(b),
            Scalar::List(list) if list.is_empty() => Cell::Nothing,
            Scalar::List(list) => Cell::List(list),
        }
    }

    fn put(&mut self, row: usize, cell: &Cell) {
        let Some(taken) = self.taken.get_mut(row).filter(|taken| !**taken) else {
            return;
        };
        match cell {
            Cell::Nothing => return,
            Cell::Text(place) => set(&mut self.keys, self.rows, row, *place),
            Cell::Int(n) => set(&mut self.ints, self.rows, row, *n),
            Cell::Float(n) => set(&mut self.floats, self.rows, row, *n),
            Cell::Bool(b) => set(&mut self.bools, self.rows, row, *b),
            Cell::List(list) => set(&mut self.lists, self.rows, row, list.clone()),
        }
        *taken = true;
        self.open -= 1;
    }

    fn finish(self, name: &str) -> Vec<Column> {
        let mut columns = Vec::new();
        let mut add = |kind, array: ArrayRef| {
            columns.push(Column::new(name, kind, Origin::Mapped, array));
        };
        if let Some((kind, array)) = self.shared {
            add(kind, array);
        }
        if let Some(keys) = self.keys {
            let values: ArrayRef = Arc::new(StringArray::from(self.texts.values));
            // Every key is a place in `values`.
            if let Ok(array) = DictionaryArray::<Int32Type>::try_new(Int32Array::from(keys), values)
            {
                add(Kind::Str, Arc::new(array));
            }
        }
        if let Some(ints) = self.ints {
            add(Kind::Int, Arc::new(Int64Array::from(ints)));
        }
        if let Some(floats) = self.floats {
            add(Kind::Float, Arc::new(Float64Array::from(floats)));
        }
        if let Some(bools) = self.bools {
            add(Kind::Bool, Arc::new(BooleanArray::from(bools)));
        }
        if let Some(lists) = self.lists {
            let mut builder = ListBuilder::new(StringBuilder::new());
            for list in lists {
                list.iter()
                    .flatten()
                    .for_each(|v| builder.values().append_value(v));
                builder.append(list.is_some());
            }
            add(Kind::StrList, Arc::new(builder.finish()));
        }
        columns
    }
}

fn set<T: Clone>(column: &mut Option<Vec<Option<T>>>, rows: usize, row: usize, value: T) {
    let column = column.get_or_insert_with(|| vec![None; rows]);
    if let Some(slot) = column.get_mut(row) {
        *slot = Some(value);
    }
}

/// The value of a row of a column that is not a dictionary.
fn scalar(column: &Column, row: usize) -> Option<Scalar<'_>> {
    let array = column.array().as_ref();
    Some(match column.kind {
        Kind::Int => Scalar::Int(array.as_primitive::<Int64Type>().value(row)),
        Kind::Float => Scalar::Float(array.as_primitive::<Float64Type>().value(row)),
        Kind::Bool => Scalar::Bool(array.as_boolean().value(row)),
        Kind::StrList | Kind::IntList => {
            let mut list = Vec::new();
            column.for_each_text(row, |text| list.push(text.into_owned()));
            Scalar::List(list)
        }
        Kind::Str | Kind::Json => return None,
    })
}
