//! Public rules and events, where `WATCHFIRE_SHARED` names the folder they are in.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use support::{batch, read_rules, shared};
use watchfire_detect::{Engine, EngineConfig, RuleSet};

fn rules(folder: &Path) -> Arc<RuleSet> {
    static RULES: OnceLock<Arc<RuleSet>> = OnceLock::new();
    let load = || {
        let files = read_rules(&folder.join("data/sigma/rules"));
        let (rules, faults) = RuleSet::load(&files);
        let bad: Vec<_> = faults.iter().filter(|f| f.code != "warning").collect();
        assert!(bad.is_empty(), "{bad:#?}");
        assert_eq!(rules.len(), files.len(), "every file is a live rule");
        Arc::new(rules)
    };
    Arc::clone(RULES.get_or_init(load))
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a readable file");
    let lines = text.lines().filter(|l| !l.trim().is_empty());
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Rules that match `events`, one batch for all of them.
fn matched(rules: &Arc<RuleSet>, events: &[Value]) -> BTreeMap<String, u64> {
    let mut engine = Engine::new(Arc::clone(rules), EngineConfig::default());
    engine.process(&batch(events));
    engine.stats().matches_by_rule.clone()
}

#[test]
fn every_rule_fires_on_its_regression_events() {
    let Some(folder) = shared() else { return };
    let rules = rules(&folder);
    let cases = lines(&folder.join("data/sigma-regression/events.ndjson"));
    let mut silent = Vec::new();
    for case in &cases {
        let found = matched(&rules, case["events"].as_array().unwrap());
        if !found.contains_key(case["rule_id"].as_str().unwrap()) {
            silent.push(format!("{} {}", case["path"], case["title"]));
        }
    }
    assert!(
        silent.is_empty(),
        "{} of {} are silent: {silent:#?}",
        silent.len(),
        cases.len()
    );
}

/// Products of the log sources that a vendor's events may match rules of.
fn own_products(source: &str) -> &'static [&'static str] {
    match source {
        s if s.starts_with("AWS.CloudTrail") => &["aws"],
        s if s.starts_with("Azure") || s.starts_with("MicrosoftIntune") => &["azure"],
        s if s.starts_with("GCP") || s.starts_with("GSuite") => &["gcp"],
        s if s.starts_with("Okta") => &["okta"],
        s if s.starts_with("GitHub") => &["github"],
        s if s.starts_with("OneLogin") => &["onelogin"],
        s if s.starts_with("Duo") => &["cisco"],
        s if s.starts_with("Microsoft365") => &["m365"],
        s if s.starts_with("Amazon.EKS") => &["kubernetes"],
        s if s.starts_with("Windows") => &["windows"],
        _ => &[],
    }
}

const LANGUAGES: &[&str] = &[
    "*",
    "jvm",
    "python",
    "django",
    "nodejs",
    "ruby_on_rails",
    "spring",
    "sql",
    "velocity",
];

#[test]
fn rules_of_another_product_stay_silent_on_audit_logs() {
    let Some(folder) = shared() else { return };
    let rules = rules(&folder);
    let product: BTreeMap<String, String> = rules
        .infos()
        .into_iter()
        .map(|i| {
            (
                i.id,
                i.logsource.split('/').next().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    let mut by_source: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in lines(&folder.join("data/audit-events/events.ndjson")) {
        // Where a case holds an event of another vendor, the event itself says so.
        let said = line["event"]["p_log_type"]
            .as_str()
            .or(line["source"].as_str());
        let source = said.unwrap().to_owned();
        by_source
            .entry(source)
            .or_default()
            .push(line["event"].clone());
    }
    let mut foreign = Vec::new();
    let mut own = 0;
    for (source, events) in &by_source {
        for (rule, count) in matched(&rules, events) {
            let product = product[&rule].as_str();
            let expected = own_products(source);
            if expected.contains(&product) {
                own += count;
            } else if source != "?" && !LANGUAGES.contains(&product) {
                foreign.push(format!("{source}: {rule} of {product}, {count} times"));
            }
        }
    }
    assert!(foreign.is_empty(), "{foreign:#?}");
    assert!(own >= 50, "only {own} matches of the events' own rules");
}

#[test]
fn cloudtrail_attacks_match_rules_of_cloudtrail_alone() {
    let Some(folder) = shared() else { return };
    let rules = rules(&folder);
    let aws: Vec<String> = rules
        .infos()
        .into_iter()
        .filter(|i| i.logsource == "aws/*/cloudtrail")
        .map(|i| i.id)
        .collect();
    let mut files_matched = 0;
    for entry in std::fs::read_dir(folder.join("data/cloudtrail-attacks")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let events: Vec<Value> =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let found = matched(&rules, &events);
        files_matched += usize::from(!found.is_empty());
        for rule in found.keys() {
            assert!(aws.contains(rule), "{rule} on {}", path.display());
        }
    }
    assert!(
        files_matched >= 10,
        "only {files_matched} files match any rule"
    );
}
