//! What was found broken: where, how much, and which sequence numbers are missing because of it.

use serde::Serialize;

/// Bytes of the log that cannot be believed. They are skipped, never served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Name of the file in the log folder.
    pub file: String,
    /// Where the bad bytes start.
    pub offset: u64,
    /// How many bytes are skipped.
    pub bytes: u64,
    /// What is wrong with them.
    pub kind: DamageKind,
    /// Rows that a readable frame header says were in there; unknown otherwise.
    pub rows: Option<SeqRange>,
}

/// Kinds of [`Damage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DamageKind {
    /// The header of the file; its frames are found all the same.
    FileHeader,
    /// A file that is not what its name says, such as a copy or a swap. It is not read.
    ForeignFile,
    /// No frame header that can be believed, up to the next one or the end of the file.
    FrameHeader,
    /// The header is right, the payload's checksum is not.
    Payload,
    /// The frame goes on after the end of the file.
    Incomplete,
    /// A valid frame that repeats sequence numbers which came before.
    Repeated,
    /// The checksums are right, the content is not well-formed: a fault of the writer.
    Undecodable,
}

/// An inclusive range of sequence numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SeqRange {
    /// The first one.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

impl SeqRange {
    /// Number of sequence numbers in the range.
    #[must_use]
    pub fn rows(&self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }
}

/// Follows the sequence numbers through the log and notes every gap.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The number expected next; 0 before the first file.
    pub next_seq: u64,
    /// Ranges that never came, ascending.
    pub missing: Vec<SeqRange>,
    /// Rows in these ranges, also of those beyond [`MISSING_LISTED`].
    pub missing_rows: u64,
}

/// At most so many gaps are listed; all are counted.
const MISSING_LISTED: usize = 1_000;

impl Progress {
    /// Rows from `seq` on come next: everything before it that is still expected is missing.
    pub(super) fn reach(&mut self, seq: u64) {
        if seq > self.next_seq {
            if self.next_seq > 0 {
                let gap = SeqRange {
                    first: self.next_seq,
                    last: seq - 1,
                };
                self.missing_rows += gap.rows();
                if self.missing.len() < MISSING_LISTED {
                    self.missing.push(gap);
                }
            }
            self.next_seq = seq;
        }
    }

    /// Rows up to before `next_seq` were read.
    pub(super) fn pass(&mut self, next_seq: u64) {
        self.next_seq = self.next_seq.max(next_seq);
    }
}
