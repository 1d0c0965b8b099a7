//! The same answers from memory, from segments and after a restart as from a naive scan.

use proptest::prelude::*;
use serde_json::{Value, json};
use watchfire_event::{Query, TimeRange};

use super::bed::{Bed, Counted, shop_event};
use crate::vault::MasterKey;
use crate::{Cursor, Order, SearchRequest, StoreError};

async fn page(
    bed: &Bed,
    query: &Query,
    range: TimeRange,
    limit: usize,
    cursor: Option<Cursor>,
    order: Order,
) -> crate::SearchPage {
    let request = SearchRequest {
        query: query.clone(),
        range,
        limit,
        cursor,
        order,
    };
    bed.store.search(request).await.unwrap()
}

/// Compares every kind of answer with the naive scan.
pub(super) async fn check(bed: &Bed, text: &str, range: TimeRange, stage: &str) {
    let query = Query::parse(text).unwrap();
    let expected = bed.naive(&query, &range);
    let context = format!("{stage}: {text} in {range:?}");
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let mut expected = expected.clone();
        if order == Order::NewestFirst {
            expected.reverse();
        }
        let found = page(bed, &query, range, 10_000, None, order).await;
        let keys: Vec<(i64, u64)> = found.hits.iter().map(|h| (h.time_ns, h.seq)).collect();
        assert_eq!(keys, expected, "{context}");
        assert_eq!(
            (found.total, found.total_is_exact),
            (expected.len() as u64, true),
            "{context}"
        );
        let events = bed.events();
        for hit in found.hits {
            assert_eq!(hit.event, events[hit.seq as usize - 1], "{context}");
            assert_eq!(hit.source.as_deref(), Some("shop"));
        }
        let mut paged = Vec::new();
        let mut cursor = None;
        loop {
            let found = page(bed, &query, range, 3, cursor, order).await;
            assert_eq!(found.total, expected.len() as u64, "{context}");
            paged.extend(found.hits.iter().map(|h| (h.time_ns, h.seq)));
            cursor = found.cursor;
            if cursor.is_none() || paged.len() > 60 {
                break;
            }
        }
        expected.truncate(paged.len().max(expected.len().min(60)));
        assert_eq!(paged, expected, "{context}");
    }
    check_counts(bed, &query, range, &expected, &context).await;
}

async fn check_counts(
    bed: &Bed,
    query: &Query,
    range: TimeRange,
    expected: &[(i64, u64)],
    context: &str,
) {
    let histogram = bed
        .store
        .histogram(query.clone(), range, 7, Some("a".into()))
        .await
        .unwrap();
    let total: u64 = histogram.buckets.iter().map(|b| b.count).sum();
    assert_eq!(total, expected.len() as u64, "{context}");
    for bucket in &histogram.buckets {
        let end = bucket.from_ns.saturating_add(histogram.width_ns);
        let inside = expected
            .iter()
            .filter(|(t, _)| *t >= bucket.from_ns && *t < end)
            .count();
        assert_eq!(bucket.count, inside as u64, "{context}");
    }
    let fields: Vec<String> = [
        "a",
        "user.id",
        "b",
        "http.response.status_code",
        "user.roles",
    ]
    .map(str::to_owned)
    .to_vec();
    let facets = bed
        .store
        .facets(query.clone(), range, fields, 1_000)
        .await
        .unwrap();
    for facet in facets {
        let found = Counted {
            values: facet.values,
            missing: facet.missing,
        };
        assert_eq!(
            found,
            bed.naive_facet(query, &range, &facet.field),
            "{context} {}",
            facet.field
        );
        assert_eq!(facet.distinct, found.values.len() as u64);
    }
}

