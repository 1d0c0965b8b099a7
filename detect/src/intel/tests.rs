//! Lists in every form that feeds have, and what is asked of them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use watchfire_event::query::NoLists;
use watchfire_event::{BatchBuilder, BatchLimits, Query, RowMeta};

const NOW: i64 = 1_790_000_000_000_000_000;

fn set(files: &[(&str, &str)]) -> (IntelSet, Vec<RuleFault>) {
    let mut set = IntelSet::new();
    let add = |(path, text): &(&str, &str)| set.add(&IntelFile { path, text }, NOW);
    let faults = files.iter().flat_map(add).collect();
    (set, faults)
}

fn found(set: &IntelSet, list: &str, value: &str) -> Option<String> {
    set.find(list, value).map(|listed| listed.indicator)
}

#[test]
fn a_plain_list_of_everything() {
    let text = "# remark\n203.0.113.7\n198.51.100.0/24 ; SBL1\n198.51.100.128/25\n\
        2001:db8::/32\n[2001:db9::1]\n*.Evil.example.\nbad[.]example\nhxxp://x.example/#a\n\
        d41d8cd98f00b204e9800998ecf8427e\n192.0.2.9:8080\nnonsense here\n1.2.3\n";
    let (set, faults) = set(&[("feeds/mixed list.txt", text)]);
    let expected = [
        ("203.0.113.7", Some("203.0.113.7")),
        ("::ffff:203.0.113.7", Some("203.0.113.7")),
        ("203.0.113.8", None),
        ("198.51.100.9", Some("198.51.100.0/24")),
        ("198.51.100.200", Some("198.51.100.128/25")),
        ("2001:db8:1::5", Some("2001:db8::/32")),
        ("2001:db9::1", Some("2001:db9::1")),
        ("192.0.2.9", Some("192.0.2.9")),
        ("a.b.EVIL.example", Some("evil.example")),
        ("evil.example:443", Some("evil.example")),
        ("notevil.example", None),
        ("example", None),
        ("bad.example.", Some("bad.example")),
        ("http://x.example/#a", Some("http://x.example/#a")),
        ("http://x.example/", None),
        (
            "D41D8CD98F00B204E9800998ECF8427E",
            Some("d41d8cd98f00b204e9800998ecf8427e"),
        ),
        ("d41d8cd98f00b204e9800998ecf8427f", None),
        ("", None),
    ];
    for (value, indicator) in expected {
        assert_eq!(
            found(&set, "mixed_list", value).as_deref(),
            indicator,
            "{value}"
        );
        assert_eq!(found(&set, "*", value).as_deref(), indicator, "{value}");
    }
    let list = set.get("mixed_list").unwrap();
    let counts = KindCounts {
        addresses: 3,
        networks: 3,
        domains: 2,
        hashes: 1,
        urls: 1,
    };
    assert_eq!((list.counts(), list.skipped), (counts, 2));
    let named: Vec<_> = faults.iter().map(|f| (f.line, f.code)).collect();
    assert_eq!(
        named,
        [
            (Some(12), "invalid_indicator"),
            (Some(13), "invalid_indicator")
        ]
    );
}

#[test]
fn csv_by_its_header_with_expiry() {
    let (set, faults) = set(&[
        (
            "a.csv",
            "Name,IP Address,Valid Until\n\"x, y\",192.0.2.1,2020-01-01T00:00:00Z\n\
             z,\"192.0.2.2\",2199-01-01T00:00:00Z\nw,192.0.2.3,\nv,192.0.2.4,soon\n\
             u,192.0.2.5,9999-12-31\n",
        ),
        (
            "b.csv",
            "# a feed\n# \"first_seen_utc\",\"ioc_value\"\n\"2026-01-01\", \"evil.example\"\n",
        ),
        ("c.csv", "one,two\n1,2\n"),
    ]);
    for (value, there) in [
        ("192.0.2.1", false),
        ("192.0.2.2", true),
        ("192.0.2.3", true),
        ("192.0.2.5", true),
    ] {
        assert_eq!(found(&set, "a", value).is_some(), there, "{value}");
    }
    let list = set.get("a").unwrap();
    assert_eq!((list.expired, list.skipped), (1, 1));
    assert_eq!(
        set.next_expiry_ns(),
        watchfire_event::time::parse_timestamp("2199-01-01T00:00:00Z")
    );
    assert!(found(&set, "b", "www.evil.example").is_some());
    assert!(set.get("c").is_none());
    let codes: Vec<_> = faults.iter().map(|f| (f.path.as_str(), f.code)).collect();
    assert_eq!(
        codes,
        [("a.csv", "invalid_indicator"), ("c.csv", "invalid_list")]
    );
}

