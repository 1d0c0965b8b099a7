//! What verdicts teach: how likely an alert is an attack, by the alerts that people closed.
//!
//! A logistic regression with a ridge penalty (linfa-logistic) on what is known of an alert when
//! it is raised: how improbable it is, the risk of those it is about, how bad it would be, and how
//! often alerts of its detector were attacks. No weight may be negative: an alert that is worse in
//! one of these is never less likely for it. What the model promises is checked on alerts that it
//! was not fitted on (five folds), and it holds back only what lies well below every attack among
//! those.

use std::collections::BTreeMap;

use linfa::prelude::*;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};
use watchfire_event::{Alert, AlertKind, Severity};

/// Closed alerts that it takes, and so many attacks and so many others among them.
pub const LEAST: usize = 50;
const LEAST_OF_EACH: usize = 8;
const FOLDS: usize = 5;
/// It must tell attacks from others at least so well to hold anything back: the chance that of one
/// of each it ranks the attack higher.
const LEAST_AUC: f64 = 0.7;
/// Of the chance of the least likely attack, so much is still asked about.
const MARGIN: f64 = 0.5;
/// What is at least so likely is never held back.
const MOST_HELD: f64 = 0.1;
/// Closed alerts that a detector's share of attacks begins with, as all detectors have it.
const PRIOR: f64 = 2.0;
/// Strength of the ridge penalty, on features of variance one.
const RIDGE: f64 = 1.0;
const MAX_ITERATIONS: u64 = 200;
/// Differences in a feature below this are none.
const FLAT: f64 = 1e-9;
/// What the model goes by, as people read it.
pub const FEATURES: [&str; N] = ["score", "risk", "severity", "detector"];
const N: usize = 4;

/// A closed alert, or one that is asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Which detector or rule.
    pub detector: String,
    /// How bad it would be.
    pub severity: Severity,
    /// -log10 p, or by level for rules.
    pub score: f64,
    /// The risk of those it is about.
    pub risk: f64,
}

impl From<&Alert> for Told {
    fn from(alert: &Alert) -> Self {
        Told {
            detector: alert.detector.clone(),
            severity: alert.severity,
            score: alert.score,
            risk: alert.risk,
        }
    }
}

/// What was learned. Numbers are kept in millionths, so that the same verdicts give a model that
/// is equal to the last bit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictModel {
    /// Closed alerts that it rests on.
    pub labels: u32,
    /// Attacks among them.
    pub attacks: u32,
    auc: i64,
    below: i64,
    intercept: i64,
    weights: [i64; N],
    shares: Shares<i64>,
}

/// How often alerts of each detector were attacks: log odds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Shares<T> {
    of_all: T,
    by_detector: BTreeMap<String, T>,
}

/// Alerts closed, and attacks among them.
type Counts = (f64, f64);

impl VerdictModel {
    /// Learns from closed alerts, each with whether it was an attack; `None` while they are too
    /// few, or all of one kind.
    pub fn learn(closed: &[(Told, bool)]) -> Option<VerdictModel> {
        let attacks = closed.iter().filter(|(_, attack)| *attack).count();
        if closed.len() < LEAST || attacks.min(closed.len() - attacks) < LEAST_OF_EACH {
            return None;
        }
        let all: Vec<&(Told, bool)> = closed.iter().collect();
        let (fitted, shares) = fit(&all)?;
        let unseen = unseen(closed);
        let auc = auc(&unseen);
        let likely = unseen.iter().filter(|(_, attack)| *attack);
        let lowest = likely.map(|(chance, _)| *chance).fold(1.0, f64::min);
        let below = match auc >= LEAST_AUC {
            true => (lowest * MARGIN).min(MOST_HELD),
            false => 0.0,
        };
        let odds = shares.by_detector.into_iter();
        Some(VerdictModel {
            labels: u32::try_from(closed.len()).unwrap_or(u32::MAX),
            attacks: u32::try_from(attacks).unwrap_or(u32::MAX),
            auc: millionths(auc),
            below: millionths(below),
            intercept: millionths(fitted.intercept),
            weights: fitted.weights.map(millionths),
            shares: Shares {
                of_all: millionths(shares.of_all),
                by_detector: odds.map(|(name, odds)| (name, millionths(odds))).collect(),
            },
        })
    }

