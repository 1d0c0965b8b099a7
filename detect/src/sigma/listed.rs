//! Rules that ask whether a value is on a threat list: `source.ip|expand: '%intel.tor_exits%'`, or
//! `'%intel%'` for any list.
//!
//! The engine of rules asks an event for the text of a placeholder and compares the field with it.
//! A placeholder for a list is turned into one that names the field too: the event then answers
//! with the field's own value where that is on the list. So a list of a million entries is asked
//! once a value, and never spelled out.

use std::borrow::Cow;

use rsigma_eval::matcher::ExpandPart;
use rsigma_eval::{
    CompiledDetection, CompiledDetectionItem, CompiledMatcher, CompiledRule, Event, EventValue,
};
use serde_json::Value;

use crate::intel::IntelSet;

/// Does a placeholder of this name stand for threat lists?
pub(crate) fn names_list(placeholder: &str) -> bool {
    placeholder == "intel"
        || placeholder
            .strip_prefix("intel.")
            .is_some_and(|l| !l.is_empty())
}

/// Stands in placeholders that name a list and a field. No field is called that.
const MARK: char = '\u{1}';
/// The list that is all lists.
pub(crate) const ANY: &str = "*";
/// What no value is equal to.
const NOT_LISTED: &str = "\u{1}";

/// Makes the rule ask for lists; gives the names of those that it asks for.
pub(crate) fn bind(rule: &mut CompiledRule) -> Vec<String> {
    let mut named = Vec::new();
    let detections = rule.detections.values_mut();
    detections.for_each(|detection| of_detection(detection, &mut named));
    named.sort();
    named.dedup();
    named
}

fn of_detection(detection: &mut CompiledDetection, named: &mut Vec<String>) {
    match detection {
        CompiledDetection::AllOf(items) => items.iter_mut().for_each(|i| of_item(i, named)),
        CompiledDetection::AnyOf(parts) | CompiledDetection::And(parts) => {
            parts.iter_mut().for_each(|part| of_detection(part, named));
        }
        // Members of lists of objects have no event to be asked.
        CompiledDetection::Keywords(_)
        | CompiledDetection::ArrayMatch { .. }
        | CompiledDetection::Conditional { .. } => {}
    }
}

fn of_item(item: &mut CompiledDetectionItem, named: &mut Vec<String>) {
    if let Some(field) = &item.field {
        of_matcher(&mut item.matcher, field, named);
    }
}

fn of_matcher(matcher: &mut CompiledMatcher, field: &str, named: &mut Vec<String>) {
    match matcher {
        CompiledMatcher::Expand { template, .. } => {
            let [ExpandPart::Placeholder(placeholder)] = template.as_mut_slice() else {
                return;
            };
            let list = match placeholder.strip_prefix("intel") {
                Some("") => ANY,
                Some(rest) => match rest.strip_prefix('.') {
                    Some(list) if !list.is_empty() => list,
                    _ => return,
                },
                None => return,
            };
            if list != ANY {
                named.push(list.to_owned());
            }
            *placeholder = format!("{MARK}{list}{MARK}{field}");
        }
        CompiledMatcher::Not(inner) => of_matcher(inner, field, named),
        CompiledMatcher::AnyOf(parts) | CompiledMatcher::AllOf(parts) => {
            parts
                .iter_mut()
                .for_each(|part| of_matcher(part, field, named));
        }
        _ => {}
    }
}

/// The list and the field that a placeholder asks for.
pub(crate) fn asked(placeholder: &str) -> Option<(&str, &str)> {
    placeholder.strip_prefix(MARK)?.split_once(MARK)
}

/// The list that a matcher asks for.
pub(crate) fn list_of(matcher: &CompiledMatcher) -> Option<&str> {
    match matcher {
        CompiledMatcher::Expand { template, .. } => match template.as_slice() {
            [ExpandPart::Placeholder(placeholder)] => Some(asked(placeholder)?.0),
            _ => None,
        },
        _ => None,
    }
}

/// Does the matcher ask threat lists, and nothing else of the event?
pub(crate) fn asks_only_lists(matcher: &CompiledMatcher) -> bool {
    match matcher {
        CompiledMatcher::Not(inner) => asks_only_lists(inner),
        CompiledMatcher::AnyOf(parts) | CompiledMatcher::AllOf(parts) => {
            parts.iter().all(asks_only_lists)
        }
        leaf => list_of(leaf).is_some(),
    }
}

/// The first text of a field's value that is on a list, or one that no field has.
pub(crate) fn on_list<'v>(
    lists: &IntelSet,
    list: &str,
    value: Option<EventValue<'v>>,
) -> EventValue<'v> {
    let is_on = |value: &EventValue<'_>| match value {
        EventValue::Str(text) => lists.find(list, text).is_some(),
        _ => false,
    };
    let found = match value {
        Some(EventValue::Array(values)) => values.into_iter().find(is_on),
        value => value.filter(is_on),
    };
    found.unwrap_or(EventValue::Str(Cow::Borrowed(NOT_LISTED)))
}

/// An event that has nothing but the value of the field that a matcher is for.
pub(crate) struct OnLists<'a> {
    pub(crate) value: &'a EventValue<'a>,
    pub(crate) lists: &'a IntelSet,
}

impl Event for OnLists<'_> {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        let (list, _) = asked(path)?;
        Some(on_list(self.lists, list, Some(self.value.clone())))
    }

    fn any_string_value(&self, _: &dyn Fn(&str) -> bool) -> bool {
        false
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        Vec::new()
    }

    fn to_json(&self) -> Value {
        Value::Null
    }
}

/// A pattern as its rule writes it, and the list that it asks for.
pub(crate) fn shown(pattern: &str) -> (Cow<'_, str>, Option<&str>) {
    let Some((list, _)) = asked(pattern.trim_matches('%')) else {
        return (Cow::Borrowed(pattern), None);
    };
    let written = match list {
        ANY => "%intel%".to_owned(),
        list => format!("%intel.{list}%"),
    };
    (Cow::Owned(written), Some(list))
}
