//! Putting one segment, or none, in the place of others.
//!
//! Order of a rewrite: the new folder written, synced and renamed; the manifest changed in one
//! transaction; the view swapped; the old folders let go once nobody reads them. A crash between
//! any two of them leaves the old segments or the new one, never both and never neither: what
//! the manifest does not name is removed at the next start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use watchfire_event::{BatchLimits, EventBatch};

use crate::StoreError;
use crate::meta::RewriteCause;
use crate::scrub::quarantine;
use crate::seal::{blocking, manifest_row};
use crate::segment::{Rows, Segment, segment_id, write_segment};
use crate::shared::{Shared, now_ns};

/// Segments to rewrite, neighbours by rising sequence number, each with the rows to leave out.
#[derive(Debug, Clone)]
pub(crate) struct Rewrite {
    pub inputs: Vec<(Arc<Segment>, Rows)>,
}

/// What a rewrite has done.
#[derive(Debug)]
pub(crate) struct Rewritten {
    /// The new segment; none when no row was left.
    pub segment: Option<Arc<Segment>>,
    /// Rows left out.
    pub removed: u64,
}

impl Rewrite {
    /// Nothing is left out.
    pub fn merge(inputs: &[Arc<Segment>]) -> Rewrite {
        let whole = |segment: &Arc<Segment>| (segment.clone(), Rows::None);
        Rewrite {
            inputs: inputs.iter().map(whole).collect(),
        }
    }

    /// One segment without these rows.
    pub fn without(segment: Arc<Segment>, rows: Rows) -> Rewrite {
        Rewrite {
            inputs: vec![(segment, rows)],
        }
    }

    /// Rows that are left out.
    pub fn removed(&self) -> u64 {
        let removed = |(segment, rows): &(Arc<Segment>, Rows)| rows.count(segment.rows()) as u64;
        self.inputs.iter().map(removed).sum()
    }

    fn ids(&self) -> Vec<String> {
        self.inputs.iter().map(|(s, _)| s.info.id.clone()).collect()
    }

    /// Carries it out. `None` when the inputs went away meanwhile, or are damaged: nothing has
    /// changed then. Only one rewrite may run at a time; sealing waits for the swap alone.
    pub async fn run(
        self,
        shared: &Arc<Shared>,
        cause: &RewriteCause,
    ) -> Result<Option<Rewritten>, StoreError> {
        if !self.is_sound(shared).await? {
            return Ok(None);
        }
        let segment = self.write(shared.segments_dir()).await?;
        let _one_at_a_time = shared.seals.acquire().await;
        if !shared.view.get().holds(&self.ids()) {
            segment.inspect(|segment| segment.doom());
            return Ok(None);
        }
        self.enter(shared, segment.as_deref(), cause).await?;
        self.swap(shared, segment.clone());
        Ok(Some(Rewritten {
            segment,
            removed: self.removed(),
        }))
    }

    /// Are the files what was written? Damage must not be copied under a new checksum.
    async fn is_sound(&self, shared: &Arc<Shared>) -> Result<bool, StoreError> {
        for (segment, _) in &self.inputs {
            let read = segment.clone();
            let damage = blocking(move || Ok(read.verify().err())).await?;
            if let Some(error) = damage {
                quarantine(shared, segment, &error).await;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes the new folder. None when no row is left.
    pub(crate) async fn write(&self, parent: PathBuf) -> Result<Option<Arc<Segment>>, StoreError> {
        let inputs = self.inputs.clone();
        blocking(move || write(&parent, &inputs)).await
    }

    /// Changes the manifest.
    pub(crate) async fn enter(
        &self,
        shared: &Arc<Shared>,
        segment: Option<&Segment>,
        cause: &RewriteCause,
    ) -> Result<(), StoreError> {
        let row = segment.map(|segment| manifest_row(&segment.info));
        shared
            .meta
            .replace_segments(&self.ids(), row.as_ref(), cause)
            .await?;
        Ok(())
    }

    /// Changes what readers see.
    pub(crate) fn swap(&self, shared: &Arc<Shared>, segment: Option<Arc<Segment>>) {
        let gone = shared.view.swap(&self.ids(), segment);
        for segment in gone {
            shared.cache.columns.forget(&segment.info.id);
            segment.doom();
        }
    }
}

fn write(
    parent: &Path,
    inputs: &[(Arc<Segment>, Rows)],
) -> Result<Option<Arc<Segment>>, StoreError> {
    let Some(vault) = inputs.first().map(|(segment, _)| &segment.vault) else {
        return Ok(None);
    };
    let mut batches = Vec::with_capacity(inputs.len());
    let mut generation = 0;
    for (segment, left_out) in inputs {
        generation = generation.max(segment.generation() + 1);
        if *left_out == Rows::All {
            continue;
        }
        let kept = match left_out {
            Rows::Some(mask) => Rows::of(!mask),
            Rows::All | Rows::None => Rows::All,
        };
        let batch = segment.read(|_| true, &kept)?;
        // A column whose values are all left out must not leave its name behind.
        batches.push(batch.project(|c| c.count() > 0));
    }
    // Joining also takes values that no row uses out of the dictionaries.
    let batch = EventBatch::concat(&batches, BatchLimits::default().max_columns)?;
    drop(batches);
    let seqs = batch.seq().values();
    let Some((first, last)) = seqs.iter().min().zip(seqs.iter().max()) else {
        return Ok(None);
    };
    let id = segment_id(*first, *last, generation);
    let info = write_segment(parent, vault, &id, &batch, now_ns())?;
    Segment::open(&parent.join(&info.id), vault).map(|segment| Some(Arc::new(segment)))
}
