//! Where threat lists come from: files in folders, read again when they change or an entry of
//! theirs runs out.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use watchfire_detect::RuleFault;
use watchfire_detect::intel::{IntelFile, IntelList, IntelSet};

/// Endings of files that are lists; any other file of a folder is left alone.
const ENDINGS: &[&str] = &["txt", "list", "csv", "json", "stix", "netset", "ipset"];
/// Largest file, bytes.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Most files of all folders.
const MAX_FILES: usize = 1_000;

/// All lists as they were read.
#[derive(Debug, Default)]
pub struct Read {
    /// The lists.
    pub set: IntelSet,
    /// Files and entries that were left out.
    pub faults: Vec<RuleFault>,
    /// When each list was read, nanoseconds since the epoch.
    pub loaded_ns: BTreeMap<String, i64>,
}

/// A file as it was read before.
struct Known {
    modified: Option<SystemTime>,
    bytes: u64,
    list: Option<Arc<IntelList>>,
    faults: Vec<RuleFault>,
    loaded_ns: i64,
}

/// The folders of threat lists.
pub struct Folders {
    dirs: Vec<PathBuf>,
    /// Lists are large and seldom change: a file is read again only when it did.
    known: Mutex<HashMap<PathBuf, Known>>,
}

impl Folders {
    /// Reads nothing yet.
    pub fn new(dirs: &[PathBuf]) -> Folders {
        Folders {
            dirs: dirs.to_vec(),
            known: Mutex::default(),
        }
    }

    /// The folders.
    pub fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }

    /// Reads what has changed and puts everything together.
    pub fn read(&self) -> Read {
        let now_ns = now_ns();
        let mut read = Read::default();
        let mut paths = Vec::new();
        for dir in &self.dirs {
            if let Err(error) = collect(dir, &mut paths) {
                read.faults
                    .push(fault(dir, "unreadable", error.to_string()));
            }
        }
        paths.sort();
        if let Some(first) = paths.get(MAX_FILES) {
            let message = format!("only {MAX_FILES} files are read");
            read.faults.push(fault(first, "too_many_files", message));
            paths.truncate(MAX_FILES);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|path, _| paths.contains(path));
        for path in paths {
            let before = known.remove(&path);
            let now = of_file(&path, before, now_ns);
            read.faults.extend(now.faults.iter().cloned());
            if let Some(list) = &now.list {
                match read.set.insert(Arc::clone(list)) {
                    Ok(()) => {
                        read.loaded_ns.insert(list.name.clone(), now.loaded_ns);
                    }
                    Err(fault) => read.faults.push(fault),
                }
            }
            known.insert(path, now);
        }
        read
    }
}

/// What a file is now; what was read before where it still holds.
fn of_file(path: &Path, before: Option<Known>, now_ns: i64) -> Known {
    let meta = std::fs::metadata(path);
    let (modified, bytes) = match &meta {
        Ok(meta) => (meta.modified().ok(), meta.len()),
        Err(_) => (None, 0),
    };
    if let Some(before) = before {
        let expiry = before.list.as_ref().and_then(|list| list.next_expiry_ns);
        let same = before.modified == modified && before.bytes == bytes && modified.is_some();
        if same && expiry.is_none_or(|at| at > now_ns) {
            return before;
        }
    }
    let shown = path.display().to_string();
    let (list, faults) = match read_file(path) {
        Ok(text) => {
            let file = IntelFile {
                path: &shown,
                text: &text,
            };
            match IntelList::read(&file, now_ns) {
                Ok((list, faults)) => (Some(Arc::new(list)), faults),
                Err(fault) => (None, vec![fault]),
            }
        }
        Err(error) => (None, vec![fault(path, "unreadable", format!("{error:#}"))]),
    };
    Known {
        modified,
        bytes,
        list,
        faults,
        loaded_ns: now_ns,
    }
}

/// The text of a list.
///
/// # Errors
/// A file that is too large or no text.
pub fn read_file(path: &Path) -> Result<String> {
    let bytes = std::fs::metadata(path)?.len();
    anyhow::ensure!(
        bytes <= MAX_FILE_BYTES,
        "{bytes} bytes; a threat list may have {MAX_FILE_BYTES}"
    );
    std::fs::read_to_string(path).context("not readable as text")
}

fn fault(path: &Path, code: &'static str, message: String) -> RuleFault {
    RuleFault {
        path: path.display().to_string(),
        line: None,
        code,
        message,
    }
}

fn collect(path: &Path, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_file() {
        paths.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let ending = path.extension().and_then(|e| e.to_str());
        let is_list = ending.is_some_and(|e| ENDINGS.contains(&e.to_lowercase().as_str()));
        if path.is_dir() || is_list {
            collect(&path, paths)?;
        }
    }
    Ok(())
}

/// The time, nanoseconds since the epoch.
pub fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lists_come_from_folders_and_a_broken_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("exits.txt", "192.0.2.1\n");
        write("broken.json", "{");
        write("README.md", "no list");
        let folders = Folders::new(&[dir.path().to_owned()]);
        let read = folders.read();
        assert!(read.set.find("exits", "192.0.2.1").is_some());
        let codes: Vec<_> = read.faults.iter().map(|f| f.code).collect();
        assert_eq!(codes, ["invalid_list"]);
        write("exits.txt", "192.0.2.1\n192.0.2.22\n");
        std::fs::remove_file(dir.path().join("broken.json")).unwrap();
        let read = folders.read();
        assert!(read.set.find("exits", "192.0.2.22").is_some());
        assert!(read.faults.is_empty());
        assert!(read.loaded_ns.contains_key("exits"));
    }
}
