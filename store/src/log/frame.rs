//! Encoding and decoding of file headers and frames. The layout is drawn in the module above.

use std::io;
use std::sync::Arc;

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size,
};
use watchfire_event::{Key, Record};

use super::damage::SeqRange;
use super::error::LogError;
use crate::vault::{SmallSeal, TAG_BYTES, Vault};

/// The format of files whose payloads are as they are.
const PLAIN_FORMAT: u32 = 1;
/// The format of files whose payloads are encrypted; the newest this program reads.
pub(super) const SEALED_FORMAT: u32 = 2;
/// Size of the header of a file.
pub(super) const FILE_HEADER_BYTES: usize = 32;
/// Size of the header of a frame.
pub(super) const FRAME_HEADER_BYTES: usize = 48;
/// Starts every frame. 0xF5 occurs in no UTF-8 text.
pub(super) const FRAME_MAGIC: [u8; 4] = [0xF5, b'W', b'F', b'r'];

/// Largest `lines` of one record, in bytes.
pub const MAX_LINES_BYTES: usize = 64 << 20;
/// Largest number of keys of one record.
pub const MAX_KEYS: usize = 1 << 20;
/// Longest source name, in bytes.
pub const MAX_SOURCE_BYTES: usize = 1024;

const FILE_MAGIC: [u8; 8] = *b"\xF5WFLOG\r\n";
const KEY_BYTES: usize = size_of::<Key>();
/// LZ4 grows incompressible input by less than 1/8; source, keys and counts come on top.
const MAX_PAYLOAD_BYTES: usize =
    MAX_LINES_BYTES + MAX_LINES_BYTES / 8 + MAX_SOURCE_BYTES + MAX_KEYS * KEY_BYTES + 64;

/// The format of files in a folder that is encrypted, or is not.
pub(super) fn format_of(sealed: bool) -> u32 {
    match sealed {
        true => SEALED_FORMAT,
        false => PLAIN_FORMAT,
    }
}

/// The seal for the frames of one file; none where nothing is encrypted.
pub(super) fn seal_of(vault: &Vault, file_id: u64) -> io::Result<Option<SmallSeal>> {
    vault.small("watchfire log", &file_id.to_le_bytes())
}

/// The header of a log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileHeader {
    /// The layout of the file.
    pub format: u32,
    /// Random; repeated in each frame, so that a frame of another file is never believed.
    pub id: u64,
    /// Sequence number that the first row of the file gets.
    pub first_seq: u64,
}

