//! Random appends, torn tails, trims and reopenings against a plain vector.

use std::path::Path;

use proptest::prelude::*;
use watchfire_event::Record;
use watchfire_store::log::{Log, LogConfig};

use crate::{
    files, len, open, overwrite, plain_and_encrypted, read_all, record, scratch, small_files,
    writable,
};

#[derive(Debug, Clone)]
enum Op {
    /// Append records of so many rows each.
    Append(Vec<u32>),
    Reopen,
    /// Cut so many bytes off the last file, as if they had not reached the disk.
    Tear(u64),
    /// Put these bytes after the last frame, as a torn write leaves them.
    Junk(Vec<u8>),
    /// Trim up to this share of the sequence numbers, in percent.
    Trim(u64),
    /// Read after this share, so many rows.
    Read(u64, usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => prop::collection::vec(0_u32..4, 0..5).prop_map(Op::Append),
        2 => Just(Op::Reopen),
        2 => (1_u64..600).prop_map(Op::Tear),
        1 => prop::collection::vec(any::<u8>(), 1..200).prop_map(Op::Junk),
        1 => (0_u64..=100).prop_map(Op::Trim),
        2 => (0_u64..=100, 1_usize..20).prop_map(|(share, rows)| Op::Read(share, rows)),
    ]
}

/// What the log should hold.
#[derive(Default)]
struct Model {
    /// Sequence number and record, of those not trimmed for sure.
    records: Vec<(u64, Record)>,
    next_seq: u64,
    /// Up to here trimming was allowed.
    trimmed: u64,
    made: u64,
}

impl Model {
    fn append(&mut self, log: &Log, rows: &[u32]) {
        let start = self.made;
        let records: Vec<_> = rows
            .iter()
            .zip(start..)
            .map(|(rows, n)| record(n, *rows, 20))
            .collect();
        self.made += records.len() as u64;
        assert_eq!(log.append(&records).unwrap(), self.next_seq);
        for record in records.into_iter().filter(|record| record.rows > 0) {
            let first = self.next_seq;
            self.next_seq += u64::from(record.rows);
            self.records.push((first, record));
        }
        assert_eq!(log.head(), self.next_seq - 1);
    }

    /// The log lost its tail; what is left must be a prefix.
    fn adopt(&mut self, log: &Log) {
        let kept = log.head() + 1;
        assert!(kept <= self.next_seq);
        self.records
            .retain(|(first, record)| first + u64::from(record.rows) <= kept);
        let end = self
            .records
            .last()
            .map(|(first, record)| first + u64::from(record.rows));
        assert!(end.is_none_or(|end| end == kept), "a record was cut in two");
        self.next_seq = kept;
        self.trimmed = self.trimmed.min(kept - 1);
    }

    fn check(&self, log: &Log) {
        let found = read_all(log);
        let gone = self.records.len() - found.len().min(self.records.len());
        assert!(
            found == self.records[gone..],
            "what is kept is a suffix: {:?}",
            seqs(&found)
        );
        let must_stay =
            |(first, record): &&(u64, Record)| first + u64::from(record.rows) - 1 > self.trimmed;
        assert!(
            self.records[..gone].iter().all(|r| !must_stay(&r)),
            "trimmed too much"
        );
        assert_eq!(log.head() + 1, self.next_seq);
    }
}

fn seqs(records: &[(u64, Record)]) -> Vec<u64> {
    records.iter().map(|(first, _)| *first).collect()
}

fn run(dir: &Path, config: LogConfig, ops: Vec<Op>) {
    let (mut log, _) = open(dir, config);
    let mut model = Model {
        next_seq: 1,
        ..Model::default()
    };
    for op in ops {
        match op {
            Op::Append(rows) => model.append(&log, &rows),
            Op::Trim(share) => {
                model.trimmed = model.trimmed.max(log.head() * share / 100);
                log.trim(model.trimmed).unwrap();
            }
            Op::Read(share, rows) => {
                let after = log.head() * share / 100;
                let found = log.read_from(after, rows).unwrap();
                let expected = |(first, record): &&(u64, Record)| {
                    first + u64::from(record.rows) - 1 > after && *first >= log.first_seq()
                };
                let expected: Vec<_> = model.records.iter().filter(expected).cloned().collect();
                assert!(found == expected[..found.len()], "{:?}", seqs(&found));
                assert_eq!(found.is_empty(), expected.is_empty());
            }
            Op::Reopen | Op::Tear(_) | Op::Junk(_) => {
                drop(log);
                let path = files(dir).pop().unwrap();
                let (before, mut torn) = (len(&path), 0);
                if let Op::Tear(bytes) = op {
                    torn = bytes.min(before);
                    writable(&path).set_len(before - torn).unwrap();
                }
                let mut junk = 0;
                if let Op::Junk(bytes) = op {
                    junk = bytes.len() as u64;
                    overwrite(&path, before, &bytes);
                }
                let (reopened, recovered) = open(dir, config);
                log = reopened;
                assert_eq!(recovered.damaged, 0, "{recovered:?}");
                assert_eq!(recovered.missing_rows, 0, "{recovered:?}");
                let cut = recovered.cut.map_or(0, |cut| cut.bytes);
                if torn == 0 {
                    assert_eq!((cut, log.head() + 1), (junk, model.next_seq));
                } else {
                    model.adopt(&log);
                }
            }
        }
        model.check(&log);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_a_vector_that_survives(
        ops in prop::collection::vec(op(), 1..40),
        file_bytes in prop_oneof![Just(1_u64), 200_u64..2_000, Just(1 << 20)],
    ) {
        plain_and_encrypted(|| {
            let dir = scratch();
            run(&dir.path().join("log"), small_files(file_bytes), ops.clone());
        });
    }
}
