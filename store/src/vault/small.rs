//! Small things, each sealed under a nonce of its own: `nonce (12), cipher text, tag (16)`.

use std::io;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce};

use super::master::random;
use super::misused;

/// What follows the cipher text.
pub(crate) const TAG_BYTES: usize = 16;

/// Seals and opens things of one purpose.
///
/// Nonces are random: with 96 bits, 2^32 things under one key repeat one with a chance of 2^-33.
pub(crate) struct SmallSeal(LessSafeKey);

impl SmallSeal {
    pub(super) fn new(key: LessSafeKey) -> SmallSeal {
        debug_assert!(*key.algorithm() == AES_256_GCM);
        SmallSeal(key)
    }

    /// Makes room for what [`Self::seal_from`] puts before the plain text.
    pub fn begin(out: &mut Vec<u8>) {
        out.resize(out.len() + NONCE_LEN, 0);
    }

    /// Seals what was appended to `out` since [`Self::begin`] was called at length `start`. It can
    /// be opened only together with the same `bound`.
    pub fn seal_from(&self, out: &mut Vec<u8>, start: usize, bound: &[u8]) -> io::Result<()> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let (before, plain) = out.split_at_mut(start + NONCE_LEN);
        let sealed = self.0.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(bound),
            plain,
        );
        let tag = sealed.map_err(|_| misused("sealing"))?;
        before[start..].copy_from_slice(&nonce);
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// [`Self::seal_from`] for bytes that are there already.
    pub fn seal(&self, plain: &[u8], bound: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(NONCE_LEN + plain.len() + TAG_BYTES);
        Self::begin(&mut out);
        out.extend_from_slice(plain);
        self.seal_from(&mut out, 0, bound)?;
        Ok(out)
    }

    /// The plain text; none unless it was sealed with this key and `bound`.
    pub fn open(&self, sealed: &[u8], bound: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self
            .0
            .open_in_place(nonce, Aad::from(bound), &mut text)
            .ok()?;
        let bytes = plain.len();
        text.truncate(bytes);
        Some(text)
    }
}
