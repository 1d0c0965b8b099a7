//! Looks at every file and every frame of a log folder and changes nothing.

use std::io;
use std::path::{Path, PathBuf};

use super::damage::{Damage, DamageKind, Progress, SeqRange};
use super::disk_file::{Disk, OsDisk, ReadAt, read_what_is_readable};
use super::error::LogError;
use super::frame::{self, FILE_HEADER_BYTES, FileHeader, FrameHeader, SEALED_FORMAT};
use super::index::{FileEntry, Mark, parse_name};
use super::scan::{Scan, Span, Step};

/// At most so many damaged places of a file are listed; all are counted.
const DAMAGE_LISTED: usize = 1_000;

/// Looks at a frame with right checksums and its payload; says whether its content is sound.
pub(super) type Look<'a> = &'a mut dyn FnMut(&FrameHeader, &[u8]) -> bool;

/// The state of a log folder.
#[derive(Debug, Default)]
pub(super) struct Inspection {
    /// Files in the order of their sequence numbers.
    pub files: Vec<Inspected>,
    /// Files that are not what their names say; they are not read.
    pub foreign: Vec<Damage>,
    /// Sequence numbers seen and missing over all files.
    pub progress: Progress,
}

/// One file as found.
#[derive(Debug)]
pub(super) struct Inspected {
    pub entry: FileEntry,
    /// Length on disk.
    pub len: u64,
    /// Is the header of the file right?
    pub header_ok: bool,
    /// End of the last valid frame, or of the header.
    pub good_end: u64,
    pub frames: u64,
    pub rows: u64,
    /// The first places; `damaged` counts all.
    pub damage: Vec<Damage>,
    pub damaged: u64,
    /// End of the last block that the disk could not read; 0 for none.
    pub unreadable_end: u64,
}

/// Inspects all log files of `dir`; files with other names are none of our business.
pub(super) fn inspect(
    disk: &dyn Disk,
    dir: &Path,
    sealed: bool,
    look: Look<'_>,
) -> Result<Inspection, LogError> {
    let own_format = frame::format_of(sealed);
    let mut found = Inspection::default();
    // All headers first: nothing is judged if one file is too new for this program.
    let mut files = Vec::new();
    for (path, seq, id) in log_files(dir).map_err(LogError::io("list", dir))? {
        let file = disk.reader(&path).map_err(LogError::io("open", &path))?;
        let header = read_header(file.as_ref()).map_err(LogError::io("read", &path))?;
        if let Some(FileHeader { format, .. }) = header
            && format != own_format
        {
            return Err(unlike(path, format));
        }
        // Not kept open: there may be more files than a process may have.
        files.push((FileEntry::new(path, id, seq), header));
    }
    for (entry, header) in files {
        let path = &entry.path;
        let file = disk.reader(path).map_err(LogError::io("open", path))?;
        let len = file.len().map_err(LogError::io("read", path))?;
        let own = FileHeader {
            format: own_format,
            id: entry.id,
            first_seq: entry.first_seq,
        };
        if header.is_some_and(|header| header != own) {
            let kind = DamageKind::ForeignFile;
            let file = entry.name();
            found.foreign.push(Damage {
                file,
                offset: 0,
                bytes: len,
                kind,
                rows: None,
            });
            continue;
        }
        let path = entry.path.clone();
        let inspected = Inspected::read(entry, file, len, header, look, &mut found.progress);
        found
            .files
            .push(inspected.map_err(LogError::io("read", &path))?);
    }
    Ok(found)
}

/// Why a file of this format is not read here.
fn unlike(path: PathBuf, format: u32) -> LogError {
    let known = SEALED_FORMAT;
    if format > known {
        return LogError::NewerFormat {
            path,
            found: format,
            known,
        };
    }
    let sealed = format == SEALED_FORMAT;
    LogError::OtherSealing { path, sealed }
}

impl Inspected {
    fn read(
        entry: FileEntry,
        file: Box<dyn ReadAt>,
        len: u64,
        header: Option<FileHeader>,
        look: Look<'_>,
        progress: &mut Progress,
    ) -> io::Result<Inspected> {
        let start = (FILE_HEADER_BYTES as u64).min(len);
        let mut found = Inspected {
            entry,
            len,
            header_ok: header.is_some(),
            good_end: start,
            frames: 0,
            rows: 0,
            damage: Vec::new(),
            damaged: 0,
            unreadable_end: 0,
        };
        if header.is_none() {
            // Name and frames carry what the header said, so only these bytes are lost.
            let (file, kind) = (found.entry.name(), DamageKind::FileHeader);
            found.note(Damage {
                file,
                offset: 0,
                bytes: start,
                kind,
                rows: None,
            });
        }
        found.entry.len = len;
        progress.reach(found.entry.first_seq);
        found.read_frames(file, look, progress)?;
        // Never less than that of an older file, even if this one only repeats it.
        found.entry.next_seq = progress.next_seq;
        Ok(found)
    }

