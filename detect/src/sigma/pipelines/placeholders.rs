//! Placeholders, `%name%` in values with the modifier `expand`: filled in from the variables of
//! pipelines, and named where nothing fills them in.
//!
//! `%intel%` and `%intel.NAME%` stand for threat lists and are left alone.

use std::collections::HashMap;

use rsigma_parser::{Detection, DetectionItem, Modifier, SigmaRule, SigmaString, SigmaValue};

use super::super::listed;

/// Values that one value with placeholders may become.
const MAX_VALUES: usize = 100_000;

/// What fills placeholders in.
#[derive(Debug, Clone, Default)]
pub(super) struct Fill {
    /// Any text, in the place of variables.
    pub(super) wildcard: bool,
    /// Only these, where given.
    pub(super) include: Option<Vec<String>>,
    /// Not these.
    pub(super) exclude: Vec<String>,
}

impl Fill {
    fn takes(&self, name: &str) -> bool {
        let included = |names: &Vec<String>| names.iter().any(|n| n == name);
        self.include.as_ref().is_none_or(included) && !self.exclude.iter().any(|n| n == name)
    }
}

/// Fills in the placeholders of a rule as far as they are known.
pub(super) fn fill(rule: &mut SigmaRule, vars: &HashMap<String, Vec<SigmaValue>>, fill: &Fill) {
    let of_item = &mut |item: &mut DetectionItem, _| {
        let raw = item.field.has_modifier(Modifier::Re);
        let values = std::mem::take(&mut item.values).into_iter();
        item.values = values
            .flat_map(|value| filled(value, vars, fill, raw))
            .collect();
    };
    let parts = rule.detection.named.values_mut();
    parts.for_each(|detection| each_expanded(detection, false, of_item));
}

/// The first placeholder that nothing filled in. Values in which all are lose the modifier, and
/// are then compared as others are.
pub(crate) fn settle(rule: &mut SigmaRule) -> Option<String> {
    let mut left = None;
    let of_item = &mut |item: &mut DetectionItem, is_member: bool| {
        // A member of a list of objects cannot be asked for threat lists.
        let has_field = item.field.name.is_some() && !is_member;
        let mut lists = 0;
        for value in &item.values {
            match names(value).as_slice() {
                [] => {}
                [name] if has_field && is_list(value, name) => lists += 1,
                [name, ..] => left = left.take().or_else(|| Some((*name).to_owned())),
            }
        }
        if lists == 0 {
            item.field.modifiers.retain(|m| *m != Modifier::Expand);
        }
    };
    let parts = rule.detection.named.values_mut();
    parts.for_each(|detection| each_expanded(detection, false, of_item));
    left
}

/// Does the value stand for a threat list, and for nothing else?
fn is_list(value: &SigmaValue, name: &str) -> bool {
    let whole = matches!(value, SigmaValue::String(s) if s.original == format!("%{name}%"));
    whole && listed::names_list(name)
}

/// Shows every item with the modifier, and whether it speaks of a member of a list.
fn each_expanded(
    detection: &mut Detection,
    is_member: bool,
    of_item: &mut impl FnMut(&mut DetectionItem, bool),
) {
    match detection {
        Detection::AllOf(items) => items
            .iter_mut()
            .filter(|item| item.field.has_modifier(Modifier::Expand))
            .for_each(|item| of_item(item, is_member)),
        Detection::AnyOf(parts) | Detection::And(parts) => {
            let parts = parts.iter_mut();
            parts.for_each(|part| each_expanded(part, is_member, of_item));
        }
        Detection::ArrayMatch { body, .. } => each_expanded(body, true, of_item),
        Detection::Conditional { named, .. } => {
            let parts = named.values_mut();
            parts.for_each(|part| each_expanded(part, true, of_item));
        }
        Detection::Keywords(_) => {}
    }
}

/// The values that one becomes: every combination of the values of its placeholders.
fn filled(
    value: SigmaValue,
    vars: &HashMap<String, Vec<SigmaValue>>,
    fill: &Fill,
    raw: bool,
) -> Vec<SigmaValue> {
    let SigmaValue::String(text) = &value else {
        return vec![value];
    };
    let known = |name: &str| fill.takes(name) && !listed::names_list(name);
    let mut found = vec![String::new()];
    let mut changed = false;
    for piece in pieces(&text.original) {
        let (name, written) = match piece {
            Piece::Text(text) => (None, text),
            Piece::Placeholder(name, written) => (Some(name).filter(|n| known(n)), written),
        };
        let var = name
            .and_then(|name| vars.get(name))
            .filter(|v| !v.is_empty());
        let texts: Vec<String> = match (name, var) {
            (Some(_), _) if fill.wildcard => vec![wildcard(raw).to_owned()],
            // A variable alone keeps its kind: a number stays one.
            (Some(_), Some(var)) if written == text.original => return var.clone(),
            (Some(_), Some(var)) => var.iter().filter_map(text_of).collect(),
            _ => vec![written.to_owned()],
        };
        changed |= texts.as_slice() != [written];
        let combine = |before: &String| {
            let texts = texts.iter();
            texts.map(|t| format!("{before}{t}")).collect::<Vec<_>>()
        };
        found = found.iter().flat_map(combine).take(MAX_VALUES).collect();
    }
    if !changed {
        return vec![value];
    }
    let string = |text: String| match raw {
        true => SigmaString::from_raw(&text),
        false => SigmaString::new(&text),
    };
    let found = found.into_iter();
    found.map(|text| SigmaValue::String(string(text))).collect()
}

fn wildcard(raw: bool) -> &'static str {
    if raw { ".*" } else { "*" }
}

fn text_of(value: &SigmaValue) -> Option<String> {
    match value {
        SigmaValue::String(text) => Some(text.original.clone()),
        SigmaValue::Integer(number) => Some(number.to_string()),
        SigmaValue::Float(number) => Some(number.to_string()),
        SigmaValue::Bool(value) => Some(value.to_string()),
        SigmaValue::Null => None,
    }
}

enum Piece<'a> {
    Text(&'a str),
    /// The name, and all of it as written.
    Placeholder(&'a str, &'a str),
}

fn names(value: &SigmaValue) -> Vec<&str> {
    let SigmaValue::String(text) = value else {
        return Vec::new();
    };
    let name = |piece| match piece {
        Piece::Placeholder(name, _) => Some(name),
        Piece::Text(_) => None,
    };
    pieces(&text.original)
        .into_iter()
        .filter_map(name)
        .collect()
}

/// Cuts a value at its placeholders. A percent sign behind a backslash begins none.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let in_name = |c: char| c.is_alphanumeric() || "_.-".contains(c);
    let mut found = Vec::new();
    let (mut start, mut from) = (0, 0);
    while let Some(at) = text.get(from..).and_then(|t| t.find('%')) {
        let at = from + at;
        let inner = text.get(at + 1..).unwrap_or_default();
        let name = inner.split('%').next().unwrap_or_default();
        let is_closed = inner.len() > name.len() && !name.is_empty();
        let is_escaped = text.get(..at).is_some_and(|t| t.ends_with('\\'));
        from = at + 1;
        if !is_closed || is_escaped || !name.chars().all(in_name) {
            continue;
        }
        let end = at + name.len() + 2;
        found.extend(
            text.get(start..at)
                .filter(|t| !t.is_empty())
                .map(Piece::Text),
        );
        let written = text.get(at..end).unwrap_or_default();
        found.push(Piece::Placeholder(name, written));
        (start, from) = (end, end);
    }
    found.extend(text.get(start..).filter(|t| !t.is_empty()).map(Piece::Text));
    found
}
