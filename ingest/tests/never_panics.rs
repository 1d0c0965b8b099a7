//! Arbitrary input: no panic anywhere, no line lost, and a replay that gives the same columns.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use proptest::prelude::*;
use support::Fixture;
use watchfire_event::BatchLimits;
use watchfire_ingest::{Encoding, Memory, inflate, rebuild, split};

/// Pieces that bodies are made of, with an eye to what parsers trip over.
fn piece() -> impl Strategy<Value = String> {
    let fixed = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\n",
        "\r\n",
        " ",
        "null",
        "true",
        "-0",
        "1e5",
        "1e999",
        "\"a\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "{}",
        "{\"a\":1}",
        "[1]",
        "\u{feff}",
        "{\"a\":{\"b\":[{\"c\":null}]}}",
        "{\"@timestamp\":\"2026-03-01T00:00:00Z\"}",
        "{\"index\":{\"_index\":\"x\"}}\n",
        "{\"create\":{\"_index\":\"x\",\"_id\":\"1\"}}\n",
        "{\"request\":\"GET /a?b HTTP/1.1\",\"remote_addr\":\"1.2.3.4\",\"status\":\"x\"}",
        "{\"event\":{\"id\":\"1\"}}",
        "{\"time\":9e18,\"ts\":-1}",
        "é",
        "\u{202e}",
        "\u{1b}[31m",
    ];
    prop_oneof![
        8 => proptest::sample::select(fixed.to_vec()).prop_map(str::to_owned),
        1 => ".{0,12}",
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::collection::vec(piece(), 0..40).prop_map(|p| p.concat().into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..200),
    ]
}

fn garbage() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..300)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Repeats of an event that share a request with other events.
fn repeats() -> impl Strategy<Value = Vec<u8>> {
    let line = [
        "{\"event\":{\"id\":\"1\"}}",
        "{\"event\":{\"id\":\"1\"},\"only\":\"here\"}",
        "{\"event\":{\"id\":2}}",
        "{\"a\":1}",
        "{\"a\":\"text\"}",
    ];
    proptest::collection::vec(proptest::sample::select(line.to_vec()), 1..6)
        .prop_map(|lines| lines.join("\n").into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn lines_do_not_overlap_and_lose_nothing_but_white_space(body in body()) {
        let lines = split(body.clone(), 1_000).unwrap();
        let mut end = 0;
        for span in &lines.spans {
            prop_assert!(span.start as usize >= end && span.end >= span.start);
            end = span.end as usize;
        }
        prop_assert!(end <= lines.body.len());
        prop_assert_eq!(lines.body.len(), body.len());
        let changed = lines.body.iter().zip(&body).filter(|(a, b)| a != b);
        for (now, before) in changed {
            prop_assert_eq!((*now, *before), (b' ', b'\n'));
        }
    }

    #[test]
    fn every_line_is_accounted_for(body in body()) {
        run(async {
            let fixture = Fixture::new();
            let expected = split(body.clone(), 1_000_000).unwrap().spans.len() as u64;
            let answer = fixture.events(body).await;
            let (accepted, duplicate, rejected) = answer.counts();
            assert_eq!(accepted + duplicate + rejected, expected);
            assert_eq!(answer.status == 200, accepted + duplicate > 0);
            assert_eq!(fixture.log.lines().len() as u64, accepted);
            let dead = fixture.log.with(|s| s.dead.len() as u64);
            assert_eq!(dead, rejected);
        });
    }

    #[test]
    fn the_other_doors_answer_too(body in body(), json in any::<bool>()) {
        run(async {
            let fixture = Fixture::new();
            let kind = if json { "application/json" } else { "application/x-protobuf" };
            for path in ["/_bulk", "/logs/_bulk", "/v1/logs"] {
                let answer = fixture.post(path, &[("content-type", kind)], body.clone()).await;
                assert!([200, 400, 413].contains(&answer.status.as_u16()), "{:?}", answer.status);
            }
        });
    }

    #[test]
    fn inflating_garbage_is_an_error_at_most(wire in garbage()) {
        let memory = Memory::new(1 << 20);
        for encoding in [Encoding::Gzip, Encoding::Zstd, Encoding::Deflate] {
            let _ = inflate(encoding, &wire, 1 << 16, &mut memory.budget());
        }
        prop_assert_eq!(memory.used_bytes(), 0);
    }

    /// What is read back from the log is what was taken: same rows, columns, times and flags.
    #[test]
    fn a_replay_gives_the_same_columns(
        bodies in proptest::collection::vec(prop_oneof![body(), repeats()], 1..4),
    ) {
        run(async {
            let fixture = Fixture::new();
            for body in bodies {
                fixture.events(body).await;
            }
            let (batches, records) = fixture.log.with(|s| (s.batches.clone(), s.records.clone()));
            assert_eq!(batches.len(), records.len(), "one request at a time is one batch");
            for (live, record) in batches.iter().zip(&records) {
                let first = live.first_seq().unwrap();
                let record = std::slice::from_ref(record);
                let again = rebuild(record, BatchLimits::default(), &support::MAPPINGS)
                    .with_first_seq(first);
                let (mut live, mut again) = (describe(live), describe(&again));
                live.sort();
                again.sort();
                assert_eq!(live, again);
            }
        });
    }
}

/// A batch as text, column by column.
fn describe(batch: &watchfire_event::EventBatch) -> Vec<String> {
    let mut all: Vec<String> = batch
        .columns()
        .iter()
        .map(|column| {
            let values: Vec<_> = (0..batch.rows()).map(|row| column.json(row)).collect();
            format!("{} {values:?}", column.physical_name())
        })
        .collect();
    all.push(format!(
        "{:?} {:?} {:?}",
        batch.seq(),
        batch.time(),
        batch.received()
    ));
    all
}
