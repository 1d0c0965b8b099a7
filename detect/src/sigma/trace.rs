//! Why a Sigma rule does or does not match a row. rsigma's explain says it; its verdict is that of
//! the engine.

use std::collections::HashMap;

use rsigma_eval::explain::{ConditionTrace, DetectionTrace, ItemTrace, explain_rule};
use rsigma_eval::{CompiledRule, Event};
use rsigma_parser::CorrelationRule;
use serde::Serialize;
use serde_json::Value;

use super::SigmaRules;
use super::component::Component;
use super::event::{BatchFields, RowEvent};
use super::listed;
use super::logsource::{Decides, Facts, LogClass, admits, classify, deciding};
use super::taxonomy::Family;
use crate::ruleset::RuleInfo;
use crate::trace::{LogSourceTrace, RuleTrace, TraceNode, clip};

impl SigmaRules {
    /// Explains a rule; `None` when there is none of this id.
    pub(crate) fn trace(
        &self,
        info: &RuleInfo,
        fields: &BatchFields<'_>,
        row: usize,
    ) -> Option<RuleTrace> {
        let rule = self.compiled_rule(&info.id)?;
        let class = self.class_of(fields, row);
        Some(trace_rule(rule, info, &class, fields, row))
    }

    /// Explains every rule that is asked about such events, in the order of `infos`.
    pub(crate) fn trace_all(
        &self,
        infos: &[RuleInfo],
        fields: &BatchFields<'_>,
        row: usize,
    ) -> Vec<RuleTrace> {
        let class = self.class_of(fields, row);
        let asked = self.compiled.iter();
        let asked: HashMap<&str, &CompiledRule> = asked
            .filter(|rule| admits(&rule.logsource, &class))
            .filter_map(|rule| Some((rule.id.as_deref()?, rule)))
            .collect();
        let trace = |info: &RuleInfo| {
            let rule = asked.get(info.id.as_str())?;
            Some(trace_rule(rule, info, &class, fields, row))
        };
        infos.iter().filter_map(trace).collect()
    }

    /// Explains which rules of a correlation match, and where the event counts.
    pub(crate) fn trace_correlation(
        &self,
        info: &RuleInfo,
        info_of: &dyn Fn(&str) -> Option<RuleInfo>,
        fields: &BatchFields<'_>,
        row: usize,
    ) -> Option<RuleTrace> {
        let found = self.components.iter().find_map(|c| c.correlation(&info.id));
        let (correlation, parts) = found?;
        let part = |id: &str| -> Option<RuleTrace> {
            let info = info_of(id)?;
            match self.compiled_rule(id) {
                Some(_) => self.trace(&info, fields, row),
                None => self.trace_correlation(&info, info_of, fields, row),
            }
        };
        let rules: Vec<RuleTrace> = parts.into_iter().filter_map(part).collect();
        let family = self.class_of(fields, row).family;
        let event = RowEvent::new(fields, family, row).single();
        let group = correlation.group_by.iter().map(|field| {
            let value = event.get_field(field).map(|v| v.to_json());
            TraceNode {
                what: "field",
                matched: value.is_some(),
                field: Some(field.clone()),
                source: fields.source_of(family, field, row).map(|s| s.to_string()),
                value: value.map(clip),
                ..TraceNode::default()
            }
        });
        let group: Vec<TraceNode> = group.collect();
        let matched = rules.iter().any(|rule| rule.matched);
        let sentence = match rules.iter().find(|rule| rule.matched) {
            Some(rule) => {
                let who: Vec<String> = group.iter().map(TraceNode::cause).collect();
                let who = match who.is_empty() {
                    true => String::new(),
                    false => format!(" where {}", who.join(", ")),
                };
                let title = &rule.title;
                format!("The event counts{who}: it matches \"{title}\".")
            }
            None => "The event does not count: it matches none of the rules.".to_owned(),
        };
        Some(RuleTrace {
            matched,
            sentence,
            rules,
            group,
            ..RuleTrace::of(info)
        })
    }

    /// Does the rule only feed correlations?
    pub(crate) fn is_silent(&self, id: &str) -> bool {
        self.silent.contains(id)
    }

    fn compiled_rule(&self, id: &str) -> Option<&CompiledRule> {
        self.compiled.iter().find(|r| r.id.as_deref() == Some(id))
    }

    /// The log source of a row.
    fn class_of(&self, fields: &BatchFields<'_>, row: usize) -> LogClass {
        let mut facts = Facts::default();
        for (field, decides) in deciding() {
            let columns = match field.strip_suffix('.') {
                Some(above) => fields.below(above),
                None => fields.named(field).to_vec(),
            };
            for cells in columns.iter().filter_map(|i| fields.cells(*i)) {
                match decides {
                    Decides::Value => cells.texts(row, &mut |text| facts.add(field, text)),
                    Decides::Presence if !cells.is_null(row) => facts.add(field, ""),
                    Decides::Presence => {}
                }
            }
        }
        classify(&facts, &self.unknown)
    }
}

