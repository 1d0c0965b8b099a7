//! `keys.json`: the data key of a folder, wrapped by the master key.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::LessSafeKey;
use serde::{Deserialize, Serialize};

use super::master::{KEY_BYTES, MasterKey, derive, random, to_hex};
use super::small::SmallSeal;
use super::{VaultError, misused};

/// Name of the file in the data folder.
pub const FILE_NAME: &str = "keys.json";
/// The format this program writes, and the newest it reads.
const FORMAT: u32 = 1;
const ALGORITHM: &str = "AES-256-GCM";

/// The key from which the keys of all files of a folder are derived.
pub(super) struct DataKey {
    secret: [u8; KEY_BYTES],
}

impl DataKey {
    /// The key for one purpose and salt.
    pub fn derive(&self, purpose: &str, salt: &[u8]) -> io::Result<LessSafeKey> {
        derive(&self.secret, purpose, salt)
    }
}

/// What the file says.
#[derive(Serialize, Deserialize)]
struct Wrapped {
    format: u32,
    /// Names the data key; it stays when the master key is exchanged.
    id: String,
    algorithm: String,
    /// Derived from the master key, to tell a wrong one.
    master_check: String,
    /// The data key: nonce, cipher text and tag in base64.
    wrapped: String,
}

/// A file as read.
pub(super) struct Stored {
    path: PathBuf,
    keys: Wrapped,
}

/// Where the file of a data folder is.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE_NAME)
}

/// Reads the file; none where there is none.
pub(super) fn read(data_dir: &Path) -> Result<Option<Stored>, VaultError> {
    let path = path(data_dir);
    let text = match std::fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(VaultError::io(format!("reading {}", path.display())))?,
    };
    let damaged = |what: String| VaultError::DamagedKeys {
        path: path.clone(),
        what,
    };
    let keys: Wrapped = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
    if keys.format > FORMAT || keys.algorithm != ALGORITHM {
        return Err(damaged("written by a newer version".into()));
    }
    Ok(Some(Stored { path, keys }))
}

impl Stored {
    /// The data key.
    pub fn unwrap(&self, master: &MasterKey) -> Result<DataKey, VaultError> {
        let context = || VaultError::io(format!("unwrapping {}", self.path.display()));
        let keys = &self.keys;
        let check = master.check(&keys.id).map_err(context())?;
        if to_hex(&check) != keys.master_check {
            return Err(VaultError::WrongMasterKey {
                id: keys.id.clone(),
                path: self.path.clone(),
            });
        }
        let seal = SmallSeal::new(master.wrapping(&keys.id).map_err(context())?);
        let opened = STANDARD
            .decode(&keys.wrapped)
            .ok()
            .and_then(|sealed| seal.open(&sealed, &bound(&keys.id)));
        let secret = opened.and_then(|bytes| bytes.try_into().ok());
        let secret = secret.ok_or_else(|| VaultError::DamagedKeys {
            path: self.path.clone(),
            what: "the wrapped key is not what was written; restore the file from a backup".into(),
        })?;
        Ok(DataKey { secret })
    }
}

/// Makes a data key for a folder without data.
pub(super) fn create(data_dir: &Path, master: &MasterKey) -> Result<DataKey, VaultError> {
    if holds_data(data_dir).map_err(VaultError::io(format!("listing {}", data_dir.display())))? {
        return Err(VaultError::PlainData(data_dir.to_owned()));
    }
    let context = || VaultError::io(format!("making {}", path(data_dir).display()));
    let id = to_hex(&random::<16>().map_err(context())?);
    let key = DataKey {
        secret: random().map_err(context())?,
    };
    write(data_dir, &id, &key, master).map_err(context())?;
    Ok(key)
}

/// Wraps the data key of a folder that no server uses by another master key. Nothing else changes:
/// an old copy of the file still opens with the old master key.
///
/// # Errors
/// Those of [`super::Vault::open`]; [`VaultError::NotEncrypted`].
pub fn rotate(data_dir: &Path, old: &MasterKey, new: &MasterKey) -> Result<String, VaultError> {
    let stored = read(data_dir)?.ok_or_else(|| VaultError::NotEncrypted(data_dir.to_owned()))?;
    let key = stored.unwrap(old)?;
    let context = VaultError::io(format!("writing {}", stored.path.display()));
    write(data_dir, &stored.keys.id, &key, new).map_err(context)?;
    Ok(stored.keys.id)
}

fn write(data_dir: &Path, id: &str, key: &DataKey, master: &MasterKey) -> io::Result<()> {
    let seal = SmallSeal::new(master.wrapping(id)?);
    let keys = Wrapped {
        format: FORMAT,
        id: id.to_owned(),
        algorithm: ALGORITHM.to_owned(),
        master_check: to_hex(&master.check(id)?),
        wrapped: STANDARD.encode(seal.seal(&key.secret, &bound(id))?),
    };
    let text = serde_json::to_vec_pretty(&keys).map_err(|_| misused("keys as JSON"))?;
    let (path, temporary) = (path(data_dir), data_dir.join("keys.json.tmp"));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(&text)?;
    file.sync_all()?;
    std::fs::rename(&temporary, &path)?;
    std::fs::File::open(data_dir)?.sync_all()
}

/// A wrapped key is worth nothing under another id or in another format.
fn bound(id: &str) -> Vec<u8> {
    format!("watchfire data key {FORMAT} {ALGORITHM} {id}").into_bytes()
}

/// Is there anything that would stay in the clear?
fn holds_data(data_dir: &Path) -> io::Result<bool> {
    if data_dir.join(crate::meta::FILE_NAME).exists() {
        return Ok(true);
    }
    for folder in ["log", "segments", "dead-letters"] {
        let holds_any = match std::fs::read_dir(data_dir.join(folder)) {
            Ok(mut items) => items.next().is_some(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if holds_any {
            return Ok(true);
        }
    }
    Ok(false)
}
