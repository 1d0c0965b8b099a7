//! A small generator of random numbers with a state that can be saved: a restored model must go on
//! exactly where it stopped, and the same events must give the same scores on every machine.
//!
//! xoshiro256++ (Blackman and Vigna, ACM TOMS 2021), seeded by splitmix64. Not for secrets.

use super::ModelError;
use super::codec::{Reader, Writer};

/// The state of the generator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random([u64; 4]);

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        let mut at = seed;
        Random(std::array::from_fn(|_| {
            at = at.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = at;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number in (0, 1): never 0, so that its logarithm is finite.
    pub fn unit(&mut self) -> f64 {
        ((self.bits() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// A number below `bound`, 0 if `bound` is 0. The bias is below 2^-32 for bounds of 32 bits.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// Puts `items` into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    pub(super) fn save(&self, out: &mut Writer) {
        self.0.iter().for_each(|word| out.u64(*word));
    }

    pub(super) fn restore(from: &mut Reader) -> Result<Self, ModelError> {
        Ok(Random([from.u64()?, from.u64()?, from.u64()?, from.u64()?]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_even_and_repeatable() {
        let mut random = Random::new(7);
        let mut again = random.clone();
        let mean = (0..10_000).map(|_| random.unit()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        let mut counts = [0u32; 5];
        (0..10_000).for_each(|_| counts[random.below(5)] += 1);
        assert!(
            counts.iter().all(|c| (1_800..2_200).contains(c)),
            "{counts:?}"
        );
        assert_eq!(Random::new(7).bits(), again.bits());
        assert_eq!(again.below(0), 0);
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        Random::new(1).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
