//! `/api/v1/tokens`: credentials of programs.

use axum::Json as JsonAnswer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use watchfire_store::meta::{NewToken, Scope, TokenRow};

use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::extract::{Json, bound};
use crate::state::AppState;

/// A token lives so long when the request does not say, nanoseconds (90 days).
const DEFAULT_LIFE_NS: i64 = 90 * 86_400 * 1_000_000_000;

/// All tokens.
#[derive(Serialize, ToSchema)]
pub struct TokensAnswer {
    /// Newest first, without their secrets.
    #[schema(value_type = Vec<Object>)]
    tokens: Vec<TokenRow>,
}

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// 1 to 100 characters; events shipped with it carry it as `_source`.
    name: String,
    /// Any of `ingest`, `read`, `admin`.
    #[schema(value_type = Vec<String>)]
    scopes: Vec<Scope>,
    /// When it stops working: RFC 3339, `now+30d` or `never`; 90 days by default.
    expires: Option<String>,
}

/// A token with its text, which is shown this once.
#[derive(Serialize, ToSchema)]
pub struct TokenWithText {
    /// The token.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    row: TokenRow,
    /// `wf_<id>_<secret>`.
    token: String,
}

/// Lists tokens.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "management", responses(
    (status = 200, description = "All tokens, revoked ones included", body = TokensAnswer),
))]
pub async fn list(State(state): State<AppState>) -> Result<JsonAnswer<TokensAnswer>, ApiError> {
    Ok(JsonAnswer(TokensAnswer {
        tokens: state.meta().list_tokens().await?,
    }))
}

/// Makes a token. Its text is in this answer only.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "management", request_body = TokenRequest,
    responses(
    (status = 201, description = "The token", body = TokenWithText),
    (status = 422, description = "invalid_field", body = Problem),
))]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Json(request): Json<TokenRequest>,
) -> Result<(StatusCode, JsonAnswer<TokenWithText>), ApiError> {
    let now = crate::now_ns();
    let expires_ns = match request.expires.as_deref() {
        None => Some(now.saturating_add(DEFAULT_LIFE_NS)),
        Some("never") => None,
        Some(text) => bound("expires", Some(text), now)?,
    };
    if expires_ns.is_some_and(|at| at <= now) {
        return Err(ApiError::field("the token would have expired already"));
    }
    let new = NewToken {
        name: request.name,
        scopes: request.scopes,
        created_by: caller.principal.name.to_string(),
        expires_ns,
    };
    let (row, token) = state.auth.create_token(&new).await?;
    let detail = json!({ "name": row.name, "scopes": row.scopes });
    state
        .auth
        .audit(&caller, "token.create", &row.id, detail)
        .await?;
    Ok((
        StatusCode::CREATED,
        JsonAnswer(TokenWithText { row, token }),
    ))
}

/// Revokes a token, at once and for good.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "management",
    params(("id" = String, Path, description = "The token's id")), responses(
    (status = 204, description = "Revoked"),
    (status = 404, description = "not_found", body = Problem),
))]
pub async fn revoke(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.auth.revoke_token(&id).await?;
    state
        .auth
        .audit(&caller, "token.revoke", &id, json!({}))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
