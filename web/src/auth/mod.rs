//! Who is asking, and what they may do: tokens for programs, sessions for people.
//!
//! Every check is answered from memory; the database is only read at start and written on change.

mod csrf;
mod layer;
mod login;
mod manage;
mod password;
mod scope;
mod session;
mod token;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use watchfire_store::meta::{AuditEntry, Meta, MetaError};

pub use layer::{Access, RequireAccess, layer};
pub use login::Login;
pub use password::{MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS};
pub use scope::{Scope, Scopes, scopes_of};

use crate::error::ApiError;
use password::{Hasher, LoginGuard};
use session::Sessions;
use token::TokenIndex;

/// SHA-256 of a secret: all that is ever kept of it.
pub(crate) type SecretHash = [u8; 32];

/// Checks who asks. Cheap to clone.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    meta: Meta,
    tokens: TokenIndex,
    sessions: Sessions,
    hasher: Hasher,
    guard: LoginGuard,
    /// When this process made its setup link; it works for a quarter of an hour.
    setup_made: Mutex<Option<Instant>>,
    /// Counts revocations, so that open streams can look again.
    revoked: watch::Sender<u64>,
    secure_cookies: bool,
}

/// Who asked, as the layers establish it. Found among the request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Name of the token or of the user.
    pub name: Arc<str>,
    /// What they may do.
    pub scopes: Scopes,
    /// How they proved who they are.
    pub via: Via,
}

/// How a [`Principal`] proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// An API token, by its id.
    Token(Arc<str>),
    /// A session cookie, by the hash of its value.
    Session([u8; 32]),
    /// Nothing: a request from this machine to a door that allows it.
    Loopback,
}

/// The asker of a control action and where they asked from: what an audit row needs.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// From which address.
    pub address: IpAddr,
}

