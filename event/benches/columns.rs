//! JSON lines to columns, and queries over the columns.

#![allow(clippy::unwrap_used)]

mod traffic;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use watchfire_event::Query;

const ROWS: u64 = 8_192;

fn parsing(c: &mut Criterion) {
    let records = [traffic::record(0, ROWS)];
    let mut group = c.benchmark_group("columns");
    group.throughput(Throughput::Bytes(records[0].lines.len() as u64));
    group.bench_function("lines to columns", |b| {
        b.iter(|| traffic::build(black_box(&records)));
    });
    group.finish();
}

fn matching(c: &mut Criterion) {
    let batch = traffic::build(&[traffic::record(0, ROWS)]);
    let mut group = c.benchmark_group("matches");
    group.throughput(Throughput::Elements(ROWS));
    for (name, text) in [
        ("needle", format!("trace.id:{}", traffic::id(4_711))),
        (
            "field and field",
            "http.response.status_code:503 AND service.name:auth".to_owned(),
        ),
        ("phrase", "message:\"with status 401\"".to_owned()),
        ("free word", "payments".to_owned()),
        ("range", "event.duration:>=800000".to_owned()),
        ("network", "source.ip:10.20.7.0/24".to_owned()),
        ("regular expression", "url.path:/.*items.[0-9]+/".to_owned()),
        ("not", "NOT log.level:info".to_owned()),
    ] {
        let query = Query::parse(&text).unwrap();
        group.bench_function(name, |b| b.iter(|| black_box(&query).matches(&batch)));
    }
    group.finish();
}

criterion_group!(benches, parsing, matching);
criterion_main!(benches);
