//! Reading who a row is about, as hashes: distinct values are hashed once a batch.

use crate::cells::{Cells, HashedCells, mix};
use crate::sigma::event::BatchFields;

/// Fields of which the first that a row has is taken.
pub(crate) struct FirstOf<'a> {
    columns: Vec<(String, HashedCells<'a>)>,
}

impl<'a> FirstOf<'a> {
    /// Finds the columns of `names`, best first.
    pub(crate) fn new(fields: &BatchFields<'a>, names: &[String]) -> Self {
        let all = fields.batch().columns();
        let mut columns = Vec::new();
        for name in names {
            for column in fields
                .named(&name.to_lowercase())
                .iter()
                .filter_map(|i| all.get(*i))
            {
                if let Some(cells) = Cells::of(column) {
                    columns.push((column.name.to_string(), HashedCells::new(cells)));
                }
            }
        }
        FirstOf { columns }
    }

    /// Hash of the row's value.
    pub(crate) fn hash(&self, row: usize) -> Option<u64> {
        self.columns.iter().find_map(|(_, cells)| cells.get(row))
    }

    /// The field and the value of the row.
    pub(crate) fn value(&self, row: usize) -> Option<(&str, String)> {
        let found = self
            .columns
            .iter()
            .find(|(_, cells)| cells.get(row).is_some())?;
        let mut all = Vec::new();
        found
            .1
            .cells()
            .texts(row, &mut |text| all.push(text.to_owned()));
        Some((&found.0, all.join(" ")))
    }
}

/// Fields that a row must have all of.
pub(crate) struct AllOf<'a> {
    parts: Vec<FirstOf<'a>>,
}

impl<'a> AllOf<'a> {
    /// Finds the columns of each of `names`.
    pub(crate) fn new(fields: &BatchFields<'a>, names: &[String]) -> Self {
        let one = |name: &String| FirstOf::new(fields, std::slice::from_ref(name));
        AllOf {
            parts: names.iter().map(one).collect(),
        }
    }

    /// Hash of the row's values together.
    pub(crate) fn hash(&self, row: usize) -> Option<u64> {
        self.parts
            .iter()
            .try_fold(0, |hash, part| Some(mix(hash, part.hash(row)?)))
    }

    /// The fields and the values of the row.
    pub(crate) fn values(&self, row: usize) -> Vec<(&str, String)> {
        self.parts
            .iter()
            .filter_map(|part| part.value(row))
            .collect()
    }
}
