//! Stored once: resends, ids, and the same key twice at the same moment.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;

use support::Fixture;
use watchfire_event::CommitError;
use watchfire_ingest::IngestConfig;

const EVENTS: &str = "/api/v1/events";

#[tokio::test]
async fn a_resend_with_the_same_key_is_a_duplicate() {
    let fixture = Fixture::new();
    let key = [("idempotency-key", "k1")];
    let body = "{\"a\":1}\nbad\n{\"a\":2}";
    assert_eq!(fixture.post(EVENTS, &key, body).await.counts(), (2, 0, 1));
    for _ in 0..3 {
        let answer = fixture.post(EVENTS, &key, body).await;
        assert_eq!((answer.status.as_u16(), answer.counts()), (200, (0, 2, 1)));
    }
    let other = [("idempotency-key", "k2")];
    assert_eq!(fixture.post(EVENTS, &other, body).await.counts(), (2, 0, 1));
    assert_eq!(fixture.log.lines().len(), 4);
    assert_eq!(
        fixture.log.with(|s| s.dead.len()),
        2,
        "a resend is no second dead letter"
    );
}

#[tokio::test]
async fn another_body_under_a_known_key_is_refused() {
    let fixture = Fixture::new();
    let key = [("idempotency-key", "k1")];
    let first = "{\"a\":1}\n{\"a\":2}";
    assert_eq!(fixture.post(EVENTS, &key, first).await.counts(), (2, 0, 0));
    for other in ["{\"a\":1}", "{\"a\":1}\n{\"a\":2}\n{\"a\":3}", "bad"] {
        let answer = fixture.post(EVENTS, &key, other).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (422, "idempotency_key_reused"),
            "{other}"
        );
    }
    assert_eq!(fixture.post(EVENTS, &key, first).await.counts(), (0, 2, 0));
    assert_eq!(fixture.log.lines().len(), 2);
}

