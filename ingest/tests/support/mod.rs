//! A log in memory that records what it is given, and requests without a network.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashSet;
use std::sync::{Arc, Condvar, LazyLock, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use watchfire_event::{CommitError, DeadLetter, EventBatch, EventLog, Key, Record};
use watchfire_ingest::{Ingest, IngestConfig, Mappings};

/// The built-in mappings, read once.
pub static MAPPINGS: LazyLock<Arc<Mappings>> =
    LazyLock::new(|| Arc::new(Mappings::builtin().unwrap()));

/// What the recording log holds.
#[derive(Default)]
pub struct Recorded {
    pub batches: Vec<EventBatch>,
    pub records: Vec<Record>,
    pub dead: Vec<DeadLetter>,
    pub keys: HashSet<Key>,
    pub head: u64,
    /// Answers for the commits to come, first one first; then all succeed.
    pub failures: Vec<CommitError>,
    /// Answer to `admit`.
    pub closed: Option<CommitError>,
    /// Commits wait while this is set.
    pub held: bool,
    /// The next commit panics.
    pub panics: bool,
    /// Commits that have begun.
    pub begun: usize,
}

/// See [`Recorded`].
#[derive(Default)]
pub struct RecordingLog {
    state: Mutex<Recorded>,
    changed: Condvar,
}

impl RecordingLog {
    pub fn with<T>(&self, f: impl FnOnce(&mut Recorded) -> T) -> T {
        let result = f(&mut self.state.lock().unwrap());
        self.changed.notify_all();
        result
    }

    /// Blocks until `n` commits have begun.
    pub fn wait_begun(&self, n: usize) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |s| s.begun < n).unwrap());
    }

    /// Every stored line, in order.
    pub fn lines(&self) -> Vec<String> {
        self.with(|s| {
            let lines = s
                .records
                .iter()
                .flat_map(|r| r.lines.split(|b| *b == b'\n'));
            lines
                .map(|l| String::from_utf8(l.to_vec()).unwrap())
                .collect()
        })
    }
}

impl EventLog for RecordingLog {
    fn commit(&self, batch: EventBatch, records: &[Record]) -> Result<u64, CommitError> {
        let mut state = self.state.lock().unwrap();
        state.begun += 1;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |s| s.held).unwrap();
        if std::mem::take(&mut state.panics) {
            drop(state);
            panic!("as the test wants");
        }
        if !state.failures.is_empty() {
            return Err(state.failures.remove(0));
        }
        let rows: u32 = records.iter().map(|r| r.rows).sum();
        assert_eq!(
            rows as usize,
            batch.rows(),
            "records and batch have the same rows"
        );
        for record in records {
            let lines = record.lines.split(|b| *b == b'\n').count();
            assert_eq!(
                lines, record.rows as usize,
                "a record has as many lines as rows"
            );
            state.keys.extend(&record.keys);
        }
        let first = state.head + 1;
        state.head += u64::from(rows);
        state.batches.push(batch.with_first_seq(first));
        state.records.extend_from_slice(records);
        Ok(first)
    }

    fn admit(&self) -> Result<(), CommitError> {
        self.with(|s| s.closed.clone().map_or(Ok(()), Err))
    }

    fn seen(&self, key: &Key) -> bool {
        self.with(|s| s.keys.contains(key))
    }

    fn dead_letters(&self, letters: Vec<DeadLetter>) {
        self.with(|s| s.dead.extend(letters));
    }
}

/// An intake in front of a recording log.
pub struct Fixture {
    pub log: Arc<RecordingLog>,
    pub ingest: Ingest,
    router: Router,
}

impl Fixture {
    pub fn new() -> Self {
        Self::with(IngestConfig::default())
    }

    pub fn with(config: IngestConfig) -> Self {
        let log = Arc::new(RecordingLog::default());
        let ingest = Ingest::start_with(log.clone(), config, MAPPINGS.clone()).unwrap();
        Fixture {
            router: ingest.router(),
            ingest,
            log,
        }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .to_vec();
        Answer {
            status,
            headers,
            body,
        }
    }

    pub async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub async fn events(&self, body: impl Into<Body>) -> Answer {
        self.post("/api/v1/events", &[], body).await
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| {
            panic!("{e}: {}", String::from_utf8_lossy(&self.body));
        })
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Accepted, duplicate, rejected.
    pub fn counts(&self) -> (u64, u64, u64) {
        let body = self.json();
        let rejected = body["rejected"].as_array().unwrap().len() as u64;
        (
            body["accepted"].as_u64().unwrap(),
            body["duplicate"].as_u64().unwrap(),
            rejected,
        )
    }
}
