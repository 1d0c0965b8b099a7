//! Filters over identifier columns: which rows may hold a value.
//!
//! The rows are cut into pages of [`PAGE_ROWS`]. Each page has a split-block bloom filter (as in
//! the Parquet specification, with XXH64): a value sets one bit in each of the eight words of one
//! block. All pages have the same number of blocks, and the file holds block 0 of every page,
//! then block 1 of every page, and so on: a value is looked up in all pages by one short read.
//!
//! Columns that are read to be searched, and have more than a few values, have a filter of one
//! page over the words of their values: a word that is in none of them need not be looked for.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use arrow::array::{Array, BooleanBufferBuilder, StringArray};
use serde::{Deserialize, Serialize};
use watchfire_event::{Column, Kind};

use super::columns::{Access, ColumnInfo};
use super::files::{Checksummed, FileInfo};
use super::index::{indexed_words, is_indexed};
use super::{FILTER_FILE, Rows};
use crate::StoreError;
use crate::vault::{Vault, VaultFile};

/// Rows of a page: those that are read for a value that may be there.
const PAGE_ROWS: usize = 4_096;
/// Bits a row. About one page in five hundred is then read for a value that it does not hold.
const BITS_PER_ROW: usize = 14;
/// Columns with fewer distinct values need no filter of their words: they are held as codes.
const WORDS_FROM: u64 = if cfg!(test) { 4 } else { 256 };
/// Columns with more distinct words have no filter of them.
const MAX_WORDS: usize = 1 << 16;
/// Bytes of a block: eight words of 32 bits.
const BLOCK_BYTES: usize = 32;
/// Multipliers of the Parquet specification, one a word of a block.
const SALT: [u32; 8] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];

/// Where the filter of a column lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filter {
    /// Name of the column in the Parquet file.
    pub stored: String,
    /// First byte in the file.
    offset: u64,
    /// Blocks of each page.
    blocks: u64,
    /// Rows of each page but the last.
    page_rows: u64,
    /// Is it of the words of the values, and not of whole values?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub words: bool,
}

