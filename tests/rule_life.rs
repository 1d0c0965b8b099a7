//! The life of a rule against the real binary: shadow, severity, exceptions and their end, what
//! is counted, what outlives a kill, and why a rule matches.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

use std::path::Path;

use chrono::{Duration, Utc};
use harness::{Options, Server, TOKEN};
use serde_json::{Value, json};

const RULE: &str = "
title: Door knock
id: knock
status: test
description: Somebody asks for the back door.
logsource: { category: webserver }
detection:
    selection: { cs-uri-query|startswith: /backdoor }
    condition: selection
level: high
---
title: Reads what nobody sends
id: blind
logsource: { category: webserver }
detection:
    selection: { never.sent: x }
    condition: selection
---
title: For logs that nobody sends
id: elsewhere
logsource: { product: okta, service: okta }
detection:
    selection: { http.request.method: GET }
    condition: selection
---
title: Door knocked often
id: knocks
correlation:
    type: event_count
    rules: [knock]
    group-by: [source.ip]
    timespan: 5m
    condition: { gte: 3 }
    generate: true
level: critical
";

async fn start(data: &Path, rules: &Path) -> Server {
    let options = Options {
        args: vec!["--rules".into(), rules.display().to_string()],
        ..Options::default()
    };
    Server::start_with(data, &options).await
}

/// Sends one knock and waits until it is evaluated.
async fn knock(server: &Server, ip: &str, minutes_ago: i64) {
    let at = Utc::now() - Duration::minutes(minutes_ago);
    let event = json!({
        "@timestamp": at.to_rfc3339(), "service": {"name": "gate"},
        "http": {"request": {"method": "GET"}, "response": {"status_code": 404}},
        "url": {"path": "/backdoor/1"}, "source": {"ip": ip}, "user_agent": {"original": "Mozilla"},
    });
    let (status, answer) = server.post("/api/v1/events", event.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    server.caught_up().await;
}

async fn call(server: &Server, method: &str, path: &str, body: Value) -> (u16, Value) {
    let request = server
        .http
        .request(method.parse().unwrap(), format!("{}{path}", server.url))
        .bearer_auth(TOKEN)
        .json(&body);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or(Value::Null))
}

/// Severities of the alerts of a rule about an address.
async fn alerts(server: &Server, rule: &str, ip: &str) -> Vec<String> {
    let detector = format!("sigma:{rule}");
    let query = [("detector", detector.as_str()), ("entity", ip)];
    let found = server.get("/api/v1/alerts", &query).await;
    let alerts = found["alerts"].as_array().unwrap().clone();
    alerts
        .iter()
        .map(|a| a["severity"].as_str().unwrap().to_owned())
        .collect()
}

/// Changes settings and waits until detection goes by them: its saved state is then newer.
async fn set(server: &Server, rule: &str, body: Value) {
    let (status, answer) = call(server, "PUT", &format!("/api/v1/rules/{rule}"), body).await;
    assert_eq!(status, 200, "{answer}");
    taken(server).await;
}

