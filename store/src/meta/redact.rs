//! Taking what an erasure names out of alerts, comments and messages.

use serde_json::Value;
use sqlx::{Row, SqliteConnection};
use watchfire_event::{Query, TimeRange};

use super::{Meta, MetaError, to_db};

/// Rows looked at a time.
const CHUNK: i64 = 500;
/// What stands in the place of a comment.
const REDACTED: &str = "[erased]";

/// Which copies go.
#[derive(Debug, Clone)]
pub(crate) struct Copies {
    /// The erasure that they count for.
    pub id: String,
    /// What they speak of.
    pub query: Query,
    /// Only alerts about this time.
    pub range: TimeRange,
    /// Only alerts that rest on an event up to this one.
    pub up_to_seq: u64,
    /// Only what was written by then, nanoseconds.
    pub by_ns: i64,
}

impl Meta {
    /// Removes alerts that speak of what is erased, with history, deliveries and messages, and
    /// redacts comments that do. Returns how many alerts went.
    ///
    /// # Errors
    /// [`MetaError`]; then nothing has changed.
    pub(crate) async fn erase_copies(&self, copies: &Copies) -> Result<u64, MetaError> {
        let mut tx = self.writer.begin().await?;
        let alerts = alerts_of(&mut tx, copies).await?;
        for id in &alerts {
            sqlx::query("DELETE FROM outbox WHERE alert_id = $1")
                .bind(id)
                .execute(&mut *tx)
                .await?;
            sqlx::query("DELETE FROM alerts WHERE id = $1")
                .bind(id)
                .execute(&mut *tx)
                .await?;
        }
        remove_messages(&mut tx, copies).await?;
        redact_comments(&mut tx, copies).await?;
        sqlx::query("UPDATE erasures SET alerts = alerts + $1 WHERE id = $2")
            .bind(to_db(alerts.len() as u64))
            .bind(&copies.id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(alerts.len() as u64)
    }

    /// Forgets the saved state of detection: it learns anew.
    ///
    /// # Errors
    /// [`MetaError`]; then nothing has changed.
    pub(crate) async fn drop_detection_state(&self) -> Result<(), MetaError> {
        sqlx::query("DELETE FROM detection_snapshot")
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

async fn alerts_of(tx: &mut SqliteConnection, copies: &Copies) -> Result<Vec<String>, MetaError> {
    let sql = "SELECT id, t0_ns, t1_ns, first_seen_ns, body FROM alerts \
               WHERE id > $1 ORDER BY id LIMIT $2";
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let rows = sqlx::query(sql)
            .bind(&after)
            .bind(CHUNK)
            .fetch_all(&mut *tx)
            .await?;
        let Some(last) = rows.last() else {
            return Ok(found);
        };
        after = last.try_get("id")?;
        for row in &rows {
            let (t0, t1): (i64, i64) = (row.try_get("t0_ns")?, row.try_get("t1_ns")?);
            let body: Value = serde_json::from_str(row.try_get("body")?).unwrap_or_default();
            let is_older = match first_evidence(&body) {
                Some(seq) => seq <= copies.up_to_seq,
                None => row.try_get::<i64, _>("first_seen_ns")? <= copies.by_ns,
            };
            if is_older && copies.range.overlaps(t0, t1) && speaks(&copies.query, &body) {
                found.push(row.try_get("id")?);
            }
        }
    }
}

/// The first event that an alert rests on.
fn first_evidence(body: &Value) -> Option<u64> {
    let events = body.pointer("/evidence/events")?.as_array()?;
    let seqs = events.iter().filter_map(Value::as_str);
    seqs.filter_map(|seq| seq.parse().ok()).min()
}

/// Do the names and values in it speak of what the query names?
fn speaks(query: &Query, value: &Value) -> bool {
    let mut texts = Vec::new();
    collect(value, &mut texts);
    query.is_mentioned_by(&texts)
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        // Counts and times name nobody; entities are texts.
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => texts.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|v| collect(v, texts)),
        Value::Object(map) => {
            for (name, value) in map {
                texts.push(name.clone());
                collect(value, texts);
            }
        }
    }
}

/// Messages with data of their own: tests and digests.
async fn remove_messages(tx: &mut SqliteConnection, copies: &Copies) -> Result<(), MetaError> {
    let sql = "SELECT id, data FROM outbox WHERE data IS NOT NULL AND created_ns <= $1";
    let rows = sqlx::query(sql)
        .bind(copies.by_ns)
        .fetch_all(&mut *tx)
        .await?;
    for row in rows {
        let data: Value = serde_json::from_str(row.try_get("data")?).unwrap_or_default();
        if speaks(&copies.query, &data) {
            sqlx::query("DELETE FROM outbox WHERE id = $1")
                .bind(row.try_get::<String, _>("id")?)
                .execute(&mut *tx)
                .await?;
        }
    }
    Ok(())
}

async fn redact_comments(tx: &mut SqliteConnection, copies: &Copies) -> Result<(), MetaError> {
    let sql = "SELECT alert_id, n, new_value FROM alert_history \
               WHERE action = 'comment' AND new_value IS NOT NULL AND at_ns <= $1";
    let rows = sqlx::query(sql)
        .bind(copies.by_ns)
        .fetch_all(&mut *tx)
        .await?;
    for row in rows {
        let text: String = row.try_get("new_value")?;
        if copies.query.is_mentioned_by(&[text]) {
            let sql = "UPDATE alert_history SET new_value = $1 WHERE alert_id = $2 AND n = $3";
            sqlx::query(sql)
                .bind(REDACTED)
                .bind(row.try_get::<String, _>("alert_id")?)
                .bind(row.try_get::<i64, _>("n")?)
                .execute(&mut *tx)
                .await?;
        }
    }
    Ok(())
}
