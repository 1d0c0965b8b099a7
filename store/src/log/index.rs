//! Which file holds which sequence numbers, and where to start reading in it.
//!
//! Every 64 KiB of a file one frame is marked, so a read for any sequence number skips at most
//! that much; a file of 16 MiB has at most 257 marks.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::frame::FILE_HEADER_BYTES;
use super::scan::Span;

const MARK_EVERY_BYTES: u64 = 64 << 10;

/// One file of the log as far as it is durable.
#[derive(Debug, Clone)]
pub(super) struct FileEntry {
    pub path: PathBuf,
    pub id: u64,
    pub first_seq: u64,
    /// Sequence number after the last row in the file.
    pub next_seq: u64,
    /// Length of the durable part.
    pub len: u64,
    marks: Vec<Mark>,
}

/// The frame at `offset` starts with row `seq`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub seq: u64,
    pub offset: u64,
}

impl FileEntry {
    /// A file without frames.
    pub(super) fn new(path: PathBuf, id: u64, first_seq: u64) -> FileEntry {
        let len = FILE_HEADER_BYTES as u64;
        FileEntry {
            path,
            id,
            first_seq,
            next_seq: first_seq,
            len,
            marks: Vec::new(),
        }
    }

    /// Has it rows with numbers up to `seq`?
    pub(super) fn holds(&self, seq: u64) -> bool {
        self.first_seq <= seq && self.next_seq > self.first_seq
    }

    /// Takes note of a frame, in order.
    pub(super) fn note(&mut self, frame: Mark) {
        let due = self
            .marks
            .last()
            .is_none_or(|m| frame.offset >= m.offset + MARK_EVERY_BYTES);
        if due {
            self.marks.push(frame);
        }
    }

    /// The name without the folder.
    pub(super) fn name(&self) -> String {
        file_name(&self.path)
    }

    /// The part to read for rows from `seq` on.
    fn span(&self, seq: u64) -> Span {
        let after = self.marks.partition_point(|mark| mark.seq <= seq);
        let start = Mark {
            seq: self.first_seq,
            offset: FILE_HEADER_BYTES as u64,
        };
        let mark = after.checked_sub(1).map_or(start, |i| self.marks[i]);
        Span {
            name: self.name(),
            file_id: self.id,
            offset: mark.offset,
            end: self.len,
            next_seq: mark.seq,
        }
    }
}

/// All files, oldest first; the last one is appended to.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub files: VecDeque<FileEntry>,
}

impl Index {
    /// The first file with rows at or after `seq`: its path, what to read, and the sequence
    /// number after it.
    pub(super) fn locate(&self, seq: u64) -> Option<(PathBuf, Span, u64)> {
        let i = self.files.partition_point(|file| file.next_seq <= seq);
        let file = self.files.get(i)?;
        Some((file.path.clone(), file.span(seq), file.next_seq))
    }

    /// Size of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len).sum()
    }

    /// The oldest file, if it may be deleted: no row after `seq` and not the active one.
    pub(super) fn passed(&self, seq: u64) -> Option<PathBuf> {
        let oldest = self.files.front().filter(|_| self.files.len() > 1)?;
        (oldest.next_seq <= seq.saturating_add(1)).then(|| oldest.path.clone())
    }
}

/// `00000000000000000042-9f86d081884c7d65.log`: first sequence number and file id.
pub(super) fn format_name(first_seq: u64, id: u64) -> String {
    format!("{first_seq:020}-{id:016x}.log")
}

/// First sequence number and file id; `None` if the name is not that of a log file.
pub(super) fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (seq, id) = name.strip_suffix(".log")?.split_once('-')?;
    let parsed = (seq.parse().ok()?, u64::from_str_radix(id, 16).ok()?);
    (format_name(parsed.0, parsed.1) == name).then_some(parsed)
}

/// The last part of a path as text.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
