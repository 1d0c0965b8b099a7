//! Who may do what: every route, every method, every kind of caller, from the router's own list.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

use axum::http::{Method, StatusCode};
use harness::{Answer, Call, Server, assert_problem};
use serde_json::json;
use watchfire_store::meta::Role;
use watchfire_web::{Access, Scope, routes};

/// Kinds of callers, with the scopes that let them through.
const CALLERS: [(&str, &[Scope]); 6] = [
    ("nobody", &[]),
    ("a wrong token", &[]),
    ("ingest", &[Scope::Ingest]),
    ("read", &[Scope::Read]),
    ("analyst", &[Scope::Read, Scope::Triage]),
    (
        "admin",
        &[Scope::Ingest, Scope::Read, Scope::Triage, Scope::Admin],
    ),
];

fn dress<'a>(call: Call<'a>, server: &Server, who: &str, analyst: &str) -> Call<'a> {
    match who {
        "nobody" => call,
        "a wrong token" => call.bearer("wf_000000000000_0000000000000000000000000000000000000000"),
        "ingest" => call.bearer(&server.ingest),
        "read" => call.bearer(&server.read),
        "analyst" => call.browser(analyst),
        _ => call.bearer(&server.admin),
    }
}

fn expected(access: Access, who: &str, held: &[Scope]) -> Option<&'static str> {
    let known = !["nobody", "a wrong token"].contains(&who);
    match access {
        Access::Public => None,
        _ if !known => Some("unauthenticated"),
        Access::Anyone => None,
        Access::Needs(scope) | Access::LocalOr(scope) => {
            (!held.contains(&scope)).then_some("missing_scope")
        }
    }
}

