//! The traffic generator of the demo: a simulated shop of microservices, posted over HTTP.
//!
//! It works like any other shipper: NDJSON to `POST /api/v1/events` with an ingest token. It
//! starts some hours back and posts that past as fast as the server takes it, so that baselines
//! exist when the first attack begins; from then on it keeps the pace of the clock.

mod attacks;
mod random;
#[cfg(test)]
mod tests;
mod traffic;
mod world;

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::task::JoinHandle;

use traffic::Traffic;
use world::SECOND;

/// What to generate and where to send it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Base URL of the server, such as `http://127.0.0.1:7700`.
    pub url: String,
    /// A token with the scope `ingest`.
    pub token: String,
    /// How much past to post before the live traffic, for baselines.
    pub history: Duration,
    /// Lines a second of ordinary traffic, live and in the past alike.
    pub lines_per_second: u32,
    /// Whether attacks are mixed in, from the end of the history on.
    pub attacks: bool,
    /// The same seed gives the same people, requests and attacks.
    pub seed: u64,
}

impl Options {
    /// The demo as `watchfire demo` runs it: 75 minutes of past, which is what the slowest
    /// baseline of the pack needs, then 40 lines a second.
    pub fn new(url: String, token: String) -> Self {
        Options {
            url,
            token,
            history: Duration::from_secs(75 * 60),
            lines_per_second: 40,
            attacks: true,
            seed: 7,
        }
    }
}

/// Most lines sent in one request.
const LINES_PER_REQUEST: usize = 2000;
/// How long the server may take to come up or to answer 429 and 503 before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the demo traffic as a task until `stop` is ready.
///
/// The task's error says why the server could not be reached or refused the lines.
pub fn spawn(
    url: String,
    token: String,
    stop: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<anyhow::Result<()>> {
    tokio::spawn(run(Options::new(url, token), stop))
}

/// Generates and posts until `stop` is ready.
///
/// # Errors
/// When the server stays away for two minutes, or refuses the token or the lines.
pub async fn run(options: Options, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    tokio::select! {
        result = generate(options) => result,
        () = stop => Ok(()),
    }
}

async fn generate(options: Options) -> anyhow::Result<()> {
    let sender = Sender::new(&options)?;
    let live_from_ns = now_ns();
    let mut clock_ns = live_from_ns - options.history.as_nanos() as i64;
    let attacks_from_ns = options.attacks.then_some(live_from_ns);
    let mut traffic = Traffic::new(options.seed, options.lines_per_second, attacks_from_ns);
    let mut lines = Lines::default();
    loop {
        for event in traffic.second(clock_ns) {
            lines.push(&event)?;
        }
        clock_ns += SECOND;
        let ahead_ns = clock_ns - now_ns();
        if ahead_ns > 0 || lines.count >= LINES_PER_REQUEST {
            sender.post(lines.take()).await?;
        }
        if ahead_ns > 0 {
            tokio::time::sleep(Duration::from_nanos(ahead_ns as u64)).await;
        }
    }
}

fn now_ns() -> i64 {
    chrono::Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX)
}

/// The body of the next request.
#[derive(Default)]
struct Lines {
    body: Vec<u8>,
    count: usize,
}

impl Lines {
    fn push(&mut self, event: &Value) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.body, event)?;
        self.body.push(b'\n');
        self.count += 1;
        Ok(())
    }

    fn take(&mut self) -> Vec<u8> {
        self.count = 0;
        std::mem::take(&mut self.body)
    }
}

struct Sender {
    client: Client,
    url: String,
    token: String,
    /// Differs between two runs, so that their idempotency keys do.
    run: i64,
    sent: std::sync::atomic::AtomicU64,
}

impl Sender {
    fn new(options: &Options) -> anyhow::Result<Self> {
        let client = Client::builder()
            .timeout(Duration::from_secs(30))
            .no_proxy()
            .build()?;
        let url = format!("{}/api/v1/events", options.url.trim_end_matches('/'));
        let sent = std::sync::atomic::AtomicU64::new(0);
        Ok(Sender {
            client,
            url,
            token: options.token.clone(),
            run: now_ns(),
            sent,
        })
    }

    /// Posts one body; waits and repeats it, with the same key, while the server is busy or away.
    async fn post(&self, body: Vec<u8>) -> anyhow::Result<()> {
        let number = self.sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let key = format!("demo-{}-{number}", self.run);
        let give_up = tokio::time::Instant::now() + PATIENCE;
        loop {
            let answer = self
                .client
                .post(&self.url)
                .bearer_auth(&self.token)
                .header("content-type", "application/x-ndjson")
                .header("idempotency-key", &key)
                .body(body.clone())
                .send()
                .await;
            match answer {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) if !is_passing(answer.status()) => {
                    let status = answer.status();
                    let text = answer.text().await.unwrap_or_default();
                    bail!("{} answered {status}: {text}", self.url);
                }
                Err(error) if tokio::time::Instant::now() >= give_up => {
                    return Err(error).context(format!("{} cannot be reached", self.url));
                }
                Ok(answer) if tokio::time::Instant::now() >= give_up => {
                    bail!("{} still answers {}", self.url, answer.status());
                }
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(250)).await,
            }
        }
    }
}

fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504)
}
