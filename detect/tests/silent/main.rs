//! Every counterfactual flips the decision: with the value at which a finding says that it would
//! be silent the same events say nothing, and one step beyond they do.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accounts;
#[path = "../support/mod.rs"]
mod support;

use serde_json::{Value, json};
use support::{batch, engine};
use watchfire_detect::Change;
use watchfire_event::Alert;
use watchfire_event::time::to_rfc3339;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Monday, 2025-10-13.
const MONDAY: i64 = 20_374 * DAY;

fn at(seconds: i64) -> String {
    to_rfc3339((MONDAY + seconds) * 1_000_000_000)
}

/// The event at a time.
fn event(seconds: i64, mut event: Value) -> Value {
    event["@timestamp"] = json!(at(seconds));
    event
}

/// The alerts of the events, each as it is in the end.
fn alerts(rule: &str, events: &[Value]) -> Vec<Alert> {
    let changes = engine(&[rule]).process(&batch(events));
    assert!(changes.iter().all(|change| change.change == Change::New));
    changes.into_iter().map(|change| change.alert).collect()
}

/// The bounds that an alert names, with the side on which each is silent.
fn bounds(alert: &Alert) -> Vec<(String, u64)> {
    let silent = &alert.evidence.baseline["silent_at"];
    let sentence = silent["sentence"].as_str().expect("a sentence");
    assert!(sentence.starts_with("Silent "), "{sentence}");
    let all = silent["bounds"].as_array().expect("bounds").iter();
    let bound = |bound: &Value| {
        let sides = bound.as_object().unwrap().iter();
        let mut sides = sides.filter(|(side, _)| side.starts_with("at_"));
        let (side, value) = sides.next().expect("a side");
        (side.clone(), value.as_u64().expect("a whole number"))
    };
    all.map(bound).collect()
}

/// Takes the bound of the alert about `scenario`, the events with so many, or so much, of what a
/// detector judges, and sees what happens on both sides of it.
fn flips(name: &str, rule: &str, loud: u64, scenario: impl Fn(u64) -> Vec<Value>) -> u64 {
    let found = alerts(rule, &scenario(loud));
    let [alert] = found.as_slice() else {
        panic!("{name}: {found:#?}")
    };
    let bounds = bounds(alert);
    let (silent, beyond) = match bounds.as_slice() {
        [(side, value)] if side == "at_most" => (*value, value + 1),
        [(_, value)] => (*value, value - 1),
        _ => panic!("{name}: {bounds:?}"),
    };
    let found = alerts(rule, &scenario(silent));
    assert!(
        found.is_empty(),
        "{name}: not silent at {silent}: {found:#?}"
    );
    let found = alerts(rule, &scenario(beyond));
    assert_eq!(found.len(), 1, "{name}: silent at {beyond}, too");
    silent
}

fn failure(seconds: i64, user: &str) -> Value {
    let said = json!({"event": {"category": ["authentication"], "outcome": "failure"},
        "user": {"id": user}, "source": {"ip": "203.0.113.9"}});
    event(seconds, said)
}

#[test]
fn counts_of_a_window() {
    let rate = "
detector: rate
id: rate.failures
title: Failed logins
filter: 'event.outcome:failure'
entity: user.id
window: 10m
";
    let failures = |n: u64| {
        let usual = (0..600).map(|i| failure(i * 40, &format!("u{}", i % 5)));
        let burst = (0..n as i64).map(|i| failure(40 * 600 + i, "u1"));
        usual.chain(burst).collect()
    };
    let found = flips("rate", rate, 400, failures);
    assert!((6..60).contains(&found), "{found}");
    // The least count of the file is above what is rare.
    let least = format!("{rate}thresholds: {{ min_count: 90 }}\n");
    assert_eq!(flips("rate with a least count", &least, 400, failures), 89);

    let spree = "
detector: spree
id: spree.exports
title: Exports
window: 1h
thresholds: { min_count: 5 }
";
    let export = |seconds: i64| {
        let said = json!({"event": {"action": "export", "outcome": "success"},
            "user": {"id": "u1"}, "source": {"ip": "192.0.2.7"}, "service": {"name": "files"}});
        event(seconds, said)
    };
    let found = flips("spree of a newcomer", spree, 30, |n: u64| {
        (0..n as i64).map(|i| export(i * 20)).collect()
    });
    assert_eq!(found, 4);
    let found = flips("spree of somebody who exports", spree, 90, |n: u64| {
        let before = (0..9).flat_map(|day| (0..4).map(move |i| export(day * DAY + i * 20)));
        let today = (0..n as i64).map(|i| export(9 * DAY + i * 20));
        before.chain(today).collect()
    });
    assert!((5..60).contains(&found), "{found}");
}

