//! API tokens: made once, shown once, stored as a hash.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Meta, MetaError, check_text, rfc3339, rfc3339_opt, secret, to_db};

/// Most tokens kept, revoked ones included.
const MAX_TOKENS: u64 = 10_000;

/// The last use of a token is written at most once in this time, nanoseconds (1 min): a write a
/// request would make every request wait for the disk.
const LAST_USED_STEP_NS: i64 = 60_000_000_000;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Send events.
    Ingest,
    /// Search and read everything that is not administration.
    Read,
    /// Everything.
    Admin,
}

impl Scope {
    /// The word used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Ingest => "ingest",
            Scope::Read => "read",
            Scope::Admin => "admin",
        }
    }

    /// Reads the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        [Scope::Ingest, Scope::Read, Scope::Admin]
            .into_iter()
            .find(|s| s.as_str() == word)
    }
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenRow {
    /// The part of the token that names it.
    pub id: String,
    /// What people call it; events it ships carry it as their source.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    #[serde(rename = "created", serialize_with = "rfc3339")]
    pub created_ns: i64,
    /// When it stops working.
    #[serde(rename = "expires", serialize_with = "rfc3339_opt")]
    pub expires_ns: Option<i64>,
    /// When it was last used, to the minute.
    #[serde(rename = "last_used", serialize_with = "rfc3339_opt")]
    pub last_used_ns: Option<i64>,
    /// When it was revoked.
    #[serde(rename = "revoked", serialize_with = "rfc3339_opt")]
    pub revoked_ns: Option<i64>,
}

impl TokenRow {
    /// May it do what `scope` says? [`Scope::Admin`] includes the others.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes
            .iter()
            .any(|s| *s == scope || *s == Scope::Admin)
    }

    fn works_at(&self, now_ns: i64) -> bool {
        self.revoked_ns.is_none() && self.expires_ns.is_none_or(|e| now_ns < e)
    }
}

/// A token to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// See [`TokenRow::name`]; 1 to 100 characters.
    pub name: String,
    /// At least one.
    pub scopes: Vec<Scope>,
    /// See [`TokenRow::created_by`].
    pub created_by: String,
    /// See [`TokenRow::expires_ns`].
    pub expires_ns: Option<i64>,
}

impl Meta {
    /// Makes a token. The text `wf_<id>_<secret>` is returned once and never again.
    ///
    /// # Errors
    /// [`MetaError::Invalid`] for a bad name or no scope, [`MetaError::Conflict`] at 10,000.
    pub async fn create_token(&self, new: &NewToken) -> Result<(TokenRow, String), MetaError> {
        let id = secret::random_hex(6)?;
        let text = format!("wf_{id}_{}", secret::random_hex(32)?);
        Ok((self.store_token(id, &text, new).await?, text))
    }

