//! Events for benches: access logs of a shop, about 750 bytes each, the same on every machine.

#![allow(dead_code, clippy::unwrap_used)]

use arrow::array::Int64Array;
use watchfire_event::{BatchBuilder, BatchLimits, EventBatch, Record, RowMeta};

/// Event time of the first event, nanoseconds; one event follows the other after 10 ms.
pub const START_NS: i64 = 1_760_000_000_000_000_000;
const STEP_NS: i64 = 10_000_000;

/// A well-mixed number of `n` and `salt` (the finalizer of SplitMix64).
fn mixed(n: u64, salt: u64) -> u64 {
    let mut x = n.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The id of event `n`, found in no other event.
pub fn id(n: u64) -> String {
    format!("{:016x}{:016x}", mixed(n, 1), n)
}

/// Event `n` as one line of JSON.
pub fn event(n: u64) -> String {
    let pick =
        |salt, choices: &[&'static str]| choices[(mixed(n, salt) % choices.len() as u64) as usize];
    let service = pick(
        2,
        &["gateway", "auth", "orders", "payments", "catalog", "search"],
    );
    let status = pick(
        3,
        &[
            "200", "200", "200", "200", "201", "204", "304", "401", "404", "503",
        ],
    );
    let method = pick(4, &["GET", "GET", "GET", "POST", "PUT", "DELETE"]);
    let route = pick(
        5,
        &[
            "/api/items/{id}",
            "/api/cart",
            "/api/login",
            "/api/pay",
            "/health",
        ],
    );
    let outcome = if status < "400" { "success" } else { "failure" };
    let level = if status == "503" { "error" } else { "info" };
    let (user, host) = (mixed(n, 6) % 20_000, mixed(n, 7) % 40);
    let (a, b) = (mixed(n, 8) % 250, mixed(n, 9) % 250);
    let (bytes, micros) = (mixed(n, 10) % 60_000, mixed(n, 11) % 900_000);
    let time = watchfire_event::time::to_rfc3339(time_ns(n));
    let (trace, item) = (id(n), mixed(n, 12) % 100_000);
    let path = route.replace("{id}", &item.to_string());
    format!(
        "{{\"@timestamp\":\"{time}\",\"message\":\"{service} answered {method} {path} with status \
         {status} in {micros} us\",\"log\":{{\"level\":\"{level}\"}},\"service\":{{\"name\":\
         \"{service}\",\"version\":\"2.14.{host}\"}},\"host\":{{\"name\":\
         \"node-{host}.example.com\"}},\"event\":{{\"category\":[\"web\"],\
         \"outcome\":\"{outcome}\",\"duration\":{micros}}},\"http\":{{\"request\":{{\"method\":\
         \"{method}\"}},\"response\":{{\"status_code\":{status},\"body\":{{\"bytes\":{bytes}}}}},\
         \"route\":\"{route}\"}},\"url\":{{\"path\":\"{path}\",\"domain\":\
         \"shop.example.com\"}},\"user\":{{\"id\":\"u{user}\",\"roles\":[\"member\"]}},\
         \"source\":{{\"ip\":\"10.20.{a}.{b}\",\"port\":{}}},\"user_agent\":{{\"original\":\
         \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\"}},\
         \"trace\":{{\"id\":\"{trace}\"}}}}",
        1_024 + mixed(n, 13) % 60_000,
    )
}

fn time_ns(n: u64) -> i64 {
    START_NS + n as i64 * STEP_NS
}

/// Events `first` to `first + count` as a record of the log.
pub fn record(first: u64, count: u64) -> Record {
    let lines: Vec<String> = (first..first + count).map(event).collect();
    Record {
        received_ns: time_ns(first),
        source: "bench".into(),
        lines: lines.join("\n").into_bytes(),
        rows: count as u32,
        keys: Vec::new(),
    }
}

/// Lines to columns, with the events' own times.
pub fn build(records: &[Record]) -> EventBatch {
    let mut builder = BatchBuilder::new(BatchLimits::default());
    for record in records {
        let meta = RowMeta {
            received_ns: record.received_ns,
            source: record.source.clone(),
        };
        for line in record.lines.split(|b| *b == b'\n') {
            builder.push(line, &meta).unwrap();
        }
    }
    let batch = builder.finish();
    let time = |row| {
        let text = batch.text("@timestamp", row);
        text.and_then(|t| watchfire_event::time::parse_timestamp(&t))
    };
    let times: Vec<i64> = (0..batch.rows()).map(|r| time(r).unwrap()).collect();
    batch.with_time(Int64Array::from(times))
}
