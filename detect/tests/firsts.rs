//! What is new: how much more says, and whose new things say nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use serde_json::{Value, json};
use support::alerts;
use watchfire_event::Alert;
use watchfire_event::time::to_rfc3339;

const MINUTE: i64 = 60;

/// A call by one service of another.
fn call(seconds: i64, caller: &str, callee: &str) -> Value {
    json!({"@timestamp": to_rfc3339((1_760_000_000 + seconds) * 1_000_000_000),
        "source": {"service": {"name": caller}}, "service": {"name": callee}})
}

/// The alerts of new calls, in the order of their events.
fn told(events: &[Value]) -> Vec<Alert> {
    let edge = "
detector: first_seen
id: first_seen.edge
title: New edge
entity: source.service.name
pair: service.name
";
    alerts(edge, events)
}

#[test]
fn more_that_is_new_within_the_hour_says_more_unless_that_is_usual() {
    // Every service calls one other, then in turn so many new ones.
    let scores = |sizes: &[i64]| {
        let n = sizes.len() as i64;
        let usual = (0..800 * n).map(|i| call(i * MINUTE, &format!("s{}", i % n), "users"));
        let mut events: Vec<_> = usual.collect();
        for (service, size) in (0..n).zip(sizes) {
            let begin = 800 * n + service * 70;
            let new = |i: i64| {
                call(
                    (begin + i) * MINUTE,
                    &format!("s{service}"),
                    &format!("x{i}"),
                )
            };
            events.extend((0..*size).map(new));
        }
        let told = told(&events);
        assert_eq!(told.len(), sizes.len(), "{told:#?}");
        (told.iter().map(|a| a.score).collect::<Vec<_>>(), told)
    };
    let (few, told) = scores(&[1, 2, 6]);
    assert!(few[0] < few[1] && few[1] + 1.0 < few[2], "{few:?}");
    let said = "; 6 such firsts, none more than an hour after the last";
    assert!(told[2].summary.ends_with(said), "{}", told[2].summary);
    let (usual, _) = scores(&[6; 20]);
    assert!(usual[19] + 0.5 < usual[0], "{usual:?}");
}

#[test]
fn who_brings_something_new_all_the_time_is_told_of_nothing() {
    // Ten days of a service that delivers to hooks of customers, and now and then to a new one:
    // each is rare among so many deliveries.
    let days = |a_day: i64| {
        let mut events = Vec::new();
        for i in 0..10 * 2_000 {
            let time = i * 86_400 / 2_000;
            events.push(call(time, "hooks", &format!("old{}", i % 3)));
            if i % (2_000 / a_day) == 1_000 / a_day {
                events.push(call(time + 1, "hooks", &format!("new{i}")));
            }
        }
        told(&events)
    };
    let (rare, usual) = (days(1), days(4));
    assert!(rare.len() >= 3, "{rare:#?}");
    assert!(usual.len() <= 2, "{usual:#?}");
}

#[test]
fn one_noisy_hour_does_not_hide_what_comes_days_later() {
    let usual = (0..9 * 720).map(|i| call(i * 2 * MINUTE, "files", "users"));
    let begin = 9 * 86_400;
    let noisy = (0..30).map(|i| call(begin + i * MINUTE, "files", &format!("x{i}")));
    let later = (0..1_440).map(|i| call(begin + 3_600 + i * 2 * MINUTE, "files", "users"));
    let last = call(begin + 3 * 86_400, "files", "secrets");
    let told = told(
        &usual
            .chain(noisy)
            .chain(later)
            .chain([last])
            .collect::<Vec<_>>(),
    );
    let said: Vec<_> = told.iter().map(|alert| alert.summary.as_str()).collect();
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[1].contains("seen with secrets"), "{said:#?}");
}
