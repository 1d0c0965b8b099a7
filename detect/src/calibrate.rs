//! Counts to probabilities, kept as -log10 p: a tail written as 1 - p ties at 1.0 long before an
//! alert budget is satisfied.

use serde::{Deserialize, Serialize};

/// Beyond this a score says nothing more; it also bounds the search for a quantile.
const MAX_SCORE: f64 = 300.0;

/// Mean and variance of counts; an event count is Poisson or over-dispersed, never tighter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Counts {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

impl Counts {
    /// From the first two moments.
    pub(crate) fn of(moments: &Moments) -> Self {
        // A mean of zero would make any count impossible.
        let mean = moments.mean.max(0.05);
        Counts {
            mean,
            variance: (moments.square - moments.mean * moments.mean).max(mean),
        }
    }

    /// The same in an hour that is so much busier: noise grows with what is expected, and what is
    /// beyond it with its square.
    #[must_use]
    pub(crate) fn times(&self, factor: f64) -> Self {
        let mean = (self.mean * factor).max(0.05);
        let beyond = (self.variance - self.mean).max(0.0);
        Counts {
            mean,
            variance: mean + beyond * factor * factor,
        }
    }

    /// -log10 P(X >= `count`) under the negative binomial of this mean and variance (Poisson when
    /// they are equal).
    pub(crate) fn score(&self, count: u64) -> f64 {
        let k = count as f64;
        if count == 0 || k <= self.mean {
            return 0.0;
        }
        // P(X >= k) = P(X = k) (1 + r1 + r1 r2 + ...), the ratios of neighbours falling.
        let (log_first, ratio) = self.log_mass(k);
        let (mut sum, mut term, mut at) = (1.0, 1.0, k);
        for _ in 0..100_000 {
            term *= ratio(at);
            sum += term;
            at += 1.0;
            if term < sum * 1e-12 {
                break;
            }
        }
        (-(log_first + sum.ln()) / std::f64::consts::LN_10).clamp(0.0, MAX_SCORE)
    }

    /// P(X > `count`) and P(X >= `count`); for counts up to the mean those of all of them.
    pub(crate) fn chances(&self, count: u64) -> (f64, f64) {
        let least = count.max(self.mean.floor() as u64);
        let above = |count| 10f64.powf(-self.score(count));
        (above(least + 1), above(least))
    }

    /// Natural log of P(X = k), and P(X = k + 1) / P(X = k) as a function of k.
    fn log_mass(&self, k: f64) -> (f64, Box<dyn Fn(f64) -> f64>) {
        let (mean, variance) = (self.mean, self.variance);
        if variance <= mean * 1.000_1 {
            let log = k * mean.ln() - mean - ln_gamma(k + 1.0);
            return (log, Box::new(move |k| mean / (k + 1.0)));
        }
        // Failures r and success probability p of the negative binomial with these moments.
        let size = mean * mean / (variance - mean);
        let p = mean / variance;
        let log = ln_gamma(k + size) - ln_gamma(size) - ln_gamma(k + 1.0)
            + size * p.ln()
            + k * (1.0 - p).ln();
        (log, Box::new(move |k| (k + size) / (k + 1.0) * (1.0 - p)))
    }

    /// The smallest count whose score is at least `score`.
    pub(crate) fn quantile(&self, score: f64) -> u64 {
        let score = score.min(MAX_SCORE);
        let mut high = (self.mean.ceil() as u64).max(1);
        while self.score(high) < score && high < 1 << 40 {
            high *= 2;
        }
        let mut low = 0;
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if self.score(middle) < score {
                low = middle
            } else {
                high = middle
            }
        }
        high
    }
}

/// -log10 P(X <= `count`) under the negative binomial of this mean and variance.
pub(crate) fn lower_tail(count: u64, mean: f64, variance: f64) -> f64 {
    if count as f64 >= mean {
        return 0.0;
    }
    let counts = Counts {
        mean,
        variance: variance.max(mean),
    };
    // P(X <= k) = P(X = k) (1 + 1/r(k-1) + 1/(r(k-1) r(k-2)) + ...), falling below the mean.
    let (log_first, ratio) = counts.log_mass(count as f64);
    let (mut sum, mut term) = (1.0, 1.0);
    for k in (0..count).rev() {
        term /= ratio(k as f64);
        sum += term;
        if term < sum * 1e-12 {
            break;
        }
    }
    (-(log_first + f64::ln(sum)) / std::f64::consts::LN_10).clamp(0.0, MAX_SCORE)
}

/// P(X < `count`) and P(X <= `count`) under the negative binomial of this mean and variance; for
/// counts from the mean on those of all of them.
pub(crate) fn lower_chances(count: u64, mean: f64, variance: f64) -> (f64, f64) {
    let least = count.min(mean.ceil() as u64);
    let below = |count| 10f64.powf(-lower_tail(count, mean, variance));
    (least.checked_sub(1).map_or(0.0, below), below(least))
}

