//! Writing a file from its beginning to its end, plain or in sealed blocks.

use std::io::{self, Write};

use super::blocks::{BLOCK_BYTES, BlockSeal, SEALED_BLOCK_BYTES};

/// A writer of one file.
pub(crate) enum VaultWriter<W> {
    /// What is written is what is on disk.
    Plain(W),
    /// What is on disk is encrypted.
    Sealed(Box<SealedWriter<W>>),
}

/// Collects a block and seals it once more follows or the end is told: the last block is marked.
pub(crate) struct SealedWriter<W> {
    inner: W,
    seal: BlockSeal,
    block: Vec<u8>,
    number: u64,
}

impl<W: Write> VaultWriter<W> {
    pub(super) fn sealed(mut inner: W, seal: BlockSeal) -> io::Result<Self> {
        inner.write_all(seal.header())?;
        Ok(VaultWriter::Sealed(Box::new(SealedWriter {
            inner,
            seal,
            block: Vec::with_capacity(SEALED_BLOCK_BYTES),
            number: 0,
        })))
    }

    /// Writes the end and gives back the writer below. A file without its end cannot be read.
    pub fn finish(self) -> io::Result<W> {
        match self {
            VaultWriter::Plain(inner) => Ok(inner),
            VaultWriter::Sealed(mut sealed) => {
                sealed.put(true)?;
                Ok(sealed.inner)
            }
        }
    }

    /// As [`Self::finish`], for a writer that cannot be taken apart. Nothing may follow.
    pub(super) fn finish_in_place(&mut self) -> io::Result<&mut W> {
        match self {
            VaultWriter::Plain(inner) => Ok(inner),
            VaultWriter::Sealed(sealed) => {
                sealed.put(true)?;
                Ok(&mut sealed.inner)
            }
        }
    }
}

impl<W: Write> SealedWriter<W> {
    fn put(&mut self, is_last: bool) -> io::Result<()> {
        self.seal.seal(self.number, is_last, &mut self.block)?;
        self.inner.write_all(&self.block)?;
        self.block.clear();
        self.number += 1;
        Ok(())
    }
}

impl<W: Write> Write for VaultWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            VaultWriter::Plain(inner) => inner.write(bytes),
            VaultWriter::Sealed(sealed) => {
                if sealed.block.len() == BLOCK_BYTES && !bytes.is_empty() {
                    sealed.put(false)?;
                }
                let taken = bytes.len().min(BLOCK_BYTES - sealed.block.len());
                sealed
                    .block
                    .extend_from_slice(bytes.get(..taken).unwrap_or_default());
                Ok(taken)
            }
        }
    }

    /// A block that is not full stays here.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            VaultWriter::Plain(inner) => inner.flush(),
            VaultWriter::Sealed(sealed) => sealed.inner.flush(),
        }
    }
}
