//! `_bulk` of Elasticsearch: pairs of an action line and a document line.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Path, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::events::idempotency_key;
use super::handshake::as_elasticsearch;
use crate::{Incoming, Ingest, Lines, Outcome, Refusal, Request, Span, document_key, request_key};

/// Bytes of an index name or of an id, as in Elasticsearch.
const MAX_NAME_BYTES: usize = 512;

const ACTIONS: [&str; 4] = ["index", "create", "update", "delete"];

pub(super) fn routes(router: Router<Ingest>) -> Router<Ingest> {
    let mut doors = Router::new();
    for base in ["", "/elastic"] {
        doors = doors
            .route(&format!("{base}/_bulk"), post(bulk).put(bulk))
            .route(
                &format!("{base}/{{index}}/_bulk"),
                post(bulk_into).put(bulk_into),
            );
    }
    router.merge(doors.layer(middleware::from_fn(as_elasticsearch)))
}

async fn bulk(State(ingest): State<Ingest>, request: HttpRequest) -> Response {
    respond(&ingest, None, request).await
}

async fn bulk_into(
    State(ingest): State<Ingest>,
    Path(index): Path<String>,
    request: HttpRequest,
) -> Response {
    respond(&ingest, Some(index), request).await
}

async fn respond(ingest: &Ingest, index: Option<String>, request: HttpRequest) -> Response {
    let started = Instant::now();
    match receive(ingest, index, request).await {
        Ok((items, outcome)) => {
            axum::Json(answer(&items, &outcome, started.elapsed().as_millis())).into_response()
        }
        Err(refusal) => {
            super::count_refusal("bulk", &refusal);
            elastic_error(&refusal)
        }
    }
}

async fn receive(
    ingest: &Ingest,
    index: Option<String>,
    request: HttpRequest,
) -> Result<(Vec<Item>, Outcome), Refusal> {
    let key = idempotency_key(request.headers())?;
    let incoming = ingest.read_body(request).await?;
    let key = key.map(|key| request_key(&incoming.source, &key));
    let Incoming {
        source,
        received_ns,
        body,
        held,
        ..
    } = incoming;
    let reader = Reader::new(source.clone(), index, ingest.config().max_lines);
    let read = tokio::task::spawn_blocking(move || reader.read(body));
    let (items, lines) = read.await.unwrap_or(Err(Refusal::Internal))?;
    if items.is_empty() {
        return Err(Refusal::InvalidRequest("request body is required".into()));
    }
    let request = Request {
        source,
        received_ns,
        key,
        lines,
        held: Some(held),
    };
    Ok((items, ingest.submit(request).await?))
}

/// One action of a bulk request.
struct Item {
    action: &'static str,
    index: Arc<str>,
    id: Option<String>,
    /// Position of its document among the lines, or why it has none.
    document: Result<u32, &'static str>,
}

/// Reads action and document lines.
struct Reader {
    source: Arc<str>,
    index: Option<Arc<str>>,
    max_lines: usize,
    prefixes: HashMap<Arc<str>, Arc<[u8]>>,
    indices: HashMap<String, Arc<str>>,
}

/// What an action line says. Clients put foreign keys into it and beside it; those are ignored.
#[derive(Deserialize)]
struct Action<'a> {
    #[serde(borrow, rename = "_index")]
    index: Option<Cow<'a, str>>,
    #[serde(rename = "_id")]
    id: Option<Value>,
}

impl Reader {
    fn new(source: Arc<str>, index: Option<String>, max_lines: usize) -> Self {
        Reader {
            source,
            index: index.map(Arc::from),
            max_lines,
            prefixes: HashMap::new(),
            indices: HashMap::new(),
        }
    }

    fn read(mut self, body: Vec<u8>) -> Result<(Vec<Item>, Lines), Refusal> {
        let mut lines = Lines::default();
        let mut items = Vec::new();
        let mut rest = Numbered {
            body: &body,
            at: 0,
            number: 0,
        };
        while let Some((span, text)) = rest.next() {
            if items.len() >= self.max_lines {
                let message = format!("more than {} actions", self.max_lines);
                return Err(Refusal::BodyTooLarge(message));
            }
            let (action, index, id) = self.action(span.number, text)?;
            let document = match action {
                "delete" => Err("documents cannot be deleted through this door"),
                "update" => {
                    rest.next();
                    Err("documents cannot be updated, events do not change")
                }
                _ => match rest.next() {
                    Some((span, _)) => Ok(self.add(&mut lines, span, &index, id.as_deref())),
                    None => Err("the last action has no document"),
                },
            };
            items.push(Item {
                action,
                index,
                id,
                document,
            });
        }
        lines.body = body;
        Ok((items, lines))
    }

