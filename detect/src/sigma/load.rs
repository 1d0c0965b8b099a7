//! Sigma documents from text. Each stands for itself: a bad one is named and the others are live.

use std::collections::BTreeMap;
use std::sync::Arc;

use rsigma_eval::{CompiledRule, Engine, compile_rule};
use rsigma_parser::{
    ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType, Detection,
    Detections, FilterRule, FilterRuleTarget, LogSource, SigmaCollection, SigmaRule,
    parse_sigma_yaml,
};
use serde::Deserialize;
use watchfire_event::Severity;

use super::listed;
use super::pipelines::{Changed, Pipelines, is_pipeline, placeholders};
use crate::intel::IntelSet;
use crate::ruleset::{RuleFault, RuleFile, RuleInfo, RuleKind};

/// What the API tells of a document. Rules, correlations and filters have these members in
/// common, but no type.
macro_rules! info {
    ($kind:ident, $rule:expr, $place:expr, $logsource:expr, $fields:expr) => {
        RuleInfo {
            id: identity(&$rule.id, &$rule.name, &$rule.title),
            title: $rule.title.clone(),
            kind: RuleKind::$kind,
            severity: severity($rule.level),
            status: status($rule.status),
            logsource: source($logsource),
            tags: tags(&$rule.tags),
            path: $place.path.clone(),
            fields: $fields,
            description: $rule.description.clone(),
            falsepositives: $rule.falsepositives.clone(),
            references: $rule.references.clone(),
            author: $rule.author.clone(),
            pipelines: Vec::new(),
            name: $rule.name.clone(),
            refs: Vec::new(),
            text: std::sync::Arc::clone(&$place.text),
        }
    };
}

/// A detection rule ready to run.
pub(crate) struct LoadedRule {
    pub(crate) rule: SigmaRule,
    pub(crate) compiled: CompiledRule,
}

/// What the documents of all files gave.
#[derive(Default)]
pub(crate) struct Loaded {
    /// Lists that rules may ask for.
    pub(crate) lists: Arc<IntelSet>,
    /// What rewrites rules before they are compiled.
    pub(crate) pipelines: Arc<Pipelines>,
    /// How many rules each pipeline changed, by its path and line.
    pub(crate) changed: BTreeMap<(String, u32), usize>,
    pub(crate) rules: Vec<LoadedRule>,
    /// Correlations with the place each came from.
    pub(crate) correlations: Vec<(CorrelationRule, Place)>,
    pub(crate) filters: Vec<(FilterRule, Place)>,
    pub(crate) infos: Vec<RuleInfo>,
    pub(crate) faults: Vec<RuleFault>,
}

/// Where a document is.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) path: String,
    pub(crate) line: u32,
    /// The document.
    pub(crate) text: std::sync::Arc<str>,
}

impl Place {
    pub(crate) fn fault(&self, code: &'static str, message: impl Into<String>) -> RuleFault {
        let message = message.into();
        RuleFault {
            path: self.path.clone(),
            line: Some(self.line),
            code,
            message,
        }
    }
}

impl Loaded {
    /// Reads one file of Sigma documents.
    pub(crate) fn file(&mut self, file: &RuleFile) {
        let rules = documents(&file.text).into_iter();
        for (line, text) in rules.filter(|(_, text)| !is_pipeline(&file.path, text)) {
            let place = Place {
                path: file.path.clone(),
                line,
                text: text.into(),
            };
            match parse_sigma_yaml(text) {
                Ok(collection) => self.collection(collection, text, &place),
                Err(error) => {
                    let line = error.location().map(|l| l.line);
                    let message = error.to_string();
                    let mut fault = place.fault("invalid_yaml", message);
                    fault.line = line.map(|l| place.line + l - 1).or(fault.line);
                    self.faults.push(fault);
                }
            }
        }
    }

