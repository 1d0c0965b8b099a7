//! Detectors: silent while they learn, silent at what is usual, loud and exact at what is not.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use serde_json::{Value, json};
use support::{alerts, batch, batch_from, engine, saved};
use watchfire_event::AlertKind;
use watchfire_event::time::to_rfc3339;

const EDGE: &str = "
detector: first_seen
id: first_seen.edge
title: New edge
severity: high
filter: 'event.category:web'
entity: source.service.name
pair: service.name
tags: [attack.T1210]
";

const RATE: &str = "
detector: rate
id: rate.failures
title: Failed logins
filter: 'event.outcome:failure'
entity: [user.id, user.name]
window: 10m
";

fn at(seconds: i64) -> String {
    to_rfc3339((1_760_000_000 + seconds) * 1_000_000_000)
}

fn call(i: i64, caller: &str, callee: &str) -> Value {
    json!({"@timestamp": at(i * 60), "event": {"category": ["web"]},
        "source": {"service": {"name": caller}}, "service": {"name": callee}})
}

#[test]
fn a_call_that_leaves_the_company_is_an_edge_to_its_domain() {
    const EGRESS: &str = "
detector: first_seen
id: first_seen.egress
title: New destination
entity: source.service.name
pair: destination.domain
";
    let out = |i: i64, domain: &str, said: Value| {
        let mut event = call(i, "billing", "egress-proxy");
        event["destination"] = json!({ "domain": domain });
        event["event"]["action"] = said;
        event
    };
    let mut events: Vec<_> = (0..200)
        .map(|i| out(i, "api.bank.example", json!("egress")))
        .collect();
    events.push(out(300, "drop.example", json!("egress")));
    events.push(out(400, "ledger.mesh.internal", json!("http_request")));
    let edges: Vec<_> = alerts(EGRESS, &events)
        .into_iter()
        .map(|alert| alert.entities["edge"].clone())
        .collect();
    assert_eq!(
        edges,
        [["billing>drop.example"], ["billing>egress-proxy"]],
        "a proxy is where a call within the mesh ends"
    );
}

#[test]
fn a_state_that_no_detector_wrote_is_refused_and_changes_nothing() {
    let mut engine = engine(&[EDGE, RATE]);
    engine.process(&batch(&[call(0, "billing", "ledger")]));
    let before = saved(&engine);
    let snapshot: Value = serde_json::from_slice(&before).unwrap();
    for id in ["first_seen.edge", "rate.failures"] {
        for wrong in [json!("x"), json!({ "open": 7 }), Value::Null] {
            let mut broken = snapshot.clone();
            assert!(broken["body"]["detectors"][id].is_object());
            broken["body"]["detectors"][id] = wrong;
            let error = engine.restore(broken.to_string().as_bytes()).unwrap_err();
            assert!(error.to_string().contains(id), "{error}");
            let now: Value = serde_json::from_slice(&saved(&engine)).unwrap();
            assert_eq!(now, snapshot);
        }
    }
    engine.restore(&before).unwrap();
}

#[test]
fn a_pair_never_seen_before_is_found_once() {
    let mut events: Vec<_> = (0..200).map(|i| call(i, "billing", "ledger")).collect();
    events.push(call(200, "billing", "secrets"));
    events.push(call(201, "billing", "secrets"));
    let found = alerts(EDGE, &events);
    assert_eq!(found.len(), 1);
    let alert = &found[0];
    assert_eq!(
        (alert.kind, alert.detector.as_str()),
        (AlertKind::Statistic, "first_seen.edge")
    );
    // One in 201 events brought a new pair.
    assert!(
        (alert.score - 201f64.log10()).abs() < 1e-3,
        "{}",
        alert.score
    );
    assert_eq!(alert.evidence.events, ["201"]);
    assert_eq!(alert.entities["edge"], ["billing>secrets"]);
    assert_eq!(
        alert.evidence.query,
        "source.service.name:\"billing\" AND service.name:\"secrets\""
    );
    assert_eq!(
        alert.summary,
        "First time in 3 hours that service billing was seen with secrets: \
         200 events before, 1 different"
    );
    assert_eq!(alert.tags, ["attack.t1210"]);
}

