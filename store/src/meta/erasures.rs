//! Erasures: what is to go, how far it has come, and the proof that stays.

use ring::hmac;
use serde::Serialize;
use sqlx::Row;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use watchfire_event::{Query, TimeRange};

use super::audit::{self, AuditEntry};
use super::{Meta, MetaError, check_text, from_db, rfc3339, rfc3339_opt, secret, to_db};

/// Most characters of a reason.
const MAX_REASON_CHARS: usize = 1_000;
/// Erasures that run at once; each is asked about by every search.
const MAX_RUNNING: i64 = 32;
/// Most rows a list returns.
const MAX_PAGE: i64 = 1_000;
/// Name of the key that queries are hashed under.
const HASH_KEY: &str = "erasures";

/// Where an erasure stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErasureStatus {
    /// The events are hidden; their bytes are being removed.
    Running,
    /// No byte of them is left in the data folder.
    Done,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct NewErasure {
    /// Which events go.
    pub query: Query,
    /// Only those with an event time in this range.
    pub range: TimeRange,
    /// Only those up to this sequence number.
    pub up_to_seq: u64,
    /// Why, in the words of who asks. Kept for good.
    pub reason: String,
    /// Name of the user or token that asks.
    pub by: String,
    /// The client's address.
    pub from_addr: Option<String>,
}

/// An erasure and, once it is done, its proof.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Erasure {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub status: ErasureStatus,
    /// The query, until the erasure is done.
    #[serde(skip)]
    pub query: Option<String>,
    /// HMAC-SHA-256 of the query's text under a key of this installation, hex.
    pub query_hash: String,
    /// Earliest event time, nanoseconds; none is open.
    #[serde(rename = "from", serialize_with = "rfc3339_opt")]
    pub from_ns: Option<i64>,
    /// Event time before which, nanoseconds; none is open.
    #[serde(rename = "to", serialize_with = "rfc3339_opt")]
    pub to_ns: Option<i64>,
    /// Last sequence number it applies to.
    pub up_to_seq: u64,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub requested_by: String,
    /// When, nanoseconds.
    #[serde(rename = "requested", serialize_with = "rfc3339")]
    pub requested_ns: i64,
    /// When it was done, nanoseconds.
    #[serde(rename = "finished", serialize_with = "rfc3339_opt")]
    pub finished_ns: Option<i64>,
    /// Events removed.
    pub events: u64,
    /// Segments written again without them.
    pub segments_rewritten: u64,
    /// Segments of which nothing was left.
    pub segments_dropped: u64,
    /// Log files that were closed and removed.
    pub log_files: u64,
    /// Refused lines removed.
    pub dead_letters: u64,
    /// Alerts removed, with their history and deliveries.
    pub alerts: u64,
    /// What it waits for, where that is known.
    pub waiting_for: Option<&'static str>,
}

impl Erasure {
    /// The range of event times.
    pub fn range(&self) -> TimeRange {
        TimeRange {
            from_ns: self.from_ns.unwrap_or(TimeRange::ALL.from_ns),
            to_ns: self.to_ns.unwrap_or(TimeRange::ALL.to_ns),
        }
    }
}