    fn collection(&mut self, collection: SigmaCollection, text: &str, place: &Place) {
        let live = !collection.is_empty();
        for message in &collection.errors {
            let code = if live { "warning" } else { code_of(message) };
            let mut fault = place.fault(code, message.clone());
            fault.line = Some(line_of(message, text).map_or(place.line, |l| place.line + l));
            self.faults.push(fault);
        }
        for rule in collection.rules {
            self.rule(rule, place);
        }
        for mut correlation in collection.correlations {
            let id = identity(&correlation.id, &correlation.name, &correlation.title);
            correlation.id = Some(id);
            all_rules_without_condition(&mut correlation, text);
            let pipelines = Arc::clone(&self.pipelines);
            let changed = pipelines.apply_to_correlation(&mut correlation, place);
            let Some(pipelines) = self.changed_by(changed) else {
                continue;
            };
            let fields = correlation.group_by.clone();
            let mut info = info!(Correlation, correlation, place, None, fields);
            info.pipelines = pipelines;
            info.refs.clone_from(&correlation.rules);
            self.infos.push(info);
            self.correlations.push((correlation, place.clone()));
        }
        for mut filter in collection.filters {
            let changed = Arc::clone(&self.pipelines).apply_to_filter(&mut filter, place);
            let Some(pipelines) = self.changed_by(changed) else {
                continue;
            };
            // A filter that cannot be compiled must not take its rules down with it.
            match Engine::new().apply_filter(&filter) {
                Ok(()) => {
                    let fields = fields(&filter.detection);
                    let logsource = filter.logsource.as_ref();
                    let mut info = info!(Filter, filter, place, logsource, fields);
                    info.pipelines = pipelines;
                    info.refs = targets(&filter).unwrap_or_default().to_vec();
                    self.infos.push(info);
                    self.filters.push((filter, place.clone()));
                }
                Err(error) => self
                    .faults
                    .push(place.fault("invalid_filter", error.to_string())),
            }
        }
    }

    /// Notes which pipelines changed a document; none where one refused it.
    fn changed_by(&mut self, changed: Result<Vec<Changed>, RuleFault>) -> Option<Vec<String>> {
        match changed {
            Ok(changed) => {
                let name = |changed: Changed| {
                    *self.changed.entry(changed.place).or_default() += 1;
                    changed.name
                };
                Some(changed.into_iter().map(name).collect())
            }
            Err(fault) => {
                self.faults.push(fault);
                None
            }
        }
    }

    fn rule(&mut self, mut rule: SigmaRule, place: &Place) {
        rule.id = Some(identity(&rule.id, &rule.name, &rule.title));
        let changed = Arc::clone(&self.pipelines).apply(&mut rule, place);
        let Some(pipelines) = self.changed_by(changed) else {
            return;
        };
        if let Some(name) = placeholders::settle(&mut rule) {
            let message = format!("nothing fills in the placeholder %{name}%");
            let mut fault = place.fault("unresolved_placeholder", message);
            let written = format!("%{name}%");
            let line = (0u32..)
                .zip(place.text.lines())
                .find(|(_, l)| l.contains(&written));
            fault.line = line.map(|(l, _)| place.line + l).or(fault.line);
            self.faults.push(fault);
            return;
        }
        match compile_rule(&rule) {
            Ok(mut compiled) => {
                let asked = listed::bind(&mut compiled);
                if let Some(missing) = asked.iter().find(|list| self.lists.get(list).is_none()) {
                    let message = format!("there is no threat list {missing}");
                    self.faults.push(place.fault("unknown_list", message));
                    return;
                }
                let fields = fields(&rule.detection);
                let mut info = info!(Sigma, rule, place, Some(&rule.logsource), fields);
                info.pipelines = pipelines;
                self.infos.push(info);
                self.rules.push(LoadedRule { rule, compiled });
            }
            Err(error) => self
                .faults
                .push(place.fault("invalid_rule", error.to_string())),
        }
    }
}

/// Without a condition, a correlation over time takes all of its rules (Sigma correlations 2.1).
/// The parser takes one of them to be enough, as if the condition said so.
fn all_rules_without_condition(correlation: &mut CorrelationRule, text: &str) {
    let documents = yaml_serde::Deserializer::from_str(text);
    let documents = documents.filter_map(|d| yaml_serde::Value::deserialize(d).ok());
    let says = |document: yaml_serde::Value| {
        let correlation = document.get("correlation");
        correlation.and_then(|c| c.get("condition")).is_some()
    };
    if let CorrelationType::Temporal | CorrelationType::TemporalOrdered =
        correlation.correlation_type
        && let CorrelationCondition::Threshold { predicates, .. } = &mut correlation.condition
        && !documents.into_iter().any(says)
    {
        *predicates = vec![(ConditionOperator::Gte, correlation.rules.len() as u64)];
    }
}

