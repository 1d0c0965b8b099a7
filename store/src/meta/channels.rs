//! Channels: where alerts are sent.

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use watchfire_event::Query;

use super::{Meta, MetaError, check_text, rfc3339, secret, to_db};

/// Most channels: every alert is held against the query of each.
const MAX_CHANNELS: u64 = 100;

/// How long the secret before a rotation still signs, nanoseconds (24 h).
const OLD_SECRET_NS: i64 = 24 * 3_600 * 1_000_000_000;

/// A place alerts are sent to, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Channel {
    /// `ch_` and random digits.
    pub id: String,
    /// What people call it, unique.
    pub name: String,
    /// The format: `webhook`.
    pub kind: String,
    /// Where to.
    pub url: String,
    /// Which alerts: a query over the alert's JSON (`severity:high AND tags:"owasp.api2"`);
    /// all when absent.
    pub query: Option<String>,
    /// Does it get alerts?
    pub enabled: bool,
    /// Why it was switched off by itself, such as an answer of 410.
    pub disabled_reason: Option<String>,
    /// When it was made.
    #[serde(rename = "created", serialize_with = "rfc3339")]
    pub created_ns: i64,
    /// When it was last changed.
    #[serde(rename = "updated", serialize_with = "rfc3339")]
    pub updated_ns: i64,
}

/// A channel to make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewChannel {
    /// See [`Channel::name`]; 1 to 100 characters.
    pub name: String,
    /// See [`Channel::kind`].
    pub kind: String,
    /// See [`Channel::url`]. Whether the target is allowed is for the caller to check.
    pub url: String,
    /// See [`Channel::query`].
    pub query: Option<String>,
}

/// What to change of a channel; `None` leaves as is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelChange {
    /// See [`Channel::name`].
    pub name: Option<String>,
    /// See [`Channel::url`].
    pub url: Option<String>,
    /// See [`Channel::query`]; `Some(None)` removes it.
    pub query: Option<Option<String>>,
    /// See [`Channel::enabled`].
    pub enabled: Option<bool>,
}

impl Meta {
    /// Makes an enabled channel. Returns it with its signing secret (`whsec_...`), which is
    /// shown this once.
    ///
    /// # Errors
    /// [`MetaError::Invalid`] for a bad name, kind, URL or query; [`MetaError::Conflict`] for a
    /// name that is taken or the 101st channel.
    pub async fn create_channel(&self, new: &NewChannel) -> Result<(Channel, String), MetaError> {
        if new.kind != "webhook" {
            return Err(MetaError::Invalid(format!(
                "unknown kind of channel {:?}",
                new.kind
            )));
        }
        let now = self.now_ns();
        let channel = Channel {
            id: format!("ch_{}", secret::random_hex(8)?),
            name: new.name.clone(),
            kind: new.kind.clone(),
            url: new.url.clone(),
            query: new.query.clone().filter(|q| !q.trim().is_empty()),
            enabled: true,
            disabled_reason: None,
            created_ns: now,
            updated_ns: now,
        };
        check(&channel)?;
        let key = secret::webhook_secret()?;
        let sql = "INSERT INTO channels (id, name, kind, url, query, enabled, secret, \
                   created_ns, updated_ns) SELECT $1,$2,$3,$4,$5,TRUE,$6,$7,$7 \
                   WHERE (SELECT COUNT(*) FROM channels) < $8";
        let done = sqlx::query(sql)
            .bind(&channel.id)
            .bind(&channel.name)
            .bind(&channel.kind)
            .bind(&channel.url)
            .bind(&channel.query)
            .bind(&key)
            .bind(now)
            .bind(to_db(MAX_CHANNELS))
            .execute(&self.writer)
            .await
            .map_err(|e| MetaError::or_conflict(e, "a channel of this name exists"))?;
        match done.rows_affected() {
            0 => Err(MetaError::Conflict(format!(
                "there are {MAX_CHANNELS} channels already"
            ))),
            _ => Ok((channel, key)),
        }
    }

