//! Detectors that learn templates and shapes: silent at what is usual, loud at what is not, and the
//! same after a restart.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use serde_json::{Value, json};
use support::{alerts_from, batch, batch_from, engine, saved};
use watchfire_event::Alert;
use watchfire_event::time::to_rfc3339;

const TEMPLATE: &str = "
detector: log_template
id: log_template.services
title: New kind of line
entity: service.name
pair: message
group: service.version
thresholds: { min_lines: 2000, min_score: 3 }
";

const PAYLOAD: &str = "
detector: payload
id: payload.values
title: Strange values
entity: source.ip
pair: url.query
thresholds: { min_count: 5 }
";

fn at(seconds: i64) -> String {
    to_rfc3339((1_760_000_000 + seconds) * 1_000_000_000)
}

fn line(seconds: i64, version: &str, message: &str) -> Value {
    json!({"@timestamp": at(seconds), "service": {"name": "billing", "version": version},
        "message": message})
}

/// A service writes four kinds of lines for two days.
fn usual_lines() -> Vec<Value> {
    (0..6_000)
        .map(|i| {
            let message = match i % 4 {
                0 => format!("invoice {i} sent to customer {}", i * 7),
                1 => format!("GET /api/v1/invoices/{i} 200 in {} ms", i % 90),
                2 => "cache refreshed".to_owned(),
                _ => format!("payment of {}.50 EUR booked", i % 700),
            };
            line(i * 30, "1.4.0", &message)
        })
        .collect()
}

fn query(seconds: i64, ip: &str, query: &str) -> Value {
    json!({"@timestamp": at(seconds), "source": {"ip": ip}, "url": {"query": query}})
}

fn usual_queries(from: i64) -> Vec<Value> {
    (0..1_500)
        .map(|i| {
            let ip = format!("192.0.2.{}", i % 40);
            let text = match i % 3 {
                0 => format!("page={}&size=50", i % 30),
                1 => format!("q=garden+table+{}", i % 90),
                _ => format!("from=2026-10-{:02}&sort=price", i % 28 + 1),
            };
            query(from + i * 5, &ip, &text)
        })
        .collect()
}

/// The alerts of the events, in two batches with a restart between them.
fn alerts(text: &str, first: &[Value], second: &[Value]) -> Vec<Alert> {
    let mut one = engine(&[text]);
    let mut all: Vec<Alert> = alerts_from(&mut one, first, 1);
    let saved = saved(&one);
    let mut two = engine(&[text]);
    two.restore(&saved).unwrap();
    let next = 1 + first.len() as u64;
    let again = alerts_from(&mut two, second, next);
    assert_eq!(
        again,
        alerts_from(&mut one, second, next),
        "a restart changes nothing"
    );
    all.extend(again);
    all
}

#[test]
fn a_kind_of_line_that_was_never_written_is_told() {
    let panic = "panic: runtime error at 0x7f: index out of range";
    let more = [
        line(200_000, "1.4.0", "cache refreshed"),
        line(200_030, "1.4.0", panic),
        line(200_060, "1.4.0", panic),
    ];
    let alerts = alerts(TEMPLATE, &usual_lines(), &more);
    let [alert] = alerts.as_slice() else {
        panic!("{alerts:?}")
    };
    assert_eq!(alert.entities["service"], ["billing"]);
    let told = "panic: runtime error at <*>: index out of range";
    assert!(alert.summary.contains(told), "{}", alert.summary);
    assert!(alert.summary.contains("6,001 lines"), "{}", alert.summary);
    assert!(alert.score >= 3.0);
}

#[test]
fn new_lines_after_a_deploy_and_of_a_young_service_are_not() {
    let deployed = [
        line(200_000, "1.5.0", "cache warmed from snapshot"),
        line(200_600, "1.5.0", "flag checkout enabled by default"),
    ];
    assert_eq!(alerts(TEMPLATE, &usual_lines(), &deployed), []);
    let later = [
        deployed.to_vec(),
        vec![line(204_000, "1.5.0", "disk failed")],
    ]
    .concat();
    assert_eq!(alerts(TEMPLATE, &usual_lines(), &later).len(), 1);
    let young: Vec<Value> = usual_lines().into_iter().take(2_500).collect();
    assert_eq!(
        alerts(TEMPLATE, &young, &[line(80_000, "1.4.0", "disk failed")]),
        []
    );
}