impl Meta {
    /// Enters an erasure and writes who asked for it, and why, to the audit trail, where the
    /// query stands as a keyed hash only.
    ///
    /// # Errors
    /// [`MetaError::Invalid`] for a bad reason, [`MetaError::Conflict`] when too many run.
    pub async fn begin_erasure(&self, new: &NewErasure) -> Result<Erasure, MetaError> {
        check_text("the reason", &new.reason, MAX_REASON_CHARS)?;
        let now = self.now_ns();
        let bound = |ns: i64, open: i64| (ns != open).then_some(ns);
        let mut tx = self.writer.begin().await?;
        let running: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM erasures WHERE status <> 'done'")
                .fetch_one(&mut *tx)
                .await?;
        if running >= MAX_RUNNING {
            let what = format!("{MAX_RUNNING} erasures are running; wait until one is done");
            return Err(MetaError::Conflict(what));
        }
        let key = hash_key(&mut tx).await?;
        let tag = hmac::sign(&key, new.query.text().as_bytes());
        let id = format!("era_{}", secret::random_hex(12)?);
        let query_hash = secret::hex(tag.as_ref());
        let sql = "INSERT INTO erasures (id, status, query, query_hash, from_ns, to_ns, \
                   up_to_seq, reason, requested_by, requested_ns, events, segments_rewritten, \
                   segments_dropped, log_files, dead_letters, alerts) \
                   VALUES ($1,'running',$2,$3,$4,$5,$6,$7,$8,$9,0,0,0,0,0,0)";
        sqlx::query(sql)
            .bind(&id)
            .bind(new.query.text())
            .bind(&query_hash)
            .bind(bound(new.range.from_ns, TimeRange::ALL.from_ns))
            .bind(bound(new.range.to_ns, TimeRange::ALL.to_ns))
            .bind(to_db(new.up_to_seq))
            .bind(&new.reason)
            .bind(&new.by)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        let entry = AuditEntry {
            who: new.by.clone(),
            what: "erasure.request".into(),
            object: id.clone(),
            from_addr: new.from_addr.clone(),
            detail: serde_json::json!({
                "query_hash": query_hash, "reason": new.reason, "up_to_seq": new.up_to_seq,
            }),
        };
        audit::append(&mut tx, now, &entry).await?;
        let made = fetch(&mut tx, &id).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// The newest erasures first, at most 1,000.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn list_erasures(&self) -> Result<Vec<Erasure>, MetaError> {
        let sql = "SELECT * FROM erasures ORDER BY requested_ns DESC, id DESC LIMIT $1";
        let rows = sqlx::query(sql)
            .bind(MAX_PAGE)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(erasure).collect()
    }

    /// One erasure.
    ///
    /// # Errors
    /// [`MetaError::NotFound`].
    pub async fn erasure(&self, id: &str) -> Result<Erasure, MetaError> {
        let mut connection = self.readers.acquire().await?;
        fetch(&mut connection, id).await
    }

    /// Erasures whose events have still to go, oldest first.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn running_erasures(&self) -> Result<Vec<Erasure>, MetaError> {
        let sql = "SELECT * FROM erasures WHERE status = 'running' ORDER BY requested_ns, id";
        let rows = sqlx::query(sql).fetch_all(&self.readers).await?;
        rows.iter().map(erasure).collect()
    }

    /// Notes how many log files hold what is to go; the largest number counts.
    pub(crate) async fn note_erased_log(&self, id: &str, files: u64) -> Result<(), MetaError> {
        let sql = "UPDATE erasures SET log_files = $1 WHERE id = $2 AND log_files < $1";
        self.note(sql, id, files).await
    }

    /// Adds to the number of refused lines that are gone.
    pub(crate) async fn note_erased_letters(&self, id: &str, n: u64) -> Result<(), MetaError> {
        let sql = "UPDATE erasures SET dead_letters = dead_letters + $1 WHERE id = $2";
        self.note(sql, id, n).await
    }

    async fn note(&self, sql: &'static str, id: &str, n: u64) -> Result<(), MetaError> {
        sqlx::query(sql)
            .bind(to_db(n))
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Ends an erasure: its query is wiped, what the database file and its write-ahead log held
    /// is overwritten, and only then it counts as done.
    ///
    /// # Errors
    /// [`MetaError`]; the erasure is then ended by the next call or the next start.
    pub(crate) async fn finish_erasure(&self, id: &str) -> Result<(), MetaError> {
        sqlx::query("UPDATE erasures SET status = 'closing', query = NULL WHERE id = $1")
            .bind(id)
            .execute(&self.writer)
            .await?;
        self.finish_closing().await
    }

    /// Ends the erasures of which all is gone but the traces in the database's own log.
    ///
    /// # Errors
    /// [`MetaError`], also when readers hold up the database's log for too long.
    pub(crate) async fn finish_closing(&self) -> Result<(), MetaError> {
        let sql = "SELECT id FROM erasures WHERE status = 'closing'";
        let closing: Vec<String> = sqlx::query_scalar(sql).fetch_all(&self.writer).await?;
        if closing.is_empty() {
            return Ok(());
        }
        self.truncate_log().await?;
        let now = self.now_ns();
        let mut tx = self.writer.begin().await?;
        for id in closing {
            let sql = "UPDATE erasures SET status = 'done', finished_ns = $1 WHERE id = $2";
            sqlx::query(sql)
                .bind(now)
                .bind(&id)
                .execute(&mut *tx)
                .await?;
            let done = fetch(&mut tx, &id).await?;
            let entry = AuditEntry {
                who: "system".into(),
                what: "erasure.done".into(),
                object: id,
                from_addr: None,
                detail: serde_json::json!({
                    "query_hash": done.query_hash, "events": done.events,
                    "segments_rewritten": done.segments_rewritten,
                    "segments_dropped": done.segments_dropped, "log_files": done.log_files,
                    "dead_letters": done.dead_letters, "alerts": done.alerts,
                }),
            };
            audit::append(&mut tx, now, &entry).await?;
            metrics::counter!("watchfire_erasures_done_total").increment(1);
        }
        tx.commit().await?;
        Ok(())
    }

    /// Copies the database's write-ahead log into the database and empties it.
    pub(super) async fn truncate_log(&self) -> Result<(), MetaError> {
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&self.writer)
            .await?;
        match row.try_get::<i64, _>(0)? {
            0 => Ok(()),
            _ => Err(MetaError::Conflict(
                "the database's log is being read; trying again".into(),
            )),
        }
    }
}

