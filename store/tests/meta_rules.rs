//! Settings of rules, exceptions and verdicts: kept, checked, told of, and part of a backup.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use serde_json::json;
use watchfire_event::{Alert, AlertStatus, Severity};
use watchfire_store::meta::{
    CloseReason, DetectionCommit, FILE_NAME, Meta, MetaError, NewRuleException, RuleSetting,
};

const START: i64 = 1_760_000_000_000_000_000;
const DAY: i64 = 86_400 * 1_000_000_000;

async fn open() -> (Meta, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let meta = Meta::open_with_clock(folder.path(), Arc::new(|| START)).await;
    (meta.unwrap(), folder)
}

fn setting(id: &str) -> RuleSetting {
    RuleSetting {
        rule_id: id.into(),
        title: "Brute force".into(),
        state: "shadow".into(),
        severity: Some(Severity::Low),
        suppress_ns: Some(DAY),
        note: Some("too loud".into()),
        changed_by: "kim".into(),
        changed_ns: START,
    }
}

fn exception(query: &str) -> NewRuleException {
    NewRuleException {
        rules: vec!["r1".into(), "r2".into()],
        query: query.into(),
        owner: "kim".into(),
        reason: "our scanner".into(),
        expires_ns: Some(START + DAY),
        created_by: "ana".into(),
    }
}

#[tokio::test]
async fn settings_are_kept_and_told_of() {
    let (meta, folder) = open().await;
    let mut changes = meta.watch_rules();
    assert!(!changes.has_changed().unwrap());
    meta.set_rule(&setting("r1")).await.unwrap();
    assert!(changes.has_changed().unwrap());
    changes.borrow_and_update();
    let mut other = setting("r1");
    other.severity = None;
    meta.set_rule(&other).await.unwrap();
    assert_eq!(meta.rule_settings().await.unwrap(), [other.clone()]);

    let copy = tempfile::tempdir().unwrap();
    meta.add_rule_exception(&exception("user.id:scanner"))
        .await
        .unwrap();
    meta.backup(&copy.path().join(FILE_NAME)).await.unwrap();
    meta.reset_rule("r1").await.unwrap();
    assert!(meta.rule_settings().await.unwrap().is_empty());
    meta.close().await;
    let meta = Meta::open(folder.path()).await.unwrap();
    assert!(meta.rule_settings().await.unwrap().is_empty());
    let restored = Meta::open(copy.path()).await.unwrap();
    assert_eq!(restored.rule_settings().await.unwrap(), [other]);
    assert_eq!(restored.rule_exceptions().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let (meta, _folder) = open().await;
    let settings = [
        RuleSetting {
            suppress_ns: Some(0),
            ..setting("r")
        },
        RuleSetting {
            suppress_ns: Some(31 * DAY),
            ..setting("r")
        },
        RuleSetting {
            note: Some("x".repeat(1_001)),
            ..setting("r")
        },
    ];
    for wrong in settings {
        let error = meta.set_rule(&wrong).await.unwrap_err();
        assert!(matches!(error, MetaError::Invalid(_)), "{wrong:?}");
    }
    let good = exception("user.id:scanner");
    let exceptions = [
        exception("user.id:["),
        exception("*"),
        exception(""),
        exception(&format!("user.id:{}", "x".repeat(20_000))),
        NewRuleException {
            owner: " ".into(),
            ..good.clone()
        },
        NewRuleException {
            reason: String::new(),
            ..good.clone()
        },
        NewRuleException {
            rules: vec!["r".into(); 1_001],
            ..good.clone()
        },
    ];
    for wrong in exceptions {
        let error = meta.add_rule_exception(&wrong).await.unwrap_err();
        assert!(
            matches!(error, MetaError::Invalid(_)),
            "{:?}",
            wrong.query.len()
        );
    }
    assert!(meta.rule_exceptions().await.unwrap().is_empty());
}

#[tokio::test]
async fn exceptions_are_made_changed_and_removed() {
    let (meta, _folder) = open().await;
    let made = meta
        .add_rule_exception(&exception("user.id:scanner"))
        .await
        .unwrap();
    assert!(made.id.starts_with("ex_"), "{}", made.id);
    let wire = serde_json::to_value(&made).unwrap();
    assert_eq!(wire["expires"], "2025-10-10T08:53:20Z");
    let mut other = exception("user.id:other");
    other.expires_ns = None;
    let changed = meta.change_rule_exception(&made.id, &other).await.unwrap();
    assert_eq!(
        (changed.query.as_str(), changed.expires_ns),
        ("user.id:other", None)
    );
    assert_eq!(meta.rule_exceptions().await.unwrap(), [changed]);
    meta.remove_rule_exception(&made.id).await.unwrap();
    let gone = meta.remove_rule_exception(&made.id).await;
    assert!(matches!(gone, Err(MetaError::NotFound(_))));
    let gone = meta.change_rule_exception(&made.id, &other).await;
    assert!(matches!(gone, Err(MetaError::NotFound(_))));
}

fn alert(id: &str, detector: &str, ts: f64) -> Alert {
    serde_json::from_value(json!({
        "id": id, "ts": ts, "t0": ts, "t1": ts, "status": "open", "severity": "low", "score": 4.0,
        "detector": detector, "kind": "rule", "title": "t", "summary": "s", "entities": {},
        "evidence": {"query": "", "events": ["1"], "baseline": {}}, "tags": [],
    }))
    .unwrap()
}

#[tokio::test]
async fn verdicts_are_counted_by_detector() {
    let (meta, _folder) = open().await;
    let alerts = [
        alert("a", "sigma:r1", 100.0),
        alert("b", "sigma:r1", 300.0),
        alert("c", "sigma:r1", 200.0),
        alert("d", "rate.ip", 50.0),
    ];
    let commit = DetectionCommit {
        alerts: &alerts,
        position: 1,
        snapshot: None,
    };
    meta.commit_detection(&commit).await.unwrap();
    for (id, reason) in [
        ("a", CloseReason::FalsePositive),
        ("b", CloseReason::TruePositive),
        ("d", CloseReason::Benign),
    ] {
        let closing = meta.set_status(id, AlertStatus::Closed, Some(reason), "kim");
        closing.await.unwrap();
    }
    let verdicts = meta.verdicts().await.unwrap();
    let brief: Vec<_> = verdicts
        .iter()
        .map(|(detector, v)| {
            let closed = (v.true_positive, v.false_positive, v.benign);
            (detector.as_str(), v.alerts, closed, v.last_alert_ns)
        })
        .collect();
    let second = 1_000_000_000;
    assert_eq!(
        brief,
        [
            ("rate.ip", 1, (0, 0, 1), Some(50 * second)),
            ("sigma:r1", 3, (1, 1, 0), Some(300 * second)),
        ]
    );
}