#[test]
fn stix_patterns_of_values() {
    let indicator = |id: &str, pattern: &str, more: &str| {
        format!(r#"{{"type":"indicator","id":"{id}","pattern":"{pattern}"{more}}}"#)
    };
    let objects = [
        indicator("i1", "[ipv4-addr:value = '192.0.2.0/28']", ""),
        indicator(
            "i2",
            "[domain-name:value='evil.example' OR url:value = 'http://e.example/\\\\'x']",
            "",
        ),
        indicator(
            "i3",
            "[file:hashes.'SHA-256' = 'zz'] OR \
             [file:hashes.MD5 IN ('d41d8cd98f00b204e9800998ecf8427e')]",
            "",
        ),
        indicator(
            "i4",
            "[ipv4-addr:value = '192.0.2.99']",
            r#","valid_until":"2020-01-01T00:00:00Z""#,
        ),
        indicator(
            "i5",
            "[ipv4-addr:value = '192.0.2.98']",
            r#","revoked":true"#,
        ),
        indicator(
            "i6",
            "[ipv4-addr:value = '192.0.2.97' AND url:value = 'x']",
            "",
        ),
        indicator("i7", "[process:name = 'x']", ""),
        r#"{"type":"malware","name":"x"}"#.to_owned(),
    ];
    let text = format!(
        r#"{{"type":"bundle","id":"b","objects":[{}]}}"#,
        objects.join(",")
    );
    let (set, faults) = set(&[("s.json", &text), ("broken.json", "{\"type\":\"bundle\",")]);
    for (value, there) in [
        ("192.0.2.5", true),
        ("192.0.2.16", false),
        ("www.evil.example", true),
        ("http://e.example/'x", true),
        ("d41d8cd98f00b204e9800998ecf8427e", true),
        ("192.0.2.99", false),
        ("192.0.2.98", false),
        ("192.0.2.97", false),
    ] {
        assert_eq!(found(&set, "s", value).is_some(), there, "{value}");
    }
    assert_eq!(
        (set.get("s").unwrap().skipped, set.get("s").unwrap().expired),
        (3, 1)
    );
    assert_eq!(faults.last().map(|f| f.code), Some("invalid_list"));
}

#[test]
fn names_come_from_files_and_must_differ() {
    let (set, faults) = set(&[
        ("x/tor exits.txt", "192.0.2.1"),
        ("y/tor_exits.csv", "ip\n192.0.2.2"),
        ("y/9lives.txt", "192.0.2.2"),
    ]);
    let names: Vec<_> = set.lists().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["tor_exits"]);
    let codes: Vec<_> = faults.iter().map(|f| f.code).collect();
    assert_eq!(codes, ["duplicate_id", "invalid_list"]);
}

#[test]
fn queries_name_lists() {
    let (set, _) = set(&[("bad.txt", "192.0.2.0/24\nevil.example\n")]);
    let events = [
        r#"{"source":{"ip":"192.0.2.7"},"n":1}"#,
        r#"{"source":{"ip":"198.51.100.1"},"dns":"a.evil.example"}"#,
        r#"{"ips":["10.0.0.1","192.0.2.8"],"text":"@bad @example.org"}"#,
    ];
    let mut builder = BatchBuilder::new(BatchLimits::default());
    let meta = RowMeta {
        received_ns: 0,
        source: "t".into(),
    };
    events
        .iter()
        .for_each(|e| builder.push(e.as_bytes(), &meta).unwrap());
    let batch = builder.finish();
    for (text, rows) in [
        ("source.ip:@bad", &[0][..]),
        ("NOT source.ip:@bad", &[1, 2]),
        ("ips:@bad", &[2]),
        ("@bad", &[0, 1, 2]),
        ("@bad AND n:1", &[0]),
        ("text:\"@bad @example.org\"", &[2]),
        ("text:\"@bad\"", &[2]),
        ("@example.org", &[2]),
    ] {
        let query = Query::parse_with(text, &set).unwrap();
        let found: Vec<_> = query.matches(&batch).set_indices().collect();
        assert_eq!(found, rows, "{text}");
    }
    let error = Query::parse_with("n:1 AND source.ip:@worse", &set).unwrap_err();
    assert_eq!((error.code, error.position), ("unknown_list", 18));
    assert_eq!(
        Query::parse_with("a:@bad", &NoLists).unwrap_err().code,
        "unknown_list"
    );
    // What is remembered by the key must not outlive the list.
    let key = |set: &IntelSet| Query::parse_with("a:@bad", set).unwrap().key().to_owned();
    let (other, _) = self::set(&[("bad.txt", "192.0.2.0/25\n")]);
    assert_ne!(key(&set), key(&other));
    assert_eq!(key(&set), key(&set.clone()));
}
