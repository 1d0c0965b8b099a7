//! Random ids and secrets, and the digests that are stored in their place.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::MetaError;

/// `bytes` random bytes as lower-case hex.
pub(super) fn random_hex(bytes: usize) -> Result<String, MetaError> {
    Ok(hex(&random(bytes)?))
}

/// A signing secret of Standard Webhooks: `whsec_` and 32 random bytes in base64.
pub(super) fn webhook_secret() -> Result<String, MetaError> {
    Ok(format!("whsec_{}", STANDARD.encode(random(32)?)))
}

/// SHA-256 as hex. Right for random secrets of 128 bits and more; passwords need argon2.
pub(super) fn sha256_hex(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Compares two digests in a time that depends on their length alone.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.bytes()
            .zip(b.bytes())
            .fold(0, |acc, (x, y)| acc | (x ^ y))
            == 0
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
}

/// `bytes` random bytes.
pub(super) fn random(bytes: usize) -> Result<Vec<u8>, MetaError> {
    let mut buffer = vec![0; bytes];
    getrandom::fill(&mut buffer).map_err(|e| std::io::Error::other(e.to_string()))?;
    Ok(buffer)
}
