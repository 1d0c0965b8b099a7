//! Rules from a grammar against events made of the rules' own values.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use watchfire_event::BatchLimits;

use super::{Classes, batch, load, on_columns, on_rows};

const TEXTS: &[&str] = &[
    "whoami",
    "WhoAmI /all",
    "cmd.exe",
    r"C:\Windows\System32\cmd.exe",
    "-enc SQBFAFgA",
    "pass",
    "taſk",
    "tas\u{212a}",
    "Σίσυφος",
    "ΟΔΟΣ",
    "İstanbul",
    "straße",
    "ſ",
    "4688",
    "4688.0",
    "-1",
    "1e3",
    "10.0.0.7",
    "10.0.0.0/8",
    "2001:db8::1",
    "true",
    "no",
    "1",
    "",
    "a",
    "2026-11-02T09:00:00Z",
    "two\nlines",
    "1=1",
    "/a?b=1",
    "aab",
];

/// As rules say texts: with wildcards and escapes.
const PATTERNS: &[&str] = &[
    "*whoami*",
    "who?mi",
    "*",
    "?",
    r"\*",
    r"a\?b",
    "*task",
    "/a*",
    "*Σ*",
    "*.exe",
    "*ß*",
    r"C:\\*\\cmd.exe",
    "*k*s*",
];

const REGEXES: &[&str] = &[
    "whoami",
    "(?i)WHOAMI|cmd",
    "^4[0-9]{3}$",
    "t.sk",
    "(pass|word)+",
    "^$",
    "task|ΟΔΟΣ",
    "two.lines",
    "^lines$",
    r"\bcmd\b",
    "a+b",
];

const FIELDS: &[&str] = &[
    "a",
    "b",
    "n",
    "list",
    "obj.x",
    "obj",
    "cs-uri-query",
    "cs-method",
    "src_ip",
    "user.name",
    "EventID",
    "CommandLine",
    "A",
];

/// Modifiers and what kind of values they take.
const MODIFIERS: &[(&str, Kind)] = &[
    ("", Kind::Any),
    ("", Kind::Text),
    ("|contains", Kind::Text),
    ("|startswith", Kind::Text),
    ("|endswith", Kind::Text),
    ("|contains|all", Kind::Text),
    ("|all", Kind::Text),
    ("|cased", Kind::Text),
    ("|contains|cased", Kind::Text),
    ("|startswith|cased", Kind::Text),
    ("|re", Kind::Regex),
    ("|re|i", Kind::Regex),
    ("|re|m", Kind::Regex),
    ("|re|s|i", Kind::Regex),
    ("|re|all", Kind::Regex),
    ("|cidr", Kind::Network),
    ("|lt", Kind::Number),
    ("|lte", Kind::Number),
    ("|gt", Kind::Number),
    ("|gte", Kind::Number),
    ("|neq", Kind::Any),
    ("|base64|contains", Kind::Text),
    ("|base64offset|contains", Kind::Text),
    ("|wide|base64offset|contains", Kind::Text),
    ("|utf16|base64|contains", Kind::Text),
    ("|utf16be|base64offset|contains", Kind::Text),
    ("|windash|contains", Kind::Text),
    ("|windash|contains|all", Kind::Text),
    ("|exists", Kind::Bool),
    ("|fieldref", Kind::Field),
    ("|fieldref|contains", Kind::Field),
    ("|expand", Kind::Placeholder),
    ("|hour", Kind::Number),
    ("|year", Kind::Number),
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Any,
    Text,
    Regex,
    Network,
    Number,
    Bool,
    Field,
    Placeholder,
}

const CONDITIONS: &[&str] = &[
    "s1",
    "s1 and s2",
    "s1 or s2",
    "s1 and not s2",
    "not s1",
    "not s1 and not s2",
    "1 of s*",
    "2 of s*",
    "all of s*",
    "all of them",
    "1 of them",
    "s1 and not 1 of f*",
    "s1 or not f1",
    "(s1 or s2) and not f1",
];

fn pick(from: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(from).prop_map(str::to_owned)
}

fn value(kind: Kind) -> BoxedStrategy<Value> {
    let text = prop_oneof![3 => pick(TEXTS), 1 => pick(PATTERNS)];
    let number = prop_oneof![
        Just(json!(1)),
        Just(json!(4688)),
        Just(json!(-1)),
        Just(json!(1000)),
        Just(json!(0.5)),
        Just(json!(9)),
        Just(json!(2026)),
    ];
    match kind {
        Kind::Any => prop_oneof![
            3 => text.prop_map(Value::from),
            2 => number,
            1 => any::<bool>().prop_map(Value::from),
            1 => Just(Value::Null),
        ]
        .boxed(),
        Kind::Text => text.prop_map(Value::from).boxed(),
        Kind::Regex => pick(REGEXES).prop_map(Value::from).boxed(),
        Kind::Network => {
            prop_oneof![Just(json!("10.0.0.0/8")), Just(json!("2001:db8::/32"))].boxed()
        }
        Kind::Number => number.boxed(),
        Kind::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Kind::Field => pick(FIELDS).prop_map(Value::from).boxed(),
        Kind::Placeholder => {
            let all = ["%intel%", "%intel.feed%", "%intel.feed%"];
            prop::sample::select(all.map(|text| json!(text)).to_vec()).boxed()
        }
    }
}

fn item() -> impl Strategy<Value = (String, Value)> {
    let modifiers = prop::sample::select(MODIFIERS);
    (pick(FIELDS), modifiers).prop_flat_map(|(field, (modifiers, kind))| {
        let one = value(kind);
        let several = prop::collection::vec(value(kind), 1..5).prop_map(Value::from);
        // More of them than rsigma takes to join them into one automaton.
        let many = prop::collection::vec(value(kind), 8..12).prop_map(Value::from);
        let values = prop_oneof![4 => one, 3 => several, 1 => many];
        values.prop_map(move |value| (format!("{field}{modifiers}"), value))
    })
}

