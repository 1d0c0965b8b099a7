//! Slow receivers, receivers that ask for time, storms, and the worker's own loop.

use super::*;

#[tokio::test]
async fn retry_after_is_obeyed() {
    for status in [429, 503] {
        let mut bench = Bench::new().await;
        let answers: Answers = Arc::new(move |n| match n {
            0 => Response::builder()
                .status(status)
                .header("retry-after", "1800")
                .body(Body::empty())
                .unwrap(),
            _ => plain(204),
        });
        let receiver = Receiver::start(answers, None).await;
        bench.channel("ops", &receiver.url).await;
        bench
            .raise(&[alert("a", Severity::High), alert("b", Severity::High)])
            .await;
        for _ in 0..29 {
            bench.worker.send_due().await;
            bench.pass(60 * SECOND);
        }
        assert_eq!(receiver.got().len(), 1, "the whole channel waits");
        bench.pass(61 * SECOND);
        bench.worker.send_due().await;
        assert_eq!(receiver.got().len(), 3);
    }
}

#[tokio::test]
async fn a_slow_receiver_delays_nobody_else() {
    let mut bench = Bench::new().await;
    let gate = Arc::new(Notify::new());
    let slow = Receiver::start(Arc::new(|_| plain(200)), Some(Arc::clone(&gate))).await;
    let mut quick = Receiver::statuses(&[200]).await;
    bench.channel("a slow one", &slow.url).await;
    bench.channel("quick", &quick.url).await;
    let alerts: Vec<_> = (0..20)
        .map(|n| alert(&format!("id{n}"), Severity::High))
        .collect();
    bench.raise(&alerts).await;
    let meta = bench.meta.clone();
    let sending = tokio::spawn(async move { bench.worker.send_due().await });
    for _ in 0..20 {
        quick.arrived.recv().await.unwrap();
    }
    assert!(slow.got().len() <= 1, "one request at a time");
    assert!(!sending.is_finished());
    for _ in 0..20 {
        gate.notify_one();
        tokio::task::yield_now().await;
    }
    let mut slow = slow;
    for _ in 0..20 {
        slow.arrived.recv().await.unwrap();
        gate.notify_one();
    }
    sending.await.unwrap();
    assert_eq!(meta.delivery_counts().await.unwrap()["delivered"], 40);
}

#[tokio::test]
async fn a_storm_becomes_a_digest_and_the_worst_stay_single() {
    let mut bench = Bench::new().await;
    let receiver = Receiver::statuses(&[200]).await;
    bench.channel("ops", &receiver.url).await;
    let alerts: Vec<_> = (0..300)
        .map(|n| {
            let severity = if n % 100 == 99 {
                Severity::Critical
            } else {
                Severity::Low
            };
            alert(&format!("id{n:03}"), severity)
        })
        .collect();
    bench.raise(&alerts).await;
    bench.worker.send_due().await;
    bench.pass(120 * SECOND);
    bench.worker.send_due().await;
    let got = receiver.got();
    assert_eq!(got.len(), 60);
    let digests: Vec<Value> = got
        .iter()
        .map(Got::json)
        .filter(|b| b["type"] == "alert.digest")
        .collect();
    assert_eq!(digests.len(), 1);
    assert_eq!(digests[0]["data"]["count"], 241);
    assert_eq!(digests[0]["data"]["by_severity"]["low"], 241);
    assert_eq!(
        digests[0]["data"]["by_detector"]["cardinality.users_per_ip"],
        241
    );
    assert_eq!(digests[0]["data"]["alerts"].as_array().unwrap().len(), 100);
    let critical = got
        .iter()
        .filter(|g| g.json()["data"]["severity"] == "critical")
        .count();
    assert_eq!(critical, 3);
    let counts = bench.meta.delivery_counts().await.unwrap();
    assert_eq!((counts["delivered"], counts["folded"]), (60, 241));
    bench.raise(&[alert("calm", Severity::Low)]).await;
    bench.worker.send_due().await;
    assert_eq!(receiver.got().len(), 61, "afterwards all is as usual");
}

#[tokio::test]
async fn the_running_worker_wakes_by_itself_and_stops_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let meta = Meta::open(folder.path()).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let running = tokio::spawn(run(meta.clone(), loopback(), shutdown));
    let mut receiver = Receiver::statuses(&[200]).await;
    let new = NewChannel {
        name: "ops".into(),
        kind: "webhook".into(),
        url: receiver.url.clone(),
        query: None,
    };
    let (channel, _) = meta.create_channel(&new).await.unwrap();
    for kind in ["alert.test", "alert.test"] {
        meta.enqueue_test(&channel.id).await.unwrap();
        receiver.arrived.recv().await.unwrap();
        assert_eq!(receiver.got().last().unwrap().json()["type"], kind);
    }
    stop.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(meta.delivery_counts().await.unwrap()["delivered"], 2);
}
