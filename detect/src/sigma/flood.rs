//! Which groups may open a window while windows are scarce.
//!
//! A flood of keys (spoofed addresses, random names) would push out the windows of slow attacks,
//! which are the stalest. So once nearly all windows of a correlation are in use, a group opens
//! one only when it was seen before: once, as a Bloom filter remembers (the "doorkeeper" of
//! Einziger et al., "TinyLFU", 2017), or more often where the windows that had to go had seen more
//! matches than one, as a count-min sketch with conservative updates estimates (Cormode and
//! Muthukrishnan 2005; Estan and Varghese 2002), halved from time to time so that the past fades.
//! The matches before are not counted. Windows go by their weight: those with the fewest matches
//! first.

use serde::{Deserialize, Serialize};

use super::groups::MAX_GROUPS;
use crate::cells::mix;
use crate::detectors::bloom::{Generations, from_hex, to_hex};

/// Groups remembered as seen once: at least the last half of so many.
const SEEN: usize = 2_000_000;
/// Windows in use from which groups are turned away.
const SCARCE: usize = MAX_GROUPS / 10 * 9;
/// Windows in use below which a flood is over.
const PLENTY: usize = MAX_GROUPS / 2;
/// Times that a group must have been seen, at the least and at the most.
const LEAST_SEEN: u32 = 2;
const MOST_SEEN: u32 = 16;
/// Counters of a row of the sketch, a byte each, and rows.
const WIDTH: u64 = if cfg!(test) { 1 << 12 } else { 1 << 20 };
const ROWS: u64 = 4;

/// Turns away new groups during a flood.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Doorkeeper {
    /// There only during a flood.
    flood: Option<Flood>,
    turned_away: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Flood {
    /// Groups seen once.
    seen: Generations,
    /// How often those were seen again.
    again: Sketch,
    /// A group opens a window when it is seen so often.
    bar: u32,
}

impl Doorkeeper {
    /// May a group that has no window open one, with so many in use? Says how often it was seen
    /// before.
    pub(super) fn admits(&mut self, group: impl FnOnce() -> u64, in_use: usize) -> Option<u32> {
        match &self.flood {
            None if in_use < SCARCE => return Some(0),
            Some(_) if in_use < PLENTY => {
                self.flood = None;
                return Some(0);
            }
            _ => {}
        }
        let flood = self.flood.get_or_insert_with(|| Flood {
            seen: Generations::new(SEEN),
            again: Sketch::default(),
            bar: LEAST_SEEN,
        });
        let seen = flood.saw(group());
        if seen >= flood.bar {
            return Some(seen - 1);
        }
        self.turned_away += 1;
        None
    }

    /// Notes a match of a group that has a window: should it have to go, it is not new.
    pub(super) fn note(&mut self, group: impl FnOnce() -> u64) {
        if let Some(flood) = &mut self.flood {
            flood.saw(group());
        }
    }

    /// Groups had to go that had so many matches at the most: the next must have more.
    pub(super) fn raise(&mut self, matches: u32) {
        if let Some(flood) = &mut self.flood {
            flood.bar = flood.bar.max(matches.saturating_add(1)).min(MOST_SEEN);
        }
    }

    /// Matches turned away so far.
    pub(super) fn turned_away(&self) -> u64 {
        self.turned_away
    }

    /// Bytes held.
    pub(super) fn memory_bytes(&self) -> usize {
        let of = |flood: &Flood| flood.seen.memory_bytes() + flood.again.words.len() * 8;
        self.flood.as_ref().map_or(0, of)
    }
}

impl Flood {
    /// Counts a group; says how often it was seen, this time included.
    fn saw(&mut self, group: u64) -> u32 {
        if self.seen.contains(group) {
            return self.again.add(group).saturating_add(1);
        }
        self.seen.insert(group);
        1
    }
}

/// Counts that are never too low but for fading, and seldom too high.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Sketch {
    /// Eight counters a word.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    words: Vec<u64>,
    added: u64,
}

impl Default for Sketch {
    fn default() -> Self {
        Sketch {
            words: vec![0; (WIDTH * ROWS / 8) as usize],
            added: 0,
        }
    }
}

impl Sketch {
    /// Counts one more; gives the count.
    fn add(&mut self, hash: u64) -> u32 {
        let place = |row: u64| {
            let at = row * WIDTH + mix(hash, row + 1) % WIDTH;
            ((at / 8) as usize, at % 8 * 8)
        };
        let words = &self.words;
        let count = |(word, shift): (usize, u64)| words.get(word).map_or(0, |w| w >> shift & 0xff);
        let least = (0..ROWS).map(|row| count(place(row))).min().unwrap_or(0);
        let next = (least + 1).min(0xff);
        for (word, shift) in (0..ROWS).map(place) {
            if let Some(word) = self.words.get_mut(word)
                && *word >> shift & 0xff < next
            {
                *word = *word & !(0xff << shift) | next << shift;
            }
        }
        self.added += 1;
        if self.added.is_multiple_of(WIDTH / 2) {
            let halve = |word: &mut u64| *word = *word >> 1 & 0x7f7f_7f7f_7f7f_7f7f;
            self.words.iter_mut().for_each(halve);
        }
        next as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_in_with_their_second_match_until_the_flood_is_over() {
        let mut door = Doorkeeper::default();
        let mut admits = |group: u64, in_use| door.admits(|| group, in_use).is_some();
        assert!(admits(1, SCARCE - 1));
        assert!(!admits(2, SCARCE));
        assert!(admits(2, SCARCE));
        let away = (10..500_000).filter(|group| !admits(*group, SCARCE));
        assert!(away.count() > 499_000);
        assert!(!admits(3, PLENTY), "still a flood");
        assert!(admits(2, SCARCE), "remembered behind half a million others");
        assert!(door.memory_bytes() < 6 << 20);
        let mut admits = |group: u64, in_use| door.admits(|| group, in_use).is_some();
        assert!(admits(4, PLENTY - 1));
        assert!(admits(5, SCARCE - 1), "the flood is over");
        assert_eq!(door.memory_bytes(), 0);
    }

    #[test]
    fn the_bar_rises_with_what_had_to_go_and_counts_fade() {
        let mut door = Doorkeeper::default();
        assert_eq!(door.admits(|| 1, SCARCE), None);
        door.raise(3);
        assert_eq!(door.admits(|| 1, SCARCE), None);
        assert_eq!(door.admits(|| 1, SCARCE), None);
        assert_eq!(door.admits(|| 1, SCARCE), Some(3));
        door.note(|| 1);
        assert_eq!(door.admits(|| 1, SCARCE), Some(5));
        door.raise(1_000);
        for _ in 7..MOST_SEEN {
            assert_eq!(door.admits(|| 1, SCARCE), None);
        }
        assert_eq!(door.admits(|| 1, SCARCE), Some(MOST_SEEN - 1));
        let mut sketch = Sketch::default();
        (0..8).for_each(|_| _ = sketch.add(7));
        (0..WIDTH).for_each(|other| _ = sketch.add(other + 100));
        assert!(sketch.add(7) < 8, "halved twice");
    }
}
