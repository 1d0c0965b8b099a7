//! Passwords: slow to guess offline (argon2id), slow to guess online (backoff), and never able
//! to starve anything else (one hash at a time).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use super::random;
use crate::error::ApiError;

/// The shortest password that is accepted.
pub const MIN_PASSWORD_CHARS: usize = 12;
/// The longest password that is accepted.
pub const MAX_PASSWORD_CHARS: usize = 128;

/// Hashing jobs that may wait; beyond it logins are refused with 429.
const MAX_WAITING: usize = 32;

/// Compared with when there is no such user, so that the time does not tell (ASVS 6.3.8). A hash
/// with the parameters of [`Argon2::default`], 19 MiB, 2 passes.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm9i\
    $Y29tcGFyZWQgd2l0aCBmb3Igbm8gdXNlciBvZiBhbGw";

/// Hashes passwords, one at a time.
pub(super) struct Hasher {
    turn: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Hasher {
    pub fn new() -> Self {
        Hasher {
            turn: Arc::new(Semaphore::new(1)),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
        }
    }

    /// The argon2id string of a new password.
    pub async fn hash(&self, password: &str) -> Result<String, ApiError> {
        let salt = random::<16>()?;
        let password = password.to_owned();
        let hashed = self.run(move || {
            let hash: Result<PasswordHash, _> =
                Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
            hash.map(|h| h.to_string())
        });
        hashed.await?.map_err(ApiError::internal)
    }

    /// Is `password` the one behind `stored`? Takes as long without a stored hash.
    pub async fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool, ApiError> {
        let known = stored.is_some();
        let stored = stored.unwrap_or(NOBODY).to_owned();
        let password = password.to_owned();
        let matches = self.run(move || {
            let hash = PasswordHash::new(&stored).ok();
            hash.is_some_and(|h| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &h)
                    .is_ok()
            })
        });
        Ok(matches.await? && known)
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let _waiting = self.waiting.try_acquire().map_err(|_| {
            ApiError::too_many("too_many_logins", "too many people are logging in", 2)
        })?;
        // The turn goes along with the job: a caller that goes away does not free it early.
        let turn = self
            .turn
            .clone()
            .acquire_owned()
            .await
            .map_err(ApiError::internal)?;
        let running = tokio::task::spawn_blocking(move || {
            let result = job();
            drop(turn);
            result
        });
        running.await.map_err(ApiError::internal)
    }
}

/// Holds a new password against the rules.
pub(super) fn check_rules(password: &str, user: &str) -> Result<(), ApiError> {
    let chars = password.chars().count();
    if !(MIN_PASSWORD_CHARS..=MAX_PASSWORD_CHARS).contains(&chars) {
        return Err(ApiError::field(format!(
            "a password has {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters"
        )));
    }
    if is_common(&password.to_lowercase(), &user.to_lowercase()) {
        return Err(ApiError::field(
            "this password is among the first that are guessed",
        ));
    }
    Ok(())
}

/// Long passwords are guessed as short ones repeated or lengthened: a common word with digits
/// around it, one piece over and over, a run of neighbours, the user's name.
fn is_common(password: &str, user: &str) -> bool {
    const WORDS: [&str; 24] = [
        "password",
        "passwort",
        "passw0rd",
        "p@ssw0rd",
        "p@ssword",
        "letmein",
        "welcome",
        "admin",
        "administrator",
        "watchfire",
        "qwerty",
        "qwertyuiop",
        "qwertz",
        "iloveyou",
        "monkey",
        "dragon",
        "football",
        "baseball",
        "sunshine",
        "princess",
        "changeme",
        "secret",
        "login",
        "abc",
    ];
    let core = password.trim_matches(|c: char| !c.is_alphabetic() && c != '@');
    let repeats = (1..=password.len() / 2).any(|n| {
        password.is_char_boundary(n)
            && password.len().is_multiple_of(n)
            && password
                .get(..n)
                .is_some_and(|piece| password == piece.repeat(password.len() / n))
    });
    let bytes = password.as_bytes();
    let step = |pair: &[u8]| i16::from(pair[1]) - i16::from(pair[0]);
    let run = bytes.windows(2).all(|p| matches!(step(p), 1 | -9)) // 123456789012, abcdefghijkl
        || bytes.windows(2).all(|p| step(p) == -1);
    let keyboard = "qwertyuiopasdfghjklzxcvbnm".contains(password);
    let named = user.len() >= 3 && core == user;
    core.is_empty() || WORDS.contains(&core) || repeats || run || keyboard || named
}

