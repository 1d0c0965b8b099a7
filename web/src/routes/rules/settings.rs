//! `PUT /api/v1/rules/{id}`: what people set about a rule.

use axum::Json as JsonAnswer;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use watchfire_detect::{RuleException, RuleKind, RulePolicy, RuleSettings, RuleState};
use watchfire_event::Severity;
use watchfire_event::time::{parse_duration_ns, to_rfc3339};
use watchfire_store::meta::{Meta, MetaError, RuleSetting};

use super::{RuleAnswer, answer};
use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::extract::Json;
use crate::state::AppState;

/// What people have set about rules, as detection takes it.
///
/// # Errors
/// When the metadata cannot be read.
pub async fn policy(meta: &Meta) -> Result<RulePolicy, MetaError> {
    let settings = meta.rule_settings().await?.into_iter().map(|row| {
        let set = RuleSettings {
            // A word that only a newer version knows: the rule is as its file says.
            state: RuleState::parse(&row.state).unwrap_or_default(),
            severity: row.severity,
            suppress_ns: row.suppress_ns,
        };
        (row.rule_id, set)
    });
    let settings = settings.collect();
    let exceptions = meta.rule_exceptions().await?.into_iter();
    let exceptions = exceptions.map(|row| RuleException {
        id: row.id,
        rules: row.rules,
        query: row.query,
        expires_ns: row.expires_ns,
    });
    let policy = RulePolicy {
        settings,
        exceptions: exceptions.collect(),
        ..RulePolicy::default()
    };
    Ok(policy.with_verdicts(&meta.closed_alerts().await?))
}

/// What verdicts ask of alerts.
pub(crate) async fn verdicts(meta: &Meta) -> Result<RulePolicy, MetaError> {
    Ok(RulePolicy::default().with_verdicts(&meta.closed_alerts().await?))
}

/// What is to hold for a rule. What is left out is as the rule's file says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingsRequest {
    /// `live`, `shadow` (evaluated and counted, raises nothing) or `disabled`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    state: RuleState,
    /// The severity of its alerts: `info`, `low`, `medium`, `high` or `critical`.
    #[schema(value_type = Option<String>)]
    severity: Option<Severity>,
    /// For so long after an alert began, what the rule finds about the same entity becomes part
    /// of it: `30m`, `24h`, `7d`, at most `30d`.
    suppress_for: Option<String>,
    /// Why, at most 1,000 characters.
    note: Option<String>,
}

/// What is set about a rule.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Settings {
    /// `live`, `shadow` or `disabled`.
    state: String,
    /// The severity of its alerts; null where it is the file's.
    #[schema(value_type = Option<String>)]
    severity: Option<Severity>,
    /// How long an alert takes in what follows; null for until it has been quiet for an hour.
    suppress_for: Option<String>,
    /// Why.
    note: Option<String>,
    /// Who set it; null where nothing is set.
    changed_by: Option<String>,
    /// When.
    changed: Option<String>,
}

impl Settings {
    /// What is set, or that nothing is.
    pub(super) fn of(setting: Option<&RuleSetting>) -> Settings {
        let state = setting.map_or(RuleState::Live.as_str(), |s| &s.state);
        Settings {
            state: state.to_owned(),
            severity: setting.and_then(|s| s.severity),
            suppress_for: setting.and_then(|s| s.suppress_ns).map(duration_words),
            note: setting.and_then(|s| s.note.clone()),
            changed_by: setting.map(|s| s.changed_by.clone()),
            changed: setting.map(|s| to_rfc3339(s.changed_ns)),
        }
    }
}

/// `90m`, `24h`, `7d`: in the largest unit that fits, days from two on.
fn duration_words(ns: i64) -> String {
    const SECOND: i64 = 1_000_000_000;
    let units = [
        (86_400 * SECOND, 2, "d"),
        (3_600 * SECOND, 1, "h"),
        (60 * SECOND, 1, "m"),
        (SECOND, 1, "s"),
    ];
    let fits = |(unit, least, _): &(i64, i64, &str)| ns % unit == 0 && ns / unit >= *least;
    match units.into_iter().find(fits) {
        Some((unit, _, word)) => format!("{}{word}", ns / unit),
        None => format!("{}ms", ns / 1_000_000),
    }
}

/// Sets how a rule is run. Holds from the next events on, without a restart.
#[utoipa::path(put, path = "/api/v1/rules/{id}", tag = "rules", request_body = SettingsRequest,
    params(("id" = String, Path, description = "The rule's id")), responses(
    (status = 200, description = "The rule as it is now", body = RuleAnswer),
    (status = 404, description = "not_found", body = Problem),
    (status = 422, description = "invalid_field", body = Problem),
))]
pub async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    Json(request): Json<SettingsRequest>,
) -> Result<JsonAnswer<RuleAnswer>, ApiError> {
    let meta = state.meta();
    let known = meta.rule_settings().await?;
    let before = known.into_iter().find(|setting| setting.rule_id == id);
    let catalog = state.rules.load_full();
    let info = catalog.set.info(&id);
    if info.is_none() && before.is_none() {
        return Err(ApiError::not_found("rule"));
    }
    if info.is_some_and(|info| info.kind == RuleKind::Filter) {
        let why = "a filter is part of the rules it names; set something about these";
        return Err(ApiError::field(why));
    }
    let suppress_ns =
        match request.suppress_for.as_deref() {
            None | Some("") => None,
            Some(text) => Some(parse_duration_ns(text).ok_or_else(|| {
                ApiError::field("suppress_for is a duration such as 30m, 24h or 7d")
            })?),
        };
    let title = info.map(|info| info.title.clone());
    let title = title.or_else(|| before.as_ref().map(|b| b.title.clone()));
    let setting = RuleSetting {
        rule_id: id.clone(),
        title: title.unwrap_or_default(),
        state: request.state.as_str().to_owned(),
        severity: request
            .severity
            .filter(|s| info.is_none_or(|info| info.severity != *s)),
        suppress_ns,
        note: request.note.filter(|note| !note.trim().is_empty()),
        changed_by: caller.principal.name.to_string(),
        changed_ns: 0,
    };
    let nothing = request.state == RuleState::Live
        && setting.severity.is_none()
        && suppress_ns.is_none()
        && setting.note.is_none();
    match nothing {
        true => meta.reset_rule(&id).await?,
        false => meta.set_rule(&setting).await?,
    }
    let detail = json!({
        "title": setting.title, "before": Settings::of(before.as_ref()),
        "after": { "state": setting.state, "severity": setting.severity,
            "suppress_for": setting.suppress_ns.map(duration_words), "note": setting.note },
    });
    state
        .auth
        .audit(&caller, "rule.change", &id, detail)
        .await?;
    answer(&state, &id).await.map(JsonAnswer)
}

#[cfg(test)]
mod tests {
    #[test]
    fn durations_are_said_as_they_are_read() {
        for text in ["90s", "15m", "90m", "1h", "24h", "36h", "7d", "1500ms"] {
            let ns = super::parse_duration_ns(text);
            assert_eq!(ns.map(super::duration_words).as_deref(), Some(text));
        }
    }
}
