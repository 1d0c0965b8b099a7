//! `/api/v1/session` and `/api/v1/setup`: people coming in and going.

use axum::Extension;
use axum::Json as JsonAnswer;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::net::SocketAddr;
use utoipa::ToSchema;

use crate::auth::{Caller, Login, Principal, Scope, Via, address_of};
use crate::error::{ApiError, Problem};
use crate::extract::Json;
use crate::state::AppState;

type From = Option<Extension<ConnectInfo<SocketAddr>>>;

/// A login.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The user's name.
    user: String,
    /// The password.
    #[schema(format = Password)]
    password: String,
}

/// The first admin.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupRequest {
    /// What the one-time link ends in.
    token: String,
    /// The name of the admin to make.
    user: String,
    /// A password of 12 to 128 characters.
    #[schema(format = Password)]
    password: String,
}

/// Who is asking.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionAnswer {
    /// Name of the user or the token.
    name: String,
    /// `viewer`, `analyst` or `admin`; null for tokens.
    role: Option<&'static str>,
    /// What they may do, implied scopes included.
    scopes: Vec<Scope>,
    /// `session` or `token`.
    via: &'static str,
}

impl SessionAnswer {
    fn of(principal: &Principal) -> Self {
        let scopes = principal.scopes;
        let by_session = matches!(principal.via, Via::Session(_));
        let role = match () {
            () if !by_session => None,
            () if scopes.allows(Scope::Admin) => Some("admin"),
            () if scopes.allows(Scope::Triage) => Some("analyst"),
            () => Some("viewer"),
        };
        SessionAnswer {
            name: principal.name.to_string(),
            role,
            scopes: Scope::ALL
                .into_iter()
                .filter(|s| scopes.allows(*s))
                .collect(),
            via: if by_session { "session" } else { "token" },
        }
    }
}

/// Says who is asking.
#[utoipa::path(get, path = "/api/v1/session", tag = "session", responses(
    (status = 200, description = "Who", body = SessionAnswer),
    (status = 401, description = "unauthenticated", body = Problem),
))]
pub async fn whoami(caller: Caller) -> JsonAnswer<SessionAnswer> {
    JsonAnswer(SessionAnswer::of(&caller.principal))
}

/// Logs in with name and password; the answer sets the session cookie.
#[utoipa::path(post, path = "/api/v1/session", tag = "session", request_body = LoginRequest,
    responses(
    (status = 200, description = "In", body = SessionAnswer),
    (status = 401, description = "login_failed", body = Problem),
    (status = 429, description = "login_backoff, too_many_logins", body = Problem),
))]
pub async fn login(
    State(state): State<AppState>,
    from: From,
    headers: HeaderMap,
    Json(request): Json<LoginRequest>,
) -> Result<Response, ApiError> {
    let address = address_of(from);
    let login = state
        .auth
        .login_by_password(&request.user, &request.password, address)
        .await?;
    state.auth.end_session(&headers).await?;
    Ok(entered(&login))
}

/// Makes the first admin with the one-time link; the answer sets the session cookie.
#[utoipa::path(post, path = "/api/v1/setup", tag = "session", request_body = SetupRequest,
    responses(
    (status = 200, description = "In", body = SessionAnswer),
    (status = 401, description = "setup_token_invalid", body = Problem),
    (status = 422, description = "invalid_field; the link stays good", body = Problem),
))]
pub async fn setup(
    State(state): State<AppState>,
    from: From,
    Json(request): Json<SetupRequest>,
) -> Result<Response, ApiError> {
    let address = address_of(from);
    let SetupRequest {
        token,
        user,
        password,
    } = request;
    let login = state.auth.setup(&token, &user, &password, address).await?;
    Ok(entered(&login))
}

fn entered(login: &Login) -> Response {
    let who = JsonAnswer(SessionAnswer::of(&login.principal));
    ([(header::SET_COOKIE, login.cookie.clone())], who).into_response()
}

/// Logs out.
#[utoipa::path(delete, path = "/api/v1/session", tag = "session", responses(
    (status = 204, description = "Out"),
))]
pub async fn logout(
    State(state): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if !matches!(caller.principal.via, Via::Session(_)) {
        return Err(ApiError::conflict(
            "a token has no session; revoke it instead",
        ));
    }
    let name = caller.principal.name.clone();
    state
        .auth
        .audit(&caller, "session.end", &name, json!({}))
        .await?;
    let cookie = state.auth.end_session(&headers).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
