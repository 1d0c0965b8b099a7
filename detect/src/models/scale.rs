//! Numbers in comparable units: how many standard deviations from the mean, learned as they come.
//!
//! Welford (1962) for mean and variance. Pitfalls: a constant number has no deviation, so any other
//! value counts as one; values far out are held back, or the first mistake of a sensor would make
//! all others look alike.

use super::ModelError;
use super::codec::{Reader, Writer};

/// Where a stream's values are held back.
const FARTHEST: f64 = 8.0;
/// Where the values of a batch are: their squares stay finite.
const UNBOUNDED: f64 = 1e6;

/// Mean and spread of each number of a point.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    seen: u64,
    mean: Vec<f64>,
    /// Sums of squared differences from the mean.
    squares: Vec<f64>,
    /// Deviations beyond this say no more.
    farthest: f64,
}

impl Scale {
    /// Knows nothing of points of `dims` numbers, of which it gives 8 deviations at most.
    pub fn new(dims: usize) -> Self {
        Scale {
            seen: 0,
            mean: vec![0.0; dims],
            squares: vec![0.0; dims],
            farthest: FARTHEST,
        }
    }

    /// For a batch that is learned wholly before it is scaled: values far out stay there.
    pub fn unbounded(dims: usize) -> Self {
        Scale {
            farthest: UNBOUNDED,
            ..Scale::new(dims)
        }
    }

    /// Numbers in a point.
    pub fn dims(&self) -> usize {
        self.mean.len()
    }

    /// Takes in a point. What is not a finite number leaves its place as it was.
    pub fn learn(&mut self, point: &[f64]) {
        self.seen += 1;
        let n = self.seen as f64;
        for ((mean, squares), value) in self.mean.iter_mut().zip(&mut self.squares).zip(point) {
            if value.is_finite() {
                let before = value - *mean;
                *mean += before / n;
                *squares += before * (value - *mean);
            }
        }
    }

    /// The point in standard deviations from the mean.
    pub fn apply(&self, point: &[f64]) -> Vec<f64> {
        let n = self.seen.max(2) as f64 - 1.0;
        let ends = self.mean.iter().zip(&self.squares);
        let scaled = ends.enumerate().map(|(i, (mean, squares))| {
            let value = point.get(i).copied().unwrap_or(*mean);
            if value.is_nan() {
                return 0.0;
            }
            let (away, spread) = (value - mean, (squares / n).sqrt());
            // Below this the spread is rounding.
            if spread > mean.abs() * 1e-9 {
                return (away / spread).clamp(-self.farthest, self.farthest);
            }
            away.clamp(-1.0, 1.0)
        });
        scaled.collect()
    }

    /// Only that of a stream is ever saved.
    pub(super) fn save(&self, out: &mut Writer) {
        out.u64(self.seen);
        out.f64s(self.mean.iter());
        out.f64s(self.squares.iter());
    }

    pub(super) fn restore(from: &mut Reader) -> Result<Self, ModelError> {
        let (seen, mean, squares) = (from.u64()?, from.f64s()?, from.f64s()?);
        if mean.len() != squares.len() {
            return Err(ModelError::Malformed("means without variances"));
        }
        Ok(Scale {
            seen,
            mean,
            squares,
            farthest: FARTHEST,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_and_nonsense_stay_finite() {
        let mut scale = Scale::new(3);
        for i in 0..100 {
            scale.learn(&[5.0, f64::from(i), if i == 7 { f64::NAN } else { 1e300 }]);
        }
        let scaled = scale.apply(&[5.0, 1e9, f64::INFINITY]);
        assert_eq!(scaled[0], 0.0);
        assert_eq!(scaled[1], FARTHEST);
        assert!(scaled.iter().all(|v| v.is_finite()), "{scaled:?}");
        assert_eq!(scale.apply(&[6.5, f64::NAN, 0.0])[..2], [1.0, 0.0]);
        assert_eq!(scale.apply(&[]).len(), 3);
    }

    #[test]
    fn deviations_are_those_of_the_sample() {
        let mut scale = Scale::new(1);
        [2.0, 4.0, 6.0].iter().for_each(|v| scale.learn(&[*v]));
        assert!((scale.apply(&[8.0])[0] - 2.0).abs() < 1e-12);
    }
}
