//! Token use: one token in two hands.
//!
//! A token belongs to one device. It may change networks (mobile hand-over, a private network
//! switched on), but then the agent stays the same; an agent gets a new version now and then, but
//! does not become another one, and never goes back. So a token is in two hands when it goes on
//! from another provider's network with another agent while its first place used it lately, or
//! when network and version both change and then change back. The score starts from how rare that
//! is among all tokens seen, and rises with a change of country.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::config::DetectorConfig;
use super::on_facts::{At, FactDetector};
use crate::calibrate::rounded;
use crate::calibration::Calibration;
use crate::facts::Fact;
use crate::facts::recent::Recent;
use crate::finding::Finding;
use crate::silent::Bound;

/// A place that was used before this is no longer in use.
const IN_USE_NS: i64 = 12 * 3_600 * 1_000_000_000;
const MINUTE_NS: u64 = 60_000_000_000;
/// What [`IN_USE_NS`] means.
const SILENT: &str = "Silent had 12 hours or more passed between the two uses.";
const MAX_TOKENS: usize = 100_000;
const DEFAULT_SCORE: f64 = 5.0;

/// Where and with what a token was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Place {
    asn: u64,
    net: u64,
    country: u64,
    agent: u64,
    /// With its versions.
    exact: u64,
    ip: u64,
    last_ns: i64,
    last_seq: u64,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Token {
    now: Place,
    /// The hand before, if there were two.
    other: Option<Place>,
    changes: u32,
    told: f64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    tokens: Recent<Token>,
    /// Tokens seen, and those of them in two hands.
    seen: f64,
    twice: f64,
}

/// See the module's documentation.
pub(crate) struct TokenUse {
    config: Arc<DetectorConfig>,
    state: State,
}

impl TokenUse {
    /// A detector that has seen nothing.
    pub(crate) fn new(config: Arc<DetectorConfig>) -> Self {
        TokenUse {
            config,
            state: State {
                tokens: Recent::new(MAX_TOKENS),
                seen: 0.0,
                twice: 0.0,
            },
        }
    }

    fn take(&mut self, fact: &Fact) -> Option<(f64, Place, Token)> {
        let here = Place {
            asn: fact.asn,
            net: fact.net,
            country: fact.country,
            agent: fact.agent,
            exact: fact.exact_agent,
            ip: fact.ip,
            last_ns: fact.time_ns,
            last_seq: fact.seq,
        };
        let mut is_new = false;
        let token = self.state.tokens.entry(fact.token, || {
            is_new = true;
            Token {
                now: here,
                ..Token::default()
            }
        });
        if is_new {
            self.state.seen += 1.0;
            return None;
        }
        let before = token.now;
        let moved = match (before.asn, here.asn) {
            (0, _) | (_, 0) => before.net != here.net,
            (a, b) => a != b,
        };
        let in_use = (here.last_ns - before.last_ns).abs() < IN_USE_NS;
        if !(moved && before.exact != here.exact && in_use) {
            token.now = here;
            return None;
        }
        let back = token.other.is_some_and(|other| other.exact == here.exact);
        token.changes += 1;
        token.other = Some(before);
        token.now = here;
        if before.agent == here.agent && !back {
            return None;
        }
        if token.told == 0.0 {
            self.state.twice += 1.0;
        }
        let rare = ((self.state.seen + 10.0) / (self.state.twice + 1.0)).log10();
        let abroad = before.country != here.country && before.country != 0 && here.country != 0;
        let score = 3.0 + rare + if abroad { 2.0 } else { 0.0 };
        let wanted = self.config.thresholds.min_score.unwrap_or(DEFAULT_SCORE);
        // Its owner, who goes on with it, is no second story.
        if score < wanted || token.told > 0.0 {
            return None;
        }
        token.told = score;
        Some((score, before, *token))
    }
}

impl FactDetector for TokenUse {
    type State = State;

    fn config(&self) -> &Arc<DetectorConfig> {
        &self.config
    }

    fn fact(&mut self, at: &At<'_>, out: &mut Vec<Finding>) {
        let fact = at.fact;
        if fact.token == 0 || fact.ip == 0 || fact.exact_agent == 0 || !fact.is_outer() {
            return;
        }
        let Some((score, before, token)) = self.take(fact) else {
            return;
        };
        let name = at.name(fact.token);
        let mut says = at.says("token", name, score);
        let place = |ip: u64, country: u64| match at.names.of(country) {
            Some(country) if !country.is_empty() => format!("{} ({country})", at.name(ip)),
            _ => at.name(ip).to_owned(),
        };
        let minutes = (fact.time_ns - before.last_ns).abs() / 60_000_000_000;
        says.summary = format!(
            "Token {name} came from {} with another agent {minutes} minutes after {}; {} changes \
             of hands",
            place(fact.ip, fact.country),
            place(before.ip, before.country),
            token.changes,
        );
        says.since_ns = before.last_ns;
        says.evidence = vec![before.last_seq];
        says.weight = 2;
        let silent = Bound::at_least(IN_USE_NS as u64 / MINUTE_NS, "minutes between");
        says.baseline = json!({
            "changes": token.changes, "minutes_between": minutes,
            "tokens_seen": self.state.seen, "tokens_in_two_hands": self.state.twice,
            "silent_at": silent.told_as(SILENT),
            "share": rounded((self.state.twice + 1.0) / (self.state.seen + 10.0)),
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
        // The score is how rare tokens in two hands are: there is no window that has none.
        None
    }

    fn state_bytes(&self) -> usize {
        self.state.tokens.bytes()
    }
}
