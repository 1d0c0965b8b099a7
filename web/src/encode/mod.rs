//! Turning batches into the bytes of a download, piece by piece, in constant memory.

mod arrow_ipc;
mod cell;
mod csv;
mod ndjson;
mod parquet;

use std::fmt::Display;

use axum::body::{Body, Bytes};
use futures::stream::{self, Stream, StreamExt};

pub use arrow_ipc::ArrowIpc;
pub use cell::{json_cell, type_name};
pub use csv::Csv;
pub use ndjson::Ndjson;
pub use parquet::Parquet;

use crate::error::ApiError;

/// Writes one format. Called from a blocking thread.
pub trait Encoder<I>: Send + 'static {
    /// The bytes that `batch` adds.
    ///
    /// # Errors
    /// The batch cannot be written in this format.
    fn encode(&mut self, batch: I) -> Result<Vec<u8>, EncodeError>;

    /// The bytes that end the file.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    fn finish(&mut self) -> Result<Vec<u8>, EncodeError>;
}

/// Why a batch could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Columns of a kind the format does not know.
    #[error("columns: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// The Parquet writer failed.
    #[error("parquet: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
    /// The JSON writer failed.
    #[error("json: {0}")]
    Json(#[from] serde_json::Error),
}

/// Streams `batches` through `encoder`. `guard` is dropped when the stream ends.
///
/// A failure before the first batch is an error answer. Later the status is out already, so the
/// connection is cut: the client sees a broken download, never a short one that looks whole.
///
/// # Errors
/// What the first batch fails with.
pub async fn body<S, I, E, C, G>(batches: S, encoder: C, guard: G) -> Result<Body, ApiError>
where
    S: Stream<Item = Result<I, E>> + Send + 'static,
    I: Send + 'static,
    E: Display + Send + 'static,
    ApiError: From<E>,
    C: Encoder<I>,
    G: Send + 'static,
{
    let mut batches = Box::pin(batches);
    let first = batches.next().await.transpose()?;
    let batches = stream::iter(first.map(Ok)).chain(batches);
    let work = Work {
        batches: Box::pin(batches),
        encoder: Some(encoder),
        guard,
    };
    let pieces = stream::unfold(work, |mut work| async move {
        let piece = work.next_piece().await?;
        if let Err(cause) = &piece {
            tracing::warn!(%cause, "a download was cut off");
            work.encoder = None;
        }
        Some((piece, work))
    });
    Ok(Body::from_stream(pieces))
}

struct Work<S, C, G> {
    batches: std::pin::Pin<Box<S>>,
    /// None when the file is complete, or broken.
    encoder: Option<C>,
    #[expect(dead_code, reason = "held until the download ends")]
    guard: G,
}

impl<S, C, G> Work<S, C, G> {
    async fn next_piece<I, E>(&mut self) -> Option<Result<Bytes, String>>
    where
        S: Stream<Item = Result<I, E>>,
        I: Send + 'static,
        E: Display,
        C: Encoder<I>,
    {
        loop {
            let mut encoder = self.encoder.take()?;
            let batch = match self.batches.next().await {
                Some(Ok(batch)) => Some(batch),
                Some(Err(e)) => return Some(Err(e.to_string())),
                None => None,
            };
            let last = batch.is_none();
            let encoding = tokio::task::spawn_blocking(move || {
                let bytes = match batch {
                    Some(batch) => encoder.encode(batch),
                    None => encoder.finish(),
                };
                (encoder, bytes)
            });
            let (encoder, bytes) = match encoding.await {
                Ok((encoder, Ok(bytes))) => (encoder, bytes),
                Ok((_, Err(e))) => return Some(Err(e.to_string())),
                Err(e) => return Some(Err(e.to_string())),
            };
            if !last {
                self.encoder = Some(encoder);
            }
            if !bytes.is_empty() {
                return Some(Ok(bytes.into()));
            }
        }
    }
}
