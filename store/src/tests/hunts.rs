//! SQL as hunters write it: alerts beside events, and what the language offers.

use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Value, json};
use watchfire_event::Alert;

use super::bed::Bed;
use crate::export::collect;
use crate::meta::{CloseReason, DetectionCommit};
use crate::{SqlLimits, StoreError};

/// The rows, cells joined by `|`, nulls empty.
async fn rows(bed: &Bed, text: &str) -> Result<Vec<String>, StoreError> {
    let batches = collect(bed.store.sql(text, SqlLimits::default()).await?.batches).await?;
    let options = FormatOptions::new();
    let mut rows = Vec::new();
    for batch in &batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns.iter().map(|c| c.value(row).to_string()).collect();
            rows.push(cells.join("|"));
        }
    }
    Ok(rows)
}

async fn check(bed: &Bed, cases: &[(&str, &[&str])]) {
    for (text, expected) in cases {
        let found = rows(bed, text)
            .await
            .unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(found, *expected, "{text}");
    }
}

fn alert(id: &str, at: f64, severity: &str, entities: Value) -> Alert {
    let alert = json!({
        "id": id, "ts": at, "t0": at - 60.0, "t1": at, "status": "open", "severity": severity,
        "score": 7.5, "detector": "sigma:r1", "kind": "rule", "title": "Many logins",
        "summary": "20 logins", "entities": entities, "tags": ["attack.t1110", "owasp.api2"],
        "evidence": { "query": "*", "events": [], "baseline": {} },
        "rule": { "id": "r1", "title": "Many logins", "level": "high" }, "count": 3,
    });
    serde_json::from_value(alert).unwrap()
}

