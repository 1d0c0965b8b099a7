//! `watchfire search`: events of a running server on the terminal.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use reqwest::Method;
use serde_json::Value;

use super::client::{Client, ServerArgs};
use super::output;

/// How hits are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One line a hit: time and event
    Text,
    /// One JSON object a line: the event as it came
    Json,
    /// One JSON object a line: the whole hit
    Full,
}

/// What `search` can be told.
#[derive(Debug, Clone, Args)]
pub struct SearchArgs {
    /// The query, such as `event.outcome:failure AND user.id:u1*`
    query: String,
    /// From when: RFC 3339, epoch milliseconds or now-15m
    #[arg(long)]
    from: Option<String>,
    /// Until when
    #[arg(long)]
    to: Option<String>,
    /// Most hits
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// How hits are written
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: SearchArgs) -> Result<ExitCode> {
    super::block_on(async {
        let client = Client::new(&args.server)?;
        let mut query = vec![("q", args.query.clone()), ("limit", args.limit.to_string())];
        query.extend(args.from.clone().map(|from| ("from", from)));
        query.extend(args.to.clone().map(|to| ("to", to)));
        let answer = client.json(Method::GET, "search", &query, None).await?;
        let hits = answer
            .get("hits")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        for hit in &hits {
            let event = hit.get("event").map(Value::to_string).unwrap_or_default();
            let time = hit.get("_time").and_then(Value::as_str).unwrap_or_default();
            output::line(&match args.format {
                Format::Text => output::printable(&format!("{time} {event}")),
                Format::Json => event,
                Format::Full => hit.to_string(),
            });
        }
        let total = answer
            .get("total")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let exact = answer
            .get("total_is_exact")
            .and_then(Value::as_bool)
            .unwrap_or(true);
        let plus = if exact { "" } else { "+" };
        output::error(&format!("{} of {total}{plus} events", hits.len()));
        Ok(ExitCode::SUCCESS)
    })
}
