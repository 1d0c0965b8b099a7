//! The outbox: messages to send, kept until they are delivered or given up on, and their log.
//!
//! When to try again is the sender's business; here is what is due and what became of it.

use std::sync::Arc;

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tokio::sync::Notify;
use watchfire_event::Severity;

use super::alerts::{alert, rank, severity_of};
use super::channels::{channel, secrets};
use super::{Channel, Meta, MetaError, rfc3339, rfc3339_opt, secret, to_db};

/// Most deliveries a page of the log holds.
const MAX_PAGE: usize = 500;

/// Most attempts kept of one delivery; later ones replace nothing and only count.
const MAX_ATTEMPTS: i64 = 200;

/// Most bytes kept of an error.
const MAX_ERROR_BYTES: usize = 500;

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// Waits for its next attempt.
    Pending,
    /// The receiver took it.
    Delivered,
    /// Given up on; can be replayed.
    Parked,
    /// Told as one of many in a digest.
    Folded,
}

impl DeliveryState {
    /// The word used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            DeliveryState::Pending => "pending",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Parked => "parked",
            DeliveryState::Folded => "folded",
        }
    }

    /// Reads the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Delivered, Self::Parked, Self::Folded]
            .into_iter()
            .find(|s| s.as_str() == word)
    }
}

/// A message to a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// The same on every attempt (`webhook-id`).
    pub id: String,
    /// The channel.
    pub channel_id: String,
    /// The alert it speaks of; none for tests and digests.
    pub alert_id: Option<String>,
    /// `alert.created`, `alert.escalated`, `alert.test` or `alert.digest`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How bad the alert was when it was queued.
    pub severity: Severity,
    /// What became of it.
    pub state: DeliveryState,
    /// Attempts since it was queued or last replayed.
    pub tries: u32,
    /// When the next attempt is due.
    #[serde(rename = "due", serialize_with = "rfc3339")]
    pub due_ns: i64,
    /// When it was queued.
    #[serde(rename = "created", serialize_with = "rfc3339")]
    pub created_ns: i64,
    /// When it was delivered, parked or folded.
    #[serde(rename = "finished", serialize_with = "rfc3339_opt")]
    pub finished_ns: Option<i64>,
    /// The last answer's HTTP status.
    pub last_status: Option<u16>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// A message that is due, with all that sending it takes. Never serialised: it holds secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct DueDelivery {
    /// The message.
    pub delivery: Delivery,
    /// When the time for attempts began, nanoseconds.
    pub clock_ns: i64,
    /// Where to.
    pub channel: Channel,
    /// Signing secrets, newest first.
    pub secrets: Vec<String>,
    /// The message's `data`: the alert as it is now.
    pub data: serde_json::Value,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it began, nanoseconds.
    pub at_ns: i64,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// The answer's HTTP status.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
    /// What follows from it.
    pub outcome: Outcome,
}

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Delivered,
    /// Try again then, nanoseconds.
    Retry {
        /// When.
        due_ns: i64,
    },
    /// Given up.
    Parked,
    /// The receiver wants no more (410): given up, and the channel is switched off.
    Gone,
}

/// An attempt in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptRow {
    /// When it began.
    #[serde(rename = "at", serialize_with = "rfc3339")]
    pub at_ns: i64,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// The answer's HTTP status.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
}

/// A page of the delivery log, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryPage {
    /// The deliveries.
    pub deliveries: Vec<Delivery>,
    /// Asks for the next page; none on the last.
    pub cursor: Option<String>,
}

impl Meta {
    /// Rings when something was queued or a channel was switched on.
    pub fn outbox_wake(&self) -> Arc<Notify> {
        Arc::clone(&self.outbox_wake)
    }