#[test]
fn what_was_said_cannot_be_read_from_the_state() {
    let mut engine = engine(&[TEMPLATE, PAYLOAD]);
    let mut events = usual_lines();
    events.push(line(200_000, "1.4.0", "session of Eleonore opened"));
    events.extend(usual_queries(0));
    events.push(query(9_000, "192.0.2.1", "q=Eleonore+Mustermann"));
    engine.process(&batch_from(&events, 1));
    let saved = saved(&engine);
    let saved = String::from_utf8(saved).unwrap();
    // Alerts are forgotten by themselves; what is learned must hold no words.
    let learned = saved.split("\"book\"").next().unwrap();
    assert!(learned.len() > 1_000);
    assert!(!learned.contains("Eleonore") && !learned.contains("Mustermann"));
}

#[test]
fn many_strange_values_of_one_address_are_told() {
    let attack = |i: i64| query(8_000 + i * 5, "203.0.113.9", "q=x%27)+or+(1%3d1)--+-");
    let attacks: Vec<Value> = (0..8).map(attack).collect();
    let alerts = alerts(PAYLOAD, &usual_queries(0), &attacks);
    let last = alerts.last().expect("an alert");
    assert_eq!(last.entities["ip"], ["203.0.113.9"]);
    assert!(last.summary.contains("5 of 5 values"), "{}", last.summary);
    assert!(last.summary.contains("unusually many"), "{}", last.summary);
    assert!(last.score >= 6.0);
}

#[test]
fn few_strange_values_and_a_kind_that_many_send_are_not() {
    let few: Vec<Value> = (0..4)
        .map(|i| query(8_000 + i, "203.0.113.9", "q=o%27brien%27s"))
        .collect();
    assert_eq!(alerts(PAYLOAD, &usual_queries(0), &few), []);
    // Everybody sends it: first the share among all rises, then it is learned.
    let new: Vec<Value> = (0..3_000)
        .map(|i| {
            query(
                8_000 + i,
                &format!("198.51.{}.{}", i % 7, i % 211),
                "f=(price%3C100)",
            )
        })
        .collect();
    assert_eq!(alerts(PAYLOAD, &usual_queries(0), &new), []);
}

#[test]
fn new_accounts_that_are_judged_alone_are_left_to_learn_however_many_there_are() {
    const TENANT: &str = "
detector: first_seen
id: first_seen.tenant
title: New tenant
entity: user.id
group: user.id
pair: organization.id
";
    let served =
        |user: String, tenant: &str| json!({"user": {"id": user}, "organization": {"id": tenant}});
    let old = (0..10_000).map(|user| served(format!("old-{user}"), "north"));
    let often = (0..6_000).map(|i| served(format!("often-{}", i % 30), "north"));
    let new = (0..20).map(|user| served(format!("new-{user}"), "south"));
    let mut events: Vec<Value> = old.chain(often).chain(new).collect();
    events.push(served("often-7".into(), "south"));
    let changes = engine(&[TENANT]).process(&batch(&events)).into_iter();
    let found: Vec<String> = changes
        .map(|c| c.alert.entities["user"][0].clone())
        .collect();
    assert_eq!(found, ["often-7"]);
}

#[test]
fn of_what_does_something_new_every_day_no_more_than_one_is_told_a_day() {
    const HOOK: &str = "
detector: first_seen
id: first_seen.hook
title: New destination
entity: service.name
pair: destination.domain
";
    let call = |seconds: i64, domain: String| {
        json!({"@timestamp": at(seconds), "service": {"name": "notify"},
            "destination": {"domain": domain}})
    };
    let hour = 3_600;
    // A month of what is known, then a new one every six hours, then a week with none.
    let known = (0..7_200).map(|i| call(i * hour / 10, format!("known-{}", i % 5)));
    let mut events: Vec<Value> = known.collect();
    let month = 720 * hour;
    events.extend((0..40).map(|i| call(month + i * 6 * hour, format!("new-{i}"))));
    let after = month + 17 * 24 * hour;
    events.extend((0..3).map(|i| call(after + i * 60, format!("after-{i}"))));
    let alerts = support::alerts(HOOK, &events);
    let (last, often) = alerts.split_last().unwrap();
    assert!(often.len() >= 8 && often.len() <= 14, "{}", often.len());
    assert_eq!(last.t0, (1_760_000_000 + after) as f64);
    assert_eq!(last.count, 3, "what follows at once is part of it");
}

