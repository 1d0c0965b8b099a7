//! Metadata in SQLite: what must change together with the log's positions, and what people set.
//!
//! One file a subject. Writes go through one connection, so transactions run one after another;
//! reads have connections of their own and see the last committed state (WAL mode). Every commit
//! is synced (`synchronous=FULL`) before the call returns.
//!
//! SQL here stays within what SQLite and Postgres share, so that the backend can be exchanged.

mod alerts;
mod audit;
mod channels;
mod deliveries;
mod detection;
mod digest;
mod erasures;
mod manifest;
mod outbox;
mod redact;
mod rules;
mod secret;
mod sessions;
mod tokens;
mod triage;
mod users;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serializer;
use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::sync::{Notify, watch};

use crate::vault::Vault;

pub use alerts::{AlertCounts, AlertFilter, AlertPage, AlertRow, CloseReason};
pub use audit::{AuditEntry, AuditHead, AuditReport, AuditRow};
pub use channels::{Channel, ChannelChange, NewChannel};
pub use detection::{DetectionCommit, DetectionState, PackedState, StateWriter};
pub use erasures::{Erasure, ErasureStatus, NewErasure};
pub use manifest::{RewriteCause, SegmentRow};
pub use outbox::{
    Attempt, AttemptRow, Delivery, DeliveryPage, DeliveryState, DueDelivery, Outcome,
};
pub(crate) use redact::Copies;
pub use rules::{NewRuleException, RuleExceptionRow, RuleSetting, Verdicts};
pub use sessions::{NewSession, Session};
pub use tokens::{NewToken, Scope, TokenRow};
pub use triage::HistoryRow;
pub use users::{Role, User};

/// Name of the database file in the data folder.
pub const FILE_NAME: &str = "meta.sqlite";

/// Connections for reading; more would only wait for the same disk.
const READERS: u32 = 3;

/// How long a statement waits for another process (a backup, a command-line tool).
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "start", include_str!("migrations/0001_start.sql")),
    (2, "erasures", include_str!("migrations/0002_erasures.sql")),
    (3, "rules", include_str!("migrations/0003_rules.sql")),
    (4, "held", include_str!("migrations/0004_held.sql")),
];

/// What time it is, nanoseconds since the epoch. Tests hand in their own.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The metadata store. Cheap to clone.
#[derive(Clone)]
pub struct Meta {
    writer: SqlitePool,
    readers: SqlitePool,
    outbox_wake: Arc<Notify>,
    /// Rises with every change of what is set about rules.
    rules_changed: watch::Sender<u64>,
    clock: Clock,
    path: PathBuf,
    vault: Vault,
}

impl Meta {
    /// Opens `meta.sqlite` in `data_dir`, making it (readable by its owner only) or bringing it
    /// to the current layout where needed.
    ///
    /// # Errors
    /// [`MetaError::Io`] when the file cannot be made, [`MetaError::Migrate`] when it is of a
    /// newer version, [`MetaError::Sql`] when it is not a database.
    pub async fn open(data_dir: &Path) -> Result<Meta, MetaError> {
        Self::open_with_clock(data_dir, Arc::new(system_now_ns)).await
    }

    /// As [`Meta::open`], with a clock of the caller's.
    ///
    /// # Errors
    /// As [`Meta::open`].
    pub async fn open_with_clock(data_dir: &Path, clock: Clock) -> Result<Meta, MetaError> {
        let path = data_dir.join(FILE_NAME);
        create_private(&path)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // What is deleted is overwritten: an erasure leaves nothing in free pages.
            .pragma("secure_delete", "ON")
            .busy_timeout(BUSY_TIMEOUT);
        let writer = pool(1).connect_with(options.clone()).await?;
        migrator().run(&writer).await?;
        let readers = pool(READERS).connect_with(options.read_only(true)).await?;
        Ok(Meta {
            writer,
            readers,
            outbox_wake: Arc::new(Notify::new()),
            rules_changed: watch::Sender::new(0),
            clock,
            path,
            vault: Vault::PLAIN,
        })
    }

    /// The same store; the state of detection is written and read through `vault`.
    #[must_use]
    pub fn with_vault(self, vault: Vault) -> Meta {
        Meta { vault, ..self }
    }

