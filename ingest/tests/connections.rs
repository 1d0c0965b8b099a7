//! Bodies that do not end as they should.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use http_body_util::{BodyExt, Full, Limited};
use support::Fixture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use watchfire_event::CommitError;
use watchfire_ingest::IngestConfig;

#[tokio::test]
async fn a_body_that_never_ends_is_cut_off() {
    let body_timeout = Duration::from_millis(20);
    let fixture = Fixture::with(IngestConfig {
        body_timeout,
        ..IngestConfig::default()
    });
    let endless = std::future::pending::<Option<Result<HeaderMap, Infallible>>>();
    let body = Body::new(Full::new(Bytes::from("{\"a\":1}\n")).with_trailers(endless));
    let answer = fixture.events(body).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (408, "slow_body")
    );
    assert_eq!(fixture.log.with(|s| s.head), 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_stores_nothing() {
    let fixture = Fixture::new();
    let body = Body::new(Limited::new(Full::new(Bytes::from("{\"a\":1}\n")), 3));
    let answer = fixture.events(body).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (400, "incomplete_body")
    );
    assert_eq!(fixture.log.with(|s| s.head), 0);
}

/// A client that dies in the middle of its body: by length, and in chunks without an end.
#[tokio::test]
async fn a_client_that_dies_stores_nothing() {
    let fixture = Fixture::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = fixture.ingest.router();
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let post = "POST /api/v1/events HTTP/1.1\r\nhost: x\r\n";
    let halves = [
        format!("{post}content-length: 100\r\n\r\n{{\"a\":1}}\n{{\"a\":2}}\n"),
        format!("{post}transfer-encoding: chunked\r\n\r\n8\r\n{{\"a\":1}}\n\r\n"),
        format!("{post}transfer-encoding: chunked\r\n\r\n8\r\n{{\"a\""),
    ];
    for half in halves {
        let mut dying = TcpStream::connect(address).await.unwrap();
        dying.write_all(half.as_bytes()).await.unwrap();
        dying.shutdown().await.unwrap();
        // The server closes too when it has seen the end: then it has decided.
        let mut answer = Vec::new();
        dying.read_to_end(&mut answer).await.unwrap();
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{half:?}");
    }
    let mut whole = TcpStream::connect(address).await.unwrap();
    let request = format!("{post}connection: close\r\ncontent-length: 7\r\n\r\n{{\"n\":1}}");
    whole.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    whole.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(fixture.log.lines(), ["{\"n\":1}"]);
    server.abort();
}

/// A client that sends everything before it reads must get to read that it is refused.
#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let fixture = Fixture::new();
    fixture
        .log
        .with(|s| s.closed = Some(CommitError::Overloaded("full".into())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = fixture.ingest.router();
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(1_000));
    let body = line.repeat(16_000);
    let mut client = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        let head = format!(
            "POST /api/v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(body.as_bytes()).await.unwrap();
        let mut answer = vec![0; 2_000];
        let read = client.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    }
    server.abort();
}