    /// All channels by name.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn list_channels(&self) -> Result<Vec<Channel>, MetaError> {
        let rows = sqlx::query("SELECT * FROM channels ORDER BY name")
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(channel).collect()
    }

    /// The channel of this id.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn get_channel(&self, id: &str) -> Result<Option<Channel>, MetaError> {
        let row = sqlx::query("SELECT * FROM channels WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(channel).transpose()
    }

    /// Changes a channel. Enabling it again takes up the deliveries that wait.
    ///
    /// # Errors
    /// As [`Meta::create_channel`], and [`MetaError::NotFound`].
    pub async fn update_channel(
        &self,
        id: &str,
        change: &ChannelChange,
    ) -> Result<Channel, MetaError> {
        let mut tx = self.writer.begin().await?;
        let row = sqlx::query("SELECT * FROM channels WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or(MetaError::NotFound("channel"))?;
        let mut channel = channel(&row)?;
        if let Some(name) = &change.name {
            channel.name.clone_from(name);
        }
        if let Some(url) = &change.url {
            channel.url.clone_from(url);
        }
        if let Some(query) = &change.query {
            channel.query = query.clone().filter(|q| !q.trim().is_empty());
        }
        if let Some(enabled) = change.enabled {
            channel.enabled = enabled;
            channel.disabled_reason = None;
        }
        channel.updated_ns = self.now_ns();
        check(&channel)?;
        let sql = "UPDATE channels SET name = $1, url = $2, query = $3, enabled = $4, \
                   disabled_reason = $5, updated_ns = $6 WHERE id = $7";
        sqlx::query(sql)
            .bind(&channel.name)
            .bind(&channel.url)
            .bind(&channel.query)
            .bind(channel.enabled)
            .bind(&channel.disabled_reason)
            .bind(channel.updated_ns)
            .bind(id)
            .execute(&mut *tx)
            .await
            .map_err(|e| MetaError::or_conflict(e, "a channel of this name exists"))?;
        tx.commit().await?;
        self.outbox_wake.notify_one();
        Ok(channel)
    }

    /// Deletes a channel with its deliveries.
    ///
    /// # Errors
    /// [`MetaError::NotFound`].
    pub async fn delete_channel(&self, id: &str) -> Result<(), MetaError> {
        let done = sqlx::query("DELETE FROM channels WHERE id = $1")
            .bind(id)
            .execute(&self.writer)
            .await?;
        match done.rows_affected() {
            0 => Err(MetaError::NotFound("channel")),
            _ => Ok(()),
        }
    }

    /// Gives a channel a new signing secret and returns it. The one before keeps signing beside
    /// it for 24 hours, so that the receiver can change over.
    ///
    /// # Errors
    /// [`MetaError::NotFound`].
    pub async fn rotate_channel_secret(&self, id: &str) -> Result<String, MetaError> {
        let key = secret::webhook_secret()?;
        let now = self.now_ns();
        let sql = "UPDATE channels SET old_secret = secret, old_secret_until_ns = $1, \
                   secret = $2, updated_ns = $3 WHERE id = $4";
        let done = sqlx::query(sql)
            .bind(now.saturating_add(OLD_SECRET_NS))
            .bind(&key)
            .bind(now)
            .bind(id)
            .execute(&self.writer)
            .await?;
        match done.rows_affected() {
            0 => Err(MetaError::NotFound("channel")),
            _ => Ok(key),
        }
    }
}

/// Holds a channel's values against the rules.
fn check(channel: &Channel) -> Result<(), MetaError> {
    check_text("the name", &channel.name, 100)?;
    check_text("the url", &channel.url, 2_048)?;
    if !(channel.url.starts_with("http://") || channel.url.starts_with("https://")) {
        return Err(MetaError::Invalid(
            "the url needs the scheme http or https".into(),
        ));
    }
    if let Some(text) = &channel.query {
        check_text("the query", text, 4_096)?;
        Query::parse(text).map_err(|e| MetaError::Invalid(format!("the query: {e}")))?;
    }
    Ok(())
}

/// The secrets that sign for a channel at `now_ns`, newest first.
pub(super) fn secrets(row: &SqliteRow, now_ns: i64) -> Result<Vec<String>, MetaError> {
    let mut secrets = vec![row.try_get("secret")?];
    let until: Option<i64> = row.try_get("old_secret_until_ns")?;
    if until.is_some_and(|until| now_ns < until) {
        secrets.extend(row.try_get::<Option<String>, _>("old_secret")?);
    }
    Ok(secrets)
}

pub(super) fn channel(row: &SqliteRow) -> Result<Channel, MetaError> {
    Ok(Channel {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        kind: row.try_get("kind")?,
        url: row.try_get("url")?,
        query: row.try_get("query")?,
        enabled: row.try_get("enabled")?,
        disabled_reason: row.try_get("disabled_reason")?,
        created_ns: row.try_get("created_ns")?,
        updated_ns: row.try_get("updated_ns")?,
    })
}
