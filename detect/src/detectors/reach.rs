//! Reach: an account reads many objects that it never touched before, on one route.
//!
//! People read the same objects again and again, their own, and few others a day; people of
//! support read others every day, and as many as on other days. Whoever goes through objects of
//! others, with identifiers that have no order (compare [`super::walk`]), reads many that are new
//! to the account. So the objects of a route that are new to an account are counted over a sliding
//! window and judged as a spree ([`super::spree`]): by the account's own days, and by those of
//! everybody with its roles, as what one browses in a catalogue is new to many every day.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::bloom::Generations;
use super::config::DetectorConfig;
use super::on_facts::{At, FactDetector};
use super::spree::{Account, Excess, MAX_EVENTS};
use crate::alert::grouped;
use crate::calibrate::rounded;
use crate::calibration::Calibration;
use crate::cells::mix;
use crate::facts::Fact;
use crate::facts::recent::Recent;
use crate::finding::Finding;
use crate::sigma::told::span_words;
use crate::silent::Bound;

const DAY_NS: i64 = 24 * 3_600 * 1_000_000_000;
/// At first everything is new: so long nothing is a habit, and so long nothing is told.
const BLIND_NS: i64 = 3 * DAY_NS;
const LEARNING_NS: i64 = 5 * DAY_NS;
/// Accounts and routes of a generation.
const MAX_ACCOUNTS: usize = 50_000;
/// Routes and roles of a generation, and days that are kept of each.
const MAX_PEERS: usize = 5_000;
const DAYS: usize = 7;
/// Of the greatest number of all others, what is still a busy day.
const BEYOND: f64 = 2.0;
/// The fewest that are told score so much; ten times as many one more.
const SCORE: f64 = 5.0;

const DEFAULT_SCORE: f64 = 4.5;
/// Half of what was told counts after so long: of the many accounts that share the work of copying
/// a catalogue, the first few are told.
const HALF_NS: f64 = 12.0 * 3_600.0 * 1e9;

/// The greatest number on each of the last days, of all accounts with the same roles on a route.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Peers {
    days: [(i64, u64); DAYS],
}

impl Peers {
    /// The greatest number of the days before.
    fn greatest(&self, today: i64) -> u64 {
        let lately = |day: i64| day < today && today - day <= DAYS as i64;
        let days = self.days.iter().filter(|(day, _)| lately(*day));
        days.map(|(_, most)| *most).max().unwrap_or(0)
    }

