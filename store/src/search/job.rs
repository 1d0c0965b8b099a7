//! The bounds of one query: a deadline, a caller who may go away, and a few threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::StoreError;

/// Threads that help queries now, of the whole process. One fewer than there are processors is
/// enough: each query has a thread already, and more runnable threads make those wait that take
/// in events.
static HELPERS: AtomicUsize = AtomicUsize::new(0);

/// A place among [`HELPERS`], given back when dropped.
struct Helper;

impl Helper {
    fn free() -> Option<Helper> {
        let limit = std::thread::available_parallelism().map_or(1, usize::from) - 1;
        let more = |n: usize| (n < limit).then_some(n + 1);
        let taken = HELPERS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Helper)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        HELPERS.fetch_sub(1, Ordering::Relaxed);
    }
}

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

    /// Applies `work` to every item, on several threads where processors are free; answers in
    /// the order of the items. The first error stops the rest.
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
        let run = &|| {
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
            let helpers = std::iter::from_fn(Helper::free).take(items.len() - 1);
            let help = |helper: Helper| {
                scope.spawn(move || {
                    let _place = helper;
                    run()
                })
            };
            let others: Vec<_> = helpers.map(help).collect();
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
