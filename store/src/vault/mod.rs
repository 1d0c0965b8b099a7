//! Encryption at rest: what is written to the data folder, and cannot be read without a key that
//! lies elsewhere.
//!
//! ```text
//! master key (environment or a file, never in the data folder)
//!    └─ wraps ─► data key (random, wrapped in keys.json)
//!                  └─ HKDF-SHA256 (purpose, salt) ─► one key a file: AES-256-GCM
//! ```
//!
//! # Files of segments
//!
//! ```text
//! header   0 magic F5 "WFSEAL\n"   8 format u32 = 1   12 block bytes u32 = 16384   16 salt (32)
//! blocks   16384 bytes of plain text and a tag of 16 bytes each; the last one may be shorter
//! ```
//!
//! The salt is random, so that every file has a key of its own and the number of a block can be
//! its nonce. A block is bound to the salt, to its number and to whether it is the last one: a
//! file that was cut, put together anew or exchanged in parts is refused where it is read.
//!
//! # Everything else
//!
//! Frames of the log, dead letters and the state of detection are small and are sealed one by one
//! under random nonces: a frame may be written twice at the same place, after a crash, so neither
//! its place nor its sequence number could be a nonce.
//!
//! A folder is encrypted from its first start on, or not at all. There is no way to have both in
//! one folder, so nobody can slip a plain file into an encrypted one.

mod blocks;
mod directory;
mod error;
mod file;
mod keys;
mod master;
mod small;
#[cfg(test)]
mod tests;
mod writer;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use tantivy::directory::{Directory, MmapDirectory, error::OpenDirectoryError};

pub use error::VaultError;
pub(crate) use file::VaultFile;
pub use keys::{FILE_NAME, rotate};
pub use master::MasterKey;
pub(crate) use small::{SmallSeal, TAG_BYTES};
pub(crate) use writer::VaultWriter;

use blocks::BlockSeal;
use keys::DataKey;

/// How the files of one data folder are written and read. Cheap to clone.
#[derive(Clone, Default)]
pub struct Vault(Option<Arc<DataKey>>);

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_sealing() {
            "Vault(encrypted)"
        } else {
            "Vault(plain)"
        })
    }
}

impl Vault {
    /// Files as they are, without encryption.
    pub const PLAIN: Vault = Vault(None);

    /// The vault of a folder that exists: encrypted if it holds `keys.json`, else plain. A master
    /// key that is given for a plain folder is left unused.
    ///
    /// # Errors
    /// [`VaultError::MasterKeyMissing`], [`VaultError::WrongMasterKey`],
    /// [`VaultError::KeysMissing`], or `keys.json` cannot be read.
    pub fn open(data_dir: &Path, master: Option<&MasterKey>) -> Result<Vault, VaultError> {
        let Some(stored) = keys::read(data_dir)? else {
            let log = data_dir.join("log");
            let lost = crate::log::holds_encrypted(&log)
                .map_err(VaultError::io(format!("reading {}", log.display())))?;
            return match lost {
                true => Err(VaultError::KeysMissing(keys::path(data_dir))),
                false => Ok(Vault::PLAIN),
            };
        };
        let master = master.ok_or_else(|| VaultError::MasterKeyMissing(keys::path(data_dir)))?;
        Ok(Vault(Some(Arc::new(stored.unwrap(master)?))))
    }

    /// As [`Self::open`]; with a master key, a folder that holds nothing yet becomes an encrypted
    /// one.
    ///
    /// # Errors
    /// Those of [`Self::open`]; [`VaultError::PlainData`] when a master key is given for a folder
    /// that holds plain data.
    pub fn open_or_create(
        data_dir: &Path,
        master: Option<&MasterKey>,
    ) -> Result<Vault, VaultError> {
        let vault = Vault::open(data_dir, master)?;
        match master {
            Some(master) if !vault.is_sealing() => {
                Ok(Vault(Some(Arc::new(keys::create(data_dir, master)?))))
            }
            _ => Ok(vault),
        }
    }

    /// Is what is written encrypted?
    #[must_use]
    pub fn is_sealing(&self) -> bool {
        self.0.is_some()
    }

    /// Wraps a writer of a new file. The end is written by [`VaultWriter::finish`].
    pub(crate) fn writer<W: Write>(&self, inner: W) -> io::Result<VaultWriter<W>> {
        match &self.0 {
            None => Ok(VaultWriter::Plain(inner)),
            Some(key) => VaultWriter::sealed(inner, BlockSeal::new_file(key)?),
        }
    }

    /// Opens a file that was written through [`Self::writer`].
    pub(crate) fn open_file(&self, path: &Path) -> io::Result<VaultFile> {
        VaultFile::open(path, self.0.as_deref())
    }

    /// The whole content of a small file.
    pub(crate) fn read_whole(&self, path: &Path) -> io::Result<Vec<u8>> {
        match &self.0 {
            None => std::fs::read(path),
            Some(_) => {
                let file = self.open_file(path)?;
                file.read_at(0, parquet::file::reader::Length::len(&file) as usize)
            }
        }
    }

    /// A folder of index files: mapped into memory, or read and decrypted piece by piece.
    pub(crate) fn directory(&self, dir: &Path) -> Result<Box<dyn Directory>, OpenDirectoryError> {
        let plain = MmapDirectory::open(dir)?;
        Ok(match self.is_sealing() {
            false => Box::new(plain),
            true => Box::new(directory::SealedDirectory::new(plain, dir, self.clone())),
        })
    }

    /// The seal for small things of one purpose; none where nothing is encrypted. Things of
    /// different salts cannot be exchanged for each other.
    pub(crate) fn small(&self, purpose: &str, salt: &[u8]) -> io::Result<Option<SmallSeal>> {
        let key = self.0.as_deref();
        key.map(|key| Ok(SmallSeal::new(key.derive(purpose, salt)?)))
            .transpose()
    }
}

/// What was read is not what was written here.
fn refused(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{what} cannot be decrypted: it was changed, or belongs to another folder"),
    )
}

/// A call of the cryptographic library that fails only if we use it wrongly.
fn misused(what: &'static str) -> io::Error {
    io::Error::other(format!("encryption failed: {what}"))
}
