//! Takes logs in: HTTP doors, decoding, and the mapping of what arrives to columns with ECS names.
//!
//! ```text
//! request ─► decode (inflate, limits) ─► lines ─► queue ─► batcher ─► committer ─► EventLog
//!                                                          columns,   fsync, then
//!                                                          mappings   the answers
//! ```
//!
//! A door ends at [`Ingest::submit`], which answers when the lines are durable. Everything on
//! the way has a limit; what is over it is refused with a code of [`Refusal`], never dropped.

mod batch;
mod batcher;
mod config;
mod decode;
mod error;
pub mod inputs;
mod keys;
mod lines;
mod memory;
mod normalize;
mod queue;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::Request as HttpRequest;
use watchfire_event::{
    BatchBuilder, BatchLimits, DeadLetter, EventBatch, EventLog, Record, RowMeta,
};

pub use batch::{Outcome, Request};
pub use config::IngestConfig;
pub use decode::{Encoding, inflate};
pub use error::{LISTED_REJECTIONS, Refusal, Rejected, problem};
pub use inputs::handshake::is_elastic_client;
pub use keys::{document_key, request_key};
pub use lines::{Lines, Prefix, Span, split};
pub use memory::{Budget, Memory};
pub use normalize::{MappingError, Mappings, normalize};

use batcher::Batcher;
use decode::{Decoded, Decoder};

/// Name of the token that shipped a request; the layer that checks tokens puts it into the
/// request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceName(pub Arc<str>);

/// Bytes of a refused body that are kept.
const DEAD_BODY_BYTES: usize = 64 << 10;

/// The intake: all doors and what is behind them. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    shared: Arc<Shared>,
}

struct Shared {
    batcher: Batcher,
    decoder: Decoder,
    memory: Arc<Memory>,
    config: IngestConfig,
}

impl Ingest {
    /// Starts the intake, with the built-in mappings, in front of `log`.
    ///
    /// # Errors
    /// When the system gives no thread, or a built-in mapping is broken.
    pub fn start(log: Arc<dyn EventLog>, config: IngestConfig) -> std::io::Result<Ingest> {
        let mappings = Mappings::builtin().map_err(std::io::Error::other)?;
        Self::start_with(log, config, Arc::new(mappings))
    }

    /// As [`Self::start`], with other mappings.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start_with(
        log: Arc<dyn EventLog>,
        config: IngestConfig,
        mappings: Arc<Mappings>,
    ) -> std::io::Result<Ingest> {
        let batcher = Batcher::start(log, &config, mappings)?;
        let shared = Shared {
            batcher,
            decoder: Decoder::new(&config),
            memory: Memory::new(config.max_pending_bytes),
            config,
        };
        Ok(Ingest {
            shared: Arc::new(shared),
        })
    }

    /// All doors. Whoever mounts them puts the check of tokens in front, which inserts
    /// [`SourceName`].
    pub fn router(&self) -> Router {
        let doors = inputs::INPUTS
            .iter()
            .fold(Router::new(), |router, i| (i.routes)(router));
        doors.with_state(self.clone())
    }

    /// Takes a decoded request and waits until it is durable.
    ///
    /// # Errors
    /// [`Refusal`]; then nothing of it is stored.
    pub async fn submit(&self, request: Request) -> Result<Outcome, Refusal> {
        self.shared.batcher.submit(request).await
    }

    /// Would a request be taken just now? A cheap question.
    ///
    /// # Errors
    /// [`Refusal`], as [`Self::submit`] would say.
    pub fn admit(&self) -> Result<(), Refusal> {
        self.shared.batcher.admit()
    }

    /// Takes no more requests and blocks until those taken are answered.
    pub fn close(&self) {
        self.shared.batcher.close();
    }

    /// Requests in line for the batcher.
    pub fn pending_requests(&self) -> usize {
        self.shared.batcher.pending_requests()
    }

    /// Settings.
    pub fn config(&self) -> &IngestConfig {
        &self.shared.config
    }

    /// Asks whether the request may come in, then reads and inflates its body. A body that is
    /// refused is kept as a dead letter.
    pub(crate) async fn read_body(&self, request: HttpRequest) -> Result<Incoming, Refusal> {
        let received_ns = now_ns();
        let (parts, body) = request.into_parts();
        if let Err(refusal) = self.admit() {
            self.shared.decoder.discard(body).await;
            return Err(refusal);
        }
        let source = parts
            .extensions
            .get::<SourceName>()
            .map_or("local".into(), |s| s.0.clone());
        let budget = self.shared.memory.budget();
        match self.shared.decoder.read(&parts.headers, body, budget).await {
            Ok(Decoded { body, held }) => {
                metrics::gauge!("watchfire_ingest_pending_bytes")
                    .set(self.shared.memory.used_bytes() as f64);
                Ok(Incoming {
                    parts,
                    source,
                    received_ns,
                    body,
                    held,
                })
            }
            Err((refusal, wire)) => {
                self.keep_body(source, received_ns, &refusal, &wire).await;
                Err(refusal)
            }
        }
    }

    /// Keeps the beginning of a refused body, unless it is expected to come again.
    pub(crate) async fn keep_body(
        &self,
        source: Arc<str>,
        received_ns: i64,
        refusal: &Refusal,
        body: &[u8],
    ) {
        if body.is_empty() || refusal.retry_after_s().is_some() {
            return;
        }
        let code = refusal.code();
        let bytes = body.get(..DEAD_BODY_BYTES).unwrap_or(body).to_vec();
        let letter = DeadLetter {
            received_ns,
            source,
            line: 0,
            code,
            bytes,
        };
        let ingest = self.clone();
        let kept = tokio::task::spawn_blocking(move || ingest.shared.batcher.keep_dead(letter));
        if kept.await.is_err() {
            tracing::error!("keeping a dead letter panicked");
        }
    }
}

/// A request whose body has been read.
pub(crate) struct Incoming {
    pub(crate) parts: axum::http::request::Parts,
    pub(crate) source: Arc<str>,
    pub(crate) received_ns: i64,
    pub(crate) body: Vec<u8>,
    pub(crate) held: Budget,
}

/// Now, nanoseconds since the epoch.
fn now_ns() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

/// Turns logged lines back into a batch: the columns they had when they came in.
pub fn rebuild(records: &[Record], limits: BatchLimits, mappings: &Mappings) -> EventBatch {
    let mut builder = BatchBuilder::new(limits);
    for record in records {
        batch::push_record(&mut builder, record);
    }
    normalize(builder.finish(), mappings)
}

/// Turns lines into a batch, without a log; refused lines are given with their positions.
pub fn build_batch(
    lines: &[&[u8]],
    meta: &RowMeta,
    limits: BatchLimits,
    mappings: &Mappings,
) -> (EventBatch, Vec<Rejected>) {
    let mut builder = BatchBuilder::new(limits);
    let mut rejected = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if let Err(error) = builder.push(line, meta) {
            rejected.push(Rejected::new(index as u32, index as u32 + 1, error));
        }
    }
    (normalize(builder.finish(), mappings), rejected)
}
