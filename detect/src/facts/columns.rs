//! The columns of a batch that facts are read from.

use std::cell::RefCell;

use ahash::HashMap;

use super::Names;
use crate::cells::{Cells, HashedCells, hash_text};
use crate::sigma::event::BatchFields;

/// One column: the hash of each distinct value is made once.
struct Hashed<'a> {
    cells: HashedCells<'a>,
    /// Hashes of numbers, which have no dictionary.
    numbers: RefCell<HashMap<i64, u64>>,
}

/// Fields of which the first that a row has is taken.
pub(super) struct Field<'a> {
    columns: Vec<Hashed<'a>>,
}

impl<'a> Field<'a> {
    /// Finds the columns of `names`, best first.
    pub(super) fn new(fields: &BatchFields<'a>, names: &[&str]) -> Self {
        let all = fields.batch().columns();
        let indexes = names.iter().flat_map(|name| fields.named(name));
        let columns = indexes.filter_map(|i| all.get(*i)).filter_map(Cells::of);
        let hashed = |cells| Hashed {
            cells: HashedCells::new(cells),
            numbers: RefCell::default(),
        };
        Field {
            columns: columns.map(hashed).collect(),
        }
    }

    /// Lets `names` know the distinct values.
    pub(super) fn noted(self, names: &mut Names) -> Self {
        for column in &self.columns {
            column
                .cells
                .each_distinct(|hash, text| names.note(hash, text));
        }
        self
    }

    /// Hash of the row's value, 0 where there is none.
    pub(super) fn hash(&self, row: usize) -> u64 {
        let found = self.columns.iter().find_map(|column| column.hash(row));
        found.unwrap_or(0)
    }

    /// As [`Field::hash`]; the words of a number are noted, which has no dictionary.
    pub(super) fn hash_noting(&self, row: usize, names: &mut Names) -> u64 {
        let hash = self.hash(row);
        if hash != 0 && names.of(hash).is_none() {
            self.text(row, |text| names.note(hash, text));
        }
        hash
    }

    /// The row's value as text.
    pub(super) fn text<T>(&self, row: usize, read: impl FnOnce(&str) -> T) -> Option<T> {
        let mut columns = self.columns.iter();
        let text = columns.find_map(|column| column.cells.cells().text(row))?;
        Some(read(&text))
    }

    /// The row's value as a number.
    pub(super) fn number(&self, row: usize) -> Option<i64> {
        let number = |column: &Hashed<'_>| match column.cells.cells() {
            Cells::Int(values) if !column.cells.cells().is_null(row) => Some(values.value(row)),
            Cells::Float(values) if !column.cells.cells().is_null(row) => {
                Some(values.value(row) as i64)
            }
            _ => None,
        };
        self.columns.iter().find_map(number)
    }
}

impl Hashed<'_> {
    fn hash(&self, row: usize) -> Option<u64> {
        let Cells::Int(values) = self.cells.cells() else {
            return self.cells.get(row);
        };
        if self.cells.cells().is_null(row) {
            return None;
        }
        let number = values.value(row);
        let mut known = self.numbers.borrow_mut();
        let hash = known.entry(number);
        Some(*hash.or_insert_with(|| hash_text(&number.to_string())))
    }
}
