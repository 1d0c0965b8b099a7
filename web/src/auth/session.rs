//! Sessions of people: a cookie whose hash the database keeps, remembered here while in use.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use watchfire_store::meta::Session as StoredSession;

use super::scope::scopes_of;
use super::{Principal, SecretHash, Via, sha256};

/// A session ends when unused for so long.
pub(super) const IDLE: Duration = Duration::from_secs(30 * 60);
/// A session ends after so long whatever happens.
pub(super) const ABSOLUTE: Duration = Duration::from_secs(12 * 3600);

/// Sessions remembered; when full, those that nobody used longest are forgotten and cost their
/// owners one database read.
const MAX_REMEMBERED: usize = 10_000;
/// Unknown cookies looked up in the database in one second; more are refused unread.
const MAX_LOOKUPS_PER_SECOND: u32 = 50;
/// How often a session in use is held against the database, nanoseconds.
const TOUCH_STEP_NS: i64 = 60_000_000_000;

#[derive(Default)]
pub(super) struct Sessions {
    remembered: Mutex<HashMap<SecretHash, Remembered>>,
    second: AtomicI64,
    lookups: AtomicU32,
}

#[derive(Clone)]
struct Remembered {
    user_id: String,
    name: Arc<str>,
    role: watchfire_store::meta::Role,
    expires_ns: i64,
    last_seen_ns: i64,
    touched_ns: i64,
}

/// What memory can say about a cookie.
pub(super) enum Verdict {
    /// The session goes on.
    Good(Principal),
    /// The session goes on; its use should be noted.
    Touch(Principal),
    /// Not in memory: ask the database.
    Ask,
    /// It cannot be one of ours, or too many are being guessed.
    Bad,
}

impl Sessions {
    /// Looks a cookie up in memory and counts it as use.
    pub fn check(&self, value: &str, now_ns: i64) -> Verdict {
        if value.len() != 64 || !value.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Verdict::Bad;
        }
        let hash = sha256(value.as_bytes());
        let mut remembered = self.lock();
        let Some(session) = remembered.get_mut(&hash) else {
            drop(remembered);
            return if self.may_look_up(now_ns) {
                Verdict::Ask
            } else {
                Verdict::Bad
            };
        };
        if !session.goes_on(now_ns) {
            remembered.remove(&hash);
            return Verdict::Bad;
        }
        session.last_seen_ns = now_ns;
        let principal = session.principal(hash);
        if now_ns - session.touched_ns < TOUCH_STEP_NS {
            return Verdict::Good(principal);
        }
        session.touched_ns = now_ns;
        Verdict::Touch(principal)
    }

    /// Remembers what the database said of a cookie.
    pub fn remember(&self, value: &str, stored: &StoredSession, now_ns: i64) -> Principal {
        let hash = sha256(value.as_bytes());
        let session = Remembered {
            user_id: stored.user.id.clone(),
            name: stored.user.name.as_str().into(),
            role: stored.user.role,
            expires_ns: stored.expires_ns,
            last_seen_ns: now_ns,
            touched_ns: now_ns,
        };
        let principal = session.principal(hash);
        let mut remembered = self.lock();
        if remembered.len() >= MAX_REMEMBERED {
            forget_oldest(&mut remembered);
        }
        remembered.insert(hash, session);
        principal
    }

    /// Does the session of this hash go on? Does not count as use.
    pub fn is_live(&self, hash: &SecretHash, now_ns: i64) -> bool {
        self.lock().get(hash).is_some_and(|s| s.goes_on(now_ns))
    }

    /// Forgets one session.
    pub fn forget(&self, value: &str) {
        self.lock().remove(&sha256(value.as_bytes()));
    }

    /// Forgets every session of a user.
    pub fn forget_user(&self, user_id: &str) {
        self.lock().retain(|_, s| s.user_id != user_id);
    }

    fn may_look_up(&self, now_ns: i64) -> bool {
        let second = now_ns / 1_000_000_000;
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.lookups.store(0, Ordering::Relaxed);
        }
        self.lookups.fetch_add(1, Ordering::Relaxed) < MAX_LOOKUPS_PER_SECOND
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SecretHash, Remembered>> {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered {
    fn goes_on(&self, now_ns: i64) -> bool {
        let idle_ns = IDLE.as_nanos() as i64;
        now_ns < self.expires_ns && now_ns - self.last_seen_ns < idle_ns
    }

    fn principal(&self, hash: SecretHash) -> Principal {
        let scopes = scopes_of(self.role);
        Principal {
            name: self.name.clone(),
            scopes,
            via: Via::Session(hash),
        }
    }
}

/// Forgets the tenth that was used longest ago.
fn forget_oldest(remembered: &mut HashMap<SecretHash, Remembered>) {
    let mut seen: Vec<i64> = remembered.values().map(|s| s.last_seen_ns).collect();
    seen.sort_unstable();
    if let Some(&limit) = seen.get(seen.len() / 10) {
        remembered.retain(|_, s| s.last_seen_ns > limit);
    }
}

fn cookie_name(secure: bool) -> &'static str {
    // The prefix makes browsers insist on Secure, Path=/ and no Domain; they refuse it without TLS.
    if secure { "__Host-wf" } else { "wf" }
}

/// The session cookie of a request.
pub(super) fn cookie_value(headers: &HeaderMap, secure: bool) -> Option<&str> {
    let lines = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok());
    let pairs = lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.split_once('='));
    let name = cookie_name(secure);
    pairs
        .map(|(n, v)| (n.trim(), v.trim()))
        .find(|(n, _)| *n == name)
        .map(|(_, v)| v)
}

/// The `Set-Cookie` that begins a session, or with an empty value ends it.
pub(super) fn set_cookie(value: &str, secure: bool) -> Option<HeaderValue> {
    let name = cookie_name(secure);
    let age = if value.is_empty() {
        0
    } else {
        ABSOLUTE.as_secs()
    };
    let flag = if secure { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{flag}");
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn cookies_are_found_among_others() {
        let table = [
            ("wf=abc", false, Some("abc")),
            ("a=1; wf=abc; b=2", false, Some("abc")),
            ("__Host-wf=abc; wf=planted", true, Some("abc")),
            ("wf=planted", true, None),
            ("xwf=abc", false, None),
            ("", false, None),
        ];
        for (text, secure, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, text.parse().unwrap());
            assert_eq!(cookie_value(&headers, secure), expected, "{text}");
        }
    }

    #[test]
    fn cookie_flags() {
        let plain = set_cookie("v", false).unwrap();
        assert_eq!(
            plain,
            "wf=v; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200"
        );
        let tls = set_cookie("", true).unwrap();
        assert_eq!(
            tls,
            "__Host-wf=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0; Secure"
        );
    }

    #[test]
    fn guesses_are_not_looked_up_without_end() {
        let sessions = Sessions::default();
        let guess = "a".repeat(64);
        let asked = (0..1000)
            .filter(|_| matches!(sessions.check(&guess, 5), Verdict::Ask))
            .count();
        assert_eq!(asked, MAX_LOOKUPS_PER_SECOND as usize);
        assert!(
            matches!(sessions.check(&guess, 2_000_000_000), Verdict::Ask),
            "the next second"
        );
        assert!(matches!(
            sessions.check("short", 5_000_000_000),
            Verdict::Bad
        ));
    }
}
