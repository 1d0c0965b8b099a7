//! The listener on a real socket: answers, knows the caller's address, drains, and stops.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

use std::time::Duration;

use harness::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

const PATIENCE: Duration = Duration::from_secs(30);

async fn read_some(stream: &mut TcpStream) -> String {
    let mut buffer = vec![0; 16 << 10];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

#[tokio::test]
async fn a_server_answers_and_stops_although_a_stream_is_open() {
    let server = Server::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(watchfire_web::serve(
        listener,
        server.router.clone(),
        async {
            let _ = stopped.await;
        },
    ));

    // Metrics are open to this machine, so the address has arrived.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let answer = read_some(&mut plain).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(!answer.to_lowercase().contains("\nserver:"), "{answer}");

    let mut tail = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /api/v1/tail HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\r\n",
        server.read
    );
    tail.write_all(head.as_bytes()).await.unwrap();
    let answer = read_some(&mut tail).await;
    assert!(answer.contains("text/event-stream"), "{answer}");

    let mut garbage = TcpStream::connect(address).await.unwrap();
    garbage.write_all(b"\0\0nonsense\r\n\r\n").await.unwrap();
    assert!(read_some(&mut garbage).await.starts_with("HTTP/1.1 400"));

    stop.send(()).unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, tail.read_to_end(&mut rest)).await;
    ended.expect("the stream was ended").unwrap();
    assert!(
        rest.ends_with(b"0\r\n\r\n"),
        "ended, not cut: {:?}",
        String::from_utf8_lossy(&rest)
    );
    tokio::time::timeout(PATIENCE, serving)
        .await
        .expect("the server stopped")
        .unwrap()
        .unwrap();
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
}
