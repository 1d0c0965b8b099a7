//! `GET /api/v1/status`: how far everything has come.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use watchfire_event::time::to_rfc3339;
use watchfire_store::StoreStatus;

use crate::state::{AppState, JsonObject};

/// How far everything has come. A reader at or past `log.head` has nothing left to do.
#[derive(Serialize, ToSchema)]
pub struct StatusAnswer {
    /// The version of this server.
    version: &'static str,
    /// The server's clock, RFC 3339.
    now: String,
    /// The log.
    log: LogStatus,
    /// How far each reader of the log has come.
    readers: Readers,
    /// Memory, segments and disk.
    #[schema(value_type = Object)]
    store: StoreStatus,
    /// The rules.
    rules: RulesStatus,
    /// More, by the parts that are running.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    more: JsonObject,
}

/// The log.
#[derive(Serialize, ToSchema)]
pub struct LogStatus {
    /// Sequence number of the newest event; 0 when there is none.
    head: u64,
    /// Bytes of its files.
    bytes: u64,
    /// Number of its files.
    files: u64,
}

/// How far each reader of the log has come.
#[derive(Serialize, ToSchema)]
pub struct Readers {
    /// Searchable up to here.
    store: u64,
    /// Evaluated by every rule and detector up to here.
    detect: u64,
}

/// The rules.
#[derive(Serialize, ToSchema)]
pub struct RulesStatus {
    /// How many are live.
    live: usize,
    /// How many documents are not.
    faults: usize,
    /// Rises with every reload.
    generation: u64,
}

/// Says how far everything has come.
#[utoipa::path(get, path = "/api/v1/status", tag = "operations", responses(
    (status = 200, description = "The status", body = StatusAnswer),
))]
pub async fn status(State(state): State<AppState>) -> Json<StatusAnswer> {
    let store = state.store.status();
    let mut more = (state.hooks.status)();
    // The detection thread knows its position better than the log, which hears of it less often.
    let live = more
        .remove("readers")
        .and_then(|readers| readers.get("detect")?.as_u64());
    // Without detection nobody is behind, and the log is told so with the greatest number.
    let detect = live.unwrap_or(store.detect).min(store.head);
    let catalog = state.rules.load();
    Json(StatusAnswer {
        version: env!("CARGO_PKG_VERSION"),
        now: to_rfc3339(crate::now_ns()),
        log: LogStatus {
            head: store.head,
            bytes: store.log_bytes,
            files: store.log_files,
        },
        readers: Readers {
            store: store.store,
            detect,
        },
        store,
        rules: RulesStatus {
            live: catalog.set.len(),
            faults: catalog.faults.len(),
            generation: catalog.generation,
        },
        more,
    })
}
