//! The list of segments, the store's position in the log and the keys of sealed records.

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use watchfire_event::Key;

use super::audit::{self, AuditEntry};
use super::erasures;
use super::{Meta, MetaError, from_db, rfc3339, to_db};

/// How long keys are remembered, nanoseconds (24 h).
const KEY_AGE_NS: i64 = 24 * 3_600 * 1_000_000_000;

/// Bytes of a packed key: the key and its receive time.
const PACKED: usize = 24;

const COLUMNS: &str = "SELECT id, first_seq, last_seq, row_count, min_time_ns, max_time_ns, \
     min_received_ns, max_received_ns, bytes, created_ns FROM segments ORDER BY first_seq";

/// A sealed segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentRow {
    /// Name of its folder.
    pub id: String,
    /// First sequence number it holds.
    pub first_seq: u64,
    /// Last sequence number it holds.
    pub last_seq: u64,
    /// Events in it.
    pub rows: u64,
    /// Earliest event time, nanoseconds.
    pub min_time_ns: i64,
    /// Latest event time, nanoseconds.
    pub max_time_ns: i64,
    /// Earliest receive time, nanoseconds.
    pub min_received_ns: i64,
    /// Latest receive time, nanoseconds.
    pub max_received_ns: i64,
    /// Bytes on disk.
    pub bytes: u64,
    /// When it was sealed, nanoseconds.
    #[serde(rename = "created", serialize_with = "rfc3339")]
    pub created_ns: i64,
}

/// Why segments are rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RewriteCause {
    /// To have fewer of them; every row stays.
    Compaction,
    /// Rows that a retention class keeps for a shorter time have become too old.
    Retention {
        /// The query of the class.
        query: String,
        /// Rows left out.
        events: u64,
    },
    /// Rows are erased.
    Erasure {
        /// The erasure.
        id: String,
        /// Rows left out.
        events: u64,
    },
}

