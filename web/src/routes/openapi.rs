//! `GET /api/openapi.json`: the description of this API for programs, OpenAPI 3.1.

use axum::Json;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};

/// Collects what the handlers say of themselves.
#[derive(OpenApi)]
#[openapi(
    info(title = "Watchfire", description = "Security event log: search, alerts, management. \
        Errors are RFC 9457 problem documents with a stable `code`."),
    paths(
        super::search::search, super::histogram::histogram, super::facets::facets,
        super::fields::fields, super::sql::sql, super::tail::tail, super::export::export,
        super::dead_letters::list,
        super::alerts::list, super::alerts::get, super::alerts::change, super::alerts::comment,
        super::entities::entity, super::entities::learning,
        super::erasures::create, super::erasures::list, super::erasures::get,
        super::channels::list, super::channels::create, super::channels::get,
        super::channels::change, super::channels::delete, super::channels::rotate,
        super::channels::test, super::channels::deliveries, super::channels::delivery,
        super::channels::replay,
        super::tokens::list, super::tokens::create, super::tokens::revoke,
        super::users::list, super::users::create, super::users::change, super::users::delete,
        super::rules::list, super::rules::get, super::rules::check, super::rules::reload,
        super::rules::detectors, super::rules::settings::change, super::rules::health::health,
        super::rules::explain::explain, super::rules::explain::explain_all,
        super::backtest::backtest,
        super::intel::list,
        super::exceptions::list, super::exceptions::create, super::exceptions::preview,
        super::exceptions::get, super::exceptions::change, super::exceptions::delete,
        super::status::status, super::audit::audit, super::backups::create,
        super::session::whoami, super::session::login, super::session::logout,
        super::session::setup,
        super::health::livez, super::health::readyz, super::health::metrics, openapi,
    ),
    components(schemas(super::export::Format, super::search::SortOrder)),
    security(("token" = []), ("session" = [])),
)]
struct Api;

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Api::openapi();
    let components = document.components.get_or_insert_default();
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme("token", SecurityScheme::Http(token));
    let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("wf")));
    components.add_security_scheme("session", cookie);
    document
}

/// This document.
#[utoipa::path(get, path = "/api/openapi.json", tag = "operations", responses(
    (status = 200, description = "OpenAPI 3.1", body = Object),
))]
pub async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}