fn value() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "red", "Green", "blue-sky", "u1", "10.0.0.1", "héllo", "İx", "42", "",
    ]);
    let text = prop::collection::vec(word.clone(), 0..5).prop_map(|w| w.join(" "));
    let scalar = prop_oneof![
        word.prop_map(|w| json!(w)),
        text.prop_map(|t| json!(t)),
        (-3_i64..50).prop_map(|n| json!(n)),
        (-3_i64..9).prop_map(|n| json!(n as f64 / 2.0)),
        any::<bool>().prop_map(|b| json!(b)),
        Just(Value::Null),
        "[a-f0-9]{12}".prop_map(|t| json!(t)),
    ];
    prop_oneof![
        8 => scalar.clone(),
        1 => prop::collection::vec(scalar.clone(), 0..3).prop_map(Value::from),
        1 => prop::collection::btree_map("[bc]", scalar, 0..3).prop_map(|m| json!(m)),
    ]
}

fn event() -> impl Strategy<Value = Value> {
    let fields = prop::collection::btree_map("[abc]", value(), 0..4);
    (
        fields,
        prop::option::weighted(0.9, 0_i64..40),
        "[a-f0-9]{8}",
        0..30_u32,
    )
        .prop_map(|(fields, t, id, n)| {
            let mut event = json!(fields);
            event["id"] = json!(id);
            event["text"] = json!(format!("row {n} of {id} and more"));
            if let Some(t) = t {
                event["t"] = json!(t * 1_000);
            }
            event
        })
}

fn query() -> impl Strategy<Value = String> {
    let field = prop::sample::select(vec!["a", "b", "c", "a.b", "id", "text", "t", "none"]);
    let word = prop::sample::select(vec![
        "red",
        "GREEN",
        "blue",
        "\"blue sky\"",
        "sky",
        "u1",
        "42",
        "1.5",
        "true",
        "row",
        "héllo",
        "\"row 7\"",
        "re*",
        "?1",
        "\"10.0.0.1\"",
        "İx",
    ]);
    let leaf = prop_oneof![
        4 => (field.clone(), word.clone()).prop_map(|(f, w)| format!("{f}:{w}")),
        3 => word.clone().prop_map(str::to_owned),
        1 => field.clone().prop_map(|f| format!("{f}:*")),
        1 => (field.clone(), 0..40).prop_map(|(f, n)| format!("{f}:>={n}")),
        1 => (field, word.clone(), word).prop_map(|(f, a, b)| format!("{f}: IN [{a} {b}]")),
        1 => Just("_seq:<=20".to_owned()),
        1 => Just("*".to_owned()),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|l| format!("({})", l.join(" AND "))),
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|l| format!("({})", l.join(" OR "))),
            inner.prop_map(|q| format!("(NOT {q})")),
        ]
    })
}

