//! What every answer has in common: headers, problems, limits, and the description of it all.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::routing::get;
use harness::{Answer, Server, assert_problem};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use watchfire_store::meta::Role;
use watchfire_web::headers::CONTENT_SECURITY_POLICY;
use watchfire_web::{Hooks, WebConfig, routes};

fn assert_headers(headers: &axum::http::HeaderMap, what: &str) {
    let expected = [
        ("content-security-policy", CONTENT_SECURITY_POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
    ];
    for (name, value) in expected {
        assert_eq!(headers.get(name).unwrap(), value, "{what}: {name}");
    }
    for absent in ["server", "x-powered-by", "access-control-allow-origin"] {
        assert!(headers.get(absent).is_none(), "{what}: {absent}");
    }
}

#[tokio::test]
async fn every_route_answers_with_the_security_headers() {
    let server = Server::start().await;
    for route in routes() {
        let path = route.path.replace("{kind}", "user").replace(['{', '}'], "");
        let what = format!("{} {path}", route.method);
        for token in ["", server.admin.as_str()] {
            let call = server.call(route.method.clone(), &path);
            let call = if token.is_empty() {
                call
            } else {
                call.bearer(token)
            };
            let call = call.header("origin", "http://elsewhere.example");
            let (status, headers, body) = call.open().await;
            assert_headers(&headers, &what);
            let kind = headers
                .get("content-type")
                .map_or("", |v| v.to_str().unwrap());
            assert!(!kind.contains("html"), "{what}: {kind}");
            assert_eq!(headers.get("cache-control").unwrap(), "no-store", "{what}");
            if status.is_client_error() || status.is_server_error() {
                let body = body.collect().await.unwrap().to_bytes();
                assert_problem(
                    &Answer {
                        status,
                        headers,
                        body,
                    },
                    &what,
                );
            }
        }
    }
    for path in ["/", "/alerts/abc", "/ui/none.js", "/nothing.html"] {
        let answer = server.get(path).send().await;
        assert_headers(&answer.headers, path);
    }
}

#[tokio::test]
async fn pages_are_served_with_their_types_and_tags() {
    let server = Server::start().await;
    let page = server.get("/").send().await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (StatusCode::OK, "text/html; charset=utf-8")
    );
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    let files: Vec<&str> = text
        .split('"')
        .filter(|part| part.starts_with("/ui/"))
        .collect();
    assert!(!files.is_empty(), "the page loads its files from /ui/");
    for file in files {
        let answer = server.get(file).send().await;
        assert_eq!(answer.status, StatusCode::OK, "{file}");
        let kind = answer.header("content-type");
        let fits = [
            (".js", "text/javascript"),
            (".css", "text/css"),
            (".svg", "image/svg+xml"),
        ];
        assert!(
            fits.iter()
                .any(|(end, k)| file.ends_with(end) && kind.starts_with(k)),
            "{file}: {kind}"
        );
        let tag = answer.header("etag");
        let again = server.get(file).header("if-none-match", tag).send().await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{file}");
        assert!(again.body.is_empty());
        assert_headers(&again.headers, file);
    }
    for page in [
        "/search",
        "/alerts",
        "/alerts/0123",
        "/setup?token=x",
        "/login",
        "/entities/ip/10.0.0.1",
    ] {
        let answer = server.get(page).send().await;
        let expected = if page.contains('.') {
            StatusCode::NOT_FOUND
        } else {
            StatusCode::OK
        };
        assert_eq!(answer.status, expected, "{page}");
    }
    for path in [
        "/ui/../Cargo.toml",
        "/ui/%2e%2e/Cargo.toml",
        "/ui/",
        "/ui/none.js",
        "/v1/logs",
    ] {
        let answer = server.get(path).send().await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    let posted = server.call(Method::POST, "/alerts").send().await;
    assert_eq!(posted.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn bad_requests_say_what_is_wrong() {
    let server = Server::start().await;
    let table = [
        ("/api/v1/search?q=a:(", 400, "invalid_query"),
        ("/api/v1/search?nonsense=1", 400, "invalid_parameter"),
        ("/api/v1/search?limit=0", 400, "invalid_parameter"),
        ("/api/v1/search?limit=many", 400, "invalid_parameter"),
        ("/api/v1/search?limit=10001", 400, "invalid_parameter"),
        ("/api/v1/search?from=soon", 400, "invalid_parameter"),
        (
            "/api/v1/search?from=now&to=now-1h",
            400,
            "invalid_parameter",
        ),
        ("/api/v1/search?cursor=zz", 400, "invalid_cursor"),
        ("/api/v1/search?order=sideways", 400, "invalid_parameter"),
        ("/api/v1/search?q=a&q=b", 400, "invalid_parameter"),
        ("/api/v1/histogram?buckets=0", 400, "invalid_parameter"),
        ("/api/v1/facets", 400, "invalid_parameter"),
        ("/api/v1/facets?fields=,", 400, "invalid_parameter"),
        ("/api/v1/facets?fields=a&top=0", 400, "invalid_parameter"),
        ("/api/v1/export?format=xlsx", 400, "invalid_parameter"),
        ("/api/v1/tail?q=a:(", 400, "invalid_query"),
        ("/api/v1/alerts?status=lost", 400, "invalid_parameter"),
        ("/api/v1/alerts?severity=bad", 400, "invalid_parameter"),
        ("/api/v1/alerts/none", 404, "not_found"),
        ("/api/v1/entities/planet/x", 404, "not_found"),
        ("/api/v1/channels/none", 404, "not_found"),
        ("/api/v1/channels/none/deliveries", 404, "not_found"),
        ("/api/v1/rules/none", 404, "not_found"),
        ("/api/v1/audit?before=x", 400, "invalid_parameter"),
    ];
    for (path, status, code) in table {
        let answer = server.get(path).bearer(&server.admin).send().await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (status, code),
            "{path}"
        );
        assert_problem(&answer, path);
        let positioned = answer.json()["position"].is_u64();
        assert_eq!(positioned, code == "invalid_query", "{path}");
    }
}

#[tokio::test]
async fn bad_bodies_say_what_is_wrong() {
    let server = Server::start().await;
    let post = |path: &str| server.call(Method::POST, path).bearer(&server.admin);
    let sql = "/api/v1/sql";
    let unknown = post(sql)
        .json(&json!({ "sql": "SELECT 1", "admin": true }))
        .send()
        .await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.code().as_str()),
        (422, "invalid_field")
    );
    let missing = post(sql).json(&json!({})).send().await;
    assert_eq!(
        (missing.status.as_u16(), missing.code().as_str()),
        (422, "invalid_field")
    );
    let plain = post(sql)
        .json(&json!({ "sql": "SELECT 1" }))
        .header("content-type", "text/plain");
    let plain = plain.send().await;
    assert_eq!(
        (plain.status.as_u16(), plain.code().as_str()),
        (415, "unsupported_media_type")
    );
    let large = post(sql)
        .json(&json!({ "sql": "x".repeat(2 << 20) }))
        .send()
        .await;
    assert_eq!(
        (large.status.as_u16(), large.code().as_str()),
        (413, "body_too_large")
    );
    let channel = json!({ "name": "a", "kind": "webhook", "url": "http://127.0.0.1/" });
    let refused = post("/api/v1/channels").json(&channel).send().await;
    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (422, "target_not_allowed")
    );
    for answer in [unknown, missing, plain, large, refused] {
        assert_problem(&answer, "body");
    }
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_next_request_is_fine() {
    async fn boom() -> &'static str {
        panic!("secret detail")
    }
    let router = Router::new()
        .route("/boom", get(boom))
        .route("/fine", get(|| async { "ok" }));
    let router = watchfire_web::harden(router, false);
    let call = async |path: &str| {
        let request = axum::http::Request::get(path)
            .body(axum::body::Body::empty())
            .unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    };
    let answer = call("/boom").await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (500, "internal")
    );
    assert_problem(&answer, "panic");
    assert_headers(&answer.headers, "panic");
    assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
    assert_eq!(call("/fine").await.status, StatusCode::OK);
}

