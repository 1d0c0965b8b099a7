//! The demo against the pack and the engine, without a server: attacks alert, a quiet day does not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use watchfire_detect::{Engine, EngineConfig, RuleSet};
use watchfire_event::{Alert, BatchLimits, RowMeta};
use watchfire_ingest::{Mappings, build_batch};

use super::traffic::Traffic;
use super::world::SECOND;
use crate::rules::pack_files;

const LIVE_FROM: i64 = 1_795_000_000 * SECOND;
/// Less than the demo has, so that the test is quick without optimization.
const HISTORY_SECONDS: i64 = 1800;

/// Alerts of the engine by id, each as it was last, over the demo's past and `seconds` of it live.
fn alerts(seed: u64, seconds: i64, attacks: bool) -> BTreeMap<String, Alert> {
    let (rules, faults) = RuleSet::load(&pack_files());
    assert!(faults.is_empty(), "{faults:?}");
    let mut engine = Engine::new(Arc::new(rules), EngineConfig::default());
    let mappings = Mappings::builtin().unwrap();
    let mut traffic = Traffic::new(seed, 40, attacks.then_some(LIVE_FROM));
    let (mut found, mut lines, mut sequence) = (BTreeMap::new(), Vec::new(), 1);
    for second in -HISTORY_SECONDS..seconds {
        let from_ns = LIVE_FROM + second * SECOND;
        lines.extend(
            traffic
                .second(from_ns)
                .iter()
                .map(|event| event.to_string()),
        );
        if lines.len() < 2000 && second + 1 < seconds {
            continue;
        }
        let bytes: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        let meta = RowMeta {
            received_ns: from_ns + SECOND,
            source: "demo".into(),
        };
        let (batch, rejected) = build_batch(&bytes, &meta, BatchLimits::default(), &mappings);
        assert!(rejected.is_empty());
        let changes = engine.process(&batch.with_first_seq(sequence));
        sequence += lines.len() as u64;
        found.extend(
            changes
                .into_iter()
                .map(|change| (change.alert.id.clone(), change.alert)),
        );
        lines.clear();
    }
    found
}

fn describe(alerts: &BTreeMap<String, Alert>) -> String {
    let line = |alert: &Alert| {
        let (title, severity) = (&alert.title, alert.severity.as_str());
        format!("{severity} {title} {:?}: {}", alert.entities, alert.summary)
    };
    alerts.values().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_attack_of_a_round_raises_its_alert() {
    let found = alerts(7, 60, true);
    let expected = [
        "Password guessed",
        "SQL injection",
        "Scanner or exploit tool",
        "Password spray",
        "Metadata or loopback host",
        "New edge between two services",
        "Permission probing",
        "Unusual rate of requests",
        "Refresh token used again",
        "MFA fatigue",
        "First use of an administrative route",
    ];
    for title in expected {
        let raised = found.values().any(|alert| alert.title.starts_with(title));
        assert!(raised, "no alert `{title}` in\n{}", describe(&found));
    }
}

#[test]
fn a_quiet_day_raises_nothing() {
    let found = alerts(11, 300, false);
    assert!(found.is_empty(), "{}", describe(&found));
}
