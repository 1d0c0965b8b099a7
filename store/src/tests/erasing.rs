//! Erasure: everything else stays, no byte of the erased is left, and a crash changes nothing.

use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int32Type;
use proptest::prelude::*;
use serde_json::{Value, json};
use watchfire_event::{Alert, DeadLetter, EventLog, Query, TimeRange};

use super::bed::{Bed, now_ns, packed, shop_event};
use crate::compact;
use crate::erase::Erasures;
use crate::meta::{DetectionCommit, Erasure, ErasureStatus, NewChannel, RewriteCause};
use crate::rewrite::Rewrite;
use crate::seal::seal_up_to;
use crate::search::Source;
use crate::segment::Rows;
use crate::{EraseRequest, Order, SearchRequest, StoreError};

const MARKER: &str = "zqxmarker77";

fn request(query: &str) -> EraseRequest {
    EraseRequest {
        query: Query::parse(query).unwrap(),
        range: TimeRange::ALL,
        all: false,
        reason: "asked for by the person".into(),
        by: "ada".into(),
        from_addr: Some("192.0.2.1".into()),
    }
}

async fn found(bed: &Bed, query: &str) -> Vec<(u64, Value)> {
    let request = SearchRequest {
        query: Query::parse(query).unwrap(),
        range: TimeRange::ALL,
        limit: 10_000,
        cursor: None,
        order: Order::OldestFirst,
    };
    let page = bed.store.search(request).await.unwrap();
    let hits = page.hits.into_iter().map(|hit| (hit.seq, hit.event));
    let mut events: Vec<(u64, Value)> = hits.collect();
    events.sort_by_key(|(seq, _)| *seq);
    events
}

/// What detection does: reads, forgets what it is asked to, saves its state.
async fn detect(bed: &Bed) {
    let store = &bed.store;
    let position = store.head();
    store.read_after(position, 1).unwrap();
    for (id, _) in store.to_forget() {
        let commit = DetectionCommit {
            alerts: &[],
            position,
            snapshot: Some((position, packed(b"nothing of it"))),
        };
        store.meta().commit_detection(&commit).await.unwrap();
        store.set_detect_position(position);
        store.has_forgotten(&id);
    }
}

/// Runs the steps until the erasure is done.
async fn finish(bed: &Bed, id: &str) -> Erasure {
    let mut erasures = Erasures::default();
    for _ in 0..20 {
        erasures.run(&bed.store.shared).await.unwrap();
        let erasure = bed.store.erasure(id).await.unwrap();
        if erasure.status == ErasureStatus::Done {
            return erasure;
        }
        detect(bed).await;
    }
    panic!("not done: {:?}", bed.store.erasure(id).await.unwrap());
}

fn files(dir: &Path, out: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => files(&entry.path(), out),
            false => out.push(entry.path()),
        }
    }
}

/// Looks for a text in every byte of every file, and in what compressed files hold.
fn assert_no_trace(bed: &Bed, text: &str, stage: &str) {
    let mut all = Vec::new();
    files(bed.dir.path(), &mut all);
    for path in all {
        let bytes = std::fs::read(&path).unwrap();
        let lower = bytes.to_ascii_lowercase();
        let at = lower.windows(text.len()).position(|w| w == text.as_bytes());
        let around = |at: usize| {
            let part = &bytes[at.saturating_sub(120)..(at + 120).min(bytes.len())];
            String::from_utf8_lossy(part).into_owned()
        };
        assert_eq!(at.map(around), None, "{stage}: {}", path.display());
    }
    let shared = &bed.store.shared;
    for (first, record) in shared.log.read_from(0, usize::MAX).unwrap() {
        let lines = String::from_utf8_lossy(&record.lines).to_lowercase();
        assert!(!lines.contains(text), "{stage}: the log at {first}");
    }
    for segment in &shared.view.get().segments {
        for batch in segment.batches(|_| true, &Rows::All, 64).unwrap() {
            let record = batch.unwrap().to_record_batch().unwrap();
            for column in record.columns() {
                if let Some(dictionary) = column.as_dictionary_opt::<Int32Type>() {
                    let values = dictionary.values().as_string::<i32>();
                    assert!(
                        !values.iter().flatten().any(|v| v.contains(text)),
                        "{stage}"
                    );
                } else {
                    assert!(!format!("{:?}", column.slice(0, column.len())).contains(text));
                }
            }
        }
        for column in &segment.info.columns {
            let rows = segment
                .index()
                .map(|i| i.rows(&column.stored, text).unwrap());
            let count = rows.flatten().map_or(0, |mask| mask.count_set_bits());
            assert_eq!(count, 0, "{stage}: the index of {}", column.name);
        }
    }
}

