//! Backups made while events keep coming, restored and compared.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::Value;
use watchfire_event::{DeadLetter, EventLog, Query, TimeRange};

use super::bed::{Bed, build, now_ns, rebuild, record, shop_event, verified};
use crate::vault::MasterKey;
use crate::{Order, SearchRequest, Store, StoreConfig, backup};

/// Every event that matches, by sequence number.
async fn found(store: &Store, text: &str) -> BTreeMap<u64, Value> {
    let request = SearchRequest {
        query: Query::parse(text).unwrap(),
        range: TimeRange::ALL,
        limit: 10_000,
        cursor: None,
        order: Order::OldestFirst,
    };
    let page = store.search(request).await.unwrap();
    assert!(!page.partial && page.cursor.is_none());
    page.hits.into_iter().map(|h| (h.seq, h.event)).collect()
}

async fn restored(bed: &Bed, repository: &Path, to: &Path) -> Store {
    let from = repository.to_owned();
    let into = to.to_owned();
    let work = move || backup::restore(&from, None, &into).unwrap();
    tokio::task::spawn_blocking(work).await.unwrap();
    let key = bed.config.master_key.as_ref();
    let report = verified(to, key).await.unwrap();
    assert!(report.ok, "{report:?}");
    let mut config = bed.config.clone();
    config.data_dir = to.to_owned();
    Store::open(config, rebuild()).await.unwrap()
}

fn letter() -> DeadLetter {
    DeadLetter {
        received_ns: 1,
        source: "shop".into(),
        line: 1,
        code: "invalid_json",
        bytes: b"{bad".to_vec(),
    }
}

/// Backs up while another thread commits and the test seals; whatever was acknowledged before is
/// in it, and what is in it was committed.
async fn backs_up_under_load(change: impl FnOnce(&mut StoreConfig)) {
    let mut bed = Bed::with(|c| {
        c.seal_rows = 150;
        c.log_file_bytes = 4_000;
        change(c);
    })
    .await;
    bed.store.set_detect_position(u64::MAX);
    bed.commit(&(0..100).map(shop_event).collect::<Vec<_>>())
        .await;
    bed.store.dead_letters(vec![letter()]);
    let (stop, acknowledged) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let shipper = {
        let (store, stop, acknowledged) = (bed.store.clone(), stop.clone(), acknowledged.clone());
        tokio::task::spawn_blocking(move || {
            for i in (100..).step_by(5) {
                if stop.load(Ordering::Acquire) || i >= 4_000 {
                    return i;
                }
                let events: Vec<Value> = (i..i + 5).map(shop_event).collect();
                let one = record(&events, now_ns(), Vec::new());
                let first = store
                    .commit(build(std::slice::from_ref(&one)), &[one])
                    .unwrap();
                acknowledged.store(first + 4, Ordering::Release);
            }
            0
        })
    };
    let repository = bed.dir.path().join("../").canonicalize().unwrap();
    let repository = tempfile::tempdir_in(repository).unwrap();
    let mut before = 0;
    for _ in 0..4 {
        bed.seal().await;
        before = acknowledged.load(Ordering::Acquire).max(100);
        let report = bed.store.backup(repository.path(), None).await.unwrap();
        assert!(report.head >= before && report.missing.is_empty());
    }
    stop.store(true, Ordering::Release);
    shipper.await.unwrap();
    compare_restored(&bed, repository.path(), before).await;
}

