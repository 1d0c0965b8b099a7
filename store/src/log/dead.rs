//! The dead-letter store: bytes that were refused, kept as long as there is room.
//!
//! A folder of NDJSON files `<number>.ndjson`, one letter a line, readable with any text tool. A
//! letter that is valid UTF-8 is kept as `text`, any other as `base64`. When the files together
//! are over the limit the oldest is deleted: the newest letters are kept.
//!
//! In an encrypted folder a line is one letter encrypted, in base64.
//!
//! Letters are in the system's hands before the request is answered, so they survive the death of
//! the process. They are synced when a file is full, not one by one: a sender of garbage must not
//! cost the others an `fdatasync` each.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use watchfire_event::DeadLetter;

use super::disk_file::create_private_dir;
use super::error::LogError;
use crate::backup::SourceFile;
use crate::vault::{SmallSeal, Vault};

/// The store is split into so many files.
const FILES: u64 = 8;
/// Longest part of one letter that is kept, in bytes.
const LETTER_BYTES: usize = 64 << 10;
/// A letter read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredLetter {
    /// Names the letter as long as it is kept.
    pub id: String,
    /// When it was received, nanoseconds since the epoch.
    pub received_ns: i64,
    /// Name of the token that shipped it.
    pub source: String,
    /// Line number in the request, 0 for the body as a whole.
    pub line: u32,
    /// The code of the refusal.
    pub code: String,
    /// The bytes as received, cut to 64 KiB.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// Letters as they lie in the files.
#[derive(Serialize, Deserialize)]
struct Line {
    received_ns: i64,
    source: String,
    line: u32,
    code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// The store. All methods block on the disk; share it by `Arc`.
pub struct DeadLetters {
    dir: PathBuf,
    file_bytes: u64,
    seal: Option<SmallSeal>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    active: File,
    /// Number and length of each file, oldest first; the last one is appended to.
    files: VecDeque<(u64, u64)>,
}

impl DeadLetters {
    /// Opens or creates the store in `dir` for at most about `limit_bytes` of files.
    ///
    /// # Errors
    /// [`LogError::Io`] when the folder or its newest file cannot be used.
    pub fn open(dir: &Path, limit_bytes: u64, vault: &Vault) -> Result<DeadLetters, LogError> {
        let seal = vault.small("watchfire dead letters", b"");
        let seal = seal.map_err(LogError::io("make a key for", dir))?;
        create_private_dir(dir).map_err(LogError::io("create", dir))?;
        let mut files = list_files(dir).map_err(LogError::io("list", dir))?;
        if files.is_empty() {
            files.push_back((1, 0));
        }
        let (number, len) = files.back().copied().unwrap_or((1, 0));
        let path = file_path(dir, number);
        let mut active = open_active(&path).map_err(LogError::io("open", &path))?;
        let ended = end_torn_line(&mut active, len).map_err(LogError::io("repair", &path))?;
        if let Some(last) = files.back_mut() {
            last.1 = ended;
        }
        let file_bytes = (limit_bytes / FILES).max(1);
        let state = Mutex::new(State { active, files });
        Ok(DeadLetters {
            dir: dir.to_owned(),
            file_bytes,
            seal,
            state,
        })
    }

    /// Keeps `letters`, all or none, and deletes the oldest files if there are too many bytes.
    ///
    /// # Errors
    /// [`LogError::Io`]; the letters are then not kept.
    pub fn append(&self, letters: &[DeadLetter]) -> Result<(), LogError> {
        let mut buffer = Vec::new();
        for letter in letters {
            encode(letter, self.seal.as_ref(), &mut buffer)
                .map_err(LogError::io("encode a letter for", &self.dir))?;
        }
        let mut state = self.lock();
        let (number, len) = state.newest();
        let path = file_path(&self.dir, number);
        if let Err(error) = state.active.write_all(&buffer) {
            // Half a line must not swallow the next one; if this fails too, listing skips it.
            let _ = state.active.set_len(len);
            return Err(LogError::io("append to", &path)(error));
        }
        if let Some(newest) = state.files.back_mut() {
            newest.1 += buffer.len() as u64;
        }
        metrics::counter!("watchfire_dead_letters_total").increment(letters.len() as u64);
        if state.newest().1 >= self.file_bytes {
            self.rotate(&mut state)?;
        }
        Ok(())
    }

