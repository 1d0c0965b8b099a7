//! How improbable a large value is, beyond all that was seen: the tail of a stream as a generalised
//! Pareto distribution.
//!
//! SPOT of Siffer, Fouque, Termier, Largouet, "Anomaly Detection in Streams with Extreme Value
//! Theory" (KDD 2017): values above a high quantile are excesses; their distribution is generalised
//! Pareto whatever the values' own (Pickands 1975, Balkema and de Haan 1974). Given differences
//! from a moving level it is the paper's DSPOT. The distribution is fitted by probability-weighted
//! moments (Hosking and Wallis, Technometrics 1987), which need no iteration and cannot diverge.
//!
//! Pitfalls. A probability near 0 is given as -log10 p; 1 - p would tie. Few excesses can make the
//! shape anything, so it is held between -0.5 and 0.5. Excesses that are all equal leave nothing to
//! fit. What is learned is held back at a probability of 1 in 10,000 (winsorised), so that an
//! attack does not teach the tail that attacks are usual.

use super::ModelError;
use super::codec::{Reader, Writer};

const NAME: &str = "spot";
const VERSION: u32 = 1;

/// Share of the first values that lie above the bound.
const EXCEEDING: f64 = 0.02;
/// New excesses after which the distribution is fitted again.
const REFIT: usize = 50;
/// Excesses that are kept, the latest.
const KEPT: usize = 500;
/// Fewer excesses are not fitted; an exponential distribution stands for them.
const FEWEST: usize = 10;
/// Shapes beyond this say that the fit failed rather than that there is no bound.
const SHAPE: f64 = 0.5;
/// Learned values are held back at this -log10 p.
const WINSORISED: f64 = 4.0;
/// -log10 p beyond this says no more.
pub const MAX_SCORE: f64 = 300.0;

/// The upper tail of a stream of values.
#[derive(Debug, Clone, PartialEq)]
pub struct Spot {
    /// The first values, until there are enough to choose the bound.
    first: Vec<f64>,
    warm_up: usize,
    bound: f64,
    /// Values seen since the oldest kept excess, for the rate of excesses.
    seen: u64,
    /// The latest excesses, oldest first, each with `seen` at its time.
    excesses: Vec<(f64, u64)>,
    since_fit: usize,
    shape: f64,
    width: f64,
}

impl Spot {
    /// Takes the bound from the first `warm_up` values (at least 50); until then every score is 0.
    pub fn new(warm_up: usize) -> Self {
        Spot {
            first: Vec::new(),
            warm_up: warm_up.max(50),
            bound: f64::INFINITY,
            seen: 0,
            excesses: Vec::new(),
            since_fit: 0,
            shape: 0.0,
            width: 0.0,
        }
    }

    /// -log10 of the probability of a value at least this large, from 0 to [`MAX_SCORE`]. Below the
    /// bound it is that of the bound at most. What is not a number scores 0.
    pub fn score(&self, value: f64) -> f64 {
        if !self.ready() || value.is_nan() || value <= self.bound {
            return 0.0;
        }
        let rate = self.excesses.len().max(1) as f64 / self.span().max(1.0);
        let over = value - self.bound;
        let log_tail = if self.width <= 0.0 {
            // All excesses were equal: only a larger one says something.
            let largest = self.excesses.iter().map(|(e, _)| *e).fold(0.0, f64::max);
            return if over > largest {
                -rate.log10() + 1.0
            } else {
                0.0
            };
        } else if self.shape.abs() < 1e-9 {
            -over / self.width
        } else {
            let inside = 1.0 + self.shape * over / self.width;
            if inside <= 0.0 {
                return MAX_SCORE;
            }
            -inside.ln() / self.shape
        };
        (-(rate.log10() + log_tail / std::f64::consts::LN_10)).clamp(0.0, MAX_SCORE)
    }

    /// Scores the value, then learns it.
    pub fn observe(&mut self, value: f64) -> f64 {
        let score = self.score(value);
        self.learn(value);
        score
    }

    /// Takes the value in. What is not a finite number is passed over.
    pub fn learn(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.seen += 1;
        if !self.ready() {
            self.first.push(value);
            if self.first.len() >= self.warm_up {
                self.begin();
            }
            return;
        }
        if value <= self.bound {
            return;
        }
        let excess = (value - self.bound).min(self.farthest());
        self.excesses.push((excess, self.seen));
        if self.excesses.len() > KEPT {
            self.excesses.remove(0);
        }
        self.since_fit += 1;
        // Early on every excess counts.
        if self.since_fit >= REFIT || self.excesses.len() <= REFIT {
            self.fit();
        }
    }

    /// Whether enough was seen to score.
    pub fn ready(&self) -> bool {
        self.bound.is_finite()
    }

    /// Values over which the kept excesses came.
    fn span(&self) -> f64 {
        let oldest = match self.excesses.first() {
            Some((_, at)) if self.excesses.len() == KEPT => *at,
            _ => 0,
        };
        (self.seen - oldest.min(self.seen)) as f64
    }

    /// The excess at which learned values are held back.
    fn farthest(&self) -> f64 {
        if self.width <= 0.0 {
            return f64::INFINITY;
        }
        let rate = self.excesses.len().max(1) as f64 / self.span().max(1.0);
        let tail = (10f64.powf(-WINSORISED) / rate).min(1.0);
        if self.shape.abs() < 1e-9 {
            return -tail.ln() * self.width;
        }
        self.width / self.shape * (tail.powf(-self.shape) - 1.0)
    }

