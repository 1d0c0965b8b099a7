//! One HTTP request to a receiver: to a checked address, bounded in time and in bytes.

use std::error::Error as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, redirect};
use url::Url;
use watchfire_store::meta::DueDelivery;

use super::target::TargetPolicy;
use super::{message, webhook};

/// A receiver has so long to answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A connection must stand after so long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The body of an answer says nothing to us. It is read, for so long and so far, only to use the
/// connection again.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
const DRAIN_BYTES: usize = 64 * 1_024;

/// Resolves a name to addresses. Tests hand in their own.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The `Retry-After` header as it came.
    pub retry_after: Option<String>,
    /// What went wrong, if there was none.
    pub error: Option<String>,
    /// From start to answer.
    pub took: Duration,
}

/// Sends messages. Cheap to clone.
#[derive(Clone)]
pub(super) struct Sender {
    client: Client,
    policy: Arc<TargetPolicy>,
}

impl Sender {
    /// # Errors
    /// When no HTTP client can be made on this machine.
    pub fn new(policy: Arc<TargetPolicy>, lookup: Lookup) -> Result<Sender, reqwest::Error> {
        // The program installs one at its start; then this does nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            let resolver = CheckedResolver {
                policy: Arc::clone(&policy),
                lookup: Arc::clone(&lookup),
            };
            Client::builder()
                .user_agent(concat!("Watchfire/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .referer(false)
                .no_proxy()
                .timeout(TIMEOUT)
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_max_idle_per_host(1)
                .pool_idle_timeout(Duration::from_secs(30))
                .dns_resolver(resolver)
        };
        let client = builder().build().or_else(|error| {
            // A machine without root certificates can still send to plain http; https targets
            // then fail one by one, in the delivery log.
            tracing::warn!(%error, "no root certificates found, https webhooks will fail");
            builder().tls_certs_only([]).build()
        })?;
        Ok(Sender { client, policy })
    }

    /// One attempt, at `now_ns`.
    pub async fn send(&self, due: &DueDelivery, now_ns: i64) -> Answer {
        let begin = Instant::now();
        let (status, retry_after, error) = match self.request(due, now_ns).await {
            Ok(response) => {
                let status = response.status().as_u16();
                let after = response.headers().get(RETRY_AFTER);
                let after = after.and_then(|v| v.to_str().ok()).map(str::to_owned);
                let _ = tokio::time::timeout(DRAIN_TIMEOUT, drain(response)).await;
                (Some(status), after, None)
            }
            Err(error) => (None, None, Some(error)),
        };
        Answer {
            status,
            retry_after,
            error,
            took: begin.elapsed(),
        }
    }

    async fn request(&self, due: &DueDelivery, now_ns: i64) -> Result<Response, String> {
        let url = Url::parse(&due.channel.url).map_err(|e| format!("not a url: {e}"))?;
        // Addresses written in the URL never reach the resolver; names are checked there.
        self.policy.check(&url)?;
        let delivery = &due.delivery;
        let body = message::body(&delivery.kind, delivery.created_ns, &due.data);
        let seconds = now_ns.div_euclid(1_000_000_000);
        let mut request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json");
        for (name, value) in webhook::headers(&due.secrets, &delivery.id, seconds, &body)? {
            request = request.header(name, value);
        }
        request.body(body).send().await.map_err(describe)
    }
}

/// The system's resolver.
pub(super) fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// Hands the HTTP client checked addresses only, so that what was checked is what is connected
/// to, whatever the name resolves to a moment later.
struct CheckedResolver {
    policy: Arc<TargetPolicy>,
    lookup: Lookup,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.policy);
        let found = (self.lookup)(name.as_str().to_owned());
        Box::pin(async move {
            let addresses = found.await?;
            if addresses.is_empty() {
                return Err("the name has no address".into());
            }
            // One bad address condemns the name: which one would be used is chance.
            for ip in &addresses {
                policy.check_address(*ip)?;
            }
            let addresses: Addrs = Box::new(addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

async fn drain(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read >= DRAIN_BYTES {
            return;
        }
    }
}

/// The innermost reason, without the URL: its path is often a secret.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}