/// Explains a rule against a row of a class.
fn trace_rule(
    rule: &CompiledRule,
    info: &RuleInfo,
    class: &LogClass,
    fields: &BatchFields<'_>,
    row: usize,
) -> RuleTrace {
    let fits = admits(&rule.logsource, class);
    let event = RowEvent::new(fields, class.family, row);
    let reader = Reader {
        fields,
        family: class.family,
        row,
    };
    let explained = explain_rule(rule, &event);
    let conditions: Vec<TraceNode> = explained
        .conditions
        .iter()
        .zip(&rule.conditions)
        .map(|(trace, text)| TraceNode {
            name: Some(text.to_string()),
            ..reader.condition(trace)
        })
        .collect();
    let of_event = class.words();
    let cause = TraceNode::of("any", conditions.clone()).cause();
    let sentence = match (fits, explained.matched) {
        (false, _) => format!(
            "The rule is not asked: it is for {}, the event is of {of_event}.",
            info.logsource
        ),
        (true, true) => format!("The event matches: {cause}."),
        (true, false) => format!("The event does not match: {cause}."),
    };
    RuleTrace {
        matched: fits && explained.matched,
        sentence,
        log_source: Some(LogSourceTrace {
            rule: info.logsource.clone(),
            event: of_event,
            fits,
        }),
        conditions,
        ..RuleTrace::of(info)
    }
}

impl Component {
    /// A correlation of this component, with the ids of the rules and correlations it takes.
    pub(crate) fn correlation(&self, id: &str) -> Option<(&CorrelationRule, Vec<&str>)> {
        let found = self
            .correlations
            .iter()
            .find(|c| c.id.as_deref() == Some(id))?;
        let rules = self.rules.iter().map(|r| (&r.id, &r.name));
        let inner = self.correlations.iter().map(|c| (&c.id, &c.name));
        let taken = |(id, name): &(&Option<String>, &Option<String>)| {
            let mut names = [id, name].into_iter().copied().flatten();
            names.any(|n| found.rules.contains(n))
        };
        let parts = rules.chain(inner).filter(taken);
        Some((found, parts.filter_map(|(id, _)| id.as_deref()).collect()))
    }
}

/// Turns rsigma's trace into ours.
struct Reader<'a> {
    fields: &'a BatchFields<'a>,
    family: Family,
    row: usize,
}

impl Reader<'_> {
    fn condition(&self, trace: &ConditionTrace) -> TraceNode {
        match trace {
            ConditionTrace::Selection {
                name, detection, ..
            } => self.selection(name, detection),
            ConditionTrace::And { children, .. } => {
                TraceNode::of("all", children.iter().map(|c| self.condition(c)).collect())
            }
            ConditionTrace::Or { children, .. } => {
                TraceNode::of("any", children.iter().map(|c| self.condition(c)).collect())
            }
            ConditionTrace::Not { matched, child } => TraceNode {
                matched: *matched,
                ..TraceNode::of("not", vec![self.condition(child)])
            },
            ConditionTrace::Quantified {
                matched,
                need,
                branches,
                ..
            } => {
                let parts = branches
                    .iter()
                    .map(|b| self.selection(&b.name, &b.detection));
                TraceNode {
                    matched: *matched,
                    need: Some(*need),
                    ..TraceNode::of("count", parts.collect())
                }
            }
        }
    }

    fn selection(&self, name: &str, detection: &DetectionTrace) -> TraceNode {
        let inner = self.detection(detection);
        let parts = match inner.what {
            "all" if inner.name.is_none() => inner.parts,
            _ => vec![inner],
        };
        TraceNode {
            name: Some(name.to_owned()),
            matched: detection.matched(),
            ..TraceNode::of("selection", parts)
        }
    }

    fn detection(&self, trace: &DetectionTrace) -> TraceNode {
        let every = |what, branches: &[DetectionTrace]| {
            TraceNode::of(what, branches.iter().map(|b| self.detection(b)).collect())
        };
        match trace {
            DetectionTrace::AllOf { items, .. } => {
                TraceNode::of("all", items.iter().map(|item| self.item(item)).collect())
            }
            DetectionTrace::AnyOf { branches, .. } => every("any", branches),
            DetectionTrace::And { branches, .. } => every("all", branches),
            DetectionTrace::Keywords { item, .. } => self.item(item),
            DetectionTrace::ArrayMatch {
                field,
                matched,
                members,
                ..
            } => TraceNode {
                matched: *matched,
                field: Some(field.clone()),
                ..TraceNode::of(
                    "array",
                    members
                        .iter()
                        .map(|m| self.detection(&m.detection))
                        .collect(),
                )
            },
            DetectionTrace::Conditional { condition, .. } => self.condition(condition),
            DetectionTrace::Other { kind, matched } => TraceNode {
                what: "all",
                matched: *matched,
                name: Some(kind.clone()),
                ..TraceNode::default()
            },
        }
    }

    fn item(&self, item: &ItemTrace) -> TraceNode {
        let source = item.field.as_deref();
        let source = source.and_then(|f| self.fields.source_of(self.family, f, self.row));
        TraceNode {
            what: if item.field.is_some() {
                "field"
            } else {
                "keywords"
            },
            matched: item.matched,
            field: item.field.clone(),
            source: source.map(|s| s.to_string()),
            matcher: word(&item.matcher),
            pattern: item
                .pattern
                .as_deref()
                .map(|p| listed::shown(p).0.into_owned()),
            value: item.actual.clone().map(clip),
            reason: word(&item.reason),
            ..TraceNode::default()
        }
    }
}

/// The word by which serde knows a variant.
fn word(variant: &impl Serialize) -> Option<String> {
    match serde_json::to_value(variant) {
        Ok(Value::String(word)) => Some(word),
        _ => None,
    }
}
