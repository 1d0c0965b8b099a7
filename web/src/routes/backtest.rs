//! `POST /api/v1/rules/backtest`: what rules would have found in the events that are stored.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json as JsonAnswer;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use utoipa::ToSchema;
use watchfire_detect::{Backtest, BacktestReport, MAX_ALERTS, RuleFault, RuleFile, RuleSet};
use watchfire_event::TimeRange;
use watchfire_store::Store;

use super::search::EventHit;
use crate::error::{ApiError, Problem};
use crate::extract::{self, Json};
use crate::state::{AppState, Seat};

const NDJSON: &str = "application/x-ndjson";
const DEFAULT_ALERTS: usize = 20;
/// How long one backtest may take.
const LIMIT: Duration = Duration::from_secs(300);
/// Between two words of progress.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// What to try, and on which events.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BacktestRequest {
    /// Sigma rules, correlations or detector files, YAML; several documents are allowed.
    text: Option<String>,
    /// The id of a live rule, in the place of a text: it is tried with all that it refers to.
    rule: Option<String>,
    /// Start of event time: RFC 3339, epoch milliseconds or `now-30d`.
    from: Option<String>,
    /// End of event time, exclusive.
    to: Option<String>,
    /// An exception on trial, as a query: what would it have hidden?
    exception: Option<String>,
    /// Go by the settings and exceptions that are in force: alerts are then those that would have
    /// been raised under them.
    #[serde(default)]
    settings: bool,
    /// Alerts told in full, 1 to 1,000; 20 by default.
    alerts: Option<usize>,
}

/// What the rules would have found.
#[derive(Debug, Serialize, ToSchema)]
pub struct BacktestAnswer {
    /// `rules`, `matches`, `alerts`, `days`, `entities`, `sample_alerts`, `exception`, `late` and
    /// `truncated`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    report: BacktestReport,
    /// Some of the events that matched, the first and the last ones.
    samples: Vec<EventHit>,
    /// Documents that were left out, and why.
    #[schema(value_type = Vec<Object>)]
    faults: Vec<RuleFault>,
    /// Events of the parts of the store that were looked at.
    rows_stored: u64,
    /// Events that could not be ruled out by what the store knows of its columns, and were
    /// evaluated.
    rows_read: u64,
    /// Time taken.
    seconds: f64,
    /// A damaged segment is left out.
    partial: bool,
}

/// How far it is.
#[derive(Debug, Clone, Copy, Serialize)]
struct Progress {
    done: u64,
    total: u64,
    matches: u64,
    alerts: u64,
}

/// What the working thread says.
enum Word {
    Progress(Progress),
    Done(Box<Result<BacktestAnswer, ApiError>>),
}

/// Tries rules on stored events. Nothing is kept and nobody is told. With
/// `Accept: application/x-ndjson` the answer is one JSON object a line: `{"progress":{...}}` now
/// and then, at last `{"report":{...}}` or `{"error":{...}}`. It ends when the caller goes away.
#[utoipa::path(post, path = "/api/v1/rules/backtest", tag = "rules",
    request_body = BacktestRequest, responses(
    (status = 200, description = "What would have been found", body = BacktestAnswer),
    (status = 400, description = "invalid_rule, invalid_query with position", body = Problem),
    (status = 404, description = "not_found: no live rule has the id", body = Problem),
    (status = 422, description = "query_limit: it takes too long", body = Problem),
    (status = 429, description = "too_many_streams", body = Problem),
))]
pub async fn backtest(
    State(state): State<AppState>,
    headers: HeaderMap,
    Json(request): Json<BacktestRequest>,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    let range = extract::range(request.from.as_deref(), request.to.as_deref())?;
    let told = extract::count("alerts", request.alerts, DEFAULT_ALERTS, MAX_ALERTS)?;
    let exception = match request
        .exception
        .as_deref()
        .filter(|q| !q.trim().is_empty())
    {
        Some(text) => Some(state.query(Some(text))?),
        None => None,
    };
    let seat = state.seats.backtest()?;
    let policy = match request.settings {
        true => Some(Arc::new(crate::policy(state.meta()).await?)),
        false => None,
    };
    let live = state.rules.load().set.clone();
    let loaded = tokio::task::spawn_blocking(move || load(request, &live)).await;
    let (mut backtest, faults) = loaded.map_err(ApiError::internal)??;
    if backtest.rules().is_empty() {
        let why = faults
            .first()
            .map_or("there is no rule in it", |f| &f.message);
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_rule", why));
    }
    backtest = backtest.telling(told);
    if let Some(policy) = policy {
        backtest = backtest.under(&policy);
    }
    if let Some(exception) = exception {
        backtest = backtest.without(exception);
    }
    let trial = Trial {
        backtest,
        faults,
        range,
        store: state.store.clone(),
        started,
        _seat: seat,
    };
    let (words, said) = channel(4);
    drop(tokio::task::spawn_blocking(move || trial.run(&words)));
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    if accept.is_some_and(|accept| accept.contains(NDJSON)) {
        let body = Body::from_stream(lines(said));
        return Ok(([(header::CONTENT_TYPE, NDJSON)], body).into_response());
    }
    let answer = last(said).await?;
    Ok((super::partial(answer.partial), JsonAnswer(answer)).into_response())
}