async fn taken(server: &Server) {
    server
        .wait("/api/v1/status", |_, body| {
            body["detection"]["settings_pending"] == json!(false)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_is_tuned_without_a_restart_and_stays_so_over_a_kill() {
    let (data, rules) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(rules.path().join("knock.yml"), RULE).unwrap();
    let server = start(data.path(), rules.path()).await;

    knock(&server, "203.0.113.1", 0).await;
    assert_eq!(alerts(&server, "knock", "203.0.113.1").await, ["high"]);

    // In shadow nothing is raised, and the correlation goes on.
    set(
        &server,
        "knock",
        json!({"state": "shadow", "note": "trying it"}),
    )
    .await;
    for minute in [3, 2, 1] {
        knock(&server, "203.0.113.2", minute).await;
    }
    assert!(alerts(&server, "knock", "203.0.113.2").await.is_empty());
    assert_eq!(alerts(&server, "knocks", "203.0.113.2").await, ["critical"]);

    // Live again, and milder.
    set(&server, "knock", json!({"severity": "info"})).await;
    knock(&server, "203.0.113.3", 0).await;
    assert_eq!(alerts(&server, "knock", "203.0.113.3").await, ["info"]);

    // An exception hides, and hides no more once it is gone.
    let request = json!({"rules": ["knock"], "query": "source.ip:203.0.113.4",
        "reason": "our own scanner", "expires": "now+1h"});
    let preview = json!({"rules": ["knock"], "query": "source.ip:203.0.113.3"});
    let (status, seen) = call(&server, "POST", "/api/v1/exceptions/preview", preview).await;
    assert_eq!(status, 200, "{seen}");
    assert_eq!(
        (&seen["events"], &seen["hidden_alerts"]),
        (&json!(1), &json!(1)),
        "{seen}"
    );
    let (status, made) = call(&server, "POST", "/api/v1/exceptions", request).await;
    assert_eq!(status, 201, "{made}");
    taken(&server).await;
    knock(&server, "203.0.113.4", 0).await;
    assert!(alerts(&server, "knock", "203.0.113.4").await.is_empty());

    kept_over_a_kill(server, data.path(), rules.path(), &made).await;
}

/// Goes on from there: killed, everything is as it was, and what ends has ended.
async fn kept_over_a_kill(server: Server, data: &Path, rules: &Path, made: &Value) {
    drop(server.kill());
    let server = start(data, rules).await;
    taken(&server).await;
    knock(&server, "203.0.113.4", 0).await;
    knock(&server, "203.0.113.5", 0).await;
    assert!(alerts(&server, "knock", "203.0.113.4").await.is_empty());
    assert_eq!(alerts(&server, "knock", "203.0.113.5").await, ["info"]);
    counted(&server, made["id"].as_str().unwrap()).await;

    let path = format!("/api/v1/exceptions/{}", made["id"].as_str().unwrap());
    let (status, _) = call(&server, "DELETE", &path, json!({})).await;
    assert_eq!(status, 204);
    taken(&server).await;
    knock(&server, "203.0.113.4", 0).await;
    assert_eq!(alerts(&server, "knock", "203.0.113.4").await, ["info"]);

    // Killed before the state is saved the next time, what the exception hid is not evaluated
    // again without it: that would be an alert with another id.
    drop(server.kill());
    let server = start(data, rules).await;
    server.caught_up().await;
    taken(&server).await;
    assert_eq!(alerts(&server, "knock", "203.0.113.4").await, ["info"]);

    // Who did what is on record.
    let audit = server.get("/api/v1/audit", &[("limit", "100")]).await;
    let text = audit.to_string();
    for what in ["rule.change", "exception.create", "exception.delete"] {
        assert!(text.contains(what), "{what} is not in {text}");
    }
    server.stop();
}

/// What the API says of the rule after the knocks above.
async fn counted(server: &Server, exception: &str) {
    let rule = server
        .wait("/api/v1/rules/knock", |_, body| {
            body["health"]["matched_7d"] == 8
        })
        .await;
    let health = &rule["health"];
    assert_eq!(health["hidden_7d"], 2, "{health}");
    assert_eq!(health["alerts_7d"], 3, "{health}");
    assert_eq!(health["shadow_alerts_7d"], 1, "{health}");
    assert_eq!(health["days"][6], 8, "{health}");
    assert_eq!(health["can_match"], true, "{health}");
    assert_eq!(health["verdicts"]["alerts"], 3, "{health}");
    assert_eq!(rule["settings"]["severity"], "info");
    assert_eq!(rule["severity"], "high", "the file's");
    assert!(rule["text"].as_str().unwrap().contains("Door knock"));
    assert_eq!(rule["exceptions"][0]["id"], exception);
    assert_eq!(rule["exceptions"][0]["hidden"], 2);
    let list = server.get("/api/v1/rules", &[]).await;
    let rules = list["rules"].as_array().unwrap();
    assert_eq!(list["total"], rules.len());
    assert!(list["next"].is_null());
    let asked = [("find", "DOOR knock"), ("limit", "1"), ("brief", "true")];
    let page = server.get("/api/v1/rules", &asked).await;
    assert_eq!(
        (&page["total"], &page["next"]),
        (&json!(2), &json!(1)),
        "{page}"
    );
    let brief = page["rules"][0].as_object().unwrap();
    assert_eq!(
        (&brief["id"], &brief["state"]),
        (&json!("knock"), &json!("live"))
    );
    assert_eq!(brief["health"]["matched_7d"], 8, "{page}");
    assert!(!brief.contains_key("description") && !brief.contains_key("settings"));
    let asked = [("find", "door knock"), ("offset", "1")];
    let page = server.get("/api/v1/rules", &asked).await;
    assert_eq!(page["rules"][0]["id"], "knocks");
    assert_eq!(page["rules"].as_array().unwrap().len(), 1);
    assert!(page["next"].is_null() && page["rules"][0]["settings"].is_object());
    let blind = rules.iter().find(|r| r["id"] == "blind").unwrap();
    assert_eq!(blind["health"]["can_match"], false, "{blind}");
    assert_eq!(blind["health"]["missing_fields"], json!(["never.sent"]));
    let elsewhere = rules.iter().find(|r| r["id"] == "elsewhere").unwrap();
    let lacking = &elsewhere["health"]["missing_log_sources"];
    assert_eq!(lacking, &json!(["okta/*/okta"]), "{elsewhere}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exception_ends_by_itself_and_an_alert_says_what_matched() {
    let (data, rules) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(rules.path().join("knock.yml"), RULE).unwrap();
    let server = start(data.path(), rules.path()).await;
    let request = json!({"rules": ["*"], "query": "source.ip:203.0.113.0/24",
        "reason": "a moment of peace", "owner": "kim", "expires": "now+2s"});
    let (status, made) = call(&server, "POST", "/api/v1/exceptions", request).await;
    assert_eq!((status, &made["status"]), (201, &json!("active")), "{made}");
    let path = format!("/api/v1/exceptions/{}", made["id"].as_str().unwrap());
    let over = server
        .wait(&path, |_, body| body["status"] == "expired")
        .await;
    assert_eq!(over["owner"], "kim");
    knock(&server, "203.0.113.9", 0).await;
    assert_eq!(alerts(&server, "knock", "203.0.113.9").await, ["high"]);

    let found = server
        .get("/api/v1/alerts", &[("detector", "sigma:knock")])
        .await;
    let matched = &found["alerts"][0]["evidence"]["baseline"]["matched"][0];
    assert_eq!(matched["field"], "url.path", "{matched}");
    assert_eq!(matched["value"], "/backdoor/1");
    assert_eq!(matched["selection"], "selection");
    let baseline = &found["alerts"][0]["evidence"]["baseline"];
    assert_eq!(baseline["condition"], "selection");

    let seq = found["alerts"][0]["evidence"]["events"][0].clone();
    let explain = "/api/v1/rules/knock/explain";
    let (status, why) = call(&server, "POST", explain, json!({ "seq": seq })).await;
    assert_eq!((status, &why["matched"]), (200, &json!(true)), "{why}");
    let body = json!({ "seq": found["alerts"][0]["evidence"]["events"][0] });
    let (status, all) = call(&server, "POST", "/api/v1/rules/explain", body).await;
    assert_eq!(status, 200, "{all}");
    let outcome = |id: &str| {
        let mut rules = all["matched"].as_array().unwrap().iter();
        rules.find(|r| r["id"] == id).map(|r| r["outcome"].clone())
    };
    assert_eq!(outcome("knock"), Some(json!("alert")), "{all}");
    assert_eq!(outcome("knocks"), Some(json!("counts")));
    assert_eq!(outcome("blind"), None);
    let other = json!({"event": {"url": {"path": "/"}, "http": {"request": {"method": "GET"}}}});
    let (status, why) = call(&server, "POST", explain, other).await;
    assert_eq!((status, &why["matched"]), (200, &json!(false)), "{why}");
    assert!(
        why["sentence"]
            .as_str()
            .unwrap()
            .contains("url.path is \"/\""),
        "{why}"
    );
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_about_a_rule_outlives_its_file() {
    let (data, rules) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = rules.path().join("knock.yml");
    std::fs::write(&file, RULE).unwrap();
    let server = start(data.path(), rules.path()).await;
    set(&server, "knock", json!({"state": "disabled"})).await;
    knock(&server, "203.0.113.1", 0).await;
    assert!(alerts(&server, "knock", "203.0.113.1").await.is_empty());

    std::fs::remove_file(&file).unwrap();
    let list = server
        .wait("/api/v1/rules", |_, body| {
            body["gone"].as_array().is_some_and(|g| !g.is_empty())
        })
        .await;
    assert_eq!(list["gone"][0]["id"], "knock");
    assert_eq!(list["gone"][0]["title"], "Door knock");
    let rule = server.get("/api/v1/rules/knock", &[]).await;
    assert_eq!(
        (&rule["gone"], &rule["settings"]["state"]),
        (&json!(true), &json!("disabled"))
    );

    // Back again, it is as it was; set back, it is as its file says.
    std::fs::write(&file, RULE).unwrap();
    server
        .wait("/api/v1/rules/knock", |_, body| body["gone"] == false)
        .await;
    knock(&server, "203.0.113.1", 0).await;
    assert!(alerts(&server, "knock", "203.0.113.1").await.is_empty());
    set(&server, "knock", json!({})).await;
    knock(&server, "203.0.113.1", 0).await;
    assert_eq!(alerts(&server, "knock", "203.0.113.1").await, ["high"]);

    server.stop();
}

/// Calls that are refused: method, path, body, status and code.
const REFUSED: &[(&str, &str, &str, u16, &str)] = &[
    ("PUT", "rules/nobody", "{}", 404, "not_found"),
    (
        "PUT",
        "rules/knock",
        r#"{"state":"asleep"}"#,
        422,
        "invalid_field",
    ),
    (
        "PUT",
        "rules/knock",
        r#"{"suppress_for":"soon"}"#,
        422,
        "invalid_field",
    ),
    (
        "PUT",
        "rules/knock",
        r#"{"suppress_for":"31d"}"#,
        422,
        "invalid_field",
    ),
    ("GET", "rules/nobody/health", "{}", 404, "not_found"),
    (
        "POST",
        "rules/nobody/explain",
        r#"{"event":{}}"#,
        404,
        "not_found",
    ),
    ("POST", "rules/knock/explain", "{}", 422, "invalid_field"),
    (
        "POST",
        "rules/knock/explain",
        r#"{"seq":999999}"#,
        404,
        "not_found",
    ),
    ("DELETE", "exceptions/nobody", "{}", 404, "not_found"),
];

/// What is wrong with an exception that is otherwise right.
const WRONG: &[(&str, u16, &str)] = &[
    (r#"{"rules":["nobody"]}"#, 404, "not_found"),
    (r#"{"rules":[]}"#, 422, "invalid_field"),
    (r#"{"query":"a:["}"#, 400, "invalid_query"),
    (r#"{"query":"*"}"#, 422, "invalid_field"),
    (r#"{"reason":""}"#, 422, "invalid_field"),
    (r#"{"expires":"now-1h"}"#, 422, "invalid_field"),
    (r#"{"expires":"soon"}"#, 422, "invalid_field"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_with_a_code() {
    let (data, rules) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(rules.path().join("knock.yml"), RULE).unwrap();
    let server = start(data.path(), rules.path()).await;
    for (method, path, body, status, code) in REFUSED {
        let body = serde_json::from_str(body).unwrap();
        let answer = call(&server, method, &format!("/api/v1/{path}"), body).await;
        let seen = (answer.0, answer.1["code"].as_str().unwrap());
        assert_eq!(seen, (*status, *code), "{method} {path} {}", answer.1);
    }
    for (change, status, code) in WRONG {
        let mut body = json!({"rules": ["knock"], "query": "a:b", "reason": "r"});
        let change: Value = serde_json::from_str(change).unwrap();
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        let answer = call(&server, "POST", "/api/v1/exceptions", body).await;
        let seen = (answer.0, answer.1["code"].as_str().unwrap());
        assert_eq!(seen, (*status, *code), "{change} {}", answer.1);
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_are_taken_over_while_the_server_runs() {
    let (data, rules) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let rule = RULE.replace("startswith: /backdoor", "expand|startswith: '%doors%'");
    std::fs::write(rules.path().join("knock.yml"), rule).unwrap();
    let server = start(data.path(), rules.path()).await;
    let list = server.get("/api/v1/rules", &[("find", "door knock")]).await;
    assert_eq!(list["total"], 0, "{list}");
    assert_eq!(
        list["faults"][0]["code"], "unresolved_placeholder",
        "{list}"
    );
    assert_eq!(list["faults"][1]["code"], "unknown_rule_ref", "{list}");

    let folder = rules.path().join("pipelines");
    std::fs::create_dir(&folder).unwrap();
    let pipeline = "name: doors\nvars: { doors: [/backdoor, /cellar] }\ntransformations:\n- type: \
        value_placeholders\n";
    std::fs::write(folder.join("doors.yml"), pipeline).unwrap();
    let list = server
        .wait("/api/v1/rules?find=door+knock", |_, body| {
            body["total"] == 2
        })
        .await;
    assert_eq!(list["rules"][0]["pipelines"], json!(["doors"]), "{list}");
    assert_eq!(list["pipelines"][0]["name"], "doors", "{list}");
    assert_eq!(list["pipelines"][0]["changed"], 1, "{list}");
    assert_eq!(list["faults"], json!([]), "{list}");
    knock(&server, "203.0.113.7", 0).await;
    assert_eq!(alerts(&server, "knock", "203.0.113.7").await, ["high"]);

    // A text on trial and a live rule in a backtest are read as they are beside the pipelines.
    let text = RULE.replace("startswith: /backdoor", "expand|startswith: '%doors%'");
    let (_, checked) = call(
        &server,
        "POST",
        "/api/v1/rules/check",
        json!({ "text": text }),
    )
    .await;
    assert_eq!(checked["ok"], true, "{checked}");
    let body = json!({ "rule": "knock", "settings": true });
    let (_, found) = call(&server, "POST", "/api/v1/rules/backtest", body).await;
    assert_eq!(
        (&found["matches"], &found["alerts"]),
        (&json!(1), &json!(1)),
        "{found}"
    );
    set(&server, "knock", json!({ "state": "disabled" })).await;
    for (settings, alerts) in [(true, 0), (false, 1)] {
        let body = json!({ "rule": "knock", "settings": settings });
        let (_, found) = call(&server, "POST", "/api/v1/rules/backtest", body).await;
        assert_eq!(found["alerts"], alerts, "{found}");
    }

    let broken = pipeline.replace("value_placeholders", "what");
    std::fs::write(folder.join("doors.yml"), broken).unwrap();
    let list = server
        .wait("/api/v1/rules?find=door+knock", |_, body| {
            body["total"] == 0
        })
        .await;
    let fault = &list["faults"][0];
    assert_eq!(fault["code"], "invalid_pipeline", "{list}");
    assert_eq!(fault["line"], 4);
    server.stop();
}
