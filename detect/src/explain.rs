//! Why a rule matched: which fields and values, as a sentence, as data and as a query.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use rsigma_eval::EvaluationResult;
use rsigma_eval::result::{FieldMatch, MatcherKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use watchfire_event::Query;

use crate::cells::Cells;
use crate::entity::Entity;
use crate::intel::Listed;
use crate::sigma::event::BatchFields;
use crate::sigma::listed;
use crate::sigma::taxonomy::Family;

/// Values longer than this are cut in sentences and left out of queries.
const MAX_VALUE: usize = 160;
/// Matched fields that a sentence names.
const MAX_FIELDS: usize = 3;

/// A match, explained.
#[derive(Debug)]
pub(crate) struct Explanation {
    /// `url.query is "..."`, empty when nothing can be named.
    pub(crate) words: String,
    /// The matched fields as data.
    pub(crate) matched: Value,
    /// Query clauses that hold for the event.
    pub(crate) clauses: Vec<String>,
    baseline: OnceLock<Arc<Value>>,
}

impl Explanation {
    /// What the alert says was matched, and the condition of the rule that did.
    pub(crate) fn baseline(&self, condition: Option<&str>) -> Arc<Value> {
        let made = self.baseline.get_or_init(|| {
            let baseline = json!({ "matched": self.matched, "condition": condition });
            Arc::new(baseline)
        });
        Arc::clone(made)
    }
}

/// Explains a rule's match of a row.
pub(crate) fn explain(
    result: &EvaluationResult,
    fields: &BatchFields<'_>,
    family: Family,
    row: usize,
) -> Explanation {
    let mut said = Vec::new();
    let mut matched = Vec::new();
    let mut clauses = Vec::new();
    let body = result.as_detection();
    let fields_of = body.iter().flat_map(|b| &b.matched_fields);
    let mut all: Vec<&FieldMatch> = fields_of.collect();
    // Of `1 of selection_*`, selections come in the order of a randomly seeded map.
    all.sort_by(|a, b| a.selection.cmp(&b.selection));
    for field in all {
        if field.negated || field.value.is_null() {
            continue;
        }
        let value = scalar(&field.value);
        let name = match fields.source_of(family, &field.field, row) {
            Some(name) => {
                if value.chars().count() <= MAX_VALUE && !field.value.is_array() {
                    clauses.push(Query::field_equals(&name, &value));
                }
                name.to_string()
            }
            None => field.field.clone(),
        };
        let (pattern, list) = match field.pattern.as_deref().map(listed::shown) {
            Some((pattern, list)) => (Some(pattern), list),
            None => (None, None),
        };
        let found = list.and_then(|list| entry(fields, list, &field.value));
        let on_list = found.as_ref().map(|found| on_list(found, &value));
        let shown = clip(&value);
        let words = format!("\"{shown}\"{}", on_list.unwrap_or_default());
        said.push((name.clone(), is_given(field.matcher), words));
        let mut part = json!({
            "field": name, "value": shown, "selection": field.selection,
            "matcher": field.matcher, "pattern": pattern,
        });
        if let Some(found) = found {
            part["list"] = found.list.into();
            part["indicator"] = clip(&found.indicator).into();
        }
        matched.push(part);
    }
    clauses.sort();
    clauses.dedup();
    clauses.truncate(MAX_FIELDS);
    Explanation {
        words: sentence(said),
        matched: Value::Array(matched),
        clauses,
        baseline: OnceLock::new(),
    }
}

/// Does a rule give the very value, so that it tells nothing about this event? It may also ask only
/// that there is one.
fn is_given(matcher: Option<MatcherKind>) -> bool {
    use MatcherKind::{Bool, Exact, Exists, Null};
    matches!(matcher, Some(Exact | Bool | Exists | Null))
}

/// `url.query is "..."` of a few fields, each once; first those whose value a rule does not give.
fn sentence(mut said: Vec<(String, bool, String)>) -> String {
    said.sort_by_key(|(_, is_given, _)| *is_given);
    let mut named = BTreeSet::new();
    let telling = said.iter().filter(|(name, ..)| named.insert(name));
    let words = telling.map(|(name, _, words)| format!("{name} is {words}"));
    words.take(MAX_FIELDS).collect::<Vec<_>>().join(", ")
}

/// Where a value is listed, in words.
fn on_list(found: &Listed, value: &str) -> String {
    match found.indicator == value {
        true => format!(", on the list {}", found.list),
        false => format!(", on the list {} as {}", found.list, clip(&found.indicator)),
    }
}

/// The entry of a list that a value, or a member of it, is or belongs to.
fn entry(fields: &BatchFields<'_>, list: &str, value: &Value) -> Option<Listed> {
    let find = |value: &Value| fields.lists().find(list, value.as_str()?);
    match value {
        Value::Array(members) => members.iter().find_map(find),
        value => find(value),
    }
}

/// A field of an event and its value, of which a query can be made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct FieldValue(Box<str>, Box<str>);

impl FieldValue {
    /// The query clause that finds events that have it.
    pub(crate) fn clause(&self) -> String {
        Query::field_equals(&self.0, &self.1)
    }

    /// Has the row this value in a field of this very name?
    pub(crate) fn is_in(&self, fields: &BatchFields<'_>, row: usize) -> bool {
        let FieldValue(name, value) = self;
        let mut there = fields
            .spelled(name)
            .filter_map(|column| fields.cells_at(column, row));
        there.any(|cells| match cells {
            Cells::Float(cells) => value.parse() == Ok(cells.value(row)),
            cells => {
                let mut is_one = false;
                cells.texts(row, &mut |text| is_one |= *text == **value);
                is_one
            }
        })
    }
}

/// Values in which a rule's match of a row was found; none that only a pattern with several of
/// them, or their absence, was matched by.
pub(crate) fn values(
    result: &EvaluationResult,
    fields: &BatchFields<'_>,
    family: Family,
    row: usize,
) -> Vec<FieldValue> {
    let matched = result.as_detection();
    let matched = matched.iter().flat_map(|body| &body.matched_fields);
    let found = |field: &FieldMatch| {
        let value = scalar(&field.value);
        let plain = !field.negated && !field.value.is_null() && !field.value.is_array();
        let name = fields.source_of(family, &field.field, row)?;
        let short = plain && value.chars().count() <= MAX_VALUE;
        short.then(|| FieldValue((*name).into(), value.into()))
    };
    let found: BTreeSet<FieldValue> = matched.filter_map(found).collect();
    found.into_iter().collect()
}

/// The sentence of a rule's alert.
pub(crate) fn rule_summary(title: &str, entity: &Entity, words: &str) -> String {
    let who = entity
        .words()
        .map(|w| format!(" by {w}"))
        .unwrap_or_default();
    let why = if words.is_empty() {
        String::new()
    } else {
        format!(": {words}")
    };
    format!("{title}: {{count}}{who}{why}").replace('\n', " ")
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

/// At most [`MAX_VALUE`] characters, and no braces that a template could take for its own.
fn clip(text: &str) -> String {
    let mut out: String = text.chars().take(MAX_VALUE).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out.replace("{count}", "{ count }")
}
