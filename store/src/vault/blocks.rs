//! Blocks of a sealed file: which key, which nonce, and what each is bound to.

use std::io;

use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};

use super::keys::DataKey;
use super::master::random;
use super::small::TAG_BYTES;
use super::{misused, refused};

/// Plain text of one block.
pub(super) const BLOCK_BYTES: usize = 16 << 10;
/// Size of a block on disk.
pub(super) const SEALED_BLOCK_BYTES: usize = BLOCK_BYTES + TAG_BYTES;
/// Size of the header of a file.
pub(super) const HEADER_BYTES: usize = 48;

const MAGIC: [u8; 8] = *b"\xF5WFSEAL\n";
const FORMAT: u32 = 1;
const SALT_BYTES: usize = 32;
const PURPOSE: &str = "watchfire file";

/// The key of one file. Each block number is used as a nonce once, because a file is written once
/// from its beginning to its end and every file has a random salt.
pub(super) struct BlockSeal {
    key: LessSafeKey,
    header: [u8; HEADER_BYTES],
}

impl BlockSeal {
    /// The seal of a new file.
    pub fn new_file(key: &DataKey) -> io::Result<BlockSeal> {
        let salt: [u8; SALT_BYTES] = random()?;
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        header[12..16].copy_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
        header[16..].copy_from_slice(&salt);
        let key = key.derive(PURPOSE, &salt)?;
        Ok(BlockSeal { key, header })
    }

    /// The seal of the file that begins with `header`.
    pub fn of(header: [u8; HEADER_BYTES], key: &DataKey) -> io::Result<BlockSeal> {
        let mut known = [0; 16];
        known[..8].copy_from_slice(&MAGIC);
        known[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        known[12..].copy_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
        if header[..16] != known {
            let what = "not an encrypted file of this version";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let key = key.derive(PURPOSE, &header[16..])?;
        Ok(BlockSeal { key, header })
    }

    pub fn header(&self) -> &[u8; HEADER_BYTES] {
        &self.header
    }

    /// Seals the whole of `block` in place and appends the tag.
    pub fn seal(&self, number: u64, is_last: bool, block: &mut Vec<u8>) -> io::Result<()> {
        let bound = Aad::from(self.bound(number, is_last));
        self.key
            .seal_in_place_append_tag(nonce(number), bound, block)
            .map_err(|_| misused("sealing a block"))
    }

    /// Opens a block in place and returns its plain text.
    pub fn open<'a>(
        &self,
        number: u64,
        is_last: bool,
        block: &'a mut [u8],
    ) -> io::Result<&'a [u8]> {
        let bound = Aad::from(self.bound(number, is_last));
        let opened = self.key.open_in_place(nonce(number), bound, block);
        opened
            .map(|plain| &*plain)
            .map_err(|_| refused(format_args!("block {number}")))
    }

    fn bound(&self, number: u64, is_last: bool) -> [u8; HEADER_BYTES + 9] {
        let mut bound = [0; HEADER_BYTES + 9];
        bound[..HEADER_BYTES].copy_from_slice(&self.header);
        bound[HEADER_BYTES..HEADER_BYTES + 8].copy_from_slice(&number.to_le_bytes());
        bound[HEADER_BYTES + 8] = u8::from(is_last);
        bound
    }
}

/// The number of a block as a nonce.
pub(super) fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// How the content of a file of so many bytes lies in blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes of plain text.
    pub plain: u64,
    /// Number of blocks, at least one.
    pub blocks: u64,
}

impl Layout {
    /// None when no file of this length can have been written.
    pub fn of(file_bytes: u64) -> Option<Layout> {
        let sealed = file_bytes.checked_sub(HEADER_BYTES as u64)?;
        let blocks = sealed.div_ceil(SEALED_BLOCK_BYTES as u64);
        let before = blocks.checked_sub(1)? * SEALED_BLOCK_BYTES as u64;
        let last = (sealed - before).checked_sub(TAG_BYTES as u64)?;
        // Only an empty file ends with an empty block.
        if last == 0 && blocks > 1 {
            return None;
        }
        let plain = (blocks - 1) * BLOCK_BYTES as u64 + last;
        Some(Layout { plain, blocks })
    }

    pub fn is_last(&self, number: u64) -> bool {
        number + 1 == self.blocks
    }

    /// Where a block begins in the file.
    pub fn offset(number: u64) -> u64 {
        HEADER_BYTES as u64 + number * SEALED_BLOCK_BYTES as u64
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_length_of_a_file_tells_its_blocks() {
        let block = BLOCK_BYTES as u64;
        let file = |plain: u64| {
            let blocks = plain.div_ceil(block).max(1);
            (
                blocks,
                HEADER_BYTES as u64 + plain + blocks * TAG_BYTES as u64,
            )
        };
        for plain in [0, 1, block - 1, block, block + 1, 3 * block, 7 * block + 5] {
            let (blocks, bytes) = file(plain);
            assert_eq!(Layout::of(bytes), Some(Layout { plain, blocks }));
        }
        for bytes in [0, 47, 48, 63, file(block).1 + 1, file(block).1 + 16] {
            assert_eq!(Layout::of(bytes), None, "{bytes}");
        }
    }

    #[test]
    fn no_nonce_comes_twice() {
        let all: HashSet<[u8; NONCE_LEN]> = (0..100_000).map(|n| *nonce(n).as_ref()).collect();
        assert_eq!(all.len(), 100_000);
    }
}
