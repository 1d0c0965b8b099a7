//! What can be wrong with keys.

use std::path::PathBuf;
use std::sync::Arc;

/// Why the keys of a data folder cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VaultError {
    /// The folder is encrypted and there is no master key.
    #[error(
        "the data folder is encrypted ({}) and no master key is set; give it with \
         WATCHFIRE_MASTER_KEY or encryption.key_file", .0.display()
    )]
    MasterKeyMissing(PathBuf),
    /// The folder is encrypted under another master key.
    #[error(
        "the master key is not the one of this data folder (key {id} in {})", path.display()
    )]
    WrongMasterKey {
        /// The id of the data key.
        id: String,
        /// The file with the wrapped data key.
        path: PathBuf,
    },
    /// There is a master key, and data that is not encrypted.
    #[error(
        "a master key is set, but {} holds data that is not encrypted; encryption is chosen with \
         the first start on an empty folder: unset the master key, or start on a new folder and \
         send the events again from an export", .0.display()
    )]
    PlainData(PathBuf),
    /// The folder is encrypted, and the wrapped data key is gone.
    #[error(
        "the data folder is encrypted and {} is missing; restore that file from a backup, without \
         it nothing can be read", .0.display()
    )]
    KeysMissing(PathBuf),
    /// The file with the wrapped data key is not what was written.
    #[error("{}: {what}", path.display())]
    DamagedKeys {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A text that should be a key is none.
    #[error("{0} is not a master key: 32 bytes as base64 or as 64 hexadecimal digits are needed")]
    NotAKey(String),
    /// Others than the owner may read the key.
    #[error(
        "the key file {} may be read by others than its owner (mode {mode:03o}); chmod 600 it",
        path.display()
    )]
    ReadableByOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Rotating keys of a folder that has none.
    #[error("{} is not encrypted", .0.display())]
    NotEncrypted(PathBuf),
    /// A file could not be read or written.
    #[error("{context}: {source}")]
    Io {
        /// What was being done.
        context: String,
        /// The cause.
        source: Arc<std::io::Error>,
    },
}

impl VaultError {
    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            VaultError::MasterKeyMissing(_) => "master_key_missing",
            VaultError::WrongMasterKey { .. } => "wrong_master_key",
            VaultError::PlainData(_) => "plain_data",
            VaultError::KeysMissing(_) => "keys_missing",
            VaultError::DamagedKeys { .. } => "damaged_keys",
            VaultError::NotAKey(_) => "invalid_master_key",
            VaultError::ReadableByOthers { .. } => "key_file_permissions",
            VaultError::NotEncrypted(_) => "not_encrypted",
            VaultError::Io { .. } => "io",
        }
    }

    pub(super) fn io(context: impl Into<String>) -> impl FnOnce(std::io::Error) -> VaultError {
        let context = context.into();
        move |source| VaultError::Io {
            context,
            source: Arc::new(source),
        }
    }
}
