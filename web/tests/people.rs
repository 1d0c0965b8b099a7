//! People: the one-time link, passwords, sessions, and what another site cannot do with them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

use axum::http::{Method, StatusCode};
use harness::{PASSWORD, Server};
use serde_json::{Value, json};
use watchfire_store::meta::Role;
use watchfire_web::{Hooks, WebConfig};

#[tokio::test]
async fn the_setup_link_makes_one_admin_once() {
    let server = Server::start().await;
    assert!(server.state.auth.needs_setup().await.unwrap());
    let link = server.state.auth.create_setup_link().await.unwrap();
    let token = link.strip_prefix("/setup?token=").unwrap();
    let page = server.get(&link).send().await;
    assert_eq!(
        page.status,
        StatusCode::OK,
        "looking at the page uses nothing up"
    );
    let setup = |token: &str, user: &str, password: &str| {
        let body = json!({ "token": token, "user": user, "password": password });
        server
            .call(Method::POST, "/api/v1/setup")
            .json(&body)
            .send()
    };
    assert_eq!(
        setup("wrong", "mira", PASSWORD).await.code(),
        "setup_token_invalid"
    );
    assert_eq!(
        setup(token, "mira", "short").await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(
        setup(token, "mi ra", PASSWORD).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );

    let done = setup(token, "Mira", PASSWORD).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    assert_eq!(done.json()["name"], "mira");
    assert_eq!(done.json()["role"], "admin");
    let users = server
        .get("/api/v1/users")
        .browser(&done.cookie())
        .send()
        .await;
    assert_eq!(users.status, StatusCode::OK);
    assert!(!server.state.auth.needs_setup().await.unwrap());
    assert_eq!(
        setup(token, "eve", PASSWORD).await.code(),
        "setup_token_invalid"
    );
}

#[tokio::test]
async fn sessions_begin_anew_and_end_at_once() {
    let server = Server::start().await;
    let first = server.session("mira", Role::Viewer).await;
    assert!(
        first.starts_with("wf=") && first.len() == 3 + 64,
        "256 bits in hex: {first}"
    );
    let body = json!({ "user": "mira", "password": PASSWORD });
    let planted = format!("wf={}", "a".repeat(64));
    let login = server
        .call(Method::POST, "/api/v1/session")
        .json(&body)
        .header("cookie", &planted);
    let second = login.send().await;
    assert!(
        second
            .header("set-cookie")
            .ends_with("Path=/; HttpOnly; SameSite=Strict; Max-Age=43200")
    );
    assert_ne!(second.cookie(), planted);
    let as_planted = server.get("/api/v1/session").browser(&planted).send().await;
    assert_eq!(as_planted.status, StatusCode::UNAUTHORIZED);

    // Logging in replaces the session that the browser had.
    let again = server.call(Method::POST, "/api/v1/session").json(&body);
    let third = again
        .header("cookie", &second.cookie())
        .send()
        .await
        .cookie();
    let old = server
        .get("/api/v1/session")
        .browser(&second.cookie())
        .send()
        .await;
    assert_eq!(old.status, StatusCode::UNAUTHORIZED);

    let out = server
        .call(Method::DELETE, "/api/v1/session")
        .browser(&third)
        .send()
        .await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    let after = server.get("/api/v1/session").browser(&third).send().await;
    assert_eq!(after.status, StatusCode::UNAUTHORIZED);
    let other = server.get("/api/v1/session").browser(&first).send().await;
    assert_eq!(other.status, StatusCode::OK, "other sessions go on");
    assert_eq!(other.json()["scopes"], json!(["read"]));
}

#[tokio::test]
async fn a_change_of_the_user_ends_their_sessions() {
    let server = Server::start().await;
    let changes = [
        ("role", json!({ "role": "analyst" })),
        ("disabled", json!({ "disabled": true })),
        ("password", json!({ "password": "another long password" })),
    ];
    for (name, change) in changes {
        let cookie = server.session(name, Role::Viewer).await;
        let users = server
            .get("/api/v1/users")
            .bearer(&server.admin)
            .send()
            .await
            .json();
        let users = users["users"].as_array().unwrap();
        let id = users.iter().find(|u| u["name"] == name).unwrap()["id"]
            .as_str()
            .unwrap();
        let path = format!("/api/v1/users/{id}");
        // The last admin must stay, so there has to be one.
        let _ = server
            .state
            .auth
            .create_user("root", Role::Admin, None)
            .await;
        let call = server
            .call(Method::PATCH, &path)
            .bearer(&server.admin)
            .json(&change);
        let changed = call.send().await;
        assert_eq!(changed.status, StatusCode::OK, "{name}: {changed:?}");
        let after = server.get("/api/v1/session").browser(&cookie).send().await;
        assert_eq!(after.status, StatusCode::UNAUTHORIZED, "{name}");
        let gone = server
            .call(Method::DELETE, &path)
            .bearer(&server.admin)
            .send()
            .await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT, "{name}");
    }
}

