//! Reading records back while others append.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, PoisonError};

use watchfire_event::Record;

use super::damage::{Damage, DamageKind};
use super::disk_file::Disk;
use super::error::LogError;
use super::frame;
use super::index::Index;
use super::scan::{Scan, Step};
use crate::vault::{SmallSeal, Vault};

/// One read returns at most about so many bytes of lines, however many rows were asked for.
const READ_BYTES: usize = 64 << 20;

/// Damage that readers met is told once; at most so many places are remembered.
const PLACES_REMEMBERED: usize = 10_000;

/// Records with rows after `after_seq`; see [`super::Log::read_from`].
pub(super) fn read_from(
    (disk, vault): (&dyn Disk, &Vault),
    index: &Mutex<Index>,
    known: &KnownDamage,
    after_seq: u64,
    max_rows: usize,
) -> Result<Vec<(u64, Record)>, LogError> {
    let mut taken = Taken {
        records: Vec::new(),
        rows: 0,
        bytes: 0,
        max_rows,
    };
    let mut want = after_seq.saturating_add(1);
    while !taken.is_full() {
        let located = index
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .locate(want);
        let Some((path, span, next_seq)) = located else {
            break;
        };
        let seal = frame::seal_of(vault, span.file_id).map_err(LogError::io("decrypt", &path))?;
        match disk.reader(&path).and_then(|file| Scan::new(file, span)) {
            Ok(scan) => take_from(scan, want, seal.as_ref(), known, &mut taken)
                .map_err(LogError::io("read", &path))?,
            // Trimmed since we looked, so its rows are no longer wanted; or gone, which the next
            // recovery reports as missing rows.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(LogError::io("open", &path)(error)),
        }
        want = want.max(next_seq);
    }
    Ok(taken.records)
}

struct Taken {
    records: Vec<(u64, Record)>,
    rows: usize,
    bytes: usize,
    max_rows: usize,
}

impl Taken {
    fn is_full(&self) -> bool {
        self.rows >= self.max_rows || self.bytes >= READ_BYTES
    }
}

fn take_from(
    mut scan: Scan,
    want: u64,
    seal: Option<&SmallSeal>,
    known: &KnownDamage,
    taken: &mut Taken,
) -> io::Result<()> {
    while !taken.is_full() {
        match scan.next()? {
            None => break,
            Some(Step::Damage(damage)) => known.meet(damage),
            Some(Step::Frame { header, .. }) if header.next_seq() <= want => {}
            Some(Step::Frame {
                offset,
                header,
                payload,
            }) => match frame::decode(&header, payload, seal) {
                Some(record) => {
                    taken.rows += record.rows as usize;
                    taken.bytes += record.lines.len();
                    taken.records.push((header.first_seq, record));
                }
                None => {
                    let (bytes, kind) = (header.frame_bytes(), DamageKind::Undecodable);
                    known.meet(scan.damage(offset, bytes, kind, Some(header.seqs())));
                }
            },
        }
    }
    Ok(())
}

/// Places known to be damaged, so that each is reported once.
#[derive(Debug, Default)]
pub(super) struct KnownDamage {
    places: Mutex<BTreeSet<(String, u64)>>,
}

impl KnownDamage {
    /// Takes note of damage that recovery has already reported.
    pub(super) fn remember(&self, damage: &Damage) -> bool {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.len() < PLACES_REMEMBERED && places.insert((damage.file.clone(), damage.offset))
    }

    /// Damage found while reading: counted and logged the first time.
    fn meet(&self, damage: Damage) {
        if self.remember(&damage) {
            let rows = damage.rows.map_or(0, |rows| rows.rows());
            metrics::counter!("watchfire_log_damaged_total").increment(1);
            metrics::counter!("watchfire_log_lost_rows_total").increment(rows);
            tracing::error!(
                file = damage.file,
                offset = damage.offset,
                bytes = damage.bytes,
                kind = ?damage.kind,
                rows = ?damage.rows,
                "the log is damaged; the bytes are skipped"
            );
        }
    }
}
