//! `_bulk` and what Elasticsearch clients ask before it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request};
use serde_json::{Value, json};
use support::Fixture;
use watchfire_event::CommitError;
use watchfire_ingest::is_elastic_client;

const VENDOR: &str = "application/vnd.elasticsearch+x-ndjson; compatible-with=9";

#[tokio::test]
async fn actions_are_answered_one_by_one() {
    let fixture = Fixture::new();
    fixture.events("{}").await;
    let body = concat!(
        "{\"index\":{\"_index\":\"logs\",\"pipeline\":null}}\n{\"a\":1}\n\n",
        "{\"create\":{\"_index\":\"logs\",\"_id\":\"7\"}}\n{ }\n",
        "{\"delete\":{\"_index\":\"logs\",\"_id\":\"7\"}}\n",
        "{\"update\":{\"_index\":\"logs\",\"_id\":\"7\"}}\n{\"doc\":{}}\n",
        "{\"create\":{\"_index\":\"logs\",\"_id\":\"7\"}}\n{\"again\":1}\n",
        "{\"index\":{\"_index\":\"logs\"}}\nbroken\r\n",
        "{\"index\":{\"_index\":\"other\"}}\n{\"b\":2}",
    );
    let answer = fixture
        .post("/_bulk", &[("content-type", VENDOR)], body)
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-elastic-product"), "Elasticsearch");
    assert_eq!(
        answer.header("content-type"),
        "application/vnd.elasticsearch+json;compatible-with=9"
    );
    let json = answer.json();
    assert_eq!(json["errors"], true);
    let items = results(&json);
    assert_eq!(
        items,
        [
            ("index", 201, "created"),
            ("create", 201, "created"),
            ("delete", 400, "illegal_argument_exception"),
            ("update", 400, "illegal_argument_exception"),
            ("create", 200, "noop"),
            ("index", 400, "document_parsing_exception"),
            ("index", 201, "created"),
        ]
    );
    assert_eq!(
        fixture.log.lines()[1..],
        [
            "{\"_index\":\"logs\",\"a\":1}",
            "{\"_index\":\"logs\",\"_id\":\"7\" }",
            "{\"_index\":\"other\",\"b\":2}",
        ]
    );
    let seqs: Vec<_> = [0, 1, 6]
        .map(|i| {
            json["items"][i]
                .as_object()
                .unwrap()
                .values()
                .next()
                .unwrap()["_seq_no"]
                .clone()
        })
        .to_vec();
    assert_eq!(seqs, [json!(2), json!(3), json!(4)]);
    let dead = fixture.log.with(|s| s.dead[0].clone());
    assert_eq!(
        (dead.line, dead.bytes.as_slice()),
        (12, b"broken".as_slice())
    );
    let mapped = fixture.log.with(|s| s.batches[1].mapped_json(2));
    assert_eq!(mapped["event.dataset"], "other");
}

/// Action, status, and result or kind of error of each item.
fn results(answer: &Value) -> Vec<(&str, u64, &str)> {
    let items = answer["items"].as_array().unwrap().iter();
    items
        .map(|item| {
            let (action, body) = item.as_object().unwrap().iter().next().unwrap();
            let result = body["result"]
                .as_str()
                .or(body["error"]["type"].as_str())
                .unwrap();
            (action.as_str(), body["status"].as_u64().unwrap(), result)
        })
        .collect()
}

/// winston-elasticsearch puts a key of its own beside the action.
#[tokio::test]
async fn foreign_keys_of_action_lines_are_ignored() {
    let fixture = Fixture::new();
    let body = "{\"index\":{\"_index\":\"logs\",\"x\":1},\"attempts\":0}\n{\"a\":1}\n";
    let answer = fixture.post("/_bulk", &[], body).await;
    assert_eq!(results(&answer.json()), [("index", 201, "created")]);
}

#[tokio::test]
async fn the_same_documents_again_are_noops() {
    let fixture = Fixture::new();
    let body = "{\"create\":{\"_id\":\"1\"}}\n{\"a\":1}\n{\"create\":{\"_id\":\"2\"}}\n{\"a\":2}\n";
    for path in ["/elastic/logs/_bulk", "/logs/_bulk"] {
        let mut request = Request::put(path).body(Body::from(body)).unwrap();
        request
            .headers_mut()
            .insert("content-type", HeaderValue::from_static("application/json"));
        let answer = fixture.send(request).await.json();
        assert_eq!(answer["errors"], false, "{answer}");
    }
    assert_eq!(fixture.log.lines().len(), 2);
    let other = fixture.post("/other/_bulk", &[], body).await.json();
    assert_eq!(
        other["items"][0]["create"]["result"], "created",
        "ids count within their index"
    );
}