/// A request of an account, so many seconds after a Thursday morning.
fn request(seconds: i64, user: &str) -> Value {
    json!({"@timestamp": at(seconds), "service": {"name": "desk"}, "user": {"id": user},
        "host": {"name": "desk-1"}, "source": {"ip": "192.0.2.7"},
        "http": {"request": {"method": "GET"}, "response": {"status_code": 200}},
        "url": {"path": "/orders"}, "message": "one order"})
}

/// A detector without settings of its own.
fn plain(detector: &str) -> String {
    format!("detector: {detector}\nid: it\ntitle: It\n")
}

fn new_address() -> String {
    plain("first_seen")
        + "entity: user.id\npair: source.ip\nthresholds: { min_events: 9, min_peers: 1 }\n"
}

#[test]
fn what_a_detector_does_not_judge_yet_it_can_tell() {
    const HOUR: i64 = 3_600;
    const DAY: i64 = 24 * HOUR;
    let [volume, takeover, silence, walk] = ["volume", "takeover", "silence", "walk"].map(plain);
    let (first_seen, template) = (new_address(), TEMPLATE.to_owned());
    let alone = first_seen.clone() + "group: user.id\n";
    // Rule, who is asked about, seconds between requests, requests, what is learned by then.
    let cases = [
        (&volume, "user u1", DAY, 2, "1 of 3 working days"),
        (&volume, "user u1", DAY, 3, "0 of 3 days of weekends"),
        (&volume, "user u1", DAY, 5, "2 of 3 working days"),
        (&volume, "user u1", DAY, 7, ""),
        (&volume, "user u2", DAY, 2, ""),
        (&volume, "ip 192.0.2.7", DAY, 2, ""),
        (&takeover, "user u1", HOUR, 5, "4 of 12 active hours"),
        (&takeover, "user u1", HOUR, 13, ""),
        (&silence, "service desk", 600, 61, "10 of 25 hours"),
        (&silence, "host desk-1", 600, 61, "10 of 25 hours"),
        (&silence, "service desk", 600, 160, ""),
        (&silence, "host desk", 600, 61, ""),
        (&template, "service desk", 1, 300, "300 of 2000 lines"),
        (&template, "service desk", 1, 2_000, ""),
        (&first_seen, "user u1", 60, 5, "5 of 9 events"),
        (&first_seen, "user u1", 60, 9, ""),
        (&alone, "user u1", 60, 5, "5 of 9 events"),
        (&alone, "user u1", 60, 9, ""),
        (&walk, "user u1", 60, 5, ""),
    ];
    for (rule, about, every, count, expected) in cases {
        let (kind, value) = about.split_once(' ').unwrap();
        let mut engine = engine(&[rule]);
        let events: Vec<Value> = (0..count).map(|i| request(i * every, "u1")).collect();
        engine.process(&batch_from(&events, 1));
        let told = engine.learning(kind, value);
        let words = told.first();
        let words = words.map(|one| format!("{} of {} {}", one.learned, one.needed, one.unit));
        assert_eq!(
            words.unwrap_or_default(),
            expected,
            "{rule}: {about} {count}"
        );
        let state = saved(&engine);
        engine.restore(&state).unwrap();
        let again = engine.learning(kind, value);
        assert_eq!(again, told, "a restart changes nothing");
    }
}

#[test]
fn a_newcomer_whose_group_is_known_is_judged_by_it() {
    let mut engine = engine(&[&new_address()]);
    let others = (0..40).map(|i| request(i * 60, &format!("u{}", i % 2)));
    let events: Vec<Value> = others.chain([request(3_000, "u7")]).collect();
    engine.process(&batch_from(&events, 1));
    assert_eq!(engine.learning("user", "u7"), []);
}