    /// Makes a token of a text chosen by the caller, 32 to 512 visible ASCII characters. A text
    /// that is known already keeps its row.
    ///
    /// # Errors
    /// As [`Meta::create_token`], and [`MetaError::Invalid`] for a weak text.
    pub async fn import_token(&self, text: &str, new: &NewToken) -> Result<TokenRow, MetaError> {
        if !(32..=512).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_graphic()) {
            let rule = "a token needs 32 to 512 visible ASCII characters";
            return Err(MetaError::Invalid(rule.into()));
        }
        let hash = secret::sha256_hex(text);
        if let Some(row) = self.token_by_hash(&hash).await? {
            return Ok(row);
        }
        self.store_token(hash[..12].to_owned(), text, new).await
    }

    /// The token of this text, if it works now. Notes its use. Reads the database: whoever asks
    /// for every request remembers the answer.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn verify_token(&self, text: &str) -> Result<Option<TokenRow>, MetaError> {
        // Looking up by hash tells an attacker nothing through timing: what is compared is the
        // hash of the guess, which cannot be steered.
        let hash = secret::sha256_hex(text);
        let Some(mut row) = self.token_by_hash(&hash).await? else {
            return Ok(None);
        };
        let now = self.now_ns();
        if !row.works_at(now) {
            return Ok(None);
        }
        let used = |at| now - at < LAST_USED_STEP_NS;
        if !row.last_used_ns.is_some_and(used) {
            row.last_used_ns = Some(now);
            let sql = "UPDATE tokens SET last_used_ns = $1 WHERE id = $2";
            sqlx::query(sql)
                .bind(now)
                .bind(&row.id)
                .execute(&self.writer)
                .await?;
        }
        Ok(Some(row))
    }

    /// All tokens, newest first.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn list_tokens(&self) -> Result<Vec<TokenRow>, MetaError> {
        let rows = sqlx::query("SELECT * FROM tokens ORDER BY created_ns DESC, id")
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(token).collect()
    }

    /// Makes a token stop working, at once and for good.
    ///
    /// # Errors
    /// [`MetaError::NotFound`]; a token revoked before is no error.
    pub async fn revoke_token(&self, id: &str) -> Result<(), MetaError> {
        let sql = "UPDATE tokens SET revoked_ns = COALESCE(revoked_ns, $1) WHERE id = $2";
        let done = sqlx::query(sql)
            .bind(self.now_ns())
            .bind(id)
            .execute(&self.writer)
            .await?;
        match done.rows_affected() {
            0 => Err(MetaError::NotFound("token")),
            _ => Ok(()),
        }
    }

    async fn store_token(
        &self,
        id: String,
        text: &str,
        new: &NewToken,
    ) -> Result<TokenRow, MetaError> {
        check_text("the name", &new.name, 100)?;
        if new.scopes.is_empty() {
            return Err(MetaError::Invalid("a token needs a scope".into()));
        }
        let mut scopes = new.scopes.clone();
        scopes.sort_unstable();
        scopes.dedup();
        let words: Vec<&str> = scopes.iter().map(|s| s.as_str()).collect();
        let row = TokenRow {
            id,
            name: new.name.clone(),
            created_by: new.created_by.clone(),
            created_ns: self.now_ns(),
            expires_ns: new.expires_ns,
            last_used_ns: None,
            revoked_ns: None,
            scopes,
        };
        let sql = "INSERT INTO tokens (id, name, hash, scopes, created_by, created_ns, \
                   expires_ns) SELECT $1,$2,$3,$4,$5,$6,$7 \
                   WHERE (SELECT COUNT(*) FROM tokens) < $8";
        let done = sqlx::query(sql)
            .bind(&row.id)
            .bind(&row.name)
            .bind(secret::sha256_hex(text))
            .bind(words.join(","))
            .bind(&row.created_by)
            .bind(row.created_ns)
            .bind(row.expires_ns)
            .bind(to_db(MAX_TOKENS))
            .execute(&self.writer)
            .await
            .map_err(|e| MetaError::or_conflict(e, "this token exists"))?;
        match done.rows_affected() {
            0 => Err(MetaError::Conflict(format!(
                "there are {MAX_TOKENS} tokens already"
            ))),
            _ => Ok(row),
        }
    }

    async fn token_by_hash(&self, hash: &str) -> Result<Option<TokenRow>, MetaError> {
        let row = sqlx::query("SELECT * FROM tokens WHERE hash = $1")
            .bind(hash)
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(token).transpose()
    }
}

fn token(row: &SqliteRow) -> Result<TokenRow, MetaError> {
    let scopes: String = row.try_get("scopes")?;
    Ok(TokenRow {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        scopes: scopes.split(',').filter_map(Scope::parse).collect(),
        created_by: row.try_get("created_by")?,
        created_ns: row.try_get("created_ns")?,
        expires_ns: row.try_get("expires_ns")?,
        last_used_ns: row.try_get("last_used_ns")?,
        revoked_ns: row.try_get("revoked_ns")?,
    })
}
