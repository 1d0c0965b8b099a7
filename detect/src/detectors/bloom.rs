//! A set of hashes that forgets by generations: bounded, never wrong about what is in the younger
//! generations, rarely (1 in 10,000 a generation) wrong about what never was (Bloom 1970; growing
//! by generations as in Almeida et al., "Scalable Bloom Filters", 2007).

use std::collections::VecDeque;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cells::mix;

/// 20 bits and 13 probes an entry: about 1e-4 false positives when full.
const BITS_EACH: usize = 20;
const PROBES: u64 = 13;
/// Entries of the first generation; each later one holds twice as many, up to a quarter of all.
const FIRST: usize = 4_096;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Generation {
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    words: Vec<u64>,
    held: usize,
    capacity: usize,
}

impl Generation {
    fn new(capacity: usize) -> Self {
        Generation {
            words: vec![0; capacity * BITS_EACH / 64 + 1],
            held: 0,
            capacity,
        }
    }

    fn places(&self, hash: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let step = mix(hash, 0x5bd1_e995) | 1;
        let bits = (self.words.len() * 64) as u64;
        (0..PROBES).map(move |i| {
            let bit = hash.wrapping_add(i.wrapping_mul(step)) % bits;
            ((bit / 64) as usize, 1 << (bit % 64))
        })
    }

    fn contains(&self, hash: u64) -> bool {
        self.places(hash)
            .all(|(word, bit)| self.words.get(word).is_some_and(|w| w & bit != 0))
    }

    fn insert(&mut self, hash: u64) {
        for (word, bit) in self.places(hash) {
            if let Some(word) = self.words.get_mut(word) {
                *word |= bit;
            }
        }
        self.held += 1;
    }
}

/// Generations of hashes, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Generations {
    all: VecDeque<Generation>,
    limit: usize,
}

impl Generations {
    /// A set that remembers at least the last half of `limit` entries.
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.max(FIRST * 4);
        Generations {
            all: VecDeque::from([Generation::new(FIRST)]),
            limit,
        }
    }

    /// Was `hash` put in and not forgotten? One about to be forgotten is put in again: what is
    /// still in use never looks new.
    pub(crate) fn contains(&mut self, hash: u64) -> bool {
        let young = self.all.iter().skip(1).any(|g| g.contains(hash));
        let old = !young && self.all.front().is_some_and(|g| g.contains(hash));
        if old && self.all.len() > 1 && self.capacity() * 4 >= self.limit * 3 {
            self.insert(hash);
        }
        young || old
    }

    /// Puts `hash` in.
    pub(crate) fn insert(&mut self, hash: u64) {
        if self.all.back().is_none_or(|g| g.held >= g.capacity) {
            let last = self.all.back().map_or(FIRST / 2, |g| g.capacity);
            self.all
                .push_back(Generation::new((last * 2).min(self.limit / 4)));
            while self.capacity() > self.limit && self.all.len() > 1 {
                self.all.pop_front();
            }
        }
        if let Some(newest) = self.all.back_mut() {
            newest.insert(hash);
        }
    }

    fn capacity(&self) -> usize {
        self.all.iter().map(|g| g.capacity).sum()
    }

    /// Bytes held.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.all.iter().map(|g| g.words.len() * 8).sum()
    }
}

pub(crate) fn to_hex<S: Serializer>(words: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = String::with_capacity(words.len() * 16);
    for word in words {
        text.push_str(&format!("{word:016x}"));
    }
    serializer.serialize_str(&text)
}

pub(crate) fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let words = text.as_bytes().chunks(16).map(|chunk| {
        let digits = std::str::from_utf8(chunk).map_err(serde::de::Error::custom)?;
        u64::from_str_radix(digits, 16).map_err(serde::de::Error::custom)
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::cells::hash_text;

    #[test]
    fn what_was_put_in_is_found_and_little_else() {
        let mut set = Generations::new(100_000);
        let of = |i: u32| hash_text(&i.to_string());
        (0..20_000).for_each(|i| set.insert(of(i)));
        assert!((0..20_000).all(|i| set.contains(of(i))));
        let wrong = (1_000_000..1_100_000)
            .filter(|i| set.contains(of(*i)))
            .count();
        assert!(wrong < 100, "{wrong} of 100,000");
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<Generations>(&json).unwrap(), set);
    }

    #[test]
    fn it_stays_bounded_and_keeps_what_is_in_use() {
        let mut set = Generations::new(40_000);
        let of = |i: u32| hash_text(&i.to_string());
        set.insert(of(7));
        for i in 1_000..200_000 {
            set.insert(of(i));
            if i % 1_000 == 0 {
                assert!(set.contains(of(7)), "forgotten at {i}");
            }
        }
        assert!(set.memory_bytes() <= 40_000 * BITS_EACH / 8 + 1_000);
        assert!(!set.contains(of(1_001)));
        assert!((190_000..200_000).all(|i| set.contains(of(i))));
    }
}
