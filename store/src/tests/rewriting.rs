//! Segments put in the place of others: the same answers before, after and after any crash.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use watchfire_event::{Query, TimeRange};

use super::answers::check;
use super::bed::{Bed, WAIT, now_ns, record, shop_event};
use crate::classes::Classes;
use crate::compact;
use crate::meta::RewriteCause;
use crate::rewrite::Rewrite;
use crate::{Order, RetentionClass, SearchRequest};

const QUERIES: [&str; 5] = [
    "*",
    "service.name:auth",
    "http.response.status_code:[400 TO 500] -user.roles:admin",
    "handled \"api 7\" u3",
    "trace.id:00000000000000009e3779b97f4a7c15",
];

async fn check_all(bed: &Bed, stage: &str) {
    for query in QUERIES {
        check(bed, query, TimeRange::ALL, stage).await;
    }
    let view = bed.store.shared.view.get();
    let seqs: Vec<(u64, u64)> = view
        .segments
        .iter()
        .map(|s| (s.info.first_seq, s.info.last_seq))
        .collect();
    assert!(
        seqs.windows(2).all(|w| w[0].1 < w[1].0),
        "{stage}: {seqs:?}"
    );
    let ids: Vec<String> = view.segments.iter().map(|s| s.info.id.clone()).collect();
    let manifest = bed.store.meta().segments().await.unwrap();
    let listed: Vec<String> = manifest.into_iter().map(|row| row.id).collect();
    assert_eq!(ids, listed, "{stage}: the view is the manifest, in order");
}

/// Commits events in segments of these sizes.
async fn sealed(sizes: &[u64], seal_rows: usize) -> Bed {
    let mut bed = Bed::with(|c| c.seal_rows = seal_rows).await;
    let mut next = 0;
    for size in sizes {
        let events: Vec<Value> = (next..next + size).map(shop_event).collect();
        next += size;
        bed.commit(&events).await;
        bed.seal().await;
    }
    bed
}

