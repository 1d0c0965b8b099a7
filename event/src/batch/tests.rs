//! What goes into a batch comes out of it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::field;

fn meta() -> RowMeta {
    RowMeta {
        received_ns: 1_000,
        source: Arc::from("test"),
    }
}

pub(crate) fn batch(lines: &[&str]) -> EventBatch {
    with_limits(lines, BatchLimits::default())
}

fn with_limits(lines: &[&str], limits: BatchLimits) -> EventBatch {
    let mut builder = BatchBuilder::new(limits);
    lines
        .iter()
        .for_each(|l| builder.push(l.as_bytes(), &meta()).unwrap());
    builder.finish()
}

#[test]
fn lines_are_refused_with_their_code() {
    let deep = format!("{}1{}", "{\"a\":".repeat(65), "}".repeat(65));
    let deep_list = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    let cases: &[(&[u8], LineCode)] = &[
        (b"", LineCode::InvalidJson),
        (b"{", LineCode::InvalidJson),
        (b"{\"a\":1} x", LineCode::InvalidJson),
        (b"{\"a\":1,}", LineCode::InvalidJson),
        (b"{\"a\":NaN}", LineCode::InvalidJson),
        (b"[1,2]", LineCode::NotObject),
        (b"[1,", LineCode::InvalidJson),
        (b"\"text\"", LineCode::NotObject),
        (b"null", LineCode::NotObject),
        (b"7", LineCode::NotObject),
        (b"{\"a\":\"\xff\"}", LineCode::InvalidUtf8),
        (b"{\"a\":1e400}", LineCode::NumberOutOfRange),
        (b"{\"a\":[1,[-1e999]]}", LineCode::NumberOutOfRange),
        (deep.as_bytes(), LineCode::TooDeep),
        (deep_list.as_bytes(), LineCode::TooDeep),
        (long.as_bytes(), LineCode::LineTooLarge),
    ];
    for (line, code) in cases {
        let mut builder = BatchBuilder::new(BatchLimits::default());
        builder.push(br#"{"before":1}"#, &meta()).unwrap();
        let error = builder.push(line, &meta()).unwrap_err();
        let text = String::from_utf8_lossy(line);
        assert_eq!(error.code, *code, "{}", text.get(..60).unwrap_or(&text));
        builder.push(br#"{"after":2}"#, &meta()).unwrap();
        let batch = builder.finish();
        assert_eq!(batch.rows(), 2);
        assert_eq!(batch.event_json(0), json!({"before": 1}));
        assert_eq!(batch.event_json(1), json!({"after": 2}));
    }
}

#[test]
fn sixty_four_levels_are_fine() {
    let deep = format!("{}1{}", "{\"a\":".repeat(64), "}".repeat(64));
    assert_eq!(
        batch(&[&deep]).event_json(0),
        serde_json::from_str::<Value>(&deep).unwrap()
    );
}

#[test]
fn a_line_that_breaks_half_way_leaves_nothing() {
    let mut builder = BatchBuilder::new(BatchLimits::default());
    assert!(
        builder
            .push(br#"{"user":{"id":"u1"},"tags":["a"],"n":tru"#, &meta())
            .is_err()
    );
    assert_eq!(builder.rows(), 0);
    let batch = builder.finish();
    assert_eq!(batch.rows(), 0);
    assert!(batch.columns().is_empty());
}

#[test]
fn odd_events_come_back_as_they_were() {
    let lines = [
        r#"{}"#,
        r#"{"a":null,"b":{},"c":[],"d":[null],"e":{"f":{}}}"#,
        r#"{"a.b":1,"a":{"b":2},"a\\.c":{"d.e":3},"":4,"x":{"":5}}"#,
        r#"{"n":18446744073709551615,"m":-9223372036854775808,"f":1.0,"g":-0.0,"h":1e300}"#,
        r#"{"huge":123456789012345678901234567890}"#,
        r#"{"list":["a","b"],"ints":[1,2],"mix":[1,"a",null,{"k":[true]}],"nest":[[1],[2]]}"#,
        r#"{"list":[1,"x"],"ints":["a"],"mix":{"k":1},"nest":"s"}"#,
        r#"{"objects":[{"id":1,"n":"x"},{"id":2}]}"#,
        r#"{"_seq":9,"_source":"mine","_flags":["x"],"_raw":"r","@timestamp":5}"#,
        "{\"a\":\"\\u0000\\u001b[31m\\ud83d\\ude00\u{202e}\"}",
    ];
    let batch = batch(&lines);
    for (row, line) in lines.iter().enumerate() {
        let wanted: Value = serde_json::from_str(line).unwrap();
        assert_eq!(batch.event_json(row), wanted, "{line}");
    }
    // Beyond 64 bits only the text keeps every digit.
    assert!(
        batch
            .event_text(4)
            .contains("123456789012345678901234567890")
    );
}

#[test]
fn repeated_keys_are_all_seen_and_flagged() {
    let line = r#"{"role":"user","role":"admin","o":{"x":1},"o":{"x":2},"l":[{"k":"a","k":"b"}]}"#;
    let batch = batch(&[line, r#"{"role":"user"}"#]);
    assert_eq!(batch.values("role", 0), ["user", "admin"]);
    assert_eq!(batch.values("o.x", 0), ["1", "2"]);
    assert_eq!(batch.values("l.k", 0), ["a", "b"]);
    assert_eq!(batch.flags(0), [field::FLAG_DUP_KEY]);
    assert_eq!(batch.event_text(0), line);
    assert_eq!(batch.values("role", 1), ["user"]);
    assert!(batch.flags(1).is_empty());
}

#[test]
fn fields_beyond_the_limit_stay_searchable() {
    let limits = BatchLimits {
        max_columns: 3,
        ..BatchLimits::default()
    };
    let wide = r#"{"a":1,"b":{"c":"x"},"d":2,"e":"late","f":{"g":["y"]},"a2":"z"}"#;
    let batch = with_limits(&[wide, r#"{"a":2}"#], limits);
    assert_eq!(
        batch.event_json(0),
        serde_json::from_str::<Value>(wide).unwrap()
    );
    assert_eq!(batch.flags(0), [field::FLAG_FIELD_OVERFLOW]);
    for (query, hits) in [
        ("e:late", 1),
        ("f.g:y", 1),
        ("a2:*", 1),
        ("late", 1),
        ("a:2", 1),
    ] {
        let query = crate::Query::parse(query).unwrap();
        assert_eq!(
            query.matches(&batch).count_set_bits(),
            hits,
            "{}",
            query.text()
        );
    }
}

#[test]
fn flags_are_added_to_those_that_are_there() {
    let batch = batch(&[r#"{"a":1,"a":2}"#, r#"{"a":1}"#, r#"{"a":1}"#]);
    let masks = [
        vec![true, false, false],
        vec![true, true, false],
        vec![true],
    ];
    let masks = masks.map(|mask| mask.into_iter().collect());
    let flags: Vec<_> = ["one", "two", "too_short"].into_iter().zip(masks).collect();
    let batch = batch.with_flags(&flags);
    assert_eq!(batch.flags(0), [field::FLAG_DUP_KEY, "one", "two"]);
    assert_eq!(batch.flags(1), ["two"]);
    assert!(batch.flags(2).is_empty());
    assert_eq!(batch.named(field::FLAGS).count(), 1);
}

#[test]
fn physical_names_are_taken_apart_again() {
    let batch = batch(&[r#"{"a.b":"x","c":[1],"d":{"e":1.5}}"#]);
    for column in batch.columns() {
        let name = column.physical_name();
        let (origin, kind, path) = Column::parse_physical_name(&name).unwrap();
        assert_eq!(
            (origin, kind, path),
            (column.origin, column.kind, &*column.path)
        );
    }
    assert_eq!(Column::parse_physical_name("_seq"), None);
    assert_eq!(Column::parse_physical_name("q:s:x"), None);
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[abc]", 1 => "[a-c.\\\\_@]{0,3}", 1 => any::<String>()]
}

pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(Value::from),
        (-5i64..5).prop_map(Value::from),
        "[a-c ]{0,5}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any_key(), inner), 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

pub(crate) fn any_event() -> impl Strategy<Value = Value> {
    prop::collection::vec((any_key(), any_json()), 0..6)
        .prop_map(|m| Value::Object(m.into_iter().collect::<Map<_, _>>()))
}

fn built(events: &[Value], max_columns: usize) -> EventBatch {
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    with_limits(
        &lines,
        BatchLimits {
            max_columns,
            ..BatchLimits::default()
        },
    )
}

/// Lines of a wide batch, each with few of its fields; some break half way.
fn any_sparse_lines() -> impl Strategy<Value = Vec<String>> {
    let few = prop_oneof![Just(json!(true)), "[ab]{0,2}".prop_map(Value::from)];
    let value = prop_oneof![3 => few, 1 => any_json()];
    let event = prop::collection::vec(("[a-z]", value), 0..4)
        .prop_map(|m| Value::Object(m.into_iter().collect()).to_string());
    let broken = event.clone().prop_map(|line| line.replace('}', ""));
    prop::collection::vec(prop_oneof![9 => event, 1 => broken], 0..90)
}

fn given_back(batch: &EventBatch) -> Vec<Value> {
    (0..batch.rows()).map(|row| batch.event_json(row)).collect()
}

proptest! {
    #[test]
    fn events_come_back(events in prop::collection::vec(any_event(), 0..8), limit in 1usize..40) {
        let batch = built(&events, limit);
        prop_assert_eq!(given_back(&batch), events);
    }

    #[test]
    fn events_survive_files_and_merging(
        parts in prop::collection::vec(prop::collection::vec(any_event(), 0..5), 1..4),
        limit in 1usize..40,
    ) {
        let batches: Vec<EventBatch> = parts.iter().map(|p| built(p, 40)).collect();
        let events: Vec<Value> = parts.into_iter().flatten().collect();
        let merged = EventBatch::concat(&batches, limit).unwrap();
        prop_assert_eq!(given_back(&merged), events.clone());
        let own = merged.columns().iter().filter(|c| c.origin == Origin::Own);
        prop_assert!(own.count() <= limit);
        let filed = EventBatch::from_record_batch(&merged.to_record_batch().unwrap()).unwrap();
        prop_assert_eq!(given_back(&filed), events.clone());
        let rows: Vec<u32> = (0..events.len() as u32).rev().collect();
        let reversed: Vec<Value> = events.into_iter().rev().collect();
        prop_assert_eq!(given_back(&filed.take(&rows)), reversed);
    }

    #[test]
    fn a_builder_gives_the_same_when_it_is_used_again(
        parts in prop::collection::vec(any_sparse_lines(), 1..4),
        max_columns in 1usize..60,
    ) {
        let limits = BatchLimits { max_columns, ..BatchLimits::default() };
        let mut again = BatchBuilder::new(limits);
        for lines in parts {
            let mut fresh = BatchBuilder::new(limits);
            let mut events: Vec<Value> = Vec::new();
            for line in &lines {
                let taken = fresh.push(line.as_bytes(), &meta());
                prop_assert_eq!(again.push(line.as_bytes(), &meta()), taken.clone());
                events.extend(taken.ok().and_then(|()| serde_json::from_str(line).ok()));
            }
            let (fresh, again) = (fresh.finish(), again.take());
            prop_assert_eq!(given_back(&fresh), events);
            let files = (fresh.to_record_batch().unwrap(), again.to_record_batch().unwrap());
            prop_assert_eq!(files.0, files.1);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut builder = BatchBuilder::new(BatchLimits::default());
        let _ = builder.push(&line, &meta());
        let _ = builder.finish();
    }
}