    /// Up to `limit` letters, newest first, that are older than the letter named `before`.
    ///
    /// # Errors
    /// [`LogError::Io`] when a file cannot be read.
    pub fn list(&self, before: Option<&str>, limit: usize) -> Result<Vec<StoredLetter>, LogError> {
        let files = self.lock().files.clone();
        let before = before.and_then(parse_id).unwrap_or((u64::MAX, u64::MAX));
        let mut letters = Vec::new();
        for (number, len) in files
            .into_iter()
            .rev()
            .filter(|(number, _)| *number <= before.0)
        {
            let path = file_path(&self.dir, number);
            match read_file(&path, number, len, self.seal.as_ref()) {
                Ok(found) => {
                    let older = found
                        .into_iter()
                        .rev()
                        .filter(|(at, _)| (number, *at) < before);
                    letters.extend(older.map(|(_, letter)| letter).take(limit - letters.len()));
                }
                // Deleted meanwhile to make room.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(LogError::io("read", &path)(error)),
            }
            if letters.len() >= limit {
                break;
            }
        }
        Ok(letters)
    }

    /// The letter named `id`; `None` when it is no longer (or was never) kept.
    ///
    /// # Errors
    /// [`LogError::Io`] when its file cannot be read.
    pub fn read(&self, id: &str) -> Result<Option<StoredLetter>, LogError> {
        let Some((number, at)) = parse_id(id) else {
            return Ok(None);
        };
        let path = file_path(&self.dir, number);
        match read_line(&path, at) {
            Ok(line) => Ok(decode(&line, (number, at), self.seal.as_ref())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LogError::io("read", &path)(error)),
        }
    }

    /// The files with so many bytes as hold whole letters, oldest first.
    pub(crate) fn files(&self) -> Vec<SourceFile> {
        let state = self.lock();
        let newest = state.newest().0;
        let file = |(number, bytes): &(u64, u64)| SourceFile {
            path: file_path(&self.dir, *number),
            bytes: *bytes,
            grows: *number == newest,
        };
        state.files.iter().map(file).collect()
    }

    /// Removes the letters of which `gone` says so, durably. Returns how many. Ids of letters
    /// that stay in a file with removed ones change. A line that cannot be read is handed over as
    /// it lies there, received before everything.
    ///
    /// # Errors
    /// [`LogError::Io`]; files before the one that failed are done.
    pub fn erase(&self, gone: impl Fn(&StoredLetter) -> bool) -> Result<u64, LogError> {
        let mut state = self.lock();
        let numbers: Vec<u64> = state.files.iter().map(|(number, _)| *number).collect();
        let mut removed = 0;
        for number in numbers {
            let path = file_path(&self.dir, number);
            let bytes = std::fs::read(&path).map_err(LogError::io("read", &path))?;
            let mut kept = Vec::with_capacity(bytes.len());
            let mut here = 0;
            for line in bytes.split_inclusive(|b| *b == b'\n') {
                let letter = decode(line, (number, 0), self.seal.as_ref());
                if gone(&letter.unwrap_or_else(|| unreadable(line))) {
                    here += 1;
                } else {
                    kept.extend_from_slice(line);
                }
            }
            if here == 0 {
                continue;
            }
            replace_file(&self.dir, &path, &kept).map_err(LogError::io("rewrite", &path))?;
            removed += here;
            let is_active = number == state.newest().0;
            if is_active {
                state.active = open_active(&path).map_err(LogError::io("open", &path))?;
            }
            if let Some(file) = state.files.iter_mut().find(|(n, _)| *n == number) {
                file.1 = kept.len() as u64;
            }
        }
        Ok(removed)
    }

    /// Size of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.lock().files.iter().map(|(_, len)| len).sum()
    }

