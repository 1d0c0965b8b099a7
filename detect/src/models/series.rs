//! Jumps and shifts in a series of numbers: counts, volumes or latencies a window.
//!
//! Three statistics look at three lengths of time: the step from the last value, the mean of the
//! last 12 against the 48 before, and of the last 48 against the 288 before (at five minutes a
//! value: a step, an hour, four hours against a day). Each is turned into a probability by the tail
//! of its own past ([`super::spot`]), so that a series with regular bursts needs larger ones. The
//! probabilities are combined by Fisher's method (1925).
//!
//! Pitfalls. The three share their values, so the combined probability is too small; it orders
//! rows, and a threshold is to be chosen on scores. What is learned is winsorised by the tails. An
//! anomaly scores for as long as it lasts; [`Cooldown`] makes one finding of it, which is worth
//! more than any choice of model (20 points and more of the NAB score).

use std::collections::VecDeque;

use super::ModelError;
use super::codec::{Reader, Writer};
use super::spot::Spot;

const NAME: &str = "series";
const VERSION: u32 = 1;

/// Values whose mean is compared, and values before them that it is compared with.
const SHIFTS: [(usize, usize); 2] = [(12, 48), (48, 288)];
/// Values that are remembered.
const RECENT: usize = 48 + 288;
/// Values of a statistic from which its tail starts.
const WARM_UP: usize = 300;
/// -log10 p beyond which one statistic says no more than the others together.
const MOST: f64 = 12.0;

/// A streaming model of a series of numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesModel {
    recent: VecDeque<f64>,
    /// Tails of the step and of the shifts.
    tails: [Spot; 1 + SHIFTS.len()],
}

impl Default for SeriesModel {
    fn default() -> Self {
        SeriesModel {
            recent: VecDeque::with_capacity(RECENT + 1),
            tails: std::array::from_fn(|_| Spot::new(WARM_UP)),
        }
    }
}

impl SeriesModel {
    /// Scores the next value and learns it: -log10 of the probability that the series would change
    /// like this; 0 while too little was seen, and for what is not a finite number.
    pub fn observe(&mut self, value: f64) -> f64 {
        if !value.is_finite() {
            return 0.0;
        }
        self.recent.push_back(value);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        let changes = [self.step(), self.shift(SHIFTS[0]), self.shift(SHIFTS[1])];
        let mut sum = 0.0;
        for (tail, change) in self.tails.iter_mut().zip(changes) {
            if let Some(change) = change {
                sum += tail.observe(change).min(MOST);
            }
        }
        fisher(sum, self.tails.len())
    }

    /// How far the last value is from the one before.
    fn step(&self) -> Option<f64> {
        let mut latest = self.recent.iter().rev();
        Some((latest.next()? - latest.next()?).abs())
    }

    /// How far the mean of the last `new` values is from that of the `old` before them.
    fn shift(&self, (new, old): (usize, usize)) -> Option<f64> {
        if self.recent.len() < new + old {
            return None;
        }
        let latest = || self.recent.iter().rev();
        let now = latest().take(new).sum::<f64>() / new as f64;
        let before = latest().skip(new).take(old).sum::<f64>() / old as f64;
        // The sum of huge values may not be finite.
        Some((now - before).abs()).filter(|change| change.is_finite())
    }

    /// Bytes held at most.
    pub fn max_bytes() -> usize {
        size_of::<Self>() + (RECENT + 1) * 8 + (1 + SHIFTS.len()) * Spot::max_bytes(WARM_UP)
    }

    /// The model as bytes; [`SeriesModel::restore`] gives one that goes on alike.
    pub fn save(&self) -> Vec<u8> {
        let mut out = Writer::begin(NAME, VERSION);
        out.f64s(self.recent.iter());
        self.tails.iter().for_each(|tail| out.bytes(&tail.save()));
        out.finish()
    }

    /// The model that was saved.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] if the bytes are not one.
    pub fn restore(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut from = Reader::begin(bytes, NAME, VERSION)?;
        let mut model = SeriesModel {
            recent: from.f64s()?.into(),
            ..SeriesModel::default()
        };
        for tail in &mut model.tails {
            *tail = Spot::restore(from.bytes()?)?;
        }
        from.end()?;
        if model.recent.len() > RECENT {
            return Err(ModelError::Malformed("more values than are remembered"));
        }
        Ok(model)
    }
}