/// Slows guessing down: per account and address strictly, per address, and per account gently, so
/// that an attacker elsewhere cannot lock the owner out.
#[derive(Default)]
pub(super) struct LoginGuard(Mutex<HashMap<Key, Failures>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Both(String, IpAddr),
    Address(IpAddr),
    Account(String),
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

/// Keys remembered; when full, those whose last failure is oldest go.
const MAX_KEYS: usize = 20_000;
/// Failures are forgotten after so long without another.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

impl Key {
    /// Failures that cost nothing, and the longest wait in seconds.
    fn rule(&self) -> (u32, u64) {
        match self {
            Key::Both(..) => (5, 900),
            Key::Address(_) => (20, 900),
            Key::Account(_) => (50, 30),
        }
    }

    fn all(account: &str, address: IpAddr) -> [Key; 3] {
        let account = account.to_lowercase();
        [
            Key::Both(account.clone(), address),
            Key::Address(address),
            Key::Account(account),
        ]
    }
}

impl LoginGuard {
    /// May this account be tried from this address now? Counts as a failure until
    /// [`LoginGuard::succeeded`], so that tries at the same time cannot slip through together.
    pub fn admit(&self, account: &str, address: IpAddr, now: Instant) -> Result<(), ApiError> {
        let keys = Key::all(account, address);
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = keys
            .iter()
            .filter_map(|key| map.get(key).and_then(|f| f.wait(key, now)));
        if let Some(wait) = waits.max() {
            let text = "too many failed logins; wait before the next";
            return Err(ApiError::too_many(
                "login_backoff",
                text,
                wait.as_secs().max(1),
            ));
        }
        if map.len() + keys.len() > MAX_KEYS {
            forget(&mut map, now);
        }
        for key in keys {
            let failures = map.entry(key).or_insert(Failures {
                count: 0,
                last: now,
            });
            if now.duration_since(failures.last) > FORGET_AFTER {
                failures.count = 0;
            }
            *failures = Failures {
                count: failures.count.saturating_add(1),
                last: now,
            };
        }
        Ok(())
    }

    /// Forgets the failures of somebody who knew the password. The address keeps the others it
    /// made, or one known account would wash all guesses clean.
    pub fn succeeded(&self, account: &str, address: IpAddr) {
        let [both, from, of] = Key::all(account, address);
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.remove(&both);
        for key in [from, of] {
            if let Some(failures) = map.get_mut(&key) {
                failures.count = failures.count.saturating_sub(1);
            }
        }
    }
}

impl Failures {
    fn wait(&self, key: &Key, now: Instant) -> Option<Duration> {
        let (free, longest) = key.rule();
        let over = self.count.checked_sub(free)?;
        let wait = Duration::from_secs((1u64 << over.min(20)).min(longest));
        wait.checked_sub(now.duration_since(self.last))
            .filter(|left| !left.is_zero())
    }
}

fn forget(map: &mut HashMap<Key, Failures>, now: Instant) {
    map.retain(|_, f| now.duration_since(f.last) <= FORGET_AFTER);
    if map.len() + 3 <= MAX_KEYS {
        return;
    }
    let mut times: Vec<Instant> = map.values().map(|f| f.last).collect();
    times.sort_unstable();
    if let Some(&limit) = times.get(times.len() / 10) {
        map.retain(|_, f| f.last > limit);
    }
}

#[cfg(test)]
mod tests;
