//! Channels and the outbox.

use watchfire_event::Severity;
use watchfire_store::meta::{
    Attempt, ChannelChange, DeliveryState, MetaError, NewChannel, Outcome,
};

use crate::bench::{Bench, SECOND, START, alert, ids};

#[tokio::test]
async fn channels_get_what_their_query_asks_for() {
    let cases: &[(Option<&str>, &[&str])] = &[
        (None, &["a", "b", "c"]),
        (Some("severity:high"), &["b"]),
        (Some("severity:high AND tags:\"attack.t1110.003\""), &["b"]),
        (Some("severity:high AND tags:owasp.api2"), &[]),
        (Some("entities.user:user-of-c OR count:>=2"), &["b", "c"]),
        (Some("NOT detector:rate.requests"), &[]),
    ];
    let bench = Bench::new().await;
    let mut channels = Vec::new();
    for (n, (query, _)) in cases.iter().enumerate() {
        channels.push(bench.channel(&format!("c{n}"), *query).await);
    }
    let alerts = [
        alert("a", Severity::Low, 1),
        alert("b", Severity::High, 2),
        alert("c", Severity::Medium, 1),
    ];
    bench.commit(&alerts, 5).await;
    for (channel, (query, expected)) in channels.iter().zip(cases) {
        let told = bench.told(channel).await;
        let got: Vec<&str> = ids(&told).into_iter().map(|(_, id)| id).collect();
        assert_eq!(&got, expected, "{query:?}");
    }
}

#[tokio::test]
async fn a_channel_hears_late_matches_and_not_of_old_alerts() {
    let bench = Bench::new().await;
    let late = bench.channel("late", Some("count:>=5")).await;
    bench.commit(&[alert("a", Severity::Low, 1)], 1).await;
    bench.pass(1);
    let newcomer = bench.channel("newcomer", None).await;
    let off = bench.channel("off", None).await;
    let change = ChannelChange {
        enabled: Some(false),
        ..ChannelChange::default()
    };
    bench.meta.update_channel(&off, &change).await.unwrap();
    bench.commit(&[alert("a", Severity::Low, 6)], 2).await;
    assert_eq!(ids(&bench.told(&late).await), [("alert.created", "a")]);
    assert!(bench.told(&newcomer).await.is_empty());
    bench.pass(1);
    bench.commit(&[alert("a", Severity::High, 7)], 3).await;
    assert_eq!(ids(&bench.told(&newcomer).await), [("alert.created", "a")]);
    assert!(bench.told(&off).await.is_empty());
}

#[tokio::test]
async fn secrets_stay_inside_and_rotate() {
    let bench = Bench::new().await;
    let new = NewChannel {
        name: "ops".into(),
        kind: "webhook".into(),
        url: "https://hooks.example.com/x".into(),
        query: None,
    };
    let (channel, first) = bench.meta.create_channel(&new).await.unwrap();
    assert!(first.starts_with("whsec_") && first.len() == 50, "{first}");
    let wire = serde_json::to_string(&bench.meta.list_channels().await.unwrap()).unwrap();
    assert!(
        !wire.contains("whsec_") && !wire.contains("secret"),
        "{wire}"
    );
    bench.commit(&[alert("a", Severity::Low, 1)], 1).await;
    let second = bench.meta.rotate_channel_secret(&channel.id).await.unwrap();
    let due = bench
        .meta
        .due_deliveries(&channel.id, START, 10)
        .await
        .unwrap();
    assert_eq!(due[0].secrets, [second.clone(), first]);
    let later = START + 25 * 3_600 * SECOND;
    let due = bench
        .meta
        .due_deliveries(&channel.id, later, 10)
        .await
        .unwrap();
    assert_eq!(due[0].secrets, [second]);
    let taken = bench.meta.create_channel(&new).await;
    assert!(matches!(taken, Err(MetaError::Conflict(_))));
    let cases = [
        NewChannel {
            kind: "pigeon".into(),
            ..new.clone()
        },
        NewChannel {
            name: " ".into(),
            ..new.clone()
        },
        NewChannel {
            name: "a\r\nb".into(),
            ..new.clone()
        },
        NewChannel {
            url: "ftp://example.com".into(),
            ..new.clone()
        },
        NewChannel {
            query: Some("severity:(".into()),
            ..new.clone()
        },
    ];
    for bad in cases {
        let answer = bench.meta.create_channel(&bad).await;
        assert!(matches!(answer, Err(MetaError::Invalid(_))), "{bad:?}");
    }
}

