//! Reading segments for no other reason than to find damage before anybody needs them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::seal::blocking;
use crate::segment::Segment;
use crate::shared::{Shared, lock};
use crate::{DamagedSegment, StoreError};

/// Every segment is read once after the start and once in so long.
const EVERY: Duration = Duration::from_secs(24 * 3_600);

/// Remembers which segments were read in this round.
#[derive(Debug, Default)]
pub(crate) struct Scrub {
    read: HashSet<String>,
    round_began: Option<Instant>,
}

impl Scrub {
    /// Checks the next segment of the round, one a call, so that reading stays slow and steady.
    pub async fn run(&mut self, shared: &Arc<Shared>) {
        if self.round_began.is_none_or(|at| at.elapsed() > EVERY) {
            self.round_began = Some(Instant::now());
            self.read.clear();
        }
        let view = shared.view.get();
        let Some(segment) = view
            .segments
            .iter()
            .find(|s| !self.read.contains(&s.info.id))
            .cloned()
        else {
            return;
        };
        drop(view);
        self.read.insert(segment.info.id.clone());
        let damaged = blocking(move || Ok(segment.verify().err().map(|e| (segment, e)))).await;
        if let Ok(Some((segment, error))) = damaged {
            quarantine(shared, &segment, &error).await;
        }
    }
}

/// Takes a damaged segment out of every answer. Its folder and its place in the manifest stay,
/// for a person to repair.
pub(crate) async fn quarantine(shared: &Shared, segment: &Segment, error: &StoreError) {
    let (id, rows) = (&segment.info.id, segment.info.rows);
    let _one_at_a_time = shared.seals.acquire().await;
    if shared.view.remove(std::slice::from_ref(id)).is_empty() {
        return;
    }
    tracing::error!(segment = %id, rows, %error, "damaged segment");
    metrics::counter!("watchfire_store_damaged_events_total").increment(rows);
    let reason = error.to_string();
    lock(&shared.damaged).push(DamagedSegment {
        id: id.clone(),
        rows,
        reason,
    });
}
