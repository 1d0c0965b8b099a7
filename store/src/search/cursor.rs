//! Where a page of hits ended, as an opaque text.

use std::fmt;
use std::str::FromStr;

use crate::StoreError;

/// The last hit of a page: event time, then sequence number. Pages that follow a cursor give
/// every event that was there at the first page exactly once, whatever arrives in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// Event time of the last hit, nanoseconds since the epoch.
    pub time_ns: i64,
    /// Its sequence number.
    pub seq: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Time with its sign bit flipped, so that the text sorts as the cursor does.
        write!(
            f,
            "{:016x}{:016x}",
            (self.time_ns as u64) ^ (1 << 63),
            self.seq
        )
    }
}

impl FromStr for Cursor {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let hex = |part: Option<&str>| {
            part.filter(|p| {
                p.bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            })
            .and_then(|p| u64::from_str_radix(p, 16).ok())
            .ok_or(StoreError::InvalidCursor)
        };
        if text.len() != 32 {
            return Err(StoreError::InvalidCursor);
        }
        let time = hex(text.get(..16))?;
        Ok(Cursor {
            time_ns: (time ^ (1 << 63)) as i64,
            seq: hex(text.get(16..))?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_cursor_reads_what_it_wrote_and_sorts_alike() {
        let cursors = [
            (i64::MIN, 0),
            (-1, u64::MAX),
            (0, 0),
            (0, 1),
            (7, 3),
            (i64::MAX, 9),
        ];
        let cursors = cursors.map(|(time_ns, seq)| Cursor { time_ns, seq });
        for pair in cursors.windows(2) {
            assert!(pair[0].to_string() < pair[1].to_string());
        }
        for c in cursors {
            assert_eq!(c.to_string().parse::<Cursor>().unwrap(), c);
        }
    }

    #[test]
    fn foreign_texts_are_refused() {
        for text in [
            "",
            "x",
            "+000000000000000000000000000000f",
            "zz".repeat(16).as_str(),
            "é".repeat(16).as_str(),
        ] {
            assert_eq!(
                text.parse::<Cursor>().unwrap_err().code(),
                "invalid_cursor",
                "{text}"
            );
        }
    }
}