    fn rotate(&self, state: &mut State) -> Result<(), LogError> {
        let number = state.newest().0 + 1;
        let path = file_path(&self.dir, number);
        // What cannot be synced may be lost with the power; the letters are kept all the same.
        let _ = state.active.sync_data();
        state.active = open_active(&path).map_err(LogError::io("create", &path))?;
        state.files.push_back((number, 0));
        let mut bytes: u64 = state.files.iter().map(|(_, len)| len).sum();
        while bytes > self.file_bytes * (FILES - 1) && state.files.len() > 1 {
            let Some((oldest, len)) = state.files.pop_front() else {
                break;
            };
            let path = file_path(&self.dir, oldest);
            std::fs::remove_file(&path).map_err(LogError::io("delete", &path))?;
            bytes -= len;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn newest(&self) -> (u64, u64) {
        self.files.back().copied().unwrap_or((1, 0))
    }
}

fn encode(letter: &DeadLetter, seal: Option<&SmallSeal>, out: &mut Vec<u8>) -> io::Result<()> {
    let bytes = &letter.bytes[..letter.bytes.len().min(LETTER_BYTES)];
    let text = str::from_utf8(bytes).ok().map(str::to_owned);
    let base64 = text.is_none().then(|| BASE64.encode(bytes));
    let line = Line {
        received_ns: letter.received_ns,
        source: letter.source.to_string(),
        line: letter.line,
        code: letter.code.to_owned(),
        text,
        base64,
    };
    match seal {
        Some(seal) => {
            let sealed = seal.seal(&serde_json::to_vec(&line)?, b"")?;
            out.extend_from_slice(BASE64.encode(sealed).as_bytes());
        }
        None => serde_json::to_writer(&mut *out, &line)?,
    }
    out.push(b'\n');
    Ok(())
}

fn decode(line: &[u8], (number, at): (u64, u64), seal: Option<&SmallSeal>) -> Option<StoredLetter> {
    let line: Line = match seal {
        Some(seal) => {
            let sealed = BASE64.decode(line.trim_ascii_end()).ok()?;
            serde_json::from_slice(&seal.open(&sealed, b"")?).ok()?
        }
        None => serde_json::from_slice(line).ok()?,
    };
    let bytes = match (line.text, line.base64) {
        (Some(text), _) => text.into_bytes(),
        (None, Some(base64)) => BASE64.decode(base64).ok()?,
        (None, None) => return None,
    };
    Some(StoredLetter {
        id: format!("{number}-{at}"),
        received_ns: line.received_ns,
        source: line.source,
        line: line.line,
        code: line.code,
        bytes,
    })
}

/// A line that is no letter, such as half of one after a crash.
fn unreadable(line: &[u8]) -> StoredLetter {
    StoredLetter {
        id: String::new(),
        received_ns: i64::MIN,
        source: String::new(),
        line: 0,
        code: String::new(),
        bytes: line.to_vec(),
    }
}

/// Puts a file with this content in the place of `path`; a crash leaves the one or the other.
fn replace_file(dir: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(dir)?.sync_all()
}

fn parse_id(id: &str) -> Option<(u64, u64)> {
    let (number, at) = id.split_once('-')?;
    Some((number.parse().ok()?, at.parse().ok()?))
}

fn file_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.ndjson"))
}

fn list_files(dir: &Path) -> io::Result<VecDeque<(u64, u64)>> {
    let mut files = Vec::new();
    for item in std::fs::read_dir(dir)? {
        let item = item?;
        let name = item.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_suffix(".ndjson")?.parse().ok());
        if let Some(number) = number {
            files.push((number, item.metadata()?.len()));
        }
    }
    files.sort_unstable();
    Ok(files.into())
}

fn open_active(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

/// After a crash the last line may have no end; gives it one. Returns the length of the file.
fn end_torn_line(file: &mut File, len: u64) -> io::Result<u64> {
    let mut last = [b'\n'];
    if len > 0 {
        file.read_exact_at(&mut last, len - 1)?;
    }
    if last == [b'\n'] {
        return Ok(len);
    }
    file.write_all(b"\n")?;
    Ok(len + 1)
}

/// All letters in the first `len` bytes of a file with their offsets; what is none is skipped.
fn read_file(
    path: &Path,
    number: u64,
    len: u64,
    seal: Option<&SmallSeal>,
) -> io::Result<Vec<(u64, StoredLetter)>> {
    let mut reader = BufReader::new(io::Read::take(File::open(path)?, len));
    let (mut letters, mut line, mut at) = (Vec::new(), Vec::new(), 0);
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(letters);
        }
        letters.extend(decode(&line, (number, at), seal).map(|letter| (at, letter)));
        at += read as u64;
    }
}

fn read_line(path: &Path, at: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let mut line = Vec::new();
    BufReader::new(file).read_until(b'\n', &mut line)?;
    Ok(line)
}

#[cfg(test)]
mod tests;