/// Six events in two segments and in memory, three alerts.
async fn watched() -> Bed {
    let mut bed = Bed::new().await;
    let event = |n: i64, ip: &str, ms: i64| {
        json!({ "t": 1_760_000_000_000_i64 + n * 60_000, "source": { "ip": ip }, "ms": ms,
            "user": { "id": format!("u{}", n % 2) }, "message": format!("GET /item/{n}") })
    };
    bed.commit(&[event(0, "203.0.113.9", 10), event(1, "203.0.113.9", 20)])
        .await;
    bed.seal().await;
    bed.commit(&[event(2, "198.51.100.7", 30), event(3, "203.0.113.9", 40)])
        .await;
    bed.seal().await;
    bed.commit(&[event(4, "198.51.100.7", 50), event(5, "192.0.2.1", 60)])
        .await;
    let alerts = [
        alert(
            "a1",
            1_760_000_000.5,
            "high",
            json!({ "ip": ["203.0.113.9", "192.0.2.8"] }),
        ),
        alert(
            "a2",
            1_760_000_100.0,
            "low",
            json!({ "user": ["u1"], "service": ["auth"] }),
        ),
        alert(
            "a3",
            1_760_000_200.0,
            "critical",
            json!({ "ip": ["192.0.2.1"] }),
        ),
    ];
    let meta = bed.store.meta();
    let commit = DetectionCommit {
        alerts: &alerts,
        position: 6,
        snapshot: None,
    };
    meta.commit_detection(&commit).await.unwrap();
    let closed = watchfire_event::AlertStatus::Closed;
    let benign = Some(CloseReason::Benign);
    meta.assign("a2", Some("kim"), "kim").await.unwrap();
    meta.set_status("a2", closed, benign, "kim").await.unwrap();
    bed
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_a_table_that_joins_events() {
    let bed = watched().await;
    check(
        &bed,
        &[
            (
                "SELECT id, ts, t0, status, severity, severity_rank, score, detector, kind, title, \
                 rule_id, count FROM _alerts ORDER BY ts DESC LIMIT 1",
                &["a3|2025-10-09T08:56:40Z|2025-10-09T08:55:40Z|open|critical|4|7.5|sigma:r1|rule|\
                   Many logins|r1|3"],
            ),
            (
                "SELECT id, \"user\", ip, service, route, asn, assignee, reason FROM _alerts \
                 ORDER BY id",
                &["a1||203.0.113.9|||||", "a2|u1||auth|||kim|benign", "a3||192.0.2.1|||||"],
            ),
            (
                "SELECT entities, tags, summary, t1 FROM _alerts WHERE id = 'a1'",
                &["{\"ip\":[\"203.0.113.9\",\"192.0.2.8\"]}|[attack.t1110, owasp.api2]|20 logins|\
                   2025-10-09T08:53:20.500Z"],
            ),
            (
                "SELECT a.id, count(*) AS n, sum(e.ms) FROM _alerts a \
                 JOIN events e ON e.\"source.ip\" = a.ip GROUP BY 1 ORDER BY 1",
                &["a1|3|70", "a3|1|60"],
            ),
            (
                "SELECT count(*) FROM _alerts WHERE array_has(tags, 'attack.t1110') \
                 AND severity_rank >= 3 AND updated > first_seen - INTERVAL '1 hour'",
                &["2"],
            ),
            (
                "SELECT e._seq FROM events e WHERE EXISTS (SELECT 1 FROM _alerts a \
                 WHERE a.ip = e.\"source.ip\" AND a.status = 'open') ORDER BY 1",
                &["1", "2", "4", "6"],
            ),
            ("SELECT count(*) FROM _alerts a, _alerts b", &["9"]),
            ("SELECT id FROM _alerts LIMIT 2", &["a3", "a2"]),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_alerts_are_those_that_are_kept() {
    use futures::TryStreamExt;
    let bed = watched().await;
    let meta = bed.store.meta();
    let newest: Vec<_> = meta.newest_alerts(2).try_collect().await.unwrap();
    let ids: Vec<&str> = newest.iter().map(|row| row.alert.id.as_str()).collect();
    assert_eq!(ids, ["a3", "a2"]);
    for (limit, more) in [(0, true), (2, true), (3, false), (100_000, false)] {
        assert_eq!(
            meta.has_more_alerts_than(limit).await.unwrap(),
            more,
            "{limit}"
        );
    }
    let answer = bed
        .store
        .sql("SELECT 1 FROM _alerts", SqlLimits::default())
        .await;
    assert!(!answer.unwrap().partial);
}

/// Queries of every kind that hunts use, with their rows.
const LANGUAGE: &[(&str, &[&str])] = &[
    (
        "SELECT _seq, row_number() OVER (PARTITION BY \"source.ip\" ORDER BY _seq) AS n, \
         lag(ms) OVER (ORDER BY _seq) AS before, \
         sum(ms) OVER (ORDER BY _seq ROWS 1 PRECEDING) AS two \
         FROM events ORDER BY _seq LIMIT 4",
        &["1|1||10", "2|2|10|30", "3|1|20|50", "4|3|30|70"],
    ),
    (
        "SELECT \"source.ip\" AS ip, rank() OVER (ORDER BY count(*) DESC) AS r \
         FROM events GROUP BY 1 ORDER BY r, ip",
        &["203.0.113.9|1", "198.51.100.7|2", "192.0.2.1|3"],
    ),
    (
        "WITH slow AS (SELECT * FROM events WHERE ms > 20), \
         byip AS (SELECT \"source.ip\" AS ip, max(ms) AS m FROM slow GROUP BY 1) \
         SELECT ip, m FROM byip ORDER BY m DESC",
        &["192.0.2.1|60", "198.51.100.7|50", "203.0.113.9|40"],
    ),
    (
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 4) \
         SELECT sum(i) FROM n",
        &["10"],
    ),
    (
        "SELECT _seq FROM events WHERE ms = (SELECT max(ms) FROM events)",
        &["6"],
    ),
    (
        "SELECT _seq FROM events WHERE ms NOT IN (10, 20, 30) ORDER BY 1 DESC",
        &["6", "5", "4"],
    ),
    (
        "SELECT ip FROM _alerts WHERE ip IS NOT NULL UNION \
         SELECT \"source.ip\" FROM events ORDER BY 1",
        &["192.0.2.1", "198.51.100.7", "203.0.113.9"],
    ),
    (
        "SELECT \"source.ip\" FROM events EXCEPT SELECT ip FROM _alerts",
        &["198.51.100.7"],
    ),
    (
        "SELECT date_bin(INTERVAL '2 minutes', \"@timestamp\") AS b, count(*) \
         FROM events GROUP BY 1 ORDER BY 1 LIMIT 2",
        &["2025-10-09T08:52:00Z|1", "2025-10-09T08:54:00Z|2"],
    ),
    (
        "SELECT date_trunc('hour', \"@timestamp\") AS h, \
         date_part('minute', max(\"@timestamp\")), \
         max(\"@timestamp\") - min(\"@timestamp\") < INTERVAL '6 minutes', \
         to_timestamp('2025-10-09T08:00:00Z') < now() FROM events GROUP BY 1",
        &["2025-10-09T08:00:00Z|58|true|true"],
    ),
    (
        "SELECT split_part(message, ' ', 2), regexp_like(message, '^GET .*[05]$'), \
         upper(substr(message, 1, 3)) FROM events WHERE _seq IN (1, 2) ORDER BY _seq",
        &["/item/0|true|GET", "/item/1|false|GET"],
    ),
    (
        "SELECT count(DISTINCT \"user.id\"), approx_distinct(\"source.ip\"), median(ms), \
         count(*) FILTER (WHERE ms > 30), \
         array_agg(DISTINCT \"user.id\" ORDER BY \"user.id\") FROM events",
        &["2|3|35.0|3|[u0, u1]"],
    ),
    (
        "SELECT \"user.id\", \"source.ip\", count(*) FROM events \
         GROUP BY GROUPING SETS ((\"user.id\"), (\"source.ip\"), ()) ORDER BY 3 DESC LIMIT 1",
        &["||6"],
    ),
    (
        "SELECT _seq FROM events QUALIFY row_number() OVER (ORDER BY ms DESC) = 1",
        &["6"],
    ),
    (
        "SELECT CASE WHEN ms > 30 THEN 'slow' ELSE 'fast' END AS c, count(*) \
         FROM events GROUP BY 1 ORDER BY 1",
        &["fast|3", "slow|3"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_language_has_what_hunts_need() {
    check(&watched().await, LANGUAGE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_reading_is_allowed() {
    let bed = watched().await;
    for text in [
        "COPY events TO '/tmp/x.csv'",
        "COPY (SELECT 1) TO '/tmp/x.parquet' STORED AS PARQUET",
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE DATABASE d",
        "CREATE SCHEMA s",
        "CREATE FUNCTION f(BIGINT) RETURNS BIGINT RETURN $1",
        "INSERT INTO events VALUES (1)",
        "INSERT INTO _alerts SELECT * FROM _alerts",
        "UPDATE _alerts SET status = 'closed'",
        "DELETE FROM _alerts",
        "TRUNCATE TABLE _alerts",
        "DROP TABLE _alerts",
        "ALTER TABLE events ADD COLUMN x INT",
        "SET datafusion.execution.target_partitions = 64",
        "RESET datafusion.execution.target_partitions",
        "SHOW TABLES",
        "SHOW ALL",
        "SHOW FUNCTIONS",
        "USE x",
        "BEGIN",
        "COMMIT",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "DEALLOCATE p",
        "EXPLAIN COPY events TO '/tmp/x.csv'",
        "EXPLAIN ANALYZE INSERT INTO events VALUES (1)",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM alerts",
        "SELECT * FROM sqlite_master",
        "SELECT $1",
        "VACUUM",
        "ANALYZE TABLE events COMPUTE STATISTICS",
    ] {
        let code = rows(&bed, text).await.map_or_else(|e| e.code(), |_| "ok");
        assert_eq!(code, "sql_error", "{text}");
    }
    for (text, expected) in [
        (
            "EXPLAIN SELECT 1 FROM events WHERE ms > 3",
            "StreamingTableExec",
        ),
        (
            "EXPLAIN ANALYZE SELECT a.id FROM _alerts a JOIN events e ON e.ms = a.count",
            "metrics=",
        ),
    ] {
        let found = rows(&bed, text).await.unwrap().join("\n");
        assert!(found.contains(expected), "{text}: {found}");
    }
}

/// A plan too deep for the stack would end the process, and with it this test.
#[tokio::test(flavor = "multi_thread")]
async fn no_text_is_too_deep_for_the_stack() {
    let bed = watched().await;
    let repeat = |start: &str, piece: &str, n: usize| format!("{start}{}", piece.repeat(n));
    let long_list = vec!["'203.0.113.9'"; 20_000].join(",");
    for (text, expected) in [
        (repeat("SELECT 1", "+1", 900), "ok"),
        (repeat("SELECT 1", "||'x'", 900), "ok"),
        (
            repeat("SELECT _seq FROM events WHERE ms = 1", " OR ms = 2", 480),
            "ok",
        ),
        (
            repeat("SELECT _seq FROM events WHERE ms <> 1", " AND ms <> 2", 480),
            "ok",
        ),
        (repeat("SELECT 1", " UNION ALL SELECT 1", 480), "ok"),
        (repeat("SELECT 1", "+1", 100_000), "query_limit"),
        (repeat("SELECT ", "-", 1_500) + "1", "sql_error"),
        (repeat("SELECT ", "(", 1_900) + "1", "sql_error"),
        (repeat("SELECT ", "NOT ", 1_900) + "true", "sql_error"),
        (repeat("", "SELECT * FROM (", 480) + "SELECT 1", "sql_error"),
        (repeat("SELECT 1 -- ", "x", 2 << 20), "query_limit"),
        (
            format!("SELECT _seq FROM events WHERE \"source.ip\" IN ({long_list})"),
            "ok",
        ),
    ] {
        let code = rows(&bed, &text).await.map_or_else(|e| e.code(), |_| "ok");
        let (head, bytes) = (&text[..text.len().min(60)], text.len());
        assert_eq!(code, expected, "{head} ({bytes} bytes)");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_reading_is_cut_off_and_gives_its_place_back() {
    let mut bed = watched().await;
    let many: Vec<Value> = (0..40_000).map(|n| json!({ "t": n, "ms": n })).collect();
    bed.commit(&many).await;
    let limits = SqlLimits {
        timeout: std::time::Duration::from_millis(1_500),
        ..SqlLimits::default()
    };
    let stalled = bed.store.sql("SELECT * FROM events", limits).await.unwrap();
    let places = &bed.store.shared.queries;
    let all = places
        .acquire_many(crate::shared::QUERIES as u32)
        .await
        .unwrap();
    drop(all);
    let end = collect(stalled.batches).await.map_err(|e| e.code());
    assert_eq!(end.err(), Some("query_limit"));
}
