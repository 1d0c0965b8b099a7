//! The error contract of `POST /api/v1/events`, case by case.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::Fixture;

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
    ("[{\"a\":1}]\n[{\"a\":2},{\"a\":3}]\n", 200, (3, 0, 0), &[]),
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
