//! Tokens of programs: an index in memory that refuses bad ones without touching the disk.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use watchfire_store::meta::{Meta, MetaError, Scope as StoredScope, TokenRow};

use super::{Principal, Scope, Scopes, SecretHash, Via, sha256};

/// Longer credentials are refused unread, so that a guess never costs more than a few hashes.
const MAX_CREDENTIAL_BYTES: usize = 1024;
/// Tokens made by another process are looked for at most this often, nanoseconds.
const RELOAD_STEP_NS: i64 = 1_000_000_000;
/// How often a token in use is held against the database, which also notes the use, nanoseconds.
const TOUCH_STEP_NS: i64 = 60_000_000_000;

/// All tokens that may work, by the part of their text that is not secret.
pub(super) struct TokenIndex {
    entries: ArcSwap<HashMap<String, Arc<Entry>>>,
    reloaded_ns: AtomicI64,
}

struct Entry {
    id: Arc<str>,
    name: Arc<str>,
    scopes: Scopes,
    expires_ns: Option<i64>,
    /// The hash of the whole text, learnt when the database first accepted it.
    hash: OnceLock<SecretHash>,
    touched_ns: AtomicI64,
}

/// What memory can say about a credential.
pub(super) enum Verdict {
    /// It works.
    Good(Principal),
    /// It works; its use should be noted with this text.
    Touch(Principal, String),
    /// It does not work.
    Bad,
    /// It names a token whose secret was not seen since the start: ask the database.
    Ask(String),
    /// It names no token; another process may have made one, which a reload would show.
    Unknown,
}

impl TokenIndex {
    pub async fn load(meta: &Meta) -> Result<Self, MetaError> {
        let index = TokenIndex {
            entries: ArcSwap::default(),
            reloaded_ns: AtomicI64::new(0),
        };
        index.reload(meta).await?;
        Ok(index)
    }

    /// Reads the list again. Hashes learnt before are kept for tokens that still work.
    pub async fn reload(&self, meta: &Meta) -> Result<(), MetaError> {
        let rows = meta.list_tokens().await?;
        let old = self.entries.load();
        let live = rows.iter().filter(|row| row.revoked_ns.is_none());
        let entries = live.map(|row| {
            let known = old.get(&row.id).and_then(|e| e.hash.get().copied());
            let touched = old
                .get(&row.id)
                .map_or(0, |e| e.touched_ns.load(Ordering::Relaxed));
            (row.id.clone(), Arc::new(Entry::new(row, known, touched)))
        });
        self.entries.store(Arc::new(entries.collect()));
        Ok(())
    }

