//! What the vault must give back, and what it must refuse.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::path::Path;

use parquet::file::reader::{ChunkReader, Length};
use proptest::prelude::*;
use tempfile::TempDir;

use super::blocks::{BLOCK_BYTES, HEADER_BYTES, SEALED_BLOCK_BYTES};
use super::{MasterKey, Vault, VaultError, rotate};

fn sealed() -> (TempDir, Vault) {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open_or_create(dir.path(), Some(&MasterKey::random().unwrap())).unwrap();
    (dir, vault)
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 31 % 251) as u8).collect()
}

/// Writes in pieces of odd sizes.
fn write(vault: &Vault, path: &Path, bytes: &[u8]) {
    let mut writer = vault.writer(std::fs::File::create(path).unwrap()).unwrap();
    for piece in bytes.chunks(777) {
        writer.write_all(piece).unwrap();
    }
    writer.flush().unwrap();
    writer.finish().unwrap();
}

#[test]
fn any_part_of_a_file_comes_back() {
    let (dir, sealed) = sealed();
    let path = dir.path().join("file");
    for vault in [&Vault::PLAIN, &sealed] {
        for bytes in [
            0,
            1,
            BLOCK_BYTES - 1,
            BLOCK_BYTES,
            BLOCK_BYTES + 1,
            5 * BLOCK_BYTES + 3,
        ] {
            let all = content(bytes);
            write(vault, &path, &all);
            assert_eq!(vault.read_whole(&path).unwrap(), all);
            let file = vault.open_file(&path).unwrap();
            assert_eq!(file.len(), bytes as u64);
            for at in [0, 1, bytes / 2, bytes.saturating_sub(1), bytes] {
                let at = at.min(bytes);
                let mut rest = Vec::new();
                file.get_read(at as u64)
                    .unwrap()
                    .read_to_end(&mut rest)
                    .unwrap();
                assert!(rest == all[at..], "from {at} of {bytes}");
                for len in [0, 1, 100, BLOCK_BYTES, bytes] {
                    let found = file.get_bytes(at as u64, len);
                    let expected = all.get(at..at + len);
                    assert_eq!(found.ok().as_deref(), expected, "{len} at {at} of {bytes}");
                }
            }
        }
    }
}

#[test]
fn a_file_that_was_changed_in_any_way_is_refused() {
    let (dir, vault) = sealed();
    let (path, other) = (dir.path().join("file"), dir.path().join("other"));
    let all = content(3 * BLOCK_BYTES + 500);
    write(&vault, &path, &all);
    write(&vault, &other, &all);
    let (bytes, foreign) = (
        std::fs::read(&path).unwrap(),
        std::fs::read(&other).unwrap(),
    );
    let refused = |changed: &[u8], what: &str| {
        std::fs::write(&path, changed).unwrap();
        let error = vault.read_whole(&path).expect_err(what);
        assert!(
            matches!(
                error.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
            ),
            "{what}: {error}"
        );
    };
    for at in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        refused(&flipped, &format!("a bit of byte {at}"));
    }
    let block = |n: usize| HEADER_BYTES + n * SEALED_BLOCK_BYTES;
    // Also where a block ends, so that a whole file seems to be left.
    for cut in [
        0,
        10,
        HEADER_BYTES,
        block(1),
        block(2),
        block(3),
        bytes.len() - 1,
    ] {
        refused(&bytes[..cut], &format!("cut at {cut}"));
    }
    let mut swapped = bytes.clone();
    let (first, second) = swapped[HEADER_BYTES..].split_at_mut(SEALED_BLOCK_BYTES);
    first.swap_with_slice(&mut second[..SEALED_BLOCK_BYTES]);
    refused(&swapped, "two blocks swapped");
    let mut patched = bytes.clone();
    patched[block(1)..block(2)].copy_from_slice(&foreign[block(1)..block(2)]);
    refused(&patched, "a block of another file with the same content");
    refused(
        &[&bytes[..], &bytes[block(3)..]].concat(),
        "a block too many",
    );
    refused(&all, "the plain text");
    assert_ne!(
        bytes[HEADER_BYTES..],
        foreign[HEADER_BYTES..],
        "a key a file"
    );
}