/// The documents of a file with the line each starts at. A file that uses collection actions
/// (`action: global`) is one document: its parts need each other.
pub(crate) fn documents(text: &str) -> Vec<(u32, &str)> {
    let actions = text.lines().any(|l| l.starts_with("action:"));
    let mut found = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 1, 0);
    for (number, line) in (1u32..).zip(text.split_inclusive('\n')) {
        if !actions && (line.trim_end() == "---" || line.starts_with("--- ")) {
            found.push((start_line, text.get(start..at).unwrap_or_default()));
            start = at + line.len();
            start_line = number + 1;
        }
        at += line.len();
    }
    found.push((start_line, text.get(start..).unwrap_or_default()));
    let said = |t: &str| {
        t.lines()
            .any(|l| !l.trim().is_empty() && !l.trim().starts_with('#'))
    };
    found.retain(|(_, text)| said(text));
    found
}

fn code_of(message: &str) -> &'static str {
    if message.starts_with("YAML") || message.contains("not a YAML mapping") {
        "invalid_yaml"
    } else if message.starts_with("Missing required field") {
        "missing_field"
    } else if message.starts_with("Condition") {
        "invalid_condition"
    } else {
        "invalid_rule"
    }
}

/// Lines into the document at which the message's fault is, from 0.
fn line_of(message: &str, text: &str) -> Option<u32> {
    if let Some((_, rest)) = message.split_once(" at line ") {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        return digits.parse::<u32>().ok().map(|l| l.saturating_sub(1));
    }
    let key = message.starts_with("Condition").then_some("condition:")?;
    (0u32..)
        .zip(text.lines())
        .find(|(_, l)| l.trim_start().starts_with(key))
        .map(|(i, _)| i)
}

/// A rule without an id is known by its name, or its title: snapshots and alerts need an id.
pub(crate) fn identity(id: &Option<String>, name: &Option<String>, title: &str) -> String {
    let given = id.as_ref().or(name.as_ref());
    given
        .cloned()
        .unwrap_or_else(|| title.to_lowercase().replace(char::is_whitespace, "_"))
}

/// Severity of a Sigma level; a rule without one is medium.
pub(crate) fn severity(level: Option<rsigma_parser::Level>) -> Severity {
    level
        .and_then(|l| Severity::parse(l.as_str()))
        .unwrap_or(Severity::Medium)
}

/// Tags in lower case.
pub(crate) fn tags(tags: &[String]) -> Vec<String> {
    tags.iter().map(|t| t.to_lowercase()).collect()
}

fn status(status: Option<rsigma_parser::Status>) -> Option<String> {
    status.map(|s| format!("{s:?}").to_lowercase())
}

/// A log source as `product/category/service`, `*` for what is not named.
pub(crate) fn source(logsource: Option<&LogSource>) -> String {
    let part = |p: Option<&String>| p.map_or("*", String::as_str).to_owned();
    let parts = [
        part(logsource.and_then(|l| l.product.as_ref())),
        part(logsource.and_then(|l| l.category.as_ref())),
        part(logsource.and_then(|l| l.service.as_ref())),
    ];
    parts.join("/")
}

/// The rules a filter names, `None` for all.
pub(crate) fn targets(filter: &FilterRule) -> Option<&[String]> {
    match &filter.rules {
        FilterRuleTarget::Any => None,
        FilterRuleTarget::Specific(names) => Some(names),
    }
}

/// Fields that a detection reads, each once, in order of name.
fn fields(detection: &Detections) -> Vec<String> {
    fn walk(detection: &Detection, out: &mut Vec<String>) {
        match detection {
            Detection::AllOf(items) => {
                out.extend(items.iter().filter_map(|item| item.field.name.clone()));
            }
            Detection::AnyOf(parts) | Detection::And(parts) => {
                parts.iter().for_each(|part| walk(part, out));
            }
            Detection::Keywords(_) => {}
            Detection::ArrayMatch { field, .. } => out.push(field.clone()),
            Detection::Conditional { named, .. } => named.values().for_each(|d| walk(d, out)),
        }
    }
    let mut found = Vec::new();
    detection.named.values().for_each(|d| walk(d, &mut found));
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_know_their_lines() {
        let text = "title: a\n---\n# only a remark\n---\ntitle: b\nx: 1\n--- # third\ntitle: c\n";
        let found: Vec<_> = documents(text)
            .into_iter()
            .map(|(l, t)| (l, t.trim()))
            .collect();
        assert_eq!(
            found,
            [(1, "title: a"), (5, "title: b\nx: 1"), (8, "title: c")]
        );
        assert_eq!(documents("action: global\na: 1\n---\nb: 2\n").len(), 1);
        assert!(documents("\n---\n\n").is_empty());
    }
}
