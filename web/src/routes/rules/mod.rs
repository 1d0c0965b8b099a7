//! `/api/v1/rules` and `/api/v1/detectors`: what is live, what is not, what people set about it
//! and what became of it, and what a text would be.

pub mod explain;
pub mod health;
pub mod settings;

use axum::Json as JsonAnswer;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use watchfire_detect::{PipelineInfo, RuleFault, RuleFile, RuleInfo, RuleKind, RuleSet};

use health::{Book, Health};
use settings::Settings;

use super::exceptions::ExceptionView;

use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::extract::{Json, Params};
use crate::state::AppState;

/// A loaded rule with what is set about it and what became of it.
#[derive(Serialize, ToSchema)]
pub struct RuleRow {
    /// The rule as its file says: id, title, kind, severity, tags, fields, path and so on.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    info: RuleInfo,
    /// What people set.
    settings: Settings,
    /// What became of it.
    health: Health,
}

/// What is set about a rule whose file is gone. It holds again once the rule is back.
#[derive(Serialize, ToSchema)]
pub struct GoneRule {
    /// The rule's id.
    id: String,
    /// Its title when this was set.
    title: String,
    /// What people set.
    settings: Settings,
}

/// Everything about one rule.
#[derive(Serialize, ToSchema)]
pub struct RuleAnswer {
    /// The rule, or what is left of it.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    rule: Described,
    /// Is its file gone?
    gone: bool,
    /// What people set.
    settings: Settings,
    /// What became of it.
    health: Health,
    /// The exceptions that are about it.
    exceptions: Vec<ExceptionView>,
    /// Its document, YAML; of a detector, its file.
    text: Option<String>,
}

/// A rule that is loaded, or one whose file is gone.
#[derive(Serialize)]
#[serde(untagged)]
enum Described {
    Live(Box<RuleInfo>),
    Gone { id: String, title: String },
}

/// The rules.
#[derive(Serialize, ToSchema)]
pub struct RulesAnswer {
    /// Live rules; in short where that was asked for.
    #[schema(value_type = Vec<RuleRow>)]
    rules: Vec<Value>,
    /// How many live rules there are with what was asked for.
    total: usize,
    /// The `offset` of the next page; none where this is the last.
    next: Option<usize>,
    /// Processing pipelines in the order in which they apply, each with path, line, priority and
    /// how many documents it changed.
    #[schema(value_type = Vec<Object>)]
    pipelines: Vec<PipelineInfo>,
    /// Settings of rules that are not there.
    gone: Vec<GoneRule>,
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

/// Which of the rules are listed, and how fully.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ListParams {
    /// So many at most; all when left out.
    limit: Option<usize>,
    /// So many are passed over.
    offset: Option<usize>,
    /// Only rules whose id, title, tag or path contains this text.
    find: Option<String>,
    /// Each rule in short: id, title, kind, severity, status, log source, tags, path, pipelines,
    /// state, and of its health matches, alerts and whether it can match.
    #[serde(default)]
    brief: bool,
}

impl ListParams {
    fn takes(&self, info: &RuleInfo) -> bool {
        let Some(find) = self.find.as_ref().map(|f| f.to_lowercase()) else {
            return true;
        };
        let texts = [&info.id, &info.title, &info.path].into_iter();
        texts
            .chain(&info.tags)
            .any(|t| t.to_lowercase().contains(&find))
    }
}

/// What a short row says of a rule, and of its settings and health.
const BRIEF: &[&str] = &[
    "id",
    "title",
    "kind",
    "severity",
    "status",
    "logsource",
    "tags",
    "path",
    "pipelines",
];
const BRIEF_HEALTH: &[&str] = &["matched_24h", "matched_7d", "alerts_7d", "can_match"];

/// A rule as the list shows it.
fn row(row: &RuleRow, brief: bool) -> Result<Value, ApiError> {
    let mut full = serde_json::to_value(row).map_err(ApiError::internal)?;
    if !brief {
        return Ok(full);
    }
    let mut take = |pointer: &str| {
        full.pointer_mut(pointer)
            .map(Value::take)
            .unwrap_or_default()
    };
    let mut short: Map<String, Value> = Map::new();
    for key in BRIEF {
        short.insert((*key).to_owned(), take(&format!("/{key}")));
    }
    short.insert("state".to_owned(), take("/settings/state"));
    let health = BRIEF_HEALTH.iter();
    let health = health.map(|key| ((*key).to_owned(), take(&format!("/health/{key}"))));
    let health: Map<String, Value> = health.collect();
    short.insert("health".to_owned(), Value::Object(health));
    Ok(Value::Object(short))
}

