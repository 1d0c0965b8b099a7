//! Who the matches of a group named last. There are many groups, so it is held in few bytes: all
//! values in one text, kinds as numbers.

use serde::{Deserialize, Serialize};

use crate::entity::{kind_at, number_of};

/// Values of each kind of entity that are remembered.
const MAX_OF_KIND: usize = 5;

/// Kinds and values of entities, each with the time at which it was last named.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Written>", into = "Vec<Written>")]
pub(super) struct Named {
    /// The values, one after the other.
    text: String,
    at: Vec<Place>,
    /// The turn of the next one to be named.
    turn: u16,
}

/// One of them; its value begins where that of the one before ends.
#[derive(Debug, Clone, Copy)]
struct Place {
    time: i64,
    end: u32,
    /// The one with the greatest was named last.
    turn: u16,
    kind: u8,
}

/// As it is saved: kind, value and time, the one named last at the end.
type Written = (String, String, i64);

impl Named {
    /// Remembers that a match at `time` named `value`; of too many of a kind, the one that was
    /// named longest ago is forgotten. A kind that is no [`kind_at`] has no place here.
    pub(super) fn note(&mut self, kind: &str, value: &str, time: i64) {
        let Some(kind) = number_of(kind) else {
            return;
        };
        let turn = self.next_turn();
        let (mut same, mut known, mut oldest) = (0, None, None);
        let mut start = 0;
        for (place, at) in self.at.iter().enumerate() {
            let end = at.end as usize;
            if at.kind == kind {
                same += 1;
                if oldest.is_none_or(|(_, turn)| at.turn < turn) {
                    oldest = Some((place, at.turn));
                }
                if self.text.get(start..end) == Some(value) {
                    known = Some(place);
                }
            }
            start = end;
        }
        if let Some(place) = known.and_then(|place| self.at.get_mut(place)) {
            (place.time, place.turn) = (time, turn);
            return;
        }
        if same >= MAX_OF_KIND {
            oldest.into_iter().for_each(|(place, _)| self.remove(place));
        }
        self.text.push_str(value);
        // Values are clipped to a few hundred characters, and there are a few dozen of them.
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        let place = Place {
            time,
            end,
            turn,
            kind,
        };
        self.at.push(place);
    }

    /// The turn of one named now. When there are none left, turns are given out anew.
    fn next_turn(&mut self) -> u16 {
        if self.turn == u16::MAX {
            for (place, turn) in self.in_turn().into_iter().zip(0..) {
                if let Some(at) = self.at.get_mut(place) {
                    at.turn = turn;
                }
            }
            self.turn = u16::try_from(self.at.len()).unwrap_or(u16::MAX - 1);
        }
        self.turn += 1;
        self.turn - 1
    }

    /// Places, the one that was named longest ago first.
    fn in_turn(&self) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.at.len()).collect();
        places.sort_by_key(|place| self.at.get(*place).map(|at| at.turn));
        places
    }

    /// Kinds, values and times, what was named last first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = (&'static str, &str, i64)> {
        let all = self.in_turn().into_iter().rev();
        all.filter_map(|place| self.one(place))
    }

    fn one(&self, place: usize) -> Option<(&'static str, &str, i64)> {
        let at = self.at.get(place)?;
        let value = self.text.get(self.start(place)..at.end as usize);
        Some((kind_at(at.kind), value.unwrap_or_default(), at.time))
    }

    fn start(&self, place: usize) -> usize {
        let before = place.checked_sub(1).and_then(|before| self.at.get(before));
        before.map_or(0, |at| at.end as usize)
    }

    fn remove(&mut self, place: usize) {
        let start = self.start(place);
        let Some(end) = self.at.get(place).map(|at| at.end as usize) else {
            return;
        };
        self.text.replace_range(start..end, "");
        self.at.remove(place);
        for later in self.at.iter_mut().skip(place) {
            later.end -= (end - start) as u32;
        }
    }
}

impl From<Vec<Written>> for Named {
    fn from(written: Vec<Written>) -> Self {
        let mut named = Named::default();
        for (kind, value, time) in &written {
            named.note(kind, value, *time);
        }
        named.text.shrink_to_fit();
        named.at.shrink_to_fit();
        named
    }
}

impl From<Named> for Vec<Written> {
    fn from(named: Named) -> Self {
        let all = named.in_turn().into_iter();
        let all = all.filter_map(|place| named.one(place));
        all.map(|(kind, value, time)| (kind.to_owned(), value.to_owned(), time))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same with lists of words.
    fn plainly(all: &[(usize, u8, i64)]) -> Vec<Written> {
        let mut named: Vec<Written> = Vec::new();
        for (kind, value, time) in all {
            let (kind, value) = (KINDS[*kind].to_owned(), words(*value));
            named.retain(|(k, v, _)| (k, v) != (&kind, &value));
            if named.iter().filter(|(k, ..)| *k == kind).count() == MAX_OF_KIND {
                let oldest = named.iter().position(|(k, ..)| *k == kind);
                oldest.map(|place| named.remove(place));
            }
            named.push((kind, value, *time));
        }
        named
    }

    const KINDS: [&str; 3] = ["user", "ip", "edge"];

    fn words(value: u8) -> String {
        "ä".repeat(usize::from(value))
    }

    proptest! {
        #[test]
        fn what_was_named_last_is_remembered(
            all in proptest::collection::vec((0_usize..3, 0_u8..9, 0_i64..100), 0..60)
        ) {
            let mut named = Named::default();
            for (kind, value, time) in &all {
                named.note(KINDS[*kind], &words(*value), *time);
            }
            let expected = plainly(&all);
            prop_assert_eq!(&Vec::<Written>::from(named.clone()), &expected);
            let again = Named::from(expected.clone());
            let newest = again.newest_first().map(|(k, v, t)| (k.to_owned(), v.to_owned(), t));
            prop_assert!(newest.eq(expected.into_iter().rev()));
        }
    }

    #[test]
    fn turns_are_given_out_anew_when_there_are_none_left() {
        let mut named = Named::default();
        let all = (0..200_000).map(|i: i64| ((i % 7 % 2) as usize, (i % 5) as u8, i));
        let all: Vec<_> = all.collect();
        for (kind, value, time) in &all {
            named.note(KINDS[*kind], &words(*value), *time);
        }
        assert_eq!(Vec::<Written>::from(named), plainly(&all));
    }

    #[test]
    fn a_kind_that_nobody_knows_is_left_out() {
        let mut named = Named::default();
        named.note("planet", "mars", 1);
        assert_eq!(named.newest_first().count(), 0);
    }
}