/// Exponentially weighted first two moments of counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Moments {
    /// Observations.
    pub(crate) n: u64,
    #[serde(with = "bits")]
    pub(crate) mean: f64,
    #[serde(with = "bits")]
    pub(crate) square: f64,
}

/// Floats in snapshots as their bits: text can cost the last digit, and a restored baseline must
/// give the same scores.
mod bits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

/// As exact as is of use to a reader, and short enough to survive being written as text.
pub(crate) fn rounded(x: f64) -> f64 {
    (x * 1e4).round() / 1e4
}

impl Moments {
    /// Takes in `value`; once there are `1 / slowest` observations, older ones fade at that rate.
    pub(crate) fn add(&mut self, value: f64, slowest: f64) {
        self.n += 1;
        let rate = slowest.max(1.0 / self.n as f64);
        self.mean += rate * (value - self.mean);
        self.square += rate * (value * value - self.square);
    }

    /// Drawn towards `prior`, which weighs as much as `weight` observations.
    pub(crate) fn shrunk(&self, prior: &Moments, weight: f64) -> Moments {
        if prior.n == 0 {
            return *self;
        }
        let own = self.n as f64 / (self.n as f64 + weight);
        let blend = |a: f64, b: f64| own * a + (1.0 - own) * b;
        Moments {
            n: self.n,
            mean: blend(self.mean, prior.mean),
            square: blend(self.square, prior.square),
        }
    }
}

/// Natural log of the gamma function for positive arguments (Lanczos, g = 7, n = 9; relative error
/// below 1e-13).
fn ln_gamma(x: f64) -> f64 {
    const G: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        // Reflection.
        let sine = (std::f64::consts::PI * x).sin();
        return (std::f64::consts::PI / sine).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let t = x + 7.5;
    let first = G.first().copied().unwrap_or_default();
    let sum = G
        .iter()
        .enumerate()
        .skip(1)
        .fold(first, |s, (i, g)| s + g / (x + i as f64));
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_agree_with_tables() {
        // Sums of the masses in double precision, from another implementation.
        let cases = [
            (3.0, 3.0, 10, 2.957_626),
            (3.0, 3.0, 412, 704.84),
            (100.0, 100.0, 150, 5.724_871),
            (5.0, 20.0, 40, 4.260_232),
            (0.05, 0.05, 3, 4.697_507),
        ];
        for (mean, variance, k, want) in cases {
            let got = Counts { mean, variance }.score(k);
            let want: f64 = want;
            assert!(
                (got - want.min(MAX_SCORE)).abs() < 1e-4,
                "{mean} {variance} {k}: {got} {want}"
            );
        }
    }

    #[test]
    fn a_tail_is_the_sum_of_its_masses() {
        for (mean, variance) in [(3.0, 3.0), (5.0, 20.0), (0.4, 1.0), (50.0, 400.0)] {
            let counts = Counts { mean, variance };
            for k in [1u64, 4, 9, 30, 120] {
                if (k as f64) <= mean {
                    continue;
                }
                let tail: f64 = (k..k + 5_000)
                    .map(|i| counts.log_mass(i as f64).0.exp())
                    .sum();
                assert!(
                    (counts.score(k) + tail.log10()).abs() < 1e-6,
                    "{mean} {variance} {k}"
                );
            }
        }
    }

    #[test]
    fn chances_of_counts_cover_everything_once() {
        let (mean, variance) = (5.3, 20.0);
        let counts = Counts { mean, variance };
        // From the mean up, and below it, each count begins where the one before ended.
        assert_eq!(counts.chances(0), counts.chances(5));
        assert_eq!(counts.chances(5).1, 1.0);
        assert!((6..60).all(|k| counts.chances(k).1 == counts.chances(k - 1).0));
        assert_eq!(lower_chances(0, mean, variance).0, 0.0);
        assert_eq!(lower_chances(900, mean, variance).1, 1.0);
        let mut pairs = (1..7).map(|k| [k - 1, k].map(|k| lower_chances(k, mean, variance)));
        assert!(pairs.all(|[one, next]| one.1 == next.0));
    }

    #[test]
    fn quantiles_invert_scores() {
        for (mean, variance) in [(0.1, 0.1), (3.0, 3.0), (5.0, 50.0), (800.0, 9_000.0)] {
            let counts = Counts { mean, variance };
            for score in [1.0, 3.0, 6.0, 12.0] {
                let k = counts.quantile(score);
                assert!(counts.score(k) >= score && (k == 1 || counts.score(k - 1) < score));
            }
        }
    }

    #[test]
    fn moments_are_a_mean_before_they_fade() {
        let mut moments = Moments::default();
        [2.0, 4.0, 6.0].iter().for_each(|v| moments.add(*v, 0.05));
        assert!((moments.mean - 4.0).abs() < 1e-12);
        assert!((moments.square - 56.0 / 3.0).abs() < 1e-12);
        let prior = Moments {
            n: 9,
            mean: 10.0,
            square: 100.0,
        };
        assert!((moments.shrunk(&prior, 3.0).mean - 7.0).abs() < 1e-12);
    }
}
