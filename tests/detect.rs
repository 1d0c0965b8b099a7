//! `watchfire detect` over files: the same alerts with any number of threads.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::{Command, Output};

const RULES: &str = "
title: Odd path
id: odd
name: odd
logsource: { category: webserver }
detection:
    selection: { cs-uri-query|contains: '/odd' }
    condition: selection
level: low
---
title: Many odd paths
id: many
correlation:
    type: event_count
    rules: [odd]
    group-by: [source.ip]
    timespan: 5m
    generate: true
    condition: { gte: 3 }
level: high
";

fn detect(rules: &Path, threads: &str, files: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_watchfire"))
        .args(["detect", "--no-pack", "--stats", "--threads", threads])
        .arg("--rules")
        .arg(rules)
        .args(files)
        .output()
        .unwrap()
}

/// Lines of `from..to`: one in 50 is odd, one is no event.
fn lines(from: u32, to: u32) -> String {
    let line = |n: u32| {
        if n == 777 {
            return "no event\n".to_owned();
        }
        let path = if n.is_multiple_of(50) { "odd" } else { "even" };
        let (minute, second, ip) = (n / 60 % 60, n % 60, n / 50 % 2);
        format!(
            "{{\"@timestamp\":\"2026-11-02T09:{minute:02}:{second:02}Z\",\
             \"url\":{{\"path\":\"/{path}/{n}\"}},\"source\":{{\"ip\":\"192.0.2.{ip}\"}}}}\n"
        )
    };
    (from..to).map(line).collect()
}

#[test]
fn alerts_do_not_depend_on_the_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules.yml");
    std::fs::write(&rules, RULES).unwrap();
    let (first, second) = (dir.path().join("a"), dir.path().join("b"));
    // Many batches, and a last line without an end.
    std::fs::write(&first, lines(0, 30_000).trim_end()).unwrap();
    std::fs::write(&second, lines(30_000, 50_000)).unwrap();
    let alone = detect(&rules, "1", &[&first, &second]);
    assert!(alone.status.success(), "{alone:?}");
    let told = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert!(told.contains("\"events\":49999"), "{told}");
    assert!(told.contains("\"rejected\":1"), "{told}");
    let alerts = String::from_utf8_lossy(&alone.stdout).into_owned();
    assert!(alerts.contains("sigma:odd") && alerts.contains("sigma:many"));
    for threads in ["2", "5"] {
        let together = detect(&rules, threads, &[&first, &second]);
        assert_eq!(String::from_utf8_lossy(&together.stdout), alerts);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_ends_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules.yml");
    std::fs::write(&rules, RULES).unwrap();
    let (first, missing) = (dir.path().join("a"), dir.path().join("missing"));
    std::fs::write(&first, lines(0, 30_000)).unwrap();
    for threads in ["1", "3"] {
        let run = detect(&rules, threads, &[&first, &missing]);
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!run.status.success() && told.contains("missing"), "{told}");
    }
}
