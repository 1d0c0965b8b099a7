//! Every task and channel of a running Watchfire, on one page.
//!
//! ```text
//! HTTP ─► auth ─► ingest doors ─► batcher ─► committer ─► Store (log, memtable, segments)
//!              └► web routes ─────────────────────────────► │ search, SQL, export, tail
//!                                                           ▼
//!                          rules (hot reload) ─► detect thread ─► alerts + outbox (SQLite)
//!                                                                       │
//!                                                       notify worker ◄─┘ ─► webhooks
//! ```
//!
//! Data moves one way and there is no cycle of queues: detection reads the log at its own pace,
//! the notify worker reads the outbox at its own.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::Request;
use axum::http::{Method, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use watchfire_ingest::{Ingest, IngestConfig, Mappings, SourceName};
use watchfire_store::meta::{NewToken, Scope as StoredScope};
use watchfire_store::{Store, StoreConfig};
use watchfire_web::auth::{self, Auth, Principal, Scope};
use watchfire_web::{AppState, Hooks, Seats, WebConfig};

use crate::config::Config;
use crate::detection::{Detection, Progress};
use crate::notify::{self, TargetPolicy};
use crate::rules::{Rules, Watch};

/// A started server: everything runs, nothing is accepted yet.
pub struct Server {
    listener: TcpListener,
    router: Router,
    store: Store,
    ingest: Ingest,
    detection: Option<Detection>,
    notifier: JoinHandle<()>,
    stop: watch::Sender<bool>,
    _watch: Option<Watch>,
    auth: Auth,
}

/// What a person needs on the first start.
#[derive(Debug, Clone)]
pub struct FirstStart {
    /// One-time admin link, path and query.
    pub setup_link: String,
    /// A token with the scope `ingest`; made when there was no token at all.
    pub ingest_token: Option<String>,
}

impl Server {
    /// Opens the data folder and starts every part.
    ///
    /// # Errors
    /// The first part that cannot start, with the reason.
    pub async fn start(config: &Config, metrics: PrometheusHandle) -> Result<Server> {
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("cannot listen on {}", config.listen))?;
        let mut ingest_config = IngestConfig::default();
        ingest_config.limits.keep_raw_all = config.keep_raw_all;
        // Rules are read while the log is replayed: both take a second or more.
        let (folders, lists) = (config.rules.clone(), config.intel.clone());
        let rules = tokio::task::spawn_blocking(move || Rules::load(&folders, &lists));
        let store = open_store(config, &ingest_config).await?;
        let rules = rules.await.context("cannot load the rules")?;
        let (stop, stopping) = watch::channel(false);

        let watch = match rules.has_folders() {
            true => Some(rules.watch()?),
            false => None,
        };
        let detection = match config.detect {
            true => {
                let catalog = rules.catalog();
                let engine = config.engine();
                Some(Detection::start(store.clone(), catalog, engine, stopping.clone()).await?)
            }
            false => None,
        };
        let ingest = Ingest::start(Arc::new(store.clone()), ingest_config)
            .context("cannot start the intake")?;

        let policy = Arc::new(TargetPolicy::new(config.webhook_allow.clone()));
        let notifier = tokio::spawn(notify::run(
            store.meta().clone(),
            policy.clone(),
            stopped(stopping),
        ));

        let auth = Auth::open(store.meta().clone(), false).await?;
        if let Some(token) = &config.admin_token {
            auth.ensure_admin_token(token)
                .await
                .context("WATCHFIRE_ADMIN_TOKEN")?;
        }
        let hooks = hooks(store.clone(), &rules, policy, metrics, detection.as_ref())?;
        let web_config = Arc::new(WebConfig {
            backup_dir: config.backup_dir.clone(),
            ..WebConfig::default()
        });
        let state = AppState {
            store: store.clone(),
            rules: rules.catalog(),
            auth: auth.clone(),
            hooks: Arc::new(hooks),
            seats: Arc::new(Seats::new(&web_config)),
            config: web_config,
        };
        let router = router(state, &ingest, &auth);
        let _watch = watch;
        Ok(Server {
            listener,
            router,
            store,
            ingest,
            detection,
            notifier,
            stop,
            _watch,
            auth,
        })
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// The one-time link and the first token, as long as nobody has set up an admin.
    ///
    /// # Errors
    /// When they cannot be stored.
    pub async fn first_start(&self) -> Result<Option<FirstStart>> {
        if !self.auth.needs_setup().await? {
            return Ok(None);
        }
        let setup_link = self.auth.create_setup_link().await?;
        let tokens = self.store.meta().list_tokens().await?;
        let ingest_token = match tokens.iter().any(|t| t.allows(StoredScope::Ingest)) {
            true => None,
            false => Some(self.make_token("first", StoredScope::Ingest).await?),
        };
        Ok(Some(FirstStart {
            setup_link,
            ingest_token,
        }))
    }

    /// Makes a token that does not expire.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn make_token(&self, name: &str, scope: StoredScope) -> Result<String> {
        let new = NewToken {
            name: name.to_owned(),
            scopes: vec![scope],
            created_by: "system".to_owned(),
            expires_ns: None,
        };
        Ok(self.auth.create_token(&new).await?.1)
    }

    /// Serves until `shutdown` completes, then drains in the order data flows: no more requests,
    /// what was taken is committed, detection takes its last snapshot, the store closes.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let served = watchfire_web::serve(self.listener, self.router, shutdown).await;
        tracing::info!("stopping");
        let ingest = self.ingest.clone();
        tokio::task::spawn_blocking(move || ingest.close()).await?;
        let _ = self.stop.send(true);
        if let Some(detection) = self.detection {
            tokio::task::spawn_blocking(move || detection.join()).await?;
        }
        if self.notifier.await.is_err() {
            tracing::error!("the notify worker panicked");
        }
        self.store.close().await;
        served.context("the listener failed")
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone: the server was dropped, which is a stop too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn open_store(config: &Config, ingest: &IngestConfig) -> Result<Store> {
    let mut store = StoreConfig::new(&config.data);
    store.retention = config.retention;
    store.retention_classes = config.retention_classes.clone();
    store.erase_within = config.erase_within;
    store.retention_bytes = config.retention_bytes;
    store.master_key.clone_from(&config.master_key);
    let mappings = Mappings::builtin().context("the built-in mappings")?;
    let limits = ingest.limits;
    let rebuild =
        Arc::new(move |records: &[_]| watchfire_ingest::rebuild(records, limits, &mappings));
    let store = Store::open(store, rebuild)
        .await
        .with_context(|| format!("cannot open the data folder {}", config.data.display()))?;
    if !config.detect {
        // Nobody will read what the log keeps for detection.
        store.set_detect_position(u64::MAX);
    }
    Ok(store)
}

fn hooks(
    store: Store,
    rules: &Rules,
    policy: Arc<TargetPolicy>,
    metrics: PrometheusHandle,
    detection: Option<&Detection>,
) -> Result<Hooks> {
    let progress = detection.map(Detection::progress);
    let questions = detection.map(Detection::questions);
    let settings = store.meta().watch_rules();
    let reload = rules.clone();
    let (seen, spent) = (progress.clone(), progress.clone());
    let mappings = Mappings::builtin().context("the built-in mappings")?;
    Ok(Hooks {
        check_target: Box::new(move |url| policy.check_url(url)),
        render_metrics: Box::new(move || {
            metrics::gauge!("watchfire_resident_bytes").set(crate::telemetry::rss_bytes() as f64);
            store.set_gauges();
            metrics.run_upkeep();
            metrics.render()
        }),
        reload_rules: Box::new(move || {
            reload.reload();
            Ok(())
        }),
        status: Box::new(move || status(progress.as_deref(), *settings.borrow())),
        activity: Box::new(move || {
            let seen = seen.as_ref();
            seen.map(|p| p.activity.load_full()).unwrap_or_default()
        }),
        costs: Box::new(move || {
            let spent = spent.as_ref();
            spent.map(|p| p.costs.load_full()).unwrap_or_default()
        }),
        learning: Box::new(move |kind, value| questions.as_ref()?.learning(kind, value)),
        build_event: Box::new(move |text| crate::rules::read_event(text, &mappings)),
        ready: Box::new(|| Ok(())),
    })
}

fn status(
    progress: Option<&Progress>,
    settings: u64,
) -> serde_json::Map<String, serde_json::Value> {
    let mut sections = serde_json::Map::new();
    if let Some(progress) = progress {
        let position = progress.position.load(Ordering::Acquire);
        sections.insert("readers".into(), serde_json::json!({ "detect": position }));
        let detection = serde_json::json!({
            "position": position,
            "alerts": progress.alerts.load(Ordering::Relaxed),
            "panics": progress.panics.load(Ordering::Relaxed),
            "settings_pending": progress.settings.load(Ordering::Acquire) != settings + 1,
        });
        sections.insert("detection".into(), detection);
    }
    let memory = serde_json::json!({
        "resident_bytes": crate::telemetry::rss_bytes(),
        "peak_resident_bytes": crate::telemetry::peak_rss_bytes(),
    });
    sections.insert("process".into(), memory);
    sections
}

/// The doors behind the ingest scope, the API and pages as `web` guards them, and `/` by who
/// asks: Elasticsearch clients get their handshake, browsers the page.
fn router(state: AppState, ingest: &Ingest, auth: &Auth) -> Router {
    let doors = ingest
        .router()
        .layer(middleware::from_fn(name_source))
        .layer(auth::layer(auth.clone(), Scope::Ingest));
    let tls = state.config.tls;
    let router = watchfire_web::router(state).merge(watchfire_web::harden(doors, tls));
    Router::new()
        .fallback_service(router)
        .layer(middleware::from_fn(greet_elastic_clients))
}

async fn name_source(mut request: Request, next: Next) -> Response {
    if let Some(principal) = request.extensions().get::<Principal>() {
        let name = SourceName(principal.name.clone());
        request.extensions_mut().insert(name);
    }
    next.run(request).await
}

async fn greet_elastic_clients(mut request: Request, next: Next) -> Response {
    let asks = matches!(*request.method(), Method::GET | Method::HEAD);
    if asks && request.uri().path() == "/" && watchfire_ingest::is_elastic_client(request.headers())
    {
        *request.uri_mut() = Uri::from_static("/elastic");
    }
    next.run(request).await
}
