//! Folding: in a storm of alerts the least severe messages to a channel become one.

use serde_json::{Map, Value, json};
use sqlx::SqliteConnection;

use super::alerts::severity_of;
use super::{Meta, MetaError, from_db, secret, to_db};

/// Alerts named in a digest; the others are counted.
const MAX_NAMED: i64 = 100;

/// Detectors counted by name in a digest.
const MAX_DETECTORS: i64 = 20;

/// The messages that folding is about. Retries are left alone: receivers may know their ids.
const CANDIDATES: &str = "channel_id = $1 AND state = 'pending' AND due_ns <= $2 \
     AND tries = 0 AND alert_id IS NOT NULL";

impl Meta {
    /// When more than `room` alerts wait to be told to a channel, folds the least severe of them
    /// into one message of type `alert.digest`, so that `room` messages are left. Returns how
    /// many were folded.
    ///
    /// # Errors
    /// [`MetaError`]; then nothing has changed.
    pub async fn fold_deliveries(
        &self,
        channel_id: &str,
        now_ns: i64,
        room: usize,
    ) -> Result<u64, MetaError> {
        let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM outbox WHERE {CANDIDATES}"));
        let waiting: i64 = sqlx::query_scalar(sql)
            .bind(channel_id)
            .bind(now_ns)
            .fetch_one(&self.readers)
            .await?;
        let room = to_db(room as u64);
        if waiting <= room.max(1) {
            return Ok(0);
        }
        let id = format!("msg_{}", secret::random_hex(16)?);
        let mut tx = self.writer.begin().await?;
        let sql = sqlx::AssertSqlSafe(format!(
            "UPDATE outbox SET state = 'folded', finished_ns = $2, digest_id = $3 \
             WHERE id IN (SELECT id FROM outbox WHERE {CANDIDATES} \
             ORDER BY severity DESC, due_ns, id LIMIT $4 OFFSET $5)"
        ));
        let done = sqlx::query(sql)
            .bind(channel_id)
            .bind(now_ns)
            .bind(&id)
            .bind(i64::MAX)
            .bind(room - 1)
            .execute(&mut *tx)
            .await?;
        let folded = done.rows_affected();
        let (severity, data) = describe(&mut tx, &id, folded).await?;
        let sql = "INSERT INTO outbox (id, channel_id, type, severity, data, state, tries, \
                   due_ns, created_ns, clock_ns) \
                   VALUES ($1,$2,'alert.digest',$3,$4,'pending',0,$5,$5,$5)";
        sqlx::query(sql)
            .bind(&id)
            .bind(channel_id)
            .bind(severity)
            .bind(data.to_string())
            .bind(now_ns)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        metrics::counter!("watchfire_notifications_folded_total").increment(folded);
        Ok(folded)
    }
}

/// What a digest says, and the worst severity in it.
async fn describe(
    tx: &mut SqliteConnection,
    digest_id: &str,
    count: u64,
) -> Result<(i64, Value), MetaError> {
    let sql = "SELECT severity, COUNT(*) FROM outbox WHERE digest_id = $1 GROUP BY severity";
    let groups: Vec<(i64, i64)> = sqlx::query_as(sql)
        .bind(digest_id)
        .fetch_all(&mut *tx)
        .await?;
    let worst = groups
        .iter()
        .map(|(severity, _)| *severity)
        .max()
        .unwrap_or(0);
    let by_severity: Map<String, Value> = groups
        .into_iter()
        .map(|(severity, n)| (severity_of(severity).as_str().to_owned(), json!(from_db(n))))
        .collect();

    let sql = "SELECT a.detector, COUNT(*) AS n FROM outbox o JOIN alerts a ON a.id = o.alert_id \
               WHERE o.digest_id = $1 GROUP BY a.detector ORDER BY n DESC, a.detector LIMIT $2";
    let groups: Vec<(String, i64)> = sqlx::query_as(sql)
        .bind(digest_id)
        .bind(MAX_DETECTORS)
        .fetch_all(&mut *tx)
        .await?;
    let by_detector: Map<String, Value> = groups
        .into_iter()
        .map(|(detector, n)| (detector, json!(from_db(n))))
        .collect();

    let sql = "SELECT o.alert_id, o.severity, a.detector FROM outbox o \
               JOIN alerts a ON a.id = o.alert_id WHERE o.digest_id = $1 \
               ORDER BY o.severity DESC, o.created_ns, o.id LIMIT $2";
    let named: Vec<(String, i64, String)> = sqlx::query_as(sql)
        .bind(digest_id)
        .bind(MAX_NAMED)
        .fetch_all(&mut *tx)
        .await?;
    let alerts: Vec<Value> = named
        .into_iter()
        .map(|(id, severity, detector)| {
            json!({"id": id, "severity": severity_of(severity).as_str(), "detector": detector})
        })
        .collect();
    let data = json!({
        "count": count, "by_severity": by_severity, "by_detector": by_detector, "alerts": alerts,
    });
    Ok((worst, data))
}
