//! OTLP/HTTP logs in both encodings.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use prost::Message;
use serde_json::{Value, json};
use support::Fixture;
use watchfire_event::CommitError;
use watchfire_ingest::IngestConfig;

const PROTOBUF: [(&str, &str); 1] = [("content-type", "application/x-protobuf")];
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn request() -> Value {
    json!({"resourceLogs": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "cart"}},
            {"key": "host.name", "value": {"stringValue": "h1"}},
        ]},
        "scopeLogs": [{
            "scope": {"name": "lib", "version": "1"},
            "logRecords": [
                {
                    "timeUnixNano": "1772366399500000000",
                    "severityNumber": 17,
                    "severityText": "ERROR",
                    "body": {"stringValue": "boom"},
                    "traceId": "5b8efff798038103d269b633813fc60c",
                    "spanId": "eee19b7ec3c1b174",
                    "attributes": [
                        {"key": "http.request.method", "value": {"stringValue": "GET"}},
                        {"key": "http.response.status_code", "value": {"intValue": "500"}},
                        {"key": "ratio", "value": {"doubleValue": 0.5}},
                        {"key": "ok", "value": {"boolValue": true}},
                        {"key": "tags", "value": {"arrayValue": {"values": [
                            {"stringValue": "a"}, {"stringValue": "b"}]}}},
                        {"key": "host.name", "value": {"stringValue": "nearer"}},
                        {"key": "message", "value": {"stringValue": "attribute"}},
                    ],
                },
                {
                    "observedTimeUnixNano": "1772366399000000000",
                    "body": {"kvlistValue": {"values": [
                        {"key": "k", "value": {"intValue": "9007199254740993"}}]}},
                },
            ],
        }],
    }]})
}

fn expected() -> [Value; 2] {
    [
        json!({
            "@timestamp": "2026-03-01T11:59:59.500Z",
            "message": "boom", "attributes.message": "attribute",
            "severity_number": 17, "severity_text": "ERROR",
            "trace.id": "5b8efff798038103d269b633813fc60c", "span.id": "eee19b7ec3c1b174",
            "service.name": "cart", "host.name": "nearer",
            "otel.scope.name": "lib", "otel.scope.version": "1",
            "http.request.method": "GET", "http.response.status_code": 500,
            "ratio": 0.5, "ok": true, "tags": ["a", "b"],
        }),
        json!({
            "@timestamp": "2026-03-01T11:59:59Z", "body": {"k": 9_007_199_254_740_993_i64},
            "service.name": "cart", "host.name": "h1",
            "otel.scope.name": "lib", "otel.scope.version": "1",
        }),
    ]
}

#[tokio::test]
async fn both_encodings_give_the_same_events() {
    let decoded: ExportLogsServiceRequest = serde_json::from_value(request()).unwrap();
    let table: [(&[_], Vec<u8>); 2] = [
        (&JSON, request().to_string().into_bytes()),
        (&PROTOBUF, decoded.encode_to_vec()),
    ];
    for (headers, body) in table {
        let fixture = Fixture::new();
        let answer = fixture.post("/v1/logs", headers, body).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), headers[0].1);
        match headers[0].1 {
            "application/json" => assert_eq!(answer.json(), json!({})),
            _ => {
                let answer = ExportLogsServiceResponse::decode(answer.body.as_slice()).unwrap();
                assert_eq!(answer.partial_success, None);
            }
        }
        let stored: Vec<Value> = fixture
            .log
            .lines()
            .iter()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(stored, expected());
        let mapped = fixture.log.with(|s| s.batches[0].mapped_json(0));
        assert_eq!(
            (&mapped["log.level"], &mapped["event.outcome"]),
            (&json!("error"), &json!("failure"))
        );
    }
}

#[tokio::test]
async fn records_that_are_refused_are_counted() {
    let long = "x".repeat(2 << 20);
    let body = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"body": {"stringValue": "good"}}, {"body": {"stringValue": long}}]}]}]});
    let fixture = Fixture::new();
    let answer = fixture.post("/v1/logs", &JSON, body.to_string()).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    assert_eq!(answer.json()["partialSuccess"]["rejectedLogRecords"], "1");
    assert_eq!(fixture.log.lines().len(), 1);
}

#[tokio::test]
async fn what_is_no_request_is_refused_in_its_own_encoding() {
    let fixture = Fixture::new();
    let answer = fixture
        .post("/v1/logs", &JSON, "{\"resourceLogs\": 1}")
        .await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["code"], 3);
    let answer = fixture
        .post("/v1/logs", &PROTOBUF, b"\x0a\xff".to_vec())
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (400, PROTOBUF[0].1)
    );
    assert_eq!(fixture.log.with(|s| s.dead.len()), 2);
    assert_eq!(
        fixture.post("/v1/logs", &PROTOBUF, "").await.status,
        200,
        "empty is fine"
    );

    fixture
        .log
        .with(|s| s.closed = Some(CommitError::DiskReserve));
    let answer = fixture.post("/v1/logs", &PROTOBUF, "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("retry-after")),
        (503, "5")
    );
}

/// Few bytes that would become structures of a hundred times their size.
#[tokio::test]
async fn amplification_is_refused_before_decoding() {
    let mut records = Vec::new();
    for _ in 0..1_000_001 {
        records.extend([0x12, 0x00]);
    }
    let message = |field: u8, inner: &[u8]| {
        let mut out = vec![field << 3 | 2];
        prost::encoding::encode_varint(inner.len() as u64, &mut out);
        out.extend_from_slice(inner);
        out
    };
    let body = message(1, &message(2, &records));
    let fixture = Fixture::new();
    assert_eq!(fixture.post("/v1/logs", &PROTOBUF, body).await.status, 413);
    let body = format!("{{\"resourceLogs\":[{}{{}}]}}", "{},".repeat(1_000_001));
    assert_eq!(fixture.post("/v1/logs", &JSON, body).await.status, 413);
    let max_body_bytes = 1 << 20;
    let fixture = Fixture::with(IngestConfig {
        max_body_bytes,
        ..IngestConfig::default()
    });
    // A long attribute of the resource, once in the request, a thousand times in the lines.
    let record = json!({"body": {"stringValue": "x"}});
    let body = json!({"resourceLogs": [{
        "resource": {"attributes": [{"key": "a", "value": {"stringValue": "y".repeat(10_000)}}]},
        "scopeLogs": [{"logRecords": vec![record; 1_000]}],
    }]});
    assert_eq!(
        fixture
            .post("/v1/logs", &JSON, body.to_string())
            .await
            .status,
        413
    );
}
