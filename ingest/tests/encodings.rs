//! Compressed bodies: what is taken, and what a bomb costs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use support::Fixture;
use watchfire_ingest::{Encoding, Memory, Refusal, inflate};

const LIMIT: usize = 64 << 20;

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn raw_deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 3).unwrap()
}

#[tokio::test]
async fn every_encoding_gives_the_same_events() {
    let body = b"{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n".as_slice();
    let (first, second) = body.split_at(11);
    let table = [
        ("gzip", gzip(body)),
        ("GZIP", gzip(body)),
        ("x-gzip", gzip(body)),
        ("gzip", [gzip(first), gzip(second)].concat()),
        ("zstd", zstd(body)),
        ("zstd", [zstd(first), zstd(second)].concat()),
        ("deflate", zlib(body)),
        ("deflate", raw_deflate(body)),
    ];
    for (encoding, wire) in table {
        let fixture = Fixture::new();
        let headers = [("content-encoding", encoding)];
        let answer = fixture.post("/api/v1/events", &headers, wire).await;
        assert_eq!(answer.counts(), (3, 0, 0), "{encoding}");
        assert_eq!(
            fixture.log.lines(),
            ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"],
            "{encoding}"
        );
    }
}

#[tokio::test]
async fn a_truncated_body_stores_nothing() {
    let body = b"{\"a\":1}\n".repeat(1_000);
    for (encoding, wire) in [
        ("gzip", gzip(&body)),
        ("zstd", zstd(&body)),
        ("deflate", zlib(&body)),
    ] {
        for cut in [wire.len() - 1, wire.len() / 2, 12] {
            let fixture = Fixture::new();
            let headers = [("content-encoding", encoding)];
            let answer = fixture
                .post("/api/v1/events", &headers, wire[..cut].to_vec())
                .await;
            assert_eq!(answer.code(), "invalid_encoding", "{encoding} cut at {cut}");
            assert_eq!(fixture.log.with(|s| s.head), 0);
        }
    }
}

/// A zstd frame that asks for a window of 2 GiB: descriptor without single segment, window byte.
fn huge_window() -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8];
    frame.extend([0x01, 0x00, 0x00]);
    frame
}

#[test]
fn bombs_are_refused_early_and_cheaply() {
    let zeros = vec![0_u8; 20 << 20];
    let nested = gzip(&gzip(&zeros));
    let many = gzip(&zeros[..1 << 20]).repeat(20);
    let table = [
        ("gzip", Encoding::Gzip, gzip(&zeros)),
        ("gzip of many members", Encoding::Gzip, many),
        ("zlib", Encoding::Deflate, zlib(&zeros)),
        ("deflate", Encoding::Deflate, raw_deflate(&zeros)),
        ("zstd", Encoding::Zstd, zstd(&zeros)),
    ];
    for (name, encoding, wire) in table {
        let memory = Memory::new(1 << 30);
        let mut budget = memory.budget();
        let result = inflate(encoding, &wire, LIMIT, &mut budget);
        assert!(
            matches!(result, Err(Refusal::BodyTooLarge(_))),
            "{name}: {result:?}"
        );
        assert!(
            memory.used_bytes() <= 17 << 20,
            "{name} held {}",
            memory.used_bytes()
        );
        drop(budget);
        assert_eq!(memory.used_bytes(), 0, "{name}");
    }
    let memory = Memory::new(1 << 30);
    let result = inflate(Encoding::Gzip, &nested, LIMIT, &mut memory.budget());
    assert!(
        result.is_ok(),
        "what is inflated once is not inflated again"
    );
    let result = inflate(Encoding::Zstd, &huge_window(), LIMIT, &mut memory.budget());
    assert!(
        matches!(result, Err(Refusal::InvalidEncoding(_))),
        "{result:?}"
    );
}

#[test]
fn the_limit_counts_decoded_bytes_exactly() {
    // Text that does not compress much, so that only the limit speaks.
    let mut seed = 1_u32;
    let mut noise = |n: usize| -> Vec<u8> {
        (0..n)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 24) as u8
            })
            .collect()
    };
    let data = noise(100_000);
    let memory = Memory::new(1 << 30);
    for (encoding, wire) in [
        (Encoding::Gzip, gzip(&data)),
        (Encoding::Zstd, zstd(&data)),
        (Encoding::Deflate, raw_deflate(&data)),
        (Encoding::Identity, data.clone()),
    ] {
        let fits = inflate(encoding, &wire, data.len(), &mut memory.budget());
        assert_eq!(fits.as_deref(), Ok(data.as_slice()), "{encoding:?}");
        let over = inflate(encoding, &wire, data.len() - 1, &mut memory.budget());
        assert!(
            matches!(over, Err(Refusal::BodyTooLarge(_))),
            "{encoding:?}"
        );
    }
    let tight = Memory::new(data.len() / 2);
    let refused = inflate(Encoding::Gzip, &gzip(&data), LIMIT, &mut tight.budget());
    assert!(
        matches!(refused, Err(Refusal::Overloaded(_))),
        "{refused:?}"
    );
}
