//! Erasing events by query: hidden at once, then every byte of them removed, with a proof.
//!
//! The steps, each of which may be repeated, so that a crash anywhere is followed by another try:
//! seal what is in memory; rewrite the segments that hold such rows; close the log's files that
//! hold them and wait until sealing and detection have passed these; have detection forget what
//! it learned of the values; trim the log; wait for readers of old segments; remove refused
//! lines, alerts and comments that name the values; wipe the query and empty the database's log.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use watchfire_event::{Query, TimeRange};

use crate::meta::{Copies, Erasure, Meta, MetaError, NewErasure, RewriteCause};
use crate::rewrite::Rewrite;
use crate::seal::{blocking, seal_up_to};
use crate::search::{Hidden, Source};
use crate::segment::{Rows, Segment};
use crate::shared::{Shared, lock, now_ns};
use crate::{Store, StoreError};

/// What to erase.
#[derive(Debug, Clone)]
pub struct EraseRequest {
    /// Which events.
    pub query: Query,
    /// Only those with an event time in this range.
    pub range: TimeRange,
    /// It is meant that the query matches every event.
    pub all: bool,
    /// Why; kept for good.
    pub reason: String,
    /// Who asks.
    pub by: String,
    /// The client's address.
    pub from_addr: Option<String>,
}

/// What detection is asked to forget.
#[derive(Debug)]
pub(crate) enum Forget {
    Asked(Query),
    Done,
}

impl Store {
    /// Hides the events that match and are there now, at once and for good, and begins to remove
    /// them.
    ///
    /// # Errors
    /// `invalid_request` for a query that matches everything without `all`, for a bad reason, or
    /// when too many erasures run.
    pub async fn erase(&self, request: EraseRequest) -> Result<Erasure, StoreError> {
        if request.query.is_everything() && !request.all {
            return Err(StoreError::InvalidRequest(
                "the query matches every event; say \"all\": true if that is meant".into(),
            ));
        }
        let new = NewErasure {
            query: request.query,
            range: request.range,
            up_to_seq: self.head(),
            reason: request.reason,
            by: request.by,
            from_addr: request.from_addr,
        };
        let begun = self.shared.meta.begin_erasure(&new).await;
        let begun = begun.map_err(|error| match error {
            MetaError::Invalid(what) | MetaError::Conflict(what) => {
                StoreError::InvalidRequest(what)
            }
            other => other.into(),
        })?;
        let hidden = hidden(&begun, new.query);
        self.shared.view.change(|view| {
            view.hidden = view.hidden.iter().cloned().chain([hidden]).collect();
        });
        self.shared.upkeep_wake.notify_one();
        tracing::info!(erasure = %begun.id, up_to = begun.up_to_seq, "erasure begun");
        Ok(begun)
    }

    /// All erasures, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn erasures(&self) -> Result<Vec<Erasure>, StoreError> {
        let mut all = self.shared.meta.list_erasures().await?;
        let waits = lock(&self.shared.erasures_wait);
        for erasure in &mut all {
            erasure.waiting_for = waits.get(&erasure.id).copied();
        }
        Ok(all)
    }

    /// One erasure.
    ///
    /// # Errors
    /// [`MetaError::NotFound`].
    pub async fn erasure(&self, id: &str) -> Result<Erasure, MetaError> {
        let mut erasure = self.shared.meta.erasure(id).await?;
        erasure.waiting_for = lock(&self.shared.erasures_wait).get(id).copied();
        Ok(erasure)
    }

    /// What detection has to forget, with the ids of the erasures that ask for it. Whoever runs
    /// detection forgets it, saves its state and tells so by [`Self::has_forgotten`].
    pub fn to_forget(&self) -> Vec<(String, Query)> {
        let forget = lock(&self.shared.forget);
        let asked = forget.iter().filter_map(|(id, what)| match what {
            Forget::Asked(query) => Some((id.clone(), query.clone())),
            Forget::Done => None,
        });
        asked.collect()
    }

    /// Detection has forgotten, and its saved state has too.
    pub fn has_forgotten(&self, id: &str) {
        if let Some(what) = lock(&self.shared.forget).get_mut(id) {
            *what = Forget::Done;
        }
        self.shared.upkeep_wake.notify_one();
    }
}

fn hidden(erasure: &Erasure, query: Query) -> Hidden {
    Hidden {
        id: erasure.id.clone(),
        query,
        range: erasure.range(),
        up_to: erasure.up_to_seq,
        asked_ns: erasure.requested_ns,
    }
}