/// Loads the rules that the request speaks of, as they are or would be beside the live ones.
fn load(request: BacktestRequest, live: &RuleSet) -> Result<(Backtest, Vec<RuleFault>), ApiError> {
    match (request.text, request.rule) {
        (Some(text), None) => {
            let path = "text.yml".to_owned();
            Ok(Backtest::load(&[RuleFile { path, text }], live))
        }
        (None, Some(id)) => Backtest::of_live(&id, live).ok_or_else(|| ApiError::not_found("rule")),
        _ => Err(ApiError::field("give either text or rule")),
    }
}

/// Waits for the last word.
async fn last(mut said: Receiver<Word>) -> Result<BacktestAnswer, ApiError> {
    while let Some(word) = said.recv().await {
        if let Word::Done(done) = word {
            return *done;
        }
    }
    Err(ApiError::internal("a backtest ended early"))
}

/// Every word as a line. A thread that goes without its last word cuts the answer off.
fn lines(said: Receiver<Word>) -> impl stream::Stream<Item = Result<Bytes, String>> + Send {
    stream::unfold(Some(said), |said| async move {
        let mut said = said?;
        let (line, more) = match said.recv().await {
            Some(Word::Progress(progress)) => (serde_json::json!({ "progress": progress }), true),
            Some(Word::Done(done)) => match *done {
                Ok(answer) => (serde_json::json!({ "report": answer }), false),
                Err(error) => {
                    let error = serde_json::json!({
                        "status": error.status().as_u16(),
                        "code": error.code(),
                        "detail": error.detail(),
                    });
                    (serde_json::json!({ "error": error }), false)
                }
            },
            None => return Some((Err("ended early".to_owned()), None)),
        };
        Some((Ok(format!("{line}\n").into()), more.then_some(said)))
    })
}

/// A backtest with all it needs.
struct Trial {
    backtest: Backtest,
    faults: Vec<RuleFault>,
    range: TimeRange,
    store: Store,
    started: Instant,
    _seat: Seat,
}

impl Trial {
    /// Blocks until it is done or nobody listens any more.
    fn run(mut self, words: &Sender<Word>) {
        let done = self.work(words);
        if !words.is_closed() {
            // Whoever has gone since does not care.
            let _ = words.blocking_send(Word::Done(Box::new(done)));
        }
    }

    fn work(&mut self, words: &Sender<Word>) -> Result<BacktestAnswer, ApiError> {
        let replay = self.store.replay(self.range);
        let reading = self.backtest.reading(&replay.shapes());
        let (total, mut done, mut rows_read) = (replay.rows(), 0, 0);
        let mut told = Instant::now();
        let backtest = &mut self.backtest;
        let fields = reading.fields.as_deref();
        replay.run(&reading.query, fields, LIMIT, |part| {
            for batch in &part.batches {
                rows_read += batch.rows() as u64;
                backtest.take(batch);
            }
            done += part.searched;
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                let progress = Progress {
                    done,
                    total,
                    matches: backtest.matches(),
                    alerts: backtest.alerts(),
                };
                // A slow reader misses some of it.
                let _ = words.try_send(Word::Progress(progress));
            }
            !words.is_closed()
        })?;
        let samples = replay.events(&self.backtest.samples())?;
        let seconds = self.started.elapsed().as_secs_f64();
        metrics::histogram!("watchfire_backtest_seconds").record(seconds);
        Ok(BacktestAnswer {
            report: self.backtest.report(),
            samples: samples.into_iter().map(EventHit::from).collect(),
            faults: std::mem::take(&mut self.faults),
            rows_stored: total,
            rows_read,
            seconds,
            partial: self.store.is_partial(),
        })
    }
}
