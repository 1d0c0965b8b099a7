//! What waits for one reader of a live tail: the newest events, within a limit. A reader that
//! stands still costs no more than that, whatever is committed meanwhile.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Batches that wait.
const MAX_BATCHES: usize = 256;
/// Bytes of events that wait; a single batch may be larger.
const MAX_BYTES: usize = 4 << 20;

/// The hits of a batch, oldest first, as JSON with their sequence numbers.
pub(super) type Hits = Vec<(u64, String)>;

/// What a reader is handed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// So many events were left out before what comes next.
    Skipped(u64),
    Hits(Hits),
}

/// The queue between the task that matches batches and the reader.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Hits>,
    bytes: usize,
    skipped: u64,
    is_over: bool,
}

fn bytes(hits: &Hits) -> usize {
    hits.iter().map(|(_, text)| text.len()).sum()
}

impl Queue {
    /// Adds hits behind `missed` events that never came this far. Leaves out the oldest of those
    /// that wait when there are too many; never waits.
    pub fn push(&self, missed: u64, hits: Hits) {
        let mut waiting = self.lock();
        waiting.skipped += missed;
        if !hits.is_empty() {
            waiting.bytes += bytes(&hits);
            waiting.batches.push_back(hits);
        }
        while waiting.batches.len() > MAX_BATCHES
            || (waiting.bytes > MAX_BYTES && waiting.batches.len() > 1)
        {
            let Some(oldest) = waiting.batches.pop_front() else {
                break;
            };
            waiting.bytes -= bytes(&oldest);
            waiting.skipped += oldest.len() as u64;
        }
        drop(waiting);
        self.changed.notify_one();
    }

    /// Nothing more will come.
    pub fn end(&self) {
        self.lock().is_over = true;
        self.changed.notify_one();
    }

    /// What comes next; none when it is over. For one reader.
    pub async fn next(&self) -> Option<Next> {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            self.changed.notified().await;
        }
    }

    /// As [`Queue::next`], none when there is nothing yet.
    fn take(&self) -> Option<Option<Next>> {
        let mut waiting = self.lock();
        if waiting.skipped > 0 {
            return Some(Some(Next::Skipped(std::mem::take(&mut waiting.skipped))));
        }
        match waiting.batches.pop_front() {
            Some(hits) => {
                waiting.bytes -= bytes(&hits);
                Some(Some(Next::Hits(hits)))
            }
            None => waiting.is_over.then_some(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn the_newest_wait_within_the_limits_and_the_rest_is_counted() {
        for (size, batches) in [(10, MAX_BATCHES), (1 << 20, 4), (8 << 20, 1)] {
            let queue = Queue::default();
            let many = 600;
            for seq in 0..many {
                queue.push(0, vec![(seq, "x".repeat(size))]);
                let waiting = queue.lock();
                let large = waiting.batches.len() == 1;
                assert!(large || waiting.bytes <= MAX_BYTES, "{size}");
            }
            queue.end();
            let left = many - batches as u64;
            assert_eq!(queue.next().await, Some(Next::Skipped(left)), "{size}");
            for seq in left..many {
                let Some(Next::Hits(hits)) = queue.next().await else {
                    panic!("{size}: {seq} is missing");
                };
                assert_eq!(hits[0].0, seq);
            }
            assert_eq!(queue.next().await, None);
            assert_eq!(queue.lock().bytes, 0);
        }
    }

    #[tokio::test]
    async fn what_never_came_is_counted_too() {
        let queue = Queue::default();
        queue.push(7, Vec::new());
        queue.push(3, vec![(11, "x".into())]);
        assert_eq!(queue.next().await, Some(Next::Skipped(10)));
        assert!(matches!(queue.next().await, Some(Next::Hits(_))));
    }
}