async fn status_and_code(call: Call<'_>) -> (StatusCode, String) {
    let (status, headers, body) = call.open().await;
    let is_problem = headers
        .get("content-type")
        .is_some_and(|t| t == "application/problem+json");
    if !is_problem {
        return (status, String::new());
    }
    let body = http_body_util::BodyExt::collect(body)
        .await
        .unwrap()
        .to_bytes();
    let answer = Answer {
        status,
        headers,
        body,
    };
    (status, answer.code())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_asks_for_what_its_line_says() {
    let server = Server::start().await;
    let analyst = server.session("ana", Role::Analyst).await;
    let mut routes = routes();
    // Logging out ends the analyst's session, so it comes last.
    routes.sort_by_key(|r| r.method == Method::DELETE && r.path == "/api/v1/session");
    for route in &routes {
        let path = route.path.replace("{kind}", "user");
        let path = path.replace("{id}", "none").replace("{value}", "none");
        let path = path
            .replace("{delivery}", "none")
            .replace("/facets", "/facets?fields=a");
        for (who, held) in CALLERS {
            let call = server.call(route.method.clone(), &path);
            let call = if route.method == Method::GET {
                call
            } else {
                call.json(&json!({}))
            };
            let (status, code) = status_and_code(dress(call, &server, who, &analyst)).await;
            let what = format!("{} {} as {who}: {status} {code}", route.method, route.path);
            let refusal = ["unauthenticated", "missing_scope", "cross_site"];
            let refused = Some(code.as_str()).filter(|code| refusal.contains(code));
            assert_eq!(refused, expected(route.access, who, held), "{what}");
            let forbidden = status == StatusCode::FORBIDDEN;
            assert_eq!(forbidden, code == "missing_scope", "{what}");
        }
    }
}

#[tokio::test]
async fn what_is_not_listed_is_refused() {
    let server = Server::start().await;
    for path in [
        "/api/v1/nothing",
        "/api",
        "/api/v2/search",
        "/api/v1/search/",
        "/api/v1/../x",
    ] {
        let stranger = server.get(path).send().await;
        assert_eq!(
            (stranger.status, stranger.code().as_str()),
            (StatusCode::UNAUTHORIZED, "unauthenticated"),
            "{path}"
        );
        assert_problem(&stranger, path);
        let admin = server.get(path).bearer(&server.admin).send().await;
        assert_eq!(
            (admin.status, admin.code().as_str()),
            (StatusCode::NOT_FOUND, "not_found"),
            "{path}"
        );
    }
    // A method that a path does not have says nothing about the data.
    let wrong = server
        .call(Method::PUT, "/api/v1/search")
        .bearer(&server.admin)
        .send()
        .await;
    assert_eq!(
        (wrong.status, wrong.code().as_str()),
        (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")
    );
    assert_problem(&wrong, "PUT");
    let trace = server
        .call(Method::TRACE, "/api/v1/search")
        .bearer(&server.admin)
        .send()
        .await;
    assert_eq!(trace.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn metrics_and_the_description_are_open_on_this_machine_only() {
    let server = Server::start().await;
    for path in ["/metrics", "/api/openapi.json"] {
        let local = server.get(path).from("127.0.0.1:9").send().await;
        assert_eq!(local.status, StatusCode::OK, "{path}");
        let v4_in_v6 = server.get(path).from("[::ffff:127.0.0.1]:9").send().await;
        assert_eq!(v4_in_v6.status, StatusCode::OK, "{path}");
        let remote = server.get(path).send().await;
        assert_eq!(remote.status, StatusCode::UNAUTHORIZED, "{path}");
        for header in ["x-forwarded-for", "forwarded", "x-real-ip", "via"] {
            let proxied = server
                .get(path)
                .from("127.0.0.1:9")
                .header(header, "for=x")
                .send()
                .await;
            assert_eq!(
                proxied.status,
                StatusCode::UNAUTHORIZED,
                "{path} with {header}"
            );
        }
        // A forwarding header never makes a stranger local.
        let spoofed = server
            .get(path)
            .header("x-forwarded-for", "127.0.0.1")
            .send()
            .await;
        assert_eq!(spoofed.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn a_token_is_accepted_in_every_form_and_dies_at_once() {
    use base64::Engine;
    let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    let server = Server::start().await;
    let (id, key) = server
        .read
        .strip_prefix("wf_")
        .unwrap()
        .split_once('_')
        .unwrap();
    let forms = [
        format!("Bearer {}", server.read),
        format!("Basic {}", encode(format!("anyone:{}", server.read))),
        format!("ApiKey {}", encode(format!("{id}:{key}"))),
        format!("ApiKey {}", server.read),
    ];
    for form in &forms {
        let answer = server
            .get("/api/v1/session")
            .header("authorization", form)
            .send()
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{form}");
        assert_eq!(answer.json()["name"], "read");
        assert_eq!(answer.json()["scopes"], json!(["read"]));
    }
    let wrong = format!("Bearer wf_{id}_{}", "0".repeat(key.len()));
    let answer = server
        .get("/api/v1/session")
        .header("authorization", &wrong)
        .send()
        .await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.header("www-authenticate"), "Bearer");

    let path = format!("/api/v1/tokens/{id}");
    let gone = server
        .call(Method::DELETE, &path)
        .bearer(&server.admin)
        .send()
        .await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    for form in &forms {
        let answer = server
            .get("/api/v1/session")
            .header("authorization", form)
            .send()
            .await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{form}");
    }
}

#[tokio::test]
async fn the_environment_token_works_and_no_secret_is_stored() {
    let server = Server::start().await;
    let text = "A-text/that.somebody+chose=for:automation!";
    server.state.auth.ensure_admin_token(text).await.unwrap();
    server.state.auth.ensure_admin_token(text).await.unwrap();
    assert!(server.state.auth.ensure_admin_token("short").await.is_err());
    let answer = server.get("/api/v1/tokens").bearer(text).send().await;
    assert_eq!(answer.status, StatusCode::OK);
    let body = String::from_utf8(answer.body.to_vec()).unwrap();
    assert_eq!(body.matches("environment").count(), 1, "made once: {body}");
    let file = std::fs::read(server.meta.path()).unwrap();
    let wal = server.meta.path().with_extension("sqlite-wal");
    let stored = [file, std::fs::read(wal).unwrap_or_default()].concat();
    for secret in [text, &server.read, &server.admin] {
        let key = secret.rsplit('_').next().unwrap().as_bytes();
        assert!(
            !stored.windows(key.len()).any(|w| w == key),
            "a secret is on disk"
        );
        assert!(!body.contains(secret));
    }
}

#[tokio::test]
async fn an_expired_token_is_refused_and_new_ones_expire() {
    let server = Server::start().await;
    let make = |body: serde_json::Value| {
        server
            .call(Method::POST, "/api/v1/tokens")
            .bearer(&server.admin)
            .json(&body)
            .send()
    };
    let table = [
        (
            json!({ "name": "a", "scopes": ["read"], "expires": "now-1s" }),
            422,
        ),
        (
            json!({ "name": "a", "scopes": ["read"], "expires": "tomorrow" }),
            400,
        ),
        (json!({ "name": "a", "scopes": [] }), 422),
        (json!({ "name": "a", "scopes": ["root"] }), 422),
        (
            json!({ "name": "a", "scopes": ["read"], "role": "admin" }),
            422,
        ),
        (json!({ "name": "", "scopes": ["read"] }), 422),
        (json!({ "name": "a", "scopes": ["read"] }), 201),
        (
            json!({ "name": "b", "scopes": ["ingest"], "expires": "never" }),
            201,
        ),
    ];
    for (body, status) in table {
        let what = body.to_string();
        let answer = make(body).await;
        assert_eq!(answer.status.as_u16(), status, "{what}: {answer:?}");
        if status == 201 {
            assert!(answer.json()["token"].as_str().unwrap().starts_with("wf_"));
            assert_eq!(
                answer.json()["expires"].is_null(),
                what.contains("never"),
                "{what}"
            );
        }
    }
}
