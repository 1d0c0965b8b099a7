//! Reads a request body and inflates it, with limits on bytes, memory and time.

use std::io::Read;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, header};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::config::IngestConfig;
use crate::error::Refusal;
use crate::memory::Budget;

/// Window of a zstd frame, log2: 8 MiB, what the zstd tool needs up to level 19.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Output beyond this is refused when it is also [`BOMB_RATIO`] times its input: real logs
/// inflate 10 to 40 times, so that a bomb costs little more than this.
const BOMB_FLOOR_BYTES: usize = 16 << 20;
const BOMB_RATIO: usize = 100;
/// A body that is slower than this after [`IngestConfig::body_timeout`] is cut off.
const SLOW_BYTES_PER_S: u64 = 1024;
/// How long a request waits for a place to inflate before it is told to come back.
const INFLATE_WAIT: Duration = Duration::from_millis(900);
const CHUNK_BYTES: usize = 64 << 10;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952, one member or several.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// RFC 1950, or bare RFC 1951 as some clients send it.
    Deflate,
}

impl Encoding {
    /// Reads the `Content-Encoding` header.
    ///
    /// # Errors
    /// [`Refusal::UnsupportedEncoding`] for anything else, chains of encodings included.
    pub fn from_headers(headers: &HeaderMap) -> Result<Encoding, Refusal> {
        let mut found = Encoding::Identity;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            let text = String::from_utf8_lossy(value.as_bytes())
                .trim()
                .to_ascii_lowercase();
            let encoding = match text.as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Encoding::Gzip,
                "zstd" => Encoding::Zstd,
                "deflate" => Encoding::Deflate,
                _ => return Err(Refusal::UnsupportedEncoding(printable(&text))),
            };
            if found != Encoding::Identity {
                return Err(Refusal::UnsupportedEncoding(printable(&text)));
            }
            found = encoding;
        }
        Ok(found)
    }
}

/// A decoded body and the share of the memory budget it holds.
#[derive(Debug)]
pub struct Decoded {
    /// The bytes.
    pub body: Vec<u8>,
    /// Given back when the request is answered.
    pub held: Budget,
}

/// Takes bodies in. Cheap to share.
#[derive(Debug)]
pub struct Decoder {
    limit_bytes: usize,
    timeout: Duration,
    inflating: std::sync::Arc<Semaphore>,
}

impl Decoder {
    /// Limits as configured.
    pub fn new(config: &IngestConfig) -> Self {
        let places = std::thread::available_parallelism().map_or(2, |n| n.get().max(2));
        Decoder {
            limit_bytes: config.max_body_bytes,
            timeout: config.body_timeout,
            inflating: std::sync::Arc::new(Semaphore::new(places)),
        }
    }

