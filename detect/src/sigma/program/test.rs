//! One question that rules ask about a field's value, answered by rsigma's own matcher.

use std::borrow::Cow;

use rsigma_eval::{CompiledMatcher, Event, EventValue};
use serde_json::Value;

use crate::intel::IntelSet;
use crate::sigma::listed::OnLists;

/// A question about the value of a field, or about each text of an event.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    /// The matcher takes the value.
    Matches(CompiledMatcher),
    /// The matcher, which asks threat lists and nothing else of the event, takes the value.
    Listed(CompiledMatcher),
    /// The value is null, or there is none.
    Null,
    /// There is a value that is not null, or there is not.
    Exists(bool),
    /// There is a value, be it null.
    Present,
}

impl Test {
    /// The answer for a field that has `value`.
    pub(crate) fn holds(&self, value: &EventValue<'_>, lists: &IntelSet) -> bool {
        match self {
            Test::Matches(matcher) => matcher.matches(value, &Text("")),
            Test::Listed(matcher) => matcher.matches(value, &OnLists { value, lists }),
            Test::Null => value.is_null(),
            Test::Exists(wanted) => value.is_null() != *wanted,
            Test::Present => true,
        }
    }

    /// The answer for a text anywhere in the event, as keywords ask.
    pub(crate) fn holds_for_text(&self, text: &str) -> bool {
        matches!(self, Test::Matches(matcher) if matcher.matches_keyword(&Text(text)))
    }

    /// The answer for a field that has no value.
    pub(crate) fn holds_without_value(&self) -> bool {
        matches!(self, Test::Null | Test::Exists(false))
    }

    /// Equal for tests that always give the same answer.
    pub(crate) fn key(&self) -> String {
        match self {
            Test::Matches(matcher) => key(matcher),
            Test::Listed(matcher) => format!("Listed({})", key(matcher)),
            other => format!("{other:?}"),
        }
    }
}

/// The matcher as text. Not its own debug form: that would print whole automata.
fn key(matcher: &CompiledMatcher) -> String {
    let all = |children: &[CompiledMatcher]| -> String {
        let keys: Vec<String> = children.iter().map(key).collect();
        format!("{keys:?}")
    };
    match matcher {
        CompiledMatcher::AhoCorasickSet {
            case_insensitive,
            needles,
            ..
        } => format!("Set({case_insensitive}, {needles:?})"),
        CompiledMatcher::Not(inner) => format!("Not({})", key(inner)),
        CompiledMatcher::AnyOf(children) => format!("AnyOf{}", all(children)),
        CompiledMatcher::AllOf(children) => format!("AllOf{}", all(children)),
        CompiledMatcher::CaseInsensitiveGroup { children, mode } => {
            format!("Group({mode:?}){}", all(children))
        }
        CompiledMatcher::TimestampPart { part, inner } => format!("{part:?}({})", key(inner)),
        leaf => format!("{leaf:?}"),
    }
}

/// Does the matcher look at other fields of the event than its own?
pub(crate) fn needs_event(matcher: &CompiledMatcher) -> bool {
    match matcher {
        CompiledMatcher::FieldRef { .. } | CompiledMatcher::Expand { .. } => true,
        CompiledMatcher::Not(inner) | CompiledMatcher::TimestampPart { inner, .. } => {
            needs_event(inner)
        }
        CompiledMatcher::AnyOf(children)
        | CompiledMatcher::AllOf(children)
        | CompiledMatcher::CaseInsensitiveGroup { children, .. } => {
            children.iter().any(needs_event)
        }
        _ => false,
    }
}

/// An event that is nothing but a text: what keywords see of one value.
struct Text<'a>(&'a str);

impl Event for Text<'_> {
    fn get_field(&self, _: &str) -> Option<EventValue<'_>> {
        None
    }

    fn any_string_value(&self, pred: &dyn Fn(&str) -> bool) -> bool {
        pred(self.0)
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        vec![Cow::Borrowed(self.0)]
    }

    fn to_json(&self) -> Value {
        Value::Null
    }
}
