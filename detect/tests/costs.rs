//! What rules cost: measured with a clock of the test's own.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use support::{batch_from, engine};

/// A millisecond later each time it is asked.
fn ticking() -> f64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed) as f64 / 1e3
}

const RULES: [&str; 2] = [
    "
title: Denied
id: denied
name: denied
logsource: { category: application }
detection: { selection: { http.response.status_code: 403 }, condition: selection }
level: low
---
title: Denied often
id: often
correlation:
  type: event_count
  rules: [denied]
  group-by: [user.id]
  timespan: 1h
  condition: { gte: 3 }
level: high
---
title: Teapots
id: teapots
logsource: { category: application }
detection: { selection: { http.response.status_code: 418 }, condition: selection }
level: low
",
    "
detector: rate
id: rate.denied
title: Many requests
entity: user.id
",
];

#[test]
fn every_rule_is_charged_with_its_own_part() {
    let mut engine = engine(&RULES).with_clock(ticking);
    let event = |i: i64, status: u16| {
        json!({"@timestamp": 1_760_000_000_000_i64 + i, "user": {"id": "u1"},
            "http": {"response": {"status_code": status}}})
    };
    let events: Vec<_> = (0..50)
        .map(|i| event(i, if i < 10 { 403 } else { 200 }))
        .collect();
    engine.process(&batch_from(&events, 1));
    let costs = engine.costs();
    let of = |id: &str| costs.of(id).copied().unwrap_or_default();
    assert_eq!(costs.events, 50);
    // A batch that is measured stands for sixteen.
    assert_eq!(of("denied").asked, 16 * 10);
    assert_eq!((of("teapots").asked, of("teapots").nanos), (0, 0));
    assert_eq!(of("rate.denied").asked, 50);
    for id in ["denied", "often", "rate.denied"] {
        assert!(of(id).nanos > 0, "{id} costs nothing");
    }
    assert!(costs.nanos >= of("rate.denied").nanos);
}

#[test]
fn without_a_clock_nothing_is_known() {
    let mut engine = engine(&RULES);
    let event = json!({"user": {"id": "u1"}, "http": {"response": {"status_code": 403}}});
    engine.process(&batch_from(&[event], 1));
    assert_eq!(
        engine
            .costs()
            .all()
            .map(|(_, cost)| cost.nanos)
            .sum::<u64>(),
        0
    );
}
