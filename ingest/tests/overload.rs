//! Limits of the intake as a whole: too much, too many, stalled, stopping.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::Fixture;
use watchfire_ingest::IngestConfig;

#[tokio::test]
async fn too_many_lines_or_requests_are_refused_whole() {
    let config = IngestConfig {
        max_lines: 10,
        ..IngestConfig::default()
    };
    let answer = Fixture::with(config).events("{}\n".repeat(11)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (413, "body_too_large")
    );

    let config = IngestConfig {
        max_pending_bytes: 1_000,
        ..IngestConfig::default()
    };
    let fixture = Fixture::with(config);
    let answer = fixture.events("{}\n".repeat(1_000)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (429, "overloaded")
    );
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(
        fixture.events("{}").await.counts(),
        (1, 0, 0),
        "the memory was given back"
    );
}

#[tokio::test]
async fn a_full_queue_is_refused_at_once_and_what_was_taken_is_answered() {
    let config = IngestConfig {
        max_pending_requests: 2,
        batch_rows: 1,
        ..IngestConfig::default()
    };
    let fixture = std::sync::Arc::new(Fixture::with(config));
    fixture.log.with(|s| s.held = true);
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let fixture = fixture.clone();
        tasks.push(tokio::spawn(async move { fixture.events("{}").await }));
    }
    // At most five find a place: committing, closed, open and two in line. The others are
    // answered while the commit hangs.
    let mut refused = 0;
    while refused < 15 {
        tokio::task::yield_now().await;
        let (done, waiting): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|t| t.is_finished());
        for task in done {
            let answer = task.await.unwrap();
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (429, "overloaded")
            );
            refused += 1;
        }
        tasks = waiting;
    }
    fixture.log.with(|s| s.held = false);
    for task in tasks {
        let answer = task.await.unwrap();
        assert!([200, 429].contains(&answer.status.as_u16()));
        refused += u64::from(answer.status == 429);
    }
    assert_eq!(
        fixture.log.with(|s| s.head),
        20 - refused,
        "what was not refused is stored"
    );
}

/// A commit that hangs: who waits is told to come back, and is not stored later behind its back.
#[tokio::test]
async fn a_stalled_queue_is_refused_and_leaves_nothing_behind() {
    let queue_wait = std::time::Duration::from_millis(20);
    let config = IngestConfig {
        batch_rows: 1,
        queue_wait,
        ..IngestConfig::default()
    };
    let fixture = std::sync::Arc::new(Fixture::with(config));
    fixture.log.with(|s| s.held = true);
    let mut tasks = Vec::new();
    for i in 0..20 {
        let fixture = fixture.clone();
        tasks.push(tokio::spawn(async move {
            (i, fixture.events(format!("{{\"id\":\"r{i}\"}}")).await)
        }));
    }
    // A few are in batches, from where nothing is taken back; the others wait in vain.
    while tasks.iter().filter(|t| t.is_finished()).count() < 15 {
        tokio::time::sleep(queue_wait).await;
    }
    fixture.log.with(|s| s.held = false);
    let mut accepted = Vec::new();
    for task in tasks {
        let (i, answer) = task.await.unwrap();
        match answer.status.as_u16() {
            200 => accepted.push(format!("{{\"id\":\"r{i}\"}}")),
            status => assert_eq!((status, answer.code().as_str()), (429, "overloaded")),
        }
    }
    assert!(accepted.len() <= 5);
    assert_eq!(fixture.events("{\"last\":1}").await.status, 200);
    accepted.push("{\"last\":1}".to_owned());
    let mut stored = fixture.log.lines();
    stored.sort();
    accepted.sort();
    assert_eq!(stored, accepted, "what was refused is not stored later");
}

/// A commit that panics is an answer, not the end of the intake.
#[tokio::test]
async fn a_log_that_panics_is_refused_and_the_next_request_is_taken() {
    let fixture = Fixture::new();
    fixture.log.with(|s| s.panics = true);
    let answer = fixture.events("{}").await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (503, "wal_failed")
    );
    assert_eq!(fixture.events("{}").await.counts(), (1, 0, 0));
}

#[tokio::test]
async fn closing_answers_what_was_taken_and_refuses_the_rest() {
    let fixture = std::sync::Arc::new(Fixture::new());
    fixture.log.with(|s| s.held = true);
    let taken = tokio::spawn({
        let fixture = fixture.clone();
        async move { fixture.events("{}").await }
    });
    let log = fixture.log.clone();
    tokio::task::spawn_blocking(move || log.wait_begun(1))
        .await
        .unwrap();
    let ingest = fixture.ingest.clone();
    let closing = tokio::task::spawn_blocking(move || ingest.close());
    while fixture.ingest.admit().is_ok() {
        tokio::task::yield_now().await;
    }
    let answer = fixture.events("{}").await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (503, "draining")
    );
    fixture.log.with(|s| s.held = false);
    closing.await.unwrap();
    assert_eq!(taken.await.unwrap().counts(), (1, 0, 0));
}
