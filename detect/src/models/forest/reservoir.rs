//! Which points a tree keeps: a weighted sample without replacement whose weights fade.
//!
//! Efraimidis and Spirakis (2006): each point draws a key from its weight, and the points with the
//! smallest keys stay. With weights that grow as e^(decay * time) the keys never have to change.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::super::ModelError;
use super::super::codec::{Reader, Writer};

/// A kept point: its key, and its place in the store of points.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kept {
    key: f64,
    place: u32,
}

impl Eq for Kept {}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key
            .total_cmp(&other.key)
            .then(self.place.cmp(&other.place))
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What became of an offered point.
pub(super) enum Offer {
    /// Others are worth more.
    Refused,
    /// There is room.
    Room,
    /// The point at this place went to make room.
    Instead(u32),
}

/// The keys of a tree's points, the largest on top.
#[derive(Debug, Clone, Default)]
pub(super) struct Reservoir(BinaryHeap<Kept>);

impl Reservoir {
    pub(super) fn max_bytes(sample: usize) -> usize {
        // A heap that grew by doubling.
        sample.next_power_of_two() * size_of::<Kept>()
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Kept>()
    }

    /// Makes room for a point with this key if it is worth it; [`Self::push`] is to follow.
    pub(super) fn offer(&mut self, key: f64, sample: usize) -> Offer {
        if self.0.len() < sample {
            return Offer::Room;
        }
        match self.0.peek() {
            Some(worst) if key < worst.key => {}
            _ => return Offer::Refused,
        }
        match self.0.pop() {
            Some(worst) => Offer::Instead(worst.place),
            None => Offer::Refused,
        }
    }

    pub(super) fn push(&mut self, key: f64, place: u32) {
        self.0.push(Kept { key, place });
    }

    pub(super) fn places(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().map(|kept| kept.place)
    }

    pub(super) fn save(&self, out: &mut Writer) {
        out.size(self.0.len());
        // In order, so that the same reservoir is always the same bytes.
        let mut all: Vec<&Kept> = self.0.iter().collect();
        all.sort_unstable();
        for kept in all {
            out.f64(kept.key);
            out.u32(kept.place);
        }
    }

    pub(super) fn restore(from: &mut Reader, sample: usize) -> Result<Self, ModelError> {
        let count = from.count(12)?;
        if count > sample {
            return Err(ModelError::Malformed("more points than the sample has"));
        }
        let mut all = BinaryHeap::with_capacity(count);
        for _ in 0..count {
            let (key, place) = (from.f64()?, from.u32()?);
            all.push(Kept { key, place });
        }
        Ok(Reservoir(all))
    }
}
