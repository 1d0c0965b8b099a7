//! The meeting point of doors, batcher and committer: bounded, with one lock.
//!
//! Requests wait in line for the batcher; at most one closed batch waits for the committer. The
//! batcher keeps filling its batch while the committer is busy, so batches grow with the load
//! and are handed over at once when there is none.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::Refusal;

/// What the batcher does next.
#[derive(Debug)]
pub(crate) enum Step<J> {
    /// Add this request to the batch.
    Take(J),
    /// Close the batch and hand it over.
    HandOver,
    /// Nothing is left and nothing more will come.
    End,
}

/// How far the batcher's batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fill {
    Empty,
    Some,
    Full,
}

/// Requests `J` and batches `B` on their way.
#[derive(Debug)]
pub(crate) struct Queue<J, B> {
    state: Mutex<State<J, B>>,
    changed: Condvar,
    max_requests: usize,
}

#[derive(Debug)]
struct State<J, B> {
    requests: VecDeque<J>,
    ready: Option<B>,
    committing: bool,
    closed: bool,
    batcher_ended: bool,
}

impl<J, B> Queue<J, B> {
    pub(crate) fn new(max_requests: usize) -> Self {
        let state = State {
            requests: VecDeque::new(),
            ready: None,
            committing: false,
            closed: false,
            batcher_ended: false,
        };
        Queue {
            state: Mutex::new(state),
            changed: Condvar::new(),
            max_requests,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<J, B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<J, B>>) -> MutexGuard<'a, State<J, B>> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request in line.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] when the line is full, [`Refusal::Draining`] after [`Self::close`].
    pub(crate) fn push(&self, request: J) -> Result<(), Refusal> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refusal::Draining);
        }
        if state.requests.len() >= self.max_requests {
            return Err(Refusal::Overloaded("too many requests are waiting".into()));
        }
        state.requests.push_back(request);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Number of requests in line.
    pub(crate) fn len(&self) -> usize {
        self.lock().requests.len()
    }

    /// Takes no more requests; those in line are still served.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Is [`Self::close`] past?
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// For the batcher: blocks until there is something to do.
    pub(crate) fn step(&self, fill: Fill) -> Step<J> {
        let mut state = self.lock();
        loop {
            if fill == Fill::Full {
                if state.ready.is_none() {
                    return Step::HandOver;
                }
            } else if let Some(request) = state.requests.pop_front() {
                return Step::Take(request);
            } else if fill == Fill::Some {
                if state.ready.is_none() && !state.committing {
                    return Step::HandOver;
                }
            } else if state.closed {
                return Step::End;
            }
            state = self.wait(state);
        }
    }

    /// For the batcher, after [`Step::HandOver`]: the place is free.
    pub(crate) fn hand_over(&self, batch: B) {
        self.lock().ready = Some(batch);
        self.changed.notify_all();
    }

    /// For the batcher, when it ends.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.batcher_ended = true;
        drop(state);
        self.changed.notify_all();
    }

    /// For the committer: blocks until a batch is there; `None` when no more will come.
    pub(crate) fn next_batch(&self) -> Option<B> {
        let mut state = self.lock();
        loop {
            if let Some(batch) = state.ready.take() {
                state.committing = true;
                drop(state);
                self.changed.notify_all();
                return Some(batch);
            }
            if state.batcher_ended {
                return None;
            }
            state = self.wait(state);
        }
    }

    /// For the committer: the batch it took is done.
    pub(crate) fn committed(&self) {
        self.lock().committing = false;
        self.changed.notify_all();
    }
}
