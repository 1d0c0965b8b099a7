//! What an alert of a correlation says: its sentence, who is involved, and the query that finds
//! the events again.

use std::sync::Arc;

use rsigma_eval::CorrelationBody;
use serde_json::json;
use watchfire_event::Query;

use super::component::Subject;
use super::correlate::{Fired, Match};
use crate::alert::grouped;
use crate::entity::{Entity, kind_of};
use crate::finding::{Finding, Source, score_of};
use crate::silent::Bound;

/// Clauses of the base rule that a query names.
const MAX_CLAUSES: usize = 3;

/// The finding of a correlation that fired when `last` came, the row `row`.
pub(crate) fn correlation_finding(
    source: &Arc<Source>,
    last: &Match<'_>,
    fired: Fired,
    row: usize,
) -> Finding {
    let body = &fired.body;
    let mut entities = last.entities.clone();
    let mut clauses = Vec::new();
    let mut named = Vec::new();
    for (field, value) in &body.group_key {
        let kind = kind_of(field).unwrap_or(field.as_str());
        if kind_of(field).is_some() {
            entities.insert(kind.to_owned(), value.clone());
        }
        named.push((kind.to_owned(), value.clone()));
        clauses.push(Query::field_equals(field, value));
    }
    let common = fired.clauses.iter().filter(|c| !clauses.contains(c));
    let common: Vec<String> = common.take(MAX_CLAUSES).cloned().collect();
    clauses.extend(common);
    let join =
        |part: fn(&(String, String)) -> &str| named.iter().map(part).collect::<Vec<_>>().join(" ");
    let entity = Entity {
        kind: join(|n| &n.0),
        value: join(|n| &n.1),
    };
    let time_ns = fired.time_ns;
    let span = i64::try_from(body.timespan_secs).unwrap_or(0) * 1_000_000_000;
    let count = body.aggregated_value;
    let events = fired.evidence.len().max(1) as u64;
    let mut baseline = json!({
        "correlation": body.correlation_type.as_str(), "value": count,
        "timespan_seconds": body.timespan_secs, "group": body.group_key,
    });
    if let Some(silent) = fired.silent {
        let what = counted(body, &fired.subject);
        baseline["silent_at"] = Bound::at_most(silent, what).told();
    }
    Finding {
        row,
        seq: last.seq,
        time_ns,
        since_ns: fired.since_ns.min(time_ns),
        score: score_of(source.severity),
        fused: None,
        summary: sentence(body, &fired.subject, &named),
        baseline: baseline.into(),
        source: Arc::clone(source),
        entity,
        entities,
        clauses,
        evidence: fired.evidence,
        weight: if body.correlation_type.as_str() == "event_count" {
            events.max(count as u64)
        } else {
            events
        },
        others: fired.named,
        within_ns: Some((time_ns.saturating_sub(span), time_ns)),
    }
}

/// What a correlation counts: `events in 10 min`.
fn counted(body: &CorrelationBody, subject: &Subject) -> String {
    let window = span_words(body.timespan_secs);
    match body.correlation_type.as_str() {
        "value_count" => format!("different {} values in {window}", subject.fields.join(", ")),
        _ => format!("events in {window}"),
    }
}

/// `20 different user.id values from 203.0.113.9 in 10 min`. The title stands beside it, so it is
/// not said again.
fn sentence(body: &CorrelationBody, subject: &Subject, group: &[(String, String)]) -> String {
    let count = body.aggregated_value;
    let fields = subject.fields.join(", ");
    let rules: Vec<String> = subject.rules.iter().map(|r| format!("\"{r}\"")).collect();
    let what = match body.correlation_type.as_str() {
        "event_count" => {
            let noun = if count == 1.0 { "event" } else { "events" };
            format!("{} {noun} of {}", number(count), rules.join(" or "))
        }
        "value_count" => {
            let noun = if count == 1.0 { "value" } else { "values" };
            format!("{} different {fields} {noun}", number(count))
        }
        "temporal" => rules.join(" and "),
        "temporal_ordered" => rules.join(", then "),
        other => {
            let measure = other.trim_start_matches("value_");
            format!("{measure} of {fields} is {}", number(count))
        }
    };
    let who = group.iter().map(|(kind, value)| match kind.as_str() {
        "ip" => format!(" from {value}"),
        kind => format!(" by {kind} {value}"),
    });
    let who: String = who.collect();
    // Braces in a value must not be taken for a place to fill in.
    let said = format!("{what}{who} in {}", span_words(body.timespan_secs));
    said.replace("{count}", "{ count }").replace('\n', " ")
}

/// Whole numbers with thousands apart, others as they are.
fn number(value: f64) -> String {
    if value.fract() == 0.0 && (0.0..1e15).contains(&value) {
        grouped(value as u64)
    } else {
        value.to_string()
    }
}

/// `10 min`, `90 s`, `1 h`.
pub(crate) fn span_words(seconds: u64) -> String {
    match seconds {
        s if s >= 86_400 && s.is_multiple_of(86_400) => format!("{} d", s / 86_400),
        s if s >= 3_600 && s.is_multiple_of(3_600) => format!("{} h", s / 3_600),
        s if s >= 60 && s.is_multiple_of(60) => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}
