//! Merging small neighbouring segments: each costs every query a look at its files.
//!
//! Segments of one UTC day of receipt are merged, so that retention can still let the day go as
//! a whole. One merge runs at a time, its input is bounded, and it holds nobody up.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crate::StoreError;
use crate::meta::RewriteCause;
use crate::rewrite::Rewrite;
use crate::segment::Segment;
use crate::shared::Shared;

/// So many small segments in a row are merged, however small they are together.
const RUN: usize = 4;
/// Bytes on disk at which a segment is large enough, however few its rows are: what is merged
/// is in memory as a whole, and takes several times as much there.
const LARGE_BYTES: u64 = 16 << 20;
/// Nanoseconds of a day.
const DAY_NS: i64 = 86_400 * 1_000_000_000;

/// What decides whether a segment is merged with its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    rows: u64,
    bytes: u64,
    /// The UTC day on which its newest row was received, in days since the epoch.
    day: i64,
}

impl Size {
    fn of(segment: &Segment) -> Size {
        Size {
            rows: segment.info.rows,
            bytes: segment.info.bytes(),
            day: segment.info.max_received_ns.div_euclid(DAY_NS),
        }
    }

    fn is_small(self, seal_rows: u64) -> bool {
        self.rows < seal_rows / 2 && self.bytes < LARGE_BYTES / 2
    }
}

/// Merges the first run of small segments, if there is one. False when there is none.
pub(crate) async fn run(shared: &Arc<Shared>) -> Result<bool, StoreError> {
    let view = shared.view.get();
    let sizes: Vec<Size> = view.segments.iter().map(|s| Size::of(s)).collect();
    let Some(run) = choose(&sizes, shared.config.seal_rows as u64) else {
        return Ok(false);
    };
    let inputs = view.segments.get(run).unwrap_or_default().to_vec();
    drop(view);
    let started = Instant::now();
    let merged = Rewrite::merge(&inputs)
        .run(shared, &RewriteCause::Compaction)
        .await?;
    let Some(merged) = merged.and_then(|done| done.segment) else {
        return Ok(false);
    };
    let bytes: u64 = inputs.iter().map(|s| s.info.bytes()).sum();
    let seconds = started.elapsed().as_secs_f64();
    metrics::counter!("watchfire_store_segments_compacted_total").increment(inputs.len() as u64);
    metrics::counter!("watchfire_store_compacted_bytes_total").increment(bytes);
    metrics::histogram!("watchfire_store_compaction_seconds").record(seconds);
    tracing::debug!(
        segment = %merged.info.id,
        from = inputs.len(),
        rows = merged.info.rows,
        seconds,
        "segments merged"
    );
    Ok(true)
}

/// The oldest run worth merging. A run ends with what makes it large enough, so that its result
/// is below one and a half times the size of a full segment.
fn choose(sizes: &[Size], seal_rows: u64) -> Option<Range<usize>> {
    let mut start = 0;
    while let Some(first) = sizes.get(start) {
        let (mut rows, mut bytes, mut count) = (0, 0, 0);
        for size in sizes.get(start..).unwrap_or_default() {
            let is_full = rows >= seal_rows || bytes >= LARGE_BYTES;
            if is_full || size.day != first.day || !size.is_small(seal_rows) {
                break;
            }
            (rows, bytes, count) = (rows + size.rows, bytes + size.bytes, count + 1);
        }
        let is_full = rows >= seal_rows || bytes >= LARGE_BYTES;
        if count >= RUN || (count >= 2 && is_full) {
            return Some(start..start + count);
        }
        start += count.max(1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(rows: &[u64]) -> Vec<Size> {
        let size = |rows: &u64| Size {
            rows: *rows,
            bytes: rows * 100,
            day: 7,
        };
        rows.iter().map(size).collect()
    }

    #[test]
    fn four_small_neighbours_or_enough_rows_are_merged() {
        for (rows, expected) in [
            (&[][..], None),
            (&[10, 10, 10], None),
            (&[10, 10, 10, 10], Some(0..4)),
            (&[10; 7], Some(0..7)),
            (&[400, 400, 400], Some(0..3)),
            (&[499, 499, 499, 499], Some(0..3)),
            (&[500, 500, 500, 500], None),
            (&[10, 10, 900, 10, 10], None),
            (&[10, 900, 10, 10, 10, 10], Some(2..6)),
        ] {
            assert_eq!(choose(&sizes(rows), 1_000), expected, "{rows:?}");
        }
    }

    #[test]
    fn days_stay_apart() {
        let mut sizes = sizes(&[10; 8]);
        for size in &mut sizes[3..] {
            size.day = 8;
        }
        assert_eq!(choose(&sizes, 1_000), Some(3..8));
        sizes.truncate(6);
        assert_eq!(choose(&sizes, 1_000), None);
    }

    #[test]
    fn bytes_bound_a_merge_of_few_large_rows() {
        let mut sizes = sizes(&[10; 8]);
        for size in &mut sizes {
            size.bytes = LARGE_BYTES / 2 - 1;
        }
        assert_eq!(choose(&sizes, 1_000), Some(0..3));
        for size in &mut sizes {
            size.bytes = LARGE_BYTES / 2;
        }
        assert_eq!(choose(&sizes, 1_000), None);
    }
}
