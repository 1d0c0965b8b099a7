//! However a stream is cut into batches, and wherever it is saved and restored, the alerts are
//! the same, with the same ids.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{batch_from, files, saved};
use watchfire_detect::{
    Activity, Engine, EngineConfig, RuleException, RulePolicy, RuleSet, RuleSettings, RuleState,
};
use watchfire_event::time::to_rfc3339;
use watchfire_event::{Alert, Severity};

const RULES: &[&str] = &[
    "
title: Odd path
id: odd-path
name: odd_path
logsource: { category: webserver }
detection:
    selection: { cs-uri-query|contains: odd }
    condition: selection
level: low
",
    "
title: Failed login
id: failed
name: failed
logsource: { category: authentication }
detection:
    selection: { event.outcome: failure }
    condition: selection
---
title: Many failures
id: many
correlation:
    type: event_count
    rules: [failed]
    group-by: [user.id]
    timespan: 5m
    condition: { gte: 4 }
level: high
---
title: Many users
id: spray
correlation:
    type: value_count
    rules: [failed]
    group-by: [source.ip]
    timespan: 10m
    condition: { field: user.id, gte: 3 }
level: high
---
title: Odd path after failure
id: ordered
correlation:
    type: temporal_ordered
    rules: [failed, odd_path]
    group-by: [source.ip]
    timespan: 2m
    generate: true
level: critical
",
    "
detector: first_seen
id: first_seen.user_ip
title: New address
entity: user.id
pair: source.ip
thresholds: { min_events: 10, min_score: 0.3, min_peers: 1 }
",
    "
detector: rate
id: rate.ip
title: Rate
entity: source.ip
window: 1m
thresholds: { min_count: 3, min_windows: 3, min_score: 0.5 }
",
    "
detector: walk
id: walk.ids
title: Walk
thresholds: { min_score: 2 }
---
detector: token_use
id: token_use.hands
title: Token
thresholds: { min_score: 0.1 }
---
detector: unissued
id: unissued.token
title: Unissued
thresholds: { min_score: 0.1 }
---
detector: silence
id: silence.source
title: Silence
thresholds: { min_score: 0.1 }
---
detector: volume
id: volume.account
title: Volume
thresholds: { min_score: 0.1 }
---
detector: takeover
id: takeover.account
title: Takeover
thresholds: { min_score: 0.1 }
---
detector: cardinality
id: cardinality.accounts
title: Cardinality
thresholds: { min_score: 0.1 }
---
detector: new_place
id: new_place.account
title: Place
thresholds: { min_score: 0.1 }
---
detector: reach
id: reach.objects
title: Reach
thresholds: { min_count: 3 }
---
detector: spree
id: spree.any
title: Spree
thresholds: { min_count: 3 }
",
];

fn rules() -> Arc<RuleSet> {
    let (rules, faults) = RuleSet::load(&files(RULES));
    assert!(faults.is_empty(), "{faults:?}");
    Arc::new(rules)
}

/// An event: seconds since the last (may be negative), user, address, failed, odd.
type Step = (i64, u8, u8, bool, bool);

fn step() -> impl Strategy<Value = Step> {
    let gap = prop_oneof![8 => 0i64..40, 1 => -600i64..0, 1 => 600i64..9_000];
    (
        gap,
        0u8..4,
        0u8..4,
        any::<bool>(),
        prop::bool::weighted(0.2),
    )
}

fn events(steps: &[Step]) -> Vec<Value> {
    let (mut time, mut number) = (1_760_000_000i64, 0);
    let one = |&(gap, user, ip, failed, odd): &Step| {
        time += gap;
        number += 1;
        let mut event = json!({
            "@timestamp": to_rfc3339(time * 1_000_000_000),
            "user": {"id": format!("u{user}")}, "token": {"hash": format!("t{user}")},
            "source": {"ip": format!("192.0.2.{ip}"), "as": {"number": 64_500 + i64::from(ip)}},
            "service": {"name": format!("s{}", ip % 2)}, "host": {"name": format!("h{ip}")},
            "user_agent": {"original": if ip % 2 == 0 { "Mozilla/5.0" } else { "curl/8" }},
            "event": {"category": ["authentication"], "outcome": if failed { "failure" } else { "success" }},
            "url": {"path": if odd { "/odd".into() } else { format!("/even/{number}") }},
        });
        if !odd {
            event["event"]["action"] = json!("login");
        }
        // Shapes differ, so that batches have different columns.
        if user == 3 {
            event["tags"] = json!(["a", user]);
        }
        event
    };
    steps.iter().map(one).collect()
}

