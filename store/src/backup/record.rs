//! What a snapshot and a pooled segment say they hold, under a checksum of the text itself.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::copy;
use crate::StoreError;

/// Version of the layout.
pub(super) const FORMAT: u32 = 1;
/// Name of the file in a snapshot.
pub(super) const FILE_NAME: &str = "backup.json";

/// One file, by its path below the folder it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredFile {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

/// A segment of the pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PooledSegment {
    /// Name of its folder in a data folder.
    pub id: String,
    /// Name of its folder in the pool.
    pub folder: String,
    pub files: Vec<StoredFile>,
}

/// `backup.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub format: u32,
    /// The program that wrote it.
    pub version: String,
    /// When the metadata was copied, RFC 3339.
    pub created: String,
    /// Last sequence number in the log.
    pub head: u64,
    pub encrypted: bool,
    pub segments: Vec<PooledSegment>,
    /// The snapshot's own files.
    pub files: Vec<StoredFile>,
}

#[derive(Serialize, Deserialize)]
struct Checked<T> {
    sha256: String,
    content: T,
}

/// Writes `value` to a new file and syncs it.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> std::io::Result<()> {
    let text = serde_json::to_string(value)?;
    let checked = Checked {
        sha256: copy::sha256(text.as_bytes()),
        content: RawValue::from_string(text)?,
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(&serde_json::to_vec(&checked)?)?;
    file.sync_all()
}

/// Reads what [`write`] wrote.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, StoreError> {
    let corrupt = |what: String| StoreError::Corrupt(format!("{}: {what}", path.display()));
    let text = std::fs::read(path).map_err(|e| corrupt(e.to_string()))?;
    let checked: Checked<Box<RawValue>> =
        serde_json::from_slice(&text).map_err(|e| corrupt(e.to_string()))?;
    if copy::sha256(checked.content.get().as_bytes()) != checked.sha256 {
        return Err(corrupt("the checksum differs".into()));
    }
    serde_json::from_str(checked.content.get()).map_err(|e| corrupt(e.to_string()))
}

/// Reads the record of a snapshot.
pub(super) fn of_snapshot(dir: &Path) -> Result<Record, StoreError> {
    let record: Record = read(&dir.join(FILE_NAME))?;
    let name = dir.display();
    if record.format > FORMAT {
        let what = format!("{name} was written by a newer version");
        return Err(StoreError::Corrupt(what));
    }
    // A path that leads elsewhere would be written to when restoring.
    let inner = |path: &str| {
        let mut parts = Path::new(path).components().peekable();
        parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
    };
    let sound = record.files.iter().all(|f| inner(&f.name))
        && record
            .segments
            .iter()
            .all(|s| inner(&s.id) && inner(&s.folder) && s.files.iter().all(|f| inner(&f.name)));
    match sound {
        true => Ok(record),
        false => Err(StoreError::Corrupt(format!("{name} names files outside"))),
    }
}
