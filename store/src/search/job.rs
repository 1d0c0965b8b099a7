//! The bounds of one query: a deadline, a caller who may go away, and a few threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::StoreError;

/// Threads that one query uses.
const THREADS: usize = 2;

/// What a running query must look at between two pieces of work.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    cancelled: Arc<AtomicBool>,
    started: Instant,
    limit: Duration,
}

/// Cancels the job when dropped, that is when its caller no longer waits.
#[derive(Debug)]
pub(crate) struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Job {
    pub fn new(limit: Duration) -> (Job, CancelOnDrop) {
        let cancelled = Arc::new(AtomicBool::new(false));
        let guard = CancelOnDrop(cancelled.clone());
        (
            Job {
                cancelled,
                started: Instant::now(),
                limit,
            },
            guard,
        )
    }

    /// # Errors
    /// When the time is up or the caller has gone.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(StoreError::Cancelled);
        }
        if self.started.elapsed() > self.limit {
            let limit = self.limit.as_secs_f64();
            return Err(StoreError::QueryLimit(format!("more than {limit} seconds")));
        }
        Ok(())
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Applies `work` to every item on a few threads; answers in the order of the items. The
    /// first error stops the rest.
    pub fn on_threads<T: Sync, R: Send>(
        &self,
        items: &[T],
        work: impl Fn(&T) -> Result<R, StoreError> + Sync,
    ) -> Result<Vec<R>, StoreError> {
        let one = |item: &T| {
            self.check()?;
            work(item)
        };
        if items.len() < 2 {
            return items.iter().map(one).collect();
        }
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let run = || {
            let mut done = Vec::new();
            while !failed.load(Ordering::Relaxed) {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(i) else { break };
                let result = one(item);
                failed.fetch_or(result.is_err(), Ordering::Relaxed);
                done.push((i, result));
            }
            done
        };
        let mut done = std::thread::scope(|scope| {
            let others: Vec<_> = (1..THREADS.min(items.len()))
                .map(|_| scope.spawn(run))
                .collect();
            let mut done = run();
            for other in others {
                match other.join() {
                    Ok(list) => done.extend(list),
                    Err(_) => done.push((0, Err(panicked()))),
                }
            }
            done
        });
        done.sort_by_key(|(i, _)| *i);
        done.into_iter().map(|(_, result)| result).collect()
    }
}

fn panicked() -> StoreError {
    StoreError::Internal("a search thread panicked".into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn answers_keep_the_order_of_the_items_and_errors_win() {
        let (job, _guard) = Job::new(Duration::from_secs(60));
        let items: Vec<u32> = (0..100).collect();
        assert_eq!(
            job.on_threads(&items, |n| Ok(n * 2)).unwrap(),
            (0..200).step_by(2).collect::<Vec<_>>()
        );
        let failing = |n: &u32| {
            if *n == 7 {
                Err(StoreError::InvalidCursor)
            } else {
                Ok(())
            }
        };
        assert_eq!(
            job.on_threads(&items, failing).unwrap_err().code(),
            "invalid_cursor"
        );
    }

    #[test]
    fn a_job_ends_with_its_caller_and_with_its_time() {
        let (job, guard) = Job::new(Duration::from_secs(60));
        assert!(job.check().is_ok());
        drop(guard);
        assert_eq!(job.check().unwrap_err().code(), "cancelled");
        let (job, _guard) = Job::new(Duration::ZERO);
        std::thread::yield_now();
        assert_eq!(job.check().unwrap_err().code(), "query_limit");
    }
}
