//! SQL and export.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use futures::StreamExt;
use serde_json::{Value, json};
use watchfire_event::{Query, TimeRange};

use super::bed::{Bed, shop_event};
use crate::export::collect;
use crate::{SqlLimits, StoreError};

async fn sql(bed: &Bed, text: &str) -> Result<Vec<RecordBatch>, StoreError> {
    collect(bed.store.sql(text, SqlLimits::default()).await?.batches).await
}

async fn table(bed: &Bed, text: &str) -> String {
    pretty_format_batches(&sql(bed, text).await.unwrap())
        .unwrap()
        .to_string()
}

/// Events in two segments and in memory.
async fn shop() -> Bed {
    let mut bed = Bed::new().await;
    let events: Vec<Value> = (0..300).map(shop_event).collect();
    for (i, chunk) in events.chunks(100).enumerate() {
        bed.commit(chunk).await;
        if i < 2 {
            bed.seal().await;
        }
    }
    bed
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_counts_what_a_scan_counts() {
    let bed = shop().await;
    assert!(
        table(&bed, "SELECT count(*) AS n FROM events")
            .await
            .contains("| 300 |")
    );
    for status in [200, 401, 503] {
        let query = Query::parse(&format!("http.response.status_code:{status}")).unwrap();
        let expected = bed.naive(&query, &TimeRange::ALL).len();
        let text = format!(
            "SELECT count(*) AS n FROM events WHERE \"http.response.status_code\" = {status}"
        );
        assert!(
            table(&bed, &text).await.contains(&format!("| {expected} ")),
            "{status}"
        );
    }
    let grouped = table(
        &bed,
        "SELECT \"service.name\" AS s, count(*) AS n FROM events GROUP BY 1 ORDER BY n DESC, s",
    )
    .await;
    let facets = bed
        .store
        .facets(
            Query::all(),
            TimeRange::ALL,
            vec!["service.name".into()],
            10,
        )
        .await
        .unwrap();
    for (value, n) in &facets[0].values {
        let line = grouped.lines().find(|l| l.contains(value)).unwrap();
        assert!(line.contains(&format!(" {n} ")), "{grouped}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_reads_times_sequence_numbers_lists_and_mixed_kinds() {
    let mut bed = Bed::new().await;
    bed.commit(&[
        json!({"t": 1_000, "m": 1, "l": ["a", "b"]}),
        json!({"t": 2_000, "m": "x"}),
    ])
    .await;
    bed.seal().await;
    bed.commit(&[json!({"t": 3_000, "m": [7], "l": ["c"], "n": null})])
        .await;
    let text = "SELECT _seq, \"@timestamp\" AS at, m, l, n FROM events \
                WHERE \"@timestamp\" >= '1970-01-01T00:00:02Z' ORDER BY _seq";
    let found = table(&bed, text).await;
    let expected = "\
+------+----------------------+-----+-----+---+
| _seq | at                   | m   | l   | n |
+------+----------------------+-----+-----+---+
| 2    | 1970-01-01T00:00:02Z | x   |     |   |
| 3    | 1970-01-01T00:00:03Z | [7] | [c] |   |
+------+----------------------+-----+-----+---+";
    assert_eq!(found, expected);
    let explained = table(
        &bed,
        "EXPLAIN SELECT _seq FROM events WHERE \"@timestamp\" < '1970-01-01T00:00:02Z'",
    )
    .await;
    assert!(explained.contains("StreamingTableExec"), "{explained}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_equality_knows_letter_case_and_kinds() {
    let mut bed = Bed::new().await;
    let values = [
        json!("x"),
        json!("X"),
        json!("a b"),
        json!(7),
        json!("7"),
        json!("say \"7\""),
    ];
    let events: Vec<Value> = values.iter().map(|v| json!({"m": v, "l": [v]})).collect();
    bed.commit(&events).await;
    for stage in ["memory", "sealed"] {
        for (wanted, expected) in [
            ("x", "1"),
            ("X", "2"),
            ("a b", "3"),
            ("7", "4,5"),
            ("say \"7\"", "6"),
            ("b", ""),
        ] {
            let text = format!(
                "SELECT string_agg(CAST(_seq AS STRING), ',' ORDER BY _seq) AS s FROM events \
                 WHERE m = '{wanted}'"
            );
            let found = table(&bed, &text).await;
            let cell = found.lines().nth(3).unwrap().trim_matches(['|', ' ']);
            assert_eq!(cell, expected, "{stage} {wanted}");
        }
        bed.seal().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_only_reads_and_keeps_to_its_limits() {
    let bed = shop().await;
    for text in [
        "DROP TABLE events",
        "INSERT INTO events VALUES (1)",
        "CREATE TABLE t AS SELECT 1",
        "SET x = 1",
        "COPY events TO '/tmp/x.csv'",
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/etc'",
        "SELECT * FROM '/etc/passwd'",
        "SELECT nothing FROM events",
        "SELEC 1",
        "",
    ] {
        let code = sql(&bed, text)
            .await
            .map(|_| "ok")
            .unwrap_or_else(|e| e.code());
        assert_eq!(code, "sql_error", "{text}");
    }
    let limited = |limits| {
        let store = bed.store.clone();
        async move {
            let text = "SELECT a._seq FROM events a, events b ORDER BY a._seq + b._seq";
            collect(store.sql(text, limits).await?.batches)
                .await
                .map(|_| ())
        }
    };
    let limits = SqlLimits::default();
    for limits in [
        SqlLimits {
            max_rows: 10,
            ..limits
        },
        SqlLimits {
            memory_bytes: 10_000,
            ..limits
        },
        SqlLimits {
            timeout: Duration::from_millis(1),
            ..limits
        },
    ] {
        let code = limited(limits).await.map_err(|e| e.code());
        assert_eq!(code, Err("query_limit"), "{limits:?}");
    }
    assert!(limited(limits).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn export_gives_every_event_once_in_order_of_segments() {
    let bed = shop().await;
    let query = Query::parse("service.name:auth").unwrap();
    let stream = bed
        .store
        .export_events(query.clone(), TimeRange::ALL)
        .await
        .unwrap();
    let batches: Vec<_> = stream.map(Result::unwrap).collect().await;
    let mut found: Vec<(u64, Value)> = Vec::new();
    for batch in &batches {
        found.extend((0..batch.rows()).map(|r| (batch.seq().value(r), batch.event_json(r))));
    }
    let segment = |seq: u64| (seq - 1) / 100;
    assert!(found.is_sorted_by_key(|(seq, _)| segment(*seq)));
    found.sort_by_key(|(seq, _)| *seq);
    let mut expected: Vec<u64> = bed
        .naive(&query, &TimeRange::ALL)
        .into_iter()
        .map(|(_, s)| s)
        .collect();
    expected.sort();
    assert_eq!(
        found.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        expected
    );
    let events = bed.events();
    assert!(
        found
            .iter()
            .all(|(seq, event)| *event == events[*seq as usize - 1])
    );

    let records = bed
        .store
        .export_records(query, TimeRange::ALL)
        .await
        .unwrap();
    assert!(records.schema().field_with_name("user.id").is_ok());
    let rows: usize = collect(records)
        .await
        .unwrap()
        .iter()
        .map(RecordBatch::num_rows)
        .sum();
    assert_eq!(rows, expected.len());
}
