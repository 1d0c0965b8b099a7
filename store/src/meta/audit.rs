//! The audit trail: append-only rows, each holding the hash of itself and of the row before.

use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Meta, MetaError, from_db, rfc3339, secret, to_db};

/// Most rows a list returns.
const MAX_PAGE: usize = 1_000;

/// Most bytes kept of `who`, `what`, `object` and `from_addr` each.
const MAX_TEXT_BYTES: usize = 1_024;

/// Most bytes kept of the detail.
const MAX_DETAIL_BYTES: usize = 16 * 1_024;

/// Rows read at a time while verifying.
const VERIFY_CHUNK: i64 = 1_000;

/// Something to remember.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// User or token name; `system` for what the program does by itself.
    pub who: String,
    /// What was done, as `subject.verb`: `token.create`, `alert.status`, `auth.denied`.
    pub what: String,
    /// What it was done to: an id or a name.
    pub object: String,
    /// The client's address.
    pub from_addr: Option<String>,
    /// Particulars such as values before and after. Never a secret.
    pub detail: serde_json::Value,
}

/// A row of the trail.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditRow {
    /// Position in the chain, from 1.
    pub seq: u64,
    /// When, nanoseconds.
    #[serde(rename = "at", serialize_with = "rfc3339")]
    pub at_ns: i64,
    /// See [`AuditEntry::who`].
    pub who: String,
    /// See [`AuditEntry::what`].
    pub what: String,
    /// See [`AuditEntry::object`].
    pub object: String,
    /// See [`AuditEntry::from_addr`].
    pub from_addr: Option<String>,
    /// See [`AuditEntry::detail`].
    pub detail: serde_json::Value,
    /// SHA-256 over this row and the hash of the row before, hex.
    pub hash: String,
}

/// The end of the chain: kept elsewhere, it proves later that no row was cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditHead {
    /// Rows in the chain.
    pub seq: u64,
    /// Hash of the last one, empty for an empty chain.
    pub hash: String,
}

/// What [`Meta::verify_audit`] found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// The end of the chain as far as it is sound.
    pub head: AuditHead,
    /// The first row that is changed, missing or out of place, and how; none when sound.
    pub broken: Option<(u64, String)>,
}

impl Meta {
    /// Adds a row to the trail. Texts beyond 1 KiB and details beyond 16 KiB are cut.
    ///
    /// # Errors
    /// [`MetaError`]; then nothing was written.
    pub async fn audit(&self, entry: &AuditEntry) -> Result<AuditHead, MetaError> {
        let mut tx = self.writer.begin().await?;
        let head = append(&mut tx, self.now_ns(), entry).await?;
        tx.commit().await?;
        Ok(head)
    }

    /// The trail newest first, at most `limit` (1,000) rows with a `seq` below `before`.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn list_audit(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AuditRow>, MetaError> {
        let sql = "SELECT * FROM audit WHERE seq < $1 ORDER BY seq DESC LIMIT $2";
        let rows = sqlx::query(sql)
            .bind(before.map_or(i64::MAX, to_db))
            .bind(to_db(limit.min(MAX_PAGE) as u64))
            .fetch_all(&self.readers)
            .await?;
        rows.iter()
            .map(|row| {
                let raw = Raw::read(row)?;
                Ok(AuditRow {
                    seq: from_db(raw.seq),
                    at_ns: raw.at_ns,
                    detail: serde_json::from_str(&raw.detail).unwrap_or_default(),
                    who: raw.who,
                    what: raw.what,
                    object: raw.object,
                    from_addr: raw.from_addr,
                    hash: raw.hash,
                })
            })
            .collect()
    }

    /// The end of the chain.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn audit_head(&self) -> Result<AuditHead, MetaError> {
        let mut connection = self.readers.acquire().await?;
        head(&mut connection).await
    }

    /// Walks the whole chain. `expected` is a head kept elsewhere: without one, rows cut off
    /// the end cannot be noticed.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read; a broken chain is not an error.
    pub async fn verify_audit(
        &self,
        expected: Option<&AuditHead>,
    ) -> Result<AuditReport, MetaError> {
        let mut sound = AuditHead {
            seq: 0,
            hash: String::new(),
        };
        let broken = |sound: &AuditHead, how: &str| AuditReport {
            head: sound.clone(),
            broken: Some((sound.seq + 1, how.to_owned())),
        };
        loop {
            let rows = sqlx::query("SELECT * FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2")
                .bind(to_db(sound.seq))
                .bind(VERIFY_CHUNK)
                .fetch_all(&self.readers)
                .await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let raw = Raw::read(row)?;
                if from_db(raw.seq) != sound.seq + 1 {
                    return Ok(broken(&sound, "missing"));
                }
                if !secret::same(&raw.digest(&sound.hash), &raw.hash) {
                    return Ok(broken(&sound, "changed"));
                }
                sound = AuditHead {
                    seq: sound.seq + 1,
                    hash: raw.hash,
                };
                if expected.is_some_and(|e| e.seq == sound.seq && e.hash != sound.hash) {
                    return Ok(AuditReport {
                        broken: Some((sound.seq, "rewritten".into())),
                        head: sound,
                    });
                }
            }
        }
        match expected {
            Some(e) if e.seq > sound.seq => Ok(broken(&sound, "cut off")),
            _ => Ok(AuditReport {
                head: sound,
                broken: None,
            }),
        }
    }
}

