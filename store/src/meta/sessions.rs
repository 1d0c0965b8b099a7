//! Sessions of the web page: a random secret in a cookie, its hash here.

use std::time::Duration;

use serde::Serialize;
use sqlx::Row;

use super::users::user;
use super::{Meta, MetaError, User, rfc3339, secret};

/// Most sessions a user has; the oldest ends when one more begins.
const MAX_PER_USER: i64 = 50;

/// A session's last use is written at most once in this time, nanoseconds (1 min).
const SEEN_STEP_NS: i64 = 60_000_000_000;

/// A session without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Names the session in lists; the first digits of the secret's hash.
    pub id: String,
    /// Whose it is.
    pub user: User,
    /// The address it began from.
    pub from_addr: Option<String>,
    /// When it began.
    #[serde(rename = "created", serialize_with = "rfc3339")]
    pub created_ns: i64,
    /// When it was last used, to the minute.
    #[serde(rename = "last_seen", serialize_with = "rfc3339")]
    pub last_seen_ns: i64,
    /// When it ends whatever happens.
    #[serde(rename = "expires", serialize_with = "rfc3339")]
    pub expires_ns: i64,
}

/// A session to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Whose it is.
    pub user_id: String,
    /// The client's address.
    pub from_addr: Option<String>,
    /// It ends when unused for so long.
    pub idle: Duration,
    /// It ends after so long whatever happens.
    pub absolute: Duration,
}

impl Meta {
    /// Begins a session and returns its secret, for the cookie.
    ///
    /// # Errors
    /// [`MetaError`] when it cannot be stored.
    pub async fn create_session(&self, new: &NewSession) -> Result<String, MetaError> {
        let text = secret::random_hex(32)?;
        let now = self.now_ns();
        let mut tx = self.writer.begin().await?;
        sqlx::query("DELETE FROM sessions WHERE expires_ns <= $1 OR last_seen_ns + idle_ns <= $1")
            .bind(now)
            .execute(&mut *tx)
            .await?;
        let sql = "DELETE FROM sessions WHERE user_id = $1 AND hash NOT IN (SELECT hash FROM \
                   sessions WHERE user_id = $1 ORDER BY created_ns DESC LIMIT $2)";
        sqlx::query(sql)
            .bind(&new.user_id)
            .bind(MAX_PER_USER - 1)
            .execute(&mut *tx)
            .await?;
        let sql = "INSERT INTO sessions (hash, user_id, from_addr, created_ns, last_seen_ns, \
                   idle_ns, expires_ns) VALUES ($1,$2,$3,$4,$4,$5,$6)";
        sqlx::query(sql)
            .bind(secret::sha256_hex(&text))
            .bind(&new.user_id)
            .bind(&new.from_addr)
            .bind(now)
            .bind(nanos(new.idle))
            .bind(now.saturating_add(nanos(new.absolute)))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(text)
    }

    /// The session of this secret, if it goes on and its user is not locked out. Counts as use.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read or written.
    pub async fn session(&self, text: &str) -> Result<Option<Session>, MetaError> {
        let (hash, now) = (secret::sha256_hex(text), self.now_ns());
        let sql = "SELECT s.hash, s.from_addr, s.created_ns AS began_ns, s.last_seen_ns, \
                   s.expires_ns, u.* FROM sessions s JOIN users u ON u.id = s.user_id \
                   WHERE s.hash = $1 AND s.expires_ns > $2 \
                   AND s.last_seen_ns + s.idle_ns > $2 AND NOT u.disabled";
        let row = sqlx::query(sql)
            .bind(&hash)
            .bind(now)
            .fetch_optional(&self.readers)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let mut session = read(&row)?;
        if now - session.last_seen_ns >= SEEN_STEP_NS {
            session.last_seen_ns = now;
            sqlx::query("UPDATE sessions SET last_seen_ns = $1 WHERE hash = $2")
                .bind(now)
                .bind(&hash)
                .execute(&self.writer)
                .await?;
        }
        Ok(Some(session))
    }

    /// A user's sessions, newest first.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn list_sessions(&self, user_id: &str) -> Result<Vec<Session>, MetaError> {
        let sql = "SELECT s.hash, s.from_addr, s.created_ns AS began_ns, s.last_seen_ns, \
                   s.expires_ns, u.* FROM sessions s JOIN users u ON u.id = s.user_id \
                   WHERE s.user_id = $1 AND s.expires_ns > $2 \
                   AND s.last_seen_ns + s.idle_ns > $2 ORDER BY s.created_ns DESC";
        let rows = sqlx::query(sql)
            .bind(user_id)
            .bind(self.now_ns())
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Ends the session of this secret.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be written; an unknown session is no error.
    pub async fn delete_session(&self, text: &str) -> Result<(), MetaError> {
        sqlx::query("DELETE FROM sessions WHERE hash = $1")
            .bind(secret::sha256_hex(text))
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Ends all sessions of a user.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be written.
    pub async fn delete_sessions(&self, user_id: &str) -> Result<(), MetaError> {
        sqlx::query("DELETE FROM sessions WHERE user_id = $1")
            .bind(user_id)
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<Session, MetaError> {
    let hash: String = row.try_get("hash")?;
    Ok(Session {
        id: hash.chars().take(12).collect(),
        user: user(row)?,
        from_addr: row.try_get("from_addr")?,
        created_ns: row.try_get("began_ns")?,
        last_seen_ns: row.try_get("last_seen_ns")?,
        expires_ns: row.try_get("expires_ns")?,
    })
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
