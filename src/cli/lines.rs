//! Lines of files, read in order and made into batches by whoever takes them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Error, Result};
use watchfire_event::{BatchBuilder, EventBatch, RowMeta};
use watchfire_ingest::Mappings;

/// Lines and bytes that are made into batches at a time.
const BATCH_LINES: usize = 8_192;
const BATCH_BYTES: usize = 1 << 20;
/// A batch with so many columns takes no more lines.
const WIDE: usize = 800;
/// Lines longer than this are refused without being read whole, bytes.
const MAX_LINE: u64 = (1 << 20) + 2;
/// Read from a file at a time, bytes.
const READ_BYTES: usize = 1 << 20;

/// Reads files line by line and gives out as many lines as make a batch, with a number that rises
/// by one.
pub(super) struct LineReader {
    files: std::vec::IntoIter<PathBuf>,
    current: Option<Box<dyn BufRead + Send>>,
    next: u64,
    ended: bool,
}

/// Something with the number of its lines.
pub(super) type Numbered<T> = (u64, T);

/// Lines that make a batch.
#[derive(Debug, Default)]
pub(super) struct Lines {
    text: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

/// Seconds and counts of making batches.
#[derive(Debug, Default)]
pub(super) struct Decoding {
    pub(super) decode_seconds: f64,
    pub(super) columns_seconds: f64,
    pub(super) rejected: u64,
}

impl Decoding {
    /// Adds those of another batch.
    pub(super) fn add(&mut self, other: &Decoding) {
        self.decode_seconds += other.decode_seconds;
        self.columns_seconds += other.columns_seconds;
        self.rejected += other.rejected;
    }
}

impl LineReader {
    /// A reader of these files; `-` is standard input.
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        LineReader {
            files: files.into_iter(),
            current: None,
            next: 0,
            ended: false,
        }
    }

    /// The next lines with their number; `None` after the last, and after an error.
    ///
    /// # Errors
    /// When a file cannot be read, with the number that the lines would have had.
    pub(super) fn take(&mut self) -> Result<Option<Numbered<Lines>>, Numbered<Error>> {
        if self.ended {
            return Ok(None);
        }
        let number = self.next;
        let lines = self.read().map_err(|error| {
            self.ended = true;
            (number, error)
        })?;
        self.ended = lines.ends.is_empty();
        self.next += 1;
        Ok((!self.ended).then_some((number, lines)))
    }

    fn read(&mut self) -> Result<Lines> {
        let mut lines = Lines::default();
        let Lines { text, ends } = &mut lines;
        while ends.len() < BATCH_LINES && text.len() < BATCH_BYTES {
            let Some(current) = &mut self.current else {
                let Some(path) = self.files.next() else {
                    break;
                };
                self.current = Some(open(&path)?);
                continue;
            };
            let start = text.len();
            current.take(MAX_LINE).read_until(b'\n', text)?;
            if text.len() == start {
                self.current = None;
                continue;
            }
            if (text.len() - start) as u64 == MAX_LINE && text.last() != Some(&b'\n') {
                skip_line(current)?;
            }
            ends.push(text.len());
        }
        Ok(lines)
    }
}

fn open(path: &Path) -> Result<Box<dyn BufRead + Send>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Box::new(BufReader::with_capacity(READ_BYTES, file)))
}

/// Makes batches of lines; those that are not events are counted. Lines with many different
/// fields make several batches, so that each field has a column. The builder is empty before and
/// after.
pub(super) fn decode(
    lines: &Lines,
    builder: &mut BatchBuilder,
    meta: &RowMeta,
    mappings: &Mappings,
) -> (Vec<EventBatch>, Decoding) {
    let mut decoding = Decoding::default();
    let mut batches = Vec::new();
    let mut start = 0;
    let mut lines = lines.ends.iter().map(|end| {
        let line = lines.text.get(start..*end).unwrap_or_default();
        start = *end;
        line.trim_ascii()
    });
    let mut ended = false;
    while !ended {
        let started = Instant::now();
        while builder.columns() < WIDE {
            let Some(line) = lines.next() else {
                ended = true;
                break;
            };
            if !line.is_empty() && builder.push(line, meta).is_err() {
                decoding.rejected += 1;
            }
        }
        let filled = builder.rows() > 0;
        let batch = builder.take();
        let made = Instant::now();
        decoding.decode_seconds += (made - started).as_secs_f64();
        if filled {
            batches.push(watchfire_ingest::normalize(batch, mappings));
        }
        decoding.columns_seconds += made.elapsed().as_secs_f64();
    }
    (batches, decoding)
}

/// Passes over the rest of a line.
fn skip_line(reader: &mut Box<dyn BufRead + Send>) -> std::io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|b| *b == b'\n');
        let used = end.map_or(buffer.len(), |i| i + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(());
        }
    }
}

/// What all events of files that are read now have in common.
pub(super) fn read_now() -> RowMeta {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    RowMeta {
        received_ns: i64::try_from(now.unwrap_or_default().as_nanos()).unwrap_or(i64::MAX),
        source: "file".into(),
    }
}
