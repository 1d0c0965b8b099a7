//! Which keys are on their way to the log, and how keys are made.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use watchfire_event::{EventLog, Key, Record};

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