    /// May the list be read again for an unknown credential? True at most once a second.
    pub fn may_reload(&self, now_ns: i64) -> bool {
        let last = self.reloaded_ns.load(Ordering::Relaxed);
        now_ns.saturating_sub(last) >= RELOAD_STEP_NS
            && self
                .reloaded_ns
                .compare_exchange(last, now_ns, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Looks a request's credential up in memory.
    pub fn check(&self, headers: &HeaderMap, now_ns: i64) -> Verdict {
        let entries = self.entries.load();
        for text in presented(headers) {
            let hash = sha256(text.as_bytes());
            let Some(entry) = entries.get(public_id(&text, &hash).as_str()) else {
                continue;
            };
            if entry.expires_ns.is_some_and(|at| now_ns >= at) {
                return Verdict::Bad;
            }
            return match entry.hash.get() {
                Some(known) if *known == hash => {
                    if entry.due_for_touch(now_ns) {
                        Verdict::Touch(entry.principal(), text)
                    } else {
                        Verdict::Good(entry.principal())
                    }
                }
                Some(_) => Verdict::Bad,
                None => Verdict::Ask(text),
            };
        }
        Verdict::Unknown
    }

    /// Remembers that the database accepted `text`.
    pub fn learn(&self, row: &TokenRow, text: &str, now_ns: i64) -> Option<Principal> {
        let entry = self.entries.load().get(&row.id)?.clone();
        let _ = entry.hash.set(sha256(text.as_bytes()));
        entry.touched_ns.store(now_ns, Ordering::Relaxed);
        Some(entry.principal())
    }

    /// Does the token of this id work now?
    pub fn is_live(&self, id: &str, now_ns: i64) -> bool {
        let entries = self.entries.load();
        entries
            .get(id)
            .is_some_and(|e| e.expires_ns.is_none_or(|at| now_ns < at))
    }
}

impl Entry {
    fn new(row: &TokenRow, known: Option<SecretHash>, touched_ns: i64) -> Self {
        let hash = OnceLock::new();
        if let Some(known) = known {
            let _ = hash.set(known);
        }
        Entry {
            id: row.id.as_str().into(),
            name: row.name.as_str().into(),
            scopes: row.scopes.iter().map(|s| granted(*s)).collect(),
            expires_ns: row.expires_ns,
            hash,
            touched_ns: AtomicI64::new(touched_ns),
        }
    }

    fn principal(&self) -> Principal {
        let via = Via::Token(self.id.clone());
        Principal {
            name: self.name.clone(),
            scopes: self.scopes,
            via,
        }
    }

    fn due_for_touch(&self, now_ns: i64) -> bool {
        let last = self.touched_ns.load(Ordering::Relaxed);
        now_ns.saturating_sub(last) >= TOUCH_STEP_NS
            && self
                .touched_ns
                .compare_exchange(last, now_ns, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

/// What a stored scope lets a program do.
pub(super) fn granted(scope: StoredScope) -> Scope {
    match scope {
        StoredScope::Ingest => Scope::Ingest,
        StoredScope::Read => Scope::Read,
        StoredScope::Admin => Scope::Admin,
    }
}

/// The id of `wf_<id>_<secret>`; of a text that somebody chose, the start of its hash, as the
/// metadata store names it.
fn public_id(text: &str, hash: &SecretHash) -> String {
    let own = text
        .strip_prefix("wf_")
        .and_then(|rest| rest.split_once('_'));
    match own {
        Some((id, _)) => id.to_owned(),
        None => hash
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    }
}

/// The token texts that an `Authorization` header may mean: a bearer, the password of `Basic`,
/// or Elasticsearch's `ApiKey`, which is the base64 of `id:key` or the token itself.
fn presented(headers: &HeaderMap) -> Vec<String> {
    let text = headers
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok());
    let Some(text) = text.filter(|t| t.len() <= MAX_CREDENTIAL_BYTES) else {
        return Vec::new();
    };
    let Some((scheme, credential)) = text.split_once(' ') else {
        return Vec::new();
    };
    let credential = credential.trim();
    let pair = || {
        let bytes = STANDARD.decode(credential).ok()?;
        let (left, right) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
        Some((left.to_owned(), right.to_owned()))
    };
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" | "splunk" => vec![credential.to_owned()],
        "basic" => pair()
            .map(|(_, password)| vec![password])
            .unwrap_or_default(),
        "apikey" => match pair() {
            Some((id, key)) => vec![format!("wf_{id}_{key}"), key],
            None => vec![credential.to_owned()],
        },
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_client_finds_a_way_to_send_its_token() {
        let encode = |text: &str| STANDARD.encode(text);
        let table = [
            ("Bearer wf_a_b".to_owned(), vec!["wf_a_b"]),
            ("bearer  wf_a_b ".to_owned(), vec!["wf_a_b"]),
            ("Splunk wf_a_b".to_owned(), vec!["wf_a_b"]),
            (
                format!("Basic {}", encode("elastic:wf_a_b")),
                vec!["wf_a_b"],
            ),
            (format!("ApiKey {}", encode("a:b")), vec!["wf_a_b", "b"]),
            (
                format!("ApiKey {}", encode("any:wf_a_b")),
                vec!["wf_any_wf_a_b", "wf_a_b"],
            ),
            ("ApiKey wf_a_b".to_owned(), vec!["wf_a_b"]),
            ("Basic !".to_owned(), vec![]),
            ("Digest x".to_owned(), vec![]),
            ("wf_a_b".to_owned(), vec![]),
            (format!("Bearer {}", "x".repeat(2000)), vec![]),
        ];
        for (header_text, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, header_text.parse().unwrap());
            assert_eq!(presented(&headers), expected, "{header_text}");
        }
    }
}
