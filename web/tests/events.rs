//! Events through the API: found, counted, streamed, taken out, on a real store.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

use std::io::Cursor;

use arrow::ipc::reader::StreamReader;
use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use harness::{Answer, Server};
use http_body_util::BodyExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use watchfire_detect::Learning;
use watchfire_event::{DeadLetter, EventLog};
use watchfire_web::{Hooks, WebConfig};

const START: i64 = 1_759_990_000;

fn events(count: i64) -> Vec<Value> {
    let event = |n: i64| {
        json!({ "t": START + n, "user": { "id": format!("u{}", n % 3) }, "n": n,
            "message": if n == 7 { "=SUM(A1) tried" } else { "login ok" } })
    };
    (0..count).map(event).collect()
}

async fn served(count: i64) -> Server {
    let server = Server::start().await;
    server.commit(&events(count)).await;
    server
}

async fn read(server: &Server, path: &str) -> Answer {
    let answer = server.get(path).bearer(&server.read).send().await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
    answer
}

#[tokio::test]
async fn a_hit_has_the_shape_of_the_contract_and_pages_join() {
    let server = served(10).await;
    let page = read(&server, "/api/v1/search?q=n:%3E=4&limit=4")
        .await
        .json();
    assert_eq!(
        (page["total"].as_u64(), page["total_is_exact"].as_bool()),
        (Some(6), Some(true))
    );
    assert!(page["took_ms"].is_f64() && page["partial"] == false);
    let hit = &page["hits"][0];
    assert_eq!(hit["_seq"], 10);
    assert_eq!(hit["_time"], "2025-10-09T06:06:49Z");
    assert_eq!(hit["_received"], "2025-10-09T08:53:20Z");
    assert_eq!(hit["_source"], "shop");
    assert_eq!(hit["_flags"], json!([]));
    assert_eq!(hit["event"], events(10)[9]);
    assert!(hit["mapped"].is_object());

    let next = format!(
        "/api/v1/search?q=n:%3E=4&limit=4&cursor={}",
        page["cursor"].as_str().unwrap()
    );
    let rest = read(&server, &next).await.json();
    assert!(rest["cursor"].is_null());
    let seqs: Vec<u64> = [&page, &rest]
        .iter()
        .flat_map(|p| p["hits"].as_array().unwrap())
        .map(|hit| hit["_seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, [10, 9, 8, 7, 6, 5]);
    let oldest = read(&server, "/api/v1/search?order=asc&limit=1")
        .await
        .json();
    assert_eq!(oldest["hits"][0]["_seq"], 1);
    let ranged = format!(
        "/api/v1/search?from={}&to={}",
        START * 1000,
        (START + 3) * 1000
    );
    assert_eq!(read(&server, &ranged).await.json()["total"], 3);
}

#[tokio::test]
async fn counts_over_time_and_by_value() {
    let server = served(9).await;
    let histogram = read(&server, "/api/v1/histogram?buckets=3&by=user.id")
        .await
        .json();
    let buckets = histogram["buckets"].as_array().unwrap();
    let total: u64 = buckets.iter().map(|b| b["count"].as_u64().unwrap()).sum();
    assert_eq!(total, 9);
    assert!(
        buckets[0]["by"][0]["value"]
            .as_str()
            .unwrap()
            .starts_with('u')
    );
    assert!(histogram["width_ms"].as_f64().unwrap() > 0.0);

    let facets = read(&server, "/api/v1/facets?fields=user.id,absent&top=2")
        .await
        .json();
    assert_eq!(facets["facets"][0]["distinct"], 3);
    assert_eq!(
        facets["facets"][0]["values"][0],
        json!({ "value": "u0", "count": 3 })
    );
    assert_eq!(facets["facets"][0]["values"].as_array().unwrap().len(), 2);
    assert_eq!(facets["facets"][1]["missing"], 9);

    let fields = read(&server, "/api/v1/fields").await.json();
    let fields = fields["fields"].as_array().unwrap();
    let user = fields.iter().find(|f| f["name"] == "user.id").unwrap();
    assert_eq!(
        (user["types"].clone(), user["events"].as_u64()),
        (json!(["string"]), Some(9))
    );

    let entity = read(&server, "/api/v1/entities/user/u1").await.json();
    assert_eq!(
        (
            entity["events"].as_u64(),
            entity["alerts"]["total"].as_u64()
        ),
        (Some(3), Some(0))
    );
    assert_eq!(entity["first_seen"], "2025-10-09T06:06:41Z");
    assert_eq!(entity["last_seen"], "2025-10-09T06:06:47Z");
}

#[tokio::test]
async fn what_is_not_judged_yet_is_told() {
    let hooks = Hooks {
        learning: Box::new(|kind, value| {
            let learning = Learning {
                detector: "volume.account".to_owned(),
                title: "Volume".to_owned(),
                learned: 1,
                needed: 3,
                unit: "working days",
            };
            (kind == "user").then(|| match value {
                "alice b" => vec![learning],
                _ => Vec::new(),
            })
        }),
        ..Hooks::default()
    };
    let server = Server::start_with(hooks, WebConfig::default()).await;
    let alice = read(&server, "/api/v1/entities/user/alice%20b/learning").await;
    assert_eq!(
        alice.json(),
        json!({"detectors": [{"id": "volume.account", "title": "Volume",
            "learned": 1, "needed": 3, "unit": "working days"}]})
    );
    let bob = read(&server, "/api/v1/entities/user/bob/learning").await;
    assert_eq!(bob.json(), json!({ "detectors": [] }));
    for (path, status, code) in [
        (
            "/api/v1/entities/ip/192.0.2.7/learning",
            503,
            "detection_unavailable",
        ),
        ("/api/v1/entities/planet/x/learning", 404, "not_found"),
    ] {
        let answer = server.get(path).bearer(&server.read).send().await;
        let told = (answer.status.as_u16(), answer.code());
        assert_eq!(told, (status, code.to_owned()), "{path}");
        let answer = server.get(path).bearer(&server.ingest).send().await;
        assert_eq!(answer.status.as_u16(), 403, "{path}");
    }
}

#[tokio::test]
async fn sql_answers_in_json_and_in_arrow() {
    let server = served(20).await;
    let ask = async |sql: &str, limit: Value, accept: &str| {
        let body = json!({ "sql": sql, "limit": limit });
        let call = server
            .call(Method::POST, "/api/v1/sql")
            .bearer(&server.read)
            .json(&body);
        call.header("accept", accept).send().await
    };
    let grouped = "SELECT \"user.id\" AS u, count(*) AS c FROM events GROUP BY 1 ORDER BY 1";
    let answer = ask(grouped, Value::Null, "application/json").await.json();
    let columns = json!([{ "name": "u", "type": "string" }, { "name": "c", "type": "integer" }]);
    assert_eq!(answer["columns"], columns);
    assert_eq!(answer["rows"], json!([["u0", 7], ["u1", 7], ["u2", 6]]));
    assert_eq!(
        (answer["row_count"].as_u64(), answer["truncated"].as_bool()),
        (Some(3), Some(false))
    );
    assert_eq!(answer["partial"], false);
    let alerts = "SELECT count(*) FROM _alerts a JOIN events e ON e.\"user.id\" = a.\"user\"";
    let answer = ask(alerts, Value::Null, "application/json").await;
    assert_eq!(answer.header("watchfire-partial"), "");
    assert_eq!(answer.json()["rows"], json!([[0]]));

    for (limit, rows, truncated) in [(5, 5, true), (20, 20, false), (19, 19, true)] {
        let answer = ask("SELECT n FROM events", json!(limit), "").await.json();
        assert_eq!(
            (answer["row_count"].as_u64(), answer["truncated"].as_bool()),
            (Some(rows), Some(truncated))
        );
    }
    let arrow = ask(grouped, Value::Null, "application/vnd.apache.arrow.stream").await;
    assert_eq!(arrow.status, StatusCode::OK, "{arrow:?}");
    assert_eq!(
        arrow.header("content-type"),
        "application/vnd.apache.arrow.stream"
    );
    let batches = StreamReader::try_new(Cursor::new(arrow.body), None).unwrap();
    assert_eq!(batches.map(|b| b.unwrap().num_rows()).sum::<usize>(), 3);

    let large = "SELECT repeat('x', 30000) FROM generate_series(1, 10000)";
    let answer = ask(large, Value::Null, "application/json").await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (422, "query_limit")
    );

    for wrong in [
        "SELEC 1",
        "DROP TABLE events",
        "SELECT nope FROM events",
        "INSERT INTO events VALUES (1)",
        "SELECT CAST(message AS BIGINT) FROM events",
        "SELECT 1; SELECT 2",
    ] {
        for accept in ["application/json", "application/vnd.apache.arrow.stream"] {
            let answer = ask(wrong, Value::Null, accept).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (400, "sql_error"),
                "{wrong}"
            );
        }
    }
}

