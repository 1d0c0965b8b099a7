//! Words of hashes.

use serde::{Deserialize, Serialize};
use watchfire_event::Query;

use super::recent::Recent;

/// Values of a generation.
const MAX: usize = 100_000;
/// Longest value kept, characters.
const MAX_CHARS: usize = 256;

/// What hashes stand for; what is not used for a whole generation is forgotten.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Names(Recent<Box<str>>);

impl Default for Names {
    fn default() -> Self {
        Names(Recent::new(MAX))
    }
}

impl Names {
    /// Remembers what `hash` stands for.
    pub(crate) fn note(&mut self, hash: u64, text: &str) {
        if hash != 0 && !self.0.is_young(hash) {
            self.0
                .entry(hash, || text.chars().take(MAX_CHARS).collect());
        }
    }

    /// The words, if they are still known.
    pub(crate) fn of(&self, hash: u64) -> Option<&str> {
        self.0.peek(hash).map(|text| &**text)
    }

    /// Forgets values that name what `query` asks for.
    pub(crate) fn forget(&mut self, query: &Query) {
        self.0
            .retain(|text| !query.is_mentioned_by(&[text.to_string()]));
    }

    /// Bytes that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        // A value of usual length with its allocation.
        self.0.bytes() + self.0.len() * 32
    }
}
