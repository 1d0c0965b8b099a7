//! `POST /v1/logs`: OTLP/HTTP logs, protobuf and JSON.
//!
//! A log record becomes one event: attributes of resource, scope and record under their own
//! dotted names (the nearer one wins), a text body as `message`, any other body as `body`.

mod event;
mod scan;

use axum::Router;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use prost::Message;
use serde_json::json;

use super::events::idempotency_key;
use crate::{Incoming, Ingest, Outcome, Refusal, Request, request_key};

pub(super) fn routes(router: Router<Ingest>) -> Router<Ingest> {
    router.route("/v1/logs", post(take_logs))
}

/// The two encodings of OTLP/HTTP; an answer speaks the one of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Protobuf,
    Json,
}

impl Wire {
    const fn media_type(self) -> &'static str {
        match self {
            Wire::Protobuf => "application/x-protobuf",
            Wire::Json => "application/json",
        }
    }

    fn of(request: &HttpRequest) -> Wire {
        let value = request.headers().get(header::CONTENT_TYPE);
        match value.and_then(|v| v.to_str().ok()) {
            Some(kind) if kind.contains("json") => Wire::Json,
            _ => Wire::Protobuf,
        }
    }
}

async fn take_logs(State(ingest): State<Ingest>, request: HttpRequest) -> Response {
    let wire = Wire::of(&request);
    match receive(&ingest, wire, request).await {
        Ok(outcome) => success(wire, &outcome),
        Err(refusal) => {
            super::count_refusal("otlp", &refusal);
            failure(wire, &refusal)
        }
    }
}

async fn receive(ingest: &Ingest, wire: Wire, request: HttpRequest) -> Result<Outcome, Refusal> {
    let key = idempotency_key(request.headers())?;
    let incoming = ingest.read_body(request).await?;
    let key = key.map(|key| request_key(&incoming.source, &key));
    let Incoming {
        source,
        received_ns,
        body,
        mut held,
        ..
    } = incoming;
    let (max_lines, max_bytes) = (ingest.config().max_lines, ingest.config().max_body_bytes);
    let read = tokio::task::spawn_blocking(move || {
        let lines = decode(wire, &body).and_then(|request| {
            held.take(body.len())?;
            event::lines(request, max_lines, max_bytes)
        });
        lines
            .map(|lines| (lines, held))
            .map_err(|refusal| (refusal, body))
    });
    match read.await.unwrap_or(Err((Refusal::Internal, Vec::new()))) {
        Ok((lines, held)) if lines.spans.is_empty() => {
            drop(held);
            Ok(Outcome::default())
        }
        Ok((lines, held)) => {
            ingest
                .submit(Request {
                    source,
                    received_ns,
                    key,
                    lines,
                    held: Some(held),
                })
                .await
        }
        Err((refusal, body)) => {
            ingest.keep_body(source, received_ns, &refusal, &body).await;
            Err(refusal)
        }
    }
}

fn decode(wire: Wire, body: &[u8]) -> Result<ExportLogsServiceRequest, Refusal> {
    match wire {
        Wire::Protobuf => {
            scan::check_protobuf(body)?;
            ExportLogsServiceRequest::decode(body)
                .map_err(|e| Refusal::InvalidRequest(format!("not an OTLP logs request: {e}")))
        }
        Wire::Json => {
            scan::check_json(body)?;
            serde_json::from_slice(body)
                .map_err(|e| Refusal::InvalidRequest(format!("not an OTLP logs request: {e}")))
        }
    }
}

fn success(wire: Wire, outcome: &Outcome) -> Response {
    let rejected = outcome.rejected.len();
    let why = outcome
        .rejected
        .first()
        .map(|r| format!("{}: {}", r.code, r.message));
    let partial = why.map(|error_message| ExportLogsPartialSuccess {
        rejected_log_records: rejected as i64,
        error_message,
    });
    let body = match wire {
        Wire::Protobuf => ExportLogsServiceResponse {
            partial_success: partial,
        }
        .encode_to_vec(),
        // int64 is text in the JSON mapping of protobuf.
        Wire::Json => match partial {
            None => json!({}),
            Some(partial) => json!({"partialSuccess": {
                "rejectedLogRecords": partial.rejected_log_records.to_string(),
                "errorMessage": partial.error_message,
            }}),
        }
        .to_string()
        .into_bytes(),
    };
    (
        StatusCode::OK,
        [(header::CONTENT_TYPE, wire.media_type())],
        body,
    )
        .into_response()
}

/// `google.rpc.Status`, the body of an OTLP error.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

fn failure(wire: Wire, refusal: &Refusal) -> Response {
    let code = match refusal.status() {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::PAYLOAD_TOO_LARGE => 8,
        StatusCode::SERVICE_UNAVAILABLE => 14,
        StatusCode::INTERNAL_SERVER_ERROR => 13,
        _ => 3,
    };
    let message = format!("{}: {refusal}", refusal.code());
    let body = match wire {
        Wire::Protobuf => Status { code, message }.encode_to_vec(),
        Wire::Json => json!({"code": code, "message": message})
            .to_string()
            .into_bytes(),
    };
    let headers = [(header::CONTENT_TYPE, wire.media_type())];
    let mut response = (refusal.status(), headers, body).into_response();
    refusal.add_retry_after(&mut response);
    response
}
