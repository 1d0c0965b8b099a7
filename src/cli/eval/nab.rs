//! The Numenta Anomaly Benchmark (Lavin and Ahmad, ICMLA 2015): series with windows in which an
//! alarm is wanted, the earlier the better.
//!
//! The scoring is the benchmark's: the first alarm in a window counts by a sigmoid of its place,
//! each alarm outside costs, less so just after a window; the first 15 % of a series (750 rows at
//! most) are not scored. One threshold for all series is chosen on the corpus, as for published
//! results.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use watchfire_detect::models::series::{Cooldown, SeriesModel};

use super::{EvalArgs, Report, csv};

/// An alarm passes if it is a fifth worse than all of the last 100 rows.
const COOLDOWN_ROWS: u64 = 100;
const WORSE: f64 = 1.2;

/// Weights of a hit, a false alarm and a miss, by profile.
const PROFILES: [(&str, [f64; 3]); 3] = [
    ("standard", [1.0, 0.11, 1.0]),
    ("reward_low_fp", [1.0, 0.22, 1.0]),
    ("reward_low_fn", [1.0, 0.11, 2.0]),
];

/// Windows by series: first and last timestamp of each.
type Windows = BTreeMap<String, Vec<(String, String)>>;

pub(super) fn run(args: &EvalArgs) -> Result<Report> {
    let windows: Windows =
        serde_json::from_str(&args.read("windows.json")?).context("windows.json")?;
    let mut rows = Vec::new();
    let mut sets = Vec::new();
    for (name, wanted) in &windows {
        let series = Series::read(args, name, wanted).with_context(|| name.clone())?;
        let scores = scores(&series.values);
        let scored = series
            .times
            .iter()
            .zip(&scores)
            .map(|(t, s)| format!("{t},{s}"));
        let header = ["timestamp,anomaly_score".to_owned()].into_iter();
        args.write(name, header.chain(scored))?;
        sets.push((series.rows(sets.len(), &scores), name.clone(), wanted.len()));
        rows.extend(
            sets.last()
                .into_iter()
                .flat_map(|(rows, _, _)| rows.iter().copied()),
        );
    }
    let standard = sweep(&mut rows, PROFILES[0].1);
    let mut all: Vec<(&'static str, f64)> = Vec::new();
    for (name, weights) in PROFILES {
        all.push((name, sweep(&mut rows, weights).score));
    }
    all.push(("threshold", standard.threshold));
    all.push(("windows_hit", standard.hit.len() as f64));
    all.push(("false_alarms", standard.false_alarms as f64));
    all.push(("rows", rows.len() as f64));
    let figures = |(rows, name, windows): (Vec<Row>, String, usize)| {
        let alarms = rows.iter().filter(|r| r.score >= standard.threshold);
        let outside = alarms.filter(|r| r.window.is_none()).count();
        let own = |window: &&Window| rows.iter().any(|r| r.window == Some(**window));
        let hit = standard.hit.iter().filter(own).count();
        (name, vec![windows as f64, hit as f64, outside as f64])
    };
    Ok(Report {
        columns: vec!["windows", "hit", "false_alarms"],
        sets: sets.into_iter().map(figures).collect(),
        all,
    })
}

/// A series and the windows in it, as places of first and last row.
struct Series {
    times: Vec<String>,
    values: Vec<f64>,
    windows: Vec<(usize, usize)>,
}

/// A window, as number of the series and place of its first row.
type Window = (usize, usize);

/// A scored row: what an alarm here is worth, and in which window it lies.
#[derive(Debug, Clone, Copy)]
struct Row {
    score: f64,
    worth: f64,
    window: Option<Window>,
}

impl Series {
    fn read(args: &EvalArgs, name: &str, windows: &[(String, String)]) -> Result<Self> {
        let table = csv::Table::parse(&args.read(format!("data/{name}"))?)?;
        let (time, value) = (table.column("timestamp")?, table.column("value")?);
        let values = table.rows.iter().map(|r| r[value].parse::<f64>());
        let mut series = Series {
            times: table.rows.iter().map(|r| r[time].clone()).collect(),
            values: values.collect::<Result<_, _>>()?,
            windows: Vec::new(),
        };
        let place = |at: &str| {
            // The labels carry fractions of a second that the data do not have.
            let at = at.split('.').next().unwrap_or(at);
            let found = series.times.iter().position(|t| t == at);
            found.with_context(|| format!("no row at {at}"))
        };
        for (first, last) in windows {
            series.windows.push((place(first)?, place(last)?));
        }
        Ok(series)
    }

    /// The rows that count, with the worth of an alarm at each.
    fn rows(&self, number: usize, scores: &[f64]) -> Vec<Row> {
        let n = self.values.len();
        let left_out = (0.15 * n as f64).floor().min(750.0) as usize;
        let row = |i: usize| {
            let inside = self
                .windows
                .iter()
                .find(|(first, last)| (*first..=*last).contains(&i));
            let before = self.windows.iter().rev().find(|(_, last)| *last < i);
            let worth = match (inside, before) {
                (Some((first, last)), _) => {
                    let width = (last - first + 1) as f64;
                    sigmoid(-((last - i + 1) as f64) / width) / sigmoid(-1.0)
                }
                (None, Some((first, last))) => sigmoid((i - last) as f64 / (last - first) as f64),
                (None, None) => -1.0,
            };
            Row {
                score: scores[i],
                worth,
                window: inside.map(|(first, _)| (number, *first)),
            }
        };
        (left_out..n).map(row).collect()
    }
}

/// What the product would alarm on: the model's scores, one alarm for an anomaly that lasts.
fn scores(values: &[f64]) -> Vec<f64> {
    let mut model = SeriesModel::default();
    let mut cooldown = Cooldown::new(COOLDOWN_ROWS, WORSE);
    values
        .iter()
        .map(|v| cooldown.pass(model.observe(*v)))
        .collect()
}

fn sigmoid(x: f64) -> f64 {
    if x > 3.0 {
        return -1.0;
    }
    2.0 / (1.0 + (5.0 * x).exp()) - 1.0
}

/// The best threshold for all series.
struct Best {
    /// From 0 (no alarm at all) to 100 (the first row of each window and nothing else).
    score: f64,
    threshold: f64,
    hit: Vec<Window>,
    false_alarms: usize,
}

fn sweep(rows: &mut [Row], [hit, false_alarm, miss]: [f64; 3]) -> Best {
    let mut worth: HashMap<Window, f64> = rows
        .iter()
        .filter_map(|r| r.window)
        .map(|w| (w, -miss))
        .collect();
    let none = -miss * worth.len() as f64;
    let perfect = hit * worth.len() as f64;
    let (mut total, mut outside) = (none, 0);
    let (mut best, mut threshold, mut false_alarms) = (total, f64::INFINITY, 0);
    rows.sort_by(|a, b| b.score.total_cmp(&a.score));
    for equal in rows.chunk_by(|a, b| a.score == b.score) {
        for row in equal {
            match row.window.and_then(|w| worth.get_mut(&w)) {
                None => {
                    total += row.worth * false_alarm;
                    outside += 1;
                }
                Some(so_far) if row.worth * hit > *so_far => {
                    total += row.worth * hit - *so_far;
                    *so_far = row.worth * hit;
                }
                Some(_) => {}
            }
        }
        if total > best {
            (best, threshold, false_alarms) = (total, equal[0].score, outside);
        }
    }
    let mut found: Vec<Window> = (rows.iter())
        .filter(|r| r.score >= threshold)
        .filter_map(|r| r.window)
        .collect();
    found.sort_unstable();
    found.dedup();
    Best {
        score: 100.0 * (best - none) / (perfect - none),
        threshold,
        hit: found,
        false_alarms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(n: usize, windows: &[(usize, usize)]) -> Series {
        Series {
            times: Vec::new(),
            values: vec![0.0; n],
            windows: windows.to_vec(),
        }
    }

    #[test]
    fn silence_is_nothing_and_first_rows_are_everything() {
        let series = series(1_000, &[(300, 399), (600, 699)]);
        let silent = sweep(&mut series.rows(0, &[0.0; 1_000]), PROFILES[0].1);
        // Equal scores are one threshold: alarming on all rows is worse than none.
        assert_eq!((silent.score, silent.hit.len()), (0.0, 0));
        let mut scores = [0.0; 1_000];
        (scores[300], scores[600]) = (1.0, 1.0);
        let best = sweep(&mut series.rows(0, &scores), PROFILES[0].1);
        assert!((best.score - 100.0).abs() < 1e-9);
        assert_eq!((best.hit.len(), best.false_alarms), (2, 0));
    }

    #[test]
    fn late_hits_are_worth_less_and_far_alarms_cost_more() {
        let series = series(1_000, &[(300, 399)]);
        let score = |alarms: &[usize]| {
            let mut scores = [0.0; 1_000];
            alarms.iter().for_each(|i| scores[*i] = 1.0);
            sweep(&mut series.rows(0, &scores), PROFILES[0].1).score
        };
        assert!(score(&[300]) > score(&[350]) && score(&[350]) > score(&[399]));
        assert!(score(&[300, 405]) > score(&[300, 900]));
        // The first 150 rows are not scored.
        assert_eq!(score(&[300, 20]), score(&[300]));
    }
}
