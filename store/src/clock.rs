//! The wall clock, as far as it may decide about deleting.

use std::time::{Duration, Instant};

use crate::shared::now_ns;

/// A wall clock that moves this much further than the monotonic one between two checks has
/// jumped: nothing is deleted on its word until the next check agrees with it.
const JUMP_NS: i64 = 3_600 * 1_000_000_000;

/// Remembers when it was last asked.
#[derive(Debug, Default)]
pub(crate) struct CarefulClock {
    last: Option<(Instant, i64)>,
}

impl CarefulClock {
    /// The time, nanoseconds since the epoch, once `every` has passed since it was last told.
    /// None before that, and once after a jump forward.
    pub fn told(&mut self, every: Duration) -> Option<i64> {
        if self.last.is_some_and(|(at, _)| at.elapsed() < every) {
            return None;
        }
        let now = now_ns();
        if self.trusts(Instant::now(), now) {
            return Some(now);
        }
        tracing::warn!("the clock jumped forward; retention waits for the next check");
        None
    }

    /// Notes the time of this check. False when the wall clock ran away since the last one.
    fn trusts(&mut self, at: Instant, now_ns: i64) -> bool {
        let before = self.last.replace((at, now_ns));
        let Some((then, wall)) = before else {
            return true;
        };
        let passed = at.saturating_duration_since(then).as_nanos();
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        now_ns.saturating_sub(wall).saturating_sub(passed) <= JUMP_NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_is_believed_at_the_second_check() {
        let start = Instant::now();
        let minute = Duration::from_secs(60);
        let minute_ns = 60_000_000_000;
        let day_ns = 86_400_000_000_000;
        let mut clock = CarefulClock::default();
        assert!(clock.trusts(start, 0));
        assert!(clock.trusts(start + minute, minute_ns));
        assert!(!clock.trusts(start + 2 * minute, 2 * minute_ns + day_ns));
        assert!(clock.trusts(start + 3 * minute, 3 * minute_ns + day_ns));
        assert!(
            clock.trusts(start + 4 * minute, 0),
            "a step back deletes nothing"
        );
    }
}
