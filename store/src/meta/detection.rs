//! What detection leaves behind: alerts, messages about them, its position and its state, all in
//! one transaction, so that a crash delays an alert and never skips or doubles it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use sqlx::SqliteConnection;
use watchfire_event::{Alert, BatchBuilder, BatchLimits, Query, RowMeta, Severity};

use super::alerts::{alert, rank, severity_of};
use super::channels::channel;
use super::{AlertRow, Channel, CloseReason, Meta, MetaError, from_db, manifest, secret, to_db};

/// Most entity values of an alert that can be searched for.
const MAX_ENTITIES: usize = 200;

/// Where detection was when it last committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectionState {
    /// Alerts of every event up to this sequence number are stored.
    pub position: u64,
    /// The sequence number `snapshot` was taken after; 0 without a snapshot.
    pub snapshot_seq: u64,
    /// The engine's state, empty without a snapshot.
    pub snapshot: Vec<u8>,
}

/// What detection has to say about the events up to `position`.
#[derive(Debug, Clone, Default)]
pub struct DetectionCommit<'a> {
    /// New and changed alerts.
    pub alerts: &'a [Alert],
    /// The last sequence number they cover.
    pub position: u64,
    /// The engine's state and the sequence number it was taken after.
    pub snapshot: Option<(u64, PackedState)>,
}

/// A state as it lies in the database.
#[derive(Debug, Clone, Default)]
pub struct PackedState {
    packed: Vec<u8>,
    /// Bytes before they were packed.
    bytes: u64,
}

impl PackedState {
    /// Bytes of the state before it was packed.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Packs a state while it is written, so that it is never in memory as a whole. States are
/// mostly empty filters and pack to a small part of their size.
pub struct StateWriter {
    packer: zstd::Encoder<'static, Vec<u8>>,
    bytes: u64,
}

impl StateWriter {
    /// A writer of an empty state.
    ///
    /// # Errors
    /// When zstd gets no memory.
    pub fn new() -> io::Result<StateWriter> {
        let packer = zstd::Encoder::new(Vec::new(), zstd::DEFAULT_COMPRESSION_LEVEL)?;
        Ok(StateWriter { packer, bytes: 0 })
    }

    /// What was written.
    ///
    /// # Errors
    /// When zstd fails.
    pub fn finish(self) -> io::Result<PackedState> {
        let (packed, bytes) = (self.packer.finish()?, self.bytes);
        Ok(PackedState { packed, bytes })
    }
}

impl Write for StateWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.packer.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.packer.flush()
    }
}

impl Meta {
    /// Sequence number up to which the alerts of every event are stored; 0 before the first.
    ///
    /// # Errors
    /// [`MetaError`].
    pub async fn detection_position(&self) -> Result<u64, MetaError> {
        self.position("detect").await
    }

    /// Where detection was when it last committed; none before the first commit.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn load_detection(&self) -> Result<Option<DetectionState>, MetaError> {
        let position = self.position("detect").await?;
        let snapshot: Option<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT seq, state FROM detection_snapshot WHERE id = 1")
                .fetch_optional(&self.readers)
                .await?;
        if position == 0 && snapshot.is_none() {
            return Ok(None);
        }
        let (snapshot_seq, packed) = snapshot.unwrap_or_default();
        let snapshot = unpack(&self.opened(packed, snapshot_seq)?)?;
        Ok(Some(DetectionState {
            position,
            snapshot_seq: from_db(snapshot_seq),
            snapshot,
        }))
    }

    /// Stores alerts, a message for every enabled channel whose query matches an alert that the
    /// channel has not been told of at this severity, the position and the state: all or nothing.
    ///
    /// An alert that is known is updated and never lowered: its count and severity only rise,
    /// and what people did about it stays. Replaying a commit changes nothing. Alerts closed as
    /// false or benign are updated silently.
    ///
    /// # Errors
    /// [`MetaError`]; then nothing has changed.
    pub async fn commit_detection(&self, commit: &DetectionCommit<'_>) -> Result<(), MetaError> {
        let now = self.now_ns();
        let mut tx = self.writer.begin().await?;
        let mut changed = Vec::with_capacity(commit.alerts.len());
        for alert in commit.alerts {
            changed.push(upsert(&mut tx, alert, now).await?);
        }
        let queued = queue_messages(&mut tx, &changed, now).await?;
        manifest::set_position(&mut tx, "detect", commit.position).await?;
        if let Some((seq, state)) = &commit.snapshot {
            // Not an update, which would write the new state beside the old one.
            sqlx::query("DELETE FROM detection_snapshot")
                .execute(&mut *tx)
                .await?;
            let sql = "INSERT INTO detection_snapshot (id, seq, state) VALUES (1, $1, $2)";
            sqlx::query(sql)
                .bind(to_db(*seq))
                .bind(self.closed(&state.packed, to_db(*seq))?.as_ref())
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        if commit.snapshot.is_some()
            && let Err(error) = self.truncate_log().await
        {
            // It is large for a while longer.
            tracing::debug!(%error, "the database's log stays as it is");
        }
        if queued > 0 {
            metrics::counter!("watchfire_notifications_queued_total").increment(queued);
            self.outbox_wake.notify_one();
        }
        Ok(())
    }
}

