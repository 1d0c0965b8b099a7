//! `POST /api/v1/backups`: a snapshot of everything, into a folder that the settings allow.

use std::path::{Component, Path, PathBuf};

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use watchfire_store::backup::BackupReport;

use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::extract::Json;
use crate::state::AppState;

/// A backup to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// The repository: a folder on the server's machine, below the one that its settings allow
    /// (`[backup] dir`), by its path from there or its absolute path.
    to: String,
    /// How many snapshots to keep, the newest; all when left out.
    keep: Option<usize>,
}

/// Makes a backup and answers when it is on disk. Events are taken in meanwhile.
#[utoipa::path(post, path = "/api/v1/backups", tag = "operations", request_body = BackupRequest,
    responses(
    (status = 201, description = "What was linked, copied and removed", body = Object),
    (status = 409, description = "backup_not_configured, backup_running", body = Problem),
    (status = 422, description = "backup_path_refused, invalid_field", body = Problem),
))]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Json(request): Json<BackupRequest>,
) -> Result<(StatusCode, JsonAnswer<BackupReport>), ApiError> {
    if request.keep == Some(0) {
        return Err(ApiError::field("keep must be at least 1"));
    }
    let Some(root) = state.config.backup_dir.clone() else {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "backup_not_configured",
            "the server's settings name no folder for backups ([backup] dir)",
        ));
    };
    let to = within(&root, &request.to)?;
    let store = state.store.clone();
    // A caller that goes away must not leave a backup half made.
    let making = tokio::spawn(async move { store.backup(&to, request.keep).await });
    let report = making.await.map_err(ApiError::internal)??;
    let detail = json!({
        "head": report.head,
        "segments": report.segments,
        "new_segments": report.new_segments,
        "removed_snapshots": report.removed_snapshots,
    });
    let auth = &state.auth;
    auth.audit(&caller, "backup.create", &report.path, detail)
        .await?;
    Ok((StatusCode::CREATED, JsonAnswer(report)))
}

/// The folder that `to` names below `root`; whatever leads out of it is refused.
fn within(root: &Path, to: &str) -> Result<PathBuf, ApiError> {
    let refused = || {
        ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "backup_path_refused",
            format!("backups are written below {} only", root.display()),
        )
    };
    let path = Path::new(to);
    let inner = path.strip_prefix(root).unwrap_or(path);
    let plain = inner
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if to.is_empty() || !plain {
        return Err(refused());
    }
    let target = root.join(inner);
    // A link below the root may lead elsewhere.
    let root = root.canonicalize().map_err(|_| refused())?;
    let existing = target.ancestors().find(|path| path.exists());
    let real = existing.and_then(|path| path.canonicalize().ok());
    match real.is_some_and(|path| path.starts_with(&root)) {
        true => Ok(target),
        false => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("backups");
        std::fs::create_dir_all(root.join("there")).unwrap();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("outside"), root.join("link")).unwrap();
        let absolute = root.join("weekly").display().to_string();
        for (to, expected) in [
            ("nightly", "nightly"),
            ("there/deep/down", "there/deep/down"),
            (absolute.as_str(), "weekly"),
        ] {
            assert_eq!(within(&root, to).unwrap(), root.join(expected));
        }
        for to in [
            "",
            "..",
            "../outside",
            "a/../../b",
            "/etc",
            "link",
            "link/x",
            "./..",
        ] {
            let refused = within(&root, to).unwrap_err();
            assert_eq!(refused.code(), "backup_path_refused", "{to}");
        }
    }
}
