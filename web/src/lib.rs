//! The HTTP API and the pages.
//!
//! [`routes`](routes()) is the whole surface: one line a route, each with what it asks of its
//! caller. What is not in that list is refused. The doors that take events in belong to
//! `ingest`; the root puts [`auth::layer`] in front of them and [`headers::harden`] around all.

pub mod assets;
pub mod auth;
mod encode;
pub mod error;
mod extract;
pub mod headers;
mod routes;
mod serve;
pub mod state;

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::handler::Handler;
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};

pub use auth::{Access, Auth, Principal, Scope};
pub use error::ApiError;
pub use headers::harden;
pub use routes::openapi::document as openapi_document;
pub use routes::rules::settings::policy;
pub use serve::{Closing, DRAIN_TIMEOUT, HEADER_TIMEOUT, MAX_CONNECTIONS, serve};
pub use state::{AppState, Hooks, JsonObject, RuleCatalog, Seats, WebConfig};

use Access::{Anyone, LocalOr, Needs, Public};
use Scope::{Admin, Read, Triage};

/// The largest body that is read; events come in by other doors.
const MAX_BODY_BYTES: usize = 1 << 20;

/// One route: what it is called, what it asks of its caller, who answers.
pub struct Route {
    /// The method; `GET` answers `HEAD` too.
    pub method: Method,
    /// The path, with `{name}` for parameters.
    pub path: &'static str,
    /// What it asks of its caller.
    pub access: Access,
    /// Does the answer go on for as long as the caller likes?
    pub streams: bool,
    handler: MethodRouter<AppState>,
}

/// Every route of the API.
pub fn routes() -> Vec<Route> {
    use routes as r;
    let (get, post, patch, delete) = (Method::GET, Method::POST, Method::PATCH, Method::DELETE);
    let put = Method::PUT;
    vec![
        route(&get, "/api/v1/search", Needs(Read), r::search::search),
        route(
            &get,
            "/api/v1/histogram",
            Needs(Read),
            r::histogram::histogram,
        ),
        route(&get, "/api/v1/facets", Needs(Read), r::facets::facets),
        route(&get, "/api/v1/fields", Needs(Read), r::fields::fields),
        route(&post, "/api/v1/sql", Needs(Read), r::sql::sql).streaming(),
        route(&get, "/api/v1/tail", Needs(Read), r::tail::tail).streaming(),
        route(&get, "/api/v1/export", Needs(Read), r::export::export).streaming(),
        route(
            &get,
            "/api/v1/dead-letters",
            Needs(Read),
            r::dead_letters::list,
        ),
        route(&get, "/api/v1/alerts", Needs(Read), r::alerts::list),
        route(&get, "/api/v1/alerts/{id}", Needs(Read), r::alerts::get),
        route(
            &patch,
            "/api/v1/alerts/{id}",
            Needs(Triage),
            r::alerts::change,
        ),
        route(
            &post,
            "/api/v1/alerts/{id}/comments",
            Needs(Triage),
            r::alerts::comment,
        ),
        route(
            &get,
            "/api/v1/entities/{kind}/{value}",
            Needs(Read),
            r::entities::entity,
        ),
        route(
            &get,
            "/api/v1/entities/{kind}/{value}/learning",
            Needs(Read),
            r::entities::learning,
        ),
        route(&get, "/api/v1/erasures", Needs(Admin), r::erasures::list),
        route(&post, "/api/v1/erasures", Needs(Admin), r::erasures::create),
        route(
            &get,
            "/api/v1/erasures/{id}",
            Needs(Admin),
            r::erasures::get,
        ),
        route(&get, "/api/v1/channels", Needs(Admin), r::channels::list),
        route(&post, "/api/v1/channels", Needs(Admin), r::channels::create),
        route(
            &get,
            "/api/v1/channels/{id}",
            Needs(Admin),
            r::channels::get,
        ),
        route(
            &patch,
            "/api/v1/channels/{id}",
            Needs(Admin),
            r::channels::change,
        ),
        route(
            &delete,
            "/api/v1/channels/{id}",
            Needs(Admin),
            r::channels::delete,
        ),
        route(
            &post,
            "/api/v1/channels/{id}/secret",
            Needs(Admin),
            r::channels::rotate,
        ),
        route(
            &post,
            "/api/v1/channels/{id}/test",
            Needs(Admin),
            r::channels::test,
        ),
        route(
            &get,
            "/api/v1/channels/{id}/deliveries",
            Needs(Admin),
            r::channels::deliveries,
        ),
        route(&get, DELIVERY, Needs(Admin), r::channels::delivery),
        route(&post, REPLAY, Needs(Admin), r::channels::replay),
        route(&get, "/api/v1/tokens", Needs(Admin), r::tokens::list),
        route(&post, "/api/v1/tokens", Needs(Admin), r::tokens::create),
        route(
            &delete,
            "/api/v1/tokens/{id}",
            Needs(Admin),
            r::tokens::revoke,
        ),
        route(&get, "/api/v1/users", Needs(Admin), r::users::list),
        route(&post, "/api/v1/users", Needs(Admin), r::users::create),
        route(&patch, "/api/v1/users/{id}", Needs(Admin), r::users::change),
        route(
            &delete,
            "/api/v1/users/{id}",
            Needs(Admin),
            r::users::delete,
        ),
        route(&get, "/api/v1/rules", Needs(Read), r::rules::list),
        route(&get, "/api/v1/rules/{id}", Needs(Read), r::rules::get),
        route(
            &put,
            "/api/v1/rules/{id}",
            Needs(Triage),
            r::rules::settings::change,
        ),
        route(
            &get,
            "/api/v1/rules/{id}/health",
            Needs(Read),
            r::rules::health::health,
        ),
        route(
            &post,
            "/api/v1/rules/{id}/explain",
            Needs(Read),
            r::rules::explain::explain,
        ),
        route(
            &post,
            "/api/v1/rules/explain",
            Needs(Read),
            r::rules::explain::explain_all,
        ),
        route(&post, "/api/v1/rules/check", Needs(Read), r::rules::check),
        route(
            &post,
            "/api/v1/rules/reload",
            Needs(Admin),
            r::rules::reload,
        ),
        route(
            &post,
            "/api/v1/rules/backtest",
            Needs(Read),
            r::backtest::backtest,
        )
        .streaming(),
        route(&get, "/api/v1/intel", Needs(Read), r::intel::list),
        route(&get, "/api/v1/detectors", Needs(Read), r::rules::detectors),
        route(&get, EXCEPTIONS, Needs(Read), r::exceptions::list),
        route(&post, EXCEPTIONS, Needs(Triage), r::exceptions::create),
        route(
            &post,
            "/api/v1/exceptions/preview",
            Needs(Read),
            r::exceptions::preview,
        ),
        route(&get, EXCEPTION, Needs(Read), r::exceptions::get),
        route(&patch, EXCEPTION, Needs(Triage), r::exceptions::change),
        route(&delete, EXCEPTION, Needs(Triage), r::exceptions::delete),
        route(&get, "/api/v1/status", Needs(Read), r::status::status),
        route(&get, "/api/v1/audit", Needs(Admin), r::audit::audit),
        route(&post, "/api/v1/backups", Needs(Admin), r::backups::create).streaming(),
        route(&get, "/api/v1/session", Anyone, r::session::whoami),
        route(&post, "/api/v1/session", Public, r::session::login),
        route(&delete, "/api/v1/session", Anyone, r::session::logout),
        route(&post, "/api/v1/setup", Public, r::session::setup),
        route(&get, "/livez", Public, r::health::livez),
        route(&get, "/readyz", Public, r::health::readyz),
        route(&get, "/metrics", LocalOr(Read), r::health::metrics),
        route(
            &get,
            "/api/openapi.json",
            LocalOr(Read),
            r::openapi::openapi,
        ),
    ]
}

