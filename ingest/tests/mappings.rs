//! Lines as services write them, against the fields and times that mappings make of them.
//! The cases are data: `tests/mappings/*.yml`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};
use watchfire_event::{BatchLimits, RowMeta, time};
use watchfire_ingest::{Mappings, build_batch};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    line: String,
    time: String,
    #[serde(default)]
    flags: Vec<String>,
    mapped: Map<String, Value>,
}

const RECEIVED: &str = "2026-03-01T12:00:00Z";

fn cases() -> Vec<(String, Case)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mappings");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        let cases: Vec<Case> =
            yaml_serde::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        all.extend(cases.into_iter().map(|case| (name.clone(), case)));
    }
    all
}

fn meta() -> RowMeta {
    RowMeta {
        received_ns: time::parse_timestamp(RECEIVED).unwrap(),
        source: "test".into(),
    }
}

#[test]
fn lines_are_mapped_as_the_files_say() {
    let mappings = Mappings::builtin().unwrap();
    let mut faults = Vec::new();
    for (file, case) in cases() {
        let lines = [case.line.as_bytes()];
        let (batch, rejected) = build_batch(&lines, &meta(), BatchLimits::default(), &mappings);
        assert!(rejected.is_empty(), "{file}: {}: {rejected:?}", case.name);
        let mapped = batch.mapped_json(0);
        for name in mapped.keys().chain(case.mapped.keys()) {
            if mapped.get(name) != case.mapped.get(name) {
                let (is, should) = (mapped.get(name), case.mapped.get(name));
                faults.push(format!(
                    "{file}: {}: {name}: {is:?}, not {should:?}",
                    case.name
                ));
            }
        }
        let time = time::to_rfc3339(batch.time().value(0));
        let wanted = time::to_rfc3339(time::parse_timestamp(&case.time).unwrap());
        if (&time, batch.flags(0)) != (&wanted, case.flags.clone()) {
            let (flags, wanted_flags) = (batch.flags(0), case.flags);
            faults.push(format!(
                "{file}: {}: {time} {flags:?}, not {wanted} {wanted_flags:?}",
                case.name
            ));
        }
        let event: Value = serde_json::from_str(&case.line).unwrap();
        assert_eq!(
            batch.event_json(0),
            event,
            "{file}: {}: the event changed",
            case.name
        );
    }
    faults.dedup();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Mapping many shapes in one batch gives each line what it gets alone.
#[test]
fn a_mixed_batch_maps_each_line_as_if_it_were_alone() {
    let mappings = Mappings::builtin().unwrap();
    let cases = cases();
    let lines: Vec<&[u8]> = cases.iter().map(|(_, case)| case.line.as_bytes()).collect();
    let (together, _) = build_batch(&lines, &meta(), BatchLimits::default(), &mappings);
    assert_eq!(together.rows(), lines.len());
    for (row, (file, case)) in cases.iter().enumerate() {
        let (alone, _) = build_batch(
            &lines[row..=row],
            &meta(),
            BatchLimits::default(),
            &mappings,
        );
        let context = format!("{file}: {}", case.name);
        assert_eq!(together.mapped_json(row), alone.mapped_json(0), "{context}");
        assert_eq!(
            together.time().value(row),
            alone.time().value(0),
            "{context}"
        );
        assert_eq!(together.flags(row), alone.flags(0), "{context}");
    }
}

/// A field that finds no column is mapped all the same, and so is the time.
#[test]
fn fields_beyond_the_column_limit_are_mapped() {
    let mappings = Mappings::builtin().unwrap();
    let cases = cases();
    for max_columns in [0, 1, 3, 10, 40] {
        let limits = BatchLimits {
            max_columns,
            ..BatchLimits::default()
        };
        let lines: Vec<&[u8]> = cases.iter().map(|(_, case)| case.line.as_bytes()).collect();
        let (narrow, _) = build_batch(&lines, &meta(), limits, &mappings);
        let (wide, _) = build_batch(&lines, &meta(), BatchLimits::default(), &mappings);
        for (row, (file, case)) in cases.iter().enumerate() {
            let context = format!("{file}: {} with {max_columns} columns", case.name);
            assert_eq!(narrow.mapped_json(row), wide.mapped_json(row), "{context}");
            assert_eq!(
                narrow.time().value(row),
                wide.time().value(row),
                "{context}"
            );
            assert_eq!(narrow.event_json(row), wide.event_json(row), "{context}");
        }
    }
}

#[test]
fn a_broken_mapping_file_is_refused_with_its_name() {
    let table = [
        ("no map", "name: x\n"),
        ("unknown key", "name: x\nmap: []\nwhere: 1\n"),
        ("no source", "name: x\nmap: [{to: a}]\n"),
        (
            "unknown take",
            "name: x\nmap: [{to: a, from: b, take: shout}]\n",
        ),
        ("not yaml", "\t{"),
    ];
    for (what, text) in table {
        let error = Mappings::none().add("mine.yml", text).expect_err(what);
        assert!(
            error.to_string().starts_with("mapping mine.yml: "),
            "{error}"
        );
    }
}