#[tokio::test]
async fn the_outbox_keeps_a_message_until_it_is_done() {
    let bench = Bench::new().await;
    let meta = &bench.meta;
    let channel = bench.channel("ops", None).await;
    bench
        .commit(
            &[alert("a", Severity::Low, 1), alert("b", Severity::Low, 1)],
            1,
        )
        .await;
    let ready = meta.due_channels(START).await.unwrap();
    assert_eq!(ready, std::slice::from_ref(&channel));
    assert_eq!(
        meta.due_channels(START - 1).await.unwrap(),
        Vec::<String>::new()
    );
    let due = meta.due_deliveries(&channel, START, 10).await.unwrap();
    assert_eq!(due.len(), 2);
    assert!(due.iter().all(|d| d.data["detector"] == "rate.requests"));
    let attempt = |outcome, status, error: Option<&str>| Attempt {
        at_ns: START,
        took_ms: 12,
        status,
        error: error.map(str::to_owned),
        outcome,
    };
    let (one, two) = (&due[0].delivery.id, &due[1].delivery.id);
    let retry = Outcome::Retry {
        due_ns: START + 5 * SECOND,
    };
    meta.record_attempt(one, &attempt(retry, Some(500), Some("answered 500")))
        .await
        .unwrap();
    assert_eq!(
        meta.next_due_ns(START).await.unwrap(),
        Some(START + 5 * SECOND)
    );
    meta.record_attempt(one, &attempt(Outcome::Delivered, Some(200), None))
        .await
        .unwrap();
    meta.record_attempt(two, &attempt(Outcome::Gone, Some(410), Some("gone")))
        .await
        .unwrap();
    let done = meta.get_delivery(one).await.unwrap().unwrap();
    assert_eq!((done.state, done.tries), (DeliveryState::Delivered, 2));
    assert_eq!(meta.delivery_attempts(one).await.unwrap().len(), 2);
    let off = meta.get_channel(&channel).await.unwrap().unwrap();
    assert!(!off.enabled && off.disabled_reason.unwrap().contains("410"));
    assert!(matches!(
        meta.enqueue_test(&channel).await,
        Err(MetaError::Conflict(_))
    ));
    let change = ChannelChange {
        enabled: Some(true),
        ..ChannelChange::default()
    };
    assert_eq!(
        meta.update_channel(&channel, &change)
            .await
            .unwrap()
            .disabled_reason,
        None
    );
    let again = meta.replay_delivery(two).await.unwrap();
    assert_eq!(
        (again.state, again.tries, &again.id),
        (DeliveryState::Pending, 0, two)
    );
    let test = meta.enqueue_test(&channel).await.unwrap();
    assert_eq!((test.kind.as_str(), test.alert_id), ("alert.test", None));
    assert_eq!(meta.delivery_counts().await.unwrap()["pending"], 2);
    let long = "é".repeat(5_000);
    let failed = attempt(Outcome::Parked, None, Some(&long));
    meta.record_attempt(&test.id, &failed).await.unwrap();
    bench.pass(31 * 86_400);
    assert_eq!(
        bench.meta.prune_deliveries().await.unwrap(),
        2,
        "the pending one stays"
    );
    meta.delete_channel(&channel).await.unwrap();
    assert!(meta.delivery_counts().await.unwrap().is_empty());
    let lost = meta
        .record_attempt(one, &attempt(Outcome::Delivered, Some(200), None))
        .await;
    assert!(matches!(lost, Err(MetaError::NotFound(_))));
}
