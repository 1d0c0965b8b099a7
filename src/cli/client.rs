//! Talks to a running server over its public API.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use reqwest::{Method, Response};
use serde_json::Value;

/// Which server, and as whom.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// The server
    #[arg(long, env = "WATCHFIRE_URL", default_value = "http://127.0.0.1:7700")]
    url: String,
    /// An API token with the scope the call needs
    #[arg(long, env = "WATCHFIRE_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// A connection to a server.
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    accept: Option<&'static str>,
}

impl Client {
    /// Prepares to talk; nothing is sent yet.
    pub fn new(args: &ServerArgs) -> Result<Client> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let base = args.url.trim_end_matches('/').to_owned();
        Ok(Client {
            http,
            base,
            token: args.token.clone(),
            accept: None,
        })
    }

    /// Asks for answers in this form.
    pub fn accepting(mut self, accept: &'static str) -> Client {
        self.accept = Some(accept);
        self
    }

    /// Sends a request and answers with what comes back, or with the server's own words where
    /// it refuses.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<Value>,
    ) -> Result<Response> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/{path}", self.base), query)?;
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(accept) = self.accept {
            request = request.header(reqwest::header::ACCEPT, accept);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request
            .send()
            .await
            .with_context(|| format!("no answer from {}; is the server running?", self.base))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let problem: Value = response.json().await.unwrap_or_default();
        let word = |key: &str| problem.get(key).and_then(Value::as_str).unwrap_or_default();
        let said = match word("detail") {
            "" => word("title"),
            detail => detail,
        };
        let hint = match (status.as_u16(), &self.token) {
            (401, None) => "; give a token with --token or WATCHFIRE_TOKEN",
            _ => "",
        };
        bail!("{} {}: {said}{hint}", status.as_u16(), word("code"));
    }

    /// [`Self::send`], read as JSON.
    pub async fn json(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<Value>,
    ) -> Result<Value> {
        let response = self.send(method, path, query, body).await?;
        match response.status().as_u16() {
            204 => Ok(Value::Null),
            _ => response.json().await.context("the answer is not JSON"),
        }
    }
}

/// A value as a cell of a table.
pub fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => list
            .iter()
            .map(|v| cell(Some(v)))
            .collect::<Vec<_>>()
            .join(" "),
        Some(other) => other.to_string(),
    }
}

/// Prints the members of `list` as a table of these keys.
pub fn print_list(answer: &Value, list: &str, keys: &[&str]) {
    let rows = answer
        .get(list)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| keys.iter().map(|k| cell(row.get(*k))).collect())
        .collect();
    super::output::table(keys, &rows);
}
