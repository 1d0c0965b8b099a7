//! Reading any part of a file, plain or in sealed blocks.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use datafusion::object_store::PutPayload;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use tantivy::HasLen;
use tantivy::directory::{FileHandle, OwnedBytes};

use super::blocks::{BLOCK_BYTES, BlockSeal, HEADER_BYTES, Layout, SEALED_BLOCK_BYTES};
use super::keys::DataKey;
use super::small::TAG_BYTES;

/// What parquet takes: `bytes::Bytes`, by the name that a dependency of ours has for it.
type Bytes = <PutPayload as IntoIterator>::Item;

/// Blocks read from the disk at a time.
const BLOCKS_AT_ONCE: u64 = 64;

/// An open file. Cheap to clone where it is encrypted.
#[derive(Debug)]
pub(crate) enum VaultFile {
    /// Read as it is.
    Plain(File),
    /// Decrypted while it is read.
    Sealed(Arc<SealedFile>),
}

/// An encrypted file.
pub(crate) struct SealedFile {
    file: File,
    seal: BlockSeal,
    layout: Layout,
}

impl std::fmt::Debug for SealedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedFile")
            .field("layout", &self.layout)
            .finish()
    }
}

impl VaultFile {
    pub(super) fn open(path: &Path, key: Option<&DataKey>) -> io::Result<VaultFile> {
        let file = File::open(path)?;
        Ok(match key {
            None => VaultFile::Plain(file),
            Some(key) => VaultFile::Sealed(Arc::new(SealedFile::open(file, key)?)),
        })
    }

    /// `len` bytes from `at` on.
    pub fn read_at(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        match self {
            VaultFile::Plain(file) => {
                let mut bytes = vec![0; len];
                file.read_exact_at(&mut bytes, at)?;
                Ok(bytes)
            }
            VaultFile::Sealed(sealed) => sealed.read_at(at, len),
        }
    }
}

impl SealedFile {
    /// Opens a file and checks its end, so that one that was cut is refused at once.
    fn open(file: File, key: &DataKey) -> io::Result<SealedFile> {
        let bytes = file.metadata()?.len();
        let cut = || io::Error::new(io::ErrorKind::InvalidData, "an encrypted file was cut");
        let layout = Layout::of(bytes).ok_or_else(cut)?;
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0)?;
        let seal = BlockSeal::of(header, key)?;
        let sealed = SealedFile { file, seal, layout };
        sealed.read_blocks(layout.blocks - 1..layout.blocks, |_| {})?;
        Ok(sealed)
    }

    fn read_at(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let end = at.checked_add(len as u64);
        let Some(end) = end.filter(|end| *end <= self.layout.plain) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let mut out = Vec::with_capacity(len);
        if len == 0 {
            return Ok(out);
        }
        let block = BLOCK_BYTES as u64;
        let mut skip = (at % block) as usize;
        self.read_blocks(at / block..end.div_ceil(block), |plain| {
            let wanted = plain.get(skip..).unwrap_or_default();
            let missing = (len - out.len()).min(wanted.len());
            out.extend_from_slice(wanted.get(..missing).unwrap_or_default());
            skip = 0;
        })?;
        Ok(out)
    }

    /// Hands on the plain text of each block in order.
    fn read_blocks(&self, numbers: Range<u64>, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let mut sealed = Vec::new();
        let mut next = numbers.start;
        while next < numbers.end {
            let end = numbers.end.min(next + BLOCKS_AT_ONCE);
            let mut bytes = (end - next) as usize * SEALED_BLOCK_BYTES;
            if self.layout.is_last(end - 1) {
                let before = (self.layout.blocks - 1) * BLOCK_BYTES as u64;
                let last = (self.layout.plain - before) as usize + TAG_BYTES;
                bytes = bytes - SEALED_BLOCK_BYTES + last;
            }
            sealed.resize(bytes, 0);
            self.file.read_exact_at(&mut sealed, Layout::offset(next))?;
            for block in sealed.chunks_mut(SEALED_BLOCK_BYTES) {
                take(self.seal.open(next, self.layout.is_last(next), block)?);
                next += 1;
            }
        }
        Ok(())
    }
}

impl Length for VaultFile {
    fn len(&self) -> u64 {
        match self {
            VaultFile::Plain(file) => Length::len(file),
            VaultFile::Sealed(sealed) => sealed.layout.plain,
        }
    }
}

impl ChunkReader for VaultFile {
    type T = VaultRead;

    fn get_read(&self, start: u64) -> Result<VaultRead, ParquetError> {
        Ok(match self {
            VaultFile::Plain(file) => VaultRead::Plain(file.get_read(start)?),
            VaultFile::Sealed(sealed) => VaultRead::Sealed(SealedRead {
                file: sealed.clone(),
                at: start,
                block: Vec::new(),
                used: 0,
            }),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match self {
            VaultFile::Plain(file) => file.get_bytes(start, length),
            VaultFile::Sealed(sealed) => Ok(sealed.read_at(start, length)?.into()),
        }
    }
}

/// Reads on from somewhere in a file.
pub(crate) enum VaultRead {
    Plain(BufReader<File>),
    Sealed(SealedRead),
}

/// Reads an encrypted file block by block.
pub(crate) struct SealedRead {
    file: Arc<SealedFile>,
    at: u64,
    block: Vec<u8>,
    used: usize,
}

impl Read for VaultRead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            VaultRead::Plain(file) => file.read(out),
            VaultRead::Sealed(sealed) => sealed.read(out),
        }
    }
}

impl Read for SealedRead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.used == self.block.len() {
            let block = BLOCK_BYTES as u64;
            let left = self.file.layout.plain.saturating_sub(self.at);
            let to_border = (block - self.at % block).min(left);
            self.block = self.file.read_at(self.at, to_border as usize)?;
            self.at += to_border;
            self.used = 0;
        }
        let rest = self.block.get(self.used..).unwrap_or_default();
        let taken = rest.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..taken), rest.get(..taken)) {
            to.copy_from_slice(from);
        }
        self.used += taken;
        Ok(taken)
    }
}

impl HasLen for SealedFile {
    fn len(&self) -> usize {
        self.layout.plain as usize
    }
}

impl FileHandle for SealedFile {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        let bytes = self.read_at(range.start as u64, range.len())?;
        Ok(OwnedBytes::new(bytes))
    }
}
