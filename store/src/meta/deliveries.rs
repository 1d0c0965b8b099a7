//! The delivery log as people read it, and what keeps it from growing for ever.

use std::collections::BTreeMap;

use sqlx::{QueryBuilder, Row, Sqlite};

use super::outbox::{delivery, status};
use super::{AttemptRow, DeliveryPage, DeliveryState, Meta, MetaError, from_db};

/// Most deliveries a page holds.
const MAX_PAGE: usize = 500;

/// How long finished deliveries are kept, nanoseconds (30 d).
const KEEP_NS: i64 = 30 * 86_400 * 1_000_000_000;

/// Deliveries removed in one transaction, so that the writer is never held for long.
const PRUNE_CHUNK: i64 = 1_000;

impl Meta {
    /// A page of the delivery log, newest first: at most `limit` (500) deliveries, of one
    /// channel or all, in one state or any.
    ///
    /// # Errors
    /// [`MetaError::Invalid`] for a cursor of other making.
    pub async fn list_deliveries(
        &self,
        channel_id: Option<&str>,
        state: Option<DeliveryState>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<DeliveryPage, MetaError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT * FROM outbox WHERE TRUE");
        if let Some(id) = channel_id {
            sql.push(" AND channel_id = ").push_bind(id.to_owned());
        }
        if let Some(state) = state {
            sql.push(" AND state = ").push_bind(state.as_str());
        }
        if let Some(cursor) = cursor {
            let (created_ns, id) = cursor
                .split_once('.')
                .and_then(|(at, id)| Some((at.parse::<i64>().ok()?, id)))
                .ok_or_else(|| MetaError::Invalid("the cursor is not one of ours".into()))?;
            sql.push(" AND (created_ns < ").push_bind(created_ns);
            sql.push(" OR (created_ns = ").push_bind(created_ns);
            sql.push(" AND id < ").push_bind(id.to_owned()).push("))");
        }
        sql.push(" ORDER BY created_ns DESC, id DESC LIMIT ")
            .push_bind(limit as i64 + 1);
        let mut rows = sql.build().fetch_all(&self.readers).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let deliveries = rows.iter().map(delivery).collect::<Result<Vec<_>, _>>()?;
        let cursor = deliveries
            .last()
            .filter(|_| more)
            .map(|last| format!("{}.{}", last.created_ns, last.id));
        Ok(DeliveryPage { deliveries, cursor })
    }

    /// The attempts of a delivery, oldest first.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn delivery_attempts(&self, id: &str) -> Result<Vec<AttemptRow>, MetaError> {
        let sql = "SELECT at_ns, took_ms, status, error FROM delivery_attempts \
                   WHERE delivery_id = $1 ORDER BY n";
        let rows = sqlx::query(sql).bind(id).fetch_all(&self.readers).await?;
        rows.iter()
            .map(|row| {
                Ok(AttemptRow {
                    at_ns: row.try_get("at_ns")?,
                    took_ms: from_db(row.try_get("took_ms")?),
                    status: status(row.try_get("status")?),
                    error: row.try_get("error")?,
                })
            })
            .collect()
    }

    /// How many deliveries there are, by state.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn delivery_counts(&self) -> Result<BTreeMap<String, u64>, MetaError> {
        let groups: Vec<(String, i64)> =
            sqlx::query_as("SELECT state, COUNT(*) FROM outbox GROUP BY state")
                .fetch_all(&self.readers)
                .await?;
        Ok(groups
            .into_iter()
            .map(|(state, n)| (state, from_db(n)))
            .collect())
    }

    /// Removes deliveries finished more than 30 days ago, a bounded number at a time. Those of
    /// alerts that still change stay: they say what the channel was told. Returns how many went.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be written.
    pub async fn prune_deliveries(&self) -> Result<u64, MetaError> {
        let before_ns = self.now_ns().saturating_sub(KEEP_NS);
        let sql = "DELETE FROM outbox WHERE id IN (SELECT o.id FROM outbox o \
                   WHERE o.created_ns < $1 AND o.finished_ns < $1 AND NOT EXISTS \
                   (SELECT 1 FROM alerts a WHERE a.id = o.alert_id AND a.updated_ns >= $1) \
                   ORDER BY o.created_ns LIMIT $2)";
        let done = sqlx::query(sql)
            .bind(before_ns)
            .bind(PRUNE_CHUNK)
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected())
    }
}
