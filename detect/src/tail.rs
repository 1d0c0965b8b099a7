//! How rare a score is among the latest scores of its kind: conformal p-values with a tail.
//!
//! Up to the 98 % quantile p is the rank among the scores of a sliding window (Laxhammar & Falkman
//! 2015): valid whatever their distribution is, as long as they are exchangeable. A rank cannot say
//! less than one in the size of the window, so beyond the quantile excesses are taken as
//! exponential, the generalised Pareto distribution of peaks over threshold (Siffer et al., KDD
//! 2017) with shape 0; its mean is that of the excesses seen, and never below a floor, so that a
//! window without a tail promises nothing.

use serde::{Deserialize, Serialize};

/// Scores kept, if nothing else is said.
const WINDOW: usize = 1_000;
/// New scores after which quantile and excesses are worked out again.
const REFIT: usize = 50;
/// Share of scores beyond the threshold of the tail.
const BEYOND: f64 = 0.02;
/// No window supports a bolder claim, -log10 p.
const MOST: f64 = 12.0;
/// Scores before anything is rare.
const LEAST: usize = 100;

/// The latest scores of a kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tail {
    /// A ring.
    scores: Vec<f32>,
    next: usize,
    since_fit: usize,
    sorted: Vec<f32>,
    threshold: f64,
    excess: f64,
    /// Least mean excess that is believed.
    floor: f64,
    /// Scores kept.
    #[serde(default = "window")]
    window: usize,
}

fn window() -> usize {
    WINDOW
}

impl Tail {
    /// An empty window. Scores are told apart in steps of `floor`: a tail is never taken to be
    /// shorter than that.
    pub(crate) fn new(floor: f64) -> Self {
        Tail::of(floor, WINDOW)
    }

    /// The same of so many scores.
    pub(crate) fn of(floor: f64, window: usize) -> Self {
        Tail {
            floor,
            window,
            ..Tail::default()
        }
    }

    /// Takes in a score.
    pub(crate) fn add(&mut self, score: f64) {
        let score = score as f32;
        if self.scores.len() < self.window {
            self.scores.push(score);
        } else if let Some(place) = self.scores.get_mut(self.next) {
            *place = score;
            self.next = (self.next + 1) % self.window.max(1);
        }
        self.since_fit += 1;
        if self.since_fit >= REFIT {
            self.fit();
        }
    }

    fn fit(&mut self) {
        self.since_fit = 0;
        self.sorted.clone_from(&self.scores);
        self.sorted.sort_by(f32::total_cmp);
        let n = self.sorted.len();
        let cut = n - ((n as f64 * BEYOND).ceil() as usize).clamp(1, n);
        let (below, above) = self.sorted.split_at(cut);
        self.threshold = f64::from(below.last().or(above.first()).copied().unwrap_or(0.0));
        let excesses: f64 = above.iter().map(|s| f64::from(*s) - self.threshold).sum();
        self.excess = (excesses / above.len().max(1) as f64)
            .max(self.floor)
            .max(1e-6);
    }

    /// Are there enough scores to call one rare?
    pub(crate) fn is_known(&self) -> bool {
        self.sorted.len() >= LEAST
    }

    /// -log10 of the share of scores that are at least `score`; 0 while too few are known.
    pub(crate) fn rarity(&self, score: f64) -> f64 {
        let n = self.sorted.len();
        if n < LEAST {
            return 0.0;
        }
        if score <= self.threshold {
            let below = self.sorted.partition_point(|s| f64::from(*s) < score);
            let p = (n - below + 1) as f64 / (n + 1) as f64;
            return -p.log10();
        }
        let beyond = (score - self.threshold) / self.excess;
        (beyond / std::f64::consts::LN_10 - BEYOND.log10()).min(MOST)
    }

    /// The shares of scores above `score`, and of those at least as great; `None` while too few are
    /// known. Whatever is drawn evenly from between them is a p-value even where scores tie.
    pub(crate) fn chances(&self, score: f64) -> Option<(f64, f64)> {
        if !self.is_known() {
            return None;
        }
        if score > self.threshold {
            let p = 10f64.powf(-self.rarity(score));
            return Some((p, p));
        }
        let (n, score) = (self.sorted.len(), score as f32);
        let above = n - self.sorted.partition_point(|s| *s <= score);
        let least = n - self.sorted.partition_point(|s| *s < score);
        let share = |count: usize| count as f64 / (n + 1) as f64;
        Some((share(above), share(least + 1)))
    }

    /// Bytes that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        (self.scores.capacity() + self.sorted.capacity()) * 4
    }
}

/// Of so many that are judged a day a threshold is taken as it stands.
const CROWD: f64 = 1_000.0;

/// How many are judged a day. The more they are, the more of them are rare by chance, so that a
/// threshold that is right for a small company would flood a large one.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Crowd {
    day: i64,
    today: f64,
    /// Of the busiest of the last days.
    most: f64,
}

impl Crowd {
    /// One more is judged on `day`; days are numbered.
    pub(crate) fn add(&mut self, day: i64) {
        if day > self.day {
            self.most = self.today.max(self.most * 0.9);
            (self.day, self.today) = (day, 0.0);
        }
        self.today += 1.0;
    }

    /// What is to be added to a threshold (-log10 p), so that chance passes it about as often a
    /// day however many are judged.
    pub(crate) fn surplus(&self) -> f64 {
        (self.most.max(self.today) / CROWD).log10().max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cheap generator of numbers in (0, 1).
    fn uniform(state: &mut u64) -> f64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 11) as f64 / (1u64 << 53) as f64 + 1e-12
    }

    #[test]
    fn p_values_of_a_steady_source_are_uniform_and_reach_far() {
        let (mut tail, mut state) = (Tail::new(0.1), 88_172_645_463_325_252u64);
        let mut histogram = [0u32; 10];
        for i in 0..20_000 {
            let score = -uniform(&mut state).ln();
            if i >= 1_000 {
                let p = 10f64.powf(-tail.rarity(score));
                histogram[((p * 10.0) as usize).min(9)] += 1;
            }
            tail.add(score);
        }
        let n: u32 = histogram.iter().sum();
        let mut below = 0.0;
        for (i, count) in histogram.iter().enumerate() {
            below += f64::from(*count) / f64::from(n);
            let ks = (below - (i as f64 + 1.0) / 10.0).abs();
            assert!(ks < 0.05, "{histogram:?}");
        }
        // exp(-15) is 10^-6.5.
        let far = tail.rarity(15.0);
        assert!((4.5..9.0).contains(&far), "{far}");
    }

    #[test]
    fn ten_times_as_many_need_ten_times_the_rarity() {
        let mut crowd = Crowd::default();
        let day = |crowd: &mut Crowd, day, n| (0..n).for_each(|_| crowd.add(day));
        day(&mut crowd, 1, 300);
        assert_eq!(crowd.surplus(), 0.0);
        day(&mut crowd, 2, 10_000);
        day(&mut crowd, 3, 100);
        assert!((crowd.surplus() - 1.0).abs() < 0.01, "{crowd:?}");
        (4..60).for_each(|n| day(&mut crowd, n, 100));
        assert_eq!(crowd.surplus(), 0.0);
    }

    #[test]
    fn nothing_is_rare_while_little_is_known_and_constants_are_no_trouble() {
        let mut tail = Tail::new(0.5);
        assert_eq!(tail.rarity(1e9), 0.0);
        (0..500).for_each(|_| tail.add(3.0));
        assert!(tail.rarity(3.0) < 0.01);
        assert!((1.7..4.0).contains(&tail.rarity(4.0)));
    }
}
