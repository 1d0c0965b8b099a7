//! Risk: what all alerts about somebody come to, together and over time.
//!
//! Within an hour, the statistics and models that speak about an entity are combined as p-values
//! by the Cauchy combination test (Liu & Xie, JASA 2020), which holds whatever they share. Over
//! time risk is a sum that halves in a day: of these, and of the levels of rules, which are taken
//! as they are. Alerts of several kinds within a day are a chain, and count for more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use watchfire_event::AlertKind;

use crate::cells::hash_text;
use crate::facts::recent::Recent;
use crate::finding::Finding;

const SECOND_NS: i64 = 1_000_000_000;
const HOUR_NS: i64 = 3_600 * SECOND_NS;
/// Risk halves in this time.
const HALF_LIFE_NS: i64 = 24 * HOUR_NS;
/// Alerts older than this add next to nothing.
const KEEP_NS: i64 = 7 * HALF_LIFE_NS;
/// The most that one alert adds.
const MOST: f64 = 8.0;
/// What each further kind of alert within a day multiplies by, and the most that makes.
const CHAIN: f64 = 0.25;
const MOST_CHAIN: f64 = 2.0;
/// Entities of a generation.
const MAX_ENTITIES: usize = 25_000;
/// Detectors remembered for an entity.
const MAX_POINTS: usize = 16;
/// Kinds of entities that act: what many share by nature, such as a route, says nothing of one.
const ACTING: [&str; 6] = ["user", "ip", "token", "host", "edge", "client"];

/// What one detector last said about an entity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RiskPoint {
    /// Event time, nanoseconds.
    pub time_ns: i64,
    /// -log10 p; for rules by their level.
    pub score: f64,
    /// Is it a rule's?
    pub is_rule: bool,
    /// Which detector, as a number.
    pub detector: u64,
}

impl RiskPoint {
    /// What an alert of `detector` adds.
    pub fn new(detector: &str, kind: AlertKind, time_ns: i64, score: f64) -> Self {
        RiskPoint {
            time_ns,
            score,
            is_rule: kind == AlertKind::Rule,
            detector: hash_text(detector),
        }
    }
}

/// The risk at `now_ns` that points come to: 0 for none, a single sure alert about 8.
pub fn risk(points: &[RiskPoint], now_ns: i64) -> f64 {
    let decayed = |time_ns: i64, score: f64| {
        let age = now_ns.saturating_sub(time_ns).max(0);
        score.clamp(0.0, MOST) * 0.5f64.powf(age as f64 / HALF_LIFE_NS as f64)
    };
    let mut sum = 0.0;
    let mut windows: BTreeMap<i64, (i64, Vec<f64>)> = BTreeMap::new();
    for point in points {
        if point.is_rule {
            sum += decayed(point.time_ns, point.score);
        } else {
            let window = windows.entry(point.time_ns.div_euclid(HOUR_NS));
            let (newest, scores) = window.or_insert((point.time_ns, Vec::new()));
            *newest = point.time_ns.max(*newest);
            scores.push(point.score);
        }
    }
    for (newest, scores) in windows.values() {
        sum += decayed(*newest, cauchy(scores));
    }
    let recent = points.iter().filter(|p| now_ns - p.time_ns <= HALF_LIFE_NS);
    let mut kinds: Vec<u64> = recent.map(|p| p.detector).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let more = kinds.len().saturating_sub(1) as f64;
    sum * (1.0 + CHAIN * more).min(MOST_CHAIN)
}

/// Scores, -log10 p, as one by the Cauchy combination with equal weights.
fn cauchy(scores: &[f64]) -> f64 {
    let n = scores.len().max(1) as f64;
    let statistic = |score: &f64| {
        let p = 10f64.powf(-score.clamp(0.0, 300.0));
        // Near 0 the tangent is 1 / (pi p), which the direct way loses to rounding.
        match p < 1e-10 {
            true => 1.0 / (std::f64::consts::PI * p),
            false => ((0.5 - p.min(1.0 - 1e-10)) * std::f64::consts::PI).tan(),
        }
    };
    let mean = scores.iter().map(statistic).sum::<f64>() / n;
    let p = match mean > 1e10 {
        true => 1.0 / (std::f64::consts::PI * mean),
        false => 0.5 - mean.atan() / std::f64::consts::PI,
    };
    -p.max(1e-300).log10()
}