impl Auth {
    /// Loads the tokens. `secure_cookies` when the pages are served over TLS.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn open(meta: Meta, secure_cookies: bool) -> Result<Auth, MetaError> {
        let tokens = TokenIndex::load(&meta).await?;
        Ok(Auth(Arc::new(Inner {
            meta,
            tokens,
            sessions: Sessions::default(),
            hasher: Hasher::new(),
            guard: LoginGuard::default(),
            setup_made: Mutex::new(None),
            revoked: watch::Sender::new(0),
            secure_cookies,
        })))
    }

    /// The metadata store behind it.
    pub fn meta(&self) -> &Meta {
        &self.0.meta
    }

    /// The principal behind a request's headers where memory can tell. None when only the
    /// database can: the first use of a token or session since the start.
    pub fn known(&self, headers: &HeaderMap) -> Option<Result<Principal, ApiError>> {
        let now = crate::now_ns();
        if headers.contains_key(header::AUTHORIZATION) {
            return match self.0.tokens.check(headers, now) {
                token::Verdict::Good(principal) => Some(Ok(principal)),
                token::Verdict::Touch(principal, text) => {
                    self.touch_token(text);
                    Some(Ok(principal))
                }
                token::Verdict::Ask(_) => None,
                token::Verdict::Unknown if self.0.tokens.may_reload(now) => None,
                token::Verdict::Unknown | token::Verdict::Bad => Some(refused()),
            };
        }
        let Some(value) = session::cookie_value(headers, self.0.secure_cookies) else {
            return Some(refused());
        };
        match self.0.sessions.check(value, now) {
            session::Verdict::Good(principal) => Some(Ok(principal)),
            session::Verdict::Touch(principal) => {
                self.touch_session(value.to_owned());
                Some(Ok(principal))
            }
            session::Verdict::Ask => None,
            session::Verdict::Bad => Some(refused()),
        }
    }

    /// The principal behind a request's headers, asking the database.
    ///
    /// # Errors
    /// 401 for no credential or a bad one; the two read the same.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, ApiError> {
        let now = crate::now_ns();
        let (meta, tokens) = (&self.0.meta, &self.0.tokens);
        if headers.contains_key(header::AUTHORIZATION) {
            let mut verdict = tokens.check(headers, now);
            if matches!(verdict, token::Verdict::Unknown) {
                tokens.reload(meta).await?;
                verdict = tokens.check(headers, now);
            }
            return match verdict {
                token::Verdict::Good(principal) | token::Verdict::Touch(principal, _) => {
                    Ok(principal)
                }
                token::Verdict::Ask(text) => {
                    let row = meta.verify_token(&text).await?;
                    let principal = row.and_then(|row| tokens.learn(&row, &text, now));
                    principal.ok_or_else(ApiError::unauthenticated)
                }
                token::Verdict::Bad | token::Verdict::Unknown => refused(),
            };
        }
        let value = session::cookie_value(headers, self.0.secure_cookies);
        let value = value.ok_or_else(ApiError::unauthenticated)?;
        let revocations = *self.0.revoked.borrow();
        let stored = meta
            .session(value)
            .await?
            .ok_or_else(ApiError::unauthenticated)?;
        let principal = self.0.sessions.remember(value, &stored, now);
        if *self.0.revoked.borrow() != revocations {
            // What was read may be of before the revocation: let the next request ask again.
            self.0.sessions.forget(value);
        }
        Ok(principal)
    }

    /// Notes the use of a token, off the request's path. A token that another process revoked
    /// stops working here.
    fn touch_token(&self, text: String) {
        let auth = self.clone();
        tokio::spawn(async move {
            match auth.0.meta.verify_token(&text).await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    if let Err(error) = auth.reload_tokens().await {
                        tracing::warn!(%error, "the list of tokens could not be read");
                    }
                }
                Err(error) => tracing::warn!(%error, "the use of a token was not noted"),
            }
        });
    }

    fn touch_session(&self, value: String) {
        let auth = self.clone();
        tokio::spawn(async move {
            match auth.0.meta.session(&value).await {
                Ok(Some(_)) => {}
                Ok(None) => auth.0.sessions.forget(&value),
                Err(error) => tracing::warn!(%error, "the use of a session was not noted"),
            }
        });
    }

    /// Would `principal` still be let in? Asked again by streams when something was revoked.
    pub fn still_valid(&self, principal: &Principal) -> bool {
        match &principal.via {
            Via::Token(id) => self.0.tokens.is_live(id, crate::now_ns()),
            Via::Session(hash) => self.0.sessions.is_live(hash, crate::now_ns()),
            Via::Loopback => true,
        }
    }

    /// Rises whenever a token, session or user is revoked.
    pub fn revocations(&self) -> watch::Receiver<u64> {
        self.0.revoked.subscribe()
    }

    fn note_revocation(&self) {
        self.0.revoked.send_modify(|n| *n += 1);
    }

    /// Writes one audit row.
    ///
    /// # Errors
    /// The database cannot be written; the action must then be reported as failed.
    pub async fn audit(
        &self,
        caller: &Caller,
        what: &str,
        object: &str,
        detail: serde_json::Value,
    ) -> Result<(), ApiError> {
        self.audit_as(&caller.principal.name, caller.address, what, object, detail)
            .await
    }

    async fn audit_as(
        &self,
        who: &str,
        address: IpAddr,
        what: &str,
        object: &str,
        detail: serde_json::Value,
    ) -> Result<(), ApiError> {
        let entry = AuditEntry {
            who: who.to_owned(),
            what: what.to_owned(),
            object: object.to_owned(),
            from_addr: Some(address.to_string()),
            detail,
        };
        self.0.meta.audit(&entry).await?;
        Ok(())
    }
}

fn refused<T>() -> Result<T, ApiError> {
    Err(ApiError::unauthenticated())
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let principal = parts.extensions.get::<Principal>().cloned();
        let principal = principal.ok_or_else(ApiError::unauthenticated)?;
        Ok(Caller {
            principal,
            address: peer(&parts.extensions),
        })
    }
}

/// The address the connection comes from; `0.0.0.0` when the server did not say. Forwarding
/// headers are never believed.
pub(crate) fn peer(extensions: &axum::http::Extensions) -> IpAddr {
    let info = extensions.get::<ConnectInfo<SocketAddr>>();
    info.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(a)| {
        a.ip().to_canonical()
    })
}

/// As [`peer`], for handlers without a principal.
pub(crate) fn address_of(info: Option<axum::Extension<ConnectInfo<SocketAddr>>>) -> IpAddr {
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    info.map_or(unknown, |axum::Extension(ConnectInfo(a))| {
        a.ip().to_canonical()
    })
}

/// Did the request start on this machine? A forwarding header means that a proxy on this machine
/// passed on somebody else's request.
pub(crate) fn is_local(headers: &HeaderMap, address: IpAddr) -> bool {
    const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    address.is_loopback() && !FORWARDED.iter().any(|name| headers.contains_key(*name))
}

pub(crate) fn sha256(secret: &[u8]) -> SecretHash {
    Sha256::digest(secret).into()
}

/// `N` bytes from the operating system's generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(ApiError::internal)?;
    Ok(bytes)
}
