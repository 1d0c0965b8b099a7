//! Alerts, channels and the outbox as detection, people and the sender use them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod outbox;

use std::collections::BTreeMap;
use std::io::Write;

use proptest::prelude::*;
use watchfire_event::{Alert, AlertStatus, Severity, TimeRange};
use watchfire_store::meta::{AlertFilter, CloseReason, DetectionCommit, MetaError, StateWriter};

use bench::{Bench, SECOND, START, alert, ids};

#[tokio::test]
async fn a_commit_is_all_and_survives_a_restart() {
    let bench = Bench::new().await;
    assert_eq!(bench.meta.load_detection().await.unwrap(), None);
    let channel = bench.channel("all", None).await;
    let alerts = [alert("a", Severity::Low, 1), alert("b", Severity::High, 2)];
    let mut state = StateWriter::new().unwrap();
    state.write_all(&[1, 2, 3]).unwrap();
    let commit = DetectionCommit {
        alerts: &alerts,
        position: 70,
        snapshot: Some((60, state.finish().unwrap())),
    };
    bench.meta.commit_detection(&commit).await.unwrap();
    let bench = bench.reopen().await;
    let state = bench.meta.load_detection().await.unwrap().unwrap();
    assert_eq!((state.position, state.snapshot_seq), (70, 60));
    assert_eq!(state.snapshot, vec![1, 2, 3]);
    let row = bench.meta.get_alert("b").await.unwrap().unwrap();
    assert_eq!(row.alert, alerts[1]);
    assert_eq!(row.first_seen_ns, START);
    let told = bench.told(&channel).await;
    assert_eq!(ids(&told), [("alert.created", "a"), ("alert.created", "b")]);
}

#[tokio::test]
async fn replaying_a_commit_changes_nothing() {
    let bench = Bench::new().await;
    let channel = bench.channel("all", None).await;
    bench.commit(&[alert("a", Severity::Low, 1)], 10).await;
    bench.pass(1);
    bench.commit(&[alert("a", Severity::High, 9)], 20).await;
    let before = bench.meta.get_alert("a").await.unwrap();
    let told = bench.told(&channel).await;
    assert_eq!(
        ids(&told),
        [("alert.created", "a"), ("alert.escalated", "a")]
    );
    bench.pass(60);
    for (severity, count) in [
        (Severity::Low, 1),
        (Severity::High, 9),
        (Severity::Medium, 4),
    ] {
        bench.commit(&[alert("a", severity, count)], 15).await;
    }
    assert_eq!(bench.meta.get_alert("a").await.unwrap(), before);
    assert_eq!(bench.told(&channel).await, told);
    let position = bench.meta.load_detection().await.unwrap().unwrap().position;
    assert_eq!(position, 20, "the position only moves forward");
}

#[tokio::test]
async fn nobody_is_told_of_what_is_held_back_until_it_is_let_through() {
    let bench = Bench::new().await;
    let channel = bench.channel("all", None).await;
    let held = |id, held| Alert {
        held,
        ..alert(id, Severity::Medium, 1)
    };
    let alerts = [held("a", true), held("b", false), held("c", true)];
    bench.commit(&alerts, 10).await;
    assert_eq!(ids(&bench.told(&channel).await), [("alert.created", "b")]);
    let counts = bench.meta.alert_counts().await.unwrap();
    assert_eq!((counts.held, counts.by_status["open"]), (2, 1));
    assert_eq!(counts.open_by_severity["medium"], 1);
    let listed = async |held| {
        let filter = AlertFilter {
            held,
            ..AlertFilter::default()
        };
        let page = bench.meta.list_alerts(&filter).await.unwrap();
        let mut ids: Vec<String> = page.alerts.into_iter().map(|row| row.alert.id).collect();
        ids.sort_unstable();
        (page.total, ids.concat())
    };
    assert_eq!(listed(Some(true)).await, (2, "ac".to_owned()));
    assert_eq!(listed(Some(false)).await, (1, "b".to_owned()));
    assert_eq!(listed(None).await.0, 3);
    bench.pass(1);
    bench.commit(&[held("c", false)], 20).await;
    // A replay of the time before does not hold it back again.
    bench.commit(&[held("c", true)], 15).await;
    let told = bench.told(&channel).await;
    let told: Vec<_> = ids(&told).into_iter().map(|(_, id)| id).collect();
    assert_eq!(told, ["b", "c"]);
    assert_eq!(listed(Some(true)).await, (1, "a".to_owned()));
}

