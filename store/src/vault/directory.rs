//! A folder of index files for tantivy, encrypted.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    AntiCallToken, Directory, DirectoryLock, FileHandle, Lock, MmapDirectory, TerminatingWrite,
    WatchCallback, WatchHandle, WritePtr,
};

use super::{Vault, VaultFile, VaultWriter};

/// Names, locks and syncs are those of the folder below; contents go through the vault.
#[derive(Debug, Clone)]
pub(super) struct SealedDirectory {
    plain: MmapDirectory,
    dir: PathBuf,
    vault: Vault,
}

impl SealedDirectory {
    pub fn new(plain: MmapDirectory, dir: &Path, vault: Vault) -> SealedDirectory {
        SealedDirectory {
            plain,
            dir: dir.to_owned(),
            vault,
        }
    }
}

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> OpenReadError {
    let path = path.to_owned();
    move |error| match error.kind() {
        io::ErrorKind::NotFound => OpenReadError::FileDoesNotExist(path),
        _ => OpenReadError::wrap_io_error(error, path),
    }
}

impl Directory for SealedDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        let opened = self.vault.open_file(&self.dir.join(path));
        match opened.map_err(read_error(path))? {
            VaultFile::Sealed(sealed) => Ok(sealed),
            VaultFile::Plain(_) => self.plain.get_file_handle(path),
        }
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.plain.delete(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.plain.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let below = self.plain.open_write(path)?;
        let failed = |error| OpenWriteError::wrap_io_error(error, path.to_owned());
        let writer = SealedIndexFile(self.vault.writer(below).map_err(failed)?);
        Ok(BufWriter::new(Box::new(writer)))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        self.vault
            .read_whole(&self.dir.join(path))
            .map_err(read_error(path))
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        let mut writer = self.vault.writer(Vec::new())?;
        writer.write_all(data)?;
        self.plain.atomic_write(path, &writer.finish()?)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.plain.sync_directory()
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        self.plain.acquire_lock(lock)
    }

    fn watch(&self, callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.plain.watch(callback)
    }
}

/// A file that the index is writing.
struct SealedIndexFile(VaultWriter<WritePtr>);

impl Write for SealedIndexFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl TerminatingWrite for SealedIndexFile {
    fn terminate_ref(&mut self, token: AntiCallToken) -> io::Result<()> {
        self.0.finish_in_place()?.terminate_ref(token)
    }
}