#[test]
fn identifiers_in_their_order() {
    let walk = "
detector: walk
id: walk.ids
title: Walk
";
    let read = |i: i64, id: i64| {
        let said = json!({"service": {"name": "shop"}, "source": {"ip": "192.0.2.7"},
            "http": {"request": {"method": "GET"}, "response": {"status_code": 200}},
            "url": {"path": format!("/orders/{id}")}});
        event(i * 5, said)
    };
    let in_order = |n: u64| (0..=n as i64).map(|i| read(i, i)).collect();
    assert_eq!(flips("walk", walk, 100, in_order), 11);
    // Where identifiers of every list are neighbours it takes more of them.
    let found = flips("walk on a route of lists", walk, 200, |n: u64| {
        let lists = (0..400).map(|i| {
            let said = json!({"service": {"name": "shop"},
                "source": {"ip": format!("192.0.2.{}", i / 4)},
                "http": {"request": {"method": "GET"}, "response": {"status_code": 200}},
                "url": {"path": format!("/orders/{}", (i % 4 / 2) * 7_000 + i % 4 + i * 31 / 4)}});
            event(i * 5, said)
        });
        let walk = (0..=n as i64).map(|i| read(10_000 + i, i));
        lists.chain(walk).collect()
    });
    assert!(found > 11, "{found}");
}

#[test]
fn strange_values() {
    let payload = "
detector: payload
id: payload.values
title: Strange values
entity: source.ip
pair: url.query
thresholds: { min_count: 5 }
";
    let query = |i: i64, ip: &str, text: &str| {
        event(i * 5, json!({"source": {"ip": ip}, "url": {"query": text}}))
    };
    let found = flips("payload", payload, 40, |n: u64| {
        let usual = (0..1_500).map(|i| {
            let text = match i % 3 {
                0 => format!("page={}&size=50", i % 30),
                1 => format!("q=garden+table+{}", i % 90),
                _ => format!("from=2026-10-{:02}&sort=price", i % 28 + 1),
            };
            query(i, &format!("192.0.2.{}", i % 40), &text)
        });
        let attack = "q=x%27)+or+(1%3d1)--+-";
        // Many that are not strange before: more strange ones are needed.
        let harmless = (0..150).map(|i| query(1_600, "203.0.113.9", &format!("page={i}")));
        let strange = (0..n).map(|_| query(1_610, "203.0.113.9", attack));
        usual.chain(harmless).chain(strange).collect()
    });
    assert!(found >= 4, "{found}");
}

#[test]
fn what_was_seen_once_before() {
    let edge = "
detector: first_seen
id: first_seen.edge
title: New edge
entity: source.service.name
pair: service.name
";
    let call = |i: i64, callee: &str| {
        let said = json!({"source": {"service": {"name": "billing"}}, "service": {"name": callee}});
        event(i * MINUTE, said)
    };
    let found = flips("first_seen", edge, 0, |n: u64| {
        let before = (0..n as i64).map(|i| call(i, "secrets"));
        let usual = (5..300).map(|i| call(i, "ledger"));
        before.chain(usual).chain([call(300, "secrets")]).collect()
    });
    assert_eq!(found, 1);

    let template = "
detector: log_template
id: log_template.services
title: New kind of line
entity: service.name
pair: message
thresholds: { min_lines: 2000, min_score: 3 }
";
    let line = |seconds: i64, message: &str| {
        event(
            seconds,
            json!({"service": {"name": "billing"}, "message": message}),
        )
    };
    let found = flips("log_template", template, 0, |n: u64| {
        let panic = "panic: runtime error at 0x7f: index out of range";
        let before = (0..n as i64).map(|i| line(i, panic));
        let usual = (1..6_000).map(|i| match i % 2 {
            0 => line(i * 30, &format!("invoice {i} sent to customer {}", i * 7)),
            _ => line(i * 30, &format!("payment of {}.50 EUR booked", i % 700)),
        });
        before.chain(usual).chain([line(200_000, panic)]).collect()
    });
    assert_eq!(found, 1);
}