/// The risk of everybody that alerts lately were about.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Risks {
    entities: Recent<Vec<RiskPoint>>,
}

impl Default for Risks {
    fn default() -> Self {
        Risks {
            entities: Recent::new(MAX_ENTITIES),
        }
    }
}

impl Risks {
    /// Takes in what was found and what it weighs beside other findings; gives the greatest risk,
    /// with it, of those it is about. What has no weight counts with its score, for this once, and
    /// is not remembered.
    pub(crate) fn note(&mut self, finding: &Finding, weight: Option<f64>) -> f64 {
        let source = &finding.source;
        let point = RiskPoint::new(
            &source.detector,
            source.kind,
            finding.time_ns,
            weight.unwrap_or(finding.score),
        );
        let acting = finding.entities.iter();
        let acting = acting.filter(|(kind, _)| ACTING.contains(&kind.as_str()));
        let acting = acting.map(|(kind, value)| key(kind, value));
        let mut keys: Vec<u64> = acting.collect();
        keys.push(key(&finding.entity.kind, &finding.entity.value));
        keys.sort_unstable();
        keys.dedup();
        let all = keys.into_iter().map(|key| {
            let points = self.entities.entry(key, Vec::new);
            if weight.is_some() {
                add(points, point);
                return risk(points, finding.time_ns);
            }
            let alone = risk(&[point], finding.time_ns);
            alone.max(risk(points, finding.time_ns))
        });
        all.fold(0.0, f64::max)
    }
}

fn key(kind: &str, value: &str) -> u64 {
    hash_text(&format!("{kind}\u{1f}{value}"))
}

/// One point a detector and hour, the worst.
fn add(points: &mut Vec<RiskPoint>, point: RiskPoint) {
    points.retain(|p| point.time_ns - p.time_ns < KEEP_NS);
    let same = points
        .iter_mut()
        .find(|p| p.detector == point.detector && (p.time_ns - point.time_ns).abs() < HALF_LIFE_NS);
    match same {
        Some(same) => {
            same.score = same.score.max(point.score);
            same.time_ns = same.time_ns.max(point.time_ns);
        }
        None => points.push(point),
    }
    if points.len() > MAX_POINTS {
        points.remove(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(hours: i64, score: f64, detector: u64, is_rule: bool) -> RiskPoint {
        RiskPoint {
            time_ns: hours * HOUR_NS,
            score,
            is_rule,
            detector,
        }
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 0.02
    }

    #[test]
    fn p_values_combine_as_published() {
        // Equal p-values stay what they are; of unequal ones about the harmonic mean is left.
        assert!(near(cauchy(&[4.0, 4.0, 4.0]), 4.0));
        assert!(near(cauchy(&[6.0, 0.3]), 6.0 - 2f64.log10()));
        assert!(near(cauchy(&[200.0, 1.0]), 200.0 - 2f64.log10()));
        assert!(near(cauchy(&[0.5]), 0.5));
        assert!(cauchy(&[0.0, 0.0]) < 0.01);
    }

    #[test]
    fn risk_halves_in_a_day_and_a_chain_counts_for_more() {
        let one = [point(0, 6.0, 1, true)];
        assert!(near(risk(&one, 0), 6.0));
        assert!(near(risk(&one, 24 * HOUR_NS), 3.0));
        assert_eq!(risk(&[], 0), 0.0);
        let chain = [point(0, 6.0, 1, true), point(0, 4.0, 2, false)];
        assert!(near(risk(&chain, 0), 10.0 * 1.25));
        // Two statistics of one hour are not twice the evidence.
        let same_hour = [point(0, 4.0, 1, false), point(0, 4.0, 2, false)];
        assert!(near(risk(&same_hour, 0), 4.0 * 1.25));
        let long: Vec<_> = (0..9).map(|i| point(0, 8.0, i, true)).collect();
        assert!(near(risk(&long, 0), 72.0 * MOST_CHAIN));
    }

    #[test]
    fn a_detector_that_repeats_itself_counts_once_a_day() {
        let mut points = Vec::new();
        for hour in 0..20 {
            add(&mut points, point(hour, 3.0 + hour as f64 / 10.0, 1, false));
        }
        assert_eq!(points.len(), 1);
        assert!(near(risk(&points, 19 * HOUR_NS), 4.9));
        add(&mut points, point(200, 3.0, 1, false));
        assert_eq!(points.len(), 1, "what is a week old is gone");
    }
}
