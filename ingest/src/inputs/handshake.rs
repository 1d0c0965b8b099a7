//! What Elasticsearch clients ask before they ship: who are you, are you well, are templates set.
//!
//! The answers are constant and change nothing. Clients refuse a server that does not call itself
//! Elasticsearch in a header, so the answers of these doors do.

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde_json::{Value, json};

use crate::Ingest;

/// The version that clients see: recent, so that none refuses an old server.
const VERSION: &str = "9.1.0";

/// The header by which clients know the product.
const PRODUCT: &str = "x-elastic-product";

/// Vendor media type of Elasticsearch clients.
const VENDOR: &str = "application/vnd.elasticsearch+";

pub(super) fn routes(router: Router<Ingest>) -> Router<Ingest> {
    let mut doors = Router::new()
        .route("/elastic", get(root))
        .route("/elastic/", get(root));
    for base in ["", "/elastic"] {
        let at = |path: &str| format!("{base}{path}");
        doors = doors
            .route(&at("/_license"), get(license))
            .route(&at("/_xpack"), get(xpack))
            .route(&at("/_cluster/health"), get(health))
            .route(&at("/_nodes/http"), get(nodes))
            .route(&at("/_nodes/_all/http"), get(nodes))
            .route(&at("/_index_template/{name}"), any(no_op))
            .route(&at("/_component_template/{name}"), any(no_op))
            .route(&at("/_template/{name}"), any(no_op))
            .route(&at("/_ilm/policy/{name}"), any(no_op))
            .route(&at("/_data_stream/{name}"), any(no_op))
            .route(&at("/_ingest/pipeline/{name}"), any(no_op));
    }
    router.merge(doors.layer(middleware::from_fn(as_elasticsearch)))
}

/// Does the client expect Elasticsearch at `/`, rather than a web page?
pub fn is_elastic_client(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| {
        headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or("")
            .to_ascii_lowercase()
    };
    let accept = text(header::ACCEPT);
    if accept.contains("text/html") {
        return false;
    }
    accept.contains("json")
        || accept.contains(VENDOR)
        || headers.contains_key("x-elastic-client-meta")
        || [
            "elastic",
            "opensearch",
            "beat",
            "logstash",
            "vector",
            "fluent",
        ]
        .iter()
        .any(|name| text(header::USER_AGENT).contains(name))
}

/// `GET /` as Elasticsearch answers it.
pub async fn root(headers: HeaderMap) -> Response {
    let body = json!({
        "name": "watchfire",
        "cluster_name": "watchfire",
        "cluster_uuid": "d2F0Y2hmaXJlLXdhdGNoZg",
        "version": {
            "number": VERSION,
            "build_flavor": "default",
            "build_type": "docker",
            "build_hash": "0000000000000000000000000000000000000000",
            "build_date": "2025-01-01T00:00:00.000Z",
            "build_snapshot": false,
            "lucene_version": "10.2.2",
            "minimum_wire_compatibility_version": "8.19.0",
            "minimum_index_compatibility_version": "8.0.0",
        },
        "tagline": "You Know, for Search",
    });
    dress(axum::Json(body).into_response(), &headers)
}

async fn license() -> Response {
    let license = json!({
        "status": "active",
        "uid": "00000000-0000-0000-0000-000000000000",
        "type": "basic",
        "issue_date": "2025-01-01T00:00:00.000Z",
        "issue_date_in_millis": 1_735_689_600_000_i64,
        "max_nodes": null,
        "issued_to": "watchfire",
        "issuer": "watchfire",
        "start_date_in_millis": -1,
    });
    axum::Json(json!({ "license": license })).into_response()
}

async fn xpack() -> Response {
    let feature = json!({"available": true, "enabled": true});
    let features = json!({"ilm": feature, "data_streams": feature});
    let license = json!({"mode": "basic", "type": "basic", "status": "active"});
    axum::Json(json!({"license": license, "features": features})).into_response()
}

/// Green while events are taken, red otherwise.
async fn health(State(ingest): State<Ingest>) -> Response {
    let status = if ingest.admit().is_ok() {
        "green"
    } else {
        "red"
    };
    let body = json!({
        "cluster_name": "watchfire",
        "status": status,
        "timed_out": false,
        "number_of_nodes": 1,
        "number_of_data_nodes": 1,
        "active_primary_shards": 1,
        "active_shards": 1,
        "relocating_shards": 0,
        "initializing_shards": 0,
        "unassigned_shards": 0,
        "number_of_pending_tasks": 0,
        "active_shards_percent_as_number": 100.0,
    });
    axum::Json(body).into_response()
}

/// Without addresses, so that clients that look for more nodes stay with the one they have.
async fn nodes() -> Response {
    let none = json!({"total": 1, "successful": 1, "failed": 0});
    axum::Json(json!({"_nodes": none, "cluster_name": "watchfire", "nodes": {}})).into_response()
}

/// Says yes to whatever a client sets up. What it asks for exists: then it sets up nothing.
async fn no_op(method: Method, Path(name): Path<String>) -> Response {
    let body: Value = match method {
        Method::HEAD => return StatusCode::OK.into_response(),
        Method::GET => json!({ name: {} }),
        _ => json!({"acknowledged": true}),
    };
    axum::Json(body).into_response()
}

/// Gives every answer of these doors the look that clients check.
pub(super) async fn as_elasticsearch(request: Request, next: Next) -> Response {
    let headers = request.headers().clone();
    dress(next.run(request).await, &headers)
}

/// Names the product, and echoes the vendor media type with its version.
fn dress(mut response: Response, asked: &HeaderMap) -> Response {
    response
        .headers_mut()
        .insert(PRODUCT, HeaderValue::from_static("Elasticsearch"));
    let vendor = [header::ACCEPT, header::CONTENT_TYPE]
        .iter()
        .filter_map(|name| asked.get(name)?.to_str().ok())
        .find(|value| value.starts_with(VENDOR));
    let compatible = vendor
        .and_then(|value| value.rsplit_once("compatible-with="))
        .map(|(_, version)| {
            version
                .chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
        })
        .filter(|version| !version.is_empty());
    if let Some(version) = compatible
        && let Ok(value) = HeaderValue::from_str(&format!("{VENDOR}json;compatible-with={version}"))
        && response.headers().contains_key(header::CONTENT_TYPE)
    {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}
