//! Which groups may open a window while windows are scarce.
//!
//! A flood of keys that come once each (spoofed addresses, random names) would push out the
//! windows of slow attacks, which are the stalest. So once nearly all windows are in use, a group
//! opens one only with its second match; that it was seen before is remembered in a Bloom filter,
//! which costs bits and not a window (the "doorkeeper" of Einziger et al., "TinyLFU", 2017). The
//! first match of such a group is not counted.

use serde::{Deserialize, Serialize};

use super::correlate::MAX_GROUPS;
use crate::detectors::bloom::Generations;

/// Groups remembered as seen once: at least the last half of so many.
const SEEN: usize = 2_000_000;
/// Windows in use from which groups are turned away.
const SCARCE: usize = MAX_GROUPS / 10 * 9;
/// Windows in use below which a flood is over.
const PLENTY: usize = MAX_GROUPS / 2;

/// Turns away the first match of new groups during a flood.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Doorkeeper {
    /// Groups seen once; there only during a flood.
    seen: Option<Generations>,
    turned_away: u64,
}

impl Doorkeeper {
    /// May a group that has no window open one, with so many in use?
    pub(super) fn admits(&mut self, group: u64, in_use: usize) -> bool {
        match &self.seen {
            None if in_use < SCARCE => return true,
            Some(_) if in_use < PLENTY => {
                self.seen = None;
                return true;
            }
            _ => {}
        }
        let seen = self.seen.get_or_insert_with(|| Generations::new(SEEN));
        if seen.contains(group) {
            return true;
        }
        seen.insert(group);
        self.turned_away += 1;
        false
    }

    /// Matches turned away so far.
    pub(super) fn turned_away(&self) -> u64 {
        self.turned_away
    }

    /// Bytes held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.seen.as_ref().map_or(0, Generations::memory_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_in_with_their_second_match_until_the_flood_is_over() {
        let mut door = Doorkeeper::default();
        assert!(door.admits(1, SCARCE - 1));
        assert!(!door.admits(2, SCARCE));
        assert!(door.admits(2, SCARCE));
        let away = (10..500_000).filter(|group| !door.admits(*group, SCARCE));
        assert!(away.count() > 499_000);
        assert!(!door.admits(3, PLENTY), "still a flood");
        assert!(
            door.admits(2, SCARCE),
            "remembered behind half a million others"
        );
        assert!(door.memory_bytes() < 6 << 20);
        assert!(door.admits(4, PLENTY - 1));
        assert!(door.admits(5, SCARCE - 1), "the flood is over");
        assert_eq!(door.memory_bytes(), 0);
    }
}
