//! Unissued: a token that nobody got by logging in, where its owner never was.
//!
//! A session begins with a login, on the device that goes on with it. A token that was forged, or
//! copied before it was ever used, begins without one. Harmless sessions do so, too: tokens are
//! renewed out of sight, and logs leave logins out or bring them late. But then the device or the
//! network is the owner's. So a token is told that begins without a login, in a network and with
//! an agent from which the account neither logged in nor did anything else. A program that
//! somebody has let act for them (RFC 6749) gets its tokens elsewhere; what is odd about that,
//! others say. The score is how rare such beginnings are among all.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::config::DetectorConfig;
use super::on_facts::{At, FactDetector};
use super::{About, Learned};
use crate::calibrate::rounded;
use crate::calibration::Calibration;
use crate::facts::recent::Recent;
use crate::facts::{Act, Fact};
use crate::finding::Finding;
use crate::silent::Bound;

/// So long a login may turn up whose log comes later than that of what follows it.
const WAIT_NS: i64 = 60 * 1_000_000_000;
const MAX_TOKENS: usize = 100_000;
const MAX_ACCOUNTS: usize = 25_000;
/// Networks and agents of an account that are remembered; the oldest goes first.
const MAX_PLACES: usize = 16;
/// Tokens of an account before the next is judged.
const LEAST_TOKENS: u32 = 3;
const DEFAULT_SCORE: f64 = 5.5;
const SILENT: &str = "Silent had the account logged in with the token, or been seen before on the \
                      network or with the agent.";

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Account {
    tokens: u32,
    /// Networks, and their providers.
    nets: Vec<u64>,
    agents: Vec<u64>,
    /// Programs that may act for it.
    #[serde(default)]
    clients: Vec<u64>,
}

/// A token that began without a login and in a strange place, not told yet.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Strange {
    since_ns: i64,
    seq: u64,
    events: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    accounts: Recent<Account>,
    /// Tokens seen, and those that are to be told unless a login turns up.
    tokens: Recent<Option<Strange>>,
    /// Tokens judged, and those of them that are strange.
    seen: f64,
    strange: f64,
}

/// See the module's documentation.
pub(crate) struct Unissued {
    config: Arc<DetectorConfig>,
    state: State,
}

impl Unissued {
    /// A detector that has seen nothing.
    pub(crate) fn new(config: Arc<DetectorConfig>) -> Self {
        Unissued {
            config,
            state: State {
                accounts: Recent::new(MAX_ACCOUNTS),
                tokens: Recent::new(MAX_TOKENS),
                seen: 0.0,
                strange: 0.0,
            },
        }
    }

    /// Takes in a request; gives the score and the beginning of a token that is to be told.
    fn take(&mut self, fact: &Fact) -> Option<(f64, Strange)> {
        let state = &mut self.state;
        let account = state.accounts.entry(fact.user, Account::default);
        let mut is_new = false;
        let token = state.tokens.entry(fact.token, || {
            is_new = true;
            None
        });
        if is_new {
            account.tokens = account.tokens.saturating_add(1);
            if account.tokens > LEAST_TOKENS {
                state.seen += 1.0;
                *token = account.is_strange(fact).then_some(Strange {
                    since_ns: fact.time_ns,
                    seq: fact.seq,
                    events: 0,
                });
            }
        }
        let Some(strange) = token.as_mut().filter(|_| account.is_strange(fact)) else {
            *token = None;
            account.learn(fact);
            return None;
        };
        strange.events += 1;
        let strange = *strange;
        if fact.time_ns < strange.since_ns + WAIT_NS {
            return None;
        }
        *token = None;
        state.strange += 1.0;
        let score = 3.0 + ((state.seen + 10.0) / state.strange).log10();
        let wanted = self.config.thresholds.min_score.unwrap_or(DEFAULT_SCORE);
        (score >= wanted).then_some((score, strange))
    }
}

impl Account {
    /// Is it no login, and is nothing of its device or network known?
    fn is_strange(&self, fact: &Fact) -> bool {
        let net = [fact.asn, fact.net]
            .iter()
            .any(|net| self.nets.contains(net));
        let known = net || self.agents.contains(&fact.agent) || self.clients.contains(&fact.client);
        fact.act != Act::Login && !known
    }

    fn learn(&mut self, fact: &Fact) {
        remember(&mut self.nets, fact.net);
        remember(&mut self.nets, fact.asn);
        remember(&mut self.agents, fact.agent);
        if fact.act == Act::Consent {
            remember(&mut self.clients, fact.client);
        }
    }
}

fn remember(places: &mut Vec<u64>, place: u64) {
    if place != 0 && !places.contains(&place) {
        if places.len() >= MAX_PLACES {
            places.remove(0);
        }
        places.push(place);
    }
}

impl FactDetector for Unissued {
    type State = State;

    fn config(&self) -> &Arc<DetectorConfig> {
        &self.config
    }

    fn fact(&mut self, at: &At<'_>, out: &mut Vec<Finding>) {
        let fact = at.fact;
        let is_said = fact.user != 0 && fact.token != 0 && fact.ip != 0 && fact.agent != 0;
        if !is_said || !fact.is_outer() || !fact.served() {
            return;
        }
        let Some((score, strange)) = self.take(fact) else {
            return;
        };
        let (user, token) = (at.name(fact.user), at.name(fact.token));
        let mut says = at.says("token", token, score);
        let place = match at.names.of(fact.country) {
            Some(country) if !country.is_empty() => format!("{} ({country})", at.name(fact.ip)),
            _ => at.name(fact.ip).to_owned(),
        };
        let one_in = (self.state.seen / self.state.strange).max(1.0) as u64;
        says.summary = format!(
            "Token {token} of {user} began at {place} without a login, with a network and an \
             agent that the account never had; one token in {one_in} begins so",
        );
        says.since_ns = strange.since_ns;
        says.evidence = vec![strange.seq];
        says.weight = strange.events;
        says.baseline = json!({
            "tokens_seen": self.state.seen, "tokens_that_began_so": self.state.strange,
            "share": rounded(self.state.strange / self.state.seen.max(1.0)),
            "silent_at": Bound::at_least(1, "requests from there before").told_as(SILENT),
        });
        out.extend(at.finding(&self.config, says));
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn set_state(&mut self, state: State) {
        self.state = state;
    }

    fn calibration(&self) -> Option<&Calibration> {
        // The score is how rare such tokens are: there is no window that has none.
        None
    }

    fn learning(&self, about: &About<'_>) -> Option<Learned> {
        let known = self.state.accounts.peek(about.hash);
        let account = known.filter(|_| about.kind == "user")?;
        (account.tokens < LEAST_TOKENS).then_some(Learned {
            seen: account.tokens.into(),
            needed: LEAST_TOKENS.into(),
            unit: "tokens",
        })
    }

    fn state_bytes(&self) -> usize {
        let places =
            |a: &Account| (a.nets.capacity() + a.agents.capacity() + a.clients.capacity()) * 8;
        let places: usize = self.state.accounts.values().map(places).sum();
        self.state.accounts.bytes() + self.state.tokens.bytes() + places
    }
}
