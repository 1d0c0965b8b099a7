//! Rows that are being erased: no answer holds them, from the moment of the request on.

use arrow::buffer::BooleanBuffer;
use watchfire_event::{Query, TimeRange};

use super::cache::MatchCache;
use super::matching::{Source, of_all};
use crate::StoreError;
use crate::segment::Rows;

/// Events that match, lie in the range of event time and were committed by then.
#[derive(Debug, Clone)]
pub(crate) struct Hidden {
    /// The erasure that asks for it.
    pub id: String,
    pub query: Query,
    pub range: TimeRange,
    /// The last sequence number it applies to.
    pub up_to: u64,
    /// When it was asked for, nanoseconds.
    pub asked_ns: i64,
}

impl Hidden {
    /// The rows of a source that are hidden.
    pub fn rows(&self, source: &Source, cache: &MatchCache) -> Result<Rows, StoreError> {
        let Some((first, last)) = source.seqs() else {
            return Ok(Rows::None);
        };
        if first > self.up_to {
            return Ok(Rows::None);
        }
        let rows = of_all(source, &self.query, &self.range, cache)?;
        if rows == Rows::None || last <= self.up_to {
            return Ok(rows);
        }
        let batch = source.read(|stored| stored == "_seq", &Rows::All)?;
        let seqs = batch.seq().values();
        let in_time = BooleanBuffer::collect_bool(seqs.len(), |row| {
            seqs.get(row).is_some_and(|seq| *seq <= self.up_to)
        });
        Ok(rows.and(Rows::of(in_time)))
    }
}

/// `rows` of a source without those that are hidden.
pub(super) fn subtract(
    source: &Source,
    mut rows: Rows,
    hidden: &[Hidden],
    cache: &MatchCache,
) -> Result<Rows, StoreError> {
    for hidden in hidden {
        if rows == Rows::None {
            break;
        }
        rows = rows.and(hidden.rows(source, cache)?.not());
    }
    Ok(rows)
}