    /// Where the database file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The time by this store's clock, nanoseconds since the epoch.
    pub fn now_ns(&self) -> i64 {
        (self.clock)()
    }

    /// Writes a consistent copy to `target`, which must not exist, while work goes on.
    ///
    /// # Errors
    /// [`MetaError`] when the copy cannot be written.
    pub async fn backup(&self, target: &Path) -> Result<(), MetaError> {
        let target = target.to_str().ok_or_else(|| {
            MetaError::Invalid("the path of the backup is not valid UTF-8".into())
        })?;
        sqlx::query("VACUUM INTO $1")
            .bind(target)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Checks the database file's own structure. Empty when all is well.
    ///
    /// # Errors
    /// [`MetaError`] when the file cannot be read.
    pub async fn verify_file(&self) -> Result<Vec<String>, MetaError> {
        let mut faults: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_all(&self.readers)
            .await?;
        faults.retain(|line| line != "ok");
        Ok(faults)
    }

    /// Finishes running statements and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

impl std::fmt::Debug for Meta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meta").field("path", &self.path).finish()
    }
}

/// Why a metadata call failed.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// The database refused or could not be reached.
    #[error("metadata database: {0}")]
    Sql(#[from] sqlx::Error),
    /// The database's layout could not be brought up to date.
    #[error("metadata migration: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The file could not be made.
    #[error("metadata file: {0}")]
    Io(#[from] std::io::Error),
    /// A stored value cannot be read back.
    #[error("metadata is damaged: {0}")]
    Corrupt(String),
    /// There is nothing of that id.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// It exists already, or a limit is reached.
    #[error("{0}")]
    Conflict(String),
    /// The request makes no sense; the text says why.
    #[error("{0}")]
    Invalid(String),
}

impl MetaError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            MetaError::Sql(_) | MetaError::Migrate(_) | MetaError::Io(_) => "io",
            MetaError::Corrupt(_) => "corrupt",
            MetaError::NotFound(_) => "not_found",
            MetaError::Conflict(_) => "conflict",
            MetaError::Invalid(_) => "invalid",
        }
    }

    /// Turns a broken uniqueness rule into [`MetaError::Conflict`] with `message`.
    fn or_conflict(error: sqlx::Error, message: &str) -> MetaError {
        match &error {
            sqlx::Error::Database(e) if e.is_unique_violation() => {
                MetaError::Conflict(message.into())
            }
            _ => MetaError::Sql(error),
        }
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

fn migrator() -> Migrator {
    let list = MIGRATIONS.iter().map(|(version, name, sql)| {
        let kind = MigrationType::Simple;
        Migration::new(*version, (*name).into(), kind, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(list.collect())
}

/// Makes the file with mode 0600 before SQLite would make it with the process's umask; the
/// `-wal` and `-shm` files take the mode of the database file.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn system_now_ns() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Serialises nanoseconds as RFC 3339 with milliseconds.
fn rfc3339<S: Serializer>(ns: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    let ms = ns.div_euclid(1_000_000) * 1_000_000;
    serializer.serialize_str(&watchfire_event::time::to_rfc3339(ms))
}

/// As [`rfc3339`], `null` for none.
fn rfc3339_opt<S: Serializer>(ns: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match ns {
        Some(ns) => rfc3339(ns, serializer),
        None => serializer.serialize_none(),
    }
}

/// Unsigned numbers are kept as BIGINT. Sequence numbers and sizes stay far below its limit.
fn to_db(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn from_db(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// Refuses texts of people that are empty or too long, or hold control characters.
fn check_text(what: &str, text: &str, max_chars: usize) -> Result<(), MetaError> {
    if text.trim().is_empty() {
        return Err(MetaError::Invalid(format!("{what} is empty")));
    }
    if text.chars().count() > max_chars {
        return Err(MetaError::Invalid(format!(
            "{what} is longer than {max_chars} characters"
        )));
    }
    if text
        .chars()
        .any(|c| c.is_control() && c != '\n' && c != '\t')
    {
        return Err(MetaError::Invalid(format!(
            "{what} holds control characters"
        )));
    }
    Ok(())
}