#[tokio::test]
async fn exports_hold_every_matching_event() {
    let server = served(10).await;
    let get = async |format: &str| {
        read(
            &server,
            &format!("/api/v1/export?q=n:%3E=5&format={format}"),
        )
        .await
    };
    let ndjson = get("ndjson").await;
    let lines: Vec<Value> = ndjson
        .body
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(lines, events(10)[5..]);

    let csv = get("csv").await;
    let disposition = csv.header("content-disposition");
    assert!(
        disposition.starts_with("attachment; filename=\"watchfire-")
            && disposition.ends_with(".csv\"")
    );
    let text = String::from_utf8(csv.body.to_vec()).unwrap();
    assert_eq!(text.matches("\r\n").count(), 6, "{text}");
    assert!(text.contains("\"'=SUM(A1) tried\""), "{text}");

    let parquet = get("parquet").await;
    let rows = ParquetRecordBatchReaderBuilder::try_new(parquet.body)
        .unwrap()
        .build()
        .unwrap();
    assert_eq!(rows.map(|b| b.unwrap().num_rows()).sum::<usize>(), 5);

    let arrow = get("arrow").await;
    assert_eq!(
        arrow.header("content-type"),
        "application/vnd.apache.arrow.stream"
    );
    assert!(arrow.header("content-disposition").ends_with(".arrow\""));
    let batches = StreamReader::try_new(Cursor::new(arrow.body), None).unwrap();
    assert!(batches.schema().field_with_name("user.id").is_ok());
    assert_eq!(batches.map(|b| b.unwrap().num_rows()).sum::<usize>(), 5);

    let none = read(&server, "/api/v1/export?q=n:99").await;
    assert!(none.body.is_empty());
    let audit = server
        .get("/api/v1/audit")
        .bearer(&server.admin)
        .send()
        .await
        .json();
    let row = &audit["rows"][0];
    assert_eq!(
        (row["what"].as_str(), row["object"].as_str()),
        (Some("events.export"), Some("n:99"))
    );
}

