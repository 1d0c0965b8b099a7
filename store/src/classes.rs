//! Retention classes: events that match a query are kept for a shorter time than the others.
//!
//! A segment is asked once all of its rows are older than the class allows, and rewritten without
//! those that match. What was asked is remembered until the next start.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use watchfire_event::TimeRange;

use crate::clock::CarefulClock;
use crate::meta::RewriteCause;
use crate::rewrite::Rewrite;
use crate::seal::blocking;
use crate::search::{Source, matching};
use crate::segment::{Rows, Segment};
use crate::shared::Shared;
use crate::{RetentionClass, StoreError};

/// Between two checks.
const EVERY: Duration = Duration::from_secs(60);

/// Remembers which segments hold nothing more of a class.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    clock: CarefulClock,
    /// Segment and place of the class in the configuration.
    checked: HashSet<(String, usize)>,
}

impl Classes {
    /// Checks once a minute.
    pub async fn run(&mut self, shared: &Arc<Shared>) -> Result<(), StoreError> {
        if shared.config.retention_classes.is_empty() {
            return Ok(());
        }
        let Some(now) = self.clock.told(EVERY) else {
            return Ok(());
        };
        for (place, class) in shared.config.retention_classes.iter().enumerate() {
            let keep_ns = i64::try_from(class.keep.as_nanos()).unwrap_or(i64::MAX);
            let oldest = now.saturating_sub(keep_ns);
            // A new view for each class: the one before may have rewritten segments.
            for segment in &shared.view.get().segments {
                let id = &segment.info.id;
                let is_due = segment.info.max_received_ns < oldest
                    && !self.checked.contains(&(id.clone(), place));
                if is_due && !shared.draining.load(Ordering::Acquire) {
                    self.check(shared, segment, (place, class)).await?;
                }
            }
        }
        let view = shared.view.get();
        let is_here = |id: &String| view.segments.iter().any(|s| s.info.id == *id);
        self.checked.retain(|(id, _)| is_here(id));
        Ok(())
    }

    async fn check(
        &mut self,
        shared: &Arc<Shared>,
        segment: &Arc<Segment>,
        (place, class): (usize, &RetentionClass),
    ) -> Result<(), StoreError> {
        let rows = find(shared, segment, class).await?;
        if rows == Rows::None {
            self.checked.insert((segment.info.id.clone(), place));
            return Ok(());
        }
        let rewrite = Rewrite::without(segment.clone(), rows);
        let cause = RewriteCause::Retention {
            query: class.query.text().to_owned(),
            events: rewrite.removed(),
        };
        let Some(done) = rewrite.run(shared, &cause).await? else {
            return Ok(());
        };
        metrics::counter!("watchfire_store_expired_events_total", "reason" => "retention_class")
            .increment(done.removed);
        tracing::info!(
            segment = %segment.info.id,
            class = class.query.text(),
            events = done.removed,
            "events of a retention class removed"
        );
        if let Some(new) = done.segment {
            self.checked.insert((new.info.id.clone(), place));
        }
        Ok(())
    }
}

/// The rows of a segment that belong to a class, hidden ones included.
async fn find(
    shared: &Arc<Shared>,
    segment: &Arc<Segment>,
    class: &RetentionClass,
) -> Result<Rows, StoreError> {
    let (for_work, query) = (shared.clone(), class.query.clone());
    let source = Source::Segment(segment.clone());
    blocking(move || matching(&source, &query, &TimeRange::ALL, &[], &for_work.cache)).await
}
