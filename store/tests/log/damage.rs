//! Torn tails, flipped bits, stale frames, lost and swapped files: nothing wrong is ever served,
//! and the loss is bounded and told.

use std::path::Path;

use watchfire_event::Record;
use watchfire_store::log::{DamageKind, Log, LogConfig, LogError, Recovered, verify};
use watchfire_store::vault::{MasterKey, Vault};

use crate::{
    copy_dir, files, flip, len, open, overwrite, plain_and_encrypted, read_all, record, scratch,
    small_files, vault, writable,
};

/// One record as it was appended.
struct Frame {
    first: u64,
    record: Record,
    /// Number of the file, oldest is 0, and the bytes in it.
    file: usize,
    start: u64,
    end: u64,
}

/// Fills `dir` with `count` records, each its own append.
fn fill(dir: &Path, config: LogConfig, count: u64, line_bytes: usize) -> Vec<Frame> {
    let (log, _) = open(dir, config);
    let mut frames = Vec::new();
    for n in 0..count {
        let record = record(n, 1 + (n % 3) as u32, line_bytes);
        let first = log.append(std::slice::from_ref(&record)).unwrap();
        let paths = files(dir);
        let file = paths.len() - 1;
        let start = frames
            .last()
            .filter(|frame: &&Frame| frame.file == file)
            .map_or(32, |frame| frame.end);
        frames.push(Frame {
            first,
            record,
            file,
            start,
            end: len(&paths[file]),
        });
    }
    frames
}

/// Opens the log and checks that every record served is one that was appended. Returns the log,
/// what recovery told, and which frames were not served.
fn survivors(dir: &Path, config: LogConfig, frames: &[Frame]) -> (Log, Recovered, Vec<usize>) {
    let (log, recovered) = open(dir, config);
    let served = read_all(&log);
    let mut lost = Vec::new();
    let mut next = served.iter().peekable();
    for (i, frame) in frames.iter().enumerate() {
        match next.peek() {
            Some((first, record)) if *first == frame.first => {
                assert_eq!(record, &frame.record, "a wrong record was served");
                next.next();
            }
            _ => lost.push(i),
        }
    }
    assert!(
        next.next().is_none(),
        "something was served that never was appended"
    );
    (log, recovered, lost)
}