async fn next_event(body: &mut axum::body::Body) -> String {
    loop {
        let frame = body.frame().await.unwrap().unwrap();
        let text = frame.into_data().unwrap_or_else(|_| Bytes::new());
        let text = String::from_utf8(text.to_vec()).unwrap();
        if !text.starts_with(':') {
            return text;
        }
    }
}

#[tokio::test]
async fn the_tail_follows_what_matches() {
    let server = served(3).await;
    let (status, _, mut body) = server
        .get("/api/v1/tail?q=user.id:u1")
        .bearer(&server.read)
        .open()
        .await;
    assert_eq!(status, StatusCode::OK);
    server
        .commit(&[json!({ "t": START, "user": { "id": "u0" } })])
        .await;
    server
        .commit(&[json!({ "t": START, "user": { "id": "u1" } })])
        .await;
    let event = next_event(&mut body).await;
    let data = event
        .lines()
        .find_map(|line| line.strip_prefix("data: "))
        .unwrap();
    let hit: Value = serde_json::from_str(data).unwrap();
    assert_eq!(
        (hit["_seq"].as_u64(), hit["event"]["user"]["id"].as_str()),
        (Some(5), Some("u1"))
    );
    assert!(event.contains("id: 5\n"), "{event}");
}

#[tokio::test]
async fn a_slow_reader_is_told_what_it_missed() {
    let server = Server::start().await;
    let (_, _, mut body) = server.get("/api/v1/tail").bearer(&server.read).open().await;
    let many = 2_000;
    for n in 0..many {
        server.commit(&[json!({ "t": START + n })]).await;
    }
    let (mut skipped, mut seen) = (0, 0);
    while skipped + seen < many {
        let event = next_event(&mut body).await;
        if event.starts_with("event: skipped\n") {
            let data = event.lines().find_map(|line| line.strip_prefix("data: "));
            let data: Value = serde_json::from_str(data.unwrap()).unwrap();
            skipped += data["events"].as_i64().unwrap();
        } else {
            assert!(event.starts_with("id: "), "{event}");
            seen += 1;
        }
    }
    assert!(skipped > 0 && seen > 0, "{skipped} skipped, {seen} seen");
    assert_eq!(skipped + seen, many, "nothing is told twice");
}

#[tokio::test]
async fn refused_lines_can_be_looked_at() {
    let server = Server::start().await;
    let letter = |line: u32, bytes: &[u8]| DeadLetter {
        received_ns: START * 1_000_000_000,
        source: "shop".into(),
        line,
        code: "invalid_json",
        bytes: bytes.to_vec(),
    };
    let store = server.state.store.clone();
    let letters = vec![letter(1, b"{not json"), letter(2, b"\xff\xfe")];
    tokio::task::spawn_blocking(move || store.dead_letters(letters))
        .await
        .unwrap();
    let first = read(&server, "/api/v1/dead-letters?limit=1").await.json();
    assert_eq!(
        (
            first["letters"][0]["line"].as_u64(),
            first["letters"][0]["base64"].as_str()
        ),
        (Some(2), Some("//4="))
    );
    let next = format!(
        "/api/v1/dead-letters?limit=1&cursor={}",
        first["cursor"].as_str().unwrap()
    );
    let second = read(&server, &next).await.json();
    assert_eq!(second["letters"][0]["text"], "{not json");
}

#[tokio::test]
async fn the_status_says_how_far_everything_has_come() {
    let server = served(4).await;
    let status = read(&server, "/api/v1/status").await.json();
    assert_eq!(
        (
            status["log"]["head"].as_u64(),
            status["readers"]["store"].as_u64()
        ),
        (Some(4), Some(4))
    );
    assert_eq!(status["readers"]["detect"], 0);
    server.state.store.set_detect_position(u64::MAX);
    let status = read(&server, "/api/v1/status").await.json();
    assert_eq!(
        status["readers"]["detect"], 4,
        "without detection nobody is behind"
    );
}
