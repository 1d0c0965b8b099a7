//! Which log sources and fields Sigma rules cannot do without.
//!
//! Each rule is asked what it makes of an event without fields. What it then still finds needs
//! nothing; what it misses needs its field.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rsigma_eval::explain::{ConditionTrace, DetectionTrace, ItemTrace, explain_rule};
use rsigma_eval::{CompiledRule, Event, EventValue};
use rsigma_parser::CorrelationType;
use serde_json::Value;

use super::SigmaRules;
use super::load::source;
use super::logsource::LogClass;
use super::taxonomy::candidates_of_all;
use crate::needs::Need;

/// An event without fields.
struct Nothing;

impl Event for Nothing {
    fn get_field(&self, _path: &str) -> Option<EventValue<'_>> {
        None
    }

    fn any_string_value(&self, _pred: &dyn Fn(&str) -> bool) -> bool {
        false
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        Vec::new()
    }

    fn visit_string_values(&self, _visit: &mut dyn FnMut(&str)) {}

    fn to_json(&self) -> Value {
        Value::Null
    }

    fn field_keys(&self) -> Vec<Cow<'_, str>> {
        Vec::new()
    }
}

/// Names under which each field can come, found once.
type Names = HashMap<String, Arc<[String]>>;

impl SigmaRules {
    /// What each rule and correlation needs, by id.
    pub(crate) fn needs(&self) -> Vec<(String, Need)> {
        let mut names = Names::new();
        let mut found: HashMap<String, Need> = HashMap::new();
        for rule in &self.compiled {
            let id = rule.id.clone().unwrap_or_default();
            let source = Need::Source(source(Some(&rule.logsource)));
            found.insert(id, Need::All(vec![source, of_rule(rule, &mut names)]));
        }
        // Correlations of correlations come round by round.
        let all = self.components.iter();
        let ids: Vec<(usize, &str)> = all
            .enumerate()
            .flat_map(|(i, c)| c.correlations.iter().map(move |c| (i, c)))
            .filter_map(|(i, c)| Some((i, c.id.as_deref()?)))
            .collect();
        for _ in 0..ids.len() {
            let before = found.len();
            for (place, id) in &ids {
                if !found.contains_key(*id)
                    && let Some(need) = self.of_correlation(*place, id, &found)
                {
                    found.insert((*id).to_owned(), need);
                }
            }
            if found.len() == before {
                break;
            }
        }
        found.into_iter().collect()
    }

    /// The log sources of rules that may see events of a class.
    pub(super) fn log_sources(&self, class: &LogClass) -> BTreeSet<String> {
        let rules = self.admitted(class).filter_map(|rules| rules.first());
        let rules = rules.filter_map(|rule| self.compiled.get(*rule as usize));
        rules.map(|rule| source(Some(&rule.logsource))).collect()
    }

    /// What a correlation needs; `None` while that of a part is not known.
    fn of_correlation(
        &self,
        place: usize,
        id: &str,
        found: &HashMap<String, Need>,
    ) -> Option<Need> {
        let (rule, parts) = self.components.get(place)?.correlation(id)?;
        let parts = parts.into_iter().map(|part| found.get(part).cloned());
        let parts: Vec<Need> = parts.collect::<Option<_>>()?;
        let in_all = matches!(
            rule.correlation_type,
            CorrelationType::Temporal | CorrelationType::TemporalOrdered
        );
        Some(match in_all {
            true => Need::All(parts),
            false => Need::Any(parts),
        })
    }
}

fn of_rule(rule: &CompiledRule, names: &mut Names) -> Need {
    let trace = explain_rule(rule, &Nothing);
    let conditions = trace.conditions.iter();
    Need::Any(conditions.map(|c| of_condition(c, names)).collect())
}

fn of_condition(trace: &ConditionTrace, names: &mut Names) -> Need {
    match trace {
        ConditionTrace::Selection { detection, .. } => of_detection(detection, names),
        ConditionTrace::And { children, .. } => {
            Need::All(children.iter().map(|c| of_condition(c, names)).collect())
        }
        ConditionTrace::Or { children, .. } => {
            Need::Any(children.iter().map(|c| of_condition(c, names)).collect())
        }
        // Without its fields the inner part does not match, and so this does.
        ConditionTrace::Not { .. } => Need::NOTHING,
        ConditionTrace::Quantified { need, branches, .. } => {
            let parts = branches.iter().map(|b| of_detection(&b.detection, names));
            let parts: Vec<Need> = parts.collect();
            match *need {
                0 => Need::NOTHING,
                n if n == parts.len() as u64 => Need::All(parts),
                _ => Need::Any(parts),
            }
        }
    }
}

fn of_detection(trace: &DetectionTrace, names: &mut Names) -> Need {
    match trace {
        DetectionTrace::AllOf { items, .. } => {
            Need::All(items.iter().map(|item| of_item(item, names)).collect())
        }
        DetectionTrace::AnyOf { branches, .. } => {
            Need::Any(branches.iter().map(|b| of_detection(b, names)).collect())
        }
        DetectionTrace::And { branches, .. } => {
            Need::All(branches.iter().map(|b| of_detection(b, names)).collect())
        }
        DetectionTrace::ArrayMatch { field, matched, .. } if !matched => of_field(field, names),
        DetectionTrace::Conditional { condition, .. } => of_condition(condition, names),
        _ => Need::NOTHING,
    }
}

fn of_item(item: &ItemTrace, names: &mut Names) -> Need {
    match &item.field {
        Some(field) if !item.matched => of_field(field, names),
        _ => Need::NOTHING,
    }
}

fn of_field(field: &str, names: &mut Names) -> Need {
    let found_as = names.entry(field.to_owned()).or_insert_with(|| {
        let all = candidates_of_all(field);
        let mut all: Vec<String> = all.map(|name| name.to_lowercase()).collect();
        all.push(field.to_lowercase());
        all.sort();
        all.dedup();
        all.into()
    });
    Need::Field {
        name: field.to_owned(),
        found_as: Arc::clone(found_as),
    }
}
