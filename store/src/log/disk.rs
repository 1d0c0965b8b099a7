//! Free disk space, and the reserve below which nothing more is taken in.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The least default reserve.
const RESERVE_BYTES: u64 = 1 << 30;
/// The default reserve as a fraction of the volume.
const RESERVE_PERCENT: u64 = 5;
/// A refused intake resumes when free space is over the reserve by this fraction of it.
const RESUME_FRACTION: u64 = 16;
/// The volume is asked at most this often.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Space on a volume, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What this process may still use.
    pub free: u64,
    /// Size of the volume.
    pub total: u64,
}

/// The space on the volume that holds `path`.
///
/// # Errors
/// Whatever `statvfs` answers.
pub fn space(path: &Path) -> io::Result<Space> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(Space {
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
    })
}

/// Free space that is left alone, so that reading, sealing, detection and alerts still work on a
/// full disk. It closes below the reserve and opens again a sixteenth above it, by itself.
#[derive(Debug)]
pub struct Reserve {
    dir: PathBuf,
    reserve_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    asked: Option<Instant>,
    free: u64,
    low: bool,
}

impl Reserve {
    /// The reserve on the volume of `dir`; by default 5 % of it, at least 1 GiB, at most half.
    ///
    /// # Errors
    /// When the volume cannot be asked for its size.
    pub fn new(dir: &Path, reserve_bytes: Option<u64>) -> io::Result<Reserve> {
        let reserve_bytes = match reserve_bytes {
            Some(bytes) => bytes,
            None => default_reserve(space(dir)?.total),
        };
        let state = Mutex::new(State {
            asked: None,
            free: 0,
            low: false,
        });
        Ok(Reserve {
            dir: dir.to_owned(),
            reserve_bytes,
            state,
        })
    }

    /// Is free space below the reserve? Asks the volume at most four times a second. A volume
    /// that does not answer counts as it last did: the write will tell.
    #[must_use]
    pub fn is_low(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let due = state.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY);
        if due {
            state.asked = Some(Instant::now());
            if let Ok(space) = space(&self.dir) {
                state.low = next_low(state.low, space.free, self.reserve_bytes);
                state.free = space.free;
                metrics::gauge!("watchfire_disk_free_bytes").set(space.free as f64);
            }
        }
        state.low
    }

    /// The reserve in bytes.
    #[must_use]
    pub fn reserve_bytes(&self) -> u64 {
        self.reserve_bytes
    }

    /// Free space when last asked, in bytes.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .free
    }
}

fn default_reserve(total: u64) -> u64 {
    (total / 100 * RESERVE_PERCENT)
        .max(RESERVE_BYTES)
        .min(total / 2)
}

fn next_low(low: bool, free: u64, reserve: u64) -> bool {
    let margin = if low { reserve / RESUME_FRACTION } else { 0 };
    free < reserve.saturating_add(margin)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_default_reserve_follows_the_volume() {
        const GIB: u64 = 1 << 30;
        for (total, reserve) in [
            (100 * GIB, 5 * GIB),
            (10 * GIB, GIB),
            (GIB, GIB / 2),
            (0, 0),
        ] {
            let found = default_reserve(total);
            assert!(found.abs_diff(reserve) < 1 << 20, "{total}: {found}");
        }
    }

    #[test]
    fn the_reserve_closes_below_and_opens_above() {
        for (low, free, expected) in [
            (false, 1600, false),
            (false, 1599, true),
            (true, 1600, true),
            (true, 1699, true),
            (true, 1700, false),
        ] {
            assert_eq!(next_low(low, free, 1600), expected, "{low} {free}");
        }
    }

    #[test]
    fn a_real_volume_answers() {
        let dir = tempfile::tempdir().unwrap();
        let volume = space(dir.path()).unwrap();
        assert!(volume.total > 0 && volume.free <= volume.total);
        assert!(!Reserve::new(dir.path(), Some(0)).unwrap().is_low());
        assert!(Reserve::new(dir.path(), Some(u64::MAX)).unwrap().is_low());
        assert!(space(&dir.path().join("absent")).is_err());
    }
}