#[test]
fn nothing_is_new_while_everything_is() {
    let learning: Vec<_> = (0..49)
        .map(|i| call(i, "billing", &format!("s{i}")))
        .collect();
    assert!(alerts(EDGE, &learning).is_empty());
    // Who always brings something new surprises nobody.
    let restless: Vec<_> = (0..500)
        .map(|i| call(i, "mailer", &format!("mx{i}")))
        .collect();
    assert!(alerts(EDGE, &restless).is_empty());
    // Events that the filter leaves out are neither judged nor learned.
    let mut events: Vec<_> = (0..200).map(|i| call(i, "billing", "ledger")).collect();
    let mut other = call(200, "billing", "secrets");
    other["event"]["category"] = json!(["network"]);
    events.push(other);
    assert!(alerts(EDGE, &events).is_empty());
}

#[test]
fn a_newcomer_is_judged_by_a_group_of_several() {
    let group = |callers: i64| {
        let mut events: Vec<_> = (0..400)
            .map(|i| call(i, &format!("c{}", i % callers), "ledger"))
            .collect();
        events.push(call(400, "newcomer", "secrets"));
        alerts(EDGE, &events)
    };
    let found = group(4);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].evidence.baseline["learning"], true);
    assert!(group(2).is_empty());
}

#[test]
fn forgetting_an_entity_does_not_make_it_look_new() {
    let text = format!("{EDGE}thresholds: {{ max_entities: 20, min_score: 1 }}\n");
    let mut events: Vec<_> = (0..100).map(|i| call(i, "billing", "ledger")).collect();
    events.extend((0..500).map(|i| call(100 + i, &format!("c{i}"), "ledger")));
    let before = alerts(&text, &events);
    events.push(call(700, "billing", "ledger"));
    let after = alerts(&text, &events);
    assert!(
        before
            .iter()
            .chain(&after)
            .all(|a| a.entities["edge"] != ["billing>ledger"])
    );
}

fn fail(seconds: i64, user: &str) -> Value {
    json!({"@timestamp": at(seconds), "event": {"outcome": "failure"}, "user": {"id": user}})
}

/// Three failures of each of five users in each of `windows` windows.
fn usual(windows: i64) -> Vec<Value> {
    let mut events = Vec::new();
    for window in 0..windows {
        for i in 0..15 {
            events.push(fail(window * 600 + 20 * i, &format!("u{}", i % 5)));
        }
    }
    events
}

#[test]
fn a_burst_is_found_when_it_crosses_and_told_with_what_is_usual() {
    let mut events = usual(40);
    let start = 40 * 600;
    events.extend((0..400).map(|i| fail(start + i, "u1")));
    let found = alerts(RATE, &events);
    assert_eq!(found.len(), 1, "{found:#?}");
    let alert = &found[0];
    assert_eq!(alert.entities["user"], ["u1"]);
    assert!(alert.score > 50.0);
    assert!(
        alert.ts < 1_760_000_000.0 + start as f64 + 40.0,
        "told early: {}",
        alert.ts
    );
    assert!(
        alert
            .summary
            .contains("in 10 min by user u1, usual is 3 (0-"),
        "{}",
        alert.summary
    );
    assert_eq!(
        alert.evidence.query,
        "user.id:\"u1\" AND (event.outcome:failure)"
    );
    assert!(alert.count >= 200, "{}", alert.count);
}

#[test]
fn what_is_usual_is_no_burst() {
    assert!(alerts(RATE, &usual(60)).is_empty());
    // Nothing is known yet.
    let cold: Vec<_> = (0..500).map(|i| fail(i, "u1")).collect();
    assert!(alerts(RATE, &cold).is_empty());
    // Somebody who is always loud.
    let mut events = Vec::new();
    for window in 0..60 {
        events.extend((0..60).map(|i| fail(window * 600 + i, "robot")));
    }
    assert!(alerts(RATE, &events).is_empty());
}

