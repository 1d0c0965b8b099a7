//! `watchfire rules backtest`: what rules would have found in the events of a running server.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::client::{Client, ServerArgs, print_list};
use super::output;

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables for people
    Text,
    /// The server's answer, one JSON object
    Json,
}

/// What `rules backtest` can be told.
#[derive(Debug, Clone, Args)]
pub struct BacktestArgs {
    /// A file with rules; several documents are allowed
    #[arg(required_unless_present = "rule")]
    file: Option<PathBuf>,
    /// A rule that is live on the server, by its id, in the place of a file
    #[arg(long, conflicts_with = "file", value_name = "ID")]
    rule: Option<String>,
    /// Events of so long until now, such as 30d or 12h
    #[arg(long, conflicts_with_all = ["from", "to"], value_name = "TIME")]
    last: Option<String>,
    /// From when: RFC 3339, epoch milliseconds or now-15m [default: everything]
    #[arg(long)]
    from: Option<String>,
    /// Until when
    #[arg(long)]
    to: Option<String>,
    /// A query, to see what it would hide as an exception
    #[arg(long, value_name = "QUERY")]
    exception: Option<String>,
    /// Go by the settings and exceptions of rules that are in force on the server
    #[arg(long)]
    settings: bool,
    /// Alerts told in full
    #[arg(long, default_value_t = 10)]
    alerts: usize,
    /// How the answer is written
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: BacktestArgs) -> Result<ExitCode> {
    super::block_on(async {
        tokio::select! {
            done = backtest(&args) => done,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        }
    })
}

async fn backtest(args: &BacktestArgs) -> Result<ExitCode> {
    let text = match &args.file {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?,
        ),
        None => None,
    };
    let from = args.last.as_ref().map(|last| format!("now-{last}"));
    let body = json!({
        "text": text,
        "rule": args.rule,
        "from": from.or_else(|| args.from.clone()),
        "to": args.to,
        "exception": args.exception,
        "settings": args.settings,
        "alerts": args.alerts,
    });
    let client = Client::new(&args.server)?.accepting("application/x-ndjson");
    let mut answer = client
        .send(Method::POST, "rules/backtest", &[], Some(body))
        .await?;
    let report = follow(&mut answer).await?;
    match args.format {
        Format::Json => output::line(&report.to_string()),
        Format::Text => print(&report),
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows how far the server is, and gives its report.
async fn follow(answer: &mut Response) -> Result<Value> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let template = "{bar:30} {human_pos} of {human_len} events, {msg}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let mut unread: Vec<u8> = Vec::new();
    while let Some(piece) = answer.chunk().await.context("the answer ended early")? {
        unread.extend_from_slice(&piece);
        while let Some(end) = unread.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = unread.drain(..=end).collect();
            let mut line: Value =
                serde_json::from_slice(&line).context("the answer is not JSON")?;
            if let Some(report) = line.get_mut("report") {
                bar.finish_and_clear();
                return Ok(report.take());
            }
            if let Some(error) = line.get("error") {
                bar.finish_and_clear();
                let word = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
                bail!("{}: {}", word("code"), word("detail"));
            }
            let number = |key: &str| {
                line.pointer(&format!("/progress/{key}"))
                    .and_then(Value::as_u64)
            };
            bar.set_length(number("total").unwrap_or_default());
            bar.set_position(number("done").unwrap_or_default());
            bar.set_message(format!("{} alerts", number("alerts").unwrap_or_default()));
        }
    }
    bail!("the answer ended early")
}

fn print(report: &Value) {
    let number = |key: &str| {
        report
            .pointer(key)
            .and_then(Value::as_u64)
            .unwrap_or_default()
    };
    let seconds = report
        .get("seconds")
        .and_then(Value::as_f64)
        .unwrap_or_default();
    print_list(
        report,
        "rules",
        &["id", "kind", "severity", "matches", "alerts"],
    );
    for (list, keys) in [
        ("days", &["day", "matches", "alerts"][..]),
        ("entities", &["kind", "value", "alerts", "events"][..]),
        ("sample_alerts", &["severity", "title", "summary"][..]),
        ("faults", &["path", "line", "code", "message"][..]),
    ] {
        if report
            .get(list)
            .and_then(Value::as_array)
            .is_some_and(|l| !l.is_empty())
        {
            output::line("");
            print_list(report, list, keys);
        }
    }
    output::line("");
    if report.get("exception").is_some_and(Value::is_object) {
        output::line(&format!(
            "the exception would hide {} matches and {} alerts; {} alerts would be left",
            number("/exception/matches_hidden"),
            number("/exception/alerts_hidden"),
            number("/exception/alerts_left"),
        ));
    }
    output::line(&format!(
        "{} matches, {} alerts; {} of {} events read in {seconds:.2} s",
        number("/matches"),
        number("/alerts"),
        number("/rows_read"),
        number("/rows_stored"),
    ));
}
