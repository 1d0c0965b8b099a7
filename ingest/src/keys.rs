//! Which keys are on their way to the log, and how keys are made.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use watchfire_event::{EventLog, Key, Record};

use crate::error::Refusal;

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing: what carries it is new.
    New,
    /// Committed earlier.
    Stored,
    /// On its way in the batch of this number.
    InFlight(u64),
}

/// Keys of batches that are not committed yet, and of the log behind them. Bounded by the keys
/// of the batches under way.
pub(crate) struct Keys {
    log: Arc<dyn EventLog>,
    in_flight: Mutex<HashMap<Key, u64>>,
}

impl Keys {
    pub(crate) fn new(log: Arc<dyn EventLog>) -> Self {
        Keys {
            log,
            in_flight: Mutex::new(HashMap::new()),
        }
    }

    /// Looks the key up. In flight is asked first: a key moves from there to the log, so that
    /// the other order could miss it in both.
    pub(crate) fn known(&self, key: &Key) -> Known {
        let in_flight = self.lock().get(key).copied();
        match in_flight {
            Some(batch) => Known::InFlight(batch),
            None if self.log.seen(key) => Known::Stored,
            None => Known::New,
        }
    }

    /// Looks up a request by its key and by what it says under it, see [`body_key`].
    ///
    /// # Errors
    /// [`Refusal::KeyReused`] when something else was said under the key.
    pub(crate) fn request(&self, key: &Key, body: &Key) -> Result<Known, Refusal> {
        let known = self.known(key);
        if known == Known::New || self.known(body) != Known::New {
            return Ok(known);
        }
        // Both keys go at once when their batch comes to nothing, which may be between the two
        // looks: then this is no other request, but the first to be stored.
        match self.known(key) {
            Known::New => Ok(Known::New),
            _ => Err(Refusal::KeyReused),
        }
    }

    /// Notes that `batch` carries the key.
    pub(crate) fn carry(&self, key: Key, batch: u64) {
        self.lock().insert(key, batch);
    }

    /// Forgets the keys of records whose batch is done, one way or the other.
    pub(crate) fn settle(&self, records: &[Record]) {
        let mut in_flight = self.lock();
        for key in records.iter().flat_map(|r| &r.keys) {
            in_flight.remove(key);
        }
    }

    /// Forgets every key that only `batch` carries, after it came to nothing.
    pub(crate) fn abandon(&self, batch: u64) {
        self.lock().retain(|_, carrier| *carrier != batch);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, u64>> {
        self.in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key of an `Idempotency-Key` header: it counts within one token.
pub fn request_key(source: &str, idempotency_key: &[u8]) -> Key {
    digest(&[b"request", source.as_bytes(), idempotency_key])
}

/// The key of what a request with the key `request` said: tells a resend from another request
/// under the same key.
pub(crate) fn body_key(request: &Key, body: &[u8]) -> Key {
    digest(&[b"body", request, body])
}

/// The key of a document that was given an id (`_bulk`).
pub fn document_key(source: &str, index: &str, id: &str) -> Key {
    digest(&[
        b"document",
        source.as_bytes(),
        index.as_bytes(),
        id.as_bytes(),
    ])
}

/// The key of a line that carries an ECS `event.id`: the same id on another line is another
/// event, because some sources number the kind of event, not the event.
pub(crate) fn event_key(source: &str, event_id: &str, line: &[u8]) -> Key {
    digest(&[b"event", source.as_bytes(), event_id.as_bytes(), line])
}

fn digest(parts: &[&[u8]]) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    first_half(&hash.finalize())
}

/// The first 16 bytes of a SHA-256 digest.
pub(crate) fn first_half(digest: &[u8]) -> Key {
    let mut key = Key::default();
    key.iter_mut()
        .zip(digest)
        .for_each(|(to, from)| *to = *from);
    key
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use watchfire_event::{CommitError, DeadLetter, EventBatch};

    use super::*;

    /// A log that stores nothing, and whose batch fails at the moment it is asked for `body`.
    #[derive(Default)]
    struct FailsWhenAsked {
        keys: Mutex<Option<Arc<Keys>>>,
        body: Key,
    }

    impl EventLog for FailsWhenAsked {
        fn commit(&self, _: EventBatch, _: &[Record]) -> Result<u64, CommitError> {
            Err(CommitError::DiskReserve)
        }

        fn admit(&self) -> Result<(), CommitError> {
            Ok(())
        }

        fn seen(&self, key: &Key) -> bool {
            if *key == self.body
                && let Some(keys) = &*self.keys.lock().unwrap()
            {
                keys.abandon(1);
            }
            false
        }

        fn dead_letters(&self, _: Vec<DeadLetter>) {}
    }

    /// Refused for good, a resend would never be stored.
    #[test]
    fn a_batch_that_fails_between_two_looks_leaves_the_key_free() {
        let key = request_key("shipper", b"k");
        let (same, other) = (body_key(&key, b"{}"), body_key(&key, b"{\"a\":1}"));
        let log = Arc::new(FailsWhenAsked {
            body: same,
            ..FailsWhenAsked::default()
        });
        let keys = Arc::new(Keys::new(log.clone()));
        keys.carry(key, 1);
        assert!(matches!(
            keys.request(&key, &other),
            Err(Refusal::KeyReused)
        ));
        keys.carry(same, 1);
        assert_eq!(keys.request(&key, &same).unwrap(), Known::InFlight(1));
        // The key is still in flight at the first look, and neither is at the second.
        keys.lock().remove(&same);
        *log.keys.lock().unwrap() = Some(keys.clone());
        assert_eq!(keys.request(&key, &same).unwrap(), Known::New);
        *log.keys.lock().unwrap() = None;
    }
}