#[test]
fn small_things_are_bound_to_their_purpose_and_place() {
    let (_dir, vault) = sealed();
    let seal = vault.small("one", b"salt").unwrap().unwrap();
    let mut all = std::collections::HashSet::new();
    for plain in [&b""[..], b"text", &content(100_000)] {
        let closed = seal.seal(plain, b"here").unwrap();
        assert_eq!(seal.open(&closed, b"here").as_deref(), Some(plain));
        assert_eq!(seal.open(&closed, b"there"), None);
        assert_eq!(seal.open(&closed[1..], b"here"), None);
        for (purpose, salt) in [("two", &b"salt"[..]), ("one", b"pepper")] {
            let other = vault.small(purpose, salt).unwrap().unwrap();
            assert_eq!(other.open(&closed, b"here"), None);
        }
    }
    for _ in 0..10_000 {
        let closed = seal.seal(b"the same", b"").unwrap();
        assert!(all.insert(closed[..12].to_vec()), "a nonce came twice");
    }
    assert!(Vault::PLAIN.small("one", b"").unwrap().is_none());
}

fn code(opened: Result<Vault, VaultError>) -> &'static str {
    opened.map_or_else(|error| error.code(), |_| "ok")
}

#[test]
fn every_wrong_key_has_its_code() {
    let dir = tempfile::tempdir().unwrap();
    let (right, wrong) = (MasterKey::random().unwrap(), MasterKey::random().unwrap());
    assert!(
        !Vault::open_or_create(dir.path(), None)
            .unwrap()
            .is_sealing()
    );
    let vault = Vault::open_or_create(dir.path(), Some(&right)).unwrap();
    let path = dir.path().join("file");
    write(&vault, &path, b"kept");
    assert_eq!(code(Vault::open(dir.path(), None)), "master_key_missing");
    assert_eq!(
        code(Vault::open(dir.path(), Some(&wrong))),
        "wrong_master_key"
    );
    let again = Vault::open_or_create(dir.path(), Some(&right)).unwrap();
    assert_eq!(again.read_whole(&path).unwrap(), b"kept");

    rotate(dir.path(), &right, &wrong).unwrap();
    assert_eq!(
        code(Vault::open(dir.path(), Some(&right))),
        "wrong_master_key"
    );
    let rotated = Vault::open(dir.path(), Some(&wrong)).unwrap();
    assert_eq!(rotated.read_whole(&path).unwrap(), b"kept");
    assert_eq!(
        rotate(dir.path(), &right, &wrong).unwrap_err().code(),
        "wrong_master_key"
    );

    let keys = dir.path().join("keys.json");
    let text = std::fs::read_to_string(&keys).unwrap();
    let at = text.find("wrapped\": \"").unwrap() + 20;
    let mut changed = text.clone().into_bytes();
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    std::fs::write(&keys, changed).unwrap();
    assert_eq!(code(Vault::open(dir.path(), Some(&wrong))), "damaged_keys");
    std::fs::write(&keys, &text[..40]).unwrap();
    assert_eq!(code(Vault::open(dir.path(), Some(&wrong))), "damaged_keys");

    let plain = tempfile::tempdir().unwrap();
    std::fs::write(plain.path().join("meta.sqlite"), b"").unwrap();
    assert_eq!(
        code(Vault::open_or_create(plain.path(), Some(&right))),
        "plain_data"
    );
    assert_eq!(
        rotate(plain.path(), &right, &wrong).unwrap_err().code(),
        "not_encrypted"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn ranges_are_those_of_the_plain_text(
        bytes in 0_usize..4 * BLOCK_BYTES,
        ranges in prop::collection::vec((0.0_f64..1.0, 0.0_f64..1.0), 1..20),
    ) {
        let (dir, vault) = sealed();
        let (path, all) = (dir.path().join("file"), content(bytes));
        write(&vault, &path, &all);
        let file = vault.open_file(&path).unwrap();
        for (from, to) in ranges {
            let at = (from * bytes as f64) as usize;
            let len = (to * (bytes - at) as f64) as usize;
            prop_assert_eq!(&file.read_at(at as u64, len).unwrap(), &all[at..at + len]);
        }
    }
}