impl Meta {
    /// A packed state as it lies in the database: encrypted where the folder is.
    fn closed<'a>(&self, packed: &'a [u8], seq: i64) -> Result<Cow<'a, [u8]>, MetaError> {
        Ok(match self.vault.small(STATE, b"")? {
            Some(seal) => seal.seal(packed, &seq.to_le_bytes())?.into(),
            None => packed.into(),
        })
    }

    /// The packed state out of what lies in the database.
    fn opened(&self, stored: Vec<u8>, seq: i64) -> Result<Vec<u8>, MetaError> {
        match self.vault.small(STATE, b"")? {
            Some(seal) if !stored.is_empty() => {
                let opened = seal.open(&stored, &seq.to_le_bytes());
                opened.ok_or_else(|| {
                    MetaError::Corrupt("the detection state cannot be decrypted".into())
                })
            }
            _ => Ok(stored),
        }
    }
}

/// What the key of the state is derived for.
const STATE: &str = "watchfire detection";

/// Largest state that is read back, bytes: far above what the engine's own limits allow.
const MAX_STATE_BYTES: usize = 1 << 30;

fn unpack(packed: &[u8]) -> Result<Vec<u8>, MetaError> {
    let corrupt = || MetaError::Corrupt("the detection state cannot be unpacked".into());
    if packed.is_empty() {
        return Ok(Vec::new());
    }
    if packed.starts_with(&ZSTD_MAGIC) {
        let mut state = Vec::new();
        let mut reader = zstd::Decoder::new(packed)?.take(MAX_STATE_BYTES as u64 + 1);
        let read = reader.read_to_end(&mut state);
        return match read {
            Ok(bytes) if bytes <= MAX_STATE_BYTES => Ok(state),
            _ => Err(corrupt()),
        };
    }
    // As written by the first versions.
    match lz4_flex::block::uncompressed_size(packed) {
        Ok((bytes, _)) if bytes <= MAX_STATE_BYTES => {
            lz4_flex::decompress_size_prepended(packed).map_err(|_| corrupt())
        }
        _ => Err(corrupt()),
    }
}

/// How a zstd frame begins.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// An alert as stored now, and how bad it was before; none when it is new.
struct Changed {
    row: AlertRow,
    before: Option<Severity>,
}

async fn upsert(tx: &mut SqliteConnection, new: &Alert, now_ns: i64) -> Result<Changed, MetaError> {
    let known = sqlx::query("SELECT * FROM alerts WHERE id = $1")
        .bind(&new.id)
        .fetch_optional(&mut *tx)
        .await?;
    let known = known.as_ref().map(alert).transpose()?;
    let merged = match &known {
        Some(old) => merge(&old.alert, new),
        None => new.clone(),
    };
    let body = serde_json::to_string(&merged)
        .map_err(|e| MetaError::Invalid(format!("alert cannot be written as JSON: {e}")))?;
    let sql = "INSERT INTO alerts (id, ts_ns, t0_ns, t1_ns, status, severity, detector, \
               comments, first_seen_ns, updated_ns, body, held) \
               VALUES ($1,$2,$3,$4,$5,$6,$7,0,$8,$8,$9,$10) \
               ON CONFLICT (id) DO UPDATE SET t0_ns = excluded.t0_ns, t1_ns = excluded.t1_ns, \
               severity = excluded.severity, updated_ns = excluded.updated_ns, \
               body = excluded.body, held = excluded.held WHERE alerts.body <> excluded.body";
    sqlx::query(sql)
        .bind(&merged.id)
        .bind(nanos(merged.ts))
        .bind(nanos(merged.t0))
        .bind(nanos(merged.t1))
        .bind(merged.status.as_str())
        .bind(rank(merged.severity))
        .bind(&merged.detector)
        .bind(now_ns)
        .bind(body)
        .bind(i64::from(merged.held))
        .execute(&mut *tx)
        .await?;
    if known
        .as_ref()
        .is_none_or(|old| old.alert.entities != merged.entities)
    {
        insert_entities(tx, &merged).await?;
    }
    let before = known.as_ref().map(|old| old.alert.severity);
    let row = match known {
        Some(old) => AlertRow {
            alert: merged,
            ..old
        },
        None => AlertRow {
            alert: merged,
            assignee: None,
            reason: None,
            comments: 0,
            first_seen_ns: now_ns,
            updated_ns: now_ns,
        },
    };
    Ok(Changed { row, before })
}

/// The newer alert, unless it stands for fewer events (a replay, which starts a little early).
/// The id, the time it was raised and the status stay.
fn merge(old: &Alert, new: &Alert) -> Alert {
    let mut merged = if new.count < old.count {
        old.clone()
    } else {
        new.clone()
    };
    merged.ts = old.ts;
    merged.t0 = old.t0.min(new.t0);
    merged.t1 = old.t1.max(new.t1);
    merged.severity = old.severity.max(new.severity);
    merged.score = old.score.max(new.score);
    merged.status = old.status;
    // What was let through stays so.
    merged.held = old.held && new.held;
    merged
}

