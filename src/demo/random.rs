//! A small seeded generator of pseudo-random numbers, so that a demo can be repeated exactly.
//!
//! SplitMix64: G. Steele, D. Lea and C. Flood, "Fast Splittable Pseudorandom Number Generators",
//! OOPSLA 2014. Good enough for simulated traffic; never for secrets.

/// The generator: one 64-bit counter and a mixing function.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator whose whole sequence follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A whole number from 0 to `bound - 1`; 0 where `bound` is 0.
    ///
    /// The high half of a 128-bit product (D. Lemire, 2019), whose bias is far below anything a
    /// simulation of a few million events can show.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A whole number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True with a chance of `permille` in 1,000.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.below(1000) < permille
    }

    /// One element of a list; `None` where it is empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.below(list.len() as u64) as usize)
    }

    /// `2 * bytes` lower-case hexadecimal digits, at most 16 bytes.
    pub fn hex(&mut self, bytes: usize) -> String {
        let digits = format!("{:016x}{:016x}", self.next(), self.next());
        digits.chars().take(bytes * 2).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_published_sequence() {
        // First values of the reference implementation for the seed 1234567.
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn stays_within_its_bounds() {
        let mut random = Random::new(7);
        for bound in 1..200 {
            assert!(random.below(bound) < bound);
            assert!((5..=5 + bound).contains(&random.between(5, 5 + bound)));
        }
        assert_eq!(random.below(0), 0);
        assert_eq!(random.hex(8).len(), 16);
    }
}
