//! Finds the columns of a name.

use ahash::RandomState;
use hashbrown::HashTable;

use super::{Column, Origin};

/// The order in which the columns of a name are given.
const ORIGINS: [Origin; 4] = [Origin::Own, Origin::Mapped, Origin::Inner, Origin::Meta];

/// Columns by name. Hashing is randomly seeded: names come from outside.
#[derive(Debug)]
pub(crate) struct ByName {
    hasher: RandomState,
    /// The first column of each name.
    first: HashTable<u32>,
    /// The next column of the same name, by column.
    next: Vec<Option<u32>>,
}

impl ByName {
    /// The names of these columns.
    pub(super) fn of(columns: &[Column]) -> Self {
        let mut by_name = ByName {
            hasher: RandomState::new(),
            first: HashTable::with_capacity(columns.len()),
            next: vec![None; columns.len()],
        };
        for origin in ORIGINS {
            for (place, column) in (0u32..).zip(columns) {
                if column.origin == origin {
                    by_name.add(columns, place, &column.name);
                }
            }
        }
        by_name
    }

    fn add(&mut self, columns: &[Column], place: u32, name: &str) {
        if let Some(last) = self.get(columns, name).last() {
            if let Some(next) = self.next.get_mut(last) {
                *next = Some(place);
            }
            return;
        }
        let ByName { hasher, first, .. } = self;
        let hash_of = |place: &u32| {
            let column = columns.get(*place as usize);
            column.map_or(0, |column| hasher.hash_one(column.name.as_bytes()))
        };
        first.insert_unique(hasher.hash_one(name.as_bytes()), place, hash_of);
    }

    /// Places of the columns with the name; `columns` are those that this was made of.
    pub(super) fn get<'a>(
        &'a self,
        columns: &[Column],
        name: &str,
    ) -> impl Iterator<Item = usize> + use<'a> {
        let hash = self.hasher.hash_one(name.as_bytes());
        let is_named = |place: &u32| {
            let column = columns.get(*place as usize);
            column.is_some_and(|column| *column.name == *name)
        };
        let first = self.first.find(hash, is_named).copied();
        let next = |place: &u32| self.next.get(*place as usize).copied().flatten();
        std::iter::successors(first, next).map(|place| place as usize)
    }
}
