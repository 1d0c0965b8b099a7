//! Queries against events, as a table.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;
use crate::batch::{BatchBuilder, BatchLimits, EventBatch, RowMeta};

const EVENTS: &[&str] = &[
    r#"{"user":{"id":"u1"},"message":"Login failed for u1","status":401,"ip":"10.1.2.3"}"#,
    r#"{"user":{"id":"u1-admin"},"message":"login ok","status":200,"ip":"192.168.0.9"}"#,
    r#"{"user":{"id":"U2"},"tags":["a","b c"],"ok":true,"ratio":0.5,"ip":"2001:db8::1"}"#,
    r#"{"url":{"path":"/api/v1/orders"},"nums":[3,7],"empty":null,"when":"2026-01-02T03:04:05Z"}"#,
    r#"{"url":{"path":"/api/v1/orders/list"},"items":[{"id":5},{"id":"x y"}],"status":"503"}"#,
    r#"{"big":18446744073709551615,"k:v":"odd","quote":"say \"hi\"","path":"C:\\Windows\\x"}"#,
];

fn events(lines: &[&str]) -> EventBatch {
    let mut builder = BatchBuilder::new(BatchLimits::default());
    let meta = RowMeta {
        received_ns: 1_700_000_000_000_000_000,
        source: "web".into(),
    };
    lines
        .iter()
        .for_each(|l| builder.push(l.as_bytes(), &meta).unwrap());
    builder.finish()
}

fn hits(query: &str) -> Vec<usize> {
    let batch = events(EVENTS);
    let query = Query::parse(query).unwrap_or_else(|e| panic!("{query}: {e}"));
    let mask = query.matches(&batch);
    // A batch with only the needed columns gives the same answer.
    let needs = query.needs();
    assert_eq!(
        mask,
        query.matches(&batch.project(|c| needs.wants(&c.name)))
    );
    (0..batch.rows()).filter(|i| mask.value(*i)).collect()
}

#[test]
fn queries_match_what_they_say() {
    let cases: &[(&str, &[usize])] = &[
        ("", &[0, 1, 2, 3, 4, 5]),
        ("*", &[0, 1, 2, 3, 4, 5]),
        ("user.id:u1", &[0]),
        ("user.id:U1", &[0]),
        ("user.id:u2", &[2]),
        ("user.id:u1*", &[0, 1]),
        ("user.id:u?", &[0, 2]),
        ("user.id:\"u1-admin\"", &[1]),
        ("message:login", &[0, 1]),
        ("message:\"login failed\"", &[0]),
        ("message:\"failed login\"", &[]),
        ("message:fail*", &[0]),
        ("login", &[0, 1]),
        ("orders", &[3, 4]),
        ("\"api v1 orders list\"", &[4]),
        ("login failed", &[0]),
        ("login OR orders", &[0, 1, 3, 4]),
        ("login AND NOT failed", &[1]),
        ("login -failed", &[1]),
        ("NOT login", &[2, 3, 4, 5]),
        ("(login OR orders) AND user.id:*", &[0, 1]),
        ("status:401", &[0]),
        ("status:503", &[4]),
        ("503", &[4]),
        ("401", &[0]),
        ("status:>=401", &[0, 4]),
        ("status:[200 TO 401]", &[0, 1]),
        ("status:{200 TO 401]", &[0]),
        ("status: IN [200 503]", &[1, 4]),
        ("ratio:<1", &[2]),
        ("ratio:0.5", &[2]),
        ("ok:true", &[2]),
        ("ok:false", &[]),
        ("tags:a", &[2]),
        ("tags:c", &[2]),
        ("tags:\"b c\"", &[2]),
        ("nums:7", &[3]),
        ("nums:>7", &[]),
        ("items.id:5", &[4]),
        ("items.id:y", &[4]),
        ("items:*", &[4]),
        ("empty:*", &[]),
        ("url:*", &[3, 4]),
        ("url.path:/api/v1/orders", &[3]),
        ("url.path:/api/v1/*", &[3, 4]),
        ("url.path:/orders$/", &[3]),
        ("ip:10.0.0.0/8", &[0]),
        ("ip:2001:db8::1", &[2]),
        ("ip:2001:db8::/32", &[2]),
        ("ip:0.0.0.0/0", &[0, 1]),
        ("when:>=2026-01-01", &[3]),
        ("when:<2026-01-01", &[]),
        ("@timestamp:[2023-01-01 TO 2024-01-01]", &[0, 1, 2, 3, 4, 5]),
        ("@timestamp:>2024-01-01", &[]),
        ("_seq:[1 TO 2]", &[1, 2]),
        ("_seq:3", &[3]),
        ("_source:web", &[0, 1, 2, 3, 4, 5]),
        ("web", &[]),
        ("big:18446744073709551615", &[5]),
        ("k\\:v:odd", &[5]),
        ("quote:\"say \\\"hi\\\"\"", &[5]),
        ("path:*windows*", &[5]),
        ("nosuch:1", &[]),
        ("NOT nosuch:1", &[0, 1, 2, 3, 4, 5]),
    ];
    for (query, wanted) in cases {
        assert_eq!(hits(query), *wanted, "{query}");
    }
}

