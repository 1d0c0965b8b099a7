//! Why a rule does or does not match an event, for people: every part of its condition with the
//! value that it met.

use serde::Serialize;
use serde_json::Value;
use watchfire_event::EventBatch;

use crate::detectors::config::DetectorConfig;
use crate::ruleset::{RuleInfo, RuleKind, RuleSet};
use crate::sigma::event::BatchFields;

/// Values longer than this many characters are cut.
const MAX_VALUE: usize = 500;
/// Reasons that a sentence names.
const MAX_REASONS: usize = 3;

/// A rule against an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleTrace {
    /// The rule's id.
    pub id: String,
    /// The rule's title.
    pub title: String,
    /// What kind of document it is.
    pub kind: RuleKind,
    /// Does the event match? Of a correlation or a detector: does the event count for it?
    pub matched: bool,
    /// The same in words, with the reason.
    pub sentence: String,
    /// Whether the rule is asked about such events at all; none where it is asked about every
    /// event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_source: Option<LogSourceTrace>,
    /// The conditions; the rule matches where one does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<TraceNode>,
    /// The rules that a correlation takes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleTrace>,
    /// What a correlation groups by, and the event's values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<TraceNode>,
}

/// A rule's log source against an event's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogSourceTrace {
    /// `product/category/service` of the rule, `*` for what is not named.
    pub rule: String,
    /// What the event can claim to be.
    pub event: String,
    /// Do they fit?
    pub fits: bool,
}

/// A part of a condition.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct TraceNode {
    /// `all`, `any`, `not`, `count`, `selection`, `field`, `keywords`, `array` or `query`.
    pub what: &'static str,
    /// Does it hold?
    pub matched: bool,
    /// The name of a selection, the text of a condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The field as the rule calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The field in which the event has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How values are compared: `contains`, `exact`, `regex` and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matcher: Option<String>,
    /// What is looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The event's value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// `matched`, `field_absent`, `value_mismatch`, `case_mismatch`, `existence` or
    /// `no_keyword_match`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of `count`: how many parts must hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub need: Option<u64>,
    /// Its parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<TraceNode>,
}

impl RuleSet {
    /// Says why the rule `id` does or does not match a row. Exceptions and settings are not
    /// looked at. `None` when there is no such rule, or it is a filter, which is part of others.
    pub fn explain(&self, id: &str, batch: &EventBatch, row: usize) -> Option<RuleTrace> {
        self.explain_one(
            self.info(id)?,
            &BatchFields::new(batch).with_lists(self.lists()),
            row,
        )
    }

    /// [`RuleSet::explain`] of every rule that is asked about such events.
    pub fn explain_all(&self, batch: &EventBatch, row: usize) -> Vec<RuleTrace> {
        let fields = BatchFields::new(batch).with_lists(self.lists());
        let others = self.infos.iter().filter(|i| i.kind != RuleKind::Sigma);
        let others = others.filter_map(|info| self.explain_one(info, &fields, row));
        let mut traces = self.sigma.trace_all(&self.infos, &fields, row);
        traces.extend(others);
        traces
    }

    /// Does one match of the rule raise an alert, whatever else happens?
    pub fn raises_by_itself(&self, id: &str) -> bool {
        let is_rule = self.info(id).is_some_and(|i| i.kind == RuleKind::Sigma);
        is_rule && !self.sigma.is_silent(id)
    }

    fn explain_one(
        &self,
        info: &RuleInfo,
        fields: &BatchFields<'_>,
        row: usize,
    ) -> Option<RuleTrace> {
        match info.kind {
            RuleKind::Sigma => self.sigma.trace(info, fields, row),
            RuleKind::Correlation => {
                let info_of = |id: &str| self.info(id).cloned();
                self.sigma.trace_correlation(info, &info_of, fields, row)
            }
            RuleKind::Detector => {
                let config = self.detectors.iter().find(|d| d.id == info.id)?;
                Some(of_detector(config, info, fields, row))
            }
            RuleKind::Filter => None,
        }
    }
}

fn of_detector(
    config: &DetectorConfig,
    info: &RuleInfo,
    fields: &BatchFields<'_>,
    row: usize,
) -> RuleTrace {
    let batch = fields.batch();
    let mut conditions: Vec<TraceNode> = Vec::new();
    if let Some(filter) = &config.filter {
        conditions.push(TraceNode {
            what: "query",
            matched: filter.matches(batch).value(row),
            pattern: Some(filter.text().to_owned()),
            ..TraceNode::default()
        });
    }
    for names in [&config.entity, &config.pair] {
        let parts: Vec<_> = names.iter().map(|n| value_of(batch, n, row)).collect();
        match parts.len() {
            0 => {}
            1 => conditions.extend(parts),
            _ => conditions.push(TraceNode::of("any", parts)),
        }
    }
    let whole = TraceNode::of("all", conditions);
    let sentence = match whole.matched {
        true => {
            "The event counts. Whether it raises an alert depends on what came before it.".into()
        }
        false => format!("The event does not count: {}.", whole.cause()),
    };
    RuleTrace {
        matched: whole.matched,
        sentence,
        conditions: vec![whole],
        ..RuleTrace::of(info)
    }
}

