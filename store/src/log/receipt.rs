//! The receipt of an acknowledgement: which rows, and a digest of their bytes.
//!
//! Its text is `<first>-<last>-<digest>`: two sequence numbers and, in hexadecimal, the first half
//! of the SHA-256 of the accepted lines joined by newlines. Who kept the lines can make it again.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use watchfire_event::Record;

use super::damage::SeqRange;

const DIGEST_BYTES: usize = 16;

/// What the sender of a record was given to prove it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The rows of the record.
    pub rows: SeqRange,
    digest: [u8; DIGEST_BYTES],
}

impl Receipt {
    /// The receipt of a record with rows, the first of which is `first_seq`.
    #[must_use]
    pub fn of(first_seq: u64, record: &Record) -> Receipt {
        let last = first_seq + u64::from(record.rows).saturating_sub(1);
        let hash = Sha256::digest(&record.lines);
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(&hash[..DIGEST_BYTES]);
        Receipt {
            rows: SeqRange {
                first: first_seq,
                last,
            },
            digest,
        }
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-", self.rows.first, self.rows.last)?;
        self.digest
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The text is not that of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a receipt reads <first>-<last>-<32 hexadecimal digits>")]
pub struct NotAReceipt;

impl FromStr for Receipt {
    type Err = NotAReceipt;

    fn from_str(text: &str) -> Result<Receipt, NotAReceipt> {
        let mut parts = text.trim().splitn(3, '-');
        let mut part = || parts.next().ok_or(NotAReceipt);
        let first = part()?.parse().map_err(|_| NotAReceipt)?;
        let last = part()?.parse().map_err(|_| NotAReceipt)?;
        let hex = part()?;
        if first > last || hex.len() != 2 * DIGEST_BYTES || hex.starts_with('+') {
            return Err(NotAReceipt);
        }
        let digest = u128::from_str_radix(hex, 16)
            .map_err(|_| NotAReceipt)?
            .to_be_bytes();
        Ok(Receipt {
            rows: SeqRange { first, last },
            digest,
        })
    }
}