    /// How likely the alert is an attack, 0 to 1.
    pub fn chance(&self, alert: &Told) -> f64 {
        let odds = self.shares.by_detector.get(&alert.detector);
        let odds = *odds.unwrap_or(&self.shares.of_all);
        let fitted = Fitted {
            intercept: whole(self.intercept),
            weights: self.weights.map(whole),
        };
        fitted.chance(&features(alert, whole(odds)))
    }

    /// Is the alert so unlikely that nobody is called? Never what is urgent: rules of high level
    /// and whatever is critical.
    pub fn holds(&self, alert: &Alert) -> bool {
        let is_urgent = match alert.severity {
            Severity::Critical => true,
            Severity::High => alert.kind == AlertKind::Rule,
            _ => false,
        };
        !is_urgent && self.chance(&alert.into()) < self.below()
    }

    /// Alerts less likely than this are held back; 0 for none.
    pub fn below(&self) -> f64 {
        whole(self.below)
    }

    /// The chance that the model ranks an attack above another alert, of alerts it had not seen.
    pub fn auc(&self) -> f64 {
        whole(self.auc)
    }

    /// What each of [`FEATURES`] adds to the log odds, a unit of it.
    pub fn weights(&self) -> [f64; N] {
        self.weights.map(whole)
    }
}

/// A fitted regression on features as they are.
struct Fitted {
    intercept: f64,
    weights: [f64; N],
}

impl Fitted {
    fn chance(&self, features: &[f64; N]) -> f64 {
        let terms = self.weights.iter().zip(features).map(|(w, x)| w * x);
        1.0 / (1.0 + (-self.intercept - terms.sum::<f64>()).exp())
    }
}

fn millionths(x: f64) -> i64 {
    (x * 1e6).round() as i64
}

fn whole(millionths: i64) -> f64 {
    millionths as f64 / 1e6
}

fn features(alert: &Told, odds: f64) -> [f64; N] {
    let severity = alert.severity as u8;
    let score = alert.score.clamp(0.0, 300.0).ln_1p();
    let risk = alert.risk.max(0.0).ln_1p();
    [score, risk, f64::from(severity), odds]
}

fn counts<'a>(
    closed: impl Iterator<Item = &'a (Told, bool)>,
) -> (Counts, BTreeMap<&'a str, Counts>) {
    let mut by_detector: BTreeMap<&str, Counts> = BTreeMap::new();
    let mut all = (0.0, 0.0);
    for (alert, attack) in closed {
        let of = by_detector.entry(&alert.detector).or_default();
        for (n, attacks) in [&mut all, of] {
            *n += 1.0;
            *attacks += f64::from(u8::from(*attack));
        }
    }
    (all, by_detector)
}

/// Log odds of an attack, drawn towards the share that all have.
fn log_odds((n, attacks): Counts, of_all: f64) -> f64 {
    let share = ((attacks + PRIOR * of_all) / (n + PRIOR)).clamp(1e-3, 1.0 - 1e-3);
    (share / (1.0 - share)).ln()
}

/// Fits the model, each alert with its detector's share as the others have it: its own verdict
/// must not tell it.
fn fit(closed: &[&(Told, bool)]) -> Option<(Fitted, Shares<f64>)> {
    let (all, by_detector) = counts(closed.iter().copied());
    let of_all = all.1 / all.0.max(1.0);
    let rows: Vec<[f64; N]> = closed
        .iter()
        .map(|(alert, attack)| {
            let (n, attacks) = by_detector
                .get(&*alert.detector)
                .copied()
                .unwrap_or_default();
            let others = (n - 1.0, attacks - f64::from(u8::from(*attack)));
            features(alert, log_odds(others, of_all))
        })
        .collect();
    let attacks: Vec<bool> = closed.iter().map(|(_, attack)| *attack).collect();
    let fitted = regress(&rows, &attacks)?;
    let odds = by_detector.into_iter();
    let shares = Shares {
        of_all: log_odds((0.0, 0.0), of_all),
        by_detector: odds
            .map(|(name, counts)| (name.to_owned(), log_odds(counts, of_all)))
            .collect(),
    };
    Some((fitted, shares))
}

