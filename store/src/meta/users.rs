//! People and the one-time link that lets the first of them in.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Meta, MetaError, check_text, rfc3339, rfc3339_opt, secret, to_db};

/// Most users kept.
const MAX_USERS: u64 = 10_000;

/// How long a setup token works, nanoseconds (24 h).
const SETUP_AGE_NS: i64 = 24 * 3_600 * 1_000_000_000;

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Viewer,
    /// Work on alerts.
    Analyst,
    /// Everything.
    Admin,
}

impl Role {
    /// The word used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Analyst => "analyst",
            Role::Admin => "admin",
        }
    }

    /// Reads the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        [Role::Viewer, Role::Analyst, Role::Admin]
            .into_iter()
            .find(|r| r.as_str() == word)
    }
}

/// A person, without the password's hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// Random, never reused.
    pub id: String,
    /// What they log in with, lower case.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Locked out?
    pub disabled: bool,
    /// Can they log in with a password?
    pub has_password: bool,
    /// When the account was made.
    #[serde(rename = "created", serialize_with = "rfc3339")]
    pub created_ns: i64,
    /// When they last logged in.
    #[serde(rename = "last_login", serialize_with = "rfc3339_opt")]
    pub last_login_ns: Option<i64>,
}

impl Meta {
    /// Makes a user. `password_hash` is an argon2 string made by the caller; without one the
    /// user can only come in by a setup link.
    ///
    /// # Errors
    /// [`MetaError::Invalid`] for a bad name, [`MetaError::Conflict`] where it is taken.
    pub async fn create_user(
        &self,
        name: &str,
        role: Role,
        password_hash: Option<&str>,
    ) -> Result<User, MetaError> {
        let name = name.trim().to_lowercase();
        check_text("the name", &name, 100)?;
        let id = format!("usr_{}", secret::random_hex(8)?);
        let sql = "INSERT INTO users (id, name, role, password_hash, disabled, created_ns) \
                   SELECT $1,$2,$3,$4,FALSE,$5 WHERE (SELECT COUNT(*) FROM users) < $6";
        let done = sqlx::query(sql)
            .bind(&id)
            .bind(&name)
            .bind(role.as_str())
            .bind(password_hash)
            .bind(self.now_ns())
            .bind(to_db(MAX_USERS))
            .execute(&self.writer)
            .await
            .map_err(|e| MetaError::or_conflict(e, "a user of this name exists"))?;
        if done.rows_affected() == 0 {
            return Err(MetaError::Conflict(format!(
                "there are {MAX_USERS} users already"
            )));
        }
        self.get_user(&id).await?.ok_or(MetaError::NotFound("user"))
    }

