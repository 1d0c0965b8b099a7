//! Going through stored events once more.

use std::time::Duration;

use serde_json::json;
use watchfire_event::{Query, TimeRange};

use super::bed::Bed;

const LONG: Duration = Duration::from_secs(60);

/// Three segments and rows in memory; within each, times run against the numbers.
async fn bed() -> Bed {
    let mut bed = Bed::new().await;
    for part in 0..4_i64 {
        let event = |i: i64| {
            let t = 1_760_000_000_000 + part * 100_000 + (500 - i) * 7;
            let kind = if i % 9 == 0 { "rare" } else { "often" };
            json!({ "t": t, "n": part * 500 + i, "kind": kind })
        };
        let events: Vec<_> = (0..500).map(event).collect();
        bed.commit(&events).await;
        if part < 3 {
            bed.seal().await;
        }
    }
    bed
}

#[tokio::test(flavor = "multi_thread")]
async fn matching_events_come_in_the_order_of_their_arrival() {
    let bed = bed().await;
    let replay = bed.store.replay(TimeRange::ALL);
    let names: Vec<String> = replay.shapes().iter().map(|s| s.name.to_string()).collect();
    assert!(names.contains(&"kind".to_owned()), "{names:?}");
    assert_eq!(replay.rows(), 2_000);
    let query = Query::parse("kind:rare").unwrap();
    let fields = ["n".to_owned(), "_seq".to_owned()];
    let (mut numbers, mut searched) = (Vec::new(), 0);
    let take = |part: crate::Replayed| {
        searched += part.searched;
        for batch in &part.batches {
            assert!(batch.columns().iter().all(|c| &*c.name == "n"));
            for row in 0..batch.rows() {
                numbers.push(batch.event_json(row)["n"].as_i64().unwrap());
            }
        }
        true
    };
    replay.run(&query, Some(&fields), LONG, take).unwrap();
    let expected: Vec<i64> = (0..2_000).filter(|n| n % 500 % 9 == 0).collect();
    assert_eq!((numbers, searched), (expected, 2_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_can_be_stopped_and_is_limited_in_time() {
    let bed = bed().await;
    let replay = bed.store.replay(TimeRange::ALL);
    let mut parts = 0;
    let stop = |_| {
        parts += 1;
        false
    };
    replay.run(&Query::all(), None, LONG, stop).unwrap();
    assert_eq!(parts, 1);
    let late = replay.run(&Query::all(), None, Duration::ZERO, |_| true);
    assert_eq!(late.unwrap_err().code(), "query_limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_found_by_their_numbers() {
    let bed = bed().await;
    let replay = bed.store.replay(TimeRange::ALL);
    let found = replay.events(&[1_999, 3, 1_000, 9_999]).unwrap();
    let found: Vec<(u64, i64)> = found
        .iter()
        .map(|hit| (hit.seq, hit.event["n"].as_i64().unwrap()))
        .collect();
    assert_eq!(found, [(1_999, 1_998), (3, 2), (1_000, 999)]);
}