    fn note(&mut self, today: i64, count: u64) {
        let place = usize::try_from(today.rem_euclid(DAYS as i64)).unwrap_or(0);
        match self.days.get_mut(place) {
            Some((day, most)) if *day == today => *most = count.max(*most),
            Some(other) if other.0 < today => *other = (today, count),
            _ => {}
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// Objects that an account has touched.
    seen: Generations,
    /// By account and route.
    accounts: Recent<Account>,
    /// By route and roles.
    peers: Recent<Peers>,
    first_ns: Option<i64>,
    /// Told lately, as of the last time.
    told: f64,
    told_ns: i64,
}

/// See the module's documentation.
pub(crate) struct Reach {
    config: Arc<DetectorConfig>,
    state: State,
}

impl Reach {
    /// A detector that has seen nothing.
    pub(crate) fn new(config: Arc<DetectorConfig>) -> Self {
        let state = State {
            seen: Generations::new(config.thresholds.max_pairs),
            accounts: Recent::new(MAX_ACCOUNTS),
            peers: Recent::new(MAX_PEERS),
            first_ns: None,
            told: 0.0,
            told_ns: 0,
        };
        Reach { config, state }
    }

    /// The score, and the count from which on it is told: one more account says less after those
    /// that were told lately.
    fn score(&mut self, excess: &Excess, time_ns: i64) -> Option<(f64, u64)> {
        let least = self.config.thresholds.min_count.max(1) as f64;
        let since = time_ns.saturating_sub(self.state.told_ns).max(0);
        let lately = self.state.told * 0.5_f64.powf(since as f64 / HALF_NS);
        let usual = least * (1.0 + lately);
        let score = SCORE + (excess.count as f64 / usual).log10();
        let wanted = self.config.thresholds.min_score.unwrap_or(DEFAULT_SCORE);
        if score < wanted {
            return None;
        }
        (self.state.told, self.state.told_ns) = (lately + 1.0, time_ns);
        let enough = (usual * 10.0_f64.powf(wanted - SCORE)).ceil() as u64;
        Some((score, enough.max(excess.limit)))
    }

    fn take(&mut self, fact: &Fact) -> Option<(Excess, u64)> {
        let touched = mix(mix(fact.user, fact.service), fact.object);
        if self.state.seen.contains(touched) {
            return None;
        }
        self.state.seen.insert(touched);
        let first_ns = *self.state.first_ns.get_or_insert(fact.time_ns);
        let age = fact.time_ns - first_ns;
        if fact.writes || age < BLIND_NS {
            return None;
        }
        let today = fact.time_ns.div_euclid(DAY_NS);
        let peers = self
            .state
            .peers
            .entry(mix(fact.route, fact.role), Peers::default);
        let others = peers.greatest(today);
        let (window, least) = (self.config.window_ns, self.config.thresholds.min_count);
        let least = least.max((others as f64 * BEYOND).ceil() as u64);
        let key = mix(fact.user, fact.route);
        let account = self.state.accounts.entry(key, Account::default);
        // Whose work is more than is counted is not judged.
        let is_judged = account.limit(least) <= MAX_EVENTS as u64;
        let excess = account.take(fact, window, least);
        let is_learning = age < LEARNING_NS;
        let most = if is_learning { u64::MAX } else { least };
        peers.note(today, account.count().min(most));
        let excess = excess.filter(|_| is_judged && !is_learning)?;
        Some((excess, others))
    }
}

impl FactDetector for Reach {
    type State = State;

    fn config(&self) -> &Arc<DetectorConfig> {
        &self.config
    }

    fn fact(&mut self, at: &At<'_>, out: &mut Vec<Finding>) {
        let fact = at.fact;
        if fact.user == 0 || fact.object == 0 || !fact.is_outer() || !fact.served() {
            return;
        }
        let Some((excess, others)) = self.take(fact) else {
            return;
        };
        let Some((score, enough)) = self.score(&excess, fact.time_ns) else {
            return;
        };
        let (user, route) = (at.name(fact.user), at.name(fact.route));
        let mut says = at.says("user", user, score);
        let window = span_words(u64::try_from(self.config.window_ns / 1_000_000_000).unwrap_or(0));
        let usual = Account::usual(&excess.habit);
        let known = usual.is_some();
        let usual = usual.unwrap_or_else(|| "it did not do so before".to_owned());
        says.summary = format!(
            "{user} read {} objects of {route} in {window} that it had never touched; {usual}; \
             nobody with its roles read more than {} on any of the last {DAYS} days",
            grouped(excess.count),
            grouped(others)
        );
        says.since_ns = excess.since_ns;
        says.evidence = excess.events;
        says.weight = excess.fresh;
        let silent = Bound::at_most(enough - 1, format!("new objects in {window}"));
        says.baseline = json!({
            "count": excess.count, "window": window, "limit": excess.limit, "route": route,
            "most_of_others": others,
            "mean": rounded(excess.habit.mean), "days": excess.habit.n, "learning": !known,
            "silent_at": silent.told(),
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
        // The score is how many times the least count it is.
        None
    }

    fn state_bytes(&self) -> usize {
        let kept: usize = self.state.accounts.values().map(Account::bytes).sum();
        self.state.accounts.bytes()
            + kept
            + self.state.peers.bytes()
            + self.state.seen.memory_bytes()
    }
}
