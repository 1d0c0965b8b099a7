//! Log lines in, hits and alerts out: every file in `tests/scenarios` against the real binary.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

use std::path::Path;

use harness::{Options, Server};
use serde::Deserialize;
use serde_json::Value;

/// A scenario file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// Requests in order.
    post: Vec<Post>,
    /// Searches, each with what it must find.
    #[serde(default)]
    search: Vec<Search>,
    /// Alerts that must be there.
    #[serde(default)]
    alert: Vec<Expected>,
    /// Whether other alerts may be there too.
    #[serde(default)]
    other_alerts: bool,
    /// Kill the server and start it again before looking.
    #[serde(default)]
    kill_before_looking: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Post {
    #[serde(default = "events")]
    path: String,
    body: String,
    /// Send the body this often, with `{i}` replaced by 0, 1, ...
    #[serde(default = "once")]
    repeat: usize,
    #[serde(default)]
    key: Option<String>,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    accepted: Option<u64>,
    #[serde(default)]
    duplicate: Option<u64>,
    /// `line:code` of each refused line.
    #[serde(default)]
    rejected: Option<Vec<String>>,
}

fn events() -> String {
    "/api/v1/events".into()
}

fn once() -> usize {
    1
}

fn ok() -> u16 {
    200
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    q: String,
    total: u64,
    /// The newest hit's event.
    first: Option<Value>,
    /// Fields that mappings added to the newest hit.
    #[serde(default)]
    mapped: serde_json::Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    detector: String,
    severity: Option<String>,
    #[serde(default)]
    entities: serde_json::Map<String, Value>,
    /// A part of the summary.
    says: Option<String>,
}

#[tokio::test]
async fn scenarios_hold() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let scenario: Scenario = toml::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        run(&name, &scenario).await;
    }
}

async fn run(name: &str, scenario: &Scenario) {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path()).await;
    for (i, post) in scenario.post.iter().enumerate() {
        for n in 0..post.repeat {
            send(&format!("{name}, post {}", i + 1), &server, post, n).await;
        }
    }
    if scenario.kill_before_looking {
        let data = server.kill();
        server = Server::start_with(&data, &Options::default()).await;
    }
    server.caught_up().await;
    for search in &scenario.search {
        let range = [
            ("from", "1970-01-01T00:00:00Z"),
            ("to", "2200-01-01T00:00:00Z"),
        ];
        let found = server
            .get("/api/v1/search", &[("q", &search.q), range[0], range[1]])
            .await;
        assert_eq!(
            found["total"], search.total,
            "{name}: {}: {found}",
            search.q
        );
        let hit = &found["hits"][0];
        if let Some(first) = &search.first {
            assert_eq!(&hit["event"], first, "{name}: {}", search.q);
        }
        for (field, value) in &search.mapped {
            assert_eq!(
                &hit["mapped"][field], value,
                "{name}: {}: {field}",
                search.q
            );
        }
    }
    alerts(name, &server, scenario).await;
    server.stop();
}

async fn send(name: &str, server: &Server, post: &Post, n: usize) {
    let body = post.body.trim().replace("{i}", &n.to_string());
    let mut headers = vec![("content-type", "application/x-ndjson")];
    headers.extend(post.key.as_deref().map(|key| ("idempotency-key", key)));
    let (status, answer) = server.post_with(&post.path, body, &headers).await;
    assert_eq!(status, post.status, "{name}: {answer}");
    if let Some(accepted) = post.accepted {
        assert_eq!(answer["accepted"], accepted, "{name}: {answer}");
    }
    if let Some(duplicate) = post.duplicate {
        assert_eq!(answer["duplicate"], duplicate, "{name}: {answer}");
    }
    if let Some(rejected) = &post.rejected {
        let list = answer["rejected"].as_array().cloned().unwrap_or_default();
        let list: Vec<String> = list
            .iter()
            .map(|r| format!("{}:{}", r["line"], r["code"].as_str().unwrap_or_default()))
            .collect();
        assert_eq!(&list, rejected, "{name}: {answer}");
    }
}

async fn alerts(name: &str, server: &Server, scenario: &Scenario) {
    let answer = server.get("/api/v1/alerts", &[]).await;
    let alerts = answer["alerts"].as_array().cloned().unwrap_or_default();
    for expected in &scenario.alert {
        let fits = |alert: &&Value| {
            alert["detector"] == expected.detector.as_str()
                && expected.entities.iter().all(|(kind, id)| {
                    alert["entities"][kind]
                        .as_array()
                        .is_some_and(|list| list.contains(id))
                })
        };
        let Some(alert) = alerts.iter().find(fits) else {
            panic!("{name}: no alert {expected:?} among {answer}");
        };
        if let Some(severity) = &expected.severity {
            assert_eq!(alert["severity"], severity.as_str(), "{name}: {alert}");
        }
        if let Some(part) = &expected.says {
            let summary = alert["summary"].as_str().unwrap_or_default();
            assert!(summary.contains(part), "{name}: {summary}");
        }
    }
    if !scenario.other_alerts {
        assert_eq!(alerts.len(), scenario.alert.len(), "{name}: {answer}");
    }
}
