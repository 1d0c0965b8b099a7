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

fn run(args: &[&str], dir: &Path) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchfire"));
    let output = command.args(args).current_dir(dir).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

#[test]
fn threat_lists_are_read_offline_and_taken_to_be_there_where_rules_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "own/listed.yml",
        "title: Listed\nid: listed\nname: listed\ndetection:\n  a: { source.ip|expand: \
         '%intel.bad%' }\n  condition: a\n---\ntitle: Often\nid: often\ncorrelation:\n  type: \
         event_count\n  rules: [listed]\n  timespan: 5m\n  generate: true\n  condition: { gte: \
         9 }\n",
    );
    write("lists/bad.txt", "203.0.113.0/24\n");
    write("events.json", "{\"source\":{\"ip\":\"203.0.113.5\"}}\n");
    let (code, said) = run(&["rules", "check", "own"], dir.path());
    assert!(
        said.contains("note: the threat list bad is taken to be there"),
        "{said}"
    );
    assert!(
        code == 0 && said.contains("2 rules loaded, 0 left out"),
        "{said}"
    );
    let (code, said) = run(&["rules", "check", "own", "--intel", "lists"], dir.path());
    assert!(code == 0 && !said.contains("note"), "{said}");
    write("lists/bad.txt", "");
    std::fs::rename(
        dir.path().join("lists/bad.txt"),
        dir.path().join("lists/worse.txt"),
    )
    .unwrap();
    let (code, said) = run(&["rules", "check", "own", "--intel", "lists"], dir.path());
    assert!(code == 1 && said.contains("unknown_list"), "{said}");

    write("lists/bad.txt", "203.0.113.0/24\n");
    let detect = ["detect", "--no-pack", "--rules", "own", "events.json"];
    let (_, said) = run(&detect, dir.path());
    assert!(said.contains("unknown_list"), "{said}");
    let (_, said) = run(&[&detect[..], &["--intel", "lists"]].concat(), dir.path());
    assert!(said.contains("\"detector\":\"sigma:listed\""), "{said}");
    let (code, said) = run(&[&detect[..], &["--intel", "gone"]].concat(), dir.path());
    assert!(code != 0 && said.contains("gone does not exist"), "{said}");
}

#[test]
fn pipelines_beside_rules_apply_wherever_rules_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    // A folder that is called as the pack's is: its pipelines are not for the pack.
    write(
        "rules/root.yml",
        "title: Admin\nid: admin\ndetection:\n  a: { User|expand: '%admins%' }\n  condition: a\n",
    );
    write(
        "rules/pipelines/site.yml",
        "name: site\nvars: { admins: [root, toor] }\ntransformations:\n- type: \
         value_placeholders\n- type: field_name_prefix\n  prefix: site.\n",
    );
    write(
        "events.json",
        "{\"site.User\":\"toor\"}\n{\"site.User\":\"guest\"}\n",
    );
    write("event.json", "{\"site.User\":\"root\"}\n");
    for rules in ["rules", "rules/root.yml"] {
        let (code, said) = run(&["rules", "check", rules], dir.path());
        assert!(code == 0, "{said}");
        assert!(
            said.contains("pipeline site (priority 0) changed 1 rule\n"),
            "{said}"
        );
    }
    let (code, said) = run(&["detect", "--rules", "rules", "events.json"], dir.path());
    assert!(code == 0 && said.contains("sigma:admin"), "{said}");
    assert!(!said.contains("left out"), "{said}");
    let (code, said) = run(
        &["rules", "explain", "rules/root.yml", "event.json"],
        dir.path(),
    );
    assert!(code == 0 && said.contains("site.User"), "{said}");
    std::fs::remove_file(dir.path().join("rules/pipelines/site.yml")).unwrap();
    let (code, said) = run(&["rules", "check", "rules"], dir.path());
    assert!(
        code == 1 && said.contains("rules/root.yml:4: unresolved_placeholder"),
        "{said}"
    );
    assert!(said.contains("%admins%"), "{said}");
}