/// Lists live rules and the documents that are not live.
#[utoipa::path(get, path = "/api/v1/rules", tag = "rules", params(ListParams), responses(
    (status = 200, description = "The rules", body = RulesAnswer),
    (status = 400, description = "invalid_request", body = Problem),
))]
pub async fn list(
    State(state): State<AppState>,
    Params(params): Params<ListParams>,
) -> Result<JsonAnswer<RulesAnswer>, ApiError> {
    let book = Book::load(&state).await?;
    let catalog = &book.catalog;
    let mut infos = catalog.set.infos();
    infos.retain(|info| params.takes(info));
    let total = infos.len();
    let (offset, limit) = (
        params.offset.unwrap_or(0),
        params.limit.unwrap_or(usize::MAX),
    );
    let next = offset.saturating_add(limit);
    let page = infos
        .into_iter()
        .skip(offset)
        .take(limit)
        .map(|info| RuleRow {
            settings: book.settings(&info.id),
            health: book.health(&info.id, Some(info.kind), false),
            info,
        });
    let rows = page.map(|rule| row(&rule, params.brief));
    let gone = book
        .set
        .iter()
        .filter(|(id, _)| catalog.set.info(id).is_none());
    let mut gone: Vec<GoneRule> = gone
        .map(|(id, setting)| GoneRule {
            id: id.clone(),
            title: setting.title.clone(),
            settings: book.settings(id),
        })
        .collect();
    gone.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(JsonAnswer(RulesAnswer {
        rules: rows.collect::<Result<_, _>>()?,
        total,
        next: (next < total).then_some(next),
        pipelines: catalog.set.pipelines().to_vec(),
        gone,
        faults: catalog.faults.clone(),
        generation: catalog.generation,
    }))
}

/// One rule: its text, what people set about it, what became of it, and its exceptions.
#[utoipa::path(get, path = "/api/v1/rules/{id}", tag = "rules",
    params(("id" = String, Path, description = "The rule's id")), responses(
    (status = 200, description = "The rule", body = RuleAnswer),
    (status = 404, description = "not_found", body = Problem),
))]
pub async fn get(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<JsonAnswer<RuleAnswer>, ApiError> {
    answer(&state, &id).await.map(JsonAnswer)
}

async fn answer(state: &AppState, id: &str) -> Result<RuleAnswer, ApiError> {
    let book = Book::load(state).await?;
    let info = book.catalog.set.info(id);
    let text = info.map(|info| info.text.to_string());
    let kind = info.map(|info| info.kind);
    let rule = match (info, book.set.get(id)) {
        (Some(info), _) => Described::Live(Box::new(info.clone())),
        (None, Some(setting)) => Described::Gone {
            id: id.to_owned(),
            title: setting.title.clone(),
        },
        (None, None) => return Err(ApiError::not_found("rule")),
    };
    let rows = state.meta().rule_exceptions().await?.into_iter();
    let about = rows.filter(|row| row.rules.is_empty() || row.rules.iter().any(|r| r == id));
    let about = about.map(|row| ExceptionView::new(row, &book));
    Ok(RuleAnswer {
        rule,
        gone: info.is_none(),
        settings: book.settings(id),
        health: book.health(id, kind, true),
        exceptions: about.collect(),
        text,
    })
}

/// Says whether a text would load as rules. Nothing is kept.
#[utoipa::path(post, path = "/api/v1/rules/check", tag = "rules", request_body = CheckRequest,
    responses((status = 200, description = "What it would be", body = CheckAnswer)))]
pub async fn check(
    State(state): State<AppState>,
    Json(request): Json<CheckRequest>,
) -> Result<JsonAnswer<CheckAnswer>, ApiError> {
    let path = request.path.unwrap_or_else(|| "text.yml".to_owned());
    let file = RuleFile {
        path,
        text: request.text,
    };
    let live = state.rules.load().set.clone();
    let loading = tokio::task::spawn_blocking(move || RuleSet::load_beside(&[file], &live));
    let (set, faults, own) = loading.await.map_err(ApiError::internal)?;
    let mut rules = set.infos();
    rules.retain(|info| own.contains(&info.id));
    Ok(JsonAnswer(CheckAnswer {
        ok: faults.is_empty(),
        rules,
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
    list(State(state), Params(ListParams::default())).await
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
