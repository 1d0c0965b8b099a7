//! The snapshot of everything an engine has learned, as bytes with a version.

use std::io::{self, Write};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Raised when the meaning of a snapshot changes; older snapshots are then refused.
const VERSION: u32 = 1;

/// Why a snapshot was not taken over. The engine is then unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The bytes are not a snapshot.
    #[error("not a detection snapshot: {0}")]
    Malformed(String),
    /// The snapshot was written by another version.
    #[error("snapshot version {found}, this engine reads {VERSION}")]
    Version {
        /// The version in the snapshot.
        found: u32,
    },
}

/// What a snapshot looks like from outside.
#[derive(Deserialize)]
struct Envelope<T> {
    version: u32,
    body: T,
}

/// Begins a snapshot; its body is to follow, and then [`end`].
pub(crate) fn begin(out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{{\"version\":{VERSION},\"body\":")
}

/// Ends what [`begin`] began.
pub(crate) fn end(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"}")
}

/// Every text in a value: names and strings.
pub(crate) fn texts(value: &Value, out: &mut Vec<String>) {
    match value {
        // Counts and times name nobody.
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => out.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|v| texts(v, out)),
        Value::Object(map) => {
            for (name, value) in map {
                out.push(name.clone());
                texts(value, out);
            }
        }
    }
}

/// Reads a snapshot. The version comes first: a body of another version need not be readable.
pub(crate) fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, StateError> {
    let malformed = |e: serde_json::Error| StateError::Malformed(e.to_string());
    let outside: Envelope<IgnoredAny> = serde_json::from_slice(bytes).map_err(malformed)?;
    if outside.version != VERSION {
        return Err(StateError::Version {
            found: outside.version,
        });
    }
    serde_json::from_slice::<Envelope<T>>(bytes)
        .map(|e| e.body)
        .map_err(malformed)
}