#[tokio::test]
async fn a_key_of_a_request_that_stored_nothing_is_free() {
    let fixture = Fixture::new();
    let key = [("idempotency-key", "k1")];
    assert_eq!(fixture.post(EVENTS, &key, "bad").await.status, 400);
    fixture
        .log
        .with(|s| s.failures.push(CommitError::DiskReserve));
    assert_eq!(fixture.post(EVENTS, &key, "{}").await.status, 503);
    assert_eq!(fixture.post(EVENTS, &key, "{}").await.counts(), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_at_the_same_moment_stores_once() {
    for round in 0..50 {
        let config = IngestConfig {
            batch_rows: 1 + round % 4,
            ..IngestConfig::default()
        };
        let fixture = Arc::new(Fixture::with(config));
        let mut tasks = Vec::new();
        for i in 0..16 {
            let fixture = fixture.clone();
            tasks.push(tokio::spawn(async move {
                let key = format!("k{}", i % 2);
                let headers = [("idempotency-key", key.as_str())];
                fixture.post(EVENTS, &headers, "{\"a\":1}\n{\"a\":2}").await
            }));
        }
        let mut total = (0, 0);
        for task in tasks {
            let (accepted, duplicate, rejected) = task.await.unwrap().counts();
            assert_eq!((accepted + duplicate, rejected), (2, 0));
            total = (total.0 + accepted, total.1 + duplicate);
        }
        assert_eq!(total, (4, 28), "round {round}");
        assert_eq!(fixture.log.lines().len(), 4, "round {round}");
    }
}

/// A duplicate is not acknowledged before what it repeats is durable, and fails with it.
#[tokio::test]
async fn a_duplicate_of_what_is_on_its_way_shares_its_fate() {
    for fails in [true, false] {
        let fixture = Arc::new(Fixture::new());
        fixture.log.with(|s| {
            s.held = true;
            if fails {
                s.failures.push(CommitError::LogFailed("sync".into()));
            }
        });
        let send = |n: usize| {
            let fixture = fixture.clone();
            tokio::spawn(async move {
                let headers = [("idempotency-key", "k")];
                (n, fixture.post(EVENTS, &headers, "{}").await)
            })
        };
        let first = send(1);
        let log = fixture.log.clone();
        tokio::task::spawn_blocking(move || log.wait_begun(1))
            .await
            .unwrap();
        let second = send(2);
        // Its door puts it in line within these turns; then the batcher takes it.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        while fixture.ingest.pending_requests() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(!second.is_finished(), "acknowledged before it was durable");
        fixture.log.with(|s| s.held = false);
        let (first, second) = (first.await.unwrap().1, second.await.unwrap().1);
        if fails {
            assert_eq!(
                (first.status.as_u16(), first.code().as_str()),
                (503, "wal_failed")
            );
            // A batcher that looked only after the failure finds the key free and stores it.
            let stored = fixture.log.with(|s| s.head);
            match second.status.as_u16() {
                503 => assert_eq!((second.code().as_str(), stored), ("wal_failed", 0)),
                _ => assert_eq!((second.counts(), stored), ((1, 0, 0), 1)),
            }
        } else {
            assert_eq!((first.counts(), second.counts()), ((1, 0, 0), (0, 1, 0)));
            assert_eq!(fixture.log.lines().len(), 1);
        }
    }
}

#[tokio::test]
async fn an_event_id_on_the_same_line_is_a_duplicate_in_any_grouping() {
    let fixture = Fixture::new();
    let line = |id: &str, n: u32| format!("{{\"event\":{{\"id\":\"{id}\"}},\"n\":{n}}}");
    let first = [line("a", 1), line("b", 1), line("a", 2), line("a", 1)].join("\n");
    assert_eq!(fixture.events(first).await.counts(), (3, 1, 0));
    let second = [
        line("b", 1),
        "{\"n\":1}".into(),
        line("c", 1),
        "{\"n\":1}".into(),
    ]
    .join("\n");
    let answer = fixture.events(second).await;
    assert_eq!(answer.counts(), (3, 1, 0));
    let third = [line("a", 1), line("b", 1)].join("\n");
    let answer = fixture.events(third).await;
    assert_eq!((answer.status.as_u16(), answer.counts()), (200, (0, 2, 0)));
    let (rows, lines) = fixture.log.with(|s| {
        let rows: Vec<String> = s
            .batches
            .iter()
            .flat_map(|b| (0..b.rows()).map(|row| b.event_json(row).to_string()))
            .collect();
        (rows, s.head)
    });
    assert_eq!(rows, fixture.log.lines(), "rows and lines are the same");
    assert_eq!(lines, 6);
}

/// Many requests at once: every receipt names exactly the lines of its own request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_and_sequence_numbers_fit_under_load() {
    let config = IngestConfig {
        batch_rows: 64,
        ..IngestConfig::default()
    };
    let fixture = Arc::new(Fixture::with(config));
    let mut tasks = Vec::new();
    for request in 0..200_usize {
        let fixture = fixture.clone();
        tasks.push(tokio::spawn(async move {
            let lines: Vec<String> = (0..request % 23)
                .map(|i| match (request + i) % 5 {
                    0 => format!("broken {request} {i}"),
                    _ => format!("{{\"request\":{request},\"line\":{i}}}"),
                })
                .collect();
            (lines.clone(), fixture.events(lines.join("\n")).await)
        }));
    }
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    let stored = fixture.log.lines();
    let mut accepted = 0;
    for (lines, answer) in answers {
        let good: Vec<String> = lines
            .iter()
            .filter(|l| l.starts_with('{'))
            .cloned()
            .collect();
        let bad = (lines.len() - good.len()) as u64;
        assert_eq!(answer.counts(), (good.len() as u64, 0, bad));
        accepted += good.len();
        if let Some(receipt) = answer.json()["receipt"].as_str() {
            let numbers: Vec<usize> = receipt.split('-').filter_map(|n| n.parse().ok()).collect();
            assert_eq!(&stored[numbers[0] - 1..numbers[1]], good.as_slice());
        }
    }
    assert_eq!(stored.len(), accepted);
    let rows: Vec<String> = fixture.log.with(|s| {
        let batches = s.batches.iter();
        batches
            .flat_map(|b| (0..b.rows()).map(|row| b.event_text(row)))
            .collect()
    });
    let same = |a: &str, b: &str| {
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        read(a) == read(b)
    };
    assert!(rows.iter().zip(&stored).all(|(row, line)| same(row, line)));
    assert_eq!(rows.len(), stored.len());
}