async fn insert_entities(tx: &mut SqliteConnection, alert: &Alert) -> Result<(), MetaError> {
    let pairs = alert
        .entities
        .iter()
        .flat_map(|(k, values)| values.iter().map(move |v| (k, v)));
    for (kind, value) in pairs.take(MAX_ENTITIES) {
        let sql = "INSERT INTO alert_entities (alert_id, kind, value) VALUES ($1,$2,$3) \
                   ON CONFLICT (alert_id, kind, value) DO NOTHING";
        sqlx::query(sql)
            .bind(&alert.id)
            .bind(kind)
            .bind(value)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

/// Queues what the channels have to be told. Returns the number of messages.
async fn queue_messages(
    tx: &mut SqliteConnection,
    changed: &[Changed],
    now_ns: i64,
) -> Result<u64, MetaError> {
    let loud: Vec<&Changed> = changed.iter().filter(|c| !silenced(&c.row)).collect();
    if loud.is_empty() {
        return Ok(0);
    }
    let rows = sqlx::query("SELECT * FROM channels WHERE enabled ORDER BY id")
        .fetch_all(&mut *tx)
        .await?;
    let channels = rows
        .iter()
        .map(channel)
        .collect::<Result<Vec<Channel>, _>>()?;
    let mut queued = 0;
    for channel in &channels {
        for index in matching(channel, &loud)? {
            queued += queue_one(tx, channel, loud[index], now_ns).await?;
        }
    }
    Ok(queued)
}

async fn queue_one(
    tx: &mut SqliteConnection,
    channel: &Channel,
    changed: &Changed,
    now_ns: i64,
) -> Result<u64, MetaError> {
    let alert = &changed.row.alert;
    let told: Option<i64> = sqlx::query_scalar(
        "SELECT MAX(severity) FROM outbox WHERE alert_id = $1 AND channel_id = $2",
    )
    .bind(&alert.id)
    .bind(&channel.id)
    .fetch_one(&mut *tx)
    .await?;
    let told = told.map(severity_of);
    // A channel made after the alert hears of it only when it gets worse.
    let due = match told {
        Some(told) => alert.severity > told,
        None => {
            changed.row.first_seen_ns >= channel.created_ns
                || changed.before.is_some_and(|before| alert.severity > before)
        }
    };
    if !due {
        return Ok(0);
    }
    let kind = if told.is_some() {
        "alert.escalated"
    } else {
        "alert.created"
    };
    let sql = "INSERT INTO outbox (id, channel_id, alert_id, type, severity, state, tries, \
               due_ns, created_ns, clock_ns) VALUES ($1,$2,$3,$4,$5,'pending',0,$6,$6,$6) \
               ON CONFLICT (id) DO NOTHING";
    let done = sqlx::query(sql)
        .bind(message_id(&channel.id, &alert.id, alert.severity))
        .bind(&channel.id)
        .bind(&alert.id)
        .bind(kind)
        .bind(rank(alert.severity))
        .bind(now_ns)
        .execute(&mut *tx)
        .await?;
    Ok(done.rows_affected())
}

/// Held back, or people have said that this is not an attack: updates must not wake them.
fn silenced(row: &AlertRow) -> bool {
    row.alert.held
        || matches!(
            row.reason,
            Some(CloseReason::FalsePositive | CloseReason::Benign)
        )
}

/// Which of the alerts the channel's query matches.
fn matching(channel: &Channel, changed: &[&Changed]) -> Result<Vec<usize>, MetaError> {
    let Some(text) = &channel.query else {
        return Ok((0..changed.len()).collect());
    };
    // Checked when the channel was made. A query this version no longer reads must not hold
    // back the alerts of all channels: then the channel gets everything.
    let Ok(query) = Query::parse(text) else {
        tracing::error!(channel = %channel.name, "the query of a channel cannot be read");
        return Ok((0..changed.len()).collect());
    };
    let mut builder = BatchBuilder::new(BatchLimits::default());
    let meta = RowMeta {
        received_ns: 0,
        source: Arc::from("alerts"),
    };
    let mut rows = HashMap::new();
    for (index, alert) in changed.iter().enumerate() {
        let line = serde_json::to_vec(&alert.row.alert)
            .map_err(|e| MetaError::Invalid(format!("alert cannot be written as JSON: {e}")))?;
        // An alert too large for a line is sent rather than lost.
        if builder.push(&line, &meta).is_ok() {
            rows.insert(index, builder.rows() - 1);
        }
    }
    let mask = query.matches(&builder.finish());
    let hit = |index: &usize| rows.get(index).is_none_or(|row| mask.value(*row));
    Ok((0..changed.len()).filter(hit).collect())
}

/// The same message always has the same id, so it is queued once however often a commit is
/// replayed, and receivers can tell a retry from news.
fn message_id(channel: &str, alert: &str, severity: Severity) -> String {
    let digest = Sha256::digest(format!("{channel}\n{alert}\n{}", severity.as_str()));
    format!("msg_{}", secret::hex(&digest[..16]))
}

/// Seconds of an alert as nanoseconds.
fn nanos(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}