    /// Ids of the enabled channels that have something due at `now_ns`.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn due_channels(&self, now_ns: i64) -> Result<Vec<String>, MetaError> {
        let sql = "SELECT id FROM channels c WHERE enabled AND EXISTS (SELECT 1 FROM outbox o \
                   WHERE o.channel_id = c.id AND o.state = 'pending' AND o.due_ns <= $1)";
        Ok(sqlx::query_scalar(sql)
            .bind(now_ns)
            .fetch_all(&self.readers)
            .await?)
    }

    /// The messages of one channel that are due at `now_ns`, longest due first,
    /// then worst first.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn due_deliveries(
        &self,
        channel_id: &str,
        now_ns: i64,
        limit: usize,
    ) -> Result<Vec<DueDelivery>, MetaError> {
        let row = sqlx::query("SELECT * FROM channels WHERE id = $1 AND enabled")
            .bind(channel_id)
            .fetch_optional(&self.readers)
            .await?;
        let Some(row) = row else {
            return Ok(Vec::new());
        };
        let (channel, secrets) = (channel(&row)?, secrets(&row, now_ns)?);
        let sql = "SELECT * FROM outbox WHERE channel_id = $1 AND state = 'pending' \
                   AND due_ns <= $2 ORDER BY due_ns, severity DESC, id LIMIT $3";
        let rows = sqlx::query(sql)
            .bind(channel_id)
            .bind(now_ns)
            .bind(to_db(limit.min(MAX_PAGE) as u64))
            .fetch_all(&self.readers)
            .await?;
        let mut due = Vec::with_capacity(rows.len());
        for row in &rows {
            due.push(DueDelivery {
                delivery: delivery(row)?,
                clock_ns: row.try_get("clock_ns")?,
                channel: channel.clone(),
                secrets: secrets.clone(),
                data: self.message_data(row).await?,
            });
        }
        Ok(due)
    }

    /// When the next message of an enabled channel is due, nanoseconds; none when none waits.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn next_due_ns(&self, after_ns: i64) -> Result<Option<i64>, MetaError> {
        let sql = "SELECT MIN(o.due_ns) FROM outbox o JOIN channels c ON c.id = o.channel_id \
                   WHERE c.enabled AND o.state = 'pending' AND o.due_ns > $1";
        Ok(sqlx::query_scalar(sql)
            .bind(after_ns)
            .fetch_one(&self.readers)
            .await?)
    }

    /// Writes an attempt to the log and what follows from it to the message.
    ///
    /// # Errors
    /// [`MetaError::NotFound`] when the message was deleted meanwhile.
    pub async fn record_attempt(&self, id: &str, attempt: &Attempt) -> Result<(), MetaError> {
        let error = attempt
            .error
            .as_deref()
            .map(|e| &e[..e.floor_char_boundary(MAX_ERROR_BYTES)]);
        let (state, due_ns) = match attempt.outcome {
            Outcome::Delivered => (DeliveryState::Delivered, None),
            Outcome::Retry { due_ns } => (DeliveryState::Pending, Some(due_ns)),
            Outcome::Parked | Outcome::Gone => (DeliveryState::Parked, None),
        };
        let mut tx = self.writer.begin().await?;
        let sql = "UPDATE outbox SET state = $1, tries = tries + 1, \
                   due_ns = COALESCE($2, due_ns), finished_ns = $3, last_status = $4, \
                   last_error = $5 WHERE id = $6";
        let done = sqlx::query(sql)
            .bind(state.as_str())
            .bind(due_ns)
            .bind(due_ns.is_none().then_some(attempt.at_ns))
            .bind(attempt.status)
            .bind(error)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Err(MetaError::NotFound("delivery"));
        }
        let sql = "INSERT INTO delivery_attempts (delivery_id, n, at_ns, took_ms, status, error) \
                   SELECT $1, c.n + 1, $2, $3, $4, $5 FROM (SELECT COUNT(*) AS n FROM \
                   delivery_attempts WHERE delivery_id = $1) c WHERE c.n < $6";
        sqlx::query(sql)
            .bind(id)
            .bind(attempt.at_ns)
            .bind(to_db(attempt.took_ms))
            .bind(attempt.status)
            .bind(error)
            .bind(MAX_ATTEMPTS)
            .execute(&mut *tx)
            .await?;
        if attempt.outcome == Outcome::Gone {
            let sql = "UPDATE channels SET enabled = FALSE, disabled_reason = $1, \
                       updated_ns = $2 WHERE id = (SELECT channel_id FROM outbox WHERE id = $3)";
            sqlx::query(sql)
                .bind("the receiver answered 410 Gone")
                .bind(attempt.at_ns)
                .bind(id)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Queues a message of type `alert.test` to an enabled channel.
    ///
    /// # Errors
    /// [`MetaError::NotFound`]; [`MetaError::Conflict`] when the channel is switched off.
    pub async fn enqueue_test(&self, channel_id: &str) -> Result<Delivery, MetaError> {
        let channel = self
            .get_channel(channel_id)
            .await?
            .ok_or(MetaError::NotFound("channel"))?;
        if !channel.enabled {
            return Err(MetaError::Conflict("the channel is switched off".into()));
        }
        let now = self.now_ns();
        let data = serde_json::json!({
            "id": "0".repeat(32), "ts": now / 1_000_000_000, "t0": now / 1_000_000_000,
            "t1": now / 1_000_000_000, "status": "open", "severity": "info", "score": 0.0,
            "detector": "watchfire.test", "kind": "rule", "title": "Test message",
            "summary": format!("This tests the channel {:?}. Nothing happened", channel.name),
            "entities": {}, "evidence": {"query": "", "events": [], "baseline": {}},
            "tags": [], "count": 1,
        });
        let id = format!("msg_{}", secret::random_hex(16)?);
        let sql = "INSERT INTO outbox (id, channel_id, type, severity, data, state, tries, \
                   due_ns, created_ns, clock_ns) \
                   VALUES ($1,$2,'alert.test',$3,$4,'pending',0,$5,$5,$5)";
        sqlx::query(sql)
            .bind(&id)
            .bind(channel_id)
            .bind(rank(Severity::Info))
            .bind(data.to_string())
            .bind(now)
            .execute(&self.writer)
            .await?;
        self.outbox_wake.notify_one();
        self.get_delivery(&id)
            .await?
            .ok_or(MetaError::NotFound("delivery"))
    }

    /// Sends a message again, whatever became of it, with the same id and a fresh 72 hours.
    ///
    /// # Errors
    /// [`MetaError::NotFound`].
    pub async fn replay_delivery(&self, id: &str) -> Result<Delivery, MetaError> {
        let sql = "UPDATE outbox SET state = 'pending', tries = 0, due_ns = $1, clock_ns = $1, \
                   finished_ns = NULL WHERE id = $2";
        let done = sqlx::query(sql)
            .bind(self.now_ns())
            .bind(id)
            .execute(&self.writer)
            .await?;
        if done.rows_affected() == 0 {
            return Err(MetaError::NotFound("delivery"));
        }
        self.outbox_wake.notify_one();
        self.get_delivery(id)
            .await?
            .ok_or(MetaError::NotFound("delivery"))
    }

    /// The message of this id.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn get_delivery(&self, id: &str) -> Result<Option<Delivery>, MetaError> {
        let row = sqlx::query("SELECT * FROM outbox WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(delivery).transpose()
    }

    /// The alert as it is now, or what was queued.
    async fn message_data(&self, row: &SqliteRow) -> Result<serde_json::Value, MetaError> {
        let broken = |e: serde_json::Error| MetaError::Corrupt(format!("message: {e}"));
        if let Some(data) = row.try_get::<Option<String>, _>("data")? {
            return serde_json::from_str(&data).map_err(broken);
        }
        let found = sqlx::query("SELECT * FROM alerts WHERE id = $1")
            .bind(row.try_get::<Option<String>, _>("alert_id")?)
            .fetch_optional(&self.readers)
            .await?;
        match found {
            Some(row) => serde_json::to_value(alert(&row)?.alert).map_err(broken),
            None => Ok(serde_json::Value::Null),
        }
    }
}

pub(super) fn delivery(row: &SqliteRow) -> Result<Delivery, MetaError> {
    let state: String = row.try_get("state")?;
    Ok(Delivery {
        id: row.try_get("id")?,
        channel_id: row.try_get("channel_id")?,
        alert_id: row.try_get("alert_id")?,
        kind: row.try_get("type")?,
        severity: severity_of(row.try_get("severity")?),
        state: DeliveryState::parse(&state)
            .ok_or_else(|| MetaError::Corrupt(format!("unknown state {state:?}")))?,
        tries: u32::try_from(row.try_get::<i64, _>("tries")?).unwrap_or(u32::MAX),
        due_ns: row.try_get("due_ns")?,
        created_ns: row.try_get("created_ns")?,
        finished_ns: row.try_get("finished_ns")?,
        last_status: status(row.try_get("last_status")?),
        last_error: row.try_get("last_error")?,
    })
}

pub(super) fn status(number: Option<i64>) -> Option<u16> {
    number.and_then(|n| u16::try_from(n).ok())
}
