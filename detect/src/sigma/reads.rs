//! Which fields rules look at: a backtest reads no others.

use std::collections::BTreeSet;

use rsigma_eval::{CompiledDetection, CompiledMatcher};
use rsigma_parser::CorrelationCondition;

use super::SigmaRules;
use super::listed::list_of;
use super::logsource::deciding;
use super::taxonomy::candidates_of_all;

impl SigmaRules {
    /// Fields that rules and correlations read, and those that tell log sources apart; a name
    /// that ends in `.` is everything below. None where a rule looks at everything.
    pub(crate) fn reads(&self) -> Option<BTreeSet<String>> {
        let mut fields = BTreeSet::new();
        for rule in &self.compiled {
            if rule.include_event || !rule.detections.values().all(|d| walk(d, &mut fields)) {
                return None;
            }
        }
        for correlation in self.components.iter().flat_map(|c| &c.correlations) {
            fields.extend(correlation.group_by.iter().cloned());
            if let CorrelationCondition::Threshold {
                field: Some(counted),
                ..
            } = &correlation.condition
            {
                fields.extend(counted.iter().cloned());
            }
            let aliases = correlation.aliases.iter();
            fields.extend(aliases.flat_map(|a| a.mapping.values()).cloned());
        }
        let mut names: BTreeSet<String> = deciding().map(|(name, _)| name.to_owned()).collect();
        for name in &fields {
            names.insert(format!("{}.", name.to_lowercase()));
            let all = candidates_of_all(name);
            for candidate in all {
                let lower = candidate.to_lowercase();
                let parts = lower.split(['|', '?']);
                names.extend(parts.map(|part| match part.split_once(".*.") {
                    Some((above, _)) => format!("{above}."),
                    None => part.to_owned(),
                }));
            }
        }
        Some(names)
    }
}

/// Collects the fields of a detection; false where it looks at more than fields.
fn walk(detection: &CompiledDetection, fields: &mut BTreeSet<String>) -> bool {
    match detection {
        CompiledDetection::AllOf(items) => items.iter().all(|item| {
            let known = item.field.is_some() || item.exists.is_some();
            fields.extend(item.field.clone());
            known && compared(&item.matcher, fields)
        }),
        CompiledDetection::AnyOf(parts) | CompiledDetection::And(parts) => {
            parts.iter().all(|p| walk(p, fields))
        }
        CompiledDetection::Keywords(_) => false,
        // The body speaks of members of the field, which stand below it.
        CompiledDetection::ArrayMatch { field, .. } => {
            fields.insert(field.clone());
            true
        }
        CompiledDetection::Conditional { named, .. } => named.values().all(|d| walk(d, fields)),
    }
}

/// Collects the other fields that a matcher looks at; false where they cannot be told.
fn compared(matcher: &CompiledMatcher, fields: &mut BTreeSet<String>) -> bool {
    match matcher {
        CompiledMatcher::FieldRef { field, .. } => {
            fields.insert(field.clone());
            true
        }
        CompiledMatcher::Expand { .. } => list_of(matcher).is_some(),
        CompiledMatcher::Not(inner) | CompiledMatcher::TimestampPart { inner, .. } => {
            compared(inner, fields)
        }
        CompiledMatcher::AnyOf(parts)
        | CompiledMatcher::AllOf(parts)
        | CompiledMatcher::CaseInsensitiveGroup {
            children: parts, ..
        } => parts.iter().all(|p| compared(p, fields)),
        _ => true,
    }
}