#[test]
fn calls_of_a_rhythm() {
    let beacon = "
detector: beacon
id: beacon.calls
title: Clock
";
    let found = flips("beacon", beacon, 80, |n: u64| {
        let call = |seconds: i64, domain: &str, bytes: u32| {
            let said = json!({"event": {"action": "egress"}, "host": {"name": "h1"},
                "destination": {"domain": domain}, "network": {"bytes": bytes}});
            event(seconds, said)
        };
        let usual = (0..200).map(|i| call(i * 31 * MINUTE, &format!("d{i}.example"), 900));
        let regular = (0..n as i64).map(|i| call(5 * DAY + i * 300, "drop.example", 512));
        usual.chain(regular).collect()
    });
    assert!((48..80).contains(&found), "{found}");
}

#[test]
fn accounts_that_fail() {
    let cardinality = "
detector: cardinality
id: cardinality.accounts
title: Accounts
";
    let login = |seconds: i64, i: i64, ip: &str, asn: u32, outcome: &str| {
        let said = json!({"service": {"name": "auth"}, "user": {"id": format!("u{i}")},
            "event": {"category": ["authentication"], "action": "login", "outcome": outcome},
            "source": {"ip": ip, "as": {"number": asn}}});
        event(seconds, said)
    };
    let usual = move |i: i64| {
        let ip = format!("192.0.2.{i}");
        login(i * 25 * MINUTE, i, &ip, 64_501, "success")
    };
    let fast = |n: u64| {
        let fail = |i: i64| login(5 * DAY + i * 70, i, "203.0.113.7", 64_599, "failure");
        (0..200).map(usual).chain((0..n as i64).map(fail)).collect()
    };
    let found = flips("cardinality of an address", cardinality, 60, fast);
    assert!((3..20).contains(&found), "{found}");
    let slow = |n: u64| {
        let fail = |i: i64| {
            let ip = format!("203.0.113.{i}");
            login(5 * DAY + i * 5 * MINUTE, i, &ip, 64_599, "failure")
        };
        (0..200).map(usual).chain((0..n as i64).map(fail)).collect()
    };
    let found = flips("cardinality of a provider", cardinality, 20, slow);
    assert!((3..40).contains(&found), "{found}");
}

#[test]
fn matches_of_a_correlation() {
    let rule = |kind: &str, condition: &str| {
        format!(
            "
title: Failed login
id: failed
name: failed
logsource: {{ category: authentication }}
detection:
    selection: {{ event.outcome: failure }}
    condition: selection
level: low
---
title: Many
id: many
correlation:
    type: {kind}
    rules: [failed]
    group-by: [source.ip]
    timespan: 10m
    condition: {condition}
level: high
"
        )
    };
    let failures = |n: u64| {
        let users = (0..n as i64).map(|i| failure(i * 5, &format!("u{i}")));
        users.collect()
    };
    for (kind, condition, silent) in [
        ("event_count", "{ gte: 10 }", 9),
        ("event_count", "{ gt: 10 }", 10),
        ("event_count", "{ eq: 7 }", 6),
        ("value_count", "{ field: user.id, gte: 12 }", 11),
        ("value_count", "{ field: user.id, gte: 4, lte: 30 }", 3),
    ] {
        let name = format!("{kind} {condition}");
        assert_eq!(flips(&name, &rule(kind, condition), 25, failures), silent);
    }
    // There is no count below it that it is silent at.
    let found = alerts(&rule("event_count", "{ lt: 5 }"), &failures(3));
    assert!(!found.is_empty());
    let first = alerts(&rule("event_count", "{ gte: 1 }"), &failures(3));
    for alert in found.iter().chain(&first) {
        let baseline = &alert.evidence.baseline;
        assert!(baseline.get("silent_at").is_none(), "{baseline}");
    }
}

/// What accounts take in three weeks, and what the first one takes on the day after: requests, most
/// of them in one hour, and bytes in the first of them.
fn taken(usual_bytes: u64, requests: u64, bytes: u64) -> Vec<Value> {
    let request = |seconds: i64, user: i64, bytes: u64| {
        let said = json!({"service": {"name": "reports"}, "user": {"id": format!("u{user}")},
            "source": {"ip": "192.0.2.20"}, "url": {"path": "/reports"},
            "http": {"response": {"status_code": 200, "body": {"bytes": bytes}}}});
        event(seconds, said)
    };
    let days = (0..21).filter(|day| day % 7 < 5);
    let usual = days.flat_map(|day| {
        let users =
            (0..30).flat_map(move |user| (0..9 + (user * 7 + day * 3) % 5).map(move |i| (user, i)));
        users.map(move |(user, i)| request(day * DAY + 9 * HOUR + i * 60 + user, user, usual_bytes))
    });
    let mut events: Vec<Value> = usual.collect();
    let (soon, later) = (requests.min(500), requests.saturating_sub(500));
    let first = 21 * DAY + 9 * HOUR;
    for i in 0..soon as i64 {
        events.push(request(first + i * 5, 0, if i == 0 { bytes } else { 0 }));
    }
    events.extend((0..later as i64).map(|i| request(first + HOUR + i, 0, 0)));
    // An hour is judged when a later one begins.
    let last = if later > 0 { 2 } else { 1 };
    events.push(request(first + last * HOUR, 0, 0));
    events
}