/// One of everything that people can set.
fn policy() -> RulePolicy {
    let state = |state| RuleSettings {
        state,
        ..RuleSettings::default()
    };
    let milder = RuleSettings {
        severity: Some(Severity::Info),
        suppress_ns: Some(7_200 * 1_000_000_000),
        ..RuleSettings::default()
    };
    let exception = |id: &str, rules: &[&str], query: &str| RuleException {
        id: id.to_owned(),
        rules: rules.iter().map(|r| (*r).to_owned()).collect(),
        query: query.to_owned(),
        expires_ns: None,
    };
    RulePolicy {
        settings: BTreeMap::from([
            ("odd-path".to_owned(), milder),
            ("many".to_owned(), state(RuleState::Shadow)),
            ("rate.ip".to_owned(), state(RuleState::Shadow)),
        ]),
        exceptions: vec![
            exception(
                "one",
                &["failed", "spray"],
                "user.id:u2 source.ip:192.0.2.1",
            ),
            exception("all", &[], "source.ip:192.0.2.2"),
        ],
        ..RulePolicy::default()
    }
}

/// The alerts at the end, by id, of the stream cut at `cuts`; saved and
/// restored now and then.
fn run(rules: &Arc<RuleSet>, events: &[Value], cuts: &[usize]) -> BTreeMap<String, Alert> {
    run_under(rules, RulePolicy::default(), events, cuts).0
}

/// As [`run`] under a policy; also what the rules did.
fn run_under(
    rules: &Arc<RuleSet>,
    policy: RulePolicy,
    events: &[Value],
    cuts: &[usize],
) -> (BTreeMap<String, Alert>, Activity) {
    let mut engine = Engine::new(Arc::clone(rules), EngineConfig::default());
    engine.set_policy(Arc::new(policy));
    let mut alerts = BTreeMap::new();
    let mut at = 0;
    let save_every = if cuts.len() < 20 { 2 } else { 16 };
    let ends = cuts.iter().copied().chain([events.len()]);
    for (i, end) in ends.enumerate() {
        let end = end.clamp(at, events.len());
        let part = batch_from(&events[at..end], at as u64 + 1);
        for change in engine.process(&part) {
            alerts.insert(change.alert.id.clone(), change.alert);
        }
        at = end;
        if i % save_every == 1 {
            let saved = saved(&engine);
            engine = Engine::new(Arc::clone(rules), EngineConfig::default());
            engine.restore(&saved).unwrap();
        }
    }
    (alerts, engine.activity().clone())
}

type Alerts = BTreeMap<String, Alert>;

/// Names the first alert that differs.
fn same(whole: &Alerts, cut: &Alerts) -> Result<(), TestCaseError> {
    for (id, alert) in whole {
        prop_assert_eq!(Some(alert), cut.get(id));
    }
    let more: Vec<_> = cut
        .iter()
        .filter(|(id, _)| !whole.contains_key(*id))
        .collect();
    prop_assert!(more.is_empty(), "{more:#?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn alerts_do_not_depend_on_the_cut(
        steps in prop::collection::vec(step(), 1..160),
        mut cuts in prop::collection::vec(0usize..160, 0..12),
    ) {
        cuts.sort_unstable();
        let rules = rules();
        let events = events(&steps);
        let whole = run(&rules, &events, &[]);
        let cut = run(&rules, &events, &cuts);
        same(&whole, &cut)?;
        let single: Vec<usize> = (1..events.len()).collect();
        same(&whole, &run(&rules, &events, &single))?;
    }

    #[test]
    fn neither_does_what_people_set(
        steps in prop::collection::vec(step(), 1..160),
        mut cuts in prop::collection::vec(0usize..160, 0..12),
    ) {
        cuts.sort_unstable();
        let rules = rules();
        let events = events(&steps);
        let (whole, did) = run_under(&rules, policy(), &events, &[]);
        let (cut, did_cut) = run_under(&rules, policy(), &events, &cuts);
        same(&whole, &cut)?;
        prop_assert_eq!(did, did_cut);
        let quiet = |a: &&Alert| a.detector == "sigma:many" || a.detector == "rate.ip";
        prop_assert!(!whole.values().any(|a| quiet(&a)));
        prop_assert!(whole.values().all(|a| a.entities.get("ip").is_none_or(|ips| ips.len() != 1
            || ips[0] != "192.0.2.2")));
    }
}

/// What a hundred accounts without roles do, of two kinds of work, with one that changes its kind.
fn work() -> Vec<Value> {
    let mut all = Vec::new();
    for hour in (0..5 * 24).filter(|hour| hour % 24 < 8) {
        for user in 0..100 {
            let kind = user % 2 + usize::from(user == 7 && hour >= 72);
            let time = 1_760_054_400 + hour * 3_600 + user as i64 * 30;
            all.push(json!({
                "@timestamp": to_rfc3339(time * 1_000_000_000),
                "user": {"id": format!("w{user}")}, "source": {"ip": "192.0.2.1"},
                "service": {"name": "desk"}, "http": {"response": {"status_code": 200}},
                "url": {"path": format!("/{}/open", [["a", "b"], ["c", "d"], ["a", "e"]]
                    [kind % 3][(hour % 2) as usize])},
            }));
        }
    }
    all
}

