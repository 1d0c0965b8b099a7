//! `watchfire sql`: a read-only SQL query on a running server.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, ServerArgs, cell};
use super::output;

/// What `sql` can be told.
#[derive(Debug, Clone, Args)]
pub struct SqlArgs {
    /// The query, such as `SELECT "user.id", count(*) FROM events GROUP BY 1`
    query: String,
    /// One JSON object a row instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: SqlArgs) -> Result<ExitCode> {
    super::block_on(async {
        let client = Client::new(&args.server)?;
        let body = json!({ "sql": args.query });
        let answer = client.json(Method::POST, "sql", &[], Some(body)).await?;
        let columns = answer
            .get("columns")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let names: Vec<String> = columns.iter().map(|c| cell(c.get("name"))).collect();
        let rows = answer
            .get("rows")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        if args.json {
            for row in &rows {
                let cells = row.as_array().cloned().unwrap_or_default();
                let object: serde_json::Map<_, _> = names.iter().cloned().zip(cells).collect();
                output::line(&Value::Object(object).to_string());
            }
        } else {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let rows: Vec<Vec<String>> = rows
                .iter()
                .filter_map(Value::as_array)
                .map(|row| row.iter().map(|v| cell(Some(v))).collect())
                .collect();
            output::table(&names, &rows);
        }
        if answer.get("truncated").and_then(Value::as_bool) == Some(true) {
            output::error("the answer was cut; ask for fewer rows with LIMIT");
        }
        Ok(ExitCode::SUCCESS)
    })
}
