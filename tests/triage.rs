//! From an alert to a verdict against the real binary: computed again, judged, held back, and
//! taken back.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

use std::path::Path;
use std::process::{Command, Output};

use chrono::{DateTime, Duration, Utc};
use harness::{Options, Server, TOKEN};
use serde_json::{Value, json};

const DETECTOR: &str = "
detector: first_seen
id: first_seen.address
title: New address
entity: user.id
pair: source.ip
thresholds: { min_events: 10, min_score: 0.3, min_peers: 1 }
";

async fn start(data: &Path, rules: &Path) -> Server {
    let options = Options {
        args: vec!["--rules".into(), rules.display().to_string()],
        ..Options::default()
    };
    Server::start_with(data, &options).await
}

async fn send(server: &Server, events: &[Value]) {
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    let (status, answer) = server.post("/api/v1/events", lines.join("\n")).await;
    assert_eq!(status, 200, "{answer}");
    server.caught_up().await;
}

fn login(at: DateTime<Utc>, user: &str, ip: &str) -> Value {
    json!({"@timestamp": at.to_rfc3339(), "user": {"id": user}, "source": {"ip": ip}})
}

/// The alert of the detector about a user.
async fn about(server: &Server, user: &str) -> Value {
    let entity = format!("user:{user}");
    let query = [
        ("detector", "first_seen.address"),
        ("entity", entity.as_str()),
    ];
    let found = server.get("/api/v1/alerts", &query).await;
    found["alerts"][0].clone()
}

async fn close(server: &Server, alert: &Value, change: Value) {
    let id = alert["id"].as_str().unwrap();
    let request = server
        .http
        .patch(format!("{}/api/v1/alerts/{id}", server.url));
    let response = request
        .bearer_auth(TOKEN)
        .json(&change)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let taken_up = |_, status: &Value| status["detection"]["settings_pending"] == json!(false);
    server.wait("/api/v1/status", taken_up).await;
}

fn explain(server: &Server, alert: &Value) -> Output {
    Command::new(env!("CARGO_BIN_EXE_watchfire"))
        .args(["explain", alert["id"].as_str().unwrap()])
        .args(["--url", &server.url, "--token", TOKEN])
        .output()
        .unwrap()
}

#[tokio::test]
async fn an_alert_is_computed_again_and_verdicts_hold_back_its_like() {
    let (data, rules) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(rules.path().join("new.yml"), DETECTOR).unwrap();
    let server = start(data.path(), rules.path()).await;
    let begun = Utc::now() - Duration::hours(3);
    let second = |s: i64| begun + Duration::seconds(s);
    let usual = |i: i64| login(second(i), &format!("u{}", i % 30), "203.0.113.1");
    send(&server, &(0..300).map(usual).collect::<Vec<_>>()).await;
    for i in 1..4 {
        let login = login(second(400 + i), &format!("u{i}"), &format!("192.0.2.{i}"));
        send(&server, &[login]).await;
    }
    let first = about(&server, "u1").await;
    assert!(
        first["risk"].as_f64().unwrap() > 0.0 && first["held"].is_null(),
        "{first}"
    );
    let known = server.get("/api/v1/entities/user/u1", &[]).await;
    assert!(known["risk"].as_f64().unwrap() > 0.0);

    let said = explain(&server, &first);
    let text = String::from_utf8(said.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{text}{complaint}");
    assert!(
        text.contains("the same alert with the same score"),
        "{text}"
    );
    assert!(text.contains("u1") && text.contains("query"), "{text}");

    for user in ["u1", "u2", "u3"] {
        let verdict = json!({"status": "closed", "reason": "false_positive"});
        close(&server, &about(&server, user).await, verdict).await;
    }
    let path = "/api/v1/rules/first_seen.address/health";
    let health = server.get(path, &[]).await;
    assert_eq!(health["held_by_verdicts"], 3, "{health}");
    assert!(health["held_up_to"].as_f64().unwrap() >= first["score"].as_f64().unwrap() - 1e-3);
    assert!(
        health["cost"]["us_per_event"].as_f64().unwrap() > 0.0,
        "{health}"
    );
    send(&server, &[login(second(500), "u4", "192.0.2.4")]).await;
    let fourth = about(&server, "u4").await;
    assert_eq!(fourth["held"], true, "{fourth}");
    let held = server.get("/api/v1/alerts", &[("held", "true")]).await;
    assert_eq!(
        (held["total"].as_u64(), held["counts"]["held"].as_u64()),
        (Some(1), Some(1))
    );

    close(&server, &first, json!({"status": "open"})).await;
    let health = server.get(path, &[]).await;
    assert_eq!(
        (&health["held_up_to"], &health["held_by_verdicts"]),
        (&Value::Null, &json!(0))
    );
    send(&server, &[login(second(600), "u5", "192.0.2.5")]).await;
    assert!(about(&server, "u5").await["held"].is_null());
    server.stop();
}
