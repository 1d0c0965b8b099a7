//! A map that forgets what was not used for a whole generation.

use ahash::HashMap;
use serde::{Deserialize, Serialize};

/// Two generations: the younger takes what is used, and becomes the older one when it is full.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Recent<V> {
    /// Entries of a generation.
    limit: usize,
    younger: HashMap<u64, V>,
    older: HashMap<u64, V>,
}

impl<V> Recent<V> {
    /// An empty map of two generations with `limit` entries each.
    pub(crate) fn new(limit: usize) -> Self {
        Recent {
            limit: limit.max(1),
            younger: HashMap::default(),
            older: HashMap::default(),
        }
    }

    /// Is the key in use lately? Cheaper than [`Recent::entry`] where nothing is to be done then.
    pub(crate) fn is_young(&self, key: u64) -> bool {
        self.younger.contains_key(&key)
    }

    /// What is kept under `key`, without counting as a use.
    pub(crate) fn peek(&self, key: u64) -> Option<&V> {
        self.younger.get(&key).or_else(|| self.older.get(&key))
    }

    /// What is kept under `key`, to be changed, without counting as a use.
    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut V> {
        match self.younger.get_mut(&key) {
            Some(value) => Some(value),
            None => self.older.get_mut(&key),
        }
    }

    /// What is kept under `key`; made by `new` if there is nothing.
    pub(crate) fn entry(&mut self, key: u64, new: impl FnOnce() -> V) -> &mut V {
        let older = match self.younger.contains_key(&key) {
            true => None,
            false => self.older.remove(&key),
        };
        if self.younger.len() >= self.limit && !self.younger.contains_key(&key) {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger
            .entry(key)
            .or_insert_with(|| older.unwrap_or_else(new))
    }

    /// Keeps `value` under `key`.
    pub(crate) fn set(&mut self, key: u64, value: V) {
        if self.younger.contains_key(&key) || self.younger.len() < self.limit {
            self.older.remove(&key);
            self.younger.insert(key, value);
        } else {
            self.older = std::mem::take(&mut self.younger);
            self.younger.insert(key, value);
        }
    }

    /// Keeps only what `keep` says.
    pub(crate) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.younger.retain(|_, value| keep(value));
        self.older.retain(|_, value| keep(value));
    }

    /// What is kept, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.younger.values().chain(self.older.values())
    }

    /// Keys and what is kept under them, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        let all = self.younger.iter().chain(&self.older);
        all.map(|(key, value)| (*key, value))
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.younger.clear();
        self.older.clear();
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.younger.len() + self.older.len()
    }

    /// Bytes of the tables, without what values point to.
    pub(crate) fn bytes(&self) -> usize {
        (self.younger.capacity() + self.older.capacity()) * (size_of::<(u64, V)>() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut recent = Recent::new(10);
        recent.set(1, 'a');
        for key in 100..140 {
            recent.set(key, 'x');
            assert_eq!(*recent.entry(1, || 'z'), 'a');
        }
        assert_eq!(recent.peek(100), None);
        assert!(recent.len() <= 20);
        recent.set(1, 'b');
        assert_eq!(recent.peek(1), Some(&'b'));
    }
}