    fn action(
        &mut self,
        number: u32,
        text: &[u8],
    ) -> Result<(&'static str, Arc<str>, Option<String>), Refusal> {
        let malformed = |why: &str| {
            let message = format!("Malformed action/metadata line [{number}], {why}");
            Refusal::InvalidRequest(message)
        };
        let members: HashMap<Cow<'_, str>, &RawValue> =
            serde_json::from_slice(text).map_err(|e| malformed(&e.to_string()))?;
        let mut found = ACTIONS
            .into_iter()
            .filter_map(|name| Some((name, members.get(name)?)));
        let (name, action) = match (found.next(), found.next()) {
            (Some(one), None) => one,
            _ => return Err(malformed("expected one of index, create, update, delete")),
        };
        let action: Action<'_> =
            serde_json::from_str(action.get()).map_err(|e| malformed(&e.to_string()))?;
        let index = match (action.index, &self.index) {
            (Some(index), _) => self.shared_index(index.into_owned()),
            (None, Some(index)) => index.clone(),
            (None, None) => return Err(malformed("index is missing")),
        };
        let id = match action.id {
            Some(Value::String(id)) => Some(id),
            Some(Value::Number(id)) => Some(id.to_string()),
            _ => None,
        };
        let longest = index.len().max(id.as_ref().map_or(0, String::len));
        if longest > MAX_NAME_BYTES {
            return Err(malformed("an index name or an id is too long"));
        }
        Ok((name, index, id))
    }

    fn shared_index(&mut self, index: String) -> Arc<str> {
        let name: Arc<str> = index.as_str().into();
        self.indices.entry(index).or_insert(name).clone()
    }

    /// Adds a document. Index and id become members of the event, as in an Elasticsearch hit, so
    /// that they are found again.
    fn add(&mut self, lines: &mut Lines, span: Span, index: &Arc<str>, id: Option<&str>) -> u32 {
        let position = lines.spans.len() as u32;
        lines.spans.push(span);
        let prefix = match id {
            None => self.prefix(index),
            Some(id) => prefix_text(index, Some(id)),
        };
        lines.prefixes.push(Some(prefix));
        lines
            .keys
            .push(id.map(|id| document_key(&self.source, index, id)));
        position
    }

    fn prefix(&mut self, index: &Arc<str>) -> Arc<[u8]> {
        let entry = self.prefixes.entry(index.clone());
        entry.or_insert_with(|| prefix_text(index, None)).clone()
    }
}

fn prefix_text(index: &str, id: Option<&str>) -> Arc<[u8]> {
    let mut text = format!("\"_index\":{},", Value::from(index));
    if let Some(id) = id {
        text.push_str(&format!("\"_id\":{},", Value::from(id)));
    }
    text.into_bytes().into()
}

/// The lines of a body that are not blank.
struct Numbered<'a> {
    body: &'a [u8],
    at: usize,
    number: u32,
}

impl<'a> Iterator for Numbered<'a> {
    type Item = (Span, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.body.get(self.at..).filter(|rest| !rest.is_empty())?;
            let line = rest.split(|b| *b == b'\n').next()?;
            let lead = line.iter().take_while(|b| b.is_ascii_whitespace()).count();
            let text = line.trim_ascii();
            let start = self.at + lead;
            self.at += line.len() + 1;
            self.number += 1;
            if !text.is_empty() {
                let end = (start + text.len()) as u32;
                return Some((
                    Span {
                        start: start as u32,
                        end,
                        number: self.number,
                    },
                    text,
                ));
            }
        }
    }
}

fn answer(items: &[Item], outcome: &Outcome, took_ms: u128) -> Value {
    let mut errors = false;
    let mut next_seq = outcome.first_seq.unwrap_or_default();
    let (mut duplicates, mut rejected) = (
        outcome.duplicates.iter().peekable(),
        outcome.rejected.iter().peekable(),
    );
    let mut answers = Vec::with_capacity(items.len());
    for item in items {
        let mut body = json!({"_index": item.index.as_ref(), "_id": item.id});
        match item.document {
            Err(why) => error(&mut body, "illegal_argument_exception", why),
            Ok(line) if rejected.peek().is_some_and(|r| r.index == line) => {
                let why = rejected.next().map_or("", |r| r.message.as_str());
                error(&mut body, "document_parsing_exception", why);
            }
            Ok(line) if duplicates.next_if(|d| **d == line).is_some() => {
                body["result"] = "noop".into();
                body["status"] = 200.into();
            }
            Ok(_) => {
                if item.id.is_none() {
                    body["_id"] = next_seq.to_string().into();
                }
                body["_seq_no"] = next_seq.into();
                body["_version"] = 1.into();
                body["_primary_term"] = 1.into();
                body["_shards"] = json!({"total": 1, "successful": 1, "failed": 0});
                body["result"] = "created".into();
                body["status"] = 201.into();
                next_seq += 1;
            }
        }
        errors |= body.get("error").is_some();
        answers.push(json!({ item.action: body }));
    }
    json!({"took": took_ms as u64, "errors": errors, "items": answers})
}

fn error(body: &mut Value, kind: &str, reason: &str) {
    body["status"] = 400.into();
    body["error"] = json!({"type": kind, "reason": reason});
}

/// A refusal as Elasticsearch writes errors.
fn elastic_error(refusal: &Refusal) -> Response {
    let kind = match refusal.status() {
        StatusCode::TOO_MANY_REQUESTS => "es_rejected_execution_exception",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable_shards_exception",
        StatusCode::BAD_REQUEST => "illegal_argument_exception",
        _ => "exception",
    };
    let cause = json!({"type": kind, "reason": refusal.to_string()});
    let body = json!({
        "error": {"root_cause": [cause], "type": kind, "reason": refusal.to_string()},
        "status": refusal.status().as_u16(),
        "code": refusal.code(),
    });
    let mut response = (refusal.status(), axum::Json(body)).into_response();
    refusal.add_retry_after(&mut response);
    response
}
