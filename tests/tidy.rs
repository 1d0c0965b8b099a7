//! The house rules of `docs/STYLE.md` as a test: what a machine can check, a machine checks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 70;
const MAX_COLUMNS: usize = 100;

/// Files that may break a rule: (path, rule, reason).
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "web/src/lib.rs",
        "function length",
        "the list of routes, one entry each",
    ),
    (
        "detect/src/sigma/taxonomy.rs",
        "function length",
        "a table: field names of hosts' logs",
    ),
    (
        "store/examples/store_figures.rs",
        "function length",
        "a list of measurements, one after the other",
    ),
    (
        "store/tests/meta_alerts/main.rs",
        "function length",
        "one story told from beginning to end",
    ),
    (
        "store/tests/meta_alerts/outbox.rs",
        "function length",
        "one story told from beginning to end",
    ),
    ("web/tests/people.rs", "function length", "a table of cases"),
    (
        "detect/tests/rules.rs",
        "function length",
        "a table of cases",
    ),
    (
        "event/src/query/tests.rs",
        "function length",
        "a table of cases",
    ),
];

/// What each crate may depend on among ours.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("ingest", &["event"]),
    ("store", &["event"]),
    ("detect", &["event"]),
    ("web", &["event", "store", "detect"]),
];

const BANNED_MODULES: &[&str] = &[
    "common", "core", "util", "utils", "helpers", "types", "misc",
];

#[test]
fn source_files_keep_the_house_rules() {
    let files = files_with(&["rs"]);
    assert!(files.len() > 10, "only {} source files found", files.len());
    let mut faults = Faults::default();
    for path in &files {
        let text = fs::read_to_string(root().join(path)).unwrap();
        check_source(path, &text, &mut faults);
    }
    faults.report();
}

#[test]
fn scripts_and_styles_keep_to_the_file_length() {
    let mut faults = Faults::default();
    for path in files_with(&["js", "mjs", "css", "py", "sh"]) {
        let lines = fs::read_to_string(root().join(&path))
            .unwrap()
            .lines()
            .count();
        faults.check(lines <= MAX_FILE_LINES, &path, "file length", || {
            format!("{lines} lines")
        });
    }
    faults.report();
}

#[test]
fn nothing_is_left_unfinished_or_bound_to_a_machine() {
    // Written in pieces, so that this file does not find itself.
    let unfinished = ["TO DO", "FIX ME", "unimpl emented!", "to do!(", "X XX"];
    let machine = ["/ho me/", "/ro ot/", "/wo rk/", "C:\\ Users"];
    let mut faults = Faults::default();
    for path in files_with(&[
        "rs", "js", "mjs", "css", "html", "md", "toml", "yml", "py", "sh",
    ]) {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        for (rule, words) in [
            ("unfinished", &unfinished[..]),
            ("machine path", &machine[..]),
        ] {
            for word in words.iter().map(|word| word.replace(' ', "")) {
                let at = text.lines().position(|line| line.contains(&word));
                faults.check(at.is_none(), &path, rule, || {
                    format!("line {}: {word}", at.unwrap_or_default() + 1)
                });
            }
        }
    }
    faults.report();
}

#[test]
fn crates_depend_in_one_direction() {
    let mut faults = Faults::default();
    for (name, allowed) in MAY_DEPEND_ON {
        let path = format!("{name}/Cargo.toml");
        for ours in our_dependencies(&fs::read_to_string(root().join(&path)).unwrap()) {
            faults.check(allowed.contains(&ours.as_str()), &path, "direction", || {
                format!("{name} must not depend on {ours}")
            });
        }
    }
    faults.report();
}

#[test]
fn every_rule_has_tests_and_an_id_of_its_own() {
    let mut faults = Faults::default();
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    let rules: Vec<String> = files_with(&["yml"])
        .into_iter()
        .filter(|path| path.starts_with("rules/") && !path.ends_with(".tests.yml"))
        .collect();
    assert!(rules.len() >= 12, "only {} rule files found", rules.len());
    for path in rules {
        let tests = path.replace(".yml", ".tests.yml");
        let cases = fs::read_to_string(root().join(&tests)).unwrap_or_default();
        for expected in ["expect: alert", "expect: silent"] {
            faults.check(cases.contains(expected), &path, "rule tests", || {
                format!("{tests} has no case with `{expected}`")
            });
        }
        let text = fs::read_to_string(root().join(&path)).unwrap();
        faults.check(text.contains("\nrunbook: "), &path, "runbook", || {
            "none".to_owned()
        });
        for id in text.lines().filter_map(|line| line.strip_prefix("id: ")) {
            let detector = text.starts_with("detector: ") && id.contains('.');
            let ok = detector || is_uuid(id);
            faults.check(ok, &path, "rule id", || format!("{id} is no UUID"));
            let other = ids.insert(id.to_owned(), path.clone());
            faults.check(other.is_none(), &path, "rule id", || {
                format!("{id} is also in {other:?}")
            });
        }
    }
    faults.report();
}