#[test]
fn errors_say_where() {
    let cases = [
        ("title:", 6),
        ("(a", 2),
        ("a:\"b", 4),
        ("ip:2001:db8::1 AND (", 20),
        ("a AND", 5),
        ("a:/(/", 0),
        ("\"a b\"~2", 0),
    ];
    for (query, position) in cases {
        let error = Query::parse(query).unwrap_err();
        assert_eq!(error.position, position, "{query}: {error}");
        assert!(!error.message.is_empty());
    }
    assert!(Query::parse(&"(".repeat(5_000)).is_err());
    assert!(Query::parse(&"a ".repeat(20_000)).is_err());
}

#[test]
fn a_combined_query_parses_to_the_same() {
    let query = Query::parse("a:1 OR b:2")
        .unwrap()
        .and(Query::parse("NOT c").unwrap());
    let again = Query::parse(query.text()).unwrap();
    let batch = events(&[r#"{"a":1}"#, r#"{"b":2,"x":"c"}"#, r#"{"x":"d"}"#]);
    assert_eq!(query.matches(&batch), again.matches(&batch));
    assert_eq!(query.matches(&batch).count_set_bits(), 1);
}

/// Queries in which the order of asking could matter.
fn any_query() -> impl Strategy<Value = String> {
    let leaf = proptest::sample::select(vec![
        "a:x",
        "a:*y*",
        "a:/x|z/",
        "a:(x OR yy)",
        "b:1",
        "b:<2",
        "a:*",
        "c:*",
        "x",
        "*z*",
        "*",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|q| format!("(NOT {q})")),
                (proptest::collection::vec(inner, 2..4), any::<bool>()).prop_map(|(all, and)| {
                    format!("({})", all.join(if and { " AND " } else { " OR " }))
                }),
            ]
        })
}

/// Every part asked of every row.
fn plainly(node: &Node, batch: &EventBatch) -> Vec<bool> {
    let all = |list: &[Node]| -> Vec<Vec<bool>> {
        list.iter().map(|node| plainly(node, batch)).collect()
    };
    let rows = 0..batch.rows();
    match node {
        Node::Not(inner) => plainly(inner, batch).iter().map(|b| !b).collect(),
        Node::And(list) => {
            let all = all(list);
            rows.map(|row| all.iter().all(|mask| mask[row])).collect()
        }
        Node::Or(list) => {
            let all = all(list);
            rows.map(|row| all.iter().any(|mask| mask[row])).collect()
        }
        leaf => leaf.matches(batch).iter().collect(),
    }
}

proptest! {
    #[test]
    fn parts_that_are_asked_of_some_rows_say_what_they_say_of_all(query in any_query()) {
        let rows: Vec<String> = ["x", "yy", "xyz", "a z", ""]
            .iter()
            .flat_map(|a| (0..3).map(move |b| format!(r#"{{"a":"{a}","b":{b},"c":null}}"#)))
            .chain([r#"{"c":["x","zz"]}"#.to_owned()])
            .chain([r#"{"a":["x","q"],"d":{"e":"yz"}}"#.to_owned()])
            .collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let batch = events(&rows);
        let query = Query::parse(&query).unwrap();
        let found: Vec<bool> = query.matches(&batch).iter().collect();
        prop_assert_eq!(found, plainly(query.node(), &batch), "{}", query.text());
    }

    #[test]
    fn words_are_found_as_taking_the_text_apart_finds_them(
        words in "[aAbK_1]{1,2}( [aAbK]{1,2})?",
        text in "[aAbBkK_1 .é\u{212a}]{0,12}",
    ) {
        let wanted: Vec<String> = tokens(&words).map(str::to_lowercase).collect();
        let held: Vec<String> = tokens(&text).map(str::to_lowercase).collect();
        let naive = held.windows(wanted.len()).any(|w| w == wanted);
        prop_assert_eq!(Words::new(&words).in_a_row(&text), naive);
    }

    #[test]
    fn any_text_parses_or_says_why(text in any::<String>()) {
        if let Err(error) = Query::parse(&text) {
            prop_assert!(error.position <= text.chars().count());
        }
    }

    #[test]
    fn an_exact_value_finds_itself(name in "[a-z.:()\\[ \"'\\\\-]{1,8}", value in any::<String>()) {
        prop_assume!(!name.starts_with('-') && name.trim() == name);
        let event = serde_json::json!({name.clone(): value}).to_string();
        let batch = events(&[&event, r#"{"other":"x"}"#]);
        let query = Query::field_equals(&name, &value);
        match Query::parse(&query) {
            Ok(query) => prop_assert!(query.matches(&batch).value(0), "{}", query.text()),
            Err(e) => prop_assert!(false, "{query}: {e}"),
        }
    }
}
