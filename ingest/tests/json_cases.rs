//! Short texts that are JSON and that are not, in the style of the JSON parsing test suite: one a
//! line in `tests/json`, each sent as the value of a member.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use watchfire_event::{BatchLimits, RowMeta};
use watchfire_ingest::{Mappings, build_batch};

const ACCEPTED: &str = include_str!("json/accepted.txt");
const REJECTED: &str = include_str!("json/rejected.txt");

fn takes(case: &str) -> bool {
    let line = format!("{{\"v\":{case}}}");
    let meta = RowMeta {
        received_ns: 0,
        source: "t".into(),
    };
    let lines = [line.as_bytes()];
    let (batch, rejected) = build_batch(&lines, &meta, BatchLimits::default(), &Mappings::none());
    assert_eq!(batch.rows() + rejected.len(), 1);
    batch.rows() == 1
}

#[test]
fn what_is_json_is_taken() {
    for case in ACCEPTED.lines() {
        assert!(takes(case), "{case:?} is JSON");
    }
}

#[test]
fn what_is_not_json_is_rejected() {
    for case in REJECTED.lines() {
        assert!(!takes(case), "{case:?} is not JSON");
    }
}
