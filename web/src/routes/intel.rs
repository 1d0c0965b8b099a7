//! `/api/v1/intel`: the threat lists, and whether a value is on one.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use watchfire_detect::RuleFault;
use watchfire_detect::intel::{KindCounts, Listed};
use watchfire_event::time::to_rfc3339;

use crate::error::ApiError;
use crate::extract::Params;
use crate::state::AppState;

/// What to look up.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct IntelParams {
    /// A value to look for on every list.
    value: Option<String>,
}

/// The threat lists.
#[derive(Debug, Serialize, ToSchema)]
pub struct IntelAnswer {
    /// Live lists, by name.
    lists: Vec<ListInfo>,
    /// Files and entries that were left out, each with path, line, code and message.
    #[schema(value_type = Vec<Object>)]
    faults: Vec<RuleFault>,
    /// Where the value asked for is: list and entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    found: Option<Vec<Listed>>,
}

/// A list.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListInfo {
    /// Its name, as in `source.ip:@name` and `%intel.name%`.
    name: String,
    /// The file.
    path: String,
    /// Entries by kind: `addresses`, `networks`, `domains`, `hashes`, `urls`.
    #[schema(value_type = Object)]
    counts: KindCounts,
    /// Entries that had run out.
    expired: u64,
    /// Entries that could not be read.
    skipped: u64,
    /// When it was read, RFC 3339.
    loaded: Option<String>,
    /// When its next entry runs out, RFC 3339.
    next_expiry: Option<String>,
}

/// Lists the threat lists; with `value`, says on which of them it is.
#[utoipa::path(get, path = "/api/v1/intel", tag = "rules", params(IntelParams), responses(
    (status = 200, description = "The lists", body = IntelAnswer),
))]
pub async fn list(
    State(state): State<AppState>,
    Params(params): Params<IntelParams>,
) -> Result<Json<IntelAnswer>, ApiError> {
    let catalog = state.rules.load();
    let all = catalog.set.lists();
    let info = |list: &std::sync::Arc<watchfire_detect::intel::IntelList>| ListInfo {
        name: list.name.clone(),
        path: list.path.clone(),
        counts: list.counts(),
        expired: list.expired,
        skipped: list.skipped,
        loaded: catalog
            .lists_loaded_ns
            .get(&list.name)
            .copied()
            .map(to_rfc3339),
        next_expiry: list.next_expiry_ns.map(to_rfc3339),
    };
    let found = params.value.map(|value| {
        let lists = all.lists();
        lists
            .filter_map(|list| all.find(&list.name, &value))
            .collect()
    });
    Ok(Json(IntelAnswer {
        lists: all.lists().map(info).collect(),
        faults: catalog.list_faults.clone(),
        found,
    }))
}
