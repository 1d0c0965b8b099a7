//! What `verify` finds beyond checksums: parts that do not fit each other.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::bed::{Bed, shop_event, verified};
use crate::log::{Receipt, ReceiptCheck};
use crate::vault::{MasterKey, Vault};
use crate::{StoreConfig, VerifyOptions, VerifyReport};

/// Three segments and a few rows in the log, not open.
async fn resting(change: impl FnOnce(&mut StoreConfig)) -> (tempfile::TempDir, StoreConfig) {
    let mut bed = Bed::with(change).await;
    for part in 0..3 {
        let events: Vec<Value> = (part * 80..part * 80 + 80).map(shop_event).collect();
        bed.commit(&events).await;
        bed.seal().await;
    }
    bed.commit(&[shop_event(500), shop_event(501)]).await;
    let Bed {
        dir, store, config, ..
    } = bed;
    store.close().await;
    (dir, config)
}

fn segment_dirs(dir: &Path) -> Vec<PathBuf> {
    let items = std::fs::read_dir(dir.join("segments")).unwrap();
    let mut dirs: Vec<PathBuf> = items.map(|item| item.unwrap().path()).collect();
    dirs.sort();
    dirs
}

/// Changes what a segment tells of itself, checksums included, as a fault of a writer would.
fn rewrite(segment: &Path, change: impl FnOnce(&mut Value)) {
    let path = segment.join("segment.json");
    let mut sealed: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut sealed["segment"]);
    let text = sealed["segment"].to_string();
    let crc = crc32c::crc32c(text.as_bytes());
    std::fs::write(&path, format!("{{\"crc32c\":{crc},\"segment\":{text}}}")).unwrap();
}

/// Does something to what a segment tells of itself.
type Change = fn(&mut Value);

async fn sql(dir: &Path, text: &str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.join("meta.sqlite"));
    let pool = sqlx::sqlite::SqlitePool::connect_with(options)
        .await
        .unwrap();
    sqlx::query(sqlx::AssertSqlSafe(text))
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
}