impl FileHeader {
    pub(super) fn encode(&self) -> [u8; FILE_HEADER_BYTES] {
        let mut bytes = [0; FILE_HEADER_BYTES];
        bytes[..8].copy_from_slice(&FILE_MAGIC);
        bytes[12..16].copy_from_slice(&self.format.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.id.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_seq.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[12..]);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` when magic or checksum are wrong.
    pub(super) fn decode(bytes: &[u8]) -> Option<FileHeader> {
        let bytes: &[u8; FILE_HEADER_BYTES] = bytes.first_chunk()?;
        if bytes[..8] != FILE_MAGIC || u32_at(bytes, 8)? != crc32c::crc32c(&bytes[12..]) {
            return None;
        }
        Some(FileHeader {
            format: u32_at(bytes, 12)?,
            id: u64_at(bytes, 16)?,
            first_seq: u64_at(bytes, 24)?,
        })
    }
}

/// The header of a frame; one frame holds one [`Record`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub file_id: u64,
    pub first_seq: u64,
    pub received_ns: i64,
    pub rows: u32,
    pub payload_bytes: u32,
    pub lines_bytes: u32,
    pub payload_crc: u32,
}

impl FrameHeader {
    /// Sequence number after the last row.
    pub(super) fn next_seq(&self) -> u64 {
        self.first_seq.saturating_add(u64::from(self.rows))
    }

    /// Sequence numbers of the rows.
    pub(super) fn seqs(&self) -> SeqRange {
        SeqRange {
            first: self.first_seq,
            last: self.next_seq() - 1,
        }
    }

    /// Size of the whole frame on disk.
    pub(super) fn frame_bytes(&self) -> u64 {
        FRAME_HEADER_BYTES as u64 + u64::from(self.payload_bytes)
    }

    fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..4].copy_from_slice(&FRAME_MAGIC);
        bytes[8..16].copy_from_slice(&self.file_id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.received_ns.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.rows.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.lines_bytes.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// What an encrypted payload is bound to: all of the header but checksums.
    fn bound(&self) -> [u8; 36] {
        let mut bound = [0; 36];
        bound.copy_from_slice(&self.encode()[8..44]);
        bound
    }

    /// `None` unless magic and checksum are right, the frame belongs to file `file_id`, and
    /// every size is within its limit.
    pub(super) fn decode(bytes: &[u8], file_id: u64) -> Option<FrameHeader> {
        let bytes: &[u8; FRAME_HEADER_BYTES] = bytes.first_chunk()?;
        if bytes[..4] != FRAME_MAGIC || u32_at(bytes, 4)? != crc32c::crc32c(&bytes[8..]) {
            return None;
        }
        let header = FrameHeader {
            file_id: u64_at(bytes, 8)?,
            first_seq: u64_at(bytes, 16)?,
            received_ns: u64_at(bytes, 24)?.cast_signed(),
            rows: u32_at(bytes, 32)?,
            payload_bytes: u32_at(bytes, 36)?,
            lines_bytes: u32_at(bytes, 40)?,
            payload_crc: u32_at(bytes, 44)?,
        };
        let sane = header.file_id == file_id
            && header.rows > 0
            && header.payload_bytes as usize <= MAX_PAYLOAD_BYTES
            && header.lines_bytes as usize <= MAX_LINES_BYTES;
        sane.then_some(header)
    }
}

/// Refuses a record that the format cannot hold.
pub(super) fn check(record: &Record) -> Result<(), LogError> {
    let limits = [
        ("lines (bytes)", record.lines.len(), MAX_LINES_BYTES),
        ("keys", record.keys.len(), MAX_KEYS),
        ("source (bytes)", record.source.len(), MAX_SOURCE_BYTES),
    ];
    match limits.into_iter().find(|(_, found, limit)| found > limit) {
        Some((what, found, limit)) => Err(LogError::TooLarge { what, found, limit }),
        None => Ok(()),
    }
}

/// Appends the frame of a checked record to `out`.
pub(super) fn encode(
    record: &Record,
    file_id: u64,
    first_seq: u64,
    seal: Option<&SmallSeal>,
    table: &mut CompressTable,
    out: &mut Vec<u8>,
) -> Result<(), LogError> {
    let start = out.len();
    let payload = start + FRAME_HEADER_BYTES;
    out.resize(payload, 0);
    if seal.is_some() {
        SmallSeal::begin(out);
    }
    out.extend_from_slice(&(record.source.len() as u16).to_le_bytes());
    out.extend_from_slice(&(record.keys.len() as u32).to_le_bytes());
    out.extend_from_slice(record.source.as_bytes());
    out.extend_from_slice(record.keys.as_flattened());
    let block = out.len();
    out.resize(block + get_maximum_output_size(record.lines.len()), 0);
    let packed = compress_into_with_table(&record.lines, &mut out[block..], table);
    // Cannot happen: the room is the maximum. Refusing is still better than a wrong frame.
    let packed = packed.map_err(|_| LogError::TooLarge {
        what: "compressed lines (bytes)",
        found: record.lines.len(),
        limit: MAX_LINES_BYTES,
    })?;
    out.truncate(block + packed);
    let mut header = FrameHeader {
        file_id,
        first_seq,
        received_ns: record.received_ns,
        rows: record.rows,
        payload_bytes: (out.len() - payload) as u32,
        lines_bytes: record.lines.len() as u32,
        payload_crc: 0,
    };
    if let Some(seal) = seal {
        header.payload_bytes += TAG_BYTES as u32;
        let sealed = seal.seal_from(out, payload, &header.bound());
        sealed.map_err(|error| LogError::Unencrypted {
            reason: error.to_string(),
        })?;
    }
    header.payload_crc = crc32c::crc32c(&out[payload..]);
    out[start..payload].copy_from_slice(&header.encode());
    Ok(())
}

/// The record of a frame whose checksums were right; `None` if it cannot be decrypted or is not
/// well-formed all the same.
pub(super) fn decode(
    header: &FrameHeader,
    payload: &[u8],
    seal: Option<&SmallSeal>,
) -> Option<Record> {
    match seal {
        Some(seal) => decode_plain(header, &seal.open(payload, &header.bound())?),
        None => decode_plain(header, payload),
    }
}

fn decode_plain(header: &FrameHeader, payload: &[u8]) -> Option<Record> {
    let source_bytes = usize::from(u16::from_le_bytes(*payload.first_chunk()?));
    let keys = u32_at(payload, 2)? as usize;
    if keys > MAX_KEYS {
        return None;
    }
    let rest = payload.get(6..)?;
    let (source, rest) = rest.split_at_checked(source_bytes)?;
    let (keys, block) = rest.split_at_checked(keys * KEY_BYTES)?;
    let mut lines = vec![0; header.lines_bytes as usize];
    let decoded = decompress_into(block, &mut lines).ok()?;
    if decoded != lines.len() {
        return None;
    }
    Some(Record {
        received_ns: header.received_ns,
        source: Arc::from(str::from_utf8(source).ok()?),
        lines,
        rows: header.rows,
        keys: keys.as_chunks::<KEY_BYTES>().0.to_vec(),
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
