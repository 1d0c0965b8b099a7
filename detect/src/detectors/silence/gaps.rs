//! How long a source pauses, counted in events that should have come meanwhile.
//!
//! In that measure the pauses of a source that sends by chance alone are exponential with mean one
//! (time rescaling, Brown et al. 2002). Sources that send in bursts pause longer: the tail is
//! fitted by the mean by which pauses exceed a threshold (peaks over threshold, Pickands 1975).

use serde::{Deserialize, Serialize};

/// A pause longer than this is of the tail.
const LONG: f64 = 2.0;
/// Longer pauses teach no more than this: most are outages.
const MOST: f64 = 20.0;
/// Pauses after which older ones count half.
const MEMORY: f64 = 30_000.0;
/// Mean excess and number of long pauses that are taken as seen before the first.
const PRIOR: (f64, f64) = (1.5, 10.0);

/// The pauses of one source.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Gaps {
    /// Pauses seen, and those of the tail.
    seen: f32,
    long: f32,
    /// Sum of what these had beyond [`LONG`].
    excess: f32,
}

impl Gaps {
    /// Learns a pause in which so many events were expected.
    pub(super) fn learn(&mut self, missed: f64) {
        self.seen += 1.0;
        if missed > LONG {
            self.long += 1.0;
            self.excess += (missed.min(MOST) - LONG) as f32;
        }
        if f64::from(self.seen) > MEMORY {
            self.seen /= 2.0;
            self.long /= 2.0;
            self.excess /= 2.0;
        }
    }

    /// Mean by which long pauses exceed the threshold; 1 where events come by chance.
    fn excess(&self) -> f64 {
        let (mean, weight) = PRIOR;
        let sum = f64::from(self.excess) + mean * weight;
        (sum / (f64::from(self.long) + weight)).max(1.0)
    }

    /// -log10 of how many pauses this long are to be expected among `pauses` of them.
    pub(super) fn score(&self, missed: f64, pauses: f64) -> f64 {
        let share = (f64::from(self.long) + 2.0) / (f64::from(self.seen) + 10.0);
        let beyond = (missed - LONG).max(0.0) / self.excess();
        let log = share.min(1.0).ln() - beyond + pauses.max(1.0).ln();
        -log / std::f64::consts::LN_10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exponential pauses of this mean, evenly over their distribution.
    fn learned(mean: f64) -> Gaps {
        let mut gaps = Gaps::default();
        for i in 0..10_000 {
            gaps.learn(-mean * ((f64::from(i) + 0.5) / 10_000.0).ln());
        }
        gaps
    }

    #[test]
    fn a_pause_is_as_rare_as_the_tail_of_chance_says() {
        let score = learned(1.0).score(12.0, 1.0);
        let truth = 12.0 / std::f64::consts::LN_10;
        assert!((score - truth).abs() < 0.3, "{score} {truth}");
    }

    #[test]
    fn bursts_need_longer_pauses() {
        let (even, bursts) = (learned(1.0), learned(3.0));
        assert!(bursts.score(20.0, 1.0) < even.score(12.0, 1.0) - 1.0);
    }
}
