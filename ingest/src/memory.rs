//! The ceiling on bytes of requests that are under way: read, inflated or queued.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Refusal;

/// Bytes that all requests under way may hold together.
#[derive(Debug)]
pub struct Memory {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
}

impl Memory {
    /// A ceiling of `limit_bytes`.
    pub fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(Memory {
            limit_bytes,
            used_bytes: AtomicUsize::new(0),
        })
    }

    /// The (still empty) share of one request.
    pub fn budget(self: &Arc<Self>) -> Budget {
        Budget {
            memory: Arc::clone(self),
            taken_bytes: 0,
        }
    }

    /// Bytes held now.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }
}

/// The share of one request, given back when dropped.
#[derive(Debug)]
pub struct Budget {
    memory: Arc<Memory>,
    taken_bytes: usize,
}

impl Budget {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] when the ceiling is reached; what was taken before stays taken.
    pub fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        let used = self.memory.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.taken_bytes += bytes;
        if used + bytes > self.memory.limit_bytes {
            return Err(Refusal::Overloaded("too many bytes under way".into()));
        }
        Ok(())
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.memory
            .used_bytes
            .fetch_sub(self.taken_bytes, Ordering::Relaxed);
    }
}