/// What is to stay hidden after a restart.
pub(crate) async fn still_hidden(meta: &Meta) -> Result<Vec<Hidden>, StoreError> {
    let mut all = Vec::new();
    for erasure in meta.running_erasures().await? {
        let Some(text) = &erasure.query else {
            return Err(StoreError::Corrupt("an erasure without its query".into()));
        };
        let query = Query::parse(text)?;
        all.push(hidden(&erasure, query));
    }
    Ok(all)
}

/// Carries erasures out.
#[derive(Debug, Default)]
pub(crate) struct Erasures {
    /// By erasure, segments that hold nothing of it.
    clean: HashMap<String, HashSet<String>>,
    /// Ends those of which only traces in the database's log are left.
    closed_all: bool,
    overdue: HashSet<String>,
}

impl Erasures {
    /// Takes every erasure as far as it goes now.
    pub async fn run(&mut self, shared: &Arc<Shared>) -> Result<(), StoreError> {
        if !self.closed_all {
            shared.meta.finish_closing().await?;
            self.closed_all = true;
        }
        let running = shared.view.get().hidden.clone();
        metrics::gauge!("watchfire_erasures_running").set(running.len() as f64);
        let mut failed = Ok(());
        for hidden in running.iter() {
            if shared.draining.load(Ordering::Acquire) {
                break;
            }
            self.tell_overdue(hidden, shared.config.erase_within);
            let waits = match self.step(shared, hidden).await {
                Ok(None) => {
                    self.forget(shared, &hidden.id);
                    continue;
                }
                Ok(Some(what)) => what,
                Err(error) => {
                    failed = Err(error);
                    "an error that the server's log names"
                }
            };
            lock(&shared.erasures_wait).insert(hidden.id.clone(), waits);
        }
        metrics::gauge!("watchfire_erasures_overdue").set(self.overdue.len() as f64);
        failed
    }

    /// As far as it goes; answers with what it waits for, none when it is done.
    async fn step(
        &mut self,
        shared: &Arc<Shared>,
        hidden: &Hidden,
    ) -> Result<Option<&'static str>, StoreError> {
        seal_up_to(shared, hidden.up_to).await?;
        if let Some(waits) = self.rewrite(shared, hidden).await? {
            return Ok(Some(waits));
        }
        if let Some(waits) = pass_log(shared, hidden).await? {
            return Ok(Some(waits));
        }
        if has_old_folders(shared).await? {
            return Ok(Some("readers of segments that were rewritten"));
        }
        remove_letters(shared, hidden).await?;
        let copies = Copies {
            id: hidden.id.clone(),
            query: hidden.query.clone(),
            range: hidden.range,
            up_to_seq: hidden.up_to,
            by_ns: hidden.asked_ns,
        };
        let alerts = shared.meta.erase_copies(&copies).await?;
        // Set before the call: a failure leaves it to the next round.
        self.closed_all = false;
        shared.meta.finish_erasure(&hidden.id).await?;
        self.closed_all = true;
        tracing::info!(erasure = %hidden.id, alerts, "erasure done");
        Ok(None)
    }

    /// Rewrites every segment that holds such rows.
    async fn rewrite(
        &mut self,
        shared: &Arc<Shared>,
        hidden: &Hidden,
    ) -> Result<Option<&'static str>, StoreError> {
        let clean = self.clean.entry(hidden.id.clone()).or_default();
        for segment in &shared.view.get().segments {
            if segment.info.first_seq > hidden.up_to || clean.contains(&segment.info.id) {
                continue;
            }
            if shared.draining.load(Ordering::Acquire) {
                return Ok(Some("the next start"));
            }
            let rows = find(shared, hidden, segment).await?;
            if rows == Rows::None {
                clean.insert(segment.info.id.clone());
                continue;
            }
            let rewrite = Rewrite::without(segment.clone(), rows);
            let cause = RewriteCause::Erasure {
                id: hidden.id.clone(),
                events: rewrite.removed(),
            };
            let Some(done) = rewrite.run(shared, &cause).await? else {
                return Ok(Some("segments that change meanwhile"));
            };
            metrics::counter!("watchfire_erased_events_total").increment(done.removed);
            clean.extend(done.segment.map(|segment| segment.info.id.clone()));
        }
        let is_damaged = |id: &str| first_seq(id).is_none_or(|first| first <= hidden.up_to);
        let damaged = lock(&shared.damaged).iter().any(|d| is_damaged(&d.id));
        Ok(damaged.then_some("a damaged segment that may hold such events"))
    }

    /// Ends what is kept in memory about it.
    fn forget(&mut self, shared: &Arc<Shared>, id: &str) {
        shared.view.change(|view| {
            let others = view.hidden.iter().filter(|h| h.id != id);
            view.hidden = others.cloned().collect();
        });
        lock(&shared.forget).remove(id);
        lock(&shared.erasures_wait).remove(id);
        self.clean.remove(id);
        self.overdue.remove(id);
    }

    fn tell_overdue(&mut self, hidden: &Hidden, within: Duration) {
        let age = now_ns().saturating_sub(hidden.asked_ns);
        let is_overdue = u128::try_from(age).is_ok_and(|age| age > within.as_nanos());
        if is_overdue && self.overdue.insert(hidden.id.clone()) {
            tracing::error!(erasure = %hidden.id, "an erasure is not done within its time");
        }
    }
}