/// Adds a row within a transaction of another subject, so that the change and its trace are
/// one.
pub(super) async fn append(
    tx: &mut sqlx::SqliteConnection,
    now_ns: i64,
    entry: &AuditEntry,
) -> Result<AuditHead, MetaError> {
    let last = head(tx).await?;
    let mut detail = entry.detail.to_string();
    if detail.len() > MAX_DETAIL_BYTES {
        detail = serde_json::json!({"cut": true, "bytes": detail.len()}).to_string();
    }
    let mut raw = Raw {
        seq: to_db(last.seq + 1),
        at_ns: now_ns,
        who: cut(&entry.who),
        what: cut(&entry.what),
        object: cut(&entry.object),
        from_addr: entry.from_addr.as_deref().map(cut),
        detail,
        hash: String::new(),
    };
    raw.hash = raw.digest(&last.hash);
    let sql = "INSERT INTO audit (seq, at_ns, who, what, object, from_addr, detail, hash) \
               VALUES ($1,$2,$3,$4,$5,$6,$7,$8)";
    sqlx::query(sql)
        .bind(raw.seq)
        .bind(raw.at_ns)
        .bind(&raw.who)
        .bind(&raw.what)
        .bind(&raw.object)
        .bind(&raw.from_addr)
        .bind(&raw.detail)
        .bind(&raw.hash)
        .execute(tx)
        .await?;
    Ok(AuditHead {
        seq: last.seq + 1,
        hash: raw.hash,
    })
}

async fn head(connection: &mut sqlx::SqliteConnection) -> Result<AuditHead, MetaError> {
    let row: Option<(i64, String)> =
        sqlx::query_as("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
            .fetch_optional(connection)
            .await?;
    Ok(row.map_or_else(
        || AuditHead {
            seq: 0,
            hash: String::new(),
        },
        |(seq, hash)| AuditHead {
            seq: from_db(seq),
            hash,
        },
    ))
}

/// A row as stored, the detail still the text that was hashed.
struct Raw {
    seq: i64,
    at_ns: i64,
    who: String,
    what: String,
    object: String,
    from_addr: Option<String>,
    detail: String,
    hash: String,
}

impl Raw {
    fn read(row: &SqliteRow) -> Result<Raw, MetaError> {
        Ok(Raw {
            seq: row.try_get("seq")?,
            at_ns: row.try_get("at_ns")?,
            who: row.try_get("who")?,
            what: row.try_get("what")?,
            object: row.try_get("object")?,
            from_addr: row.try_get("from_addr")?,
            detail: row.try_get("detail")?,
            hash: row.try_get("hash")?,
        })
    }

    /// SHA-256 over the previous hash and every column, each with its length in front, so that
    /// no text can move from one column into the next.
    fn digest(&self, previous: &str) -> String {
        let mut hasher = Sha256::new();
        let seq = self.seq.to_string();
        let at = self.at_ns.to_string();
        let from = self
            .from_addr
            .as_ref()
            .map_or_else(|| "-".into(), |a| format!("+{a}"));
        let parts = [
            previous,
            &seq,
            &at,
            &self.who,
            &self.what,
            &self.object,
            &from,
            &self.detail,
        ];
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        secret::hex(&hasher.finalize())
    }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned()
}
