//! `POST /api/v1/rules/{id}/explain`, `/api/v1/rules/explain`: why a rule does or does not match an
//! event, and which rules do.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use watchfire_detect::{RuleKind, RuleState, RuleTrace};
use watchfire_event::{EventBatch, Query, TimeRange};
use watchfire_store::meta::RuleExceptionRow;
use watchfire_store::{Order, SearchRequest};

use crate::error::{ApiError, Problem};
use crate::extract::Json;
use crate::routes::rules::settings::Settings;
use crate::state::AppState;

/// An event: one that is stored, or one that is given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// Sequence number of a stored event, as a number or a text.
    #[schema(value_type = Option<u64>)]
    seq: Option<Value>,
    /// An event as a service would send it.
    #[schema(value_type = Option<Object>)]
    event: Option<serde_json::Map<String, Value>>,
}

/// Why the rule does or does not match the event.
#[derive(Serialize, ToSchema)]
pub struct ExplainAnswer {
    /// `matched`, `sentence`, `log_source`, and `conditions` as trees whose leaves have `field`,
    /// `source`, `matcher`, `pattern`, `value` and `reason`; of a correlation, `rules` and `group`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    trace: RuleTrace,
    /// Exceptions that hide the event from the rule now.
    hidden_by: Vec<String>,
    /// What is set about the rule.
    settings: Settings,
}

/// Says which condition matched on which field and value, or which failed and what the value was.
#[utoipa::path(post, path = "/api/v1/rules/{id}/explain", tag = "rules",
    request_body = ExplainRequest,
    params(("id" = String, Path, description = "The rule's id")), responses(
    (status = 200, description = "Why it does or does not match", body = ExplainAnswer),
    (status = 404, description = "not_found: no such rule, or no such event", body = Problem),
    (status = 422, description = "invalid_field", body = Problem),
))]
pub async fn explain(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Json(request): Json<ExplainRequest>,
) -> Result<JsonAnswer<ExplainAnswer>, ApiError> {
    let set = state.rules.load().set.clone();
    let info = set.info(&id).ok_or_else(|| ApiError::not_found("rule"))?;
    if info.kind == RuleKind::Filter {
        let why = "a filter is part of the rules it names; explain one of these";
        return Err(ApiError::field(why));
    }
    let text = text_of(&state, request).await?;
    let (hooks, rule) = (state.hooks.clone(), id.clone());
    let work = tokio::task::spawn_blocking(move || {
        let batch = (hooks.build_event)(&text).map_err(ApiError::field)?;
        let trace = set.explain(&rule, &batch, 0);
        let trace = trace.ok_or_else(|| ApiError::not_found("rule"))?;
        Ok::<_, ApiError>((batch, trace))
    });
    let (batch, trace) = work.await.map_err(ApiError::internal)??;
    let settings = state.meta().rule_settings().await?;
    let setting = settings.iter().find(|s| s.rule_id == id);
    Ok(JsonAnswer(ExplainAnswer {
        hidden_by: hidden_by(&state, &state.meta().rule_exceptions().await?, &id, &batch),
        settings: Settings::of(setting),
        trace,
    }))
}

/// The rules that an event matches.
#[derive(Serialize, ToSchema)]
pub struct ExplainAllAnswer {
    /// How many rules were asked.
    asked: usize,
    /// Those that match, or for which the event counts.
    matched: Vec<MatchedRule>,
}

/// A rule that an event matches, and what comes of it.
#[derive(Serialize, ToSchema)]
pub struct MatchedRule {
    /// The rule's id.
    id: String,
    /// The rule's title.
    title: String,
    /// What kind of document it is.
    #[schema(value_type = String)]
    kind: RuleKind,
    /// `alert`: the match raises an alert or becomes part of one. `counts`: whether it raises one
    /// depends on other events. `shadow`, `disabled`, `excepted`: it raises none.
    outcome: &'static str,
    /// Why it matches.
    sentence: String,
    /// Exceptions that hide the event from the rule now.
    hidden_by: Vec<String>,
}

