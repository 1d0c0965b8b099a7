//! Tables of numbers with a label: the streaming model, each row scored before it is learned, in
//! shuffled order; and the nightly models, fitted on all rows without their labels.

use std::io::Read;

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use watchfire_detect::models::forest::ForestConfig;
use watchfire_detect::models::nightly::Nightly;
use watchfire_detect::models::random::Random;
use watchfire_detect::models::stream::StreamModel;

use super::measure::{Measures, Scored, measure};
use super::{EvalArgs, Report, csv};

/// Orders that a set is shuffled into; large sets are steady with one.
const SEEDS: u64 = 3;
const LARGE: usize = 20_000;

pub(super) fn run(args: &EvalArgs) -> Result<Report> {
    let mut sets = Vec::new();
    for file in args.files(&[".csv", ".csv.gz"])? {
        let name = file
            .trim_end_matches(".gz")
            .trim_end_matches(".csv")
            .to_owned();
        let set = read(args, &file).with_context(|| file.clone())?;
        let anomalies = set.labels.iter().filter(|l| **l).count();
        let (stream, nightly) = evaluate(args, &name, &set)?;
        sets.push((
            name,
            vec![
                set.labels.len() as f64,
                anomalies as f64,
                stream.auc,
                stream.ap,
                nightly.auc,
                nightly.ap,
            ],
        ));
    }
    let mut report = Report {
        columns: vec![
            "rows",
            "anomalies",
            "stream_auc",
            "stream_ap",
            "nightly_auc",
            "nightly_ap",
        ],
        sets,
        all: Vec::new(),
    };
    report.all = vec![
        ("mean_stream_auc", report.mean(2)),
        ("mean_stream_ap", report.mean(3)),
        ("mean_nightly_auc", report.mean(4)),
        ("mean_nightly_ap", report.mean(5)),
    ];
    Ok(report)
}

/// Points with what they are.
struct Labelled {
    points: Vec<Vec<f64>>,
    labels: Vec<bool>,
}

fn read(args: &EvalArgs, file: &str) -> Result<Labelled> {
    let bytes = std::fs::read(args.dir.join(file))?;
    let mut text = String::new();
    if file.ends_with(".gz") {
        GzDecoder::new(bytes.as_slice()).read_to_string(&mut text)?;
    } else {
        text = String::from_utf8(bytes)?;
    }
    let table = csv::Table::parse(&text)?;
    let label = table.column("label")?;
    let mut set = Labelled {
        points: Vec::new(),
        labels: Vec::new(),
    };
    for row in &table.rows {
        let numbers = row.iter().map(|f| f.parse::<f64>());
        let mut numbers = numbers.collect::<Result<Vec<f64>, _>>()?;
        set.labels.push(numbers.remove(label) > 0.5);
        set.points.push(numbers);
    }
    Ok(set)
}

/// The streaming and the nightly figures, as means over the seeds.
fn evaluate(args: &EvalArgs, name: &str, set: &Labelled) -> Result<(Measures, Measures)> {
    let seeds = if set.labels.len() > LARGE { 1 } else { SEEDS };
    let (mut stream, mut nightly) = (Vec::new(), Vec::new());
    for seed in 0..seeds {
        let scored = streamed(set, seed);
        write(args, &format!("{name}.stream.{seed}.csv"), &scored)?;
        stream.extend(measure(&scored));
        let models = Nightly::fit(&set.points, seed)?;
        let opinions = models.judge(&set.points)?;
        let scores = opinions.iter().map(|o| o.score);
        let scored: Vec<Scored> = scores.zip(set.labels.iter().copied()).collect();
        write(args, &format!("{name}.nightly.{seed}.csv"), &scored)?;
        nightly.extend(measure(&scored));
    }
    let none = || format!("{name} has no anomalies, or nothing else");
    Ok((
        mean(&stream).with_context(none)?,
        mean(&nightly).with_context(none)?,
    ))
}

fn streamed(set: &Labelled, seed: u64) -> Vec<Scored> {
    let mut order: Vec<usize> = (0..set.points.len()).collect();
    Random::new(seed).shuffle(&mut order);
    let dims = set.points.first().map_or(0, Vec::len);
    let mut model = StreamModel::new(ForestConfig::new(dims, seed));
    let score = |i: usize| (model.observe(&set.points[i]), set.labels[i]);
    order.into_iter().map(score).collect()
}

fn mean(all: &[Measures]) -> Option<Measures> {
    if all.is_empty() {
        return None;
    }
    let of = |take: fn(&Measures) -> f64| all.iter().map(take).sum::<f64>() / all.len() as f64;
    Some(Measures {
        auc: of(|m| m.auc),
        ap: of(|m| m.ap),
        recall_at_1_in_1000: of(|m| m.recall_at_1_in_1000),
    })
}

/// Scores with labels, as other scorers read them.
fn write(args: &EvalArgs, name: &str, scored: &[Scored]) -> Result<()> {
    let header = ["score,label".to_owned()].into_iter();
    let rows = scored
        .iter()
        .map(|(score, label)| format!("{score},{}", u8::from(*label)));
    args.write(name, header.chain(rows))
}