fn range() -> impl Strategy<Value = TimeRange> {
    let bound = (0_i64..45).prop_map(|s| s * 1_000_000_000);
    prop_oneof![
        Just(TimeRange::ALL),
        (bound.clone(), bound).prop_map(|(a, b)| TimeRange {
            from_ns: a.min(b),
            to_ns: a.max(b)
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    })]

    #[test]
    fn answers_are_those_of_a_naive_scan(
        chunks in prop::collection::vec(prop::collection::vec(event(), 1..12), 1..9),
        queries in prop::collection::vec((query(), range()), 6),
        seal_after in 0_usize..9,
        encrypted in any::<bool>(),
    ) {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut bed = Bed::with(|c| {
                c.master_key = encrypted.then(|| MasterKey::random().unwrap());
            })
            .await;
            for (i, chunk) in chunks.iter().enumerate() {
                bed.commit(chunk).await;
                if i == seal_after {
                    bed.seal().await;
                }
            }
            for (text, range) in &queries {
                check(&bed, text, *range, "memory").await;
            }
            bed.seal().await;
            for (text, range) in &queries {
                check(&bed, text, *range, "sealed").await;
            }
            let bed = bed.reopen().await;
            for (text, range) in &queries {
                check(&bed, text, *range, "reopened").await;
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shop_queries_agree_across_memory_and_segments() {
    let mut bed = Bed::new().await;
    for chunk in (0..600).map(shop_event).collect::<Vec<_>>().chunks(50) {
        bed.commit(chunk).await;
        if bed.all.len().is_multiple_of(4) {
            bed.seal().await;
        }
    }
    bed.commit(&[shop_event(601)]).await;
    let access: Vec<_> = bed.store.shared.view.get().segments[0]
        .info
        .columns
        .iter()
        .map(|c| (c.name.clone(), c.access))
        .collect();
    assert!(
        access.contains(&("message".into(), crate::segment::Access::Index)),
        "{access:?}"
    );
    assert!(
        access.contains(&("trace.id".into(), crate::segment::Access::Bloom)),
        "{access:?}"
    );
    let trace = format!(
        "trace.id:{:032x}",
        77_u64.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    );
    let minutes = TimeRange {
        from_ns: 1_760_000_600_000_000_000,
        to_ns: 1_760_001_200_000_000_000,
    };
    for text in [
        "*",
        "",
        trace.as_str(),
        "user.id:u7",
        "http.response.status_code:503 AND service.name:payments",
        "message:\"with status 401\"",
        "payments 503",
        "NOT payments",
        "user.roles:admin",
        "gateway OR 401",
        "-message:payments ok:true",
        "message:*",
        "trace.id:* AND NOT user.id:u1",
        "took:>60",
        "u7",
        "ms 12",
    ] {
        check(&bed, text, TimeRange::ALL, "shop").await;
        check(&bed, text, minutes, "shop").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_stay_put_while_events_arrive() {
    let mut bed = Bed::new().await;
    let first: Vec<Value> = (0..100).map(shop_event).collect();
    bed.commit(&first[..60]).await;
    bed.seal().await;
    bed.commit(&first[60..]).await;
    let expected: Vec<(i64, u64)> = bed
        .naive(&Query::all(), &TimeRange::ALL)
        .into_iter()
        .rev()
        .collect();
    let mut seen = Vec::new();
    let mut cursor: Option<Cursor> = None;
    for arrival in 100.. {
        let found = page(
            &bed,
            &Query::all(),
            TimeRange::ALL,
            7,
            cursor,
            Order::NewestFirst,
        )
        .await;
        seen.extend(
            found
                .hits
                .iter()
                .map(|h| (h.time_ns, h.seq))
                .filter(|(_, seq)| *seq <= 100),
        );
        cursor = found.cursor;
        if cursor.is_none() {
            break;
        }
        bed.commit(&[shop_event(arrival)]).await;
        if arrival == 105 {
            bed.seal().await;
        }
    }
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_out_of_bounds_is_refused() {
    let bed = Bed::new().await;
    let request = SearchRequest {
        query: Query::all(),
        range: TimeRange::ALL,
        limit: 10_001,
        cursor: None,
        order: Order::NewestFirst,
    };
    let code = |e: StoreError| e.code();
    assert_eq!(
        bed.store.search(request).await.map(|_| ()).map_err(code),
        Err("query_limit")
    );
    let none = bed
        .store
        .histogram(Query::all(), TimeRange::ALL, 0, None)
        .await;
    assert_eq!(none.map_err(code), Err("invalid_request"));
    let many = vec!["a".to_owned(); 51];
    let facets = bed
        .store
        .facets(Query::all(), TimeRange::ALL, many, 1)
        .await;
    assert_eq!(facets.map_err(code), Err("invalid_request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_told_with_their_kinds() {
    let mut bed = Bed::new().await;
    bed.commit(&[
        json!({"a": "x", "b": {"c": 1}}),
        json!({"a": 7, "l": ["p", "q"]}),
    ])
    .await;
    for stage in ["memory", "sealed"] {
        let fields = bed.store.fields().await.unwrap();
        let told: Vec<_> = fields
            .iter()
            .filter(|f| !f.name.starts_with('_'))
            .map(|f| (f.name.as_str(), f.types.clone(), f.events, f.mapped))
            .collect();
        let expected = vec![
            ("a", vec!["string", "integer"], 2, false),
            ("b.c", vec!["integer"], 1, false),
            ("l", vec!["strings"], 1, false),
        ];
        assert_eq!(told, expected, "{stage}");
        bed.seal().await;
    }
}
