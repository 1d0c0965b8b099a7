//! Opening a log after any end, clean or not: look at everything, then repair what may be
//! repaired, which is the tail of the last file and nothing else.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::LogConfig;
use super::damage::{Damage, SeqRange};
use super::disk_file::{Disk, create_private_dir};
use super::error::LogError;
use super::frame;
use super::index::Index;
use super::inspect::{Inspected, Inspection, inspect};
use super::writer::{Active, Writer, create_file};
use crate::vault::Vault;

/// At most so many damaged places are listed; all are counted.
const DAMAGE_LISTED: usize = 1_000;

/// What recovery found and did. Only `cut` changed anything on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Recovered {
    /// Number of log files.
    pub files: usize,
    /// Size of all files after the cut.
    pub bytes: u64,
    /// Valid frames.
    pub frames: u64,
    /// Rows in them.
    pub rows: u64,
    /// First sequence number that the log may still hold.
    pub first_seq: u64,
    /// Last sequence number given out, 0 for none.
    pub head: u64,
    /// The torn tail that was cut off the last file: an append that nobody was told had succeeded.
    /// If a disk loses acknowledged bytes just there, this is where it shows.
    pub cut: Option<Cut>,
    /// Damage elsewhere, at most 1,000 places. It stays on disk and is skipped.
    pub damage: Vec<Damage>,
    /// Number of damaged places.
    pub damaged: u64,
    /// Sequence numbers that should be in the log and are not, at most 1,000 ranges. A power cut
    /// during an append of several records may tear one in the midst; its rows count as missing
    /// although they were never acknowledged, because nothing on the disk can tell.
    pub missing: Vec<SeqRange>,
    /// Number of rows missing.
    pub missing_rows: u64,
}

impl Recovered {
    /// Was everything as a clean end would have left it?
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.cut.is_none() && self.damaged == 0 && self.missing_rows == 0
    }
}

/// Bytes removed from the end of the last file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// Name of the file.
    pub file: String,
    /// Its length now; 0 when it was removed because not even its header was whole.
    pub offset: u64,
    /// How many bytes were removed.
    pub bytes: u64,
    /// Rows that readable headers in there speak of.
    pub rows: Option<SeqRange>,
}

/// Brings the log in `dir` to a state in which it can be appended to.
pub(super) fn recover(
    dir: &Path,
    config: LogConfig,
    vault: &Vault,
    disk: Arc<dyn Disk>,
) -> Result<(Writer, Index, Recovered), LogError> {
    create_private_dir(dir).map_err(LogError::io("create", dir))?;
    let mut found = inspect(disk.as_ref(), dir, vault.is_sealing(), &mut |_, _| true)?;
    let cut = cut_tail(dir, &mut found, disk.as_ref())?;
    let resumed = resume((dir, vault), &found, config, disk.as_ref())?;
    let mut index = Index::default();
    let mut report = Recovered {
        cut,
        ..Recovered::default()
    };
    report.add(&found);
    index
        .files
        .extend(found.files.into_iter().map(|file| file.entry));
    let mut progress = found.progress;
    progress.reach(config.floor_seq.saturating_add(1).max(1));
    let active = match resumed {
        Some(active) => active,
        None => {
            let (active, entry) = create_file(disk.as_ref(), dir, vault, progress.next_seq)?;
            index.files.push_back(entry);
            active
        }
    };
    report.files = index.files.len();
    report.bytes = index.bytes();
    report.first_seq = index
        .files
        .front()
        .map_or(progress.next_seq, |file| file.first_seq);
    report.head = progress.next_seq - 1;
    report.missing = progress.missing;
    report.missing_rows = progress.missing_rows;
    Ok((
        Writer::new(disk, dir, vault.clone(), active, progress.next_seq),
        index,
        report,
    ))
}

/// Cuts what follows the last valid frame of the last file, or removes the file if it has no
/// header yet. A crash leaves nothing else behind, so nothing else is ever cut.
fn cut_tail(dir: &Path, found: &mut Inspection, disk: &dyn Disk) -> Result<Option<Cut>, LogError> {
    let Some(last) = found.files.last_mut() else {
        return Ok(None);
    };
    let path = last.entry.path.clone();
    if last.unreadable_end > last.good_end {
        // Not torn but out of reach: cutting would destroy what the disk may yet give back.
        let source = rustix::io::Errno::IO.into();
        return Err(LogError::io("read the end of", &path)(source));
    }
    let file = last.entry.name();
    if last.frames == 0 && !last.header_ok {
        disk.remove(&path).map_err(LogError::io("delete", &path))?;
        disk.sync_dir(dir).map_err(LogError::io("sync", dir))?;
        let cut = Cut {
            file,
            offset: 0,
            bytes: last.len,
            rows: last.rows_in_tail(),
        };
        found.files.pop();
        return Ok(Some(cut));
    }
    if last.len == last.good_end {
        return Ok(None);
    }
    let cut = Cut {
        file,
        offset: last.good_end,
        bytes: last.len - last.good_end,
        rows: last.rows_in_tail(),
    };
    let handle = disk.open(&path).map_err(LogError::io("open", &path))?;
    handle
        .set_len(last.good_end)
        .map_err(LogError::io("cut", &path))?;
    handle.sync_data().map_err(LogError::io("sync", &path))?;
    last.forget_tail();
    Ok(Some(cut))
}

/// The last file, if it can be appended to.
///
/// It and the folder are synced first in any case: after a crash of the process alone frames or
/// names may be in the page cache only, and from now on they count as accepted.
fn resume(
    (dir, vault): (&Path, &Vault),
    found: &Inspection,
    config: LogConfig,
    disk: &dyn Disk,
) -> Result<Option<Active>, LogError> {
    let Some(Inspected {
        entry, header_ok, ..
    }) = found.files.last()
    else {
        return Ok(None);
    };
    let file = disk
        .open(&entry.path)
        .map_err(LogError::io("open", &entry.path))?;
    file.sync_data()
        .map_err(LogError::io("sync", &entry.path))?;
    disk.sync_dir(dir).map_err(LogError::io("sync", dir))?;
    let goes_on = *header_ok && entry.next_seq > config.floor_seq && !config.is_full(entry.len);
    let (path, id, len) = (entry.path.clone(), entry.id, entry.len);
    let seal = frame::seal_of(vault, id).map_err(LogError::io("make a key for", &path))?;
    Ok(goes_on.then_some(Active {
        file,
        path,
        id,
        len,
        seal,
    }))
}

impl Recovered {
    fn add(&mut self, found: &Inspection) {
        let in_files = found.files.iter().flat_map(|file| &file.damage);
        self.damage = found
            .foreign
            .iter()
            .chain(in_files)
            .take(DAMAGE_LISTED)
            .cloned()
            .collect();
        self.damaged = found.foreign.len() as u64;
        for file in &found.files {
            self.damaged += file.damaged;
            self.frames += file.frames;
            self.rows += file.rows;
        }
    }
}
