//! The master key: the one secret that a person keeps.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

use super::{VaultError, misused};

/// Bytes of every key here.
pub(super) const KEY_BYTES: usize = 32;
/// Permission bits of everybody but the owner.
const OTHERS: u32 = 0o077;

/// A key of 256 bits. Its text is shown by [`MasterKey::reveal`] alone.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey([u8; KEY_BYTES]);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(set)")
    }
}

impl MasterKey {
    /// A fresh random key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn random() -> Result<MasterKey, VaultError> {
        Ok(MasterKey(random().map_err(VaultError::io("making a key"))?))
    }

    /// Reads 32 bytes in base64 or hexadecimal; `from` says in errors where the text stood.
    ///
    /// # Errors
    /// [`VaultError::NotAKey`].
    pub fn parse(text: &str, from: &str) -> Result<MasterKey, VaultError> {
        let text = text.trim();
        let bytes = from_hex(text).or_else(|| STANDARD.decode(text).ok());
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(MasterKey)
            .ok_or_else(|| VaultError::NotAKey(from.to_owned()))
    }

    /// Reads a file that only its owner may read.
    ///
    /// # Errors
    /// [`VaultError::ReadableByOthers`], [`VaultError::NotAKey`], or it cannot be read.
    pub fn from_file(path: &Path) -> Result<MasterKey, VaultError> {
        let context = || format!("reading the key file {}", path.display());
        let metadata = std::fs::metadata(path).map_err(VaultError::io(context()))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & OTHERS != 0 {
            let path = path.to_owned();
            return Err(VaultError::ReadableByOthers { path, mode });
        }
        let text = std::fs::read_to_string(path).map_err(VaultError::io(context()))?;
        MasterKey::parse(&text, &path.display().to_string())
    }

    /// The key as text, to be kept in a safe place.
    #[must_use]
    pub fn reveal(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// The key under which the data key `id` is wrapped.
    pub(super) fn wrapping(&self, id: &str) -> std::io::Result<LessSafeKey> {
        derive(&self.0, "watchfire wrapping", id.as_bytes())
    }

    /// Tells a wrong master key from a damaged file; says nothing about the key itself.
    pub(super) fn check(&self, id: &str) -> std::io::Result<[u8; 16]> {
        let mut check = [0; 16];
        let salt = Salt::new(HKDF_SHA256, id.as_bytes());
        salt.extract(&self.0)
            .expand(&[b"watchfire key check"], Length(check.len()))
            .and_then(|okm| okm.fill(&mut check))
            .map_err(|_| misused("key check"))?;
        Ok(check)
    }
}

struct Length(usize);

impl ring::hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// The AES-256-GCM key for one purpose and salt under `secret`.
pub(super) fn derive(secret: &[u8], purpose: &str, salt: &[u8]) -> std::io::Result<LessSafeKey> {
    let prk = Salt::new(HKDF_SHA256, salt).extract(secret);
    let info = [purpose.as_bytes()];
    let okm = prk
        .expand(&info, &AES_256_GCM)
        .map_err(|_| misused("key derivation"))?;
    Ok(LessSafeKey::new(UnboundKey::from(okm)))
}

/// Random bytes of the operating system.
pub(super) fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
    Ok(bytes)
}

/// Lower-case hexadecimal digits.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.len() != 2 * KEY_BYTES || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let pairs = digits.chunks(2).map(str::from_utf8);
    pairs
        .map(|pair| u8::from_str_radix(pair.ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs::{Permissions, set_permissions, write};

    use super::*;

    #[test]
    fn keys_are_read_in_both_notations_and_never_printed() {
        let key = MasterKey::random().unwrap();
        assert_eq!(MasterKey::parse(&key.reveal(), "a").unwrap(), key);
        assert_eq!(MasterKey::parse(&to_hex(&key.0), "a").unwrap(), key);
        assert_eq!(format!("{key:?}"), "(set)");
        for text in [
            "",
            "secret",
            &"g".repeat(64),
            &"A".repeat(43),
            &"0".repeat(62),
        ] {
            assert_eq!(
                MasterKey::parse(text, "the text").unwrap_err().code(),
                "invalid_master_key"
            );
        }
    }

    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = MasterKey::random().unwrap();
        write(&path, key.reveal() + "\n").unwrap();
        for (mode, code) in [
            (0o600, None),
            (0o400, None),
            (0o640, Some("key_file_permissions")),
            (0o604, Some("key_file_permissions")),
        ] {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let read = MasterKey::from_file(&path);
            assert_eq!(read.as_ref().err().map(VaultError::code), code, "{mode:o}");
            assert!(read.is_err() || read.unwrap() == key);
        }
        assert_eq!(
            MasterKey::from_file(&dir.path().join("none"))
                .unwrap_err()
                .code(),
            "io"
        );
    }
}