const EXCEPTIONS: &str = "/api/v1/exceptions";
const EXCEPTION: &str = "/api/v1/exceptions/{id}";
const DELIVERY: &str = "/api/v1/channels/{id}/deliveries/{delivery}";
const REPLAY: &str = "/api/v1/channels/{id}/deliveries/{delivery}/replay";

fn route<H, T>(method: &Method, path: &'static str, access: Access, handler: H) -> Route
where
    H: Handler<T, AppState>,
    T: 'static,
{
    let filter = match *method {
        Method::POST => MethodFilter::POST,
        Method::PUT => MethodFilter::PUT,
        Method::PATCH => MethodFilter::PATCH,
        Method::DELETE => MethodFilter::DELETE,
        _ => MethodFilter::GET,
    };
    let handler = on(filter, handler);
    Route {
        method: method.clone(),
        path,
        access,
        streams: false,
        handler,
    }
}

impl Route {
    fn streaming(mut self) -> Self {
        self.streams = true;
        self
    }
}

/// The API and the pages, complete with all layers.
pub fn router(state: AppState) -> Router {
    let tls = state.config.tls;
    harden(api(state), tls)
}

/// As [`router`] without the outermost layers, to be merged with other doors and then hardened
/// together with them.
pub fn api(state: AppState) -> Router {
    let limited = middleware::from_fn_with_state(state.clone(), limit_time);
    let mut router = Router::new();
    for route in routes() {
        let mut handler = route.handler;
        if !route.streams {
            handler = handler.route_layer(limited.clone());
        }
        let guard = auth::RequireAccess {
            auth: state.auth.clone(),
            access: route.access,
        };
        router = router.route(route.path, handler.route_layer(guard));
    }
    router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(elsewhere)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(state)
}

/// Drops a request that takes too long, and with it the work it asked for.
async fn limit_time(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(state.config.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = "the request took too long and was dropped";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            ApiError::new(status, "timeout", detail)
                .retry_after(10)
                .into_response()
        }
    }
}

async fn method_not_allowed() -> ApiError {
    let detail = "this address does not answer that method";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

/// Everything that is no route: files of the pages, addresses inside the application, and
/// nothing. Under `/api` strangers are not told what exists.
async fn elsewhere(State(state): State<AppState>, request: Request) -> Response {
    let (path, headers) = (request.uri().path(), request.headers());
    if path == "/api" || path.starts_with("/api/") {
        return match state.auth.authenticate(headers).await {
            Ok(_) => ApiError::not_found("address").into_response(),
            Err(refusal) => refusal.into_response(),
        };
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return method_not_allowed().await.into_response();
    }
    if let Some(file) = assets::file(path, headers) {
        return file;
    }
    let is_page = !path.starts_with("/ui/") && !path.starts_with("/v1/") && !path.contains('.');
    if is_page {
        assets::index(headers)
    } else {
        ApiError::not_found("address").into_response()
    }
}

/// What time it is, nanoseconds since the epoch.
pub(crate) fn now_ns() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