#[test]
fn groups_of_peers_do_not_depend_on_the_cut_either() {
    let takeover = "
detector: takeover
id: takeover.account
title: Takeover
thresholds: { min_score: 0.5 }
";
    let (rules, faults) = RuleSet::load(&files(&[takeover]));
    assert!(faults.is_empty(), "{faults:?}");
    let (rules, work) = (Arc::new(rules), work());
    let whole = run(&rules, &work, &[]);
    let peers = |alert: &Alert| alert.evidence.baseline["peers"].as_u64();
    assert_eq!(whole.values().filter_map(peers).max(), Some(50));
    for cuts in [
        vec![801, 802, 1_700, 2_600],
        (1..40).map(|i| i * 97).collect(),
    ] {
        same(&whole, &run(&rules, &work, &cuts)).unwrap();
    }
}

/// Six days of five accounts that read their own orders every hour. On the last, one reads many of
/// others, one comes from elsewhere with another program, and one's token begins there.
fn days() -> Vec<Value> {
    let read = |time: i64, user: usize, token: &str, order: i64, away: bool| {
        let (ip, asn, agent) = match away {
            true => ("203.0.113.9", 64_510, "Mozilla/5.0 Safari/18.1"),
            false => ("192.0.2.20", 64_500, "Mozilla/5.0 Firefox/131.0"),
        };
        json!({
            "@timestamp": to_rfc3339((1_760_054_400 + time) * 1_000_000_000),
            "user": {"id": format!("d{user}")}, "token": {"hash": format!("{user}-{token}")},
            "source": {"ip": ip, "as": {"number": asn}}, "user_agent": {"original": agent},
            "service": {"name": "shop"}, "http": {"response": {"status_code": 200}},
            "url": {"path": format!("/orders/{order}")},
        })
    };
    let mut all = Vec::new();
    for hour in (0..6 * 24).filter(|hour| hour % 24 < 10) {
        let is_last = hour >= 5 * 24 + 5;
        for user in 0..5 {
            let (time, order) = (hour * 3_600 + user as i64 * 60, 1_000 * (1 + user as i64));
            let token = (hour / 2).to_string();
            all.push(read(time, user, &token, order, is_last && user == 2));
            if is_last && user == 1 {
                let more =
                    (1..9).map(|i| read(time + i, user, &token, hour * 9_999 + i * 71, false));
                all.extend(more);
            }
            if is_last && user == 3 {
                let stolen = (1..9).map(|i| read(time + i * 15, user, "stolen", order, true));
                all.extend(stolen);
            }
        }
    }
    all
}

#[test]
fn what_takes_days_does_not_depend_on_the_cut_either() {
    let (rules, days) = (rules(), days());
    let whole = run(&rules, &days, &[]);
    let told = |id: &str| whole.values().any(|alert| alert.detector == id);
    for id in ["reach.objects", "new_place.account", "unissued.token"] {
        assert!(told(id), "{id} raised nothing");
    }
    for cuts in [
        vec![150, 151, 200, 260, 290],
        (1..30).map(|i| i * 11).collect(),
        (1..days.len()).collect(),
    ] {
        same(&whole, &run(&rules, &days, &cuts)).unwrap();
    }
}

#[test]
fn the_property_is_about_something() {
    // A steady mix must raise alerts of every kind, or the property above would hold for nothing.
    let steps: Vec<Step> = (0..150u8)
        .map(|i| {
            let burst = i > 120;
            (
                if burst { 1 } else { 25 },
                i % 3,
                if burst { 3 } else { i % 2 },
                i % 4 == 0 || burst,
                i % 11 == 0,
            )
        })
        .collect();
    let alerts = run(&rules(), &events(&steps), &[40, 41, 100]);
    let mut detectors: Vec<_> = alerts.values().map(|a| a.detector.as_str()).collect();
    detectors.sort_unstable();
    detectors.dedup();
    let all = [
        "first_seen.user_ip",
        "rate.ip",
        "sigma:failed",
        "sigma:many",
        "sigma:odd-path",
        "sigma:ordered",
        "sigma:spray",
        "spree.any",
        "token_use.hands",
        "walk.ids",
    ];
    let expected: Vec<_> = all.into_iter().filter(|d| *d != "sigma:failed").collect();
    for detector in expected {
        assert!(
            detectors.contains(&detector),
            "{detector} raised nothing: {detectors:?}"
        );
    }
}