fn rows_of(frames: &[Frame], lost: &[usize]) -> u64 {
    lost.iter().map(|i| u64::from(frames[*i].record.rows)).sum()
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_to_the_last_whole_frame() {
    plain_and_encrypted(|| {
        let dir = scratch();
        let (made, torn) = (dir.path().join("made"), dir.path().join("torn"));
        let config = small_files(1_500);
        let frames = fill(&made, config, 24, 20);
        let last = files(&made).len() - 1;
        assert!(last >= 2, "the test needs several files");
        for keep in 0..=len(&files(&made)[last]) {
            copy_dir(&made, &torn);
            writable(&files(&torn)[last]).set_len(keep).unwrap();
            let whole = |frame: &Frame| frame.file < last || frame.end <= keep;
            let (log, recovered, lost) = survivors(&torn, config, &frames);
            let expected: Vec<_> = (0..frames.len()).filter(|i| !whole(&frames[*i])).collect();
            assert_eq!(lost, expected, "cut at {keep}");
            assert_eq!(
                (recovered.damaged, recovered.missing_rows),
                (0, 0),
                "cut at {keep}"
            );
            let ends = frames
                .iter()
                .filter(|f| f.file == last && f.end <= keep)
                .map(|f| f.end);
            let boundary = ends.max().unwrap_or(if keep < 32 { 0 } else { 32 });
            assert_eq!(
                recovered.cut.map_or(0, |cut| cut.bytes),
                keep - boundary,
                "cut at {keep}"
            );
            // It goes on as if nothing had been.
            let next = log.append(&[record(99, 2, 20)]).unwrap();
            assert_eq!(
                next,
                frames.iter().find(|f| !whole(f)).map_or(next, |f| f.first)
            );
            drop(log);
            let (log, recovered) = open(&torn, config);
            assert!(recovered.is_clean(), "{recovered:?}");
            assert_eq!(read_all(&log).pop(), Some((next, record(99, 2, 20))));
        }
    });
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_costs_at_most_its_frame() {
    plain_and_encrypted(|| {
        let dir = scratch();
        let (made, hit) = (dir.path().join("made"), dir.path().join("hit"));
        let config = small_files(700);
        let frames = fill(&made, config, 12, 12);
        for (number, path) in files(&made).iter().enumerate() {
            for offset in 0..len(path) {
                copy_dir(&made, &hit);
                flip(&files(&hit)[number], offset, 1 << (offset % 8));
                let report = verify(&hit, &vault(), &[]).unwrap().0;
                let (_, recovered, lost) = survivors(&hit, config, &frames);
                let here = format!("file {number}, byte {offset}: {recovered:?}");
                assert!(!report.ok || report.torn_tail_bytes > 0, "{here}");
                assert!(!recovered.is_clean(), "{here}");
                let inside = |f: &Frame| f.file == number && (f.start..f.end).contains(&offset);
                let expected: Vec<_> = (0..frames.len()).filter(|i| inside(&frames[*i])).collect();
                assert_eq!(lost, expected, "{here}");
                let told = recovered.missing_rows + if recovered.cut.is_some() { 1 } else { 0 };
                if expected == [frames.len() - 1] {
                    assert!(
                        recovered.cut.is_some() && recovered.missing_rows == 0,
                        "{here}"
                    );
                } else {
                    assert_eq!(told, rows_of(&frames, &lost), "{here}");
                    assert_eq!(recovered.damaged, 1, "{here}");
                }
            }
        }
    });
}

#[test]
fn a_destroyed_block_costs_the_frames_it_touches() {
    plain_and_encrypted(|| {
        let dir = scratch();
        let (made, hit) = (dir.path().join("made"), dir.path().join("hit"));
        let config = LogConfig::default();
        let frames = fill(&made, config, 300, 200);
        let size = len(&files(&made)[0]);
        assert!(size > 40_000, "{size}");
        let garbage: Vec<u8> = (0..4_096_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        for (block, fill) in [
            (4_096, &[0; 4_096][..]),
            (16_384, &garbage),
            (20_000, &[0xF5; 4_096]),
        ] {
            copy_dir(&made, &hit);
            overwrite(&files(&hit)[0], block, fill);
            let (log, recovered, lost) = survivors(&hit, config, &frames);
            let touched = |f: &Frame| f.start < block + 4_096 && f.end > block;
            let expected: Vec<_> = (0..frames.len()).filter(|i| touched(&frames[*i])).collect();
            assert_eq!(lost, expected);
            assert_eq!(recovered.missing_rows, rows_of(&frames, &lost));
            assert_eq!(recovered.cut, None);
            // The same damage is the same loss the next time.
            drop(log);
            assert_eq!(survivors(&hit, config, &frames).1, recovered);
        }
    });
}

#[test]
fn damage_under_a_running_log_is_not_served_either() {
    plain_and_encrypted(|| {
        let dir = scratch();
        let frames = fill(dir.path(), LogConfig::default(), 10, 50);
        let (log, _) = open(dir.path(), LogConfig::default());
        let path = &files(dir.path())[0];
        flip(path, frames[4].start + 60, 1);
        let seqs: Vec<_> = read_all(&log).into_iter().map(|(first, _)| first).collect();
        let expected: Vec<_> = frames
            .iter()
            .map(|f| f.first)
            .filter(|f| *f != frames[4].first)
            .collect();
        assert_eq!(seqs, expected);
        writable(path).set_len(frames[7].start + 3).unwrap();
        assert_eq!(read_all(&log).len(), 6);
    });
}

#[test]
fn frames_of_another_file_are_refused_wherever_they_are() {
    plain_and_encrypted(|| {
        let dir = scratch();
        let (made, other) = (dir.path().join("made"), dir.path().join("other"));
        let config = LogConfig::default();
        let frames = fill(&made, config, 8, 20);
        let stale = fill(&other, config, 12, 21);
        // Frames that would go on just where the log ends, but belong to another file.
        let tail = &std::fs::read(&files(&other)[0]).unwrap()[stale[8].start as usize..];
        assert_eq!(
            stale[8].first,
            frames[7].first + u64::from(frames[7].record.rows)
        );
        let end = frames[7].end;
        let zeros = vec![0; 10_000];
        let own = &std::fs::read(&files(&made)[0]).unwrap()[frames[2].start as usize..];
        for junk in [
            tail,
            &zeros,
            &[&zeros[..77], tail].concat(),
            own,
            b"{\"a\":1}\n",
        ] {
            let copy = dir.path().join("copy");
            copy_dir(&made, &copy);
            overwrite(&files(&copy)[0], end, junk);
            let (log, recovered, lost) = survivors(&copy, config, &frames);
            assert!(lost.is_empty());
            let cut = recovered.cut.expect("junk is cut");
            assert_eq!((cut.offset, cut.bytes), (end, junk.len() as u64));
            assert_eq!((recovered.damaged, recovered.missing_rows), (0, 0));
            drop(log);
            assert_eq!(len(&files(&copy)[0]), end);
        }
        // In the midst of a file as well.
        overwrite(
            &files(&made)[0],
            frames[3].start,
            &tail[..(frames[3].end - frames[3].start) as usize],
        );
        assert_eq!(survivors(&made, config, &frames).2, [3]);
    });
}

#[test]
fn lost_copied_and_swapped_files_are_told() {
    plain_and_encrypted(|| {
        let dir = scratch();
        let (made, hit) = (dir.path().join("made"), dir.path().join("hit"));
        let config = small_files(600);
        let frames = fill(&made, config, 20, 20);
        let names = files(&made).len();
        assert!(names > 4);
        let rows_in = |file: usize| -> u64 {
            frames
                .iter()
                .filter(|f| f.file == file)
                .map(|f| u64::from(f.record.rows))
                .sum()
        };

        copy_dir(&made, &hit);
        std::fs::remove_file(&files(&hit)[1]).unwrap();
        let (_, recovered, _) = survivors(&hit, config, &frames);
        assert_eq!((recovered.missing_rows, recovered.damaged), (rows_in(1), 0));

        copy_dir(&made, &hit);
        std::fs::copy(
            &files(&hit)[1],
            hit.join("00000000000000000003-00000000000000aa.log"),
        )
        .unwrap();
        let (_, recovered, lost) = survivors(&hit, config, &frames);
        assert_eq!(
            (lost.len(), recovered.missing_rows, recovered.damaged),
            (0, 0, 1)
        );
        assert_eq!(recovered.damage[0].kind, DamageKind::ForeignFile);

        copy_dir(&made, &hit);
        let (a, b, spare) = (&files(&hit)[1], &files(&hit)[2], hit.join("spare"));
        for (from, to) in [(a, &spare), (b, a), (&spare, b)] {
            std::fs::rename(from, to).unwrap();
        }
        let report = verify(&hit, &vault(), &[]).unwrap().0;
        assert_eq!((report.ok, report.foreign.len()), (false, 2));
        let (_, recovered, _) = survivors(&hit, config, &frames);
        assert_eq!(
            (recovered.missing_rows, recovered.damaged),
            (rows_in(1) + rows_in(2), 2)
        );
    });
}

#[test]
fn sequence_numbers_in_use_elsewhere_are_not_given_out_again() {
    plain_and_encrypted(|| {
        let dir = scratch();
        let frames = fill(dir.path(), LogConfig::default(), 6, 20);
        let last = &frames[5];
        let head = last.first + u64::from(last.record.rows) - 1;
        writable(&files(dir.path())[0])
            .set_len(last.end - 1)
            .unwrap();
        let config = LogConfig {
            floor_seq: head,
            ..LogConfig::default()
        };
        let (log, recovered, lost) = survivors(dir.path(), config, &frames);
        assert_eq!((lost, recovered.head), (vec![5], head));
        assert_eq!(recovered.missing_rows, u64::from(last.record.rows));
        assert_eq!(log.append(&[record(50, 1, 5)]).unwrap(), head + 1);
        drop(log);
        // An empty folder goes on after the floor too, and misses nothing.
        let empty = dir.path().join("empty");
        let (log, recovered) = open(&empty, config);
        assert_eq!((log.head(), recovered.missing_rows), (head, 0));
    });
}

#[test]
fn a_newer_format_is_refused_and_not_touched() {
    let dir = scratch();
    fill(dir.path(), small_files(1), 3, 20);
    let path = files(dir.path()).pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[12..16].copy_from_slice(&3_u32.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[12..32]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    bytes.truncate(bytes.len() - 3);
    std::fs::write(&path, &bytes).unwrap();
    let error = Log::open(dir.path(), LogConfig::default(), &vault())
        .err()
        .unwrap();
    assert!(
        matches!(
            error,
            LogError::NewerFormat {
                found: 3,
                known: 2,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert!(verify(dir.path(), &vault(), &[]).is_err());
}

#[test]
fn an_encrypted_log_is_not_taken_for_a_plain_one_nor_read_with_another_key() {
    let dir = scratch();
    let sealed = |name: &str| {
        let keys = dir.path().join(name);
        std::fs::create_dir(&keys).unwrap();
        Vault::open_or_create(&keys, Some(&MasterKey::random().unwrap())).unwrap()
    };
    let (own, other) = (sealed("own"), sealed("other"));
    let folder = dir.path().join("log");
    let wanted = record(1, 3, 40);
    {
        let (log, _) = Log::open(&folder, LogConfig::default(), &own).unwrap();
        log.append(std::slice::from_ref(&wanted)).unwrap();
    }
    let before = std::fs::read(&files(&folder)[0]).unwrap();
    for part in ["source-1", "\"row\"", "abcdef"] {
        let found = before.windows(part.len()).any(|w| w == part.as_bytes());
        assert!(!found, "{part} is readable");
    }
    let refused = Log::open(&folder, LogConfig::default(), &Vault::PLAIN).err();
    assert_eq!(refused.unwrap().code(), "other_sealing");
    let report = verify(&folder, &other, &[]).unwrap().0;
    assert_eq!((report.ok, report.frames), (false, 1));
    assert_eq!(report.files[0].damage[0].kind, DamageKind::Undecodable);
    assert_eq!(std::fs::read(&files(&folder)[0]).unwrap(), before);
    let (log, _) = Log::open(&folder, LogConfig::default(), &own).unwrap();
    assert_eq!(read_all(&log), [(1, wanted)]);
}
