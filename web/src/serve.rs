//! The listener: a cap on connections, a limit on how slowly headers may come, a drain at the end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// Connections at the same time; more wait in the kernel's backlog.
pub const MAX_CONNECTIONS: usize = 1024;
/// How long the headers of a request may take, idle time on a kept-alive connection included.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests may go on after the shutdown was asked for.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Tells streams that the server is stopping. Found among a request's extensions.
#[derive(Clone)]
pub struct Closing(watch::Receiver<bool>);

impl Closing {
    /// Returns when the server is stopping.
    pub async fn wait(&mut self) {
        // An error means that the server is gone, which is the same.
        let _ = self.0.wait_for(|closing| *closing).await;
    }
}

/// Serves `router` until `shutdown` completes, then lets running requests end for at most
/// [`DRAIN_TIMEOUT`]. HTTP/1.1: HTTP/2 needs TLS in browsers and no shipper asks for it in plain.
///
/// # Errors
/// The listener fails for good.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (close, closing) = watch::channel(false);
    let seats = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let accept = async {
            let seat = seats
                .clone()
                .acquire_owned()
                .await
                .map_err(io::Error::other)?;
            listener
                .accept()
                .await
                .map(|(stream, address)| (seat, stream, address))
        };
        tokio::select! {
            () = &mut shutdown => break,
            accepted = accept => match accepted {
                Ok((seat, stream, address)) => {
                    let connection = connection(stream, address, router.clone(), closing.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(seat);
                    });
                }
                // Out of file descriptors, or the peer is gone already: neither ends the server.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    let _ = close.send(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        tracing::warn!(
            open = connections.len(),
            "requests were cut off by the shutdown"
        );
        connections.shutdown().await;
    }
    Ok(())
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
    closing: watch::Receiver<bool>,
) {
    // Answers are small and latency matters; without this a shipper waits for delayed acks.
    let _ = stream.set_nodelay(true);
    let for_requests = Closing(closing.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(address));
        request.extensions_mut().insert(for_requests.clone());
        let router = router.clone();
        router.oneshot(request.map(Body::new))
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let mut closing = Closing(closing);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = closing.wait() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "a connection ended early");
    }
}