#[test]
fn what_an_account_takes() {
    let volume = "
detector: volume
id: volume.account
title: Volume
thresholds: { min_score: 3 }
";
    let requests = |n: u64| taken(0, n, 0);
    let found = flips("requests", volume, 400, requests);
    assert!((20..200).contains(&found), "{found}");
    // Told at ten o'clock, and again at eleven.
    assert_eq!(flips("more requests later", volume, 3_000, requests), found);
    let found = flips("bytes", volume, 900_000_000, |n| taken(1_000, 11, n));
    assert!((11_000..1_000_000).contains(&found), "{found}");
    // Both are too much, and neither alone is little enough.
    let both = alerts(volume, &taken(1_000, 400, 900_000_000));
    let [(_, bytes), (_, requests)] = bounds(&both[0])[..] else {
        panic!("{both:#?}")
    };
    for (more_bytes, more_requests) in [(0, 0), (1, 0), (0, 1)] {
        let events = taken(1_000, requests + more_requests, bytes + more_bytes);
        let found = alerts(volume, &events);
        assert_eq!(found.len(), more_bytes as usize + more_requests as usize);
    }
}

#[test]
fn events_of_a_quiet_source() {
    let silence = "
detector: silence
id: silence.source
title: Silence
";
    let sent = |seconds: i64, service: &str, host: &str| {
        event(
            seconds,
            json!({"service": {"name": service}, "host": {"name": host}}),
        )
    };
    // How often the source sends, whether it stops or sends a tenth, and its hosts.
    for (every, then, hosts) in [(5, 0, 1), (5, 60, 1), (20, 0, 1), (9, 0, 4), (3, 0, 4)] {
        let stop = DAY + 9 * HOUR;
        let world = |until: i64, more: u64| {
            let billing = (0..until / 21).map(|i| sent(i * 21, "billing", "billing-1"));
            let host = |i: i64| format!("orders-{}", i % hosts);
            let busy = (0..stop.min(until) / every).map(|i| sent(i * every, "orders", &host(i)));
            let rest = (stop..until).filter(|at| then > 0 && at % then == 0);
            let rest = rest.map(|at| sent(at, "orders", "orders-0"));
            // What comes in the last minute.
            let more = (0..more as i64).map(|_| sent(until - 30, "orders", "orders-0"));
            let mut events: Vec<Value> = billing.chain(busy).chain(rest).chain(more).collect();
            // A minute is judged when the next one begins.
            events.push(sent(until + 1, "billing", "billing-1"));
            events.sort_by_key(|event| event["@timestamp"].to_string());
            events
        };
        let name = format!("every {every} s, then {then}, {hosts} hosts");
        let found = alerts(silence, &world(stop + HOUR, 0));
        let alert = found.first().expect("an alert");
        let until = alert.ts as i64 - MONDAY - (alert.ts as i64 - MONDAY) % MINUTE;
        if (every, hosts) == (3, 4) {
            // Four busy hosts are as quiet as their service: no single one decides.
            assert_eq!(alert.evidence.baseline["silent_at"], Value::Null);
            continue;
        }
        let bounds = bounds(alert);
        let [(side, enough)] = bounds.as_slice() else {
            panic!("{name}: {bounds:?}")
        };
        assert_eq!(side, "at_least");
        let what = &alert.evidence.baseline["silent_at"]["bounds"][0]["what"];
        let what = what.as_str().unwrap().strip_suffix(" minutes").unwrap();
        let window: i64 = what.rsplit(' ').next().unwrap().parse().unwrap();
        let is_its = |event: &&Value| {
            let at = event["@timestamp"].as_str().unwrap();
            event["service"]["name"] == "orders" && at >= self::at(until - window * MINUTE).as_str()
        };
        let came = world(until, 0).iter().filter(is_its).count() as u64;
        let found = alerts(silence, &world(until, enough - came));
        assert!(found.is_empty(), "{name}: {found:#?}");
        let found = alerts(silence, &world(until, enough - came - 1));
        assert_eq!(found.len(), 1, "{name}: silent with one less, too");
    }
}
