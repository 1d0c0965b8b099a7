//! Walks over the frames of one file, checks each, and finds the way again after damage.

use std::io;

use super::damage::{Damage, DamageKind, SeqRange};
use super::disk_file::{ReadAt, read_what_is_readable};
use super::frame::{FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader};

/// Read at once; larger frames are read whole.
const CHUNK_BYTES: u64 = 256 << 10;

/// Where a [`Scan`] starts and what it should find.
#[derive(Debug, Clone)]
pub(super) struct Span {
    /// Name of the file, for reports.
    pub name: String,
    /// The id that every frame must carry.
    pub file_id: u64,
    /// Where to start: at a frame.
    pub offset: u64,
    /// Where to stop.
    pub end: u64,
    /// No frame may start with a lower sequence number.
    pub next_seq: u64,
}

/// A walk over one file.
pub(super) struct Scan {
    file: Box<dyn ReadAt>,
    span: Span,
    buffer: Vec<u8>,
    /// Offset in the file of the buffer's first byte.
    buffered_at: u64,
    /// Bytes that should be there and are not.
    cut_off: u64,
    /// End of the last block that the disk could not read; 0 for none.
    unreadable_end: u64,
}

/// One step of the walk.
pub(super) enum Step<'a> {
    /// A frame with both checksums right.
    Frame {
        offset: u64,
        header: FrameHeader,
        payload: &'a [u8],
    },
    /// Bytes that were skipped.
    Damage(Damage),
}

impl Scan {
    /// Starts a walk. A file shorter than the span ends in damage.
    pub(super) fn new(file: Box<dyn ReadAt>, mut span: Span) -> io::Result<Scan> {
        let len = file.len()?.max(span.offset);
        let cut_off = span.end.saturating_sub(len);
        span.end = span.end.min(len);
        Ok(Scan {
            file,
            span,
            buffer: Vec::new(),
            buffered_at: 0,
            cut_off,
            unreadable_end: 0,
        })
    }

    /// End of the last block that the disk could not read so far; 0 for none.
    pub(super) fn unreadable_end(&self) -> u64 {
        self.unreadable_end
    }

    /// The next frame or damage; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Step<'_>>> {
        let at = self.span.offset;
        if at >= self.span.end {
            let missing = std::mem::take(&mut self.cut_off);
            let damage = self.damage(at, missing, DamageKind::Incomplete, None);
            return Ok((missing > 0).then_some(Step::Damage(damage)));
        }
        let Some(header) = self.header_at(at)? else {
            return self
                .skip_to_next_header(at, DamageKind::FrameHeader, None)
                .map(Some);
        };
        let rows = header.seqs();
        let bytes = header.frame_bytes();
        if bytes > self.span.end - at {
            return self
                .skip_to_next_header(at, DamageKind::Incomplete, Some(rows))
                .map(Some);
        }
        self.span.offset = at + bytes;
        if header.first_seq < self.span.next_seq {
            let damage = self.damage(at, bytes, DamageKind::Repeated, None);
            return Ok(Some(Step::Damage(damage)));
        }
        let payload_at = at + FRAME_HEADER_BYTES as u64;
        let len = header.payload_bytes as usize;
        if crc32c::crc32c(self.bytes(payload_at, len)?) != header.payload_crc {
            let damage = self.damage(at, bytes, DamageKind::Payload, Some(rows));
            return Ok(Some(Step::Damage(damage)));
        }
        self.span.next_seq = header.next_seq();
        let payload = self.bytes(payload_at, len)?;
        Ok(Some(Step::Frame {
            offset: at,
            header,
            payload,
        }))
    }

    /// Looks from `at + 1` on for a header that can be believed; reports what lies between.
    fn skip_to_next_header(
        &mut self,
        at: u64,
        kind: DamageKind,
        rows: Option<SeqRange>,
    ) -> io::Result<Step<'_>> {
        let mut from = at + 1;
        let mut found = self.span.end;
        'search: while from < self.span.end {
            let len = CHUNK_BYTES.min(self.span.end - from) as usize;
            let chunk = self.bytes(from, len)?;
            let hits: Vec<u64> = magic_offsets(chunk).map(|hit| from + hit).collect();
            for hit in hits {
                let header = self.header_at(hit)?;
                if header.is_some_and(|h| h.first_seq >= self.span.next_seq) {
                    found = hit;
                    break 'search;
                }
            }
            // Chunks overlap so that a magic across their border is seen.
            from += (len - (FRAME_MAGIC.len() - 1).min(len - 1)) as u64;
        }
        self.span.offset = found;
        Ok(Step::Damage(self.damage(at, found - at, kind, rows)))
    }

    fn header_at(&mut self, at: u64) -> io::Result<Option<FrameHeader>> {
        if self.span.end - at < FRAME_HEADER_BYTES as u64 {
            return Ok(None);
        }
        let file_id = self.span.file_id;
        Ok(FrameHeader::decode(
            self.bytes(at, FRAME_HEADER_BYTES)?,
            file_id,
        ))
    }

    /// `len` bytes at offset `at`, which end within the span.
    fn bytes(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let buffered = self.buffered_at..self.buffered_at + self.buffer.len() as u64;
        if at < buffered.start || at + len as u64 > buffered.end {
            let want = CHUNK_BYTES.min(self.span.end - at).max(len as u64);
            self.buffer.resize(want as usize, 0);
            self.buffered_at = at;
            match read_what_is_readable(self.file.as_ref(), &mut self.buffer, at) {
                Ok(bad_end) => self.unreadable_end = self.unreadable_end.max(bad_end),
                Err(error) => {
                    self.buffer.clear();
                    return Err(error);
                }
            }
        }
        let start = (at - self.buffered_at) as usize;
        Ok(&self.buffer[start..start + len])
    }

    /// Describes damage in this file.
    pub(super) fn damage(
        &self,
        at: u64,
        bytes: u64,
        kind: DamageKind,
        rows: Option<SeqRange>,
    ) -> Damage {
        Damage {
            file: self.span.name.clone(),
            offset: at,
            bytes,
            kind,
            rows,
        }
    }
}

fn magic_offsets(chunk: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let windows = chunk.windows(FRAME_MAGIC.len()).enumerate();
    windows
        .filter(|(_, window)| *window == FRAME_MAGIC)
        .map(|(offset, _)| offset as u64)
}