fn items() -> impl Strategy<Value = Value> {
    prop::collection::vec(item(), 1..4).prop_map(|items| {
        let items: Map<String, Value> = items.into_iter().collect();
        Value::Object(items)
    })
}

fn selection() -> impl Strategy<Value = Value> {
    let keywords = prop::collection::vec(value(Kind::Text), 1..10).prop_map(Value::from);
    let members = (prop::sample::select(&["any", "all", "none"][..]), items())
        .prop_map(|(quantifier, body)| json!({ format!("list[{quantifier}]"): body }));
    prop_oneof![
        6 => items(),
        2 => prop::collection::vec(items(), 1..4).prop_map(Value::from),
        2 => keywords,
        1 => members,
    ]
}

fn rule() -> impl Strategy<Value = Value> {
    let product = prop::sample::select(&[None, Some("windows")][..]);
    let condition = pick(CONDITIONS);
    (selection(), selection(), selection(), condition, product).prop_map(
        |(s1, s2, f1, condition, product)| {
            let mut detection = json!({ "s1": s1, "condition": condition });
            for (name, selection) in [("s2", s2), ("f1", f1)] {
                if condition.contains(name) || condition.contains('*') {
                    detection[name] = selection;
                }
            }
            let logsource = product.map_or(json!({}), |p| json!({ "product": p }));
            json!({
                "title": "t", "sigma-version": 3, "logsource": logsource,
                "detection": detection,
            })
        },
    )
}

/// The text as an event may have it.
fn mutated() -> impl Strategy<Value = String> {
    let base = prop_oneof![3 => pick(TEXTS), 1 => pick(PATTERNS)];
    (base, 0..8u8).prop_map(|(text, how)| match how {
        0 => text.to_uppercase(),
        1 => text.to_lowercase(),
        2 => format!("x {text}"),
        3 => format!("{text} y"),
        4 => text.chars().skip(1).collect(),
        5 => text.replace('-', "/"),
        6 => base64(text.as_bytes()),
        _ => text,
    })
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let all = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..=chunk.len() {
            let letter = LETTERS[(all >> (18 - 6 * i) & 63) as usize];
            out.push(char::from(letter));
        }
    }
    out
}

fn event_value() -> impl Strategy<Value = Value> {
    let single = prop_oneof![
        6 => mutated().prop_map(Value::from),
        2 => prop::sample::select(&[1i64, 0, -1, 4688, 1000, 9, 1_793_610_000][..])
            .prop_map(Value::from),
        1 => prop::sample::select(&[0.5f64, 4688.0, 1.0][..]).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    prop_oneof![
        6 => single.clone(),
        1 => prop::collection::vec(single.clone(), 0..4).prop_map(Value::from),
        1 => (single.clone(), single).prop_map(|(x, y)| json!({ "x": x, "y": [y] })),
        1 => prop::collection::vec(
            mutated().prop_map(|x| json!({ "x": x, "a": "whoami" })), 1..3,
        ).prop_map(Value::from),
    ]
}

/// Names under which events carry fields; some reach a rule's field by another name.
const NAMES: &[&str] = &[
    "a",
    "b",
    "n",
    "list",
    "obj",
    "A",
    "url.path",
    "url.query",
    "url.original",
    "http.request.method",
    "source.ip",
    "user.name",
    "user",
    "EventID",
    "process.command_line",
    "message",
];

fn event() -> impl Strategy<Value = Value> {
    let windows = any::<bool>();
    let fields = prop::collection::vec((pick(NAMES), event_value()), 0..7);
    (fields, windows).prop_map(|(fields, windows)| {
        let mut event: Map<String, Value> = fields.into_iter().collect();
        if windows {
            event.insert("winlog.channel".into(), "Security".into());
        }
        Value::Object(event)
    })
}

#[test]
fn the_property_is_about_something() {
    let mut runner = TestRunner::deterministic();
    let (mut live, mut matched, mut pairs) = (0, 0, 0);
    for _ in 0..200 {
        let mut rule = rule().new_tree(&mut runner).unwrap().current();
        rule["id"] = json!("r");
        let events = prop::collection::vec(event(), 20);
        let events = events.new_tree(&mut runner).unwrap().current();
        let rules = load([rule.to_string()]);
        let mut classes = Classes::default();
        let batch = batch(&events, BatchLimits::default());
        let found = on_columns(&rules, &mut classes, &batch).len();
        live += rules.compiled.len();
        matched += usize::from(found > 0 && found < events.len());
        pairs += found;
    }
    assert!(live > 120, "only {live} of 200 rules load");
    assert!(matched > 30, "only {matched} rules tell events apart");
    assert!(pairs > 200, "only {pairs} matches");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn columns_match_what_rows_match(
        rules in prop::collection::vec(rule(), 1..6),
        events in prop::collection::vec(event(), 1..24),
        max_columns in prop::sample::select(&[8usize, 1_000][..]),
    ) {
        let texts = rules.iter().enumerate().map(|(i, rule)| {
            let mut rule = rule.clone();
            rule["id"] = json!(format!("r{i}"));
            rule.to_string()
        });
        let rules = load(texts);
        let limits = BatchLimits { max_columns, ..BatchLimits::default() };
        let mut classes = Classes::default();
        // The second time, what was remembered is used; the cut must not matter either.
        for part in [&events[..], &events[..], &events[events.len() / 2..]] {
            let batch = batch(part, limits);
            let expected = on_rows(&rules, &mut classes, &batch);
            prop_assert_eq!(on_columns(&rules, &mut classes, &batch), expected);
        }
    }
}