#[tokio::test]
async fn wrong_logins_read_the_same_and_get_slower() {
    let server = Server::start().await;
    server.session("mira", Role::Viewer).await;
    let mut texts = Vec::new();
    for (user, password) in [
        ("mira", "not the password"),
        ("nobody", PASSWORD),
        ("mira", ""),
    ] {
        let body = json!({ "user": user, "password": password });
        let answer = server
            .call(Method::POST, "/api/v1/session")
            .json(&body)
            .send()
            .await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(answer.header("set-cookie").is_empty());
        texts.push(answer.body);
    }
    assert!(texts.iter().all(|t| *t == texts[0]));
    let body = json!({ "user": "mira", "password": "not the password" });
    let mut slowed = None;
    for _ in 0..15 {
        let answer = server
            .call(Method::POST, "/api/v1/session")
            .json(&body)
            .send()
            .await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            slowed = Some(answer);
            break;
        }
    }
    let slowed = slowed.expect("guessing got slower");
    assert_eq!(slowed.code(), "login_backoff");
    assert!(slowed.header("retry-after").parse::<u64>().unwrap() >= 1);
    let right = json!({ "user": "mira", "password": PASSWORD });
    let elsewhere = server
        .call(Method::POST, "/api/v1/session")
        .json(&right)
        .from("198.51.100.7:1");
    assert_eq!(
        elsewhere.send().await.status,
        StatusCode::OK,
        "the owner comes from elsewhere"
    );
}

#[tokio::test]
async fn another_site_cannot_change_anything() {
    let server = Server::start().await;
    let cookie = server.session("mira", Role::Admin).await;
    let body = json!({ "name": "x", "scopes": ["admin"] });
    let post = || {
        server
            .call(Method::POST, "/api/v1/tokens")
            .json(&body)
            .header("cookie", &cookie)
    };
    let refused = [
        ("no header of ours", post()),
        (
            "cross-site",
            post()
                .header("x-watchfire", "1")
                .header("sec-fetch-site", "cross-site"),
        ),
        (
            "a subdomain",
            post()
                .header("x-watchfire", "1")
                .header("sec-fetch-site", "same-site"),
        ),
        (
            "a form",
            post()
                .header("x-watchfire", "1")
                .header("content-type", "text/plain"),
        ),
        (
            "an old browser",
            post()
                .header("x-watchfire", "1")
                .header("origin", "http://evil")
                .header("host", "a"),
        ),
    ];
    for (what, call) in refused {
        let answer = call.send().await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::FORBIDDEN, "cross_site"),
            "{what}"
        );
    }
    let reading = server
        .get("/api/v1/tail")
        .header("cookie", &cookie)
        .header("sec-fetch-site", "cross-site");
    assert_eq!(
        reading.send().await.status,
        StatusCode::FORBIDDEN,
        "not even reading"
    );
    let ours = post()
        .header("x-watchfire", "1")
        .header("sec-fetch-site", "same-origin");
    assert_eq!(ours.send().await.status, StatusCode::CREATED);
    let login = json!({ "user": "mira", "password": PASSWORD });
    let forged = server
        .call(Method::POST, "/api/v1/session")
        .json(&login)
        .header("sec-fetch-site", "cross-site");
    assert_eq!(
        forged.send().await.status,
        StatusCode::FORBIDDEN,
        "login forgery"
    );
    let tokens = server
        .get("/api/v1/tokens")
        .bearer(&server.admin)
        .send()
        .await
        .json();
    assert_eq!(
        tokens["tokens"].as_array().unwrap().len(),
        4,
        "one was made"
    );
}

