//! One process a data folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::error::LogError;

/// An exclusive lock on a file, held until dropped. The system frees it when the process dies,
/// so a leftover file means nothing.
#[derive(Debug)]
pub struct LockFile {
    // Closing the file frees the lock.
    _file: File,
}

impl LockFile {
    /// Takes the lock on `path`, creating the file if needed, without waiting. The process id is
    /// written into it for the person who wonders.
    ///
    /// # Errors
    /// [`LogError::Locked`] when another process (or another open of this one) holds it.
    pub fn acquire(path: &Path) -> Result<LockFile, LogError> {
        let open = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path);
        let mut file = open.map_err(LogError::io("open", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LogError::Locked {
                    path: path.to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(LogError::io("lock", path)(error)),
        }
        let written = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(LogError::io("write", path))?;
        Ok(LockFile { _file: file })
    }
}
