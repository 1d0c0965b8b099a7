//! Making and revoking tokens and users: database and memory change together, and the change
//! works at once.

use watchfire_store::meta::{MetaError, NewToken, Role, Scope as StoredScope, TokenRow, User};

use super::{Auth, password};
use crate::error::ApiError;

/// Name of the token that `WATCHFIRE_ADMIN_TOKEN` becomes.
const ADMIN_TOKEN_NAME: &str = "environment";

impl Auth {
    /// Makes sure that `text` works as an admin token that does not expire.
    ///
    /// # Errors
    /// The text is shorter than 32 characters or cannot travel in a header.
    pub async fn ensure_admin_token(&self, text: &str) -> Result<(), MetaError> {
        let new = NewToken {
            name: ADMIN_TOKEN_NAME.to_owned(),
            scopes: vec![StoredScope::Admin],
            created_by: "system".to_owned(),
            expires_ns: None,
        };
        self.0.meta.import_token(text, &new).await?;
        self.0.tokens.reload(&self.0.meta).await
    }

    /// Makes a token; its text is returned this once.
    ///
    /// # Errors
    /// A bad name, no scope, too many tokens.
    pub async fn create_token(&self, new: &NewToken) -> Result<(TokenRow, String), MetaError> {
        let made = self.0.meta.create_token(new).await?;
        self.0.tokens.reload(&self.0.meta).await?;
        Ok(made)
    }

    /// Makes a token stop working, at once.
    ///
    /// # Errors
    /// There is no such token.
    pub async fn revoke_token(&self, id: &str) -> Result<(), MetaError> {
        self.0.meta.revoke_token(id).await?;
        self.reload_tokens().await
    }

    pub(super) async fn reload_tokens(&self) -> Result<(), MetaError> {
        self.0.tokens.reload(&self.0.meta).await?;
        self.note_revocation();
        Ok(())
    }

    /// Makes a user, with a password or to be let in otherwise.
    ///
    /// # Errors
    /// A bad name or password, a name that is taken.
    pub async fn create_user(
        &self,
        name: &str,
        role: Role,
        password: Option<&str>,
    ) -> Result<User, ApiError> {
        let name = checked_name(name)?;
        let hash = match password {
            Some(password) => {
                password::check_rules(password, &name)?;
                Some(self.0.hasher.hash(password).await?)
            }
            None => None,
        };
        Ok(self
            .0
            .meta
            .create_user(&name, role, hash.as_deref())
            .await?)
    }

    /// Sets a password and ends the user's sessions.
    ///
    /// # Errors
    /// A bad password, no such user.
    pub async fn set_password(&self, user: &User, password: &str) -> Result<(), ApiError> {
        password::check_rules(password, &user.name)?;
        let hash = self.0.hasher.hash(password).await?;
        self.0.meta.set_password(&user.id, &hash).await?;
        self.forget_user(&user.id);
        Ok(())
    }

    /// Sets what a user may do and whether they may come in, and ends their sessions.
    ///
    /// # Errors
    /// No such user, or no admin would be left.
    pub async fn update_user(
        &self,
        id: &str,
        role: Role,
        disabled: bool,
    ) -> Result<User, ApiError> {
        let user = self.0.meta.update_user(id, role, disabled).await?;
        self.forget_user(id);
        Ok(user)
    }

    /// Deletes a user and ends their sessions.
    ///
    /// # Errors
    /// No such user, or no admin would be left.
    pub async fn delete_user(&self, id: &str) -> Result<(), ApiError> {
        self.0.meta.delete_user(id).await?;
        self.forget_user(id);
        Ok(())
    }

    fn forget_user(&self, id: &str) {
        self.0.sessions.forget_user(id);
        self.note_revocation();
    }
}

/// A user's name in lower case. Names that look alike must be alike, so only ASCII is allowed.
pub(super) fn checked_name(name: &str) -> Result<String, ApiError> {
    let name = name.to_ascii_lowercase();
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._@-".contains(&c);
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(name);
    }
    Err(ApiError::field(
        "a user's name has 1 to 64 characters of a-z, 0-9, dot, _, @ and -",
    ))
}
