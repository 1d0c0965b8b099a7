//! The budget of alerts: what is held back, what passes, and what is let through later.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use support::{alerts_from, engine, saved};
use watchfire_detect::{RulePolicy, VerdictBar};
use watchfire_event::time::to_rfc3339;
use watchfire_event::{Alert, Severity};

const LOW: &str = "
title: Denied
id: denied
logsource: { category: application }
detection: { selection: { http.response.status_code: 403 }, condition: selection }
level: low
";

const OTHER: &str = "
title: Teapot
id: teapot
logsource: { category: application }
detection: { selection: { http.response.status_code: 418 }, condition: selection }
level: medium
";

const HIGH: &str = "
title: Gone
id: gone
logsource: { category: application }
detection: { selection: { http.response.status_code: 410 }, condition: selection }
level: high
";

const NEW: &str = "
detector: first_seen
id: first_seen.address
title: New address
entity: user.id
pair: source.ip
thresholds: { min_events: 10, min_score: 0.3, min_peers: 1 }
";

fn login(second: i64, user: &str, ip: &str) -> Value {
    json!({"@timestamp": to_rfc3339((1_760_000_000 + second) * 1_000_000_000),
        "user": {"id": user}, "source": {"ip": ip}})
}

fn event(second: i64, user: &str, status: u16) -> Value {
    json!({"@timestamp": to_rfc3339((1_760_000_000 + second) * 1_000_000_000),
        "user": {"id": user}, "http": {"response": {"status_code": status}}})
}

fn about<'a>(alerts: &'a [Alert], detector: &str, user: &str) -> &'a Alert {
    let is_it =
        |a: &&Alert| a.detector == detector && a.entities["user"].contains(&user.to_owned());
    alerts.iter().find(is_it).unwrap()
}

#[test]
fn beyond_the_budget_only_what_is_severe_calls_people() {
    let mut engine = engine(&[LOW, HIGH]);
    let denied: Vec<Value> = (0..60).map(|i| event(i, &format!("u{i}"), 403)).collect();
    let alerts = alerts_from(&mut engine, &denied, 1);
    let held = alerts.iter().filter(|a| a.held).count();
    assert_eq!((alerts.len(), held), (60, 40), "twenty a day pass");
    assert!(alerts.iter().all(|a| a.risk > 0.0));
    let gone: Vec<Value> = (0..30)
        .map(|i| event(100 + i, &format!("g{i}"), 410))
        .collect();
    let alerts = alerts_from(&mut engine, &gone, 100);
    assert!(
        alerts
            .iter()
            .all(|a| !a.held && a.severity == Severity::High)
    );
}

#[test]
fn what_is_held_back_is_let_through_when_more_is_known_of_somebody() {
    let mut engine = engine(&[LOW, OTHER]);
    let denied: Vec<Value> = (0..60).map(|i| event(i, &format!("u{i}"), 403)).collect();
    let alerts = alerts_from(&mut engine, &denied, 1);
    assert!(about(&alerts, "sigma:denied", "u59").held);
    // A day later there is room again, and what is known of u59 has grown.
    let later = [event(86_400, "u59", 418), event(86_401, "u59", 403)];
    let alerts = alerts_from(&mut engine, &later, 100);
    let (other, denied) = (
        about(&alerts, "sigma:teapot", "u59"),
        about(&alerts, "sigma:denied", "u59"),
    );
    assert!(!other.held && !denied.held);
    assert!(denied.risk > other.risk, "{} {}", denied.risk, other.risk);
}

