//! Refused lines: kept, listed, let go, erased.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use super::*;

fn letter(n: u32, bytes: &[u8]) -> DeadLetter {
    DeadLetter {
        received_ns: i64::from(n),
        source: Arc::from("shop"),
        line: n,
        code: "invalid_json",
        bytes: bytes.to_vec(),
    }
}

#[test]
fn erased_letters_are_in_no_file_and_the_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = DeadLetters::open(dir.path(), 8_000, &Vault::PLAIN).unwrap();
    for n in 0..60 {
        let text = format!("{{bad {} {n}", if n % 3 == 0 { "marker" } else { "other" });
        store.append(&[letter(n, text.as_bytes())]).unwrap();
    }
    let of = |letter: &StoredLetter| String::from_utf8(letter.bytes.clone()).unwrap();
    let before = store.list(None, 100).unwrap();
    let expected: Vec<String> = before
        .iter()
        .map(of)
        .filter(|t| !t.contains("marker"))
        .collect();
    let gone = |letter: &StoredLetter| of(letter).contains("marker");
    let removed = store.erase(gone).unwrap();
    assert_eq!(removed as usize, before.len() - expected.len());
    assert_eq!(store.erase(gone).unwrap(), 0);
    store.append(&[letter(99, b"after")]).unwrap();
    for store in [
        store,
        DeadLetters::open(dir.path(), 8_000, &Vault::PLAIN).unwrap(),
    ] {
        let left: Vec<String> = store.list(None, 100).unwrap().iter().map(of).collect();
        assert_eq!(left[0], "after");
        assert_eq!(left[1..], expected);
    }
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|w| w == b"marker"));
    }
}

#[test]
fn any_bytes_come_back_newest_first_also_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<u8> = (0..=255).collect();
    let samples: [&[u8]; 6] = [
        b"",
        b"{bad",
        b"a\nb\0\"\\",
        "ä\u{2028}".as_bytes(),
        &all,
        &[0xFF],
    ];
    let letters: Vec<_> = (0..)
        .zip(samples)
        .map(|(n, bytes)| letter(n, bytes))
        .collect();
    DeadLetters::open(dir.path(), 1 << 20, &Vault::PLAIN)
        .unwrap()
        .append(&letters)
        .unwrap();
    let store = DeadLetters::open(dir.path(), 1 << 20, &Vault::PLAIN).unwrap();
    let listed = store.list(None, 100).unwrap();
    assert_eq!(listed.len(), samples.len());
    for (found, sent) in listed.iter().rev().zip(&letters) {
        assert_eq!((&found.bytes, found.line), (&sent.bytes, sent.line));
        assert_eq!(store.read(&found.id).unwrap().as_ref(), Some(found));
    }
    let page = store.list(Some(&listed[1].id), 2).unwrap();
    assert_eq!(page, listed[2..4]);
}

#[test]
fn the_newest_are_kept_within_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let store = DeadLetters::open(dir.path(), 16 << 10, &Vault::PLAIN).unwrap();
    for n in 0..2_000 {
        store
            .append(&[letter(n, b"some bytes that are no event")])
            .unwrap();
        assert!(store.bytes() <= 16 << 10);
    }
    let listed = store.list(None, 10_000).unwrap();
    assert!(listed.len() > 50, "{}", listed.len());
    let lines: Vec<u32> = listed.iter().map(|letter| letter.line).collect();
    let newest: Vec<u32> = (0..2_000).rev().take(lines.len()).collect();
    assert_eq!(lines, newest);
    assert_eq!(store.read("1-0").unwrap(), None);
    assert_eq!(store.read("../x").unwrap(), None);
}

#[test]
fn a_torn_line_costs_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    DeadLetters::open(dir.path(), 1 << 20, &Vault::PLAIN)
        .unwrap()
        .append(&[letter(1, b"one"), letter(2, b"two")])
        .unwrap();
    let path = file_path(dir.path(), 1);
    let len = std::fs::metadata(&path).unwrap().len();
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(len - 5)
        .unwrap();
    let store = DeadLetters::open(dir.path(), 1 << 20, &Vault::PLAIN).unwrap();
    store.append(&[letter(3, b"three")]).unwrap();
    let lines: Vec<u32> = store
        .list(None, 9)
        .unwrap()
        .iter()
        .map(|l| l.line)
        .collect();
    assert_eq!(lines, [3, 1]);
}