/// The first sequence number in the name of a segment.
fn first_seq(id: &str) -> Option<u64> {
    id.split('-').next()?.parse().ok()
}

async fn find(
    shared: &Arc<Shared>,
    hidden: &Hidden,
    segment: &Arc<Segment>,
) -> Result<Rows, StoreError> {
    let (work, hidden) = (shared.clone(), hidden.clone());
    let source = Source::Segment(segment.clone());
    blocking(move || hidden.rows(&source, &work.cache)).await
}

/// Gets every log file with such rows trimmed, and has detection forget.
async fn pass_log(
    shared: &Arc<Shared>,
    hidden: &Hidden,
) -> Result<Option<&'static str>, StoreError> {
    let (work, up_to) = (shared.clone(), hidden.up_to);
    let (files, last) = blocking(move || Ok(work.log.close_up_to(up_to)?)).await?;
    if last > 0 {
        let files = files as u64;
        shared.meta.note_erased_log(&hidden.id, files).await?;
        seal_up_to(shared, last).await?;
    }
    let detect = shared.detect.load(Ordering::Acquire);
    if detect == u64::MAX {
        // Nobody will save a state again.
        shared.meta.drop_detection_state().await?;
    } else {
        let read = shared.read.load(Ordering::Acquire).max(detect);
        if read < last.max(hidden.up_to) {
            return Ok(Some(
                "detection, which has still to read some of the events",
            ));
        }
        if !has_forgotten(shared, hidden) {
            return Ok(Some("detection, which is asked to forget"));
        }
    }
    shared.trim_log().await;
    let is_gone = shared.log.first_seq() > last;
    Ok((!is_gone).then_some("the log, of which files have still to go"))
}

/// Asks detection to forget, if that was not done before; has it?
fn has_forgotten(shared: &Arc<Shared>, hidden: &Hidden) -> bool {
    let mut forget = lock(&shared.forget);
    match forget.get(&hidden.id) {
        Some(Forget::Done) => true,
        Some(Forget::Asked(_)) => false,
        None => {
            forget.insert(hidden.id.clone(), Forget::Asked(hidden.query.clone()));
            // Whoever follows the head looks up.
            shared.head.send_modify(|_| {});
            false
        }
    }
}

/// Is there a folder of a segment that is no longer in use, or not yet?
async fn has_old_folders(shared: &Arc<Shared>) -> Result<bool, StoreError> {
    let shared = shared.clone();
    blocking(move || {
        let dir = shared.segments_dir();
        let context = || format!("listing {}", dir.display());
        let view = shared.view.get();
        let known: HashSet<String> = view.segments.iter().map(|s| s.info.id.clone()).collect();
        for entry in std::fs::read_dir(&dir).map_err(StoreError::io(context()))? {
            let name = entry.map_err(StoreError::io(context()))?.file_name();
            let name = name.to_string_lossy();
            let is_damaged = lock(&shared.damaged).iter().any(|d| d.id == name);
            if !known.contains(name.as_ref()) && !is_damaged {
                return Ok(true);
            }
        }
        Ok(false)
    })
    .await
}

/// Removes refused lines that name the values.
async fn remove_letters(shared: &Arc<Shared>, hidden: &Hidden) -> Result<(), StoreError> {
    // A backup copies the files while it holds the place.
    let _one_at_a_time = shared.seals.acquire().await;
    let (work, hidden_now) = (shared.clone(), hidden.clone());
    let removed = blocking(move || {
        let hidden = &hidden_now;
        let gone = work.dead.erase(|letter| {
            let text = String::from_utf8_lossy(&letter.bytes);
            letter.received_ns <= hidden.asked_ns && hidden.query.is_mentioned_by(&[text])
        })?;
        Ok(gone)
    })
    .await?;
    if removed > 0 {
        shared.meta.note_erased_letters(&hidden.id, removed).await?;
    }
    Ok(())
}
