//! `watchfire explain`: an alert in full, and the same alert computed again from stored events.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, ServerArgs, cell};
use super::output;

/// Alerts of a rule that are looked through for the one asked about.
const LOOKED_THROUGH: usize = 1_000;
/// Scores closer than this are the same: alerts say four digits.
const SAME: f64 = 1e-3;

/// What `explain` can be told.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// The alert's id
    alert: String,
    /// Only show what is stored; do not compute it again
    #[arg(long)]
    stored: bool,
    /// One JSON object in the place of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: ExplainArgs) -> Result<ExitCode> {
    super::block_on(async {
        let client = Client::new(&args.server)?;
        let alert = client
            .json(Method::GET, &format!("alerts/{}", args.alert), &[], None)
            .await?;
        let again = match args.stored {
            true => None,
            false => Some(recompute(&client, &alert).await?),
        };
        if args.json {
            let again = again.as_ref().map(|again| &again.0);
            let both = json!({ "alert": alert, "recomputed": again });
            output::line(&both.to_string());
        } else {
            print(&alert);
            if let Some((again, read)) = &again {
                output::line("");
                output::line(&verdict(&alert, again.as_ref(), *read));
            }
        }
        let differs = again.is_some_and(|(again, _)| again.is_none_or(|a| !is_same(&alert, &a)));
        Ok(match differs {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        })
    })
}

/// The alert as the rule or detector raises it from the events that are stored, and how many of
/// these it was given. Detectors learn anew from the first event on.
async fn recompute(client: &Client, alert: &Value) -> Result<(Option<Value>, u64)> {
    let rule = alert.pointer("/rule/id").or(alert.get("detector"));
    let rule = rule
        .and_then(Value::as_str)
        .context("an alert without a detector")?;
    // Whatever belongs to it has come within an hour of its last event.
    let until = alert.get("t1").and_then(Value::as_f64).unwrap_or_default() + 3_600.0;
    let body = json!({
        "rule": rule, "to": format!("{:.0}", until * 1e3), "settings": true, "alerts": LOOKED_THROUGH,
    });
    let path = "rules/backtest";
    let report = client.json(Method::POST, path, &[], Some(body)).await?;
    let alerts = report.get("sample_alerts").and_then(Value::as_array);
    let found = alerts.into_iter().flatten();
    let again = found.into_iter().find(|a| a.get("id") == alert.get("id"));
    let read = report.get("rows_read").and_then(Value::as_u64);
    Ok((again.cloned(), read.unwrap_or_default()))
}

fn score(alert: &Value) -> f64 {
    alert
        .get("score")
        .and_then(Value::as_f64)
        .unwrap_or(f64::NAN)
}

fn is_same(alert: &Value, again: &Value) -> bool {
    (score(alert) - score(again)).abs() < SAME
}

fn verdict(alert: &Value, again: Option<&Value>, read: u64) -> String {
    match again {
        None => format!(
            "Computed again from {read} stored events: no such alert. Its events are gone, its \
             rule was changed, or it has raised more than {LOOKED_THROUGH} alerts since."
        ),
        Some(again) if is_same(alert, again) => format!(
            "Computed again from {read} stored events: the same alert with the same score, {:.3}.",
            score(again)
        ),
        Some(again) => format!(
            "Computed again from {read} stored events: the same alert with the score {:.3}, not \
             {:.3}. Its rule or the events that are kept have changed.",
            score(again),
            score(alert)
        ),
    }
}

fn print(alert: &Value) {
    let text = |pointer: &str| cell(alert.pointer(pointer));
    output::line(&text("/title"));
    output::line(&text("/summary"));
    output::line("");
    let mut rows = vec![
        ("severity", text("/severity")),
        ("status", text("/status")),
        ("score", text("/score")),
        ("risk", text("/risk")),
        ("held back", text("/held")),
        ("detector", text("/detector")),
        ("tags", text("/tags")),
    ];
    for (kind, values) in alert
        .get("entities")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        rows.push((kind, cell(Some(values))));
    }
    let baseline = alert
        .pointer("/evidence/baseline")
        .and_then(Value::as_object);
    for (name, value) in baseline.into_iter().flatten() {
        // What is said in a sentence needs no numbers beside it.
        rows.push((name, cell(value.get("sentence").or(Some(value)))));
    }
    rows.push(("events", text("/evidence/events")));
    rows.push(("query", text("/evidence/query")));
    for (name, value) in rows.into_iter().filter(|(_, value)| !value.is_empty()) {
        output::line(&format!("{name:<18} {value}"));
    }
}