    fn begin(&mut self) {
        let mut sorted = std::mem::take(&mut self.first);
        sorted.sort_by(f64::total_cmp);
        let above = ((sorted.len() as f64 * EXCEEDING) as usize).max(2);
        self.bound = sorted[sorted.len() - above - 1];
        // Equal values at the bound are not above it.
        let over = sorted.iter().filter(|v| **v > self.bound);
        self.excesses = over.map(|v| (v - self.bound, self.seen)).collect();
        self.fit();
    }

    fn fit(&mut self) {
        self.since_fit = 0;
        let mut sorted: Vec<f64> = self.excesses.iter().map(|(e, _)| *e).collect();
        sorted.sort_by(f64::total_cmp);
        (self.shape, self.width) = pareto(&sorted);
    }

    /// Bytes held at most.
    pub fn max_bytes(warm_up: usize) -> usize {
        size_of::<Self>() + warm_up.max(50) * 8 + (KEPT + 1) * size_of::<(f64, u64)>()
    }

    /// The state as bytes; [`Spot::restore`] goes on alike.
    pub fn save(&self) -> Vec<u8> {
        let mut out = Writer::begin(NAME, VERSION);
        out.f64s(self.first.iter());
        out.size(self.warm_up);
        out.f64(self.bound);
        out.u64(self.seen);
        out.size(self.excesses.len());
        for (excess, at) in &self.excesses {
            out.f64(*excess);
            out.u64(*at);
        }
        out.size(self.since_fit);
        out.f64(self.shape);
        out.f64(self.width);
        out.finish()
    }

    /// The state that was saved.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] if the bytes are not one.
    pub fn restore(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut from = Reader::begin(bytes, NAME, VERSION)?;
        let (first, warm_up) = (from.f64s()?, from.size()?);
        let (bound, seen) = (from.f64()?, from.u64()?);
        let mut excesses = Vec::new();
        for _ in 0..from.count(16)? {
            excesses.push((from.f64()?, from.u64()?));
        }
        let spot = Spot {
            first,
            warm_up,
            bound,
            seen,
            excesses,
            since_fit: from.size()?,
            shape: from.f64()?,
            width: from.f64()?,
        };
        from.end()?;
        Ok(spot)
    }
}

/// Shape and width of the generalised Pareto distribution of sorted excesses; a width of 0 if they
/// are all equal.
fn pareto(sorted: &[f64]) -> (f64, f64) {
    let n = sorted.len() as f64;
    let mean = sorted.iter().sum::<f64>() / n.max(1.0);
    if sorted.first() == sorted.last() || mean.is_nan() || mean <= 0.0 {
        return (0.0, 0.0);
    }
    if sorted.len() < FEWEST {
        return (0.0, mean);
    }
    // The mean of each excess times the share of larger ones.
    let weighted = sorted.iter().enumerate();
    let weighted = weighted.map(|(i, e)| e * (n - 1.0 - i as f64) / (n - 1.0));
    let second = weighted.sum::<f64>() / n;
    let apart = mean - 2.0 * second;
    if apart <= mean * 1e-9 {
        return (0.0, mean);
    }
    let shape = (2.0 - mean / apart).clamp(-SHAPE, SHAPE);
    // With the shape held, the width follows from the mean alone.
    (shape, mean * (1.0 - shape))
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    fn fed(n: usize, draw: impl Fn(&mut Random) -> f64) -> Spot {
        let (mut spot, mut random) = (Spot::new(1_000), Random::new(5));
        (0..n).for_each(|_| spot.learn(draw(&mut random)));
        spot
    }

    #[test]
    fn tails_of_known_distributions_are_found() {
        // Exponential: P(X > x) = e^-x; Pareto with shape 1/4: x^-4.
        let exponential = fed(20_000, |r| -r.unit().ln());
        let pareto = fed(20_000, |r| r.unit().powf(-0.25));
        for p in [1e-3, 1e-4, 1e-5] {
            let want = -f64::log10(p);
            let got = exponential.score(-f64::ln(p));
            assert!((got - want).abs() < 0.1 * want, "exponential {p}: {got}");
            let got = pareto.score(p.powf(-0.25));
            assert!((got - want).abs() < 0.2 * want, "pareto {p}: {got}");
        }
    }

    #[test]
    fn scores_grow_with_the_value_and_stay_in_bounds() {
        for spot in [
            fed(5_000, Random::unit),
            fed(5_000, |_| 3.0),
            fed(5_000, |r| r.below(3) as f64),
        ] {
            let mut last = 0.0;
            for step in 0..200 {
                let score = spot.score(-5.0 + f64::from(step) * 0.2);
                assert!(
                    score >= last && score <= MAX_SCORE,
                    "{step}: {score} after {last}"
                );
                last = score;
            }
            assert_eq!(spot.score(f64::NAN), 0.0);
            assert_eq!(spot.score(f64::NEG_INFINITY), 0.0);
        }
    }

    #[test]
    fn an_attack_does_not_teach_the_tail() {
        let mut spot = fed(20_000, |r| -r.unit().ln());
        let before = spot.score(15.0);
        (0..20).for_each(|_| spot.learn(1e6));
        let after = spot.score(15.0);
        assert!(after > 0.7 * before, "{before} to {after}");
        assert_eq!(spot.excesses.len().min(KEPT), spot.excesses.len());
    }

    #[test]
    fn a_restored_tail_goes_on_alike() {
        for n in [10, 999, 3_000, 40_000] {
            let mut one = fed(n, |r| r.unit().powf(-0.3));
            let mut two = Spot::restore(&one.save()).unwrap();
            let mut random = Random::new(9);
            for _ in 0..500 {
                let value = random.unit().powf(-0.4);
                assert_eq!(one.observe(value).to_bits(), two.observe(value).to_bits());
            }
        }
        let bytes = fed(3_000, Random::unit).save();
        assert!((0..bytes.len()).all(|end| Spot::restore(&bytes[..end]).is_err()));
    }
}