    /// All users by name.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn list_users(&self) -> Result<Vec<User>, MetaError> {
        let rows = sqlx::query("SELECT * FROM users ORDER BY name")
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(user).collect()
    }

    /// The user of this id.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn get_user(&self, id: &str) -> Result<Option<User>, MetaError> {
        let row = sqlx::query("SELECT * FROM users WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(user).transpose()
    }

    /// The user of this name (any case) and the hash of their password, for checking a login.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn user_credentials(
        &self,
        name: &str,
    ) -> Result<Option<(User, Option<String>)>, MetaError> {
        let row = sqlx::query("SELECT * FROM users WHERE name = $1")
            .bind(name.trim().to_lowercase())
            .fetch_optional(&self.readers)
            .await?;
        row.map(|row| Ok((user(&row)?, row.try_get("password_hash")?)))
            .transpose()
    }

    /// Sets the hash of a user's password and ends all their sessions.
    ///
    /// # Errors
    /// [`MetaError::NotFound`].
    pub async fn set_password(&self, id: &str, hash: &str) -> Result<(), MetaError> {
        let mut tx = self.writer.begin().await?;
        let sql = "UPDATE users SET password_hash = $1 WHERE id = $2";
        found(
            sqlx::query(sql)
                .bind(hash)
                .bind(id)
                .execute(&mut *tx)
                .await?,
        )?;
        end_sessions(&mut tx, id).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Sets what a user may do and whether they may come in, and ends all their sessions.
    ///
    /// # Errors
    /// [`MetaError::NotFound`]; [`MetaError::Conflict`] when no admin would be left.
    pub async fn update_user(
        &self,
        id: &str,
        role: Role,
        disabled: bool,
    ) -> Result<User, MetaError> {
        let mut tx = self.writer.begin().await?;
        let sql = "UPDATE users SET role = $1, disabled = $2 WHERE id = $3";
        found(
            sqlx::query(sql)
                .bind(role.as_str())
                .bind(disabled)
                .bind(id)
                .execute(&mut *tx)
                .await?,
        )?;
        keep_an_admin(&mut tx).await?;
        end_sessions(&mut tx, id).await?;
        tx.commit().await?;
        self.get_user(id).await?.ok_or(MetaError::NotFound("user"))
    }

    /// Deletes a user and ends all their sessions.
    ///
    /// # Errors
    /// [`MetaError::NotFound`]; [`MetaError::Conflict`] when no admin would be left.
    pub async fn delete_user(&self, id: &str) -> Result<(), MetaError> {
        let mut tx = self.writer.begin().await?;
        found(
            sqlx::query("DELETE FROM users WHERE id = $1")
                .bind(id)
                .execute(&mut *tx)
                .await?,
        )?;
        keep_an_admin(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes a login.
    ///
    /// # Errors
    /// [`MetaError::NotFound`].
    pub async fn note_login(&self, id: &str) -> Result<(), MetaError> {
        let sql = "UPDATE users SET last_login_ns = $1 WHERE id = $2";
        found(
            sqlx::query(sql)
                .bind(self.now_ns())
                .bind(id)
                .execute(&self.writer)
                .await?,
        )
    }

    /// Makes a one-time token for the link that lets the first admin in. It works for 24 hours;
    /// an earlier one stops working.
    ///
    /// # Errors
    /// [`MetaError`] when it cannot be stored.
    pub async fn create_setup_token(&self) -> Result<String, MetaError> {
        let text = secret::random_hex(32)?;
        let mut tx = self.writer.begin().await?;
        sqlx::query("DELETE FROM setup_tokens")
            .execute(&mut *tx)
            .await?;
        sqlx::query("INSERT INTO setup_tokens (hash, expires_ns) VALUES ($1, $2)")
            .bind(secret::sha256_hex(&text))
            .bind(self.now_ns().saturating_add(SETUP_AGE_NS))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(text)
    }

    /// Uses up a setup token. True exactly once for a token that works.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be written.
    pub async fn take_setup_token(&self, text: &str) -> Result<bool, MetaError> {
        let done = sqlx::query("DELETE FROM setup_tokens WHERE hash = $1 AND expires_ns > $2")
            .bind(secret::sha256_hex(text))
            .bind(self.now_ns())
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

fn found(done: sqlx::sqlite::SqliteQueryResult) -> Result<(), MetaError> {
    match done.rows_affected() {
        0 => Err(MetaError::NotFound("user")),
        _ => Ok(()),
    }
}

async fn end_sessions(tx: &mut sqlx::SqliteConnection, user_id: &str) -> Result<(), MetaError> {
    sqlx::query("DELETE FROM sessions WHERE user_id = $1")
        .bind(user_id)
        .execute(tx)
        .await?;
    Ok(())
}

/// Refuses a change after which nobody could administer.
async fn keep_an_admin(tx: &mut sqlx::SqliteConnection) -> Result<(), MetaError> {
    let sql = "SELECT COUNT(*) FROM users WHERE role = 'admin' AND NOT disabled";
    let admins: i64 = sqlx::query_scalar(sql).fetch_one(tx).await?;
    match admins {
        0 => Err(MetaError::Conflict("the last admin must stay".into())),
        _ => Ok(()),
    }
}

pub(super) fn user(row: &SqliteRow) -> Result<User, MetaError> {
    let role: String = row.try_get("role")?;
    let hash: Option<String> = row.try_get("password_hash")?;
    Ok(User {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        role: Role::parse(&role)
            .ok_or_else(|| MetaError::Corrupt(format!("unknown role {role:?}")))?,
        disabled: row.try_get("disabled")?,
        has_password: hash.is_some(),
        created_ns: row.try_get("created_ns")?,
        last_login_ns: row.try_get("last_login_ns")?,
    })
}
