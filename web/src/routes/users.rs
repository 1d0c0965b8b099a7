//! `/api/v1/users`: people and their roles.

use axum::Json as JsonAnswer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use watchfire_store::meta::{Role, User};

use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::extract::Json;
use crate::state::AppState;

/// All users.
#[derive(Serialize, ToSchema)]
pub struct UsersAnswer {
    /// By name.
    #[schema(value_type = Vec<Object>)]
    users: Vec<User>,
}

/// A user to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserRequest {
    /// 1 to 64 characters of a-z, 0-9, dot, _, @ and -.
    name: String,
    /// `viewer`, `analyst` or `admin`.
    #[schema(value_type = String)]
    role: Role,
    /// 12 to 128 characters.
    #[schema(format = Password)]
    password: String,
}

/// What to change. Fields that are left out stay as they are. Any change ends the user's sessions.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserPatch {
    /// `viewer`, `analyst` or `admin`.
    #[schema(value_type = Option<String>)]
    role: Option<Role>,
    /// Locked out?
    disabled: Option<bool>,
    /// A new password.
    #[schema(format = Password)]
    password: Option<String>,
}

/// Lists users.
#[utoipa::path(get, path = "/api/v1/users", tag = "management", responses(
    (status = 200, description = "All users", body = UsersAnswer),
))]
pub async fn list(State(state): State<AppState>) -> Result<JsonAnswer<UsersAnswer>, ApiError> {
    Ok(JsonAnswer(UsersAnswer {
        users: state.meta().list_users().await?,
    }))
}

/// Makes a user.
#[utoipa::path(post, path = "/api/v1/users", tag = "management", request_body = UserRequest,
    responses(
    (status = 201, description = "The user", body = Object),
    (status = 409, description = "conflict: the name is taken", body = Problem),
    (status = 422, description = "invalid_field", body = Problem),
))]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Json(request): Json<UserRequest>,
) -> Result<(StatusCode, JsonAnswer<User>), ApiError> {
    let UserRequest {
        name,
        role,
        password,
    } = request;
    let user = state.auth.create_user(&name, role, Some(&password)).await?;
    let detail = json!({ "name": user.name, "role": user.role });
    state
        .auth
        .audit(&caller, "user.create", &user.id, detail)
        .await?;
    Ok((StatusCode::CREATED, JsonAnswer(user)))
}

/// Changes a user.
#[utoipa::path(patch, path = "/api/v1/users/{id}", tag = "management", request_body = UserPatch,
    params(("id" = String, Path, description = "The user's id")), responses(
    (status = 200, description = "The user as it is now", body = Object),
    (status = 409, description = "conflict: the last admin must stay", body = Problem),
))]
pub async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    Json(patch): Json<UserPatch>,
) -> Result<JsonAnswer<User>, ApiError> {
    let user = find(&state, &id).await?;
    if let Some(password) = &patch.password {
        state.auth.set_password(&user, password).await?;
        state
            .auth
            .audit(&caller, "user.password", &id, json!({}))
            .await?;
    }
    if patch.role.is_some() || patch.disabled.is_some() {
        let role = patch.role.unwrap_or(user.role);
        let disabled = patch.disabled.unwrap_or(user.disabled);
        state.auth.update_user(&id, role, disabled).await?;
        let detail = json!({ "before": { "role": user.role, "disabled": user.disabled },
            "after": { "role": role, "disabled": disabled } });
        state
            .auth
            .audit(&caller, "user.update", &id, detail)
            .await?;
    }
    find(&state, &id).await.map(JsonAnswer)
}

/// Deletes a user.
#[utoipa::path(delete, path = "/api/v1/users/{id}", tag = "management",
    params(("id" = String, Path, description = "The user's id")), responses(
    (status = 204, description = "Gone"),
    (status = 409, description = "conflict: the last admin must stay", body = Problem),
))]
pub async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let user = find(&state, &id).await?;
    state.auth.delete_user(&id).await?;
    state
        .auth
        .audit(&caller, "user.delete", &id, json!({ "name": user.name }))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(state: &AppState, id: &str) -> Result<User, ApiError> {
    state
        .meta()
        .get_user(id)
        .await?
        .ok_or_else(|| ApiError::not_found("user"))
}