async fn damage(dir: &Path) -> String {
    let report: VerifyReport = verified(dir, None).await.unwrap();
    assert!(!report.ok);
    report.damaged.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_folder_is_compared_in_all_its_parts() {
    for key in [None, Some(MasterKey::random().unwrap())] {
        let (dir, config) = resting(|c| c.master_key = key).await;
        let steps = Arc::new(Mutex::new(Vec::new()));
        let told = steps.clone();
        let options = VerifyOptions {
            master_key: config.master_key.clone(),
            progress: Some(Arc::new(move |p| {
                told.lock().unwrap().push((p.segments, p.of))
            })),
            ..VerifyOptions::default()
        };
        let report = crate::verify(dir.path(), options).await.unwrap();
        assert!(report.ok, "{report:?}");
        assert_eq!(
            (report.segments, report.segment_rows, report.log.head),
            (3, 240, 242)
        );
        let compared = report.compared;
        assert!(
            compared.columns > 20 && compared.words > 100,
            "{compared:?}"
        );
        assert!(compared.values > 100, "{compared:?}");
        assert_eq!(*steps.lock().unwrap(), [(0, 3), (1, 3), (2, 3), (3, 3)]);
    }
}

/// What `segment.json` tells of the files whose names begin so.
fn files(segment: &Path, prefix: &str) -> Vec<Value> {
    let text = std::fs::read(segment.join("segment.json")).unwrap();
    let sealed: Value = serde_json::from_slice(&text).unwrap();
    let all = sealed["segment"]["files"].as_array().unwrap().iter();
    all.filter(|f| f["name"].as_str().unwrap().starts_with(prefix))
        .cloned()
        .collect()
}

/// Puts files of one segment in the place of another's, with right checksums everywhere.
async fn exchange(dir: &Path, (from, to): (&Path, &Path), prefix: &str) {
    for file in files(to, prefix) {
        std::fs::remove_file(to.join(file["name"].as_str().unwrap())).unwrap();
    }
    let foreign = files(from, prefix);
    for file in &foreign {
        let name = file["name"].as_str().unwrap();
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
    rewrite(to, |info| {
        let all = info["files"].as_array_mut().unwrap();
        all.retain(|f| !f["name"].as_str().unwrap().starts_with(prefix));
        all.extend(foreign);
    });
    let told = files(to, "").into_iter();
    let bytes: u64 = told.map(|f| f["bytes"].as_u64().unwrap()).sum();
    let change = format!("UPDATE segments SET bytes = {bytes} WHERE first_seq = 1");
    sql(dir, &change).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_or_a_filter_of_other_rows_is_found() {
    for (prefix, expected) in [("index/", "the index of"), ("filters", "the filter of")] {
        let (dir, _) = resting(|_| {}).await;
        let segments = segment_dirs(dir.path());
        exchange(dir.path(), (&segments[1], &segments[0]), prefix).await;
        let found = damage(dir.path()).await;
        assert!(found.contains(expected), "{found}");
        assert_eq!(found.lines().count(), 1, "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_segment_json_tells_must_be_what_is_there() {
    let (dir, _) = resting(|_| {}).await;
    let segment = segment_dirs(dir.path())[1].clone();
    let kept = std::fs::read(segment.join("segment.json")).unwrap();
    let cases: [(&str, Change); 3] = [
        ("manifest", |info| info["created_ns"] = json!(7)),
        ("values, not 3", |info| {
            info["columns"][0]["rows"] = json!(3)
        }),
        ("other columns", |info| {
            info["columns"].as_array_mut().unwrap().pop();
        }),
    ];
    for (expected, change) in cases {
        rewrite(&segment, change);
        let found = damage(dir.path()).await;
        assert!(found.contains(expected), "{expected}: {found}");
        std::fs::write(segment.join("segment.json"), &kept).unwrap();
    }
    assert!(verified(dir.path(), None).await.unwrap().ok);
    // Wrong in the manifest as well, so that only the rows can tell.
    rewrite(&segment, |info| {
        info["max_time_ns"] = json!(info["max_time_ns"].as_i64().unwrap() + 5);
    });
    let same = "UPDATE segments SET max_time_ns = max_time_ns + 5 WHERE first_seq = 81";
    sql(dir.path(), same).await;
    let found = damage(dir.path()).await;
    assert!(found.contains("reach beyond"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_do_not_agree_are_told() {
    let (dir, _) = resting(|_| {}).await;
    let cases = [
        (
            "UPDATE positions SET seq = 300 WHERE reader = 'store'",
            "UPDATE positions SET seq = 240 WHERE reader = 'store'",
            "the log ends at 242",
        ),
        (
            "UPDATE positions SET seq = 100 WHERE reader = 'store'",
            "UPDATE positions SET seq = 240 WHERE reader = 'store'",
            "ends after 100",
        ),
        (
            "UPDATE segments SET last_seq = 90 WHERE first_seq = 1",
            "UPDATE segments SET last_seq = 80 WHERE first_seq = 1",
            "both claim the events 81 to 90",
        ),
    ];
    for (change, undo, expected) in cases {
        sql(dir.path(), change).await;
        let report = verified(dir.path(), None).await.unwrap();
        let found = report.contradictions.join("\n");
        assert!(!report.ok && found.contains(expected), "{report:?}");
        sql(dir.path(), undo).await;
    }
    assert!(verified(dir.path(), None).await.unwrap().ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_compared_with_the_log() {
    let (dir, _) = resting(|_| {}).await;
    let (log, _) = crate::log::Log::open(
        &dir.path().join("log"),
        crate::log::LogConfig::default(),
        &Vault::PLAIN,
    )
    .unwrap();
    let (first, record) = log.read_from(240, 1).unwrap().remove(0);
    drop(log);
    let right = Receipt::of(first, &record);
    let text = right.to_string();
    let other_digit = if text.ends_with('0') { '1' } else { '0' };
    let wrong = format!("{}{other_digit}", &text[..text.len() - 1]);
    let wrong: Receipt = wrong.parse().unwrap();
    let options = VerifyOptions {
        receipts: vec![right, wrong],
        ..VerifyOptions::default()
    };
    let report = crate::verify(dir.path(), options).await.unwrap();
    assert!(!report.ok);
    assert_eq!(report.receipts[0].receipt, text);
    let found: Vec<ReceiptCheck> = report.receipts.iter().map(|r| r.found).collect();
    assert_eq!(found, [ReceiptCheck::Kept, ReceiptCheck::Altered]);
}
