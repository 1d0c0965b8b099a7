//! `/api/v1/exceptions`: events that rules are not to speak of, each with an owner, a reason and,
//! if wanted, an end.

use axum::Json as JsonAnswer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use watchfire_event::time::to_rfc3339;
use watchfire_event::{Query, TimeRange};
use watchfire_store::meta::{
    AlertFilter, AlertRow, CloseReason, NewRuleException, RuleExceptionRow,
};
use watchfire_store::{Order, SearchRequest};

use super::rules::health::Book;
use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::extract::{self, Json};
use crate::state::AppState;

/// What stands for every rule.
const EVERY: &str = "*";
/// Days that a preview looks back.
const PREVIEW_DAYS: i64 = 7;
const DAY_NS: i64 = 86_400 * 1_000_000_000;
/// Alerts that a preview looks at, the newest of each rule.
const PREVIEW_ALERTS: usize = 100;

/// An exception, and what it did.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExceptionView {
    /// id, query, owner, reason, expires, created, created_by, updated.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    row: RuleExceptionRow,
    /// `active`, or `expired`: it hides nothing any more.
    status: &'static str,
    /// Matches of rules that it hid.
    hidden: u64,
    /// Event time of the newest of these.
    last_hidden: Option<String>,
    /// Rules it names that are not there.
    unknown_rules: Vec<String>,
}

impl ExceptionView {
    /// The exception with what is known of it.
    pub fn new(mut row: RuleExceptionRow, book: &Book) -> Self {
        let hidden = book.activity.hidden_by(&row.id);
        let unknown = row
            .rules
            .iter()
            .filter(|id| book.catalog.set.info(id).is_none());
        let unknown_rules = unknown.cloned().collect();
        let is_over = row.expires_ns.is_some_and(|end| end <= book.now_ns);
        if row.rules.is_empty() {
            row.rules = vec![EVERY.to_owned()];
        }
        ExceptionView {
            row,
            status: if is_over { "expired" } else { "active" },
            hidden: hidden.matches,
            last_hidden: hidden.last_ns.map(to_rfc3339),
            unknown_rules,
        }
    }
}

/// All exceptions.
#[derive(Serialize, ToSchema)]
pub struct ExceptionsAnswer {
    /// Newest first, those that have ended too.
    exceptions: Vec<ExceptionView>,
}

/// An exception to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExceptionRequest {
    /// Ids of the rules, or `["*"]` for every rule.
    rules: Vec<String>,
    /// Which events: a query as in a search. It must not match everything.
    query: String,
    /// Why, 1 to 1,000 characters.
    reason: String,
    /// Who answers for it; who makes it, by default.
    owner: Option<String>,
    /// When it ends: RFC 3339, epoch milliseconds or `now+30d`; never by default.
    expires: Option<String>,
}

/// What to change. Fields that are left out stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExceptionPatch {
    /// The rules.
    rules: Option<Vec<String>>,
    /// The query.
    query: Option<String>,
    /// The reason.
    reason: Option<String>,
    /// The owner.
    owner: Option<String>,
    /// The end; null for never.
    #[serde(default, deserialize_with = "super::present")]
    #[schema(value_type = Option<String>)]
    expires: Option<Option<String>>,
}

/// An exception to be tried.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewRequest {
    /// Ids of the rules, or `["*"]` for every rule.
    rules: Vec<String>,
    /// Which events.
    query: String,
}

/// What an exception would have hidden in the last 7 days.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct PreviewAnswer {
    /// Events that the query matches.
    events: u64,
    /// Alerts looked at: the newest 100 of the rules.
    alerts: u64,
    /// Alerts all of whose sample events it matches: they would not be there.
    hidden_alerts: u64,
    /// Alerts some of whose sample events it matches.
    touched_alerts: u64,
    /// Hidden alerts that somebody closed as an attack.
    confirmed_attacks: u64,
    /// Ids of hidden alerts, at most 10.
    examples: Vec<String>,
}

/// The rules as they are stored; each must be there.
fn checked_rules(state: &AppState, rules: &[String]) -> Result<Vec<String>, ApiError> {
    if rules.is_empty() {
        return Err(ApiError::field(
            "an exception names rules, or * for every rule",
        ));
    }
    if rules.iter().any(|rule| rule == EVERY) {
        return Ok(Vec::new());
    }
    let catalog = state.rules.load();
    match rules.iter().find(|id| catalog.set.info(id).is_none()) {
        Some(_) => Err(ApiError::not_found("rule")),
        None => Ok(rules.to_vec()),
    }
}

