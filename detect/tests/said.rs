//! What alerts say of a match does not depend on what came before, nor on chance.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{alerts, batch_from, engine};
use watchfire_detect::Touched;
use watchfire_event::Alert;
use watchfire_event::time::to_rfc3339;

/// Two rules of two log sources whose fields are found under several names.
const RULES: &[&str] = &[
    "
title: Odd agent
id: agent
logsource: { category: webserver }
detection:
    tool: { c-useragent|contains: [curl, nmap] }
    path: { cs-uri-stem|startswith: /a, sc-status: [200, '500'] }
    condition: tool and path
",
    "
title: Any of many
id: many
detection:
    sel_a: { level: high }
    sel_b: { kind|contains: x }
    sel_c: { amount|gte: 5 }
    sel_d: { done: true }
    sel_e: { code: 7 }
    condition: 1 of sel_*
",
];

/// An event made of these choices, an hour and a half after the one before: each is an alert of
/// its own.
fn event(place: usize, choices: [u8; 6]) -> Value {
    let [agent, status, level, amount, swap, flags] = choices;
    let time = 1_780_000_000_000_000_000 + place as i64 * 5_400_000_000_000;
    let agent = ["curl/8", "nmap", "CURL", "firefox"][agent as usize % 4];
    let path = ["/a", "/a/b", "/c"][level as usize % 3];
    let status = match status % 3 {
        0 => json!(200),
        1 => json!("200"),
        _ => json!("500"),
    };
    let mut event = match swap % 3 {
        0 => json!({"user_agent": {"original": agent}, "url": {"path": path},
            "http": {"response": {"status_code": status}, "request": {"method": "GET"}}}),
        1 => json!({"http": {"request": {"method": "GET"}, "response": {"status_code": status}},
            "url": {"path": path}, "user_agent": {"original": agent}}),
        _ => json!({"c-useragent": agent, "cs-uri-stem": path, "sc-status": status,
            "http": {"request": {"method": "GET"}}, "url": {"path": path}}),
    };
    event["@timestamp"] = to_rfc3339(time).into();
    event["level"] = ["high", "low"][level as usize % 2].into();
    event["amount"] = match amount % 3 {
        0 => json!(5),
        1 => json!(5.0),
        _ => json!("6"),
    };
    if flags % 2 == 0 {
        event["kind"] = ["x", "x ", "y"][flags as usize % 3].into();
    }
    event["done"] = (flags % 3 == 0).into();
    event["code"] = (6 + flags % 2).into();
    event
}

/// Alerts without their ids, which hold the number of the event.
fn told(mut alert: Alert) -> Value {
    alert.evidence.events.clear();
    serde_json::to_value(alert).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_match_is_told_as_if_it_were_the_first(
        choices in prop::collection::vec(prop::array::uniform6(0u8..12), 1..40),
        cut in 1usize..8,
    ) {
        let events: Vec<Value> = choices.iter().enumerate().map(|(i, c)| event(i, *c)).collect();
        let mut engine_of_all = engine(RULES);
        let mut all = Vec::new();
        for events in events.chunks(cut) {
            let changes = engine_of_all.process(&batch_from(events, 1));
            all.extend(changes.into_iter().map(|change| told(change.alert)));
        }
        let mut alone = Vec::new();
        for event in &events {
            let changes = engine(RULES).process(&batch_from(std::slice::from_ref(event), 1));
            alone.extend(changes.into_iter().map(|change| told(change.alert)));
        }
        // What else is known by then of an entity, and of the day, is another matter.
        for alert in all.iter_mut().chain(&mut alone).filter_map(Value::as_object_mut) {
            alert.remove("risk");
            alert.remove("held");
        }
        prop_assert_eq!(all.len(), alone.len());
        for (all, alone) in all.iter().zip(&alone) {
            prop_assert_eq!(all, alone);
        }
    }

    #[test]
    fn alerts_that_are_asked_for_late_are_as_the_last_of_each_batch(
        choices in prop::collection::vec(prop::array::uniform6(0u8..12), 1..40),
        cut in 1usize..8,
    ) {
        let events: Vec<Value> = choices
            .iter()
            .enumerate()
            // Two in three join an alert.
            .map(|(i, c)| event(i / 3, *c))
            .collect();
        let (mut each, mut late) = (engine(RULES), engine(RULES));
        let (mut last, mut touched) = (BTreeMap::new(), Touched::default());
        for (i, events) in events.chunks(cut).enumerate() {
            let batch = batch_from(events, (i * cut + 1) as u64);
            for change in each.process(&batch) {
                last.insert(change.alert.id.clone(), change.alert);
            }
            late.process_onto(&batch, &mut touched);
        }
        let changes = late.changes(touched).into_iter();
        let asked: BTreeMap<_, _> = changes.map(|c| (c.alert.id.clone(), c.alert)).collect();
        prop_assert_eq!(asked, last);
    }
}

#[test]
fn selections_are_told_in_the_order_of_their_names() {
    let event = json!({
        "level": "high", "kind": "x", "amount": 9, "done": true, "code": 7,
        "@timestamp": "2026-03-01T10:00:00Z",
    });
    for _ in 0..20 {
        let changes = engine(RULES).process(&batch_from(std::slice::from_ref(&event), 1));
        let [change] = &changes[..] else {
            panic!("{changes:?}");
        };
        let matched = change.alert.evidence.baseline["matched"]
            .as_array()
            .unwrap();
        let selections: Vec<&str> = matched
            .iter()
            .map(|m| m["selection"].as_str().unwrap())
            .collect();
        assert_eq!(selections, ["sel_a", "sel_b", "sel_c", "sel_d", "sel_e"]);
    }
}

#[test]
fn a_sentence_names_what_the_rule_does_not() {
    let rule = "
title: Limit changed
id: limit
detection:
    changed:
        event.action: [config_update, policy_update]
        event.outcome: success
        config.key|exists: true
    limit:
        config.key|re: 'session.*ttl'
        config.new|re: '\\d'
    condition: all of them
";
    let change = json!({"@timestamp": "2026-11-02T09:00:00Z", "user": {"id": "u1"},
        "event": {"action": "config_update", "outcome": "success"},
        "config": {"key": "session.ttl_hours", "new": "720"}});
    assert_eq!(
        alerts(rule, &[change])[0].summary,
        "Limit changed: 1 event by user u1: event.action is \"config_update\", \
         config.key is \"session.ttl_hours\", config.new is \"720\""
    );
}

#[test]
fn a_query_says_a_thing_once() {
    let rule = "
title: Address
id: address
detection:
    listed: { source.ip: 198.51.100.7, service.name: media }
    condition: listed
";
    let event = json!({"@timestamp": "2026-11-02T09:00:00Z",
        "source": {"ip": "198.51.100.7"}, "service": {"name": "media"}});
    assert_eq!(
        alerts(rule, &[event])[0].evidence.query,
        "source.ip:\"198.51.100.7\" AND service.name:\"media\""
    );
}