/// -log10 of the probability that `n` independent probabilities have a sum of -log10 p of at least
/// `sum`: the tail of a chi-squared distribution with 2n degrees of freedom.
fn fisher(sum: f64, n: usize) -> f64 {
    let x = sum * std::f64::consts::LN_10;
    // e^-x (1 + x + x^2/2 + ... ), n terms.
    let (mut term, mut terms) = (1.0, 1.0);
    for i in 1..n {
        term *= x / i as f64;
        terms += term;
    }
    (sum - f64::log10(terms)).max(0.0)
}

/// Makes one finding of an anomaly that lasts: a score passes if it is clearly worse than all of
/// the last while.
#[derive(Debug, Clone, PartialEq)]
pub struct Cooldown {
    rows: u64,
    worse: f64,
    at: u64,
    /// Scores that no later one reaches, oldest first: the first is the worst.
    worst: VecDeque<(u64, f64)>,
}

impl Cooldown {
    /// A score passes if it is more than `worse` times every score of the last `rows`.
    pub fn new(rows: u64, worse: f64) -> Self {
        Cooldown {
            rows,
            worse,
            at: 0,
            worst: VecDeque::new(),
        }
    }

    /// The score if it passes, else 0.
    pub fn pass(&mut self, score: f64) -> f64 {
        self.at += 1;
        while self
            .worst
            .front()
            .is_some_and(|(at, _)| self.at - at > self.rows)
        {
            self.worst.pop_front();
        }
        let worst = self.worst.front().map_or(0.0, |(_, score)| *score);
        while self.worst.back().is_some_and(|(_, s)| *s <= score) {
            self.worst.pop_back();
        }
        self.worst.push_back((self.at, score));
        if score > worst * self.worse {
            score
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn a_step_and_a_shift_are_found_and_noise_is_not() {
        let (mut model, mut random) = (SeriesModel::default(), Random::new(1));
        let mut noise = |level: f64| level + random.unit() + random.unit() + random.unit();
        let scores: Vec<f64> = (0..5_000).map(|_| model.observe(noise(100.0))).collect();
        let alarms = scores[1_000..].iter().filter(|s| **s > 5.0).count();
        assert!(alarms <= 4, "{alarms}");
        let mut shifted = model.clone();
        assert!(model.observe(noise(120.0)) > 6.0, "step");
        // A shift too small for one step shows in the means.
        let worst = (0..48)
            .map(|_| shifted.observe(noise(100.7)))
            .fold(0.0, f64::max);
        assert!(worst > 5.0, "{worst}");
    }

    #[test]
    fn flat_and_hostile_series_are_harmless() {
        let mut model = SeriesModel::default();
        assert!((0..2_000).all(|_| model.observe(7.0) == 0.0));
        assert!(model.observe(8.0) > 2.0);
        for value in [
            f64::NAN,
            f64::INFINITY,
            f64::MAX,
            f64::MIN,
            0.0,
            -0.0,
            f64::MAX,
        ] {
            let score = model.observe(value);
            assert!(score.is_finite() && score >= 0.0, "{value}: {score}");
        }
    }

    #[test]
    fn combined_probabilities_are_those_of_the_table() {
        // Chi-squared with 6 degrees: 12.592 is exceeded by 5 %, 22.458 by 0.1 %.
        for (statistic, p) in [(12.592, 0.05), (22.458, 0.001)] {
            let sum = statistic / 2.0 / std::f64::consts::LN_10;
            assert!((fisher(sum, 3) + f64::log10(p)).abs() < 1e-3);
        }
    }

    #[test]
    fn one_anomaly_is_one_finding() {
        let mut cooldown = Cooldown::new(10, 1.2);
        let mut passed =
            |scores: &[f64]| -> Vec<f64> { scores.iter().map(|s| cooldown.pass(*s)).collect() };
        assert_eq!(
            passed(&[5.0, 5.0, 5.9, 7.5, 1.0]),
            [5.0, 0.0, 0.0, 7.5, 0.0]
        );
        assert_eq!(passed(&[0.0; 10]), [0.0; 10]);
        assert_eq!(passed(&[3.0]), [3.0]);
    }

    #[test]
    fn a_restored_model_goes_on_alike() {
        for n in [0, 5, 300, 2_000] {
            let (mut one, mut random) = (SeriesModel::default(), Random::new(8));
            for _ in 0..n {
                one.observe(random.unit());
            }
            let mut two = SeriesModel::restore(&one.save()).unwrap();
            for _ in 0..500 {
                let value = random.unit().powf(-0.5);
                assert_eq!(one.observe(value).to_bits(), two.observe(value).to_bits());
            }
        }
        assert!(SeriesModel::max_bytes() < 64 << 10);
    }
}