#[tokio::test]
async fn verdicts_are_told_until_they_are_taken_back() {
    let bench = Bench::new().await;
    let of_rule = Alert {
        detector: "sigma:x".into(),
        ..alert("d", Severity::Low, 1)
    };
    let alerts = ["a", "b", "c"].map(|id| alert(id, Severity::Low, 1));
    bench.commit(&alerts, 1).await;
    bench.commit(&[of_rule], 2).await;
    let mut told = bench.meta.watch_rules();
    told.borrow_and_update();
    let meta = &bench.meta;
    for (id, reason) in [
        ("a", CloseReason::FalsePositive),
        ("b", CloseReason::TruePositive),
        ("d", CloseReason::Benign),
    ] {
        meta.set_status(id, AlertStatus::Closed, Some(reason), "kim")
            .await
            .unwrap();
    }
    assert!(told.has_changed().unwrap(), "detection hears of verdicts");
    let closed = async || {
        let closed = meta.closed_alerts().await.unwrap().into_iter();
        let mut closed: Vec<_> = closed.map(|(a, attack)| (a.id, attack)).collect();
        closed.sort();
        closed
    };
    let is = |id: &str, attack| (id.to_owned(), attack);
    assert_eq!(
        closed().await,
        [is("a", false), is("b", true), is("d", false)]
    );
    meta.set_status("a", AlertStatus::Open, None, "kim")
        .await
        .unwrap();
    assert_eq!(closed().await, [is("b", true), is("d", false)]);
}

#[tokio::test]
async fn people_change_alerts_and_detection_does_not_undo_it() {
    let bench = Bench::new().await;
    let channel = bench.channel("all", None).await;
    bench.commit(&[alert("a", Severity::Low, 1)], 1).await;
    let meta = &bench.meta;
    meta.assign("a", Some("kim"), "kim").await.unwrap();
    meta.set_status("a", AlertStatus::Acknowledged, None, "kim")
        .await
        .unwrap();
    meta.set_status("a", AlertStatus::Acknowledged, None, "kim")
        .await
        .unwrap();
    meta.add_comment("a", "Load test by the shop team.", "kim")
        .await
        .unwrap();
    let bad = meta.set_status("a", AlertStatus::Closed, None, "kim").await;
    assert!(matches!(bad, Err(MetaError::Invalid(_))));
    let reason = Some(CloseReason::FalsePositive);
    let bad = meta.set_status("a", AlertStatus::Open, reason, "kim").await;
    assert!(matches!(bad, Err(MetaError::Invalid(_))));
    meta.set_status("a", AlertStatus::Closed, reason, "kim")
        .await
        .unwrap();
    bench.commit(&[alert("a", Severity::Critical, 50)], 2).await;
    let row = meta.get_alert("a").await.unwrap().unwrap();
    assert_eq!(
        (row.alert.status, row.alert.severity),
        (AlertStatus::Closed, Severity::Critical)
    );
    assert_eq!((row.alert.count, row.comments, row.reason), (50, 1, reason));
    assert_eq!(row.assignee.as_deref(), Some("kim"));
    assert_eq!(
        bench.told(&channel).await.len(),
        1,
        "a false positive stays silent"
    );
    let history = meta.alert_history("a").await.unwrap();
    let steps: Vec<_> = history
        .iter()
        .map(|h| (h.action.as_str(), h.to.as_deref()))
        .collect();
    let expected = [
        ("assign", Some("kim")),
        ("status", Some("acknowledged")),
        ("comment", Some("Load test by the shop team.")),
        ("status", Some("closed (false_positive)")),
    ];
    assert_eq!(steps, expected);
    for missing in [
        meta.alert_history("nope").await.map(drop),
        meta.add_comment("nope", "x", "kim").await.map(drop),
        meta.assign("nope", None, "kim").await.map(drop),
    ] {
        assert!(matches!(missing, Err(MetaError::NotFound("alert"))));
    }
}

