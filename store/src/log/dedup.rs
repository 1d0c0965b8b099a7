//! Which requests and events were seen within a day, so that a resend is stored once.
//!
//! Keys live in generations, newest last. A generation is closed when it is full or four hours
//! wide; the oldest one is dropped when all of it is over a day old or the whole set is over its
//! limit. So a key is remembered for 24 to 28 hours, or until about ten million newer ones came.
//!
//! A full generation is a hash table at its highest load, which makes 20 bytes a key. The tables
//! are seeded at random: keys are digests, but of text that senders choose.

use std::collections::{HashSet, VecDeque};
use std::hash::RandomState;

use watchfire_event::Key;

/// Keys are remembered for at least so long, in nanoseconds: 24 hours.
pub const WINDOW_NS: i64 = 24 * 3_600 * 1_000_000_000;
/// At least so many of the newest keys are remembered within that time.
pub const MAX_KEYS: usize = 10_000_000;

/// 7/8 of 2^21: what the standard hash table holds before it doubles. More and smaller tables
/// would follow the limits more closely, but each costs a lookup one more cache miss.
const GENERATION_KEYS: usize = (1 << 21) / 8 * 7;
const GENERATION_NS: i64 = WINDOW_NS / 6;

/// A set of recent keys.
#[derive(Debug)]
pub struct Dedup {
    generations: VecDeque<Generation>,
    hasher: RandomState,
    generation_keys: usize,
    max_keys: usize,
    len: usize,
}

#[derive(Debug)]
struct Generation {
    keys: HashSet<Key, RandomState>,
    oldest_ns: i64,
    newest_ns: i64,
}

impl Default for Dedup {
    fn default() -> Dedup {
        Dedup::with_limits(GENERATION_KEYS, MAX_KEYS)
    }
}

impl Dedup {
    /// An empty set.
    #[must_use]
    pub fn new() -> Dedup {
        Dedup::default()
    }

    fn with_limits(generation_keys: usize, max_keys: usize) -> Dedup {
        let hasher = RandomState::new();
        Dedup {
            generations: VecDeque::new(),
            hasher,
            generation_keys,
            max_keys,
            len: 0,
        }
    }

    /// A set with the keys that were persisted, oldest first.
    #[must_use]
    pub fn load(keys: impl IntoIterator<Item = (Key, i64)>) -> Dedup {
        let mut dedup = Dedup::new();
        for (key, received_ns) in keys {
            dedup.insert(key, received_ns);
        }
        dedup
    }

    /// Remembers `key`, received at `received_ns`. Returns whether it was new.
    pub fn insert(&mut self, key: Key, received_ns: i64) -> bool {
        if self.contains(&key) {
            return false;
        }
        let fits = self.generations.back().is_some_and(|newest| {
            newest.keys.len() < self.generation_keys
                && received_ns.saturating_sub(newest.oldest_ns) < GENERATION_NS
        });
        if !fits {
            self.expire(received_ns);
            self.generations.push_back(Generation {
                keys: HashSet::with_hasher(self.hasher.clone()),
                oldest_ns: received_ns,
                newest_ns: received_ns,
            });
        }
        if let Some(newest) = self.generations.back_mut() {
            newest.keys.insert(key);
            newest.oldest_ns = newest.oldest_ns.min(received_ns);
            newest.newest_ns = newest.newest_ns.max(received_ns);
            self.len += 1;
        }
        true
    }

    /// Was `key` inserted and not forgotten?
    #[must_use]
    pub fn contains(&self, key: &Key) -> bool {
        self.generations
            .iter()
            .rev()
            .any(|generation| generation.keys.contains(key))
    }

    /// Number of keys remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Is no key remembered?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets generations that are over a day old at `now_ns`, and the oldest ones of a set that
    /// is over its limit without them. [`Dedup::insert`] does this whenever it starts a generation.
    pub fn expire(&mut self, now_ns: i64) {
        while let Some(oldest) = self.generations.front() {
            let too_old = now_ns.saturating_sub(oldest.newest_ns) > WINDOW_NS;
            let too_many = self.len - oldest.keys.len() >= self.max_keys;
            if !too_old && !too_many {
                break;
            }
            self.len -= oldest.keys.len();
            self.generations.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_NS: i64 = 3_600 * 1_000_000_000;

    fn key(n: u64) -> Key {
        u128::from(n)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
            .to_le_bytes()
    }

    #[test]
    fn keys_are_new_once_and_remembered_for_a_day() {
        let mut dedup = Dedup::new();
        for hour in 0..100 {
            assert!(dedup.insert(key(hour), hour as i64 * HOUR_NS));
            assert!(!dedup.insert(key(hour), hour as i64 * HOUR_NS));
            for earlier in 0..=hour {
                let age = hour - earlier;
                match age {
                    0..=24 => assert!(dedup.contains(&key(earlier)), "{age} h"),
                    29.. => assert!(!dedup.contains(&key(earlier)), "{age} h"),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn the_newest_keys_survive_a_flood() {
        let mut dedup = Dedup::with_limits(70, 1_000);
        for n in 0..8_000 {
            dedup.insert(key(n), n as i64);
            assert!(dedup.len() < 1_000 + 2 * 70);
            assert!(dedup.contains(&key(n.saturating_sub(999))));
        }
        assert!(!dedup.contains(&key(8_000 - 1_200)));
    }

    #[test]
    fn a_clock_that_steps_back_forgets_nothing() {
        let mut dedup = Dedup::load([(key(1), 72 * HOUR_NS), (key(2), 0), (key(3), 72 * HOUR_NS)]);
        assert_eq!(dedup.len(), 3);
        assert!((1..=3).all(|n| dedup.contains(&key(n))));
        dedup.expire(200 * HOUR_NS);
        assert!(dedup.is_empty());
    }
}