impl Filter {
    /// May some value hold all these words, given in lower case?
    pub fn may_hold(&self, file: &VaultFile, words: &[String]) -> io::Result<bool> {
        for word in words.iter().filter(|word| is_indexed(word)) {
            let (block, bits) = place(word, self.blocks);
            let at = self.offset + block * BLOCK_BYTES as u64;
            let read = file.read_at(at, BLOCK_BYTES)?;
            let (blocks, _) = read.as_chunks::<BLOCK_BYTES>();
            if !blocks.iter().all(|block| holds(block, bits)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Rows of the pages that may hold the value.
    pub fn rows(&self, file: &VaultFile, value: &str, rows: usize) -> io::Result<Rows> {
        let page_rows = (self.page_rows as usize).max(1);
        let pages = rows.div_ceil(page_rows);
        let (block, bits) = place(value, self.blocks);
        let at = self.offset + block * (pages * BLOCK_BYTES) as u64;
        let read = file.read_at(at, pages * BLOCK_BYTES)?;
        let (blocks, _) = read.as_chunks::<BLOCK_BYTES>();
        let mut mask = BooleanBufferBuilder::new(rows);
        for (page, block) in blocks.iter().enumerate() {
            let held = (rows - page * page_rows).min(page_rows);
            mask.append_n(held, holds(block, bits));
        }
        Ok(Rows::of(mask.finish()))
    }
}

/// The block of a value, and its bit in each word.
fn place(value: &str, blocks: u64) -> (u64, [u32; 8]) {
    let hash = twox_hash::XxHash64::oneshot(0, value.as_bytes());
    let block = ((hash >> 32) * blocks) >> 32;
    let key = hash as u32;
    (block, SALT.map(|salt| 1 << (key.wrapping_mul(salt) >> 27)))
}

fn holds(block: &[u8; BLOCK_BYTES], bits: [u32; 8]) -> bool {
    let (words, _) = block.as_chunks::<4>();
    let word = words.iter().map(|w| u32::from_le_bytes(*w));
    word.zip(bits).all(|(word, bit)| word & bit != 0)
}

/// Writes the filters of the columns that want one; no file when there are none.
pub(super) fn write_filters(
    dir: &Path,
    vault: &Vault,
    columns: &[Column],
    infos: &[ColumnInfo],
) -> Result<(Vec<Filter>, Option<FileInfo>), StoreError> {
    let (mut filters, mut bytes) = (Vec::new(), Vec::new());
    let wanted = columns.iter().zip(infos);
    for (column, info) in wanted {
        let words = info.access == Access::Scan && info.distinct >= WORDS_FROM;
        let made = match info.access {
            Access::Bloom => filter_of(column),
            _ if words && column.kind == Kind::Str => filter_of_words(column),
            _ => None,
        };
        let Some((filter, blocks)) = made else {
            continue;
        };
        filters.push(Filter {
            stored: info.stored.clone(),
            offset: bytes.len() as u64,
            blocks,
            page_rows: if words { u64::MAX } else { PAGE_ROWS as u64 },
            words,
        });
        bytes.extend(filter);
    }
    if filters.is_empty() {
        return Ok((filters, None));
    }
    let path = dir.join(FILTER_FILE);
    let write = || -> io::Result<FileInfo> {
        let mut out = vault.writer(Checksummed::new(File::create_new(&path)?))?;
        out.write_all(&bytes)?;
        let (file, info) = out.finish()?.finish(FILTER_FILE);
        file.sync_all()?;
        Ok(info)
    };
    let written = write().map_err(StoreError::io(format!("writing {}", path.display())))?;
    Ok((filters, Some(written)))
}

/// The filter of a column, blocks of the same number side by side, and the blocks of a page.
fn filter_of(column: &Column) -> Option<(Vec<u8>, u64)> {
    let (keys, values) = column.dictionary()?;
    let rows = keys.len();
    let pages = rows.div_ceil(PAGE_ROWS);
    let blocks = (rows.min(PAGE_ROWS) * BITS_PER_ROW).div_ceil(BLOCK_BYTES * 8) as u64;
    let mut words = vec![0_u32; blocks as usize * pages * 8];
    for row in (0..rows).filter(|row| keys.is_valid(*row)) {
        let (block, bits) = place(text(values, keys.value(row)), blocks);
        let start = (block as usize * pages + row / PAGE_ROWS) * 8;
        let of_page = words.iter_mut().skip(start);
        of_page.zip(bits).for_each(|(word, bit)| *word |= bit);
    }
    let bytes = words.into_iter().flat_map(u32::to_le_bytes).collect();
    Some((bytes, blocks))
}

/// The filter of the words of a column, and its blocks; `None` when there are too many words.
fn filter_of_words(column: &Column) -> Option<(Vec<u8>, u64)> {
    let (keys, values) = column.dictionary()?;
    let mut used = vec![false; values.len()];
    for key in keys.iter().flatten() {
        *used.get_mut(key as usize)? = true;
    }
    let mut words: HashSet<String> = HashSet::new();
    for (text, _) in values.iter().zip(used).filter(|(_, used)| *used) {
        words.extend(indexed_words(text.unwrap_or_default()));
        if words.len() > MAX_WORDS {
            return None;
        }
    }
    let blocks = (words.len() * BITS_PER_ROW)
        .div_ceil(BLOCK_BYTES * 8)
        .max(1) as u64;
    let mut bytes = vec![0_u32; blocks as usize * 8];
    for word in &words {
        let (block, bits) = place(word, blocks);
        let of_block = bytes.iter_mut().skip(block as usize * 8);
        of_block.zip(bits).for_each(|(word, bit)| *word |= bit);
    }
    Some((
        bytes.into_iter().flat_map(u32::to_le_bytes).collect(),
        blocks,
    ))
}

fn text(values: &StringArray, key: i32) -> &str {
    values.value(key as usize)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{DictionaryArray, Int32Array};
    use std::sync::Arc;
    use watchfire_event::Origin;

    fn ids(rows: usize) -> (Column, Vec<ColumnInfo>) {
        let values: StringArray = (0..rows).map(|i| Some(format!("id{i:012x}"))).collect();
        let keys: Int32Array = (0..rows as i32)
            .map(|k| (k % 10 != 3).then_some(k))
            .collect();
        let array = DictionaryArray::try_new(keys, Arc::new(values)).unwrap();
        let column = Column::new("trace", Kind::Str, Origin::Own, Arc::new(array));
        let mut info = ColumnInfo::of(&column);
        info.access = Access::Bloom;
        (column, vec![info])
    }

    #[test]
    fn words_of_values_are_known_and_few_others() {
        let dir = tempfile::TempDir::new().unwrap();
        let values: StringArray = (0..600)
            .map(|i| Some(format!("GET-{i} From/H{i}")))
            .collect();
        let keys: Int32Array = (0..6_000)
            .map(|row| (row % 7 != 0).then_some(row / 10))
            .collect();
        let array = DictionaryArray::try_new(keys, Arc::new(values)).unwrap();
        let column = Column::new("line", Kind::Str, Origin::Own, Arc::new(array));
        let mut info = ColumnInfo::of(&column);
        info.access = Access::Scan;
        let (filters, _) = write_filters(dir.path(), &Vault::PLAIN, &[column], &[info]).unwrap();
        let file = Vault::PLAIN
            .open_file(&dir.path().join(FILTER_FILE))
            .unwrap();
        let holds = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
            filters[0].may_hold(&file, &words).unwrap()
        };
        assert!((0..600).all(|i| holds(&["get", "from", &i.to_string(), &format!("h{i}")])));
        assert!(holds(&[&"x".repeat(5_000)]), "too long a word for a filter");
        let others = (0..2_000)
            .filter(|i| holds(&["get", &format!("no{i}")]))
            .count();
        assert!(others < 40, "{others} of 2,000 words that are not there");
    }

    #[test]
    fn every_value_is_found_on_its_page_and_few_others() {
        let dir = tempfile::TempDir::new().unwrap();
        let (column, infos) = ids(20_000);
        let (filters, _) = write_filters(dir.path(), &Vault::PLAIN, &[column], &infos).unwrap();
        let path = dir.path().join(FILTER_FILE);
        let file = Vault::PLAIN.open_file(&path).unwrap();
        let found = |value: &str| filters[0].rows(&file, value, 20_000).unwrap();
        let mut pages = 0;
        for row in (0..20_000).step_by(37).filter(|row| row % 10 != 3) {
            let mask = found(&format!("id{row:012x}")).to_mask(20_000);
            assert!(mask.value(row), "row {row}");
            pages += mask.count_set_bits().div_ceil(PAGE_ROWS);
        }
        let absent: usize = (0..2_000)
            .map(|i| found(&format!("no{i}")))
            .map(|rows| rows.count(20_000).div_ceil(PAGE_ROWS))
            .sum();
        assert!(pages < 500, "{pages} pages for 487 values");
        assert!(
            absent < 100,
            "{absent} of 10,000 pages for values that are not there"
        );
    }
}
