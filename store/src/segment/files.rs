//! Files of a segment: checksums while writing, checks when reading, syncs.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{FORMAT, SegmentInfo};
use crate::StoreError;
use crate::vault::Vault;

/// A file with its length and checksum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileInfo {
    /// Path within the segment's folder.
    pub name: String,
    pub bytes: u64,
    pub crc32c: u32,
}

impl FileInfo {
    /// Reads the file as it is now.
    pub fn of(dir: &Path, name: &str) -> io::Result<FileInfo> {
        let mut file = File::open(dir.join(name))?;
        let mut buffer = vec![0; 1 << 17];
        let (mut bytes, mut crc) = (0, 0);
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                n => {
                    let read = buffer.get(..n).unwrap_or_default();
                    crc = crc32c::crc32c_append(crc, read);
                    bytes += n as u64;
                }
            }
        }
        Ok(FileInfo {
            name: name.to_owned(),
            bytes,
            crc32c: crc,
        })
    }

    pub fn check_length(&self, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(&self.name);
        let found = path.metadata().map(|m| m.len());
        match found {
            Ok(bytes) if bytes == self.bytes => Ok(()),
            Ok(bytes) => Err(StoreError::Corrupt(format!(
                "{} has {bytes} bytes, not {}",
                path.display(),
                self.bytes
            ))),
            Err(error) => Err(StoreError::Corrupt(format!("{}: {error}", path.display()))),
        }
    }

    pub fn check_content(&self, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(&self.name);
        let context = || path.display().to_string();
        let found = FileInfo::of(dir, &self.name).map_err(StoreError::io(context()))?;
        if found == *self {
            return Ok(());
        }
        Err(StoreError::Corrupt(format!(
            "{} is not what was written",
            path.display()
        )))
    }
}

/// A writer that keeps the checksum of what passes.
pub(super) struct Checksummed<W> {
    inner: W,
    crc: u32,
    bytes: u64,
}

impl<W: Write> Checksummed<W> {
    pub fn new(inner: W) -> Self {
        Checksummed {
            inner,
            crc: 0,
            bytes: 0,
        }
    }

    /// The writer, and what it wrote as the file `name`.
    pub fn finish(self, name: &str) -> (W, FileInfo) {
        let info = FileInfo {
            name: name.to_owned(),
            bytes: self.bytes,
            crc32c: self.crc,
        };
        (self.inner, info)
    }
}

impl<W: Write> Write for Checksummed<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buffer)?;
        self.crc = crc32c::crc32c_append(self.crc, buffer.get(..n).unwrap_or_default());
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// `segment.json`: the checksum is of the text of `segment`.
#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    crc32c: u32,
    segment: T,
}

pub(super) fn write_info(path: &Path, info: &SegmentInfo, vault: &Vault) -> io::Result<()> {
    let text = serde_json::to_string(info)?;
    let crc32c = crc32c::crc32c(text.as_bytes());
    let sealed = Sealed {
        crc32c,
        segment: RawValue::from_string(text)?,
    };
    let mut file = vault.writer(File::create_new(path)?)?;
    serde_json::to_writer(&mut file, &sealed)?;
    file.finish()?.sync_all()
}

pub(super) fn read_info(path: &Path, vault: &Vault) -> Result<SegmentInfo, StoreError> {
    let corrupt = |what: &str| StoreError::Corrupt(format!("{}: {what}", path.display()));
    let text = vault
        .read_whole(path)
        .map_err(|e| corrupt(&e.to_string()))?;
    let sealed: Sealed<Box<RawValue>> =
        serde_json::from_slice(&text).map_err(|e| corrupt(&e.to_string()))?;
    if crc32c::crc32c(sealed.segment.get().as_bytes()) != sealed.crc32c {
        return Err(corrupt("the checksum differs"));
    }
    let info: SegmentInfo =
        serde_json::from_str(sealed.segment.get()).map_err(|e| corrupt(&e.to_string()))?;
    if info.format > FORMAT {
        return Err(corrupt("written by a newer version"));
    }
    Ok(info)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