/// Reads an end that is still to come.
fn checked_end(text: Option<&str>) -> Result<Option<i64>, ApiError> {
    let now = crate::now_ns();
    let end = extract::bound("expires", text, now).map_err(|_| {
        ApiError::field("expires must be RFC 3339, epoch milliseconds or like now+30d")
    })?;
    match end {
        Some(end) if end <= now => Err(ApiError::field("expires is in the past")),
        end => Ok(end),
    }
}

/// Lists exceptions, newest first.
#[utoipa::path(get, path = "/api/v1/exceptions", tag = "rules", responses(
    (status = 200, description = "All exceptions", body = ExceptionsAnswer),
))]
pub async fn list(State(state): State<AppState>) -> Result<JsonAnswer<ExceptionsAnswer>, ApiError> {
    let book = Book::load(&state).await?;
    let rows = state.meta().rule_exceptions().await?.into_iter();
    let exceptions = rows.map(|row| ExceptionView::new(row, &book)).collect();
    Ok(JsonAnswer(ExceptionsAnswer { exceptions }))
}

/// Makes an exception. Holds from the next events on, without a restart.
#[utoipa::path(post, path = "/api/v1/exceptions", tag = "rules", request_body = ExceptionRequest,
    responses(
    (status = 201, description = "The exception", body = ExceptionView),
    (status = 404, description = "not_found: no such rule", body = Problem),
    (status = 400, description = "invalid_query with position", body = Problem),
    (status = 422, description = "invalid_field", body = Problem),
))]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Json(request): Json<ExceptionRequest>,
) -> Result<(StatusCode, JsonAnswer<ExceptionView>), ApiError> {
    state.query(Some(&request.query))?;
    let by = caller.principal.name.to_string();
    let new = NewRuleException {
        rules: checked_rules(&state, &request.rules)?,
        query: request.query,
        owner: request.owner.unwrap_or_else(|| by.clone()),
        reason: request.reason,
        expires_ns: checked_end(request.expires.as_deref())?,
        created_by: by,
    };
    let row = state.meta().add_rule_exception(&new).await?;
    let detail = json!({ "after": &row });
    let audit = state
        .auth
        .audit(&caller, "exception.create", &row.id, detail);
    audit.await?;
    let book = Book::load(&state).await?;
    let view = ExceptionView::new(row, &book);
    Ok((StatusCode::CREATED, JsonAnswer(view)))
}

/// One exception.
#[utoipa::path(get, path = "/api/v1/exceptions/{id}", tag = "rules",
    params(("id" = String, Path, description = "The exception's id")), responses(
    (status = 200, description = "The exception", body = ExceptionView),
    (status = 404, description = "not_found", body = Problem),
))]
pub async fn get(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<JsonAnswer<ExceptionView>, ApiError> {
    let row = found(&state, &id).await?;
    let book = Book::load(&state).await?;
    Ok(JsonAnswer(ExceptionView::new(row, &book)))
}

async fn found(state: &AppState, id: &str) -> Result<RuleExceptionRow, ApiError> {
    let mut rows = state.meta().rule_exceptions().await?.into_iter();
    let row = rows.find(|row| row.id == id);
    row.ok_or_else(|| ApiError::not_found("exception"))
}

/// Changes an exception.
#[utoipa::path(patch, path = "/api/v1/exceptions/{id}", tag = "rules",
    request_body = ExceptionPatch,
    params(("id" = String, Path, description = "The exception's id")), responses(
    (status = 200, description = "The exception as it is now", body = ExceptionView),
    (status = 404, description = "not_found: no such exception, or no such rule", body = Problem),
    (status = 400, description = "invalid_query with position", body = Problem),
    (status = 422, description = "invalid_field", body = Problem),
))]
pub async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    Json(patch): Json<ExceptionPatch>,
) -> Result<JsonAnswer<ExceptionView>, ApiError> {
    let before = found(&state, &id).await?;
    if let Some(query) = &patch.query {
        state.query(Some(query))?;
    }
    let old = before.clone();
    let new = NewRuleException {
        rules: match &patch.rules {
            Some(rules) => checked_rules(&state, rules)?,
            None => old.rules,
        },
        query: patch.query.unwrap_or(old.query),
        owner: patch.owner.unwrap_or(old.owner),
        reason: patch.reason.unwrap_or(old.reason),
        expires_ns: match &patch.expires {
            Some(text) => checked_end(text.as_deref())?,
            None => old.expires_ns,
        },
        created_by: old.created_by,
    };
    let row = state.meta().change_rule_exception(&id, &new).await?;
    let detail = json!({ "before": before, "after": &row });
    state
        .auth
        .audit(&caller, "exception.change", &id, detail)
        .await?;
    let book = Book::load(&state).await?;
    Ok(JsonAnswer(ExceptionView::new(row, &book)))
}

