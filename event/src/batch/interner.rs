//! Gives equal strings equal numbers: the dictionary of a column while it is being built.

use ahash::RandomState;
use hashbrown::HashTable;

/// So many strings are compared one by one, without hashing.
const FEW: usize = 8;

/// Strings, one after the other.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) text: String,
    /// Where each begins, and the last ends.
    pub(super) ends: Vec<i32>,
}

impl Texts {
    fn new() -> Self {
        Texts {
            text: String::new(),
            ends: vec![0],
        }
    }

    fn len(&self) -> usize {
        self.ends.len().saturating_sub(1)
    }

    fn is_at(&self, id: usize, value: &str) -> bool {
        self.bytes(id) == Some(value.as_bytes())
    }

    fn bytes(&self, id: usize) -> Option<&[u8]> {
        let (from, to) = (*self.ends.get(id)?, *self.ends.get(id + 1)?);
        self.text.as_bytes().get(from as usize..to as usize)
    }

    /// Adds a string. False when all together would pass 2 GiB.
    pub(super) fn push(&mut self, value: &str) -> bool {
        let Ok(end) = i32::try_from(self.text.len() + value.len()) else {
            return false;
        };
        self.text.push_str(value);
        self.ends.push(end);
        true
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.ends.push(0);
    }
}

impl Default for Texts {
    fn default() -> Self {
        Texts::new()
    }
}

/// Distinct strings in order of first appearance.
///
/// Hashing is randomly seeded: keys and values come from outside.
#[derive(Debug)]
pub(super) struct Interner {
    hasher: RandomState,
    /// Hash and number of each string; empty while there are few.
    table: HashTable<(u64, i32)>,
    pub(super) texts: Texts,
    /// The number given last: many columns say the same again and again.
    last: usize,
}

impl Interner {
    pub(super) fn new() -> Self {
        Interner {
            hasher: RandomState::new(),
            table: HashTable::new(),
            texts: Texts::new(),
            last: 0,
        }
    }

    /// The number of `value`, new or known. `None` when the dictionary would pass 2 GiB.
    pub(super) fn intern(&mut self, value: &str) -> Option<i32> {
        if self.texts.is_at(self.last, value) {
            return i32::try_from(self.last).ok();
        }
        let known = self.texts.len();
        let found = if known <= FEW {
            (0..known).find(|id| self.texts.is_at(*id, value))
        } else {
            self.find(value)
        };
        let id = match found {
            Some(id) => id,
            None => self.add(value)?,
        };
        self.last = id;
        i32::try_from(id).ok()
    }

    fn find(&self, value: &str) -> Option<usize> {
        let hash = self.hasher.hash_one(value.as_bytes());
        let is_at =
            |(known, id): &(u64, i32)| *known == hash && self.texts.is_at(*id as usize, value);
        self.table.find(hash, is_at).map(|(_, id)| *id as usize)
    }

    fn add(&mut self, value: &str) -> Option<usize> {
        let id = self.texts.len();
        if i32::try_from(id + 1).is_err() || !self.texts.push(value) {
            return None;
        }
        // The table begins with the first that are not few any more.
        let first = if id == FEW { 0 } else { id };
        let Interner {
            hasher,
            table,
            texts,
            ..
        } = self;
        let hash_of = |id: usize| texts.bytes(id).map_or(0, |bytes| hasher.hash_one(bytes));
        for id in (first..=id).filter(|_| id >= FEW) {
            let number = i32::try_from(id).ok()?;
            let hash = hash_of(id);
            table.insert_unique(hash, (hash, number), |(hash, _)| *hash);
        }
        Some(id)
    }

    /// Makes room for so many more strings.
    pub(super) fn reserve(&mut self, strings: usize) {
        self.texts.ends.reserve(strings);
        if strings > FEW {
            self.table.reserve(strings, |(hash, _)| *hash);
        }
    }

    /// Bytes of text held.
    pub(super) fn text_bytes(&self) -> usize {
        self.texts.text.len()
    }

    /// Forgets all strings and keeps the room for others.
    pub(super) fn clear(&mut self) {
        self.table.clear();
        self.texts.clear();
        self.last = 0;
    }

    /// Bytes of room, about.
    pub(super) fn room(&self) -> usize {
        let Texts { text, ends } = &self.texts;
        text.capacity() + 4 * ends.capacity() + 17 * self.table.capacity()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn equal_strings_have_equal_numbers_however_many_there_are() {
        let mut interner = Interner::new();
        for round in 0..3 {
            for n in 0..100 {
                let value = format!("value {n}");
                assert_eq!(interner.intern(&value), Some(n), "round {round}");
                assert_eq!(interner.intern(&value), Some(n));
            }
        }
        assert_eq!(interner.intern(""), Some(100));
        interner.clear();
        assert_eq!(interner.intern("other"), Some(0));
        assert_eq!(interner.intern("value 0"), Some(1));
        assert_eq!(interner.text_bytes(), 12);
    }
}
