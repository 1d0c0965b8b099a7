//! Do the probabilities that a detector gives hold?
//!
//! Where nothing is wrong, p-values are uniform: one window in ten has p <= 0.1. A detector whose
//! small p-values come too often promises more than it keeps, whatever its sentences say. So each
//! keeps the distribution of those it gave of late, and how far that is from uniform
//! (Kolmogorov-Smirnov).
//!
//! A p-value that a model gives can be off for many reasons: what it is compared with is older than
//! itself, or it is the rarer of two. So it is taken as a score and ranked once more, among those
//! that the same detector gave of late to
//! whomever ([`Calibration::calibrated`], conformal p-values).

use serde::{Deserialize, Serialize};

use crate::tail::Tail;

const BINS: usize = 20;
/// Bounds of small p-values, which equal bins would not show.
const BOUNDS: [f64; 3] = [0.1, 0.01, 0.001];
/// Windows after which the past weighs half.
const MOST: f64 = 20_000.0;
/// Fewer windows say nothing: the distance of so many uniform values is about 0.03.
const LEAST: f64 = 1_000.0;
/// A distance beyond this is no chance.
const FAR: f64 = 0.05;
/// Scores among which one is ranked, and their least mean excess, that of exact p-values (log10 e)
/// or a little less.
const RANKED: usize = 2_000;
const LEAST_EXCESS: f64 = 0.4;

/// The p-values that a detector gave to its windows of late.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Calibration {
    /// Windows that raised nothing, by their p.
    bins: [f64; BINS],
    /// All windows, and those with p up to each of [`BOUNDS`].
    windows: f64,
    small: [f64; BOUNDS.len()],
    /// Scores, -log10 p as the model gives it.
    #[serde(default)]
    given: Option<Tail>,
}

impl Calibration {
    /// Takes in a window. Its p lies between `low`, the probability of a more extreme value, and
    /// `high`, that of one at least as extreme: its weight is spread evenly over the two, as counts
    /// and ties have no exact p. `told` if the window raised something.
    pub(crate) fn note(&mut self, low: f64, high: f64, told: bool) {
        let (low, high) = (low.clamp(0.0, 1.0), high.clamp(0.0, 1.0));
        if low.is_nan() || high.is_nan() {
            return;
        }
        let below = |bound: f64| match high > low {
            true => ((bound - low) / (high - low)).clamp(0.0, 1.0),
            false => f64::from(u8::from(high <= bound)),
        };
        self.windows += 1.0;
        for (small, bound) in self.small.iter_mut().zip(BOUNDS) {
            *small += below(bound);
        }
        if !told {
            let mut before = 0.0;
            for (i, bin) in self.bins.iter_mut().enumerate() {
                let until = below((i + 1) as f64 / BINS as f64);
                *bin += until - before;
                before = until;
            }
        }
        if self.windows >= MOST {
            self.windows *= 0.5;
            self.small.iter_mut().for_each(|n| *n *= 0.5);
            self.bins.iter_mut().for_each(|n| *n *= 0.5);
        }
    }

    /// Takes in a window that a model gave a p between `low` and `high`, as [`Self::note`] does
    /// with what that is among those of other windows.
    pub(crate) fn rank(&mut self, low: f64, high: f64, told: bool) {
        let score = -high.max(f64::MIN_POSITIVE).log10();
        let given = self
            .given
            .get_or_insert_with(|| Tail::of(LEAST_EXCESS, RANKED));
        let ranked = given.chances(score);
        given.add(score);
        let (low, high) = ranked.unwrap_or((low, high));
        self.note(low, high, told);
    }

    /// What a model's score (-log10 p) is among those it gave of late; the score itself while too
    /// few are known.
    pub(crate) fn calibrated(&self, score: f64) -> f64 {
        let given = self.given.as_ref().filter(|given| given.is_known());
        given.map_or(score, |given| given.rarity(score))
    }

    /// What such a score weighs beside others; `None` while p-values do not hold.
    pub(crate) fn weight(&self, score: f64) -> Option<f64> {
        (self.holds() != Some(false)).then(|| self.calibrated(score))
    }

    /// Bytes that it takes beside itself, about.
    pub(crate) fn bytes(&self) -> usize {
        self.given.as_ref().map_or(0, Tail::bytes)
    }

    /// Windows of late.
    pub fn windows(&self) -> f64 {
        self.windows
    }

