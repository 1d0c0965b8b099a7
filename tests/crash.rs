//! Killed again and again under load: nothing acknowledged is lost, nothing is doubled.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use harness::{Options, Server, TOKEN};
use serde_json::{Value, json};

const KILLS: u64 = 4;
const SHIPPERS: u64 = 4;
const LINES: u64 = 50;

/// Ten failed logins of one address on one account; the pack has a rule for it.
fn attack(round: u64) -> String {
    let at = chrono::Utc::now();
    let line = |i: i64| {
        json!({
            "@timestamp": (at + chrono::Duration::milliseconds(i)).to_rfc3339(),
            "service": {"name": "auth"},
            "event": {"category": ["authentication"], "action": "login", "outcome": "failure"},
            "user": {"id": format!("victim-{round}")},
            "source": {"ip": format!("198.51.100.{round}")},
        })
    };
    (0..40).map(|i| line(i).to_string() + "\n").collect()
}

/// Posts batches until told to stop; every batch is sent again until it is acknowledged.
async fn ship(
    http: reqwest::Client,
    url: String,
    next: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> BTreeSet<u64> {
    let mut acknowledged = BTreeSet::new();
    while !stop.load(Ordering::Acquire) {
        let batch = next.fetch_add(1, Ordering::AcqRel);
        let body: String = (0..LINES)
            .map(|i| format!("{{\"id\":\"b{batch}-{i}\"}}\n"))
            .collect();
        while !stop.load(Ordering::Acquire) {
            let sent = http
                .post(format!("{url}/api/v1/events"))
                .bearer_auth(TOKEN)
                .header("idempotency-key", format!("batch-{batch}"))
                .body(body.clone())
                .send()
                .await;
            if sent.is_ok_and(|r| r.status() == 200) {
                acknowledged.insert(batch);
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    acknowledged
}

async fn rows(server: &Server, sql: &str) -> Vec<Value> {
    let body = json!({ "sql": format!("{sql} LIMIT 10000") }).to_string();
    let (status, answer) = server.post("/api/v1/sql", body).await;
    assert_eq!(status, 200, "{answer}");
    answer["rows"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_and_double_nothing() {
    kill_often(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_and_double_nothing_of_an_encrypted_folder() {
    let key = ("WATCHFIRE_MASTER_KEY".to_owned(), "5a".repeat(32));
    kill_often(Options {
        env: vec![key],
        ..Options::default()
    })
    .await;
}

async fn kill_often(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let next = Arc::new(AtomicU64::new(0));
    let mut acknowledged = BTreeSet::new();
    for round in 0..KILLS {
        let server = Server::start_with(dir.path(), &options).await;
        let stop = Arc::new(AtomicBool::new(false));
        let shippers: Vec<_> = (0..SHIPPERS)
            .map(|_| {
                let (http, url) = (server.http.clone(), server.url.clone());
                tokio::spawn(ship(http, url, next.clone(), stop.clone()))
            })
            .collect();
        let (status, answer) = server.post("/api/v1/events", attack(round)).await;
        assert_eq!(status, 200, "{answer}");
        tokio::time::sleep(Duration::from_millis(150 + 170 * round)).await;
        server.kill();
        stop.store(true, Ordering::Release);
        for shipper in shippers {
            acknowledged.extend(shipper.await.unwrap());
        }
    }
    let server = Server::start_with(dir.path(), &options).await;
    // A batch whose answer was lost may be there or not, but never twice.
    let resent = acknowledged.iter().next().copied().unwrap();
    let body: String = (0..LINES)
        .map(|i| format!("{{\"id\":\"b{resent}-{i}\"}}\n"))
        .collect();
    let key = format!("batch-{resent}");
    let (_, answer) = server
        .post_with("/api/v1/events", body, &[("idempotency-key", &key)])
        .await;
    assert_eq!(answer["duplicate"], LINES, "{answer}");
    server.caught_up().await;

    let doubled = "SELECT id FROM events WHERE id IS NOT NULL GROUP BY id HAVING count(*) > 1";
    assert_eq!(
        rows(&server, doubled).await,
        Vec::<Value>::new(),
        "stored twice"
    );
    let counts = "SELECT split_part(id, '-', 1), count(*) FROM events GROUP BY 1";
    let stored: BTreeMap<String, u64> = rows(&server, counts)
        .await
        .iter()
        .filter_map(|row| Some((row[0].as_str()?.to_owned(), row[1].as_u64()?)))
        .collect();
    for batch in &acknowledged {
        let found = stored.get(&format!("b{batch}")).copied();
        assert_eq!(found, Some(LINES), "batch {batch} was acknowledged");
    }

    for round in 0..KILLS {
        let entity = format!("victim-{round}");
        let found = server.get("/api/v1/alerts", &[("entity", &entity)]).await;
        let alerts = found["alerts"].as_array().unwrap();
        assert!(!alerts.is_empty(), "no alert for {entity}");
        let detectors: BTreeSet<&str> = alerts
            .iter()
            .filter_map(|a| a["detector"].as_str())
            .collect();
        assert_eq!(detectors.len(), alerts.len(), "doubled: {found}");
    }
    server.stop();
}