#[tokio::test(flavor = "multi_thread")]
async fn small_neighbours_become_one_and_their_folders_go() {
    let mut bed = sealed(&[9, 5, 7, 3, 8], 100).await;
    bed.commit(&[shop_event(90)]).await;
    assert!(compact::run(&bed.store.shared).await.unwrap());
    assert!(!compact::run(&bed.store.shared).await.unwrap());
    let segments = bed.store.shared.view.get().segments.clone();
    let ids: Vec<&str> = segments.iter().map(|s| s.info.id.as_str()).collect();
    assert_eq!(ids, ["0000000000000001-0000000000000032-1"]);
    check_all(&bed, "merged").await;
    let folders = std::fs::read_dir(bed.dir.path().join("segments")).unwrap();
    assert_eq!(folders.count(), 1);
    let bed = bed.reopen().await;
    check_all(&bed, "reopened").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_that_are_being_read_stay_until_nobody_reads_them() {
    let bed = sealed(&[9, 5, 7, 3], 100).await;
    let old = bed.store.shared.view.get();
    assert!(compact::run(&bed.store.shared).await.unwrap());
    for segment in &old.segments {
        segment.verify().unwrap();
    }
    let dirs: Vec<_> = old.segments.iter().map(|s| s.dir.clone()).collect();
    drop(old);
    assert!(dirs.iter().all(|dir| !dir.exists()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_step_leaves_the_old_or_the_new() {
    let bed = sealed(&[9, 5, 7, 3], 100).await;
    let shared = &bed.store.shared;
    let inputs = shared.view.get().segments.clone();
    let rewrite = Rewrite::merge(&inputs);
    let segment = rewrite.write(shared.segments_dir()).await.unwrap();
    let crashed = bed.crashed().await;
    check_all(&crashed, "written").await;
    assert_eq!(crashed.store.status().segments, 4);
    // What the crash left does not hold up the next attempt.
    assert!(compact::run(&crashed.store.shared).await.unwrap());
    check_all(&crashed, "written, then merged").await;

    let cause = RewriteCause::Compaction;
    rewrite
        .enter(shared, segment.as_deref(), &cause)
        .await
        .unwrap();
    let crashed = bed.crashed().await;
    check_all(&crashed, "in the manifest").await;
    assert_eq!(crashed.store.status().segments, 1);

    rewrite.swap(shared, segment);
    check_all(&bed, "in the view").await;
    let crashed = bed.crashed().await;
    check_all(&crashed, "done, old folders still there").await;
    drop((inputs, rewrite));
    check_all(&bed.crashed().await, "done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_that_went_away_are_not_brought_back() {
    let bed = sealed(&[9, 5, 7, 3], 100).await;
    let shared = &bed.store.shared;
    let inputs = shared.view.get().segments.clone();
    let gone = inputs[1].info.id.clone();
    shared
        .meta
        .remove_segments(std::slice::from_ref(&gone), "retention")
        .await
        .unwrap();
    shared.view.remove(&[gone]);
    let done = Rewrite::merge(&inputs)
        .run(shared, &RewriteCause::Compaction)
        .await
        .unwrap();
    assert!(done.is_none());
    let left = bed.store.meta().segments().await.unwrap();
    assert_eq!((left.len(), bed.store.status().rows), (3, 19));
    let tmp = std::fs::read_dir(bed.dir.path().join("segments")).unwrap();
    assert_eq!(tmp.count(), 4, "what was written for nothing is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_is_not_copied_into_a_sound_one() {
    let bed = sealed(&[9, 5, 7, 3], 100).await;
    let path = bed.store.shared.view.get().segments[2]
        .dir
        .join("events.parquet");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[50] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(!compact::run(&bed.store.shared).await.unwrap());
    let status = bed.store.status();
    assert_eq!((status.damaged_segments.len(), status.segments), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn days_of_receipt_are_not_mixed() {
    let mut bed = Bed::with(|c| c.seal_rows = 100).await;
    let day = 86_400_000_000_000;
    for (i, age) in [2, 2, 1, 1, 1, 1].into_iter().enumerate() {
        let event = shop_event(i as u64);
        bed.commit_record(record(&[event], now_ns() - age * day, vec![]))
            .await;
        bed.seal().await;
    }
    while compact::run(&bed.store.shared).await.unwrap() {}
    let rows: Vec<u64> = bed
        .store
        .shared
        .view
        .get()
        .segments
        .iter()
        .map(|s| s.info.rows)
        .collect();
    assert_eq!(rows, [1, 1, 4]);
    check_all(&bed, "merged").await;
}

async fn kept(bed: &Bed) -> Vec<u64> {
    let request = SearchRequest {
        query: Query::all(),
        range: TimeRange::ALL,
        limit: 1_000,
        cursor: None,
        order: Order::OldestFirst,
    };
    let page = bed.store.search(request).await.unwrap();
    let mut seqs: Vec<u64> = page.hits.iter().map(|hit| hit.seq).collect();
    seqs.sort_unstable();
    seqs
}

/// What the audit trail says was removed by retention classes.
async fn removed(bed: &Bed) -> u64 {
    let audit = bed.store.meta().list_audit(None, 100).await.unwrap();
    let rows = audit.iter().filter(|row| row.what == "segments.rewrite");
    rows.map(|row| row.detail["events"].as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_of_events_goes_earlier_and_says_so() {
    let class = |query: &str, days: u64| RetentionClass {
        query: Query::parse(query).unwrap(),
        keep: Duration::from_secs(days * 86_400),
    };
    let mut bed = Bed::new().await;
    let day = 86_400_000_000_000;
    let debug = json!({"service": {"name": "debug-a"}, "level": "info", "only": "here"});
    let trace = json!({"service": {"name": "shop"}, "level": "trace"});
    let plain = json!({"service": {"name": "shop"}, "level": "info"});
    let events = [debug.clone(), trace.clone(), plain];
    for age in [5, 2, 0] {
        bed.commit_record(record(&events, now_ns() - age * day, vec![]))
            .await;
        bed.seal().await;
    }
    // A segment of which nothing is left.
    bed.commit_record(record(&[debug, trace], now_ns() - 5 * day, vec![]))
        .await;
    bed.seal().await;
    bed.commit(&events).await;
    bed.config.retention_classes = vec![class("service.name:debug-*", 3), class("level:trace", 1)];
    let bed = bed.reopen().await;
    let done = async {
        while bed.store.status().rows > 9 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WAIT, done).await.unwrap();
    let expected = [3, 4, 6, 7, 8, 9, 12, 13, 14];
    assert_eq!(
        kept(&bed).await,
        expected,
        "young rows and rows in memory stay"
    );
    assert_eq!(bed.store.status().segments, 3);
    let fields = bed.store.fields().await.unwrap();
    let only = fields.iter().find(|f| f.name == "only").unwrap();
    assert_eq!(only.events, 3, "no trace of what went: {only:?}");

    assert_eq!(removed(&bed).await, 5);
    let before: Vec<_> = bed.store.meta().segments().await.unwrap();
    Classes::default().run(&bed.store.shared).await.unwrap();
    assert_eq!(bed.store.meta().segments().await.unwrap(), before);
    let bed = bed.reopen().await;
    assert_eq!(kept(&bed).await, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn answers_do_not_depend_on_how_rows_are_cut(
        sizes in prop::collection::vec(1u64..12, 1..14),
        seal_rows in prop::sample::select(vec![20usize, 30, 100]),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bed = sealed(&sizes, seal_rows).await;
            let before = bed.store.status();
            let mut merges = 0;
            while compact::run(&bed.store.shared).await.unwrap() {
                merges += 1;
                assert!(merges < 20, "compaction comes to an end");
            }
            check_all(&bed, "merged").await;
            let after = bed.store.status();
            assert_eq!((after.rows, after.head), (before.rows, before.head));
            let largest = bed.store.shared.view.get().segments.iter().map(|s| s.rows()).max();
            assert!(merges == 0 || largest.unwrap() < seal_rows * 2);
            check_all(&bed.crashed().await, "crashed").await;
        });
    }
}
