//! What can go wrong in the log, and which of it is final.

use std::io;
use std::path::{Path, PathBuf};

/// Why the log refused. After an error of `append` nothing of that append is kept.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused; the log stays usable.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A sync failed, or a failed write could not be undone. Final until the log is opened anew:
    /// the kernel may have dropped the pages it could not write, so a second sync proves nothing.
    #[error("the log stopped for good: {reason}")]
    Poisoned {
        /// The failure that stopped it.
        reason: String,
    },
    /// One record is over a limit of the format.
    #[error("a record's {what} of {found} is over the limit of {limit}")]
    TooLarge {
        /// Which part of the record.
        what: &'static str,
        /// Its size.
        found: usize,
        /// The limit, in the same unit.
        limit: usize,
    },
    /// A file was written by a newer program. Nothing was touched.
    #[error("{} has log format {found}; this program knows formats up to {known}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// A file is encrypted and the folder's others are not to be, or the other way round.
    #[error(
        "{} is {}encrypted, unlike the data folder it lies in", path.display(), if *sealed { "" } else { "not " }
    )]
    OtherSealing {
        /// The file.
        path: PathBuf,
        /// Is it encrypted?
        sealed: bool,
    },
    /// A record could not be encrypted. Nothing of it was written.
    #[error("cannot encrypt a record: {reason}")]
    Unencrypted {
        /// What failed.
        reason: String,
    },
    /// Another process uses the folder.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
}

impl LogError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            LogError::Io { .. } => "io",
            LogError::Poisoned { .. } => "wal_failed",
            LogError::TooLarge { .. } => "record_too_large",
            LogError::NewerFormat { .. } => "newer_format",
            LogError::OtherSealing { .. } => "other_sealing",
            LogError::Unencrypted { .. } => "encryption_failed",
            LogError::Locked { .. } => "locked",
        }
    }

    /// Did the volume run out of space (or of quota)? Then the log works again once there is some.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let LogError::Io { source, .. } = self else {
            return false;
        };
        matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }

    /// Wraps a system error: `map_err(LogError::io("open", path))`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
        let path = path.to_owned();
        move |source| LogError::Io {
            action,
            path,
            source,
        }
    }
}