#[tokio::test]
async fn streams_have_seats_and_give_them_back() {
    let config = WebConfig {
        max_tails: 1,
        ..WebConfig::default()
    };
    let server = Server::start_with(Hooks::default(), config).await;
    let tail = || server.get("/api/v1/tail").bearer(&server.read);
    let (status, headers, first) = tail().open().await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers.get("content-type").unwrap(), "text/event-stream");
    let refused = tail().send().await;
    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (429, "too_many_streams")
    );
    assert_eq!(refused.header("retry-after"), "5");
    drop(first);
    assert_eq!(tail().open().await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_revoked() {
    let server = Server::start().await;
    let (_, _, by_token) = server.get("/api/v1/tail").bearer(&server.read).open().await;
    let cookie = server.session("mira", Role::Viewer).await;
    let (_, _, by_session) = server.get("/api/v1/tail").browser(&cookie).open().await;
    let id = server.read.split('_').nth(1).unwrap();
    let path = format!("/api/v1/tokens/{id}");
    let gone = server
        .call(Method::DELETE, &path)
        .bearer(&server.admin)
        .send()
        .await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let ended = tokio::time::timeout(Duration::from_secs(10), by_token.collect()).await;
    assert!(ended.is_ok(), "the token's stream goes on");
    server
        .call(Method::DELETE, "/api/v1/session")
        .browser(&cookie)
        .send()
        .await;
    let ended = tokio::time::timeout(Duration::from_secs(10), by_session.collect()).await;
    assert!(ended.is_ok(), "the session's stream goes on");
}

#[tokio::test]
async fn health_says_no_more_than_it_must() {
    let hooks = Hooks {
        ready: Box::new(|| Err("secret reason".to_owned())),
        ..Hooks::default()
    };
    let server = Server::start_with(hooks, WebConfig::default()).await;
    let live = server.get("/livez").send().await;
    assert_eq!(
        (live.status, live.body.as_ref()),
        (StatusCode::OK, b"ok".as_ref())
    );
    let ready = server.get("/readyz").send().await;
    assert_eq!(
        (ready.status.as_u16(), ready.code().as_str()),
        (503, "not_ready")
    );
    assert!(!String::from_utf8_lossy(&ready.body).contains("secret"));
}

#[tokio::test]
async fn the_description_names_every_route_and_nothing_else() {
    let document: Value = serde_json::to_value(watchfire_web::openapi_document()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut described = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(
                operation["summary"].is_string(),
                "{method} {path} has no sentence"
            );
            described.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let listed: BTreeSet<String> = routes()
        .iter()
        .map(|r| format!("{} {}", r.method, r.path))
        .collect();
    assert_eq!(described, listed);
    let text = document.to_string();
    for (at, _) in text.match_indices("\"$ref\":\"#/components/schemas/") {
        let name = text[at..]
            .split('/')
            .nth(3)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name} is not described"
        );
    }
}
