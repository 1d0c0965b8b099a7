//! A disk that loses power: what was not synced is gone, in parts or altogether, sector by sector
//! and name by name, as chance will have it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use watchfire_event::Record;

use super::super::disk_file::{Disk, LogFile, OsDisk, ReadAt};
use super::super::{Log, LogConfig, LogError};
use super::{record, scratch};
use crate::vault::{MasterKey, Vault};

/// Written together or not at all.
const SECTOR_BYTES: usize = 64;

/// A small generator (xorshift64), so that a failing seed fails again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// What is on the platters for sure.
#[derive(Default)]
struct Platter {
    /// Contents of each file when it was last synced.
    contents: BTreeMap<PathBuf, Vec<u8>>,
    /// Names when the folder was last synced.
    names: BTreeSet<PathBuf>,
    /// Power fails at this sync, counted down.
    syncs_left: Option<u64>,
}

impl Platter {
    fn sync(&mut self) -> io::Result<()> {
        match &mut self.syncs_left {
            Some(0) => return Err(io::Error::other("no power")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
    }

    /// Leaves in `dir` what may be left there.
    fn lose_power(&self, dir: &Path, chance: &mut Chance) {
        let now: BTreeSet<PathBuf> = names(dir);
        for path in now.union(&self.names) {
            let kept = now.contains(path) && self.names.contains(path);
            let nothing = Vec::new();
            let old = self.contents.get(path).unwrap_or(&nothing);
            let new = std::fs::read(path).unwrap_or_else(|_| old.clone());
            if kept || chance.coin() {
                std::fs::write(path, blend(old, &new, chance)).unwrap();
            } else if now.contains(path) {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
}

fn blend(old: &[u8], new: &[u8], chance: &mut Chance) -> Vec<u8> {
    let (short, long) = (old.len().min(new.len()), old.len().max(new.len()));
    let len = short + chance.below((long - short) as u64 + 1) as usize;
    let mut blend = vec![0; len];
    for at in (0..len).step_by(SECTOR_BYTES) {
        let end = len.min(at + SECTOR_BYTES);
        let from = if chance.coin() { old } else { new };
        let there = from.get(at..end.min(from.len())).unwrap_or(&[]);
        blend[at..at + there.len()].copy_from_slice(there);
    }
    // Bytes that are the same in both were never at risk.
    let same = old
        .iter()
        .zip(new)
        .take_while(|(old, new)| old == new)
        .count()
        .min(len);
    blend[..same].copy_from_slice(&new[..same]);
    blend
}

fn names(dir: &Path) -> BTreeSet<PathBuf> {
    let items = std::fs::read_dir(dir).into_iter().flatten();
    items.map(|item| item.unwrap().path()).collect()
}

#[derive(Clone, Default)]
struct PowerDisk(Arc<Mutex<Platter>>);

struct PowerFile(PowerDisk, PathBuf, Box<dyn LogFile>);

impl Disk for PowerDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let file = OsDisk.create(path)?;
        Ok(Box::new(PowerFile(self.clone(), path.to_owned(), file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let file = OsDisk.open(path)?;
        Ok(Box::new(PowerFile(self.clone(), path.to_owned(), file)))
    }

    fn reader(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        OsDisk.reader(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        platter.sync()?;
        platter.names = names(dir);
        Ok(())
    }
}

impl LogFile for PowerFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.2.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        // Undoing after the power went is too late.
        match self.0.0.lock().unwrap().syncs_left {
            Some(0) => Err(io::Error::other("no power")),
            _ => self.2.set_len(len),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.0.0.lock().unwrap();
        platter.sync()?;
        platter
            .contents
            .insert(self.1.clone(), std::fs::read(&self.1)?);
        Ok(())
    }
}

/// The log and what it told us, over several lives.
struct Life {
    disk: PowerDisk,
    vault: Vault,
    acknowledged: BTreeMap<u64, Record>,
    /// Written when the power failed: may be there or not.
    in_flight: Vec<Record>,
    trimmed: u64,
    made: u64,
}

const CONFIG: LogConfig = LogConfig {
    file_bytes: 700,
    floor_seq: 0,
};

impl Life {
    /// Works until the power fails or `steps` are done.
    fn live(&mut self, dir: &Path, steps: u64, chance: &mut Chance) -> Result<(), LogError> {
        let (log, recovered) = Log::open_on(dir, CONFIG, &self.vault, Arc::new(self.disk.clone()))?;
        // An append torn in its midst leaves a hole before its later frames. It is told as missing
        // rows: nobody can know any more that nobody was told they were safe.
        for gap in recovered.missing {
            assert_eq!(self.acknowledged.range(gap.first..=gap.last).next(), None);
        }
        self.take_stock(&log);
        for _ in 0..steps {
            if chance.below(8) == 0 {
                let up_to = log.head() * chance.below(100) / 100;
                self.trimmed = self.trimmed.max(up_to);
                log.trim(up_to)?;
                continue;
            }
            let records: Vec<Record> = (0..=chance.below(3))
                .map(|i| record(self.made + i))
                .collect();
            self.made += records.len() as u64;
            self.in_flight = records.clone();
            let mut seq = log.append(&records)?;
            self.in_flight.clear();
            for record in records {
                let rows = u64::from(record.rows);
                self.acknowledged.insert(seq, record);
                seq += rows;
            }
        }
        Ok(())
    }

    /// All that was acknowledged is there, and nothing else but what was in flight.
    fn take_stock(&mut self, log: &Log) {
        let found: BTreeMap<u64, Record> =
            log.read_from(0, usize::MAX).unwrap().into_iter().collect();
        let due = self.acknowledged.range(self.trimmed + 1..);
        for (seq, record) in due {
            assert_eq!(found.get(seq), Some(record), "row {seq} was acknowledged");
        }
        for (seq, record) in found {
            let known = self.acknowledged.get(&seq) == Some(&record);
            assert!(
                known || self.in_flight.contains(&record),
                "row {seq} came from nowhere"
            );
            self.acknowledged.insert(seq, record);
        }
        self.in_flight.clear();
    }
}

#[test]
fn what_was_acknowledged_survives_any_loss_of_power() {
    lose_power_often(&Vault::PLAIN);
}

#[test]
fn what_was_acknowledged_encrypted_survives_any_loss_of_power() {
    let dir = scratch();
    let key = MasterKey::random().unwrap();
    lose_power_often(&Vault::open_or_create(dir.path(), Some(&key)).unwrap());
}

fn lose_power_often(vault: &Vault) {
    for seed in 1..=300 {
        let mut chance = Chance(seed * 0x9E37_79B9);
        let dir = scratch();
        let mut life = Life {
            disk: PowerDisk::default(),
            vault: vault.clone(),
            acknowledged: BTreeMap::new(),
            in_flight: Vec::new(),
            trimmed: 0,
            made: 0,
        };
        for _ in 0..6 {
            let sudden = chance.coin().then(|| chance.below(20));
            life.disk.0.lock().unwrap().syncs_left = sudden;
            let steps = chance.below(12);
            if let Err(error) = life.live(dir.path(), steps, &mut chance) {
                assert!(sudden.is_some(), "seed {seed}: {error}");
            }
            let mut platter = life.disk.0.lock().unwrap();
            if chance.coin() {
                // Only the process died: what it wrote is still in the page cache.
                continue;
            }
            platter.lose_power(dir.path(), &mut chance);
            platter.names = names(dir.path());
            let read = |path: &PathBuf| (path.clone(), std::fs::read(path).unwrap());
            platter.contents = platter.names.iter().map(read).collect();
        }
    }
}