/// Removes an exception. What it hid stays hidden.
#[utoipa::path(delete, path = "/api/v1/exceptions/{id}", tag = "rules",
    params(("id" = String, Path, description = "The exception's id")), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "not_found", body = Problem),
))]
pub async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let before = found(&state, &id).await?;
    state.meta().remove_rule_exception(&id).await?;
    let detail = json!({ "before": before });
    state
        .auth
        .audit(&caller, "exception.delete", &id, detail)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says what an exception would have hidden in the last 7 days. Nothing is kept.
#[utoipa::path(post, path = "/api/v1/exceptions/preview", tag = "rules",
    request_body = PreviewRequest, responses(
    (status = 200, description = "What it would have hidden", body = PreviewAnswer),
    (status = 404, description = "not_found: no such rule", body = Problem),
    (status = 400, description = "invalid_query with position", body = Problem),
))]
pub async fn preview(
    State(state): State<AppState>,
    Json(request): Json<PreviewRequest>,
) -> Result<JsonAnswer<PreviewAnswer>, ApiError> {
    let query = state.query(Some(&request.query))?;
    let rules = checked_rules(&state, &request.rules)?;
    let now = crate::now_ns();
    let range = TimeRange {
        from_ns: now - PREVIEW_DAYS * DAY_NS,
        to_ns: now,
    };
    let mut answer = PreviewAnswer {
        events: matching(&state, query.clone(), range).await?,
        ..PreviewAnswer::default()
    };
    for row in recent_alerts(&state, &rules, range).await? {
        answer.alerts += 1;
        let events = row.alert.evidence.events.iter();
        let any: Vec<String> = events.map(|seq| format!("_seq:{seq}")).collect();
        if any.is_empty() {
            continue;
        }
        let samples = Query::parse(&any.join(" OR "))?;
        let of_all = matching(&state, samples.clone(), TimeRange::ALL).await?;
        let hit = matching(&state, samples.and(query.clone()), TimeRange::ALL).await?;
        if hit == 0 {
            continue;
        }
        if hit < of_all {
            answer.touched_alerts += 1;
            continue;
        }
        answer.hidden_alerts += 1;
        answer.confirmed_attacks += u64::from(row.reason == Some(CloseReason::TruePositive));
        if answer.examples.len() < 10 {
            answer.examples.push(row.alert.id);
        }
    }
    Ok(JsonAnswer(answer))
}

/// How many events match.
async fn matching(state: &AppState, query: Query, range: TimeRange) -> Result<u64, ApiError> {
    let request = SearchRequest {
        query,
        range,
        limit: 1,
        cursor: None,
        order: Order::NewestFirst,
    };
    Ok(state.store.search(request).await?.total)
}

/// The newest alerts of the rules, of all for none.
async fn recent_alerts(
    state: &AppState,
    rules: &[String],
    range: TimeRange,
) -> Result<Vec<AlertRow>, ApiError> {
    let mut filter = AlertFilter {
        range: Some(range),
        limit: PREVIEW_ALERTS,
        ..AlertFilter::default()
    };
    if rules.is_empty() {
        return Ok(state.meta().list_alerts(&filter).await?.alerts);
    }
    let mut found = Vec::new();
    for rule in rules {
        for detector in [format!("sigma:{rule}"), rule.clone()] {
            filter.detector = Some(detector);
            filter.limit = PREVIEW_ALERTS - found.len();
            if filter.limit == 0 {
                return Ok(found);
            }
            found.extend(state.meta().list_alerts(&filter).await?.alerts);
        }
    }
    Ok(found)
}
