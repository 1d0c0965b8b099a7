//! Linking, copying and digesting files.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use sha2::{Digest, Sha256};

const BUFFER_BYTES: usize = 1 << 18;

/// SHA-256 in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Length and digest of a file.
pub(super) fn digest(path: &Path) -> io::Result<(u64, String)> {
    read(File::open(path)?, |_| Ok(()))
}

/// Copies the first `limit` bytes to a new file that only its owner may read, and syncs it.
/// Answers with length and digest of what was copied.
pub(super) fn copy(from: &Path, to: &Path, limit: u64) -> io::Result<(u64, String)> {
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    let copied = read(File::open(from)?.take(limit), |bytes| out.write_all(bytes))?;
    out.sync_all()?;
    Ok(copied)
}

/// Gives a file a second name, or copies it where that cannot be: on another file system, or one
/// without links. True when it was linked.
pub(super) fn link_or_copy(from: &Path, to: &Path) -> io::Result<bool> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(_) => copy(from, to, u64::MAX).map(|_| false),
    }
}

fn read(
    mut file: impl Read,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<(u64, String)> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut bytes, mut hash) = (0, Sha256::new());
    loop {
        let n = match file.read(&mut buffer) {
            Ok(0) => return Ok((bytes, hex(&hash.finalize()))),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let read = buffer.get(..n).unwrap_or_default();
        hash.update(read);
        take(read)?;
        bytes += n as u64;
    }
}

/// Makes a folder, and those above it, for the owner only.
pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// The paths of all files below `dir`, relative to it, in order.
pub(super) fn files_below(dir: &Path) -> io::Result<Vec<String>> {
    let (mut found, mut open) = (Vec::new(), vec![String::new()]);
    while let Some(prefix) = open.pop() {
        for item in fs::read_dir(dir.join(&prefix))? {
            let item = item?;
            let name = item.file_name().to_string_lossy().into_owned();
            let path = match prefix.is_empty() {
                true => name,
                false => format!("{prefix}/{name}"),
            };
            match item.file_type()?.is_dir() {
                true => open.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Syncs a folder and all folders below it, so that the names in them are durable.
pub(super) fn sync_dirs(dir: &Path) -> io::Result<()> {
    for item in fs::read_dir(dir)? {
        let item = item?;
        if item.file_type()?.is_dir() {
            sync_dirs(&item.path())?;
        }
    }
    File::open(dir)?.sync_all()
}
