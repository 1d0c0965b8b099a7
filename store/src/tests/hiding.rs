//! Hidden rows are in no answer, whatever asks.

use futures::StreamExt;
use serde_json::{Value, json};
use watchfire_event::{Query, TimeRange};

use super::bed::{Bed, shop_event};
use crate::search::Hidden;
use crate::{Order, SearchRequest, SqlLimits};

fn hide(bed: &Bed, hidden: Vec<Hidden>) {
    bed.store
        .shared
        .view
        .change(|view| view.hidden = hidden.into());
}

fn hidden(text: &str, range: TimeRange, up_to: u64) -> Hidden {
    Hidden {
        id: "era_1".into(),
        asked_ns: 0,
        query: Query::parse(text).unwrap(),
        range,
        up_to,
    }
}

/// What every kind of answer holds of the events that match: sequence numbers, counts.
async fn answers(bed: &Bed, query: &str) -> (Vec<u64>, Vec<u64>) {
    let (query, all) = (Query::parse(query).unwrap(), TimeRange::ALL);
    let request = SearchRequest {
        query: query.clone(),
        range: all,
        limit: 1_000,
        cursor: None,
        order: Order::OldestFirst,
    };
    let page = bed.store.search(request).await.unwrap();
    let mut seqs: Vec<u64> = page.hits.iter().map(|hit| hit.seq).collect();
    seqs.sort_unstable();
    let histogram = bed
        .store
        .histogram(query.clone(), all, 10, None)
        .await
        .unwrap();
    let facet = bed
        .store
        .facets(query.clone(), all, vec!["n".into()], 1_000)
        .await
        .unwrap()
        .remove(0);
    let export = bed.store.export_events(query.clone(), all).await.unwrap();
    let exported: Vec<_> = export.collect().await;
    let flat = bed.store.export_records(query, all).await.unwrap();
    let flat = crate::export::collect(flat).await.unwrap();
    let counts = vec![
        page.total,
        histogram.buckets.iter().map(|b| b.count).sum(),
        facet.values.iter().map(|(_, n)| n).sum::<u64>() + facet.missing,
        exported.into_iter().map(|b| b.unwrap().rows() as u64).sum(),
        flat.iter().map(|b| b.num_rows() as u64).sum(),
    ];
    (seqs, counts)
}

async fn sql_count(bed: &Bed, condition: &str) -> i64 {
    let text = format!("SELECT count(*) FROM events WHERE {condition}");
    let rows = bed.store.sql(&text, SqlLimits::default()).await.unwrap();
    let batches = crate::export::collect(rows.batches).await.unwrap();
    arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(batches[0].column(0))
        .value(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_rows_are_in_no_answer_from_memory_or_from_segments() {
    let mut bed = Bed::new().await;
    let event = |i: u64| {
        let mut event = shop_event(i);
        event["n"] = json!(i);
        event
    };
    let events: Vec<Value> = (1..=60).map(event).collect();
    bed.commit(&events[..20]).await;
    bed.seal().await;
    bed.commit(&events[20..40]).await;
    bed.seal().await;
    bed.commit(&events[40..]).await;
    let cut = events[29]["t"].as_i64().unwrap() * 1_000_000;
    let late = TimeRange {
        from_ns: cut,
        to_ns: i64::MAX,
    };
    for (text, range, up_to) in [
        ("service.name:auth", TimeRange::ALL, 60),
        ("service.name:auth", TimeRange::ALL, 30),
        ("service.name:auth", TimeRange::ALL, 50),
        ("service.name:auth", TimeRange::ALL, 0),
        ("user.id:u7 OR n:>55", late, 57),
        ("*", TimeRange::ALL, 20),
        ("*", TimeRange::ALL, 45),
    ] {
        hide(&bed, vec![hidden(text, range, up_to)]);
        for query in ["*", "service.name:auth", "-service.name:auth"] {
            let gone = bed.naive(&Query::parse(text).unwrap(), &range);
            let asked = bed.naive(&Query::parse(query).unwrap(), &TimeRange::ALL);
            let is_gone = |key: &(i64, u64)| key.1 <= up_to && gone.contains(key);
            let mut seqs: Vec<u64> = asked
                .into_iter()
                .filter(|k| !is_gone(k))
                .map(|k| k.1)
                .collect();
            seqs.sort_unstable();
            let expected = seqs.len() as u64;
            let found = answers(&bed, query).await;
            assert_eq!(found, (seqs, vec![expected; 5]), "{text} {up_to}: {query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_hide_together_and_sql_sees_none_of_them() {
    let mut bed = Bed::new().await;
    let events: Vec<Value> = (1..=30)
        .map(|n| json!({"n": n, "who": format!("u{}", n % 3)}))
        .collect();
    bed.commit(&events[..15]).await;
    bed.seal().await;
    bed.commit(&events[15..]).await;
    hide(
        &bed,
        vec![
            hidden("who:u1", TimeRange::ALL, 30),
            hidden("n:<=9", TimeRange::ALL, 30),
        ],
    );
    assert_eq!(sql_count(&bed, "true").await, 14);
    assert_eq!(sql_count(&bed, "who = 'u1'").await, 0);
    assert_eq!(sql_count(&bed, "who = 'u2' AND n < 12").await, 1);
    let (seqs, _) = answers(&bed, "*").await;
    assert!(seqs.iter().all(|n| *n > 9 && n % 3 != 1), "{seqs:?}");
}
