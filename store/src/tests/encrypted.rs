//! The store on an encrypted folder: the same answers, and nothing to be read without the key.

use std::path::Path;

use serde_json::{Value, json};
use watchfire_event::{DeadLetter, EventLog, Query, TimeRange};

use super::bed::{Bed, packed, rebuild, shop_event, verified};
use crate::meta::DetectionCommit;
use crate::vault::MasterKey;
use crate::{Order, SearchRequest, Store};

const MARKER: &str = "purpleelephant";

fn marked(i: u64) -> Value {
    let mut event = shop_event(i);
    event["message"] = json!(format!("{} {MARKER}{i} was here", event["message"]));
    event["trace"]["id"] = json!(format!("{MARKER}{i}"));
    event[format!("{MARKER}_field")] = json!(i);
    event
}

/// Every file below `dir` that holds the marker.
fn readable(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for item in std::fs::read_dir(dir).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            found.extend(readable(&path));
        } else if std::fs::read(&path)
            .unwrap()
            .windows(MARKER.len())
            .any(|w| w.eq_ignore_ascii_case(MARKER.as_bytes()))
        {
            found.push(path.display().to_string());
        }
    }
    found
}

async fn filled(master_key: Option<MasterKey>) -> Bed {
    let mut bed = Bed::with(|c| c.master_key = master_key).await;
    let events: Vec<Value> = (0..300).map(marked).collect();
    for (i, chunk) in events.chunks(60).enumerate() {
        bed.commit(chunk).await;
        if i < 3 {
            bed.seal().await;
        }
    }
    bed.store.dead_letters(vec![DeadLetter {
        received_ns: 1,
        source: "shop".into(),
        line: 1,
        code: "invalid_json",
        bytes: format!("{{{MARKER}").into_bytes(),
    }]);
    let snapshot = Some((300, packed(MARKER.repeat(50).as_bytes())));
    let commit = DetectionCommit {
        position: 300,
        snapshot,
        ..DetectionCommit::default()
    };
    bed.store.meta().commit_detection(&commit).await.unwrap();
    bed
}

/// Everything the store can answer, as text.
async fn answers(bed: &Bed) -> Vec<String> {
    let mut all = Vec::new();
    let texts = [
        "*",
        "purpleelephant7",
        "trace.id:purpleelephant17",
        "message:\"u3 with status\"",
        "NOT service.name:auth",
        "http.response.status_code:>=500",
    ];
    for text in texts {
        let query = Query::parse(text).unwrap();
        let request = SearchRequest {
            query: query.clone(),
            range: TimeRange::ALL,
            limit: 1_000,
            cursor: None,
            order: Order::NewestFirst,
        };
        let page = bed.store.search(request).await.unwrap();
        assert!(page.total > 0, "{text}");
        let hits = page.hits.iter().map(|h| (h.seq, h.time_ns, &h.event));
        all.push(format!("{:?} {}", hits.collect::<Vec<_>>(), page.total));
        let by = Some("service.name".to_owned());
        let histogram = bed.store.histogram(query.clone(), TimeRange::ALL, 10, by);
        all.push(format!("{:?}", histogram.await.unwrap()));
        let fields = vec!["user.id".to_owned(), "trace.id".to_owned()];
        let facets = bed.store.facets(query.clone(), TimeRange::ALL, fields, 5);
        all.push(format!("{:?}", facets.await.unwrap()));
        use futures::StreamExt;
        let export = bed
            .store
            .export_events(query, TimeRange::ALL)
            .await
            .unwrap();
        let mut export = std::pin::pin!(export);
        while let Some(batch) = export.next().await {
            let batch = batch.unwrap();
            let lines = (0..batch.rows()).map(|row| batch.event_json(row).to_string());
            all.push(lines.collect::<Vec<_>>().join("\n"));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_folder_answers_the_same_and_shows_nothing() {
    let key = MasterKey::random().unwrap();
    let mut plain = filled(None).await;
    let mut sealed = filled(Some(key)).await;
    assert!(sealed.store.status().encrypted && !plain.store.status().encrypted);
    assert!(
        !readable(plain.dir.path()).is_empty(),
        "the test can see a marker"
    );
    for _ in 0..2 {
        assert_eq!(answers(&sealed).await, answers(&plain).await);
        assert_eq!(readable(sealed.dir.path()), Vec::<String>::new());
        let letters = sealed.store.list_dead_letters(None, 9).unwrap();
        assert_eq!(letters, plain.store.list_dead_letters(None, 9).unwrap());
        assert_eq!(letters.len(), 1);
        let state = sealed.store.meta().load_detection().await.unwrap();
        assert_eq!(state, plain.store.meta().load_detection().await.unwrap());
        assert!(state.is_some_and(|s| s.snapshot.starts_with(MARKER.as_bytes())));
        (plain, sealed) = (plain.reopen().await, sealed.reopen().await);
    }
    let index = sealed.store.shared.view.get().segments[0].index().is_some();
    assert!(index, "the index is in use");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_key_the_folder_does_not_open_and_stays_as_it_is() {
    let bed = filled(Some(MasterKey::random().unwrap())).await;
    bed.store.close().await;
    for (key, code) in [
        (None, "master_key_missing"),
        (Some(MasterKey::random().unwrap()), "wrong_master_key"),
    ] {
        let mut config = bed.config.clone();
        config.master_key = key.clone();
        let opened = Store::open(config, rebuild()).await;
        assert_eq!(opened.err().unwrap().code(), code);
        let verified = verified(bed.dir.path(), key.as_ref()).await;
        assert_eq!(verified.unwrap_err().code(), code);
    }
    let key = bed.config.master_key.as_ref();
    let report = verified(bed.dir.path(), key).await.unwrap();
    assert!(report.ok, "{report:?}");
    // Without the wrapped key nothing is taken for damaged, and nothing is lost.
    let keys = bed.dir.path().join("keys.json");
    let kept = std::fs::read(&keys).unwrap();
    std::fs::remove_file(&keys).unwrap();
    for key in [None, key.cloned()] {
        let mut config = bed.config.clone();
        config.master_key = key;
        let opened = Store::open(config, rebuild()).await;
        assert_eq!(opened.err().unwrap().code(), "keys_missing");
    }
    std::fs::write(&keys, kept).unwrap();
    let store = Store::open(bed.config.clone(), rebuild()).await.unwrap();
    assert_eq!(store.status().rows, 300);
    assert!(store.status().damaged_segments.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_folder_is_not_encrypted_by_halves() {
    let bed = filled(None).await;
    bed.store.close().await;
    let mut config = bed.config.clone();
    config.master_key = Some(MasterKey::random().unwrap());
    let opened = Store::open(config, rebuild()).await;
    assert_eq!(opened.err().unwrap().code(), "plain_data");
    assert!(!bed.dir.path().join("keys.json").exists());
}
