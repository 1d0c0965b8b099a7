//! What every answer carries, errors and all (OWASP ASVS 5.0 3.4), and the catching of panics.

use std::any::Any;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;

use crate::error::ApiError;

/// Pages may load what this server gives them, and nothing else.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
    base-uri 'none'; frame-ancestors 'none'; form-action 'self'; \
    require-trusted-types-for 'script'";

const ALWAYS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Puts the outermost layers around a router: panics become problems, every answer is counted
/// and gets the security headers. Applying it twice does no harm.
pub fn harden(router: Router, tls: bool) -> Router {
    router
        .layer(middleware::from_fn(observe))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(move |request, next| {
            set_headers(request, next, tls)
        }))
}

async fn set_headers(request: Request, next: Next, tls: bool) -> Response {
    if request.method() == Method::TRACE {
        let refusal = ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "TRACE is not answered",
        );
        let mut response = refusal.into_response();
        put_headers(response.headers_mut(), tls);
        return response;
    }
    let mut response = next.run(request).await;
    put_headers(response.headers_mut(), tls);
    response
}

fn put_headers(headers: &mut HeaderMap, tls: bool) {
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if tls {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    // Data is never cached; only the embedded pages, which have tags, may be.
    if !headers.contains_key(header::ETAG) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    headers.remove(header::SERVER);
}

/// Counts and times requests by route; the route is a template, so its label is bounded.
async fn observe(request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("(none)", MatchedPath::as_str).to_owned();
    let started = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::counter!("watchfire_http_requests_total", "route" => route.clone(), "status" => status)
        .increment(1);
    metrics::histogram!("watchfire_http_request_seconds", "route" => route)
        .record(started.elapsed().as_secs_f64());
    response
}

fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let text = cause.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| cause.downcast_ref::<String>().cloned());
    metrics::counter!("watchfire_http_panics_total").increment(1);
    let text = text.unwrap_or_else(|| "of an unknown kind".to_owned());
    ApiError::internal(format!("panic: {text}")).into_response()
}
