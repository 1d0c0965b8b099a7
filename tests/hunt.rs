//! Threat lists and backtests against the real binary: a list in a query, in a rule and after it
//! changed; rules tried on events that are stored, as the API and the command line tell it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

use std::path::Path;
use std::process::Command;

use chrono::{Duration, Utc};
use harness::{Options, Server, TOKEN};
use serde_json::{Value, json};

const RULE: &str = "
title: Back door
id: door
logsource: { category: webserver }
detection:
    selection: { cs-uri-query|startswith: /backdoor }
    condition: selection
level: high
";

fn event(n: i64, ip: &str, path: &str) -> Value {
    let at = Utc::now() - Duration::seconds(600 - n);
    json!({
        "@timestamp": at.to_rfc3339(), "service": {"name": "gate"}, "n": n,
        "http": {"request": {"method": "GET"}, "response": {"status_code": 200}},
        "url": {"path": path}, "source": {"ip": ip}, "user_agent": {"original": "Mozilla"},
    })
}

async fn start(data: &Path, lists: &Path) -> Server {
    let options = Options {
        args: vec!["--intel".into(), lists.display().to_string()],
        ..Options::default()
    };
    Server::start_with(data, &options).await
}

async fn send(server: &Server, events: Vec<Value>) {
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    let headers = [("content-type", "application/x-ndjson")];
    let sent = server.post_with("/api/v1/events", lines.join("\n"), &headers);
    let (status, answer) = sent.await;
    assert_eq!(status, 200, "{answer}");
    server.caught_up().await;
}

async fn total(server: &Server, query: &str) -> u64 {
    let found = server.get("/api/v1/search", &[("q", query)]).await;
    found["total"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_finds_and_alerts_and_follows_its_file() {
    let (data, lists) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let write = |name: &str, text: &str| std::fs::write(lists.path().join(name), text).unwrap();
    write("bad_hosts.txt", "203.0.113.0/24\n");
    write("broken.json", "{");
    let server = start(data.path(), lists.path()).await;
    let events = vec![
        event(1, "203.0.113.9", "/"),
        event(2, "198.51.100.7", "/"),
        event(3, "192.0.2.1", "/"),
    ];
    send(&server, events).await;
    assert_eq!(total(&server, "source.ip:@bad_hosts").await, 1);
    assert_eq!(total(&server, "n:* AND NOT source.ip:@bad_hosts").await, 2);
    let known = server
        .get("/api/v1/intel", &[("value", "203.0.113.77")])
        .await;
    assert_eq!(known["lists"][0]["counts"]["networks"], 1, "{known}");
    assert_eq!(known["faults"][0]["code"], "invalid_list", "{known}");
    assert_eq!(
        known["found"],
        json!([{"list": "bad_hosts", "indicator": "203.0.113.0/24"}])
    );
    let alerts = server.get("/api/v1/alerts", &[]).await;
    let summary = alerts["alerts"][0]["summary"].as_str().unwrap_or_default();
    let wanted = "on the list bad_hosts as 203.0.113.0/24";
    assert!(summary.contains(wanted), "{alerts}");

    write("bad_hosts.txt", "203.0.113.0/24\n198.51.100.7\n");
    let all_read = |_, body: &Value| body["lists"][0]["counts"]["addresses"] == 1;
    server.wait("/api/v1/intel", all_read).await;
    assert_eq!(total(&server, "source.ip:@bad_hosts").await, 2);
    let (_, refused) = server
        .post(
            "/api/v1/rules/backtest",
            r#"{"text":"x","exception":"a:@worse"}"#,
        )
        .await;
    assert_eq!(refused["code"], "unknown_list", "{refused}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_is_tried_on_what_is_stored() {
    let (data, lists) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = start(data.path(), lists.path()).await;
    let ip = |n: i64| format!("192.0.2.{}", n % 2);
    let path = |n: i64| match n % 10 {
        0 => "/backdoor/x",
        _ => "/",
    };
    let events = (0..200).map(|n| event(n, &ip(n / 10), path(n)));
    send(&server, events.collect()).await;

    let body = json!({"text": RULE, "from": "now-1h", "exception": "source.ip:192.0.2.1"});
    let (status, found) = server
        .post("/api/v1/rules/backtest", body.to_string())
        .await;
    assert_eq!(status, 200, "{found}");
    assert_eq!(
        (&found["matches"], &found["alerts"]),
        (&json!(20), &json!(2))
    );
    assert_eq!(
        (&found["rows_read"], &found["rows_stored"]),
        (&json!(20), &json!(200))
    );
    assert_eq!(found["rules"][0]["matches"], 20);
    let exception = &found["exception"];
    assert_eq!(
        (&exception["matches_hidden"], &exception["alerts_hidden"]),
        (&json!(10), &json!(1))
    );
    assert_eq!(found["samples"].as_array().unwrap().len(), 20);
    // Nobody is told.
    let alerts = server
        .get("/api/v1/alerts", &[("detector", "sigma:door")])
        .await;
    assert_eq!(alerts["alerts"], json!([]));

    let file = lists.path().join("door.yml");
    std::fs::write(&file, RULE).unwrap();
    let output = tokio::task::spawn_blocking({
        let url = server.url.clone();
        move || {
            Command::new(env!("CARGO_BIN_EXE_watchfire"))
                .args(["rules", "backtest", "--last", "1h"])
                .arg(file)
                .env("WATCHFIRE_URL", url)
                .env("WATCHFIRE_TOKEN", TOKEN)
                .output()
                .unwrap()
        }
    });
    let output = output.await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let remarks = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("20 matches, 2 alerts; 20 of 200 events"),
        "{told}{remarks}"
    );
    server.stop();
}
