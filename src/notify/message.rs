//! The body of a message: `{"type", "timestamp", "data"}`, cut to what receivers take.

use serde_json::{Value, json};
use watchfire_event::time::to_rfc3339;

/// Most bytes of a body; Standard Webhooks advises to stay under 20 kB.
const MAX_BYTES: usize = 20_000;

/// Most characters of any text in a body that had to be cut hard.
const MAX_CUT_CHARS: usize = 200;

/// One way of making a body smaller.
type Cut = fn(&mut Value);

/// What goes first when a body is too large: evidence, which can be looked up by the alert's
/// id, before what says who and what.
const CUTS: &[Cut] = &[
    |data| keep_members(data, "/evidence/events", 5),
    |data| keep_members(data, "/evidence/events", 0),
    |data| replace(data, "/evidence/baseline", json!({})),
    |data| cut_text(data, "/evidence/query", MAX_CUT_CHARS),
    |data| keep_each(data, "/entities", 20),
    |data| keep_members(data, "/alerts", 100),
    |data| keep_members(data, "/tags", 20),
    |data| keep_each(data, "/entities", 3),
    |data| keep_members(data, "/alerts", 10),
    shorten,
];

/// The body of a message of `kind`, at most 20,000 bytes. A body that had to be cut says so by
/// `"cut": true` in its data.
pub fn body(kind: &str, created_ns: i64, data: &Value) -> Vec<u8> {
    let timestamp = to_rfc3339(created_ns.div_euclid(1_000_000) * 1_000_000);
    let render = |data: &Value| {
        json!({"type": kind, "timestamp": timestamp, "data": data})
            .to_string()
            .into_bytes()
    };
    let mut bytes = render(data);
    if bytes.len() <= MAX_BYTES {
        return bytes;
    }
    let mut data = data.clone();
    if let Value::Object(map) = &mut data {
        map.insert("cut".into(), Value::Bool(true));
    }
    for cut in CUTS {
        cut(&mut data);
        bytes = render(&data);
        if bytes.len() <= MAX_BYTES {
            return bytes;
        }
    }
    // Nothing that detection makes comes here; a body of only the id still finds the alert.
    render(&json!({"id": data.get("id"), "severity": data.get("severity"), "cut": true}))
}

fn replace(data: &mut Value, pointer: &str, with: Value) {
    if let Some(value) = data.pointer_mut(pointer) {
        *value = with;
    }
}

/// Keeps the first `n` members of an array.
fn keep_members(data: &mut Value, pointer: &str, n: usize) {
    if let Some(Value::Array(members)) = data.pointer_mut(pointer) {
        members.truncate(n);
    }
}

/// Keeps the first `n` members of every array in an object.
fn keep_each(data: &mut Value, pointer: &str, n: usize) {
    if let Some(Value::Object(map)) = data.pointer_mut(pointer) {
        for value in map.values_mut() {
            if let Value::Array(members) = value {
                members.truncate(n);
            }
        }
    }
}

fn cut_text(data: &mut Value, pointer: &str, chars: usize) {
    if let Some(Value::String(text)) = data.pointer_mut(pointer) {
        cut(text, chars);
    }
}

/// Cuts every text wherever it stands.
fn shorten(data: &mut Value) {
    match data {
        Value::String(text) => cut(text, MAX_CUT_CHARS),
        Value::Array(members) => members.iter_mut().for_each(shorten),
        Value::Object(map) => map.values_mut().for_each(shorten),
        _ => {}
    }
}

fn cut(text: &mut String, chars: usize) {
    if let Some((end, _)) = text.char_indices().nth(chars) {
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn read(body: &[u8]) -> Value {
        serde_json::from_slice(body).unwrap()
    }

    #[test]
    fn a_small_alert_goes_out_as_it_is() {
        let data = json!({"id": "a", "summary": "line\r\nbreak \u{0} </script>", "tags": ["x"]});
        let body = read(&body("alert.created", 1_760_000_000_123_456_789, &data));
        let expected = json!({"type": "alert.created", "timestamp": "2025-10-09T08:53:20.123Z",
            "data": data});
        assert_eq!(body, expected);
    }

    #[test]
    fn large_alerts_lose_evidence_first_and_stay_under_the_limit() {
        let long = |n: usize| "ü\"\u{1}".repeat(n);
        let cases = [
            (
                json!({"events": [long(9_000)]}),
                json!({}),
                "s".to_owned(),
                true,
            ),
            (
                json!({"baseline": {"x": long(9_000)}}),
                json!({"ip": ["a"]}),
                "s".into(),
                true,
            ),
            (
                json!({"query": long(9_000)}),
                json!({"ip": ["a"]}),
                "s".into(),
                true,
            ),
            (
                json!({}),
                json!({"ip": vec!["192.0.2.1"; 5_000]}),
                "s".into(),
                true,
            ),
            (json!({}), json!({}), long(9_000), false),
        ];
        for (evidence, entities, summary, whole_summary) in cases {
            let data = json!({"id": "a", "severity": "high", "summary": summary,
                "evidence": evidence, "entities": entities});
            let bytes = body("alert.created", 0, &data);
            assert!(bytes.len() <= MAX_BYTES, "{}", bytes.len());
            let out = read(&bytes);
            assert_eq!(out["data"]["id"], "a");
            assert_eq!(out["data"]["cut"], true);
            assert_eq!(out["data"]["summary"] == summary.as_str(), whole_summary);
        }
    }

    #[test]
    fn even_absurd_data_keeps_the_id() {
        let map: serde_json::Map<_, _> = (0..9_000).map(|n| (format!("k{n}"), json!(n))).collect();
        let mut data = Value::Object(map);
        data["id"] = json!("a");
        let bytes = body("alert.created", 0, &data);
        assert!(bytes.len() <= MAX_BYTES);
        assert_eq!(read(&bytes)["data"]["id"], "a");
    }
}
