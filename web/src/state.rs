//! What every handler can reach.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use watchfire_detect::{Activity, Costs, Learning, RuleFault, RuleSet};
use watchfire_event::{EventBatch, Query};
use watchfire_store::Store;
use watchfire_store::meta::Meta;

use crate::auth::Auth;
use crate::error::ApiError;

/// Backtests at the same time: each keeps two processors busy.
const MAX_BACKTESTS: usize = 2;

/// The parts that handlers work with. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// Events and metadata.
    pub store: Store,
    /// The rules that are live; the root puts a new catalog here on reload.
    pub rules: Arc<ArcSwap<RuleCatalog>>,
    /// Who may do what.
    pub auth: Auth,
    /// What only the root can do.
    pub hooks: Arc<Hooks>,
    /// Settings.
    pub config: Arc<WebConfig>,
    /// Seats for streams.
    pub seats: Arc<Seats>,
}

impl AppState {
    /// The query text of a request, which may name threat lists; absent or empty is everything.
    ///
    /// # Errors
    /// 400 with the position of what cannot be read.
    pub fn query(&self, text: Option<&str>) -> Result<Query, ApiError> {
        let lists = Arc::clone(self.rules.load().set.lists());
        crate::extract::query_with(text, lists.as_ref())
    }

    /// Metadata: alerts, channels, users, audit.
    pub fn meta(&self) -> &Meta {
        self.auth.meta()
    }
}

/// One loading of the rules.
#[derive(Debug, Default)]
pub struct RuleCatalog {
    /// The rules that were loaded.
    pub set: Arc<RuleSet>,
    /// The files and documents that were not, and why.
    pub faults: Vec<RuleFault>,
    /// What is wrong with threat lists: files and entries that were left out.
    pub list_faults: Vec<RuleFault>,
    /// When lists were read, by name, nanoseconds since the epoch.
    pub lists_loaded_ns: BTreeMap<String, i64>,
    /// Rises with every reload.
    pub generation: u64,
}

/// Answers with an object that is merged into another.
pub type JsonObject = serde_json::Map<String, serde_json::Value>;

/// Says why webhooks may not be sent to a URL.
pub type CheckTarget = dyn Fn(&str) -> Result<(), String> + Send + Sync;

/// Asks detection what it has still to learn of an entity.
pub type AskLearning = dyn Fn(&str, &str) -> Option<Vec<Learning>> + Send + Sync;

/// Makes a batch of one row out of an event's JSON text.
pub type BuildEvent = dyn Fn(&str) -> Result<EventBatch, String> + Send + Sync;

/// What the web needs from the root, as closures, so that it need not know the root.
pub struct Hooks {
    /// May webhooks be sent to this URL? The text says why not. May block.
    pub check_target: Box<CheckTarget>,
    /// All metrics in Prometheus' text format.
    pub render_metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// Reads the rules again. May block.
    pub reload_rules: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// More sections for `GET /api/v1/status`, such as `detection`. Its `readers.detect` is the
    /// position of the detection thread.
    pub status: Box<dyn Fn() -> JsonObject + Send + Sync>,
    /// What rules did, as of the last second or so.
    pub activity: Box<dyn Fn() -> Arc<Activity> + Send + Sync>,
    /// What rules cost since the start, as of the last second or so.
    pub costs: Box<dyn Fn() -> Arc<Costs> + Send + Sync>,
    /// What detectors do not judge yet of an entity, by its kind and value. `None` if detection is
    /// off or does not answer. May block.
    pub learning: Box<AskLearning>,
    /// Reads an event as the doors do, mappings included. The text says what is wrong with it.
    pub build_event: Box<BuildEvent>,
    /// Is everything running that a request may need? The text says what is not.
    pub ready: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl Default for Hooks {
    /// Hooks that refuse targets and know nothing: for tests and tools.
    fn default() -> Self {
        Hooks {
            check_target: Box::new(|_| Err("webhooks are not available".to_owned())),
            render_metrics: Box::new(String::new),
            reload_rules: Box::new(|| Err("reloading is not available".to_owned())),
            status: Box::new(JsonObject::new),
            activity: Box::new(Arc::default),
            costs: Box::new(Arc::default),
            learning: Box::new(|_, _| None),
            build_event: Box::new(|_| Err("events cannot be read here".to_owned())),
            ready: Box::new(|| Ok(())),
        }
    }
}

/// Settings of the HTTP edge.
#[derive(Debug, Clone)]
pub struct WebConfig {
    /// Is the listener behind TLS? Decides on `Secure` cookies and HSTS.
    pub tls: bool,
    /// Live tails at the same time.
    pub max_tails: usize,
    /// Exports at the same time.
    pub max_exports: usize,
    /// How long a request that is not a stream may take.
    pub request_timeout: Duration,
    /// The folder below which backups may be written; none where they may not be asked for.
    pub backup_dir: Option<PathBuf>,
}

impl Default for WebConfig {
    fn default() -> Self {
        WebConfig {
            tls: false,
            max_tails: 64,
            max_exports: 4,
            request_timeout: Duration::from_secs(60),
            backup_dir: None,
        }
    }
}

/// Seats for streams. Refused with 429 when all are taken, since a stream may hold its seat for
/// hours. Queries that end by themselves queue in the store.
pub struct Seats {
    tails: Arc<Semaphore>,
    exports: Arc<Semaphore>,
    backtests: Arc<Semaphore>,
}

/// A taken seat; given back on drop.
pub type Seat = OwnedSemaphorePermit;

impl Seats {
    /// As many seats as the settings say.
    pub fn new(config: &WebConfig) -> Self {
        Seats {
            tails: Arc::new(Semaphore::new(config.max_tails)),
            exports: Arc::new(Semaphore::new(config.max_exports)),
            backtests: Arc::new(Semaphore::new(MAX_BACKTESTS)),
        }
    }

    /// A seat for a live tail.
    pub fn tail(&self) -> Result<Seat, ApiError> {
        take(&self.tails, "live tails")
    }

    /// A seat for a backtest.
    pub fn backtest(&self) -> Result<Seat, ApiError> {
        take(&self.backtests, "backtests")
    }

    /// A seat for an export.
    pub fn export(&self) -> Result<Seat, ApiError> {
        take(&self.exports, "exports")
    }
}

fn take(seats: &Arc<Semaphore>, what: &str) -> Result<Seat, ApiError> {
    seats.clone().try_acquire_owned().map_err(|_| {
        ApiError::too_many(
            "too_many_streams",
            format!("too many {what} are running"),
            5,
        )
    })
}
