//! What arrives, how it is signed, and what happens until it does.

use super::*;

#[tokio::test]
async fn an_alert_arrives_once_signed_and_whole() {
    let mut bench = Bench::new().await;
    let receiver = Receiver::statuses(&[200]).await;
    let (_, secret) = bench.channel("ops", &receiver.url).await;
    bench.raise(&[alert("a", Severity::High)]).await;
    bench.worker.send_due().await;
    bench.pass(HOUR);
    bench.worker.send_due().await;
    let got = receiver.got();
    assert_eq!(got.len(), 1);
    let delivery = &bench.deliveries().await[0];
    assert_eq!(
        (delivery.state, delivery.tries),
        (DeliveryState::Delivered, 1)
    );
    assert_eq!(got[0].header("webhook-id"), delivery.id);
    assert_eq!(got[0].header("webhook-timestamp"), "1760000000");
    assert_eq!(got[0].header("content-type"), "application/json");
    let headers = webhook::headers(&[secret], &delivery.id, 1_760_000_000, &got[0].body).unwrap();
    assert_eq!(got[0].header("webhook-signature"), headers[2].1);
    let body = got[0].json();
    assert_eq!(body["type"], "alert.created");
    assert_eq!(body["timestamp"], "2025-10-09T08:53:20Z");
    assert_eq!(
        body["data"],
        serde_json::to_value(alert("a", Severity::High)).unwrap()
    );
}

#[tokio::test]
async fn failures_are_tried_again_with_the_same_id_and_over_a_restart() {
    let mut bench = Bench::new().await;
    let receiver = Receiver::statuses(&[500, 404, 200]).await;
    bench.channel("ops", &receiver.url).await;
    bench.raise(&[alert("a", Severity::High)]).await;
    bench.worker.send_due().await;
    bench.pass(4 * SECOND);
    bench.worker.send_due().await;
    assert_eq!(receiver.got().len(), 1, "not before it is due");
    let mut bench = bench.restart().await;
    bench.pass(2 * SECOND);
    bench.worker.send_due().await;
    assert_eq!(receiver.got().len(), 2);
    let mut bench = bench.restart().await;
    bench.pass(HOUR);
    bench.worker.send_due().await;
    let got = receiver.got();
    assert_eq!(got.len(), 3);
    assert!(
        got.iter()
            .all(|g| g.header("webhook-id") == got[0].header("webhook-id"))
    );
    assert_ne!(
        got[0].header("webhook-timestamp"),
        got[2].header("webhook-timestamp")
    );
    assert_ne!(
        got[0].header("webhook-signature"),
        got[2].header("webhook-signature")
    );
    let delivery = &bench.deliveries().await[0];
    assert_eq!(
        (delivery.state, delivery.tries),
        (DeliveryState::Delivered, 3)
    );
    let log = bench.meta.delivery_attempts(&delivery.id).await.unwrap();
    let statuses: Vec<_> = log.iter().map(|a| a.status).collect();
    assert_eq!(statuses, [Some(500), Some(404), Some(200)]);
}

#[tokio::test]
async fn a_receiver_down_for_72_hours_gets_its_messages_parked_and_replayed() {
    let mut bench = Bench::new().await;
    let receiver = Receiver::statuses(&[503]).await;
    bench.channel("ops", &receiver.url).await;
    bench.raise(&[alert("a", Severity::High)]).await;
    for _ in 0..76 * 12 {
        bench.worker.send_due().await;
        bench.pass(HOUR / 12);
    }
    let tries = receiver.got().len();
    assert!((9..=12).contains(&tries), "{tries}");
    let delivery = bench.deliveries().await.remove(0);
    assert_eq!(delivery.state, DeliveryState::Parked);
    let ends = delivery.finished_ns.unwrap() - START;
    assert!((72 * HOUR..73 * HOUR).contains(&ends), "{ends}");
    bench.meta.replay_delivery(&delivery.id).await.unwrap();
    bench.worker.send_due().await;
    let got = receiver.got();
    assert_eq!(got.len(), tries + 1);
    assert_eq!(got[tries].header("webhook-id"), delivery.id);
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone() {
    let mut bench = Bench::new().await;
    let receiver = Receiver::statuses(&[410]).await;
    let (channel, _) = bench.channel("ops", &receiver.url).await;
    bench
        .raise(&[alert("a", Severity::High), alert("b", Severity::High)])
        .await;
    bench.worker.send_due().await;
    bench.pass(24 * HOUR);
    bench.raise(&[alert("c", Severity::High)]).await;
    bench.worker.send_due().await;
    assert_eq!(receiver.got().len(), 1);
    let channel = bench.meta.get_channel(&channel).await.unwrap().unwrap();
    assert!(!channel.enabled);
    assert_eq!(
        bench.deliveries().await.len(),
        2,
        "nothing more is queued for it"
    );
}
