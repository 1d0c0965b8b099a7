//! The worker against real receivers on loopback, with a clock moved by hand.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod delivery;
mod pace;
mod targets;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use serde_json::Value;
use tokio::sync::{Notify, mpsc, oneshot};
use watchfire_event::{Alert, AlertKind, AlertStatus, Evidence, Severity};
use watchfire_store::meta::{Delivery, DeliveryState, DetectionCommit, Meta, NewChannel};

use super::sender::system_lookup;
use super::{Lookup, TargetPolicy, Worker, run, webhook};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
const START: i64 = 1_760_000_000 * SECOND;

/// A request as a receiver saw it.
#[derive(Debug, Clone)]
struct Got {
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

type Answers = Arc<dyn Fn(usize) -> Response<Body> + Send + Sync>;

/// A receiver that keeps what it gets and answers as it is told, by the number of the request.
struct Receiver {
    url: String,
    port: u16,
    got: Arc<Mutex<Vec<Got>>>,
    arrived: mpsc::Receiver<()>,
}

#[derive(Clone)]
struct Script {
    got: Arc<Mutex<Vec<Got>>>,
    arrived: mpsc::Sender<()>,
    answers: Answers,
    /// Answers wait for it, where there is one.
    gate: Option<Arc<Notify>>,
}

async fn take(State(script): State<Script>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let n = {
        let mut got = script.got.lock().unwrap();
        got.push(Got { headers, body });
        got.len() - 1
    };
    let _ = script.arrived.try_send(());
    if let Some(gate) = &script.gate {
        gate.notified().await;
    }
    (script.answers)(n)
}

impl Receiver {
    async fn start(answers: Answers, gate: Option<Arc<Notify>>) -> Receiver {
        let got = Arc::<Mutex<Vec<Got>>>::default();
        let (sender, arrived) = mpsc::channel(1_000);
        let script = Script {
            got: Arc::clone(&got),
            arrived: sender,
            answers,
            gate,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = Router::new().fallback(take).with_state(script);
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Receiver {
            url: format!("http://127.0.0.1:{port}/hook?key=s3cr3t"),
            port,
            got,
            arrived,
        }
    }

    /// Answers the given statuses in turn, the last one for ever.
    async fn statuses(list: &'static [u16]) -> Receiver {
        Self::start(Arc::new(|n| plain(list[n.min(list.len() - 1)])), None).await
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

fn plain(status: u16) -> Response<Body> {
    Response::builder()
        .status(status)
        .body(Body::from("ok"))
        .unwrap()
}

struct Bench {
    meta: Meta,
    now: Arc<AtomicI64>,
    folder: tempfile::TempDir,
    worker: Worker,
}

async fn open(folder: &tempfile::TempDir, now: &Arc<AtomicI64>) -> Meta {
    let now = Arc::clone(now);
    let clock = Arc::new(move || now.load(Ordering::SeqCst));
    Meta::open_with_clock(folder.path(), clock).await.unwrap()
}

fn loopback() -> Arc<TargetPolicy> {
    Arc::new(TargetPolicy::parse("127.0.0.0/8").unwrap())
}

impl Bench {
    async fn new() -> Bench {
        Self::with(loopback(), system_lookup()).await
    }

    async fn with(policy: Arc<TargetPolicy>, lookup: Lookup) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicI64::new(START));
        let meta = open(&folder, &now).await;
        let worker = Worker::new(meta.clone(), policy, lookup).unwrap();
        Bench {
            meta,
            now,
            folder,
            worker,
        }
    }

    async fn restart(mut self) -> Bench {
        drop(self.worker);
        self.meta.close().await;
        self.meta = open(&self.folder, &self.now).await;
        let worker = Worker::new(self.meta.clone(), loopback(), system_lookup()).unwrap();
        Bench { worker, ..self }
    }

    async fn channel(&self, name: &str, url: &str) -> (String, String) {
        let new = NewChannel {
            name: name.into(),
            kind: "webhook".into(),
            url: url.into(),
            query: None,
        };
        let (channel, secret) = self.meta.create_channel(&new).await.unwrap();
        (channel.id, secret)
    }

    async fn raise(&self, alerts: &[Alert]) {
        let commit = DetectionCommit {
            alerts,
            position: 1,
            snapshot: None,
        };
        self.meta.commit_detection(&commit).await.unwrap();
    }

    fn pass(&self, ns: i64) {
        self.now.fetch_add(ns, Ordering::SeqCst);
    }

    async fn deliveries(&self) -> Vec<Delivery> {
        self.meta
            .list_deliveries(None, None, 500, None)
            .await
            .unwrap()
            .deliveries
    }
}

fn alert(id: &str, severity: Severity) -> Alert {
    Alert {
        id: id.into(),
        ts: 1_760_000_000.5,
        t0: 1_759_999_900.0,
        t1: 1_760_000_000.0,
        status: AlertStatus::Open,
        severity,
        score: 7.3,
        detector: "cardinality.users_per_ip".into(),
        kind: AlertKind::Statistic,
        title: "Password spraying".into(),
        summary: "1 address tried 1,204 accounts\r\nX-Evil: 1".into(),
        entities: BTreeMap::from([("ip".to_owned(), vec!["203.0.113.9".to_owned()])]),
        evidence: Evidence::default(),
        tags: vec!["attack.t1110.003".into()],
        rule: None,
        count: 1,
        risk: 0.0,
        held: false,
    }
}