#[tokio::test]
async fn malformed_requests_are_refused_whole() {
    let table = [
        ("", "request body is required"),
        ("\n\n", "request body is required"),
        ("{\"a\":1}\n{}\n", "Malformed action/metadata line [1]"),
        ("{\"index\":{}}\n{}\n", "index is missing"),
        (
            "{\"index\":{\"_index\":\"x\"}}\n{}\nnope\n{}\n",
            "Malformed action/metadata line [3]",
        ),
        (
            "{\"index\":{\"_index\":\"x\"},\"create\":{\"_index\":\"x\"}}\n{}\n",
            "expected one of",
        ),
        ("{\"shout\":{\"_index\":\"x\"}}\n{}\n", "expected one of"),
    ];
    for (body, why) in table {
        let fixture = Fixture::new();
        let answer = fixture.post("/_bulk", &[], body).await;
        assert_eq!(answer.status, 400, "{body:?}");
        let reason = answer.json()["error"]["reason"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(reason.contains(why), "{body:?}: {reason}");
        assert_eq!(answer.header("x-elastic-product"), "Elasticsearch");
        assert_eq!(fixture.log.with(|s| s.head), 0);
    }
    let fixture = Fixture::new();
    fixture
        .log
        .with(|s| s.closed = Some(CommitError::Overloaded("x".into())));
    let answer = fixture.post("/x/_bulk", &[], "{}").await;
    assert_eq!(answer.status, 429);
    assert_eq!(
        answer.json()["error"]["type"],
        "es_rejected_execution_exception"
    );
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn what_clients_ask_first_is_answered() {
    let fixture = Fixture::new();
    let table = [
        ("GET", "/elastic", "/version/number"),
        ("GET", "/elastic/", "/tagline"),
        ("HEAD", "/elastic/", ""),
        ("GET", "/_license", "/license/type"),
        ("GET", "/elastic/_license?human=false", "/license/status"),
        ("GET", "/_xpack", "/features/ilm/available"),
        ("GET", "/_cluster/health?wait_for_status=yellow", "/status"),
        ("GET", "/_nodes/http", "/nodes"),
        ("HEAD", "/_index_template/template_logs", ""),
        ("PUT", "/_index_template/template_logs", "/acknowledged"),
        ("GET", "/_template/x", "/x"),
        ("PUT", "/_ilm/policy/x", "/acknowledged"),
        ("PUT", "/_data_stream/logs-x", "/acknowledged"),
        ("GET", "/elastic/_data_stream/logs-x", "/logs-x"),
    ];
    for (method, path, pointer) in table {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(
            "accept",
            "application/vnd.elasticsearch+json;compatible-with=9",
        );
        let answer = fixture.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 200, "{method} {path}");
        assert_eq!(
            answer.header("x-elastic-product"),
            "Elasticsearch",
            "{method} {path}"
        );
        if !pointer.is_empty() {
            assert!(
                answer.json().pointer(pointer).is_some(),
                "{method} {path}: {}",
                answer.json()
            );
        }
    }
    fixture
        .log
        .with(|s| s.closed = Some(CommitError::DiskReserve));
    let request = Request::get("/_cluster/health")
        .body(Body::empty())
        .unwrap();
    assert_eq!(fixture.send(request).await.json()["status"], "red");
}

#[test]
fn clients_are_told_from_browsers() {
    let table: [(&[(&'static str, &str)], bool); 7] = [
        (
            &[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")],
            false,
        ),
        (&[("accept", "application/json")], true),
        (
            &[(
                "accept",
                "application/vnd.elasticsearch+json; compatible-with=9",
            )],
            true,
        ),
        (
            &[
                ("accept", "*/*"),
                ("user-agent", "opensearch-py/3.2.0 (Python 3.11)"),
            ],
            true,
        ),
        (&[("user-agent", "Elastic-filebeat/8.17.0")], true),
        (&[("accept", "*/*"), ("user-agent", "curl/8.7.1")], false),
        (&[], false),
    ];
    for (headers, expected) in table {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(is_elastic_client(&map), expected, "{headers:?}");
    }
}