#[tokio::test]
async fn behind_tls_the_cookie_is_bound_to_the_host() {
    let config = WebConfig {
        tls: true,
        ..WebConfig::default()
    };
    let server = Server::start_with(Hooks::default(), config).await;
    server
        .state
        .auth
        .create_user("mira", Role::Viewer, Some(PASSWORD))
        .await
        .unwrap();
    let body = json!({ "user": "mira", "password": PASSWORD });
    let answer = server
        .call(Method::POST, "/api/v1/session")
        .json(&body)
        .send()
        .await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-wf="), "{cookie}");
    for flag in ["; Secure", "; HttpOnly", "; SameSite=Strict", "; Path=/"] {
        assert!(cookie.contains(flag), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert_eq!(
        answer.header("strict-transport-security"),
        "max-age=31536000"
    );
    let named = answer.cookie();
    assert_eq!(
        server
            .get("/api/v1/session")
            .browser(&named)
            .send()
            .await
            .status,
        StatusCode::OK
    );
    let unprefixed = named.replace("__Host-wf", "wf");
    let planted = server
        .get("/api/v1/session")
        .browser(&unprefixed)
        .send()
        .await;
    assert_eq!(planted.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn every_control_action_leaves_one_audit_row() {
    let server = Server::start().await;
    let admin = |method: Method, path: &str| server.call(method, path).bearer(&server.admin);
    let count = async || {
        let rows = admin(Method::GET, "/api/v1/audit?limit=1000")
            .send()
            .await
            .json();
        rows["rows"].as_array().unwrap().clone()
    };
    let user = json!({ "name": "mira", "role": "viewer", "password": PASSWORD });
    let made = admin(Method::POST, "/api/v1/users")
        .json(&user)
        .send()
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let token = json!({ "name": "t", "scopes": ["read"] });
    let token = admin(Method::POST, "/api/v1/tokens")
        .json(&token)
        .send()
        .await
        .json();
    let path = format!("/api/v1/tokens/{}", token["id"].as_str().unwrap());
    admin(Method::DELETE, &path).send().await;
    let rows = count().await;
    let what: Vec<&str> = rows.iter().map(|r| r["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["token.revoke", "token.create", "user.create"]);
    assert!(
        rows.iter()
            .all(|r| r["who"] == "admin" && r["from_addr"] == "192.0.2.10")
    );
    let text = serde_json::to_string(&rows).unwrap();
    assert!(
        !text.contains(PASSWORD) && !text.contains("wf_"),
        "no secrets: {text}"
    );
    let erase = admin(Method::DELETE, "/api/v1/audit").send().await;
    assert_eq!(erase.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_hides_at_once_and_leaves_a_hash_in_the_trail() {
    let server = Server::start().await;
    let event = |user: &str| json!({ "t": 1_759_990_000, "user": { "id": user } });
    server.commit(&[event("marked77"), event("u1")]).await;
    let ask = |body: Value| {
        let call = server.call(Method::POST, "/api/v1/erasures");
        call.bearer(&server.admin).json(&body).send()
    };
    for (body, code) in [
        (json!({ "query": "*", "reason": "all" }), "invalid_request"),
        (json!({ "query": "a:(b", "reason": "x" }), "invalid_query"),
        (json!({ "query": "a:b", "reason": " " }), "invalid_request"),
    ] {
        let refused = ask(body.clone()).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code().as_str()),
            (400, code),
            "{body}"
        );
    }
    let missing = ask(json!({ "query": "a:b" })).await;
    assert!(missing.status.is_client_error());

    let begun = ask(json!({ "query": "user.id:marked77", "reason": "request 12" })).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{begun:?}");
    let begun = begun.json();
    let id = begun["id"].as_str().unwrap().to_owned();
    assert!(begun.get("query").is_none() && begun["query_hash"].is_string());
    let page = server
        .get("/api/v1/search?q=*")
        .bearer(&server.read)
        .send()
        .await;
    let page = page.json();
    assert_eq!(page["total"], 1, "{page}");
    assert_eq!(page["hits"][0]["event"]["user"]["id"], "u1");

    let get = |path: String| {
        let call = server.call(Method::GET, &path);
        call.bearer(&server.admin).send()
    };
    let one = get(format!("/api/v1/erasures/{id}")).await.json();
    assert_eq!(
        (one["up_to_seq"].as_u64(), &one["reason"]),
        (Some(2), &json!("request 12"))
    );
    let list = get("/api/v1/erasures".into()).await.json();
    assert_eq!(list["erasures"][0]["id"], json!(id));
    let unknown = get("/api/v1/erasures/era_none".into()).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);

    let audit = get("/api/v1/audit".into()).await.json();
    let rows = audit["rows"].as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row["what"] == "erasure.request")
        .unwrap();
    assert_eq!(row["detail"]["reason"], "request 12");
    assert_eq!(row["from_addr"], "192.0.2.10");
    assert!(!audit.to_string().contains("marked77"), "{audit}");
}
