//! `/api/v1/rules` and `/api/v1/detectors`: what is live, what is not, and what a text would be.

use axum::Json as JsonAnswer;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use watchfire_detect::{RuleFault, RuleFile, RuleInfo, RuleKind, RuleSet};

use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::extract::Json;
use crate::state::AppState;

/// The rules.
#[derive(Serialize, ToSchema)]
pub struct RulesAnswer {
    /// Live rules: id, title, kind, severity, tags, fields, path and so on.
    #[schema(value_type = Vec<Object>)]
    rules: Vec<RuleInfo>,
    /// Documents that are not live, each with path, line, code and message.
    #[schema(value_type = Vec<Object>)]
    faults: Vec<RuleFault>,
    /// Rises with every reload.
    generation: u64,
}

/// Rules to look at without making them live.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// Sigma rules or detector files, YAML; several documents are allowed.
    text: String,
    /// A file name for the messages.
    path: Option<String>,
}

/// What the text would be.
#[derive(Serialize, ToSchema)]
pub struct CheckAnswer {
    /// Did every document load?
    ok: bool,
    /// The rules in it.
    #[schema(value_type = Vec<Object>)]
    rules: Vec<RuleInfo>,
    /// What is wrong, and where.
    #[schema(value_type = Vec<Object>)]
    faults: Vec<RuleFault>,
}

/// Lists live rules and the documents that are not live.
#[utoipa::path(get, path = "/api/v1/rules", tag = "rules", responses(
    (status = 200, description = "The rules", body = RulesAnswer),
))]
pub async fn list(State(state): State<AppState>) -> JsonAnswer<RulesAnswer> {
    let catalog = state.rules.load();
    JsonAnswer(RulesAnswer {
        rules: catalog.set.infos(),
        faults: catalog.faults.clone(),
        generation: catalog.generation,
    })
}

/// One live rule.
#[utoipa::path(get, path = "/api/v1/rules/{id}", tag = "rules",
    params(("id" = String, Path, description = "The rule's id")), responses(
    (status = 200, description = "The rule", body = Object),
    (status = 404, description = "not_found", body = Problem),
))]
pub async fn get(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<JsonAnswer<RuleInfo>, ApiError> {
    let found = state
        .rules
        .load()
        .set
        .infos()
        .into_iter()
        .find(|rule| rule.id == id);
    found
        .map(JsonAnswer)
        .ok_or_else(|| ApiError::not_found("rule"))
}

/// Says whether a text would load as rules. Nothing is kept.
#[utoipa::path(post, path = "/api/v1/rules/check", tag = "rules", request_body = CheckRequest,
    responses((status = 200, description = "What it would be", body = CheckAnswer)))]
pub async fn check(Json(request): Json<CheckRequest>) -> Result<JsonAnswer<CheckAnswer>, ApiError> {
    let path = request.path.unwrap_or_else(|| "text.yml".to_owned());
    let file = RuleFile {
        path,
        text: request.text,
    };
    let loading = tokio::task::spawn_blocking(move || RuleSet::load(&[file]));
    let (set, faults) = loading.await.map_err(ApiError::internal)?;
    Ok(JsonAnswer(CheckAnswer {
        ok: faults.is_empty(),
        rules: set.infos(),
        faults,
    }))
}

/// Reads the rule folders again, without waiting for the watcher.
#[utoipa::path(post, path = "/api/v1/rules/reload", tag = "rules", responses(
    (status = 200, description = "The rules as they are now", body = RulesAnswer),
    (status = 409, description = "conflict: the folders cannot be read", body = Problem),
))]
pub async fn reload(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<JsonAnswer<RulesAnswer>, ApiError> {
    let hooks = state.hooks.clone();
    let reloading = tokio::task::spawn_blocking(move || (hooks.reload_rules)());
    reloading
        .await
        .map_err(ApiError::internal)?
        .map_err(ApiError::conflict)?;
    let generation = state.rules.load().generation;
    state
        .auth
        .audit(
            &caller,
            "rules.reload",
            "",
            json!({ "generation": generation }),
        )
        .await?;
    Ok(list(State(state)).await)
}

/// The detectors.
#[derive(Serialize, ToSchema)]
pub struct DetectorsAnswer {
    /// Live detectors, described as rules are.
    #[schema(value_type = Vec<Object>)]
    detectors: Vec<RuleInfo>,
}

/// Lists live detectors.
#[utoipa::path(get, path = "/api/v1/detectors", tag = "rules", responses(
    (status = 200, description = "The detectors", body = DetectorsAnswer),
))]
pub async fn detectors(State(state): State<AppState>) -> JsonAnswer<DetectorsAnswer> {
    let mut detectors = state.rules.load().set.infos();
    detectors.retain(|info| info.kind == RuleKind::Detector);
    JsonAnswer(DetectorsAnswer { detectors })
}
