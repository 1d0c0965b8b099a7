//! The life of events: kept across restarts, sealed once, remembered, let go.

use std::time::Duration;

use serde_json::{Value, json};
use watchfire_event::{CommitError, EventLog, Query, TimeRange};

use super::bed::{Bed, WAIT, build, now_ns, rebuild, record, shop_event};
use crate::{Order, SearchRequest, Store, StoreError};

async fn all_events(store: &Store) -> Vec<(u64, Value)> {
    let request = SearchRequest {
        query: Query::all(),
        range: TimeRange::ALL,
        limit: 10_000,
        cursor: None,
        order: Order::OldestFirst,
    };
    let page = store.search(request).await.unwrap();
    let mut events: Vec<(u64, Value)> = page
        .hits
        .into_iter()
        .map(|hit| (hit.seq, hit.event))
        .collect();
    events.sort_by_key(|(seq, _)| *seq);
    events
}

fn numbered(events: Vec<Value>) -> Vec<(u64, Value)> {
    (1..).zip(events).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_events_survive_a_drop_without_close() {
    let mut bed = Bed::new().await;
    let events: Vec<Value> = (0..50).map(shop_event).collect();
    assert_eq!(bed.commit(&events[..20]).await, 1);
    bed.seal().await;
    assert_eq!(bed.commit(&events[20..]).await, 21);
    let Bed {
        dir,
        store,
        config,
        all,
    } = bed;
    drop(store);
    let store = Store::open(config.clone(), rebuild()).await.unwrap();
    assert_eq!(store.head(), 50);
    let status = store.status();
    assert_eq!(
        (status.segments, status.sealed, status.memory_rows),
        (1, 20, 30)
    );
    let bed = Bed {
        dir,
        store,
        config,
        all,
    };
    assert_eq!(all_events(&bed.store).await, numbered(bed.events()));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_sealed_by_themselves_once_there_are_enough() {
    let mut bed = Bed::with(|c| c.seal_rows = 64).await;
    let events: Vec<Value> = (0..200).map(shop_event).collect();
    for chunk in events.chunks(7) {
        bed.commit(chunk).await;
    }
    let sealed = async {
        while bed.store.status().memory_rows >= 64 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WAIT, sealed).await.unwrap();
    let status = bed.store.status();
    assert!(status.segments >= 2, "{status:?}");
    assert_eq!(status.rows, 200);
    assert_eq!(all_events(&bed.store).await, numbered(events));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_a_crash_left_behind_is_removed_and_sealed_again() {
    let mut bed = Bed::new().await;
    bed.commit(&(0..30).map(shop_event).collect::<Vec<_>>())
        .await;
    let segments = bed.dir.path().join("segments");
    // As after a crash between the rename and the manifest, and in the midst of writing.
    crate::segment::write_segment(
        &segments,
        &crate::vault::Vault::PLAIN,
        "0000000000000001-0000000000000030",
        &bed.batch(),
        1,
    )
    .unwrap();
    std::fs::create_dir_all(segments.join("0000000000000031-0000000000000040.tmp/index")).unwrap();
    let bed = bed.reopen().await;
    assert_eq!(std::fs::read_dir(&segments).unwrap().count(), 0);
    assert_eq!(all_events(&bed.store).await, numbered(bed.events()));
    bed.seal().await;
    assert_eq!(all_events(&bed.store).await, numbered(bed.events()));
    assert_eq!(bed.store.status().segments, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_is_left_out_and_told() {
    let mut bed = Bed::new().await;
    let events: Vec<Value> = (0..60).map(shop_event).collect();
    bed.commit(&events[..30]).await;
    bed.seal().await;
    bed.commit(&events[30..]).await;
    bed.seal().await;
    let id = bed.store.shared.view.get().segments[0].info.id.clone();
    let parquet = bed
        .dir
        .path()
        .join("segments")
        .join(&id)
        .join("events.parquet");
    let bytes = std::fs::read(&parquet).unwrap();
    std::fs::write(&parquet, &bytes[..bytes.len() - 1]).unwrap();
    let bed = bed.reopen().await;
    let status = bed.store.status();
    assert_eq!(status.damaged_segments.len(), 1);
    assert_eq!(
        (
            status.damaged_segments[0].id.as_str(),
            status.damaged_segments[0].rows
        ),
        (id.as_str(), 30)
    );
    let kept = all_events(&bed.store).await;
    assert_eq!(kept, numbered(bed.events()).split_off(30));
    // Repaired by hand, it is back.
    std::fs::write(&parquet, &bytes).unwrap();
    let bed = bed.reopen().await;
    assert_eq!(all_events(&bed.store).await, numbered(bed.events()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_any_file_is_found_by_the_scrub() {
    let mut bed = Bed::new().await;
    bed.commit(&(0..60).map(shop_event).collect::<Vec<_>>())
        .await;
    bed.seal().await;
    let segment = bed.store.shared.view.get().segments[0].clone();
    assert!(
        segment
            .info
            .files
            .iter()
            .any(|f| f.name.starts_with("index/"))
    );
    segment.verify().unwrap();
    for file in &segment.info.files {
        let path = segment.dir.join(&file.name);
        let bytes = std::fs::read(&path).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 4;
        std::fs::write(&path, &flipped).unwrap();
        assert_eq!(
            segment.verify().unwrap_err().code(),
            "corrupt",
            "{}",
            file.name
        );
        std::fs::write(&path, &bytes).unwrap();
    }
    let path = segment.dir.join("events.parquet");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    crate::scrub::Scrub::default().run(&bed.store.shared).await;
    let status = bed.store.status();
    assert_eq!((status.rows, status.damaged_segments.len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_remembered_in_memory_in_segments_and_across_restarts() {
    let mut bed = Bed::new().await;
    let keys = [[1; 16], [2; 16], [3; 16]];
    bed.commit_record(record(&[json!({"a": 1})], now_ns(), vec![keys[0]]))
        .await;
    bed.seal().await;
    bed.commit_record(record(&[json!({"a": 2})], now_ns(), vec![keys[1], keys[2]]))
        .await;
    for key in &keys {
        assert!(bed.store.seen(key));
    }
    let bed = bed.reopen().await;
    for key in &keys {
        assert!(bed.store.seen(key), "{key:?}");
    }
    assert!(!bed.store.seen(&[9; 16]));
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_get_every_row_in_order_from_memory_and_from_the_log() {
    let mut bed = Bed::new().await;
    let events: Vec<Value> = (0..90).map(shop_event).collect();
    for chunk in events.chunks(9) {
        bed.commit(chunk).await;
    }
    for stage in ["memory", "sealed", "reopened"] {
        if stage == "sealed" {
            bed.seal().await;
        }
        if stage == "reopened" {
            bed = bed.reopen().await;
        }
        let (mut after, mut read) = (4, Vec::new());
        while after < bed.store.head() {
            for batch in bed.store.read_after(after, 13).unwrap() {
                read.extend((0..batch.rows()).map(|r| (batch.seq().value(r), batch.event_json(r))));
            }
            after = read.last().unwrap().0;
        }
        assert_eq!(read, numbered(events.clone()).split_off(4), "{stage}");
    }
    assert!(bed.store.read_after(90, 10).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_keeps_what_detection_has_not_read() {
    let mut bed = Bed::with(|c| c.log_file_bytes = 1).await;
    for i in 0..10 {
        bed.commit(&[shop_event(i)]).await;
    }
    bed.seal().await;
    assert!(bed.store.status().log_files >= 10);
    bed.store.set_detect_position(7);
    // Whoever sets the position wakes the task that trims.
    let trimmed = async {
        while bed.store.status().log_files >= 6 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WAIT, trimmed).await.unwrap();
    let bed = bed.reopen().await;
    let rest = bed.store.read_after(7, 100).unwrap();
    let seqs: Vec<u64> = rest
        .iter()
        .flat_map(|b| b.seq().values().to_vec())
        .collect();
    assert_eq!(seqs, [8, 9, 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_each_event_once_while_others_commit_and_seal() {
    let bed = Bed::with(|c| c.seal_rows = 40).await;
    let store = bed.store.clone();
    let writer = tokio::task::spawn_blocking(move || {
        for i in 0..150 {
            let one = record(&[shop_event(i), shop_event(i + 1_000)], now_ns(), vec![]);
            store
                .commit(build(std::slice::from_ref(&one)), &[one])
                .unwrap();
        }
    });
    while bed.store.head() < 300 {
        let before = bed.store.head();
        let request = SearchRequest {
            query: Query::all(),
            range: TimeRange::ALL,
            limit: 10_000,
            cursor: None,
            order: Order::NewestFirst,
        };
        let page = bed.store.search(request).await.unwrap();
        let after = bed.store.head();
        let seqs: std::collections::BTreeSet<u64> = page.hits.iter().map(|h| h.seq).collect();
        assert_eq!(seqs.len() as u64, page.total);
        assert_eq!(
            seqs.last().copied().unwrap_or_default(),
            page.total,
            "no gap"
        );
        // A commit becomes visible just before the head says so.
        assert!(
            before <= page.total && page.total <= after + 2,
            "{before} {} {after}",
            page.total
        );
    }
    writer.await.unwrap();
    assert!(bed.store.status().segments > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_segments_go_and_say_so() {
    let mut bed = Bed::with(|c| c.retention = Duration::from_secs(3_600)).await;
    let old = now_ns() - 2 * 3_600 * 1_000_000_000;
    bed.commit_record(record(&[json!({"age": "old"})], old, vec![]))
        .await;
    bed.seal().await;
    bed.commit(&[json!({"age": "new"})]).await;
    bed.seal().await;
    let folders = || {
        std::fs::read_dir(bed.dir.path().join("segments"))
            .unwrap()
            .count()
    };
    crate::retention::Retention::default()
        .run(&bed.store.shared)
        .await;
    assert_eq!(all_events(&bed.store).await, [(2, json!({"age": "new"}))]);
    let gone = async {
        while folders() > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WAIT, gone).await.unwrap();
    let bed = bed.reopen().await;
    assert_eq!(all_events(&bed.store).await, [(2, json!({"age": "new"}))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_segments_go_when_there_are_too_many_bytes() {
    let mut bed = Bed::with(|c| c.retention_bytes = Some(1)).await;
    for i in 0..3 {
        bed.commit(&[shop_event(i)]).await;
        bed.seal().await;
    }
    crate::retention::Retention::default()
        .run(&bed.store.shared)
        .await;
    assert_eq!(bed.store.status().rows, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_refused_with_a_reason() {
    let bed = Bed::with(|c| c.memory_limit_bytes = 0).await;
    let one = record(&[json!({"a": 1})], now_ns(), vec![]);
    let commit = |store: &Store| {
        store.commit(
            build(std::slice::from_ref(&one)),
            std::slice::from_ref(&one),
        )
    };
    let (store, batch) = (bed.store.clone(), build(std::slice::from_ref(&one)));
    assert_eq!(
        commit(&store),
        Ok(1),
        "the limit is looked at before the commit"
    );
    // The row may be sealed before the next commit looks.
    assert!(matches!(
        commit(&store),
        Err(CommitError::Overloaded(_)) | Ok(2)
    ));
    assert!(matches!(
        store.commit(batch, &[]),
        Err(CommitError::LogFailed(_))
    ));
    bed.store.close().await;
    assert_eq!(commit(&store), Err(CommitError::Draining));

    let bed = Bed::with(|c| c.disk_reserve_bytes = Some(u64::MAX)).await;
    assert_eq!(bed.store.admit(), Err(CommitError::DiskReserve));
    assert_eq!(bed.store.status().refused.disk_reserve, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_belongs_to_one_store() {
    let bed = Bed::new().await;
    let second = Store::open(bed.config.clone(), rebuild()).await;
    assert!(matches!(second.err(), Some(StoreError::Locked(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_reach_the_tail_and_the_head() {
    let mut bed = Bed::new().await;
    let (mut tail, mut head) = (bed.store.tail(), bed.store.watch_head());
    bed.commit(&[json!({"a": 1}), json!({"a": 2})]).await;
    assert_eq!(tail.recv().await.unwrap().seq().values().to_vec(), [1, 2]);
    head.changed().await.unwrap();
    assert_eq!(*head.borrow(), 2);
}