/// Every third event is about the marked user; rows lie merged, sealed and in memory.
async fn mixed(config: impl FnOnce(&mut crate::StoreConfig)) -> (Bed, Vec<(u64, Value)>) {
    let mut bed = Bed::with(config).await.quiet().await;
    let event = |i: u64| {
        let mut event = shop_event(i);
        if i.is_multiple_of(3) {
            event["user"]["id"] = json!(MARKER);
            event["message"] = json!(format!("{MARKER} came {i} times and left"));
            event[format!("only_{}", i % 2)] = json!({ "of": "some" });
        }
        event
    };
    let events: Vec<Value> = (0..90).map(event).collect();
    for chunk in events[..40].chunks(8) {
        bed.commit(chunk).await;
        bed.seal().await;
    }
    assert!(compact::run(&bed.store.shared).await.unwrap());
    // Of this segment nothing is left, of the next all.
    let (marked, plain): (Vec<Value>, Vec<Value>) = (
        event_range(&events, 40, 60, true),
        event_range(&events, 40, 60, false),
    );
    bed.commit(&marked).await;
    bed.seal().await;
    bed.commit(&plain).await;
    bed.seal().await;
    bed.commit(&events[60..75]).await;
    bed.commit(&events[75..]).await;
    let all = (1..).zip(bed.events());
    let kept = all.filter(|(_, event)| event["user"]["id"] != MARKER);
    let kept = kept.collect();
    (bed, kept)
}

fn event_range(events: &[Value], from: usize, to: usize, marked: bool) -> Vec<Value> {
    let chosen = events[from..to].iter();
    let chosen = chosen.filter(|event| (event["user"]["id"] == MARKER) == marked);
    chosen.cloned().collect()
}

fn alert(id: &str, who: &str, first: u64) -> Alert {
    serde_json::from_value(json!({
        "id": id, "ts": 1_760_000_420.5, "t0": 1_760_000_300.0, "t1": 1_760_000_420.0,
        "status": "open", "severity": "high", "score": 7.3, "detector": "rate.x",
        "kind": "statistic", "title": "Many", "summary": format!("{who} failed 7 times"),
        "entities": {"user": [who]},
        "evidence": {"query": format!("user.id:\"{who}\""), "events": [first.to_string()], "baseline": {}},
        "tags": [], "count": 7,
    }))
    .unwrap()
}