/// At night a tenth of what is usual at noon is much: a baseline of the whole day takes it for
/// nothing.
#[test]
fn what_is_usual_at_noon_is_a_burst_at_night() {
    let day = 24 * 3_600;
    // 1,760,000,000 is 08:53:20.
    let midnight = day - (8 * 3_600 + 53 * 60 + 20);
    let burst = |from: i64, n: i64| (0..n).map(move |i| fail(from + i * 500 / n, "u1"));
    let usual = (0..8 * 144).flat_map(|window| {
        let at = midnight + window * 600;
        let busy = (8 * 6..20 * 6).contains(&(window % 144));
        let n = if busy {
            30 + window % 7
        } else {
            2 + window % 2
        };
        burst(at, n)
    });
    let mut events: Vec<Value> = usual.collect();
    let (night, noon) = (
        midnight + 8 * day + 3 * 3_600,
        midnight + 8 * day + 12 * 3_600,
    );
    events.extend(burst(night, 30));
    events.extend(burst(noon, 38));
    let mut found = alerts(RATE, &events);
    // The second morning it does not know of mornings yet.
    found.retain(|alert| alert.ts > (1_760_000_000 + 3 * day) as f64);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].summary.contains("usual at this hour is"),
        "{}",
        found[0].summary
    );
    let baseline = &found[0].evidence.baseline;
    assert!(baseline["season"].as_f64().unwrap() < 0.5, "{baseline}");
    assert!(baseline["mean"].as_f64().unwrap() < 8.0, "{baseline}");
}

#[test]
fn an_attack_does_not_become_the_new_normal() {
    let mut events = usual(40);
    // Hours of it, then a pause long enough to end the alert, then again.
    for window in 40..52 {
        events.extend((0..200).map(|i| fail(window * 600 + i, "u1")));
    }
    for window in 70..72 {
        events.extend((0..200).map(|i| fail(window * 600 + i, "u1")));
    }
    assert_eq!(alerts(RATE, &events).len(), 2);
}

#[test]
fn events_for_closed_windows_are_left_out() {
    let mut engine = engine(&[RATE]);
    engine.process(&batch(&usual(40)));
    let late: Vec<_> = (0..500).map(|i| fail(10 * 600 + i % 600, "u1")).collect();
    assert!(engine.process(&batch_from(&late, 10_000)).is_empty());
    let burst: Vec<_> = (0..100).map(|i| fail(40 * 600 + i, "u1")).collect();
    assert_eq!(engine.process(&batch_from(&burst, 20_000)).len(), 1);
}

#[test]
fn state_stays_bounded() {
    let text = format!("{RATE}thresholds: {{ max_entities: 100 }}\n");
    let mut engine = engine(&[&text, EDGE]);
    let mut biggest = 0;
    for round in 0..20 {
        let users = (0..500).map(|i| fail(round * 600 + i, &format!("u{round}-{i}")));
        let calls = (0..500).map(|i| call(round * 10, &format!("c{round}-{i}"), "x"));
        let events: Vec<_> = users.chain(calls).collect();
        engine.process(&batch_from(&events, round as u64 * 1_000 + 1));
        biggest = biggest.max(engine.stats().detector_bytes);
    }
    assert!(biggest < 2_000_000, "{biggest}");
}

#[test]
fn what_is_forgotten_is_not_in_the_saved_state() {
    const ALONE: &str = "
title: Any failure
id: any-failure
logsource: { category: authentication }
detection:
    selection: { event.outcome: failure }
    condition: selection
level: low
";
    const MANY: &str = "
title: Failed login
id: failed
name: failed
logsource: { category: authentication }
detection:
    selection: { event.outcome: failure }
    condition: selection
level: low
---
title: Many users
id: spray
correlation:
    type: value_count
    rules: [failed]
    group-by: [source.ip]
    timespan: 10m
    condition: { field: user.id, gte: 30 }
level: high
";
    let mut engine = engine(&[EDGE, RATE, ALONE, MANY]);
    let event = |i: i64, user: &str, ip: &str| {
        json!({"@timestamp": at(i), "event": {"category": ["authentication"], "outcome": "failure"},
            "user": {"id": user}, "source": {"ip": ip}})
    };
    let events: Vec<Value> = (0..60)
        .map(|i| match i % 3 {
            0 => event(i, "marked77", "203.0.113.7"),
            1 => event(i, "someone", "203.0.113.8"),
            _ => event(i, "other", "203.0.113.9"),
        })
        .collect();
    assert!(!engine.process(&batch(&events)).is_empty());
    let text = |engine: &watchfire_detect::Engine| String::from_utf8(saved(engine)).unwrap();
    let before = text(&engine);
    assert!(before.contains("marked77") && before.contains("someone"));
    engine.forget(&watchfire_event::Query::parse("user.id:marked77").unwrap());
    let after = text(&engine);
    assert!(!after.contains("marked77") && after.contains("someone"));
    // It goes on, and saves what it can restore.
    engine.process(&batch(&[event(90, "someone", "203.0.113.8")]));
    engine.restore(&saved(&engine)).unwrap();
}