    /// Share of the windows with p up to 0.1, 0.01 and 0.001; each should be about its bound.
    pub fn small(&self) -> [(f64, f64); 3] {
        let share = |n: f64| n / self.windows.max(1.0);
        let [a, b, c] = BOUNDS;
        let [of_a, of_b, of_c] = self.small.map(share);
        [(a, of_a), (b, of_b), (c, of_c)]
    }

    /// Greatest difference between the distribution of p and the uniform one, of windows that
    /// raised nothing; `None` while too few are known.
    pub fn distance(&self) -> Option<f64> {
        self.offs()
            .map(|offs| offs.map(f64::abs).fold(0.0, f64::max))
    }

    /// The same of p-values that come more often than they say; those that come less often are
    /// only careful.
    pub fn boldness(&self) -> Option<f64> {
        self.offs().map(|offs| offs.fold(0.0, f64::max))
    }

    /// Whether p-values can be taken at their word; `None` while too few are known.
    pub fn holds(&self) -> Option<bool> {
        self.boldness().map(|boldness| boldness <= FAR)
    }

    /// How much more windows lie below the end of each bin than should.
    fn offs(&self) -> Option<impl Iterator<Item = f64>> {
        let all: f64 = self.bins.iter().sum();
        let mut below = 0.0;
        let off = move |(i, bin): (usize, &f64)| {
            below += bin / all;
            below - (i + 1) as f64 / BINS as f64
        };
        (all >= LEAST).then(|| self.bins.iter().enumerate().map(off))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::random::Random;

    #[test]
    fn uniform_values_are_near_and_bold_ones_far() {
        let mut careful = Calibration::default();
        let (mut fair, mut bold, mut random) = (
            Calibration::default(),
            Calibration::default(),
            Random::new(3),
        );
        for _ in 0..30_000 {
            let p = random.unit();
            fair.note(p, p, false);
            bold.note(p * p, p * p, false);
            careful.note(p.sqrt(), p.sqrt(), false);
        }
        assert_eq!((fair.holds(), bold.holds()), (Some(true), Some(false)));
        assert_eq!(
            (careful.holds(), careful.distance() > Some(0.2)),
            (Some(true), true)
        );
        for (bound, share) in fair.small() {
            assert!((share / bound - 1.0).abs() < 0.5, "{bound}: {share}");
        }
        let [(_, share), ..] = bold.small();
        assert!((share - 0.1f64.sqrt()).abs() < 0.02, "{share}");
        assert!(fair.windows() <= MOST);
    }

    #[test]
    fn the_rarer_of_two_is_as_rare_as_it_says_once_it_is_ranked() {
        let (mut plain, mut ranked) = (Calibration::default(), Calibration::default());
        let mut random = Random::new(5);
        for _ in 0..30_000 {
            // Four in ten have nothing to say.
            let p = random.unit().min(random.unit());
            let (low, high) = if p < 0.36 { (p, p) } else { (0.36, 1.0) };
            plain.note(low, high, false);
            ranked.rank(low, high, false);
        }
        assert_eq!((plain.holds(), ranked.holds()), (Some(false), Some(true)));
        for (bound, share) in ranked.small() {
            assert!((share / bound - 1.0).abs() < 0.5, "{bound}: {share}");
        }
        // Of two, the rarer is half as rare, also far beyond what was seen.
        for score in [2.0, 4.0, 6.0] {
            let off = ranked.calibrated(score) - (score - 2f64.log10());
            assert!(off.abs() < 0.1 * score, "{score}: {off}");
        }
        assert_eq!(plain.calibrated(3.0), 3.0);
    }

    #[test]
    fn ties_and_counts_are_spread_over_what_they_can_be() {
        // Three in four windows have the least value, p = 1; the others are told apart.
        let (mut ties, mut random) = (Calibration::default(), Random::new(3));
        for _ in 0..10_000 {
            let p = random.unit();
            match p < 0.25 {
                true => ties.note(p, p, false),
                false => ties.note(0.25, 1.0, false),
            }
        }
        assert_eq!(ties.holds(), Some(true), "{:?}", ties.distance());
        // What raised something is no part of what is usual.
        let before = ties.distance();
        (0..500).for_each(|_| ties.note(0.0, 1e-6, true));
        assert_eq!(ties.distance(), before);
        assert_eq!(Calibration::default().holds(), None);
    }
}
