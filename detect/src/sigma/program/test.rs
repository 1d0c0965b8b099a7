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

/// The matcher as text. Not its own debug form: that would print whole automata, and takes long
/// where there are thousands of rules.
fn key(matcher: &CompiledMatcher) -> String {
    let mut key = String::new();
    write_key(matcher, &mut key);
    key
}

fn write_key(matcher: &CompiledMatcher, out: &mut String) {
    let (name, text, case_insensitive) = match matcher {
        CompiledMatcher::Exact {
            value,
            case_insensitive,
        } => ("is", value, case_insensitive),
        CompiledMatcher::Contains {
            value,
            case_insensitive,
        } => ("has", value, case_insensitive),
        CompiledMatcher::StartsWith {
            value,
            case_insensitive,
        } => ("starts", value, case_insensitive),
        CompiledMatcher::EndsWith {
            value,
            case_insensitive,
        } => ("ends", value, case_insensitive),
        CompiledMatcher::AhoCorasickSet {
            case_insensitive,
            needles,
            ..
        } => {
            write_name("set", *case_insensitive, out);
            needles.iter().for_each(|needle| write_text(needle, out));
            return write_end(out);
        }
        CompiledMatcher::Not(inner) => return write_all("not", std::slice::from_ref(inner), out),
        CompiledMatcher::AnyOf(children) => return write_all("any", children, out),
        CompiledMatcher::AllOf(children) => return write_all("all", children, out),
        CompiledMatcher::CaseInsensitiveGroup { children, mode } => {
            return write_all(&format!("group {mode:?}"), children, out);
        }
        CompiledMatcher::TimestampPart { part, inner } => {
            return write_all(&format!("{part:?}"), std::slice::from_ref(inner), out);
        }
        leaf => return write_text(&format!("{leaf:?}"), out),
    };
    write_name(name, *case_insensitive, out);
    write_text(text, out);
}

fn write_all(name: &str, children: &[impl std::borrow::Borrow<CompiledMatcher>], out: &mut String) {
    write_name(name, false, out);
    children
        .iter()
        .for_each(|child| write_key(child.borrow(), out));
    write_end(out);
}

fn write_name(name: &str, case_insensitive: bool, out: &mut String) {
    out.push_str(name);
    out.push(if case_insensitive { '~' } else { '=' });
}

fn write_end(out: &mut String) {
    out.push(';');
}

/// Says where the text ends before it begins, so that no two lists of texts are written alike.
fn write_text(text: &str, out: &mut String) {
    out.push_str(&text.len().to_string());
    out.push(':');
    out.push_str(text);
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