#[test]
fn verdicts_hold_back_what_scores_as_what_was_false() {
    let mut engine = engine(&[NEW]);
    let usual = |i: i64| login(i, &format!("u{}", i % 30), "203.0.113.1");
    let seen: Vec<Value> = (0..300).map(usual).collect();
    alerts_from(&mut engine, &seen, 1);
    let alerts = alerts_from(&mut engine, &[login(400, "u1", "192.0.2.1")], 400);
    let first = about(&alerts, "first_seen.address", "u1").clone();
    assert!(!first.held);
    let bar = VerdictBar::of(&[(first.score, false), (1.0, false), (2.0, false)]).unwrap();
    engine.set_policy(Arc::new(RulePolicy {
        bars: BTreeMap::from([(first.detector.clone(), bar)]),
        ..RulePolicy::default()
    }));
    let alerts = alerts_from(&mut engine, &[login(500, "u2", "192.0.2.2")], 500);
    let second = about(&alerts, "first_seen.address", "u2");
    assert!(second.held && second.score <= first.score, "{second:?}");
    // The verdicts are taken back.
    engine.set_policy(Arc::new(RulePolicy::default()));
    let alerts = alerts_from(&mut engine, &[login(600, "u3", "192.0.2.3")], 600);
    assert!(!about(&alerts, "first_seen.address", "u3").held);
}

#[test]
fn many_verdicts_hold_back_what_is_hardly_ever_an_attack() {
    let texts = [LOW, OTHER, HIGH];
    let mut learning = engine(&texts);
    let denied = (0..48).map(|i| event(i, &format!("u{i}"), 403));
    let teapots = (0..12).map(|i| event(60 + i, &format!("t{i}"), 418));
    let events: Vec<Value> = denied.chain(teapots).collect();
    let closed = alerts_from(&mut learning, &events, 1)
        .into_iter()
        .map(|alert| {
            let attack = alert.detector == "sigma:teapot";
            (alert, attack)
        });
    let mut closed: Vec<(Alert, bool)> = closed.collect();
    let mut engine = engine(&texts);
    let mut raised = |policy: RulePolicy, second: i64| {
        engine.set_policy(Arc::new(policy));
        let user = format!("x{second}");
        let events: Vec<Value> = [403, 418, 410]
            .map(|status| event(second, &format!("{user}-{status}"), status))
            .into();
        let alerts = alerts_from(&mut engine, &events, second as u64);
        ["denied", "teapot", "gone"].map(|rule| {
            let is_it = |a: &&Alert| a.detector == format!("sigma:{rule}");
            alerts.iter().find(is_it).unwrap().held
        })
    };
    let learned = RulePolicy::default().with_verdicts(&closed);
    let model = learned.model.clone().unwrap();
    assert_eq!((model.labels, model.attacks), (60, 12));
    assert_eq!(raised(learned, 100), [true, false, false]);
    // Urgent rules pass, whatever was said of them.
    for (alert, attack) in &mut closed {
        alert.detector = alert.detector.replace("denied", "gone");
        alert.severity = if *attack {
            Severity::High
        } else {
            alert.severity
        };
    }
    let learned = RulePolicy::default().with_verdicts(&closed);
    assert!(!raised(learned, 200)[2]);
    // Ten of them are opened again: too few are left.
    closed.truncate(49);
    let learned = RulePolicy::default().with_verdicts(&closed);
    assert_eq!(learned.model, None);
    assert_eq!(raised(learned, 300), [false; 3]);
}

#[test]
fn a_restart_forgets_neither_risk_nor_what_was_used_up() {
    let first: Vec<Value> = (0..15).map(|i| event(i, &format!("u{i}"), 403)).collect();
    let second: Vec<Value> = (15..30)
        .map(|i| event(i, &format!("u{}", i - 10), 418))
        .collect();
    let texts = [LOW, OTHER];
    let mut one = engine(&texts);
    alerts_from(&mut one, &first, 1);
    let mut two = engine(&texts);
    two.restore(&saved(&one)).unwrap();
    let (straight, restarted) = (
        alerts_from(&mut one, &second, 50),
        alerts_from(&mut two, &second, 50),
    );
    assert_eq!(straight, restarted);
    assert!(straight.iter().any(|a| a.held) && straight.iter().any(|a| !a.held));
}
