//! `/api/v1/alerts`: the list, one alert, and what people do about it.

use axum::Json as JsonAnswer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use watchfire_event::{AlertStatus, Severity};
use watchfire_store::meta::{
    AlertCounts, AlertFilter, AlertPage, AlertRow, CloseReason, HistoryRow,
};

use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::extract::{self, Json, Params};
use crate::state::AppState;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// Which alerts to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AlertsParams {
    /// `open`, `acknowledged` or `closed`.
    status: Option<String>,
    /// At least this severity: `info`, `low`, `medium`, `high` or `critical`.
    severity: Option<String>,
    /// An entity: `ip:203.0.113.9`, or a value of any kind.
    entity: Option<String>,
    /// The detector: `sigma:<rule id>` or a detector's name.
    detector: Option<String>,
    /// `true` for those that are held back alone, `false` for the others; both by default.
    held: Option<bool>,
    /// Alerts that reach past this time: RFC 3339, epoch milliseconds or `now-15m`.
    from: Option<String>,
    /// Alerts that began before this time.
    to: Option<String>,
    /// Most alerts, 1 to 1,000; 100 by default.
    limit: Option<usize>,
    /// `cursor` of the page before.
    cursor: Option<String>,
}

/// A page of alerts, newest first.
#[derive(Serialize, ToSchema)]
pub struct AlertsAnswer {
    /// The page.
    #[serde(flatten)]
    #[schema(value_type = AlertPageSchema)]
    page: AlertPage,
    /// How many there are, whatever the filter.
    counts: Counts,
}

/// How many alerts there are.
#[derive(Debug, Serialize, ToSchema)]
pub struct Counts {
    /// Nobody has looked at these yet.
    open: u64,
    /// Nor at these, which are held back.
    held: u64,
    /// Somebody is on these.
    acknowledged: u64,
    /// Done.
    closed: u64,
    /// Those that are neither closed nor held back, by severity.
    by_severity: std::collections::BTreeMap<String, u64>,
}

impl From<AlertCounts> for Counts {
    fn from(counts: AlertCounts) -> Self {
        let of = |s: AlertStatus| counts.by_status.get(s.as_str()).copied().unwrap_or(0);
        Counts {
            open: of(AlertStatus::Open),
            acknowledged: of(AlertStatus::Acknowledged),
            closed: of(AlertStatus::Closed),
            held: counts.held,
            by_severity: counts.open_by_severity.clone(),
        }
    }
}

/// What a page of alerts holds.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the store's AlertPage")]
pub struct AlertPageSchema {
    /// Alerts as in the contract, with `assignee`, `reason`, `comments`, `first_seen`, `updated`.
    #[schema(value_type = Vec<Object>)]
    alerts: (),
    /// Matching alerts.
    total: u64,
    /// False when `total` is a lower bound.
    total_is_exact: bool,
    /// For the next page; null on the last.
    cursor: Option<String>,
}

/// One alert and its history.
#[derive(Serialize, ToSchema)]
pub struct AlertAnswer {
    /// The alert.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    alert: AlertRow,
    /// What people did, oldest first; comments are entries with the action `comment`.
    #[schema(value_type = Vec<Object>)]
    history: Vec<HistoryRow>,
    /// How likely it is an attack, 0 to 1, by what people said of other alerts; null while there
    /// are fewer than 50 verdicts.
    chance: Option<f64>,
}

/// What to change. Fields that are left out stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertChange {
    /// `open`, `acknowledged` or `closed`.
    #[schema(value_type = Option<String>)]
    status: Option<AlertStatus>,
    /// With `closed`: `true_positive`, `false_positive` or `benign`.
    #[schema(value_type = Option<String>)]
    reason: Option<CloseReason>,
    /// Who works on it; null for nobody.
    #[serde(default, deserialize_with = "super::present")]
    #[schema(value_type = Option<String>)]
    assignee: Option<Option<String>>,
    /// A comment to add with the change.
    comment: Option<String>,
}

/// A comment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommentRequest {
    /// 1 to 10,000 characters.
    text: String,
}

