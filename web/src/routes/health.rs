//! `/livez`, `/readyz` and `/metrics`: for supervisors and for Prometheus.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use crate::error::{ApiError, Problem};
use crate::state::AppState;

/// Is the process answering?
#[utoipa::path(get, path = "/livez", tag = "operations", responses(
    (status = 200, description = "ok", body = String),
))]
pub async fn livez() -> &'static str {
    "ok"
}

/// Can it do its work? The reasons stay in the log and the metrics: anybody may ask this.
#[utoipa::path(get, path = "/readyz", tag = "operations", responses(
    (status = 200, description = "ok", body = String),
    (status = 503, description = "not_ready", body = Problem),
))]
pub async fn readyz(State(state): State<AppState>) -> Result<&'static str, ApiError> {
    let log_failed = state.store.status().log_failed;
    let ready = if log_failed {
        Err("the log cannot write".to_owned())
    } else {
        Ok(())
    };
    match ready.and_then(|()| (state.hooks.ready)()) {
        Ok(()) => Ok("ok"),
        Err(reason) => {
            tracing::warn!(%reason, "not ready");
            let refusal = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "not ready");
            Err(refusal.retry_after(5))
        }
    }
}

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses(
    (status = 200, description = "Metrics", body = String, content_type = "text/plain"),
))]
pub async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    let text = (state.hooks.render_metrics)();
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
}