#[test]
fn the_scan_finds_what_it_should() {
    let long = format!("fn a() {{\n{}}}\n", "    b();\n".repeat(80));
    assert_eq!(functions(&long), [("a".to_owned(), 1, 82)]);
    let nested =
        "impl A {\n    pub async fn b(\n        c: u8,\n    ) -> u8 {\n        c\n    }\n}\n";
    assert_eq!(functions(nested), [("b".to_owned(), 2, 5)]);
    assert_eq!(functions("trait A {\n    fn b();\n}\n"), []);
    assert_eq!(functions("    let raw = \"fn\nno\";\n"), []);
    assert!(is_uuid("0d5e5f0c-6b0e-4a53-9a5e-3a1d3f1a7a10"));
    assert!(!is_uuid("0d5e5f0c-6b0e-4a53-9a5e"));
    let manifest = "[dependencies]\nserde.workspace = true\nwatchfire-event.workspace = true\n";
    assert_eq!(our_dependencies(manifest), ["event"]);
}

/// What broke, collected so that one run names everything.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn check(&mut self, holds: bool, path: &str, rule: &str, what: impl FnOnce() -> String) {
        let excepted = EXCEPTIONS
            .iter()
            .any(|(file, name, _)| *file == path && *name == rule);
        if !holds && !excepted {
            self.0.push(format!("{path}: {rule}: {}", what()));
        }
    }

    fn report(self) {
        assert!(
            self.0.is_empty(),
            "{} faults\n{}",
            self.0.len(),
            self.0.join("\n")
        );
    }
}

fn check_source(path: &str, text: &str, faults: &mut Faults) {
    let lines = text.lines().count();
    faults.check(lines <= MAX_FILE_LINES, path, "file length", || {
        format!("{lines} lines")
    });
    faults.check(text.starts_with("//!"), path, "module docs", || {
        "no //! at the top".to_owned()
    });
    for (number, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        // rustfmt cannot break a string; one that stands alone on its line may be longer.
        let literal = line.trim_start().starts_with(['"', 'r', 'b']) && line.contains('"');
        faults.check(
            columns <= MAX_COLUMNS || literal,
            path,
            "line length",
            || format!("line {} has {columns} columns", number + 1),
        );
    }
    for (name, line, length) in functions(text) {
        faults.check(
            length <= MAX_FUNCTION_LINES,
            path,
            "function length",
            || format!("{name} (line {line}) has {length} lines"),
        );
    }
    let name = Path::new(path)
        .file_stem()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    let folder = Path::new(path)
        .parent()
        .and_then(Path::file_name)
        .unwrap_or_default();
    let banned = |name: &str| BANNED_MODULES.contains(&name);
    let ok = !banned(&name) && !banned(&folder.to_string_lossy());
    faults.check(ok, path, "module name", || format!("{name} says nothing"));
    // No `unsafe` outside tests is the compiler's to hold: `unsafe_code = "forbid"`.
}

/// Every function as (name, first line, lines), found by the indentation that rustfmt gives.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let Some(name) = function_name(line.trim_start()) else {
            continue;
        };
        let close = format!("{}}}", &line[..indent]);
        // A declaration without a body ends at a semicolon before any brace opens.
        let opens = lines[start..]
            .iter()
            .position(|line| line.ends_with(['{', '}']));
        let ends = lines[start..].iter().position(|line| line.ends_with(';'));
        if opens.is_none() || ends.is_some_and(|end| opens.is_some_and(|open| end < open)) {
            continue;
        }
        let length = if line.ends_with('}') {
            1
        } else {
            lines[start..]
                .iter()
                .position(|line| **line == close)
                .map_or(1, |end| end + 1)
        };
        found.push((name.to_owned(), start + 1, length));
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line;
    loop {
        if let Some(after) = rest.strip_prefix("fn ") {
            return after.split(['(', '<']).next();
        }
        let prefixes = [
            "pub ",
            "pub(crate) ",
            "pub(super) ",
            "const ",
            "async ",
            "unsafe ",
        ];
        rest = prefixes
            .iter()
            .find_map(|prefix| rest.strip_prefix(prefix))?;
    }
}

/// Names of our crates among the dependencies of a manifest, without the prefix.
fn our_dependencies(manifest: &str) -> Vec<String> {
    let mut ours = Vec::new();
    let mut within = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            within = line == "[dependencies]";
        }
        if let Some(rest) = line.strip_prefix("watchfire-").filter(|_| within) {
            let end = rest.find(['.', ' ', '=']).unwrap_or(rest.len());
            ours.push(rest[..end].to_owned());
        }
    }
    ours
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [8, 4, 4, 4, 12]
        && parts
            .concat()
            .chars()
            .all(|digit| digit.is_ascii_hexdigit())
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Our files with one of these endings, relative to the root, sorted; nothing vendored or built.
fn files_with(endings: &[&str]) -> Vec<String> {
    const SKIP: &[&str] = &["target", "vendor", "node_modules", "watchfire-data"];
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().unwrap().is_dir() {
                let hidden = name.starts_with('.');
                if !hidden && !SKIP.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if endings
                .iter()
                .any(|ending| name.ends_with(&format!(".{ending}")))
            {
                let relative = path.strip_prefix(root()).unwrap();
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