/// Says which rules an event matches, and what comes of each match as rules are set now.
#[utoipa::path(post, path = "/api/v1/rules/explain", tag = "rules",
    request_body = ExplainRequest, responses(
    (status = 200, description = "The rules that match", body = ExplainAllAnswer),
    (status = 404, description = "not_found: no such event", body = Problem),
    (status = 422, description = "invalid_field", body = Problem),
))]
pub async fn explain_all(
    State(state): State<AppState>,
    Json(request): Json<ExplainRequest>,
) -> Result<JsonAnswer<ExplainAllAnswer>, ApiError> {
    let set = state.rules.load().set.clone();
    let text = text_of(&state, request).await?;
    let (hooks, rules) = (state.hooks.clone(), Arc::clone(&set));
    let work = tokio::task::spawn_blocking(move || {
        let batch = (hooks.build_event)(&text).map_err(ApiError::field)?;
        let traces = rules.explain_all(&batch, 0);
        Ok::<_, ApiError>((batch, traces))
    });
    let (batch, traces) = work.await.map_err(ApiError::internal)??;
    let settings = state.meta().rule_settings().await?;
    let exceptions = state.meta().rule_exceptions().await?;
    let matched = traces
        .into_iter()
        .filter(|trace| trace.matched)
        .map(|trace| {
            let hidden_by = hidden_by(&state, &exceptions, &trace.id, &batch);
            let setting = settings.iter().find(|s| s.rule_id == trace.id);
            let word = setting.and_then(|s| RuleState::parse(&s.state));
            let outcome = match word.unwrap_or_default() {
                RuleState::Disabled => "disabled",
                _ if !hidden_by.is_empty() => "excepted",
                RuleState::Shadow => "shadow",
                RuleState::Live if set.raises_by_itself(&trace.id) => "alert",
                RuleState::Live => "counts",
            };
            MatchedRule {
                id: trace.id,
                title: trace.title,
                kind: trace.kind,
                outcome,
                sentence: trace.sentence,
                hidden_by,
            }
        });
    Ok(JsonAnswer(ExplainAllAnswer {
        matched: matched.collect(),
        asked: set.len(),
    }))
}

/// The exceptions that hide the event from the rule now.
fn hidden_by(
    state: &AppState,
    exceptions: &[RuleExceptionRow],
    id: &str,
    batch: &EventBatch,
) -> Vec<String> {
    let now = crate::now_ns();
    let hides = exceptions.iter().filter(|row| {
        let is_about = row.rules.is_empty() || row.rules.iter().any(|r| r == id);
        let runs = row.expires_ns.is_none_or(|end| now < end);
        let query = || state.query(Some(&row.query));
        let matches = || query().is_ok_and(|q| q.matches(batch).value(0));
        is_about && runs && matches()
    });
    hides.map(|row| row.id.clone()).collect()
}

/// The text of the event that is asked about.
async fn text_of(state: &AppState, request: ExplainRequest) -> Result<String, ApiError> {
    match (request.seq, request.event) {
        (Some(seq), None) => stored(state, &seq).await,
        (None, Some(event)) => Ok(Value::Object(event).to_string()),
        _ => Err(ApiError::field("either seq or event is needed")),
    }
}

/// The text of a stored event.
async fn stored(state: &AppState, seq: &Value) -> Result<String, ApiError> {
    let number = match seq {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    let number: u64 = number.ok_or_else(|| ApiError::field("seq is a sequence number"))?;
    let request = SearchRequest {
        query: Query::parse(&format!("_seq:{number}"))?,
        range: TimeRange::ALL,
        limit: 1,
        cursor: None,
        order: Order::NewestFirst,
    };
    let page = state.store.search(request).await?;
    let hit = page.hits.into_iter().next();
    let hit = hit.ok_or_else(|| ApiError::not_found("event"))?;
    Ok(hit.event.to_string())
}