/// Lists alerts, newest first.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", params(AlertsParams), responses(
    (status = 200, description = "A page of alerts", body = AlertsAnswer),
    (status = 400, description = "invalid_parameter", body = Problem),
))]
pub async fn list(
    State(state): State<AppState>,
    Params(params): Params<AlertsParams>,
) -> Result<JsonAnswer<AlertsAnswer>, ApiError> {
    let word = |what: &str| ApiError::parameter(format!("unknown {what}"));
    let status = params.status.as_deref().filter(|s| !s.is_empty());
    let severity = params.severity.as_deref().filter(|s| !s.is_empty());
    let filter = AlertFilter {
        status: status
            .map(|s| AlertStatus::parse(s).ok_or_else(|| word("status")))
            .transpose()?,
        severity: severity
            .map(|s| Severity::parse(s).ok_or_else(|| word("severity")))
            .transpose()?,
        entity: params.entity.filter(|e| !e.is_empty()),
        detector: params.detector.filter(|d| !d.is_empty()),
        held: params.held,
        range: Some(extract::range(
            params.from.as_deref(),
            params.to.as_deref(),
        )?),
        limit: extract::count("limit", params.limit, DEFAULT_LIMIT, MAX_LIMIT)?,
        cursor: params.cursor,
    };
    let page = state.meta().list_alerts(&filter).await?;
    let counts = state.meta().alert_counts().await?.into();
    Ok(JsonAnswer(AlertsAnswer { page, counts }))
}

/// One alert with its history.
#[utoipa::path(get, path = "/api/v1/alerts/{id}", tag = "alerts",
    params(("id" = String, Path, description = "The alert's id")), responses(
    (status = 200, description = "The alert", body = AlertAnswer),
    (status = 404, description = "not_found", body = Problem),
))]
pub async fn get(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<JsonAnswer<AlertAnswer>, ApiError> {
    answer(&state, &id).await.map(JsonAnswer)
}

async fn answer(state: &AppState, id: &str) -> Result<AlertAnswer, ApiError> {
    let alert = state.meta().get_alert(id).await?;
    let alert = alert.ok_or_else(|| ApiError::not_found("alert"))?;
    let told = super::rules::settings::verdicts(state.meta()).await?;
    let chance = told.model.map(|model| model.chance(&(&alert.alert).into()));
    Ok(AlertAnswer {
        chance,
        history: state.meta().alert_history(id).await?,
        alert,
    })
}

/// Changes status, assignee, or both.
#[utoipa::path(patch, path = "/api/v1/alerts/{id}", tag = "alerts", request_body = AlertChange,
    params(("id" = String, Path, description = "The alert's id")), responses(
    (status = 200, description = "The alert as it is now", body = AlertAnswer),
    (status = 404, description = "not_found", body = Problem),
    (status = 422, description = "invalid_field", body = Problem),
))]
pub async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    Json(change): Json<AlertChange>,
) -> Result<JsonAnswer<AlertAnswer>, ApiError> {
    let (meta, by) = (state.meta(), &caller.principal.name);
    if change.reason.is_some() && change.status.is_none() {
        return Err(ApiError::field("a reason goes with the status closed"));
    }
    if let Some(status) = change.status {
        meta.set_status(&id, status, change.reason, by).await?;
        let reason = change.reason.map(CloseReason::as_str);
        let detail = json!({ "status": status.as_str(), "reason": reason });
        state
            .auth
            .audit(&caller, "alert.status", &id, detail)
            .await?;
    }
    if let Some(assignee) = &change.assignee {
        meta.assign(&id, assignee.as_deref(), by).await?;
        let detail = json!({ "assignee": assignee });
        state
            .auth
            .audit(&caller, "alert.assign", &id, detail)
            .await?;
    }
    if let Some(text) = &change.comment {
        meta.add_comment(&id, text, by).await?;
        state
            .auth
            .audit(&caller, "alert.comment", &id, json!({}))
            .await?;
    }
    answer(&state, &id).await.map(JsonAnswer)
}

/// Adds a comment.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/comments", tag = "alerts",
    request_body = CommentRequest, params(("id" = String, Path, description = "The alert's id")),
    responses(
    (status = 201, description = "The alert as it is now", body = AlertAnswer),
    (status = 404, description = "not_found", body = Problem),
))]
pub async fn comment(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    Json(request): Json<CommentRequest>,
) -> Result<(StatusCode, JsonAnswer<AlertAnswer>), ApiError> {
    state
        .meta()
        .add_comment(&id, &request.text, &caller.principal.name)
        .await?;
    state
        .auth
        .audit(&caller, "alert.comment", &id, json!({}))
        .await?;
    Ok((StatusCode::CREATED, JsonAnswer(answer(&state, &id).await?)))
}