    fn read_frames(
        &mut self,
        file: Box<dyn ReadAt>,
        look: Look<'_>,
        progress: &mut Progress,
    ) -> io::Result<()> {
        let span = Span {
            name: self.entry.name(),
            file_id: self.entry.id,
            offset: self.good_end,
            end: self.len,
            next_seq: progress.next_seq,
        };
        let mut scan = Scan::new(file, span)?;
        while let Some(step) = scan.next()? {
            let (offset, header, payload) = match step {
                Step::Frame {
                    offset,
                    header,
                    payload,
                } => (offset, header, payload),
                Step::Damage(damage) => {
                    self.note(damage);
                    continue;
                }
            };
            let sound = look(&header, payload);
            self.entry.note(Mark {
                seq: header.first_seq,
                offset,
            });
            self.good_end = offset + header.frame_bytes();
            self.frames += 1;
            self.rows += u64::from(header.rows);
            progress.reach(header.first_seq);
            progress.pass(header.next_seq());
            if !sound {
                let kind = DamageKind::Undecodable;
                self.note(scan.damage(offset, header.frame_bytes(), kind, Some(header.seqs())));
            }
        }
        self.unreadable_end = scan.unreadable_end();
        Ok(())
    }

    /// Rows that the headers of damaged frames after the last valid one speak of.
    pub(super) fn rows_in_tail(&self) -> Option<SeqRange> {
        let tail = self
            .damage
            .iter()
            .filter(|damage| damage.offset >= self.good_end);
        tail.filter_map(|damage| damage.rows)
            .reduce(|a, b| SeqRange {
                first: a.first.min(b.first),
                last: a.last.max(b.last),
            })
    }

    /// The bytes after the last valid frame were cut off.
    pub(super) fn forget_tail(&mut self) {
        let good_end = self.good_end;
        self.len = good_end;
        self.entry.len = good_end;
        let listed = self.damage.len();
        self.damage.retain(|damage| damage.offset < good_end);
        self.damaged -= (listed - self.damage.len()) as u64;
    }

    fn note(&mut self, damage: Damage) {
        self.damaged += 1;
        if self.damage.len() < DAMAGE_LISTED {
            self.damage.push(damage);
        }
    }
}

/// Path, first sequence number and id of each log file, in that order of sequence numbers.
fn log_files(dir: &Path) -> io::Result<Vec<(PathBuf, u64, u64)>> {
    let mut files = Vec::new();
    for item in std::fs::read_dir(dir)? {
        let item = item?;
        if let Some((seq, id)) = item.file_name().to_str().and_then(parse_name) {
            files.push((item.path(), seq, id));
        }
    }
    files.sort_by_key(|(_, seq, id)| (*seq, *id));
    Ok(files)
}

/// The last sequence number in a log folder that no process writes to; 0 for none.
///
/// # Errors
/// When the folder cannot be read, or is not encrypted as `sealed` says.
pub(crate) fn head_of(dir: &Path, sealed: bool) -> Result<u64, LogError> {
    let found = inspect(&OsDisk, dir, sealed, &mut |_, _| true)?;
    Ok(found.progress.next_seq.saturating_sub(1))
}

/// Does a log folder, which need not be there, hold an encrypted file?
pub(crate) fn holds_encrypted(dir: &Path) -> io::Result<bool> {
    let files = match log_files(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        listed => listed?,
    };
    for (path, ..) in files {
        let header = read_header(OsDisk.reader(&path)?.as_ref())?;
        if header.is_some_and(|header| header.format == SEALED_FORMAT) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read_header(file: &dyn ReadAt) -> io::Result<Option<FileHeader>> {
    let mut bytes = [0; FILE_HEADER_BYTES];
    if file.len()? < bytes.len() as u64 {
        return Ok(None);
    }
    read_what_is_readable(file, &mut bytes, 0)?;
    Ok(FileHeader::decode(&bytes))
}