/// A field that must have a value.
fn value_of(batch: &EventBatch, name: &str, row: usize) -> TraceNode {
    let value = batch.text(name, row).map(|text| text.into_owned());
    TraceNode {
        what: "field",
        matched: value.is_some(),
        field: Some(name.to_owned()),
        matcher: Some("exists".to_owned()),
        reason: Some(
            if value.is_some() {
                "matched"
            } else {
                "field_absent"
            }
            .to_owned(),
        ),
        value: value.map(|text| clip(Value::String(text))),
        ..TraceNode::default()
    }
}

impl RuleTrace {
    /// A trace of the rule that says nothing yet.
    pub(crate) fn of(info: &RuleInfo) -> Self {
        RuleTrace {
            id: info.id.clone(),
            title: info.title.clone(),
            kind: info.kind,
            matched: false,
            sentence: String::new(),
            log_source: None,
            conditions: Vec::new(),
            rules: Vec::new(),
            group: Vec::new(),
        }
    }
}

impl TraceNode {
    /// All or any of `parts`.
    pub(crate) fn of(what: &'static str, parts: Vec<TraceNode>) -> Self {
        let matched = match what {
            "any" => parts.iter().any(|p| p.matched),
            _ => parts.iter().all(|p| p.matched),
        };
        TraceNode {
            what,
            matched,
            parts,
            ..TraceNode::default()
        }
    }

    /// Why it holds, or does not, in a few words.
    pub fn cause(&self) -> String {
        match self.what {
            "field" => self.field_cause(),
            "keywords" if self.matched => format!("a text holds {}", self.wanted()),
            "keywords" => format!("no text holds {}", self.wanted()),
            "query" if self.matched => format!("`{}` matches", self.wanted()),
            "query" => format!("`{}` does not match", self.wanted()),
            "selection" => {
                let name = self.name.as_deref().unwrap_or_default();
                format!("`{name}`: {}", self.of_parts())
            }
            "not" if self.matched => format!("not {}", self.of_parts()),
            "not" => format!("left out by {}", self.of_parts()),
            _ => self.of_parts(),
        }
    }

    /// The parts that make it hold, or the first that keeps it from holding.
    fn of_parts(&self) -> String {
        let decisive = match self.what {
            "not" => !self.matched,
            _ => self.matched,
        };
        let mut parts = self.parts.iter().filter(|part| part.matched == decisive);
        if self.matched && matches!(self.what, "all" | "selection") {
            let causes: Vec<_> = parts.by_ref().take(MAX_REASONS).map(Self::cause).collect();
            return causes.join(", ");
        }
        let first = parts.next().map(Self::cause).unwrap_or_default();
        match (self.what, parts.count()) {
            ("any" | "count", rest) if !self.matched && rest > 0 => {
                format!("{first}, nor is it any of {rest} more")
            }
            _ => first,
        }
    }

    fn field_cause(&self) -> String {
        let name = self.source.as_ref().or(self.field.as_ref());
        let name = name.map_or("a field", String::as_str);
        let is_existence = self.matcher.as_deref() == Some("exists");
        let value = match &self.value {
            None | Some(Value::Null) if self.matched || is_existence => {
                return format!("there is no {name}");
            }
            None | Some(Value::Null) => {
                return format!("there is no {name}, looked for is {}", self.wanted());
            }
            Some(Value::String(text)) => format!("\"{text}\""),
            Some(other) => other.to_string(),
        };
        let wanted = match (self.matched, self.reason.as_deref()) {
            (true, _) => return format!("{name} is {value}"),
            (false, _) if is_existence => "nothing".to_owned(),
            (false, Some("case_mismatch")) => {
                format!("{} in these letters", self.wanted())
            }
            (false, _) => self.wanted(),
        };
        format!("{name} is {value}, looked for is {wanted}")
    }

    fn wanted(&self) -> String {
        let pattern = self.pattern.as_deref().unwrap_or("a value");
        match self.matcher.as_deref() {
            Some("exact") | None => pattern.to_owned(),
            Some(matcher) => format!("{} {pattern}", matcher.replace('_', " ")),
        }
    }
}

/// Cuts long texts in a value.
pub(crate) fn clip(value: Value) -> Value {
    match value {
        Value::String(text) if text.chars().count() > MAX_VALUE => {
            let mut cut: String = text.chars().take(MAX_VALUE).collect();
            cut.push('…');
            Value::String(cut)
        }
        Value::Array(members) => members.into_iter().map(clip).collect(),
        other => other,
    }
}