    /// Reads and inflates the body of a request.
    ///
    /// # Errors
    /// [`Refusal`], with what was read of the body where it is worth keeping as a dead letter.
    pub async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        mut held: Budget,
    ) -> Result<Decoded, (Refusal, Vec<u8>)> {
        let encoding = Encoding::from_headers(headers).map_err(|r| (r, Vec::new()))?;
        let wire = self
            .collect(headers, body, &mut held)
            .await
            .map_err(|r| (r, Vec::new()))?;
        if encoding == Encoding::Identity {
            return Ok(Decoded { body: wire, held });
        }
        let place = self.place().await.map_err(|r| (r, Vec::new()))?;
        let limit = self.limit_bytes;
        let inflated = tokio::task::spawn_blocking(move || {
            let _place = place;
            let result = inflate(encoding, &wire, limit, &mut held);
            result
                .map(|body| Decoded { body, held })
                .map_err(|refusal| (refusal, wire))
        });
        inflated
            .await
            .unwrap_or(Err((Refusal::Internal, Vec::new())))
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let place = timeout(INFLATE_WAIT, self.inflating.clone().acquire_owned()).await;
        match place {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Refusal::Overloaded("too many bodies to inflate".into())),
        }
    }

    async fn collect(
        &self,
        headers: &HeaderMap,
        mut body: Body,
        held: &mut Budget,
    ) -> Result<Vec<u8>, Refusal> {
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.parse::<u64>().ok());
        if announced.is_some_and(|n| n > self.limit_bytes as u64) {
            return Err(self.too_large());
        }
        let mut wire = Vec::with_capacity(announced.map_or(0, |n| n.min(1 << 20) as usize));
        let started = Instant::now();
        loop {
            let frame = match timeout(self.timeout, body.frame()).await {
                Err(_) => return Err(Refusal::SlowBody),
                Ok(None) => return Ok(wire),
                Ok(Some(Err(_))) => return Err(Refusal::IncompleteBody),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if wire.len() + data.len() > self.limit_bytes {
                return Err(self.too_large());
            }
            if let Err(refusal) = held.take(data.len()) {
                drop(wire);
                self.discard(body).await;
                return Err(refusal);
            }
            wire.extend_from_slice(&data);
            let elapsed = started.elapsed();
            let least = elapsed.as_secs() * SLOW_BYTES_PER_S;
            if elapsed > self.timeout && (wire.len() as u64) < least {
                return Err(Refusal::SlowBody);
            }
        }
    }

    /// Reads a body to its end and keeps nothing of it. Many clients send all of it before they
    /// listen: were the connection closed under them, they would see a failure of the network
    /// and not that they should come again.
    pub async fn discard(&self, mut body: Body) {
        let all = async {
            let mut left = self.limit_bytes;
            while let Some(Ok(frame)) = body.frame().await {
                let bytes = frame.data_ref().map_or(0, |data| data.len());
                match left.checked_sub(bytes) {
                    Some(rest) => left = rest,
                    None => break,
                }
            }
        };
        // Whoever is slower than that gets no answer.
        let _ = timeout(self.timeout, all).await;
    }

    fn too_large(&self) -> Refusal {
        Refusal::BodyTooLarge(format!("the body is over {} bytes", self.limit_bytes))
    }
}

/// Inflates `wire`; at most `limit` bytes, counted while they appear.
///
/// # Errors
/// [`Refusal::BodyTooLarge`], [`Refusal::InvalidEncoding`], or [`Refusal::Overloaded`] when the
/// memory budget is used up.
pub fn inflate(
    encoding: Encoding,
    wire: &[u8],
    limit: usize,
    held: &mut Budget,
) -> Result<Vec<u8>, Refusal> {
    let reader: Box<dyn Read + '_> = match encoding {
        Encoding::Identity => Box::new(wire),
        Encoding::Gzip => Box::new(MultiGzDecoder::new(wire)),
        Encoding::Deflate if has_zlib_header(wire) => Box::new(ZlibDecoder::new(wire)),
        Encoding::Deflate => Box::new(DeflateDecoder::new(wire)),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(wire).map_err(invalid)?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG_MAX)
                .map_err(invalid)?;
            Box::new(decoder)
        }
    };
    drain(reader, wire.len(), limit, held)
}

fn drain(
    mut reader: Box<dyn Read + '_>,
    wire_bytes: usize,
    limit: usize,
    held: &mut Budget,
) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::new();
    let mut chunk = vec![0_u8; CHUNK_BYTES];
    loop {
        let n = reader.read(&mut chunk).map_err(invalid)?;
        let Some(data) = chunk.get(..n).filter(|data| !data.is_empty()) else {
            return Ok(out);
        };
        let total = out.len() + n;
        if total > limit {
            return Err(Refusal::BodyTooLarge(format!(
                "the body inflates to over {limit} bytes"
            )));
        }
        if total > BOMB_FLOOR_BYTES && total / BOMB_RATIO > wire_bytes {
            return Err(Refusal::BodyTooLarge(format!(
                "the body inflates more than {BOMB_RATIO} times, to over {BOMB_FLOOR_BYTES} bytes"
            )));
        }
        held.take(n)?;
        out.extend_from_slice(data);
    }
}

fn has_zlib_header(wire: &[u8]) -> bool {
    match wire {
        [cmf, flags, ..] => {
            cmf & 0x0f == 8 && (u16::from(*cmf) << 8 | u16::from(*flags)).is_multiple_of(31)
        }
        _ => false,
    }
}

fn invalid(error: std::io::Error) -> Refusal {
    Refusal::InvalidEncoding(format!("the body does not inflate: {error}"))
}

/// Header text as an answer may repeat it: short and without control characters.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}