#[test]
fn an_empty_route_is_no_template() {
    const WALK: &str = "
detector: walk
id: walk.ids
title: Walk
";
    let read = |i: i64, path: String| {
        json!({"@timestamp": at(i * 5), "service": {"name": "gateway"},
            "source": {"ip": "192.0.2.7"},
            "http": {"route": "", "request": {"method": "GET"}, "response": {"status_code": 200}},
            "url": {"path": path}})
    };
    let other = (0..40).map(|i| read(i, format!("/page{}/{i}", "x".repeat(i as usize))));
    assert!(
        alerts(WALK, &other.collect::<Vec<_>>()).is_empty(),
        "forty routes, one step each"
    );
    let one: Vec<_> = (0..40).map(|i| read(i, format!("/orders/{i}"))).collect();
    let found = alerts(WALK, &one);
    assert_eq!(found[0].entities["route"], ["GET /orders/{id}"]);
    // Told at 12 and at 24 steps: the last sentence, and each of its events once.
    assert_eq!(found[0].count, 24);
    assert!(
        found[0].summary.contains("24 identifiers"),
        "{}",
        found[0].summary
    );
}

/// The one thing without which nothing would have been said flips the decision.
#[test]
fn an_account_that_keeps_to_its_routes_is_not_taken_over() {
    let takeover = "
detector: takeover
id: takeover.account
title: Takeover
";
    const HOUR: i64 = 3_600;
    let routes = [
        "", "orders", "people", "keys", "audit", "reports", "billing",
    ];
    let used = |seconds: i64, user: i64, route: &str, (ip, asn, agent): (&str, i64, &str)| {
        json!({"@timestamp": at(400 + seconds), "service": {"name": "desk"},
            "user": {"id": format!("u{user}")},
            "source": {"ip": ip, "as": {"number": asn}}, "user_agent": {"original": agent},
            "http": {"request": {"method": "GET"}, "response": {"status_code": 200}},
            "url": {"path": format!("/{route}/open")}})
    };
    let browser = "Mozilla/5.0 Firefox/131.0";
    // Everybody has two routes of their own; somebody else uses an account for an afternoon.
    let stolen = |kept: &str| {
        let days = (0..8).flat_map(|day| [8, 10, 14].map(|hour| day * 24 * HOUR + hour * HOUR));
        let usual = days.flat_map(|begin| {
            (0..40).map(move |i| {
                let (user, ip) = (i % 20, format!("198.51.{}.7", i % 20));
                let route = routes[1 + (user as usize % 3) * 2 + i as usize / 20];
                used(begin + i * 30, user, route, (&ip, 64_500, browser))
            })
        });
        let (ip, asn) = match kept {
            "nothing" => ("203.0.113.9", 64_599),
            _ => ("198.51.3.7", 64_500),
        };
        let routes = match kept {
            "network and routes" => &routes[1..3],
            _ => &routes[3..],
        };
        let other = (0..6).flat_map(|hour| {
            let at = move |i: usize| (8 * 24 + 8 + hour) * HOUR + i as i64 * 60;
            let each = routes.iter().enumerate();
            each.map(move |(i, route)| used(at(i), 3, route, (ip, asn, "curl/8.9")))
        });
        alerts(takeover, &usual.chain(other).collect::<Vec<_>>())
    };
    let found = stolen("network");
    assert!(!found.is_empty());
    for alert in &found {
        let bound = &alert.evidence.baseline["silent_at"]["bounds"][0];
        assert_eq!(
            bound,
            &json!({"what": "hours of other routes", "at_most": 0})
        );
    }
    let found = stolen("network and routes");
    assert!(found.is_empty(), "{found:#?}");
    // Where everything is strange no single thing decides.
    let found = stolen("nothing");
    assert_eq!(found[0].evidence.baseline["silent_at"], Value::Null);
}
