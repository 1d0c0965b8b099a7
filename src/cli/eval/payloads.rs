//! Parameters of requests: the model fitted on the harmless values of the training file.

use anyhow::{Context, Result};
use watchfire_detect::models::payload::PayloadModel;

use super::measure::{Scored, measure};
use super::{EvalArgs, Report, csv};

pub(super) fn run(args: &EvalArgs) -> Result<Report> {
    let training = read(args, "payload_train.csv")?;
    let test = read(args, "payload_test.csv")?;
    let harmless = training.iter().filter(|(_, attack)| !attack);
    let model = PayloadModel::fit(harmless.map(|(value, _)| value.as_str()))?;
    let scored: Vec<Scored> = (test.iter())
        .map(|(v, attack)| (model.score(v), *attack))
        .collect();
    let header = ["score,label".to_owned()].into_iter();
    let rows = scored
        .iter()
        .map(|(score, label)| format!("{score},{}", u8::from(*label)));
    args.write("payloads.csv", header.chain(rows))?;
    let measures = measure(&scored).context("the test file has no attacks, or nothing else")?;
    let attacks = scored.iter().filter(|(_, attack)| *attack).count();
    let figures = vec![
        scored.len() as f64,
        attacks as f64,
        measures.auc,
        measures.ap,
        measures.recall_at_1_in_1000,
    ];
    Ok(Report {
        columns: vec!["values", "attacks", "auc", "ap", "recall_at_fpr_0.001"],
        sets: vec![("payload_test".to_owned(), figures)],
        all: vec![
            ("auc", measures.auc),
            ("recall_at_fpr_0.001", measures.recall_at_1_in_1000),
            ("model_bytes", model.bytes() as f64),
        ],
    })
}

/// Values, and whether each is an attack.
fn read(args: &EvalArgs, file: &str) -> Result<Vec<(String, bool)>> {
    let table = csv::Table::parse(&args.read(file)?).with_context(|| file.to_owned())?;
    let (payload, label) = (table.column("payload")?, table.column("label")?);
    let row = |mut row: Vec<String>| {
        let attack = row[label] != "norm";
        (std::mem::take(&mut row[payload]), attack)
    };
    Ok(table.rows.into_iter().map(row).collect())
}