/// Counts a segment that was rewritten, or dropped, for an erasure.
pub(super) async fn count_segment(
    tx: &mut SqliteConnection,
    id: &str,
    (events, is_left): (u64, bool),
) -> Result<(), MetaError> {
    let sql = "UPDATE erasures SET events = events + $1, \
               segments_rewritten = segments_rewritten + $2, \
               segments_dropped = segments_dropped + $3 WHERE id = $4";
    sqlx::query(sql)
        .bind(to_db(events))
        .bind(i64::from(is_left))
        .bind(i64::from(!is_left))
        .bind(id)
        .execute(tx)
        .await?;
    Ok(())
}

/// The key of this installation, made on first use.
async fn hash_key(tx: &mut SqliteConnection) -> Result<hmac::Key, MetaError> {
    let sql = "SELECT value FROM installation_keys WHERE name = $1";
    let known: Option<Vec<u8>> = sqlx::query_scalar(sql)
        .bind(HASH_KEY)
        .fetch_optional(&mut *tx)
        .await?;
    let value = match known {
        Some(value) => value,
        None => {
            let made = secret::random(32)?;
            sqlx::query("INSERT INTO installation_keys (name, value) VALUES ($1, $2)")
                .bind(HASH_KEY)
                .bind(&made)
                .execute(&mut *tx)
                .await?;
            made
        }
    };
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &value))
}

async fn fetch(connection: &mut SqliteConnection, id: &str) -> Result<Erasure, MetaError> {
    let row = sqlx::query("SELECT * FROM erasures WHERE id = $1")
        .bind(id)
        .fetch_optional(connection)
        .await?
        .ok_or(MetaError::NotFound("erasure"))?;
    erasure(&row)
}

fn erasure(row: &SqliteRow) -> Result<Erasure, MetaError> {
    let status: String = row.try_get("status")?;
    let count = |name: &str| row.try_get(name).map(from_db);
    Ok(Erasure {
        id: row.try_get("id")?,
        status: match status.as_str() {
            "done" => ErasureStatus::Done,
            _ => ErasureStatus::Running,
        },
        query: row.try_get("query")?,
        query_hash: row.try_get("query_hash")?,
        from_ns: row.try_get("from_ns")?,
        to_ns: row.try_get("to_ns")?,
        up_to_seq: count("up_to_seq")?,
        reason: row.try_get("reason")?,
        requested_by: row.try_get("requested_by")?,
        requested_ns: row.try_get("requested_ns")?,
        finished_ns: row.try_get("finished_ns")?,
        events: count("events")?,
        segments_rewritten: count("segments_rewritten")?,
        segments_dropped: count("segments_dropped")?,
        log_files: count("log_files")?,
        dead_letters: count("dead_letters")?,
        alerts: count("alerts")?,
        waiting_for: None,
    })
}