/// Restores the newest snapshot and compares it with the store it is of.
async fn compare_restored(bed: &Bed, repository: &Path, before: u64) {
    let to = tempfile::tempdir().unwrap();
    let store = restored(bed, repository, to.path()).await;
    let all = found(&store, "*").await;
    assert!(store.head() >= before);
    assert_eq!(all.len() as u64, store.head(), "without a gap");
    for text in [
        "*",
        "service.name:auth",
        "status 401",
        "user.id:u3 OR ok:true",
    ] {
        let mut expected = found(&bed.store, text).await;
        expected.retain(|seq, _| *seq <= store.head());
        assert_eq!(found(&store, text).await, expected, "{text}");
    }
    assert_eq!(
        store.list_dead_letters(None, 9).unwrap(),
        bed.store.list_dead_letters(None, 9).unwrap()
    );
    // It goes on as if nothing had been.
    let one = record(&[shop_event(7)], now_ns(), Vec::new());
    let work = {
        let store = store.clone();
        move || {
            store
                .commit(build(std::slice::from_ref(&one)), &[one])
                .unwrap()
        }
    };
    let head = store.head();
    assert_eq!(tokio::task::spawn_blocking(work).await.unwrap(), head + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_holds_what_was_acknowledged() {
    backs_up_under_load(|_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_an_encrypted_folder_is_encrypted() {
    backs_up_under_load(|c| c.master_key = Some(MasterKey::random().unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_backup_takes_new_segments_only_and_old_ones_go() {
    let mut bed = Bed::new().await;
    let repository = tempfile::tempdir().unwrap();
    let take = |bed: &Bed, keep| {
        let (store, to) = (bed.store.clone(), repository.path().to_owned());
        async move { store.backup(&to, keep).await.unwrap() }
    };
    for i in 0..3 {
        let events: Vec<Value> = (i * 20..i * 20 + 20).map(shop_event).collect();
        bed.commit(&events).await;
        bed.seal().await;
    }
    let first = take(&bed, None).await;
    assert_eq!((first.segments, first.new_segments), (3, 3));
    // What was lost from the repository comes back with the next backup.
    let pooled = std::fs::read_dir(repository.path().join("segments")).unwrap();
    let pooled = pooled.map(|item| item.unwrap().path()).min().unwrap();
    std::fs::remove_file(pooled.join("events.parquet")).unwrap();
    let mended = take(&bed, None).await;
    assert_eq!((mended.segments, mended.new_segments), (3, 1));
    let again = take(&bed, None).await;
    assert_eq!((again.segments, again.new_segments), (3, 0));
    bed.commit(&[shop_event(99)]).await;
    bed.seal().await;
    let third = take(&bed, None).await;
    assert_eq!((third.segments, third.new_segments), (4, 1));
    // One segment takes the place of all: the old ones go with the snapshots that need them.
    assert!(crate::compact::run(&bed.store.shared).await.unwrap());
    let merged = take(&bed, Some(2)).await;
    assert_eq!((merged.segments, merged.new_segments), (1, 1));
    let old = [first.snapshot, mended.snapshot, again.snapshot];
    assert_eq!(merged.removed_snapshots, old);
    assert_eq!(merged.removed_segments, 0);
    let last = take(&bed, Some(1)).await;
    assert_eq!(last.removed_snapshots, [third.snapshot, merged.snapshot]);
    assert_eq!(last.removed_segments, 4);
    let to = tempfile::tempdir().unwrap();
    let store = restored(&bed, repository.path(), to.path()).await;
    assert_eq!(found(&store, "*").await, found(&bed.store, "*").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_refused_by_the_name_of_the_file() {
    let mut bed = Bed::new().await;
    bed.commit(&(0..60).map(shop_event).collect::<Vec<_>>())
        .await;
    bed.seal().await;
    bed.commit(&(60..80).map(shop_event).collect::<Vec<_>>())
        .await;
    let config = bed.config.clone();
    bed.store.close().await;
    // Offline; on its own copies, since links would damage the folder as well.
    let repository = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let report = backup::backup(&config.data_dir, repository.path(), None)
        .await
        .unwrap();
    assert_eq!((report.head, report.segments), (80, 1));
    let mut files = Vec::new();
    let mut open = vec![repository.path().to_owned()];
    while let Some(dir) = open.pop() {
        for item in std::fs::read_dir(dir).unwrap() {
            let path = item.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => files.push(path),
            }
        }
    }
    let mut tried = 0;
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).unwrap();
        // The lock, and the pool's own list, are not needed for restoring.
        if bytes.is_empty() || name == "lock" || name == "files.json" {
            continue;
        }
        tried += 1;
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        let to = tempfile::tempdir().unwrap();
        let refused = backup::restore(repository.path(), None, to.path()).unwrap_err();
        assert_eq!(refused.code(), "corrupt", "{name}");
        assert!(refused.to_string().contains(&name), "{refused}");
        assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 0, "{name}");
        std::fs::write(&path, &bytes).unwrap();
    }
    assert!(tried > 5, "{tried}");
    let to = tempfile::tempdir().unwrap();
    backup::restore(repository.path(), Some(&report.snapshot), to.path()).unwrap();
    let twice = backup::restore(repository.path(), None, to.path()).unwrap_err();
    assert_eq!(twice.code(), "invalid_request");
    let none = backup::restore(repository.path(), Some("1999"), &to.path().join("x")).unwrap_err();
    assert_eq!(none.code(), "invalid_request");
    // One that was killed in the midst is not taken for a folder with fewer events.
    std::fs::create_dir(to.path().join("restoring")).unwrap();
    let half = Store::open(StoreConfig::new(to.path()), rebuild()).await;
    assert_eq!(half.err().unwrap().code(), "invalid_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_backups_do_not_share_a_repository_at_a_time() {
    let bed = Bed::new().await;
    let repository = tempfile::tempdir().unwrap();
    let lock = crate::log::LockFile::acquire(&repository.path().join("lock")).unwrap();
    let refused = bed.store.backup(repository.path(), None).await.unwrap_err();
    assert_eq!(refused.code(), "backup_running");
    drop(lock);
    let empty = bed.store.backup(repository.path(), None).await.unwrap();
    assert_eq!((empty.head, empty.segments), (0, 0));
}
