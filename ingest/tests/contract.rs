//! The error contract of `POST /api/v1/events`, case by case.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::Fixture;
use watchfire_event::CommitError;

/// Body, status, (accepted, duplicate, rejected), codes of rejected lines with their numbers.
type Case = (
    &'static str,
    u16,
    (u64, u64, u64),
    &'static [(u64, &'static str)],
);

const BODIES: &[Case] = &[
    (r#"{"a":1}"#, 200, (1, 0, 0), &[]),
    ("{\"a\":1}\n{\"a\":2}\n", 200, (2, 0, 0), &[]),
    ("{\"a\":1}\r\n\r\n  \n{\"a\":2}\r\n", 200, (2, 0, 0), &[]),
    ("\u{feff}{\"a\":1}", 200, (1, 0, 0), &[]),
    (r#"[{"a":1},{"b":"],["}]"#, 200, (2, 0, 0), &[]),
    (
        "[\n  {\n    \"a\": 1\n  },\n  {\"b\":\n2}\n]\n",
        200,
        (2, 0, 0),
        &[],
    ),
    (
        "{\n  \"a\": {\n    \"b\": [1,\n2]\n  }\n}\n",
        200,
        (1, 0, 0),
        &[],
    ),
    ("{\n\"a\": 1\n}\n{\n\"a\": 2\n}\n", 200, (2, 0, 0), &[]),
    (
        "[{\"a\":1}]\n[{\"a\":2}]\n",
        400,
        (0, 0, 2),
        &[(1, "not_object"), (2, "not_object")],
    ),
    (
        "{\"a\":1}\n[{\"a\":2}]\n",
        200,
        (1, 0, 1),
        &[(2, "not_object")],
    ),
    (
        "{\"a\":1}\nnope\n{\"a\":2}",
        200,
        (2, 0, 1),
        &[(2, "invalid_json")],
    ),
    ("{\"a\":1}\n\n17\n", 200, (1, 0, 1), &[(3, "not_object")]),
    (
        "{\"a\":\n{\"b\":2}\n{\"c\":3}\n",
        200,
        (2, 0, 1),
        &[(1, "invalid_json")],
    ),
    (
        r#"[{"a":1},{bad},{"b":2}]"#,
        200,
        (2, 0, 1),
        &[(2, "invalid_json")],
    ),
    (
        r#"[{"a":1},null,"x",[],{"b":2}]"#,
        200,
        (2, 0, 3),
        &[(2, "not_object"), (3, "not_object")],
    ),
    (r#"[{"a":1},]"#, 200, (1, 0, 1), &[(2, "invalid_json")]),
    (r#"[{"a":1},{"b":2}"#, 200, (2, 0, 0), &[]),
    (r#"[{"a":1},{"b":"#, 200, (1, 0, 1), &[(2, "invalid_json")]),
    (
        "[{\"a\":\"x\ny\"},{\"b\":2}]",
        200,
        (1, 0, 1),
        &[(1, "invalid_json")],
    ),
    (
        "{\"a\":1}\n[1,\n{\"b\":2}\n",
        200,
        (2, 0, 1),
        &[(2, "invalid_json")],
    ),
    (
        r#"{"a":1e999}"#,
        400,
        (0, 0, 1),
        &[(1, "number_out_of_range")],
    ),
    (r#"{"a":1}{"b":2}"#, 200, (2, 0, 0), &[]),
    ("", 400, (0, 0, 0), &[]),
    (" \n\r\n", 400, (0, 0, 0), &[]),
    ("[]", 400, (0, 0, 0), &[]),
    ("hello", 400, (0, 0, 1), &[(1, "invalid_json")]),
    ("null", 400, (0, 0, 1), &[(1, "not_object")]),
    (
        "\"{}\"\n12\n",
        400,
        (0, 0, 2),
        &[(1, "not_object"), (2, "not_object")],
    ),
];

#[tokio::test]
async fn every_body_is_answered_line_by_line() {
    for (body, status, counts, codes) in BODIES {
        let fixture = Fixture::new();
        let answer = fixture.events(*body).await;
        assert_eq!(answer.status, *status, "{body:?}: {:?}", answer.json());
        assert_eq!(answer.counts(), *counts, "{body:?}: {:?}", answer.json());
        let rejected = answer.json()["rejected"].clone();
        for (i, (line, code)) in codes.iter().enumerate() {
            assert_eq!(rejected[i]["line"], *line, "{body:?}");
            assert_eq!(rejected[i]["code"], *code, "{body:?}");
            assert!(
                rejected[i]["message"].as_str().unwrap().len() > 3,
                "{body:?}"
            );
        }
        assert_eq!(
            fixture.log.with(|s| s.dead.len() as u64),
            counts.2,
            "{body:?}"
        );
        assert_eq!(fixture.log.with(|s| s.head), counts.0, "{body:?}");
        if *status == 400 {
            assert_eq!(answer.code(), "no_usable_line");
            assert_eq!(answer.header("content-type"), "application/problem+json");
        }
    }
}

/// Headers, body, status, code of the problem document.
type HeaderCase = (
    &'static [(&'static str, &'static str)],
    &'static str,
    u16,
    &'static str,
);

const HEADERS: &[HeaderCase] = &[
    (&[("content-type", "application/json")], "{}", 200, ""),
    (&[("content-type", "application/x-ndjson")], "{}", 200, ""),
    (
        &[("content-type", "application/x-www-form-urlencoded")],
        "{}",
        200,
        "",
    ),
    (&[("content-type", "text/html")], "{}", 200, ""),
    (
        &[("content-type", "text/html")],
        "<p>",
        415,
        "unsupported_media_type",
    ),
    (
        &[("content-type", "application/xml; charset=utf-8")],
        "<a/>",
        415,
        "unsupported_media_type",
    ),
    (
        &[("content-type", "text/plain")],
        "<a/>",
        400,
        "no_usable_line",
    ),
    (&[("content-encoding", "identity")], "{}", 200, ""),
    (
        &[("content-encoding", "br")],
        "{}",
        415,
        "unsupported_encoding",
    ),
    (
        &[("content-encoding", "gzip, gzip")],
        "{}",
        415,
        "unsupported_encoding",
    ),
    (
        &[("content-encoding", "gzip")],
        "{}",
        400,
        "invalid_encoding",
    ),
    (
        &[("content-encoding", "zstd")],
        "{}",
        400,
        "invalid_encoding",
    ),
    (
        &[("content-encoding", "deflate")],
        "{}",
        400,
        "invalid_encoding",
    ),
    (
        &[("content-length", "999999999999")],
        "{}",
        413,
        "body_too_large",
    ),
    (&[("idempotency-key", "")], "{}", 400, "invalid_request"),
];

#[tokio::test]
async fn headers_decide_before_lines_do() {
    for (headers, body, status, code) in HEADERS {
        let fixture = Fixture::new();
        let answer = fixture.post("/api/v1/events", headers, *body).await;
        assert_eq!(
            answer.status,
            *status,
            "{headers:?} {body:?}: {:?}",
            answer.json()
        );
        assert_eq!(answer.code(), *code, "{headers:?} {body:?}");
        if *status != 200 {
            assert_eq!(answer.header("content-type"), "application/problem+json");
            assert_eq!(answer.json()["status"], *status);
            assert_eq!(fixture.log.with(|s| s.head), 0);
        }
    }
}

#[tokio::test]
async fn a_body_of_another_kind_is_kept_as_a_dead_letter() {
    let fixture = Fixture::new();
    fixture
        .post(
            "/api/v1/events",
            &[("content-type", "text/html")],
            "<p>hello",
        )
        .await;
    fixture
        .post(
            "/api/v1/events",
            &[("content-encoding", "gzip")],
            "not gzip",
        )
        .await;
    let dead = fixture.log.with(|s| s.dead.clone());
    let kept: Vec<_> = dead
        .iter()
        .map(|d| (d.line, d.code, d.bytes.as_slice()))
        .collect();
    let expected: [(u32, &str, &[u8]); 2] = [
        (0, "unsupported_media_type", b"<p>hello"),
        (0, "invalid_encoding", b"not gzip"),
    ];
    assert_eq!(kept, expected);
}

/// State of the log, status, code, whether trying again is suggested.
#[tokio::test]
async fn a_log_that_does_not_take_is_said_with_its_reason() {
    let table = [
        (CommitError::Overloaded("readers".into()), 429, "overloaded"),
        (CommitError::DiskReserve, 503, "disk_reserve"),
        (CommitError::LogFailed("sync".into()), 503, "wal_failed"),
        (CommitError::Draining, 503, "draining"),
    ];
    for (error, status, code) in table {
        for early in [true, false] {
            let fixture = Fixture::new();
            fixture.log.with(|s| match early {
                true => s.closed = Some(error.clone()),
                false => s.failures.push(error.clone()),
            });
            let answer = fixture.events(r#"{"a":1}"#).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (status, code)
            );
            assert!(
                answer.header("retry-after").parse::<u32>().unwrap() > 0,
                "{code}"
            );
            assert_eq!(fixture.log.with(|s| s.head), 0);
            fixture.log.with(|s| s.closed = None);
            assert_eq!(
                fixture.events(r#"{"a":1}"#).await.counts(),
                (1, 0, 0),
                "it heals"
            );
        }
    }
}

#[tokio::test]
async fn a_bad_line_anywhere_leaves_its_neighbours_alone() {
    for bad in 0..100_u64 {
        let fixture = Fixture::new();
        // In an array a missing bracket would take the next element along.
        let array = bad % 2 == 1;
        let broken = if array { "{\"n\":}" } else { "{\"n\":1" };
        let line = |i| {
            if i == bad {
                broken.into()
            } else {
                format!("{{\"n\":{i}}}")
            }
        };
        let lines: Vec<String> = (0..100).map(line).collect();
        let body = if array {
            format!("[{}]", lines.join(","))
        } else {
            lines.join("\n")
        };
        let answer = fixture.events(body).await;
        assert_eq!(answer.counts(), (99, 0, 1), "bad line {bad}");
        assert_eq!(answer.json()["rejected"][0]["line"], bad + 1);
        assert_eq!(fixture.log.lines().len(), 99);
        let dead = fixture.log.with(|s| s.dead.clone());
        assert_eq!((dead.len(), dead[0].line), (1, bad as u32 + 1));
        assert_eq!(dead[0].bytes, broken.as_bytes());
    }
}

#[tokio::test]
async fn limits_of_a_line_cost_only_the_line() {
    let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let arrays = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(10 << 20));
    let wide: Vec<String> = (0..50_000).map(|i| format!("\"k{i}\":{i}")).collect();
    let cases: [(Vec<u8>, &str); 7] = [
        (deep.into_bytes(), "too_deep"),
        (arrays.into_bytes(), "too_deep"),
        (long.into_bytes(), "line_too_large"),
        (b"{\"a\":\"\xff\xfe\"}".to_vec(), "invalid_utf8"),
        (b"{\"a\":1e400}".to_vec(), "number_out_of_range"),
        (b"{\"a\":\"\x01\"}".to_vec(), "invalid_json"),
        (format!("{{{}}}", wide.join(",")).into_bytes(), ""),
    ];
    for (line, code) in cases {
        let fixture = Fixture::new();
        let body = [b"{\"n\":1}\n".as_slice(), &line, b"\n{\"n\":2}"].concat();
        let answer = fixture.events(body).await;
        if code.is_empty() {
            assert_eq!(answer.counts(), (3, 0, 0));
            continue;
        }
        assert_eq!(
            answer.counts(),
            (2, 0, 1),
            "{code}: {:?}",
            answer.json()["rejected"]
        );
        assert_eq!(answer.json()["rejected"][0]["code"], code);
        let kept = fixture.log.with(|s| s.dead[0].bytes.clone());
        assert_eq!(kept, line[..line.len().min(64 << 10)]);
    }
}

#[tokio::test]
async fn the_receipt_names_range_and_digest_of_the_accepted_lines() {
    let fixture = Fixture::new();
    fixture.events("{\"a\":1}").await;
    let answer = fixture.events("{\"a\":1}\nbad\n  {\"b\": 2} \n").await;
    let digest: String = sha2_hex(b"{\"a\":1}\n{\"b\": 2}")
        .chars()
        .take(32)
        .collect();
    assert_eq!(answer.json()["receipt"], format!("2-3-{digest}"));
    assert_eq!(
        fixture.log.lines(),
        ["{\"a\":1}", "{\"a\":1}", "{\"b\": 2}"]
    );
}

fn sha2_hex(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}