impl Meta {
    /// All segments by rising sequence number.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn segments(&self) -> Result<Vec<SegmentRow>, MetaError> {
        let rows = sqlx::query(COLUMNS).fetch_all(&self.readers).await?;
        rows.iter().map(segment).collect()
    }

    /// Enters a sealed segment, moves the store's position to its last sequence number and keeps
    /// the `keys` of its records (key, receive time), all or nothing. Keys older than 24 hours
    /// are forgotten.
    ///
    /// # Errors
    /// [`MetaError`]; then nothing has changed.
    pub async fn commit_seal(
        &self,
        segment: &SegmentRow,
        keys: &[(Key, i64)],
    ) -> Result<(), MetaError> {
        let mut tx = self.writer.begin().await?;
        insert(&mut tx, segment).await?;
        if let Some(newest) = keys.iter().map(|(_, at)| *at).max() {
            sqlx::query("INSERT INTO dedup_blocks (last_seq, newest_ns, packed) VALUES ($1,$2,$3)")
                .bind(to_db(segment.last_seq))
                .bind(newest)
                .bind(pack(keys))
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query("DELETE FROM dedup_blocks WHERE newest_ns < $1")
            .bind(self.now_ns().saturating_sub(KEY_AGE_NS))
            .execute(&mut *tx)
            .await?;
        set_position(&mut tx, "store", segment.last_seq).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The last sequence number that is in a segment, 0 before the first seal.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn store_position(&self) -> Result<u64, MetaError> {
        self.position("store").await
    }

    /// Takes segments off the list, before their folders are deleted, and writes `reason`
    /// (`retention`, `disk`, `erasure`) to the audit trail.
    ///
    /// # Errors
    /// [`MetaError`]; then nothing has changed.
    pub async fn remove_segments(&self, ids: &[String], reason: &str) -> Result<(), MetaError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut tx = self.writer.begin().await?;
        for id in ids {
            delete(&mut tx, id).await?;
        }
        let entry = AuditEntry {
            who: "system".into(),
            what: "segments.remove".into(),
            object: format!("{} segments", ids.len()),
            from_addr: None,
            detail: serde_json::json!({"reason": reason, "segments": ids}),
        };
        audit::append(&mut tx, self.now_ns(), &entry).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Puts the segment `with`, or nothing, in the place of the segments `ids`, all or nothing.
    /// What leaves rows out is written to the audit trail.
    ///
    /// # Errors
    /// [`MetaError`]; then nothing has changed.
    pub async fn replace_segments(
        &self,
        ids: &[String],
        with: Option<&SegmentRow>,
        cause: &RewriteCause,
    ) -> Result<(), MetaError> {
        let mut tx = self.writer.begin().await?;
        for id in ids {
            delete(&mut tx, id).await?;
        }
        if let Some(new) = with {
            insert(&mut tx, new).await?;
        }
        if let RewriteCause::Retention { query, events } = cause {
            let entry = AuditEntry {
                who: "system".into(),
                what: "segments.rewrite".into(),
                object: format!("{} segments", ids.len()),
                from_addr: None,
                detail: serde_json::json!({
                    "reason": "retention_class", "query": query, "events": events,
                    "segments": ids,
                }),
            };
            audit::append(&mut tx, self.now_ns(), &entry).await?;
        }
        if let RewriteCause::Erasure { id, events } = cause {
            erasures::count_segment(&mut tx, id, (*events, with.is_some())).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Keys of sealed records received at or after `since_ns`, with their receive times.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn recent_keys(&self, since_ns: i64) -> Result<Vec<(Key, i64)>, MetaError> {
        let sql = "SELECT packed FROM dedup_blocks WHERE newest_ns >= $1 ORDER BY last_seq";
        let blocks: Vec<Vec<u8>> = sqlx::query_scalar(sql)
            .bind(since_ns)
            .fetch_all(&self.readers)
            .await?;
        let mut keys = Vec::new();
        for block in blocks {
            unpack(&block, since_ns, &mut keys)?;
        }
        Ok(keys)
    }

    pub(super) async fn position(&self, reader: &str) -> Result<u64, MetaError> {
        let seq: Option<i64> = sqlx::query_scalar("SELECT seq FROM positions WHERE reader = $1")
            .bind(reader)
            .fetch_optional(&self.readers)
            .await?;
        Ok(seq.map_or(0, from_db))
    }
}

/// Positions only move forward.
pub(super) async fn set_position(
    tx: &mut sqlx::SqliteConnection,
    reader: &str,
    seq: u64,
) -> Result<(), MetaError> {
    let sql = "INSERT INTO positions (reader, seq) VALUES ($1, $2) \
               ON CONFLICT (reader) DO UPDATE SET seq = excluded.seq \
               WHERE excluded.seq > positions.seq";
    sqlx::query(sql)
        .bind(reader)
        .bind(to_db(seq))
        .execute(tx)
        .await?;
    Ok(())
}

async fn insert(tx: &mut sqlx::SqliteConnection, s: &SegmentRow) -> Result<(), MetaError> {
    let sql = "INSERT INTO segments (id, first_seq, last_seq, row_count, min_time_ns, \
               max_time_ns, min_received_ns, max_received_ns, bytes, created_ns) \
               VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)";
    sqlx::query(sql)
        .bind(&s.id)
        .bind(to_db(s.first_seq))
        .bind(to_db(s.last_seq))
        .bind(to_db(s.rows))
        .bind(s.min_time_ns)
        .bind(s.max_time_ns)
        .bind(s.min_received_ns)
        .bind(s.max_received_ns)
        .bind(to_db(s.bytes))
        .bind(s.created_ns)
        .execute(tx)
        .await
        .map_err(|e| MetaError::or_conflict(e, "a segment of this id exists"))?;
    Ok(())
}

async fn delete(tx: &mut sqlx::SqliteConnection, id: &str) -> Result<(), MetaError> {
    let done = sqlx::query("DELETE FROM segments WHERE id = $1")
        .bind(id)
        .execute(tx)
        .await?;
    match done.rows_affected() {
        0 => Err(MetaError::NotFound("segment")),
        _ => Ok(()),
    }
}

fn segment(row: &SqliteRow) -> Result<SegmentRow, MetaError> {
    Ok(SegmentRow {
        id: row.try_get("id")?,
        first_seq: from_db(row.try_get("first_seq")?),
        last_seq: from_db(row.try_get("last_seq")?),
        rows: from_db(row.try_get("row_count")?),
        min_time_ns: row.try_get("min_time_ns")?,
        max_time_ns: row.try_get("max_time_ns")?,
        min_received_ns: row.try_get("min_received_ns")?,
        max_received_ns: row.try_get("max_received_ns")?,
        bytes: from_db(row.try_get("bytes")?),
        created_ns: row.try_get("created_ns")?,
    })
}

fn pack(keys: &[(Key, i64)]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(keys.len() * PACKED);
    for (key, at) in keys {
        packed.extend_from_slice(key);
        packed.extend_from_slice(&at.to_le_bytes());
    }
    packed
}

fn unpack(packed: &[u8], since_ns: i64, keys: &mut Vec<(Key, i64)>) -> Result<(), MetaError> {
    let (entries, rest) = packed.as_chunks::<PACKED>();
    if !rest.is_empty() {
        return Err(MetaError::Corrupt(
            "a block of keys has an odd length".into(),
        ));
    }
    for entry in entries {
        let (mut key, mut at) = (Key::default(), [0; 8]);
        key.copy_from_slice(&entry[..16]);
        at.copy_from_slice(&entry[16..]);
        let at = i64::from_le_bytes(at);
        if at >= since_ns {
            keys.push((key, at));
        }
    }
    Ok(())
}
