//! How people come in and go: password, one-time setup link, logout.

use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use watchfire_store::meta::{MetaError, NewSession, Role, User};

use super::{Auth, Principal, session};
use crate::error::ApiError;

/// How long the setup link works.
const SETUP_AGE: Duration = Duration::from_secs(15 * 60);

/// Somebody who came in.
pub struct Login {
    /// Who.
    pub principal: Principal,
    /// The `Set-Cookie` that begins the session.
    pub cookie: HeaderValue,
}

impl Auth {
    /// Makes a link, as path and query, that lets somebody in once as admin within 15 minutes.
    /// Links made before stop working.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn create_setup_link(&self) -> Result<String, MetaError> {
        let token = self.0.meta.create_setup_token().await?;
        let mut made = self
            .0
            .setup_made
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *made = Some(Instant::now());
        Ok(format!("/setup?token={token}"))
    }

    /// Has nobody come in yet who could administer?
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn needs_setup(&self) -> Result<bool, MetaError> {
        let users = self.0.meta.list_users().await?;
        let admin = |u: &User| u.role == Role::Admin && !u.disabled;
        Ok(!users
            .iter()
            .any(|u| admin(u) && (u.has_password || u.last_login_ns.is_some())))
    }

    /// Uses up a setup link's token: makes the user an admin with this password and lets them in.
    ///
    /// # Errors
    /// 422 for a bad name or password, which leaves the link good; 401 for a token that is
    /// unknown, used or too old; 429 after many tries.
    pub async fn setup(
        &self,
        token: &str,
        name: &str,
        password: &str,
        address: IpAddr,
    ) -> Result<Login, ApiError> {
        let name = super::manage::checked_name(name)?;
        super::password::check_rules(password, &name)?;
        self.0.guard.admit("(setup)", address, Instant::now())?;
        let made = *self
            .0
            .setup_made
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let fresh = made.is_some_and(|at| at.elapsed() < SETUP_AGE);
        if !fresh || !self.0.meta.take_setup_token(token).await? {
            let code = "setup_token_invalid";
            let detail = json!({ "code": code });
            self.audit_as("(setup)", address, "session.refuse", &name, detail)
                .await?;
            let text = "the link was used already or is older than 15 minutes";
            return Err(ApiError::new(StatusCode::UNAUTHORIZED, code, text));
        }
        self.0.guard.succeeded("(setup)", address);
        let hash = self.0.hasher.hash(password).await?;
        let user = match self.0.meta.user_credentials(&name).await? {
            Some((user, _)) => {
                self.0.meta.set_password(&user.id, &hash).await?;
                self.update_user(&user.id, Role::Admin, false).await?
            }
            None => {
                self.0
                    .meta
                    .create_user(&name, Role::Admin, Some(&hash))
                    .await?
            }
        };
        self.begin(&user, address, "setup link").await
    }

    /// Lets a user in by password. An unknown user, a locked one and a wrong password take the
    /// same time and read the same.
    ///
    /// # Errors
    /// 401, 429 after too many failures.
    pub async fn login_by_password(
        &self,
        name: &str,
        password: &str,
        address: IpAddr,
    ) -> Result<Login, ApiError> {
        // Longer ones are never stored, so they cannot match.
        let password = if password.len() > 4 * super::MAX_PASSWORD_CHARS {
            ""
        } else {
            password
        };
        let name = name
            .get(..name.floor_char_boundary(100))
            .unwrap_or_default();
        self.0.guard.admit(name, address, Instant::now())?;
        let found = self.0.meta.user_credentials(name).await?;
        let stored = found.as_ref().and_then(|(_, hash)| hash.as_deref());
        let right = self.0.hasher.verify(password, stored).await?;
        match found {
            Some((user, _)) if right && !user.disabled => {
                self.0.guard.succeeded(name, address);
                self.begin(&user, address, "password").await
            }
            _ => {
                let detail = json!({ "code": "login_failed" });
                self.audit_as("(login)", address, "session.refuse", name, detail)
                    .await?;
                Err(ApiError::new(
                    StatusCode::UNAUTHORIZED,
                    "login_failed",
                    "the name or the password is wrong",
                ))
            }
        }
    }

    /// A session with a fresh secret: what the browser sent before means nothing.
    async fn begin(&self, user: &User, address: IpAddr, how: &str) -> Result<Login, ApiError> {
        let new = NewSession {
            user_id: user.id.clone(),
            from_addr: Some(address.to_string()),
            idle: session::IDLE,
            absolute: session::ABSOLUTE,
        };
        let value = self.0.meta.create_session(&new).await?;
        self.0.meta.note_login(&user.id).await?;
        let detail = json!({ "how": how });
        self.audit_as(&user.name, address, "session.begin", &user.id, detail)
            .await?;
        let stored = self.0.meta.session(&value).await?;
        let stored = stored.ok_or_else(|| ApiError::internal("a new session is not there"))?;
        let principal = self.0.sessions.remember(&value, &stored, crate::now_ns());
        let cookie = session::set_cookie(&value, self.0.secure_cookies)
            .ok_or_else(|| ApiError::internal("a session value is no header value"))?;
        Ok(Login { principal, cookie })
    }

    /// Ends the session of a request and any session whose cookie it replaces. Returns the
    /// `Set-Cookie` that removes the cookie.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn end_session(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, ApiError> {
        if let Some(value) = session::cookie_value(headers, self.0.secure_cookies) {
            self.0.meta.delete_session(value).await?;
            self.0.sessions.forget(value);
            self.note_revocation();
        }
        Ok(session::set_cookie("", self.0.secure_cookies))
    }
}