/// Copies of events elsewhere: alerts with deliveries and comments, a saved state, refused lines.
async fn leave_copies(bed: &Bed, later: &str) {
    let meta = bed.store.meta();
    let channel = NewChannel {
        name: "pager".into(),
        kind: "webhook".into(),
        url: "https://example.org/hook".into(),
        query: None,
    };
    meta.create_channel(&channel).await.unwrap();
    let alerts = [
        alert("a1", MARKER, 3),
        alert("a2", "u5", 4),
        alert("a3", later, 900),
    ];
    let commit = DetectionCommit {
        alerts: &alerts,
        position: 10,
        snapshot: Some((10, packed(format!("state of {MARKER}").as_bytes()))),
    };
    meta.commit_detection(&commit).await.unwrap();
    meta.add_comment("a2", &format!("like {MARKER} before"), "ada")
        .await
        .unwrap();
    meta.add_comment("a2", "looks fine", "ada").await.unwrap();
    let letter = |text: &str| DeadLetter {
        received_ns: now_ns(),
        source: "shop".into(),
        line: 1,
        code: "invalid_json",
        bytes: text.as_bytes().to_vec(),
    };
    let cut = format!("{{\"user\": \"{MARKER}\", ");
    bed.store
        .dead_letters(vec![letter(&cut), letter("{\"user\": \"u5\", ")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn erased_events_are_hidden_at_once_and_then_no_byte_is_left() {
    let (bed, kept) = mixed(|_| {}).await;
    leave_copies(&bed, MARKER).await;
    let begun = bed
        .store
        .erase(request(&format!("user.id:{MARKER}")))
        .await
        .unwrap();
    assert_eq!(
        (begun.status, begun.up_to_seq),
        (ErasureStatus::Running, 90)
    );
    assert_eq!(found(&bed, "*").await, kept, "at once");
    assert!(found(&bed, MARKER).await.is_empty());

    let done = finish(&bed, &begun.id).await;
    assert_eq!(found(&bed, "*").await, kept);
    let gone = 90 - kept.len() as u64;
    assert_eq!(done.events, gone);
    assert_eq!((done.alerts, done.dead_letters), (1, 1), "{done:?}");
    assert!(
        done.segments_rewritten >= 2 && done.segments_dropped == 1,
        "{done:?}"
    );
    assert!(done.log_files >= 1 && done.finished_ns.is_some() && done.query.is_none());
    assert_eq!(bed.store.status().rows, 90 - gone);

    // The third alert rests on events that came later.
    let meta = bed.store.meta();
    assert!(meta.get_alert("a1").await.unwrap().is_none());
    assert!(meta.get_alert("a3").await.unwrap().is_some());
    let comments: Vec<_> = meta.alert_history("a2").await.unwrap();
    let texts: Vec<&str> = comments.iter().filter_map(|c| c.to.as_deref()).collect();
    assert_eq!(texts, ["[erased]", "looks fine"]);
    assert_eq!(bed.store.list_dead_letters(None, 10).unwrap().len(), 1);

    let audit = meta.list_audit(None, 100).await.unwrap();
    let whats: Vec<&str> = audit.iter().map(|row| row.what.as_str()).collect();
    assert!(
        whats.contains(&"erasure.request") && whats.contains(&"erasure.done"),
        "{whats:?}"
    );
    let by_hash = audit
        .iter()
        .find(|row| row.what == "erasure.request")
        .unwrap();
    assert_eq!(by_hash.detail["query_hash"], json!(done.query_hash));
    assert_eq!(by_hash.who, "ada");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_holds_what_was_erased_and_later_events_stay() {
    let (mut bed, kept) = mixed(|_| {}).await;
    leave_copies(&bed, "u6").await;
    let begun = bed
        .store
        .erase(request(&format!("user.id:{MARKER}")))
        .await
        .unwrap();
    // Events go on arriving while it runs.
    bed.commit(&[json!({"user": {"id": "u9"}})]).await;
    finish(&bed, &begun.id).await;
    assert_eq!(found(&bed, "*").await.len(), kept.len() + 1);
    let bed = bed.reopen().await;
    let traces: Vec<_> = bed.store.meta().list_audit(None, 100).await.unwrap();
    assert!(!serde_json::to_string(&traces).unwrap().contains(MARKER));
    assert_no_trace(&bed, MARKER, "after a restart");
    let mut bed = bed.quiet().await;
    let seq = bed.commit(&[json!({"user": {"id": MARKER}})]).await;
    assert_eq!(
        found(&bed, MARKER).await.len(),
        1,
        "what comes later is not erased: {seq}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_step_ends_in_the_same() {
    let (bed, kept) = mixed(|_| {}).await;
    let shared = &bed.store.shared;
    let begun = bed
        .store
        .erase(request(&format!("user.id:{MARKER}")))
        .await
        .unwrap();
    let mut crashes = vec![("begun", bed.crashed().await)];
    seal_up_to(shared, begun.up_to_seq).await.unwrap();
    crashes.push(("sealed", bed.crashed().await));
    let hidden = shared.view.get().hidden[0].clone();
    let segment = shared.view.get().segments[0].clone();
    let rows = hidden
        .rows(&Source::Segment(segment.clone()), &shared.cache)
        .unwrap();
    let rewrite = Rewrite::without(segment, rows);
    let new = rewrite.write(shared.segments_dir()).await.unwrap();
    crashes.push(("one segment written", bed.crashed().await));
    let cause = RewriteCause::Erasure {
        id: begun.id.clone(),
        events: rewrite.removed(),
    };
    rewrite.enter(shared, new.as_deref(), &cause).await.unwrap();
    crashes.push(("one segment entered", bed.crashed().await));
    rewrite.swap(shared, new);
    drop(rewrite);
    let mut erasures = Erasures::default();
    erasures.run(shared).await.unwrap();
    crashes.push(("all segments rewritten", bed.crashed().await));
    detect(&bed).await;
    erasures.run(shared).await.unwrap();
    detect(&bed).await;
    crashes.push(("detection has forgotten", bed.crashed().await));
    finish(&bed, &begun.id).await;
    crashes.push(("done", bed.crashed().await));
    crashes.push(("not at all", bed));
    for (stage, bed) in crashes {
        assert_eq!(found(&bed, "*").await, kept, "{stage}");
        let bed = bed.quiet().await;
        let done = finish(&bed, &begun.id).await;
        assert_eq!(done.events, 90 - kept.len() as u64, "{stage}: {done:?}");
        assert_eq!(found(&bed, "*").await, kept, "{stage}");
        let bed = bed.reopen().await;
        assert_eq!(found(&bed, "*").await, kept, "{stage}");
        assert_no_trace(&bed, MARKER, stage);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_runs_by_itself_and_needs_no_detection() {
    let mut bed = Bed::new().await;
    bed.commit(&[json!({"who": MARKER}), json!({"who": "u1"})])
        .await;
    bed.store.set_detect_position(u64::MAX);
    let begun = bed
        .store
        .erase(request(&format!("who:{MARKER}")))
        .await
        .unwrap();
    let done = async {
        while bed.store.erasure(&begun.id).await.unwrap().status != ErasureStatus::Done {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(super::bed::WAIT, done).await.unwrap();
    assert_eq!(found(&bed, "*").await, [(2, json!({"who": "u1"}))]);
    assert_no_trace(&bed, MARKER, "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_only_when_it_is_meant() {
    let (bed, _) = mixed(|_| {}).await;
    for query in ["", "*", "a:b OR *"] {
        let refused = bed.store.erase(request(query)).await;
        assert!(
            matches!(refused, Err(StoreError::InvalidRequest(_))),
            "{query}"
        );
    }
    let mut no_reason = request("a:b");
    no_reason.reason = " ".into();
    assert!(bed.store.erase(no_reason).await.is_err());
    let mut meant = request("*");
    meant.all = true;
    let begun = bed.store.erase(meant).await.unwrap();
    assert!(found(&bed, "*").await.is_empty());
    let done = finish(&bed, &begun.id).await;
    assert_eq!((done.events, bed.store.status().segments), (90, 0));
    let bed = bed.reopen().await;
    assert_eq!((bed.store.head(), bed.store.status().rows), (90, 0));
    assert_no_trace(&bed, MARKER, "all");
    assert_no_trace(&bed, "handled", "all");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_waits_for_readers_of_old_segments_and_for_detection() {
    let (bed, _) = mixed(|_| {}).await;
    let begun = bed
        .store
        .erase(request(&format!("user.id:{MARKER}")))
        .await
        .unwrap();
    let reader = bed.store.shared.view.get();
    let mut erasures = Erasures::default();
    let mut waits = Vec::new();
    for _ in 0..4 {
        erasures.run(&bed.store.shared).await.unwrap();
        waits.extend(bed.store.erasure(&begun.id).await.unwrap().waiting_for);
        detect(&bed).await;
    }
    assert!(waits[0].starts_with("detection"), "{waits:?}");
    assert!(waits.last().unwrap().starts_with("readers"), "{waits:?}");
    drop(reader);
    finish(&bed, &begun.id).await;
}

/// Which events of a chunk are marked, and what is done after it.
fn chunks() -> impl Strategy<Value = Vec<(Vec<bool>, u8)>> {
    let marks = prop::collection::vec(any::<bool>(), 1..9);
    prop::collection::vec((marks, 0..3_u8), 1..10)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn all_other_events_stay_as_they_were(
        chunks in chunks(),
        query in prop::sample::select(vec![
            format!("user.id:{MARKER}"),
            format!("user.id:{MARKER} AND http.response.status_code:>=400"),
            format!("message:{MARKER} OR trace.id:0*"),
            "service.name:auth".to_owned(),
        ]),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut bed = Bed::with(|c| c.seal_rows = 24).await.quiet().await;
            let mut n = 0;
            for (marks, action) in &chunks {
                let events: Vec<Value> = marks.iter().map(|is_marked| {
                    n += 1;
                    let mut event = shop_event(n);
                    if *is_marked {
                        event["user"]["id"] = json!(MARKER);
                        event["message"] = json!(format!("seen {MARKER}"));
                    }
                    event
                }).collect();
                bed.commit(&events).await;
                match action {
                    0 => bed.seal().await,
                    1 => drop(compact::run(&bed.store.shared).await.unwrap()),
                    _ => {}
                }
            }
            let gone = bed.naive(&Query::parse(&query).unwrap(), &TimeRange::ALL);
            let is_kept = |seq: &u64| !gone.iter().any(|(_, g)| g == seq);
            let kept: Vec<(u64, Value)> =
                (1..).zip(bed.events()).filter(|(seq, _)| is_kept(seq)).collect();
            let begun = bed.store.erase(request(&query)).await.unwrap();
            assert_eq!(found(&bed, "*").await, kept);
            let done = finish(&bed, &begun.id).await;
            assert_eq!(done.events, gone.len() as u64);
            assert_eq!(found(&bed, "*").await, kept);
            let bed = bed.reopen().await;
            assert_eq!(found(&bed, "*").await, kept);
            if query == format!("user.id:{MARKER}") {
                assert_no_trace(&bed, MARKER, "model");
            }
        });
    }
}