#[tokio::test]
async fn lists_filter_and_page_without_gaps() {
    let bench = Bench::new().await;
    let mut alerts = Vec::new();
    for n in 0..25_u8 {
        let severity = if n % 5 == 0 {
            Severity::High
        } else {
            Severity::Low
        };
        let mut one = alert(&format!("id{n:02}"), severity, 1);
        // Three alerts share each instant, so that paging has ties to keep apart.
        (one.ts, one.t0) = (1_000.0 + f64::from(n / 3), 1_000.0 + f64::from(n / 3));
        one.t1 = one.ts + 0.5;
        one.detector = format!("d{}", n % 2);
        alerts.push(one);
    }
    bench.commit(&alerts, 1).await;
    bench
        .meta
        .set_status("id07", AlertStatus::Acknowledged, None, "kim")
        .await
        .unwrap();
    let mut seen = Vec::new();
    let mut filter = AlertFilter {
        limit: 4,
        ..AlertFilter::default()
    };
    loop {
        let page = bench.meta.list_alerts(&filter).await.unwrap();
        assert_eq!((page.total, page.total_is_exact), (25, true));
        seen.extend(page.alerts.into_iter().map(|row| row.alert.id));
        filter.cursor = page.cursor;
        if filter.cursor.is_none() {
            break;
        }
    }
    let mut expected: Vec<_> = alerts.iter().map(|a| (a.ts as i64, a.id.clone())).collect();
    expected.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(
        seen,
        expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
    );

    let all = AlertFilter::default;
    let range = TimeRange {
        from_ns: 1_001 * SECOND,
        to_ns: 1_003 * SECOND,
    };
    let entity = |text: &str| AlertFilter {
        entity: Some(text.into()),
        ..all()
    };
    let cases = [
        (
            AlertFilter {
                severity: Some(Severity::High),
                ..all()
            },
            5,
        ),
        (
            AlertFilter {
                status: Some(AlertStatus::Acknowledged),
                ..all()
            },
            1,
        ),
        (
            AlertFilter {
                detector: Some("d1".into()),
                ..all()
            },
            12,
        ),
        (
            AlertFilter {
                range: Some(range),
                ..all()
            },
            6,
        ),
        (
            AlertFilter {
                range: Some(TimeRange::ALL),
                ..all()
            },
            25,
        ),
        (entity("user:user-of-id03"), 1),
        (entity("user-of-id03"), 1),
        (entity("ip:user-of-id03"), 0),
        (entity("2001:db8::1"), 25),
        (entity("ip:2001:db8::1"), 25),
        (entity("' OR 1=1 --"), 0),
    ];
    for (filter, total) in cases {
        assert_eq!(
            bench.meta.list_alerts(&filter).await.unwrap().total,
            total,
            "{filter:?}"
        );
    }
    let bad = AlertFilter {
        cursor: Some("x".into()),
        ..all()
    };
    assert!(matches!(
        bench.meta.list_alerts(&bad).await,
        Err(MetaError::Invalid(_))
    ));
    let counts = bench.meta.alert_counts().await.unwrap();
    assert_eq!(counts.by_status["open"], 24);
    assert_eq!(counts.open_by_severity["high"], 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However the same findings are cut into commits, and however much of them is replayed
    /// after a crash, the alerts and the messages come out the same.
    #[test]
    fn cuts_and_replays_do_not_matter(
        steps in prop::collection::vec((0..3_usize, 0..5_usize), 1..12),
        cuts in prop::collection::vec(1..4_usize, 1..12),
        back in 0..5_usize,
    ) {
        let severities =
            [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
        let mut counts = [0; 3];
        let mut worst = [0; 3];
        let findings: Vec<Alert> = steps.iter().map(|(which, severity)| {
            counts[*which] += 1;
            worst[*which] = worst[*which].max(*severity);
            alert(&format!("id{which}"), severities[worst[*which]], counts[*which])
        }).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (whole, cut) = (Bench::new().await, Bench::new().await);
            let channels = (whole.channel("c", None).await, cut.channel("c", None).await);
            for (n, finding) in findings.iter().enumerate() {
                whole.commit(std::slice::from_ref(finding), n as u64 + 1).await;
            }
            let (mut at, mut cuts) = (0, cuts.iter().cycle());
            while at < findings.len() {
                let end = (at + cuts.next().unwrap()).min(findings.len());
                cut.commit(&findings[at..end], end as u64).await;
                at = end;
            }
            let from = findings.len().saturating_sub(back);
            cut.commit(&findings[from..], findings.len() as u64).await;
            for id in ["id0", "id1", "id2"] {
                let rows = (whole.meta.get_alert(id).await, cut.meta.get_alert(id).await);
                assert_eq!(rows.0.unwrap(), rows.1.unwrap());
            }
            let count = |told: Vec<(String, Option<String>)>| {
                let mut by: BTreeMap<_, usize> = BTreeMap::new();
                for one in told {
                    *by.entry(one).or_default() += 1;
                }
                by
            };
            let told =
                (count(whole.told(&channels.0).await), count(cut.told(&channels.1).await));
            assert_eq!(told.0, told.1);
        });
    }
}
