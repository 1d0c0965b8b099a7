//! Where requests go and where they do not.

use super::*;

#[tokio::test]
async fn redirects_are_not_followed() {
    let mut bench = Bench::new().await;
    let inside = Receiver::statuses(&[200]).await;
    let location = inside.url.clone();
    let answers: Answers = Arc::new(move |n| {
        let status = [301, 302, 307, 308][n % 4];
        let answer = Response::builder()
            .status(status)
            .header("location", &location);
        answer.body(Body::empty()).unwrap()
    });
    let receiver = Receiver::start(answers, None).await;
    bench.channel("ops", &receiver.url).await;
    bench.raise(&[alert("a", Severity::High)]).await;
    for _ in 0..4 {
        bench.worker.send_due().await;
        bench.pass(3 * HOUR);
    }
    assert_eq!((receiver.got().len(), inside.got().len()), (4, 0));
    let delivery = &bench.deliveries().await[0];
    assert_eq!(delivery.state, DeliveryState::Pending);
    assert!(delivery.last_error.as_ref().unwrap().contains("redirect"));
}

#[tokio::test]
async fn forbidden_targets_get_no_connection_however_they_are_spelled() {
    let public: IpAddr = "8.8.8.8".parse().unwrap();
    let inner: IpAddr = "127.0.0.1".parse().unwrap();
    let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
    // What the names of the test resolve to: the second is what a rebinding server would send.
    let lookup: Lookup = Arc::new(move |name| {
        let answer = match name.as_str() {
            "inner.example.com" => vec![inner],
            "mixed.example.com" => vec![public, inner],
            "mapped.example.com" => vec![mapped],
            _ => vec![],
        };
        Box::pin(async move { Ok(answer) })
    });
    let mut bench = Bench::with(Arc::default(), lookup).await;
    let receiver = Receiver::statuses(&[200]).await;
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "0",
        "inner.example.com",
        "mixed.example.com",
        "mapped.example.com",
        "nowhere.example.com",
    ];
    for host in hosts {
        bench
            .channel(host, &format!("http://{host}:{}/", receiver.port))
            .await;
    }
    bench.raise(&[alert("a", Severity::High)]).await;
    bench.worker.send_due().await;
    assert_eq!(receiver.got().len(), 0);
    let deliveries = bench.deliveries().await;
    assert_eq!(deliveries.len(), hosts.len());
    for delivery in deliveries {
        assert_eq!(
            (delivery.state, delivery.tries),
            (DeliveryState::Pending, 1)
        );
        let error = delivery.last_error.unwrap();
        assert!(
            error.contains("not allowed") || error.contains("no address"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_name_is_connected_to_at_the_checked_address() {
    let asked = Arc::new(AtomicI64::new(0));
    let count = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |_| {
        // Allowed the first time only: a second look would go elsewhere.
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        let ip = if first { "127.0.0.1" } else { "10.0.0.1" };
        Box::pin(async move { Ok(vec![ip.parse().unwrap()]) })
    });
    let mut bench = Bench::with(loopback(), lookup).await;
    let receiver = Receiver::statuses(&[200]).await;
    bench
        .channel(
            "ops",
            &format!("http://hooks.example.com:{}/x", receiver.port),
        )
        .await;
    bench.raise(&[alert("a", Severity::High)]).await;
    bench.worker.send_due().await;
    assert_eq!(receiver.got().len(), 1);
    let host = format!("hooks.example.com:{}", receiver.port);
    assert_eq!(receiver.got()[0].header("host"), host);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_endless_answer_is_cut_off_and_nothing_secret_is_logged() {
    let mut bench = Bench::new().await;
    let answers: Answers = Arc::new(|_| {
        let chunk = || Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 8_192]));
        Response::new(Body::from_stream(futures::stream::repeat_with(chunk)))
    });
    let endless = Receiver::start(answers, None).await;
    bench.channel("endless", &endless.url).await;
    // Nothing listens here: the listener is gone when the port is known.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    bench
        .channel("refused", &format!("http://127.0.0.1:{port}/s3cr3t"))
        .await;
    // The receiver does not speak TLS.
    bench
        .channel("tls", &endless.url.replace("http:", "https:"))
        .await;
    bench.raise(&[alert("a", Severity::High)]).await;
    bench.worker.send_due().await;
    let counts = bench.meta.delivery_counts().await.unwrap();
    assert_eq!((counts["delivered"], counts["pending"]), (1, 2));
    let log = serde_json::to_string(&bench.deliveries().await).unwrap();
    assert!(
        log.contains("refused") && !log.contains("s3cr3t") && !log.contains("xxx"),
        "{log}"
    );
}
