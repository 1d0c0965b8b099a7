//! Readers beside a writer, trimming, limits, modes and the lock.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use watchfire_event::Record;
use watchfire_store::log::{
    LockFile, Log, LogConfig, LogError, MAX_SOURCE_BYTES, Receipt, ReceiptCheck, verify,
};
use watchfire_store::vault::Vault;

use crate::{files, flip, open, read_all, record, small_files};

#[test]
fn readers_see_every_record_once_and_in_order_while_it_grows() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), small_files(4_000));
    const RECORDS: u64 = 400;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let (mut after, mut n) = (0, 0);
                while n < RECORDS {
                    for (first, found) in log.read_from(after, 7).unwrap() {
                        assert_eq!((first, &found), (after + 1, &record(n, found.rows, 30)));
                        after += u64::from(found.rows);
                        n += 1;
                    }
                }
            });
        }
        for n in (0..RECORDS).step_by(2) {
            log.append(&[record(n, 1, 30), record(n + 1, 2, 30)])
                .unwrap();
        }
    });
    assert_eq!(log.stalled_for(), std::time::Duration::ZERO);
    assert!(log.failure().is_none());
}

#[test]
fn trimming_deletes_whole_passed_files_and_keeps_the_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), small_files(2_000));
    for n in 0..100 {
        log.append(&[record(n, 1, 40)]).unwrap();
    }
    let all = log.files();
    assert!(all > 3);
    assert_eq!(log.trim(0).unwrap(), 0);
    log.trim(50).unwrap();
    assert!(log.first_seq() > 1 && log.first_seq() <= 51);
    assert_eq!(log.read_from(50, 1).unwrap()[0].0, 51);
    assert_eq!(files(dir.path()).len(), log.files());
    // The active file is small: it stays, and with it the head.
    log.trim(u64::MAX).unwrap();
    assert_eq!((log.files(), log.head()), (1, 100));
    drop(log);
    let (log, recovered) = open(dir.path(), small_files(2_000));
    assert!(recovered.is_clean());
    assert_eq!(log.append(&[record(1, 1, 1)]).unwrap(), 101);
}

#[test]
fn a_large_active_file_is_given_up_once_passed() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), LogConfig::default());
    // Digests do not compress.
    let keys = (0..100_000_u128).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    let big = Record {
        keys: keys.collect(),
        ..record(7, 3, 40)
    };
    log.append(std::slice::from_ref(&big)).unwrap();
    assert_eq!(read_all(&log), [(1, big)]);
    assert_eq!(log.trim(2).unwrap(), 0);
    assert_eq!(log.trim(3).unwrap(), 1);
    assert_eq!((log.files(), log.head(), log.bytes()), (1, 3, 32));
    drop(log);
    let (log, recovered) = open(dir.path(), LogConfig::default());
    assert!(recovered.is_clean());
    assert_eq!((log.head(), log.first_seq()), (3, 4));
}

#[test]
fn a_record_over_a_limit_is_refused_and_the_rest_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), LogConfig::default());
    let source = Arc::from("x".repeat(MAX_SOURCE_BYTES + 1));
    let too_long = Record {
        source,
        ..record(1, 1, 1)
    };
    let error = log.append(&[record(0, 1, 1), too_long]).unwrap_err();
    assert!(matches!(error, LogError::TooLarge { .. }), "{error}");
    assert_eq!((log.head(), log.append(&[]).unwrap()), (0, 1));
    assert_eq!(log.append(&[record(0, 0, 0), record(2, 2, 9)]).unwrap(), 1);
    assert_eq!(read_all(&log), [(1, record(2, 2, 9))]);
    assert!(verify(dir.path(), &Vault::PLAIN, &[]).unwrap().0.ok);
}

#[test]
fn only_the_owner_may_read_and_only_one_process_may_open() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("data/log");
    let (log, _) = open(&folder, LogConfig::default());
    log.append(&[record(0, 1, 1)]).unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&files(&folder)[0])), (0o700, 0o600));

    let path = dir.path().join("lock");
    let held = LockFile::acquire(&path).unwrap();
    let refused = LockFile::acquire(&path).unwrap_err();
    assert!(matches!(refused, LogError::Locked { .. }) && refused.code() == "locked");
    drop(held);
    LockFile::acquire(&path).unwrap();
    assert!(
        Log::open(&path, LogConfig::default(), &Vault::PLAIN).is_err(),
        "a file is no folder"
    );
}

#[test]
fn receipts_are_checked_against_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), small_files(400));
    let mut receipts = Vec::new();
    for n in 0..20 {
        let record = record(n, 2, 30);
        let receipt = Receipt::of(log.append(std::slice::from_ref(&record)).unwrap(), &record);
        assert_eq!(receipt.to_string().parse(), Ok(receipt));
        receipts.push(receipt);
    }
    log.trim(10).unwrap();
    let first_kept = log.first_seq();
    drop(log);
    flip(&files(dir.path())[1], 100, 4);
    let lost = verify(dir.path(), &Vault::PLAIN, &[]).unwrap().0.missing[0];
    let others = [
        (3, record(1, 2, 31)),
        (20, record(9, 1, 30)),
        (41, record(20, 2, 30)),
    ];
    receipts.extend(others.iter().map(|(seq, record)| Receipt::of(*seq, record)));
    receipts.push(Receipt::of(35, &record(18, 2, 30)));
    let (report, checks) = verify(dir.path(), &Vault::PLAIN, &receipts).unwrap();
    assert!(!report.ok);
    for (receipt, check) in receipts[..20].iter().zip(&checks) {
        let expected = match receipt.rows {
            rows if rows.last < first_kept => ReceiptCheck::PassedOn,
            rows if rows.first >= lost.first && rows.last <= lost.last => ReceiptCheck::Missing,
            _ => ReceiptCheck::Kept,
        };
        assert_eq!(*check, expected, "{receipt}");
    }
    use ReceiptCheck::{Altered, Missing, PassedOn};
    assert_eq!(checks[20..], [PassedOn, Altered, Missing, Altered]);
    for bad in [
        "",
        "1-2",
        "2-1-00000000000000000000000000000000",
        "1-2-zz",
        "1-2-00",
    ] {
        assert!(bad.parse::<Receipt>().is_err(), "{bad}");
    }
}
