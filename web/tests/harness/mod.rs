//! A server without a socket: requests go straight into the router.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use arrow::array::Int64Array;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;
use watchfire_event::{BatchBuilder, BatchLimits, EventBatch, EventLog, Record, RowMeta};
use watchfire_store::meta::{Meta, NewToken, Role, Scope};
use watchfire_store::{Store, StoreConfig};
use watchfire_web::{AppState, Auth, Hooks, Seats, WebConfig};

pub const PASSWORD: &str = "correct horse battery";

/// A server on a folder of its own.
pub struct Server {
    pub router: Router,
    pub state: AppState,
    pub meta: Meta,
    pub ingest: String,
    pub read: String,
    pub admin: String,
    _folder: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// The cookie that the answer sets, as a browser would send it back.
    pub fn cookie(&self) -> String {
        self.header("set-cookie")
            .split(';')
            .next()
            .unwrap_or_default()
            .to_owned()
    }
}

/// A request being put together.
pub struct Call<'a> {
    server: &'a Server,
    request: Request<Body>,
}

impl Server {
    pub async fn start() -> Server {
        Server::start_with(Hooks::default(), WebConfig::default()).await
    }

    pub async fn start_with(hooks: Hooks, config: WebConfig) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = StoreConfig::new(folder.path());
        settings.disk_reserve_bytes = Some(0);
        // The events of the tests are of 2025, whatever the day.
        settings.retention = Duration::from_secs(100 * 365 * 86_400);
        let store = Store::open(settings, Arc::new(build)).await.unwrap();
        let meta = store.meta().clone();
        let auth = Auth::open(meta.clone(), config.tls).await.unwrap();
        let state = AppState {
            store,
            rules: Arc::new(ArcSwap::default()),
            auth: auth.clone(),
            hooks: Arc::new(hooks),
            seats: Arc::new(Seats::new(&config)),
            config: Arc::new(config),
        };
        Server {
            router: watchfire_web::router(state.clone()),
            ingest: token(&auth, Scope::Ingest).await,
            read: token(&auth, Scope::Read).await,
            admin: token(&auth, Scope::Admin).await,
            state,
            meta,
            _folder: folder,
        }
    }

    /// Makes events durable and searchable, as the doors do.
    pub async fn commit(&self, events: &[Value]) -> u64 {
        let lines: Vec<String> = events.iter().map(Value::to_string).collect();
        let record = Record {
            received_ns: 1_760_000_000_000_000_000,
            source: "shop".into(),
            lines: lines.join("\n").into_bytes(),
            rows: events.len() as u32,
            keys: Vec::new(),
        };
        let store = self.state.store.clone();
        let work = move || {
            store
                .commit(build(std::slice::from_ref(&record)), &[record])
                .unwrap()
        };
        tokio::task::spawn_blocking(work).await.unwrap()
    }

    pub fn call(&self, method: Method, path: &str) -> Call<'_> {
        let address: SocketAddr = "192.0.2.10:5000".parse().unwrap();
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(address));
        Call {
            server: self,
            request,
        }
    }

    pub fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    /// Makes a user and logs in; the cookie.
    pub async fn session(&self, name: &str, role: Role) -> String {
        self.state
            .auth
            .create_user(name, role, Some(PASSWORD))
            .await
            .unwrap();
        self.login(name).await
    }

    pub async fn login(&self, name: &str) -> String {
        let body = serde_json::json!({ "user": name, "password": PASSWORD });
        let answer = self
            .call(Method::POST, "/api/v1/session")
            .json(&body)
            .send()
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.cookie()
    }
}

/// Lines to a batch, as ingest does it but without its mappings: the event time is `t`, seconds.
fn build(records: &[Record]) -> EventBatch {
    let mut builder = BatchBuilder::new(BatchLimits::default());
    let mut times = Vec::new();
    for record in records {
        let meta = RowMeta {
            received_ns: record.received_ns,
            source: record.source.clone(),
        };
        for line in record.lines.split(|b| *b == b'\n') {
            builder.push(line, &meta).unwrap();
            let value: Value = serde_json::from_slice(line).unwrap();
            times.push(value["t"].as_i64().unwrap() * 1_000_000_000);
        }
    }
    builder.finish().with_time(Int64Array::from(times))
}

async fn token(auth: &Auth, scope: Scope) -> String {
    let new = NewToken {
        name: scope.as_str().to_owned(),
        scopes: vec![scope],
        created_by: "test".to_owned(),
        expires_ns: None,
    };
    auth.create_token(&new).await.unwrap().1
}

impl Call<'_> {
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.request
            .headers_mut()
            .insert(name, value.parse().unwrap());
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// As our own pages do it.
    pub fn browser(self, cookie: &str) -> Self {
        self.header("cookie", cookie)
            .header("x-watchfire", "1")
            .header("sec-fetch-site", "same-origin")
    }

    pub fn json(mut self, body: &Value) -> Self {
        let text = body.to_string();
        self = self.header("content-type", "application/json");
        self = self.header("content-length", &text.len().to_string());
        *self.request.body_mut() = Body::from(text);
        self
    }

    pub fn from(mut self, address: &str) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        self.request.extensions_mut().insert(ConnectInfo(address));
        self
    }

    /// Sends it and reads the answer to its end.
    pub async fn send(self) -> Answer {
        let (status, headers, body) = self.open().await;
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status,
            headers,
            body,
        }
    }

    /// Sends it and leaves the body to be read, for streams.
    pub async fn open(self) -> (StatusCode, HeaderMap, Body) {
        let response = self
            .server
            .router
            .clone()
            .oneshot(self.request)
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, body)
    }
}

/// Is the answer a problem document?
pub fn assert_problem(answer: &Answer, what: &str) {
    assert_eq!(
        answer.header(header::CONTENT_TYPE.as_str()),
        "application/problem+json",
        "{what}"
    );
    let body = answer.json();
    assert_eq!(body["status"], answer.status.as_u16(), "{what}");
    assert_eq!(body["type"], "about:blank", "{what}");
    for field in ["title", "code", "detail"] {
        assert!(
            body[field].as_str().is_some_and(|t| !t.is_empty()),
            "{what}: no {field}"
        );
    }
}