/// The regression with no negative weight: features that would have one are left out, the most
/// negative first.
fn regress(rows: &[[f64; N]], attacks: &[bool]) -> Option<Fitted> {
    let n = rows.len() as f64;
    let column = |i: usize| {
        rows.iter()
            .map(move |row| row.get(i).copied().unwrap_or(0.0))
    };
    let mut scales = [(0.0, 0.0); N];
    for (i, scale) in scales.iter_mut().enumerate() {
        let mean = column(i).sum::<f64>() / n;
        let variance = column(i).map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        *scale = (mean, variance.sqrt());
    }
    let mut used: Vec<usize> = (0..N).collect();
    used.retain(|i| {
        scales
            .get(*i)
            .is_some_and(|(_, deviation)| *deviation > FLAT)
    });
    loop {
        let scaled = used.iter().filter_map(|i| Some((*i, *scales.get(*i)?)));
        let scaled: Vec<_> = scaled.collect();
        let design = Array2::from_shape_fn((rows.len(), scaled.len()), |(row, place)| {
            let (i, (mean, deviation)) = scaled.get(place).copied().unwrap_or((0, (0.0, 1.0)));
            let x = rows.get(row).and_then(|row| row.get(i));
            (x.copied().unwrap_or(mean) - mean) / deviation
        });
        if used.is_empty() {
            return None;
        }
        let data = Dataset::new(design, Array1::from(attacks.to_vec()));
        let regression = LogisticRegression::default().alpha(RIDGE);
        let fitted = regression.max_iterations(MAX_ITERATIONS).fit(&data).ok()?;
        // Its positive class is the one that there is more of, whatever it means.
        let sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
        let weights: Vec<f64> = fitted.params().iter().map(|w| w * sign).collect();
        let worst = used.iter().zip(&weights).min_by(|a, b| a.1.total_cmp(b.1));
        if let Some((i, weight)) = worst
            && *weight < 0.0
        {
            let i = *i;
            used.retain(|other| *other != i);
            continue;
        }
        let mut of_raw = Fitted {
            intercept: fitted.intercept() * sign,
            weights: [0.0; N],
        };
        for ((i, (mean, deviation)), weight) in scaled.iter().zip(weights) {
            if let Some(raw) = of_raw.weights.get_mut(*i) {
                *raw = weight / deviation;
                of_raw.intercept -= *raw * mean;
            }
        }
        return Some(of_raw);
    }
}

/// What models say of alerts that they were not fitted on. Attacks and others are dealt out to
/// the folds by themselves, so that no fold lacks them.
fn unseen(closed: &[(Told, bool)]) -> Vec<(f64, bool)> {
    let mut dealt = [0_usize; 2];
    let folds: Vec<usize> = closed
        .iter()
        .map(|(_, attack)| {
            let [others, attacks] = &mut dealt;
            let n = if *attack { attacks } else { others };
            *n += 1;
            *n % FOLDS
        })
        .collect();
    let mut said = Vec::with_capacity(closed.len());
    for fold in 0..FOLDS {
        let all = closed.iter().zip(&folds);
        let (asked, rest): (Vec<_>, Vec<_>) = all.partition(|(_, of)| **of == fold);
        let rest: Vec<&(Told, bool)> = rest.into_iter().map(|(closed, _)| closed).collect();
        let Some((fitted, shares)) = fit(&rest) else {
            continue;
        };
        said.extend(asked.into_iter().map(|((alert, attack), _)| {
            let odds = shares.by_detector.get(&alert.detector);
            let odds = *odds.unwrap_or(&shares.of_all);
            (fitted.chance(&features(alert, odds)), *attack)
        }));
    }
    said
}

/// The chance that an attack was given more than another alert; half for equal ones.
fn auc(said: &[(f64, bool)]) -> f64 {
    let mut sorted: Vec<&(f64, bool)> = said.iter().collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut won, mut attacks) = (0.0, 0.0, 0.0);
    for equal in sorted.chunk_by(|a, b| a.0 == b.0) {
        let hits = equal.iter().filter(|(_, attack)| *attack).count() as f64;
        let others = equal.len() as f64 - hits;
        won += hits * (below + others / 2.0);
        below += others;
        attacks += hits;
    }
    won / (attacks * below).max(1.0)
}

#[cfg(test)]
mod tests;
