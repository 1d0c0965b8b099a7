//! Correlations that refer to each other: which can be live, and which go together.

use std::collections::BTreeSet;

use ahash::HashMap;
use rsigma_eval::correlation::compile_correlation;
use rsigma_eval::{CorrelationConfig, CorrelationEngine};
use rsigma_parser::{CorrelationRule, SigmaCollection, SigmaRule};

use super::load::{LoadedRule, Place};
use crate::ruleset::RuleFault;

/// Correlations that refer to each other, with the rules they refer to.
#[derive(Debug, Clone)]
pub(crate) struct Component {
    pub(crate) correlations: Vec<CorrelationRule>,
    pub(super) rules: Vec<SigmaRule>,
}

/// Sorts out which correlations can be live and which go together.
pub(crate) fn components(
    correlations: Vec<(CorrelationRule, Place)>,
    rules: &[LoadedRule],
) -> (Vec<Component>, Vec<RuleFault>) {
    let mut faults = Vec::new();
    let mut live = Vec::new();
    for (correlation, place) in correlations {
        match compile_correlation(&correlation) {
            Ok(_) => live.push((correlation, place)),
            Err(error) => faults.push(place.fault("invalid_correlation", error.to_string())),
        }
    }
    let of_rules: BTreeSet<&str> = rules
        .iter()
        .flat_map(|r| [&r.rule.id, &r.rule.name])
        .flatten()
        .map(String::as_str)
        .collect();
    // Taking one out can leave another without what it refers to.
    loop {
        let names: BTreeSet<String> = live.iter().flat_map(|(c, _)| names(c)).collect();
        let known = |r: &String| of_rules.contains(r.as_str()) || names.contains(r);
        let gone = live.iter().position(|(c, _)| !c.rules.iter().all(known));
        let Some(index) = gone else { break };
        let (correlation, place) = live.remove(index);
        let missing = correlation.rules.iter().filter(|r| !known(r)).cloned();
        let missing: Vec<_> = missing.collect();
        let message = format!("no live rule is called {}", missing.join(", "));
        faults.push(place.fault("unknown_rule_ref", message));
    }
    let mut found = Vec::new();
    while let Some(first) = live.pop() {
        let mut group = vec![first];
        while let Some(next) = live
            .iter()
            .position(|(c, _)| group.iter().any(|(g, _)| linked(g, c)))
        {
            group.push(live.remove(next));
        }
        group.reverse();
        let place = group.first().map(|(_, p)| p.clone());
        let correlations: Vec<_> = group.into_iter().map(|(c, _)| c).collect();
        let wanted: BTreeSet<&String> = correlations.iter().flat_map(|c| &c.rules).collect();
        let refers = |r: &&LoadedRule| {
            [&r.rule.id, &r.rule.name]
                .into_iter()
                .flatten()
                .any(|n| wanted.contains(n))
        };
        let rules = rules
            .iter()
            .filter(refers)
            .map(|r| r.rule.clone())
            .collect();
        let component = Component {
            correlations,
            rules,
        };
        match (component.engine(), place) {
            (Err(error), Some(place)) => {
                faults.push(place.fault("correlation_cycle", error.to_string()));
            }
            _ => found.push(component),
        }
    }
    found.reverse();
    (found, faults)
}

fn names(correlation: &CorrelationRule) -> Vec<String> {
    [&correlation.id, &correlation.name]
        .into_iter()
        .flatten()
        .cloned()
        .collect()
}

fn linked(a: &CorrelationRule, b: &CorrelationRule) -> bool {
    let refers = |x: &CorrelationRule, y: &CorrelationRule| {
        names(y).iter().any(|name| x.rules.contains(name))
    };
    refers(a, b) || refers(b, a)
}

impl Component {
    /// rsigma's engine of these correlations, which checks that they fit together.
    pub(super) fn engine(&self) -> Result<CorrelationEngine, rsigma_eval::EvalError> {
        let mut engine = CorrelationEngine::new(CorrelationConfig::default());
        engine.add_collection(&SigmaCollection {
            rules: self.rules.clone(),
            correlations: self.correlations.clone(),
            filters: Vec::new(),
            errors: Vec::new(),
        })?;
        Ok(engine)
    }

    /// What each correlation counts.
    pub(super) fn subjects(&self) -> HashMap<String, Subject> {
        let rules = self.rules.iter().map(|r| (&r.id, &r.name, &r.title));
        let inner = self.correlations.iter().map(|c| (&c.id, &c.name, &c.title));
        let all: Vec<_> = rules.chain(inner).collect();
        let title = |wanted: &String| {
            let is_it = |name: &Option<String>| name.as_ref() == Some(wanted);
            let mut found = all.iter().filter(|(id, name, _)| is_it(id) || is_it(name));
            found.next().map(|(_, _, title)| (*title).clone())
        };
        let subject = |c: &CorrelationRule| {
            let compiled = compile_correlation(c).ok()?;
            let subject = Subject {
                fields: compiled.condition.field.unwrap_or_default(),
                rules: c.rules.iter().filter_map(title).collect(),
            };
            Some((c.id.clone()?, subject))
        };
        self.correlations.iter().filter_map(subject).collect()
    }

    /// What it is called in a snapshot.
    pub(crate) fn name(&self) -> String {
        let ids = self.correlations.iter().filter_map(|c| c.id.as_deref());
        ids.collect::<Vec<_>>().join(" ")
    }

    /// The id of its first correlation, which stands for all.
    pub(crate) fn main_id(&self) -> &str {
        self.correlations
            .iter()
            .find_map(|c| c.id.as_deref())
            .unwrap_or_default()
    }

    /// Ids of the rules whose matches it takes.
    pub(crate) fn rule_ids(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|r| r.id.as_deref())
    }

    /// Ids of rules and correlations that only feed others and raise nothing themselves.
    pub(crate) fn silent(&self) -> BTreeSet<String> {
        let feeds = |generate: bool| -> BTreeSet<&String> {
            let of = self.correlations.iter().filter(|c| c.generate == generate);
            of.flat_map(|c| &c.rules).collect()
        };
        let (quiet, loud) = (feeds(false), feeds(true));
        let is_quiet = |all: &[&Option<String>]| {
            let hit =
                |set: &BTreeSet<&String>| all.iter().copied().flatten().any(|n| set.contains(n));
            hit(&quiet) && !hit(&loud)
        };
        let rules = self.rules.iter().filter(|r| is_quiet(&[&r.id, &r.name]));
        let inner = self
            .correlations
            .iter()
            .filter(|c| is_quiet(&[&c.id, &c.name]));
        rules
            .filter_map(|r| r.id.clone())
            .chain(inner.filter_map(|c| c.id.clone()))
            .collect()
    }
}

/// What a correlation counts, in words.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subject {
    /// Fields whose values are counted.
    pub(crate) fields: Vec<String>,
    /// Titles of the rules it refers to.
    pub(crate) rules: Vec<String>,
}
