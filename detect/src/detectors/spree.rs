//! Spree: one person takes many things of a kind in a short time, more than on any usual day.
//!
//! The events that pass the filter are counted by account over a sliding window. Below a fixed
//! number nothing is said: one or two are work. Whose work it is to take many is told by their own
//! days: the greatest count of each day on which they took any makes a mean and a variance, and
//! what is within the negative binomial around them is their habit. A count far beyond is told
//! even then, and what was told teaches no more than the limit that it passed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::config::DetectorConfig;
use super::on_facts::{At, FactDetector};
use crate::alert::grouped;
use crate::calibrate::{Counts, Moments, rounded};
use crate::calibration::Calibration;
use crate::facts::Fact;
use crate::facts::recent::Recent;
use crate::finding::Finding;
use crate::sigma::told::span_words;
use crate::silent::Bound;

const DAY_NS: i64 = 24 * 3_600 * 1_000_000_000;
/// Accounts of a generation.
const MAX_ACCOUNTS: usize = 25_000;
/// Events of a window kept of an account; beyond, the oldest go.
pub(super) const MAX_EVENTS: usize = 128;
/// Days with any before they make a habit.
const LEAST_DAYS: u64 = 2;
/// Weight of the newest day, once there are more than its inverse.
const FADE: f64 = 0.1;
/// -log10 p of a count that is no habit any more.
const BEYOND: f64 = 3.0;
/// A spree of the fewest events scores so much; ten times as many one more.
const SCORE: f64 = 6.0;
/// Events named as evidence.
const EVIDENCE: usize = 20;

/// Counts of an account, also for [`super::reach`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Account {
    /// Event time and number of the latest.
    events: Vec<(i64, u64)>,
    day: i64,
    /// Greatest count of the day.
    most: u64,
    /// Greatest counts of the days before.
    habit: Moments,
    /// Count of the day of which was spoken.
    told: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    accounts: Recent<Account>,
}

/// See the module's documentation.
pub(crate) struct Spree {
    config: Arc<DetectorConfig>,
    state: State,
}

/// Too many.
pub(super) struct Excess {
    pub(super) count: u64,
    /// Those that were not told yet.
    pub(super) fresh: u64,
    pub(super) limit: u64,
    pub(super) habit: Moments,
    pub(super) since_ns: i64,
    pub(super) events: Vec<u64>,
}

impl Spree {
    /// A detector that has seen nothing.
    pub(crate) fn new(config: Arc<DetectorConfig>) -> Self {
        Spree {
            config,
            state: State {
                accounts: Recent::new(MAX_ACCOUNTS),
            },
        }
    }

    fn count(&mut self, fact: &Fact) -> Option<Excess> {
        let (window, least) = (self.config.window_ns, self.config.thresholds.min_count);
        let account = self.state.accounts.entry(fact.user, Account::default);
        account.take(fact, window, least)
    }
}

impl Account {
    /// Counts an event; gives what there is to tell.
    pub(super) fn take(&mut self, fact: &Fact, window_ns: i64, least: u64) -> Option<Excess> {
        let limit = self.limit(least).min(MAX_EVENTS as u64);
        self.begin(fact.time_ns.div_euclid(DAY_NS), limit);
        let oldest = fact.time_ns - window_ns;
        self.events.retain(|(time_ns, _)| *time_ns > oldest);
        if self.events.len() >= MAX_EVENTS {
            self.events.remove(0);
        }
        self.events.push((fact.time_ns, fact.seq));
        let count = self.events.len() as u64;
        self.most = self.most.max(count);
        // Speak once a day, and again when there are twice as many.
        if count < limit.max(self.told * 2) {
            return None;
        }
        let fresh = count - self.told.min(count);
        self.told = count;
        let first = self.events.iter().map(|(time_ns, _)| *time_ns).min();
        let newest = self.events.iter().rev().map(|(_, seq)| *seq);
        Some(Excess {
            count,
            fresh,
            limit,
            habit: self.habit,
            since_ns: first.unwrap_or(fact.time_ns),
            events: newest.take(EVIDENCE).collect(),
        })
    }

    /// The count at which to speak.
    pub(super) fn limit(&self, least: u64) -> u64 {
        if self.habit.n < LEAST_DAYS {
            return least;
        }
        // Few days know little of the spread between days.
        let known = Counts::of(&self.habit);
        let spread = known.mean + known.mean * known.mean / 4.0;
        let counts = Counts {
            mean: known.mean,
            variance: known.variance.max(spread),
        };
        least.max(counts.quantile(BEYOND))
    }

    /// How many there are in the window.
    pub(super) fn count(&self) -> u64 {
        self.events.len() as u64
    }

    /// Bytes of what it points to.
    pub(super) fn bytes(&self) -> usize {
        self.events.capacity() * size_of::<(i64, u64)>()
    }

    /// What was usual on the days before, in words.
    pub(super) fn usual(habit: &Moments) -> Option<String> {
        let known = habit.n >= LEAST_DAYS;
        known.then(|| {
            let (days, mean) = (habit.n, rounded(habit.mean));
            format!("on {days} days before it was at most {mean} on average")
        })
    }

    /// A day that is over is a lesson.
    fn begin(&mut self, day: i64, limit: u64) {
        if day > self.day {
            if self.most > 0 {
                self.habit.add(self.most.min(limit) as f64, FADE);
            }
            (self.day, self.most, self.told) = (day, 0, 0);
        }
    }
}

impl FactDetector for Spree {
    type State = State;

    fn config(&self) -> &Arc<DetectorConfig> {
        &self.config
    }

    fn fact(&mut self, at: &At<'_>, out: &mut Vec<Finding>) {
        let fact = at.fact;
        if fact.user == 0 || !fact.is_outer() {
            return;
        }
        let Some(excess) = self.count(fact) else {
            return;
        };
        let user = at.name(fact.user);
        let least = self.config.thresholds.min_count.max(1) as f64;
        let score = SCORE + (excess.count as f64 / least).log10();
        let mut says = at.says("user", user, score);
        let window = span_words(u64::try_from(self.config.window_ns / 1_000_000_000).unwrap_or(0));
        let usual = Account::usual(&excess.habit);
        let known = usual.is_some();
        let usual =
            usual.unwrap_or_else(|| "it is not known to be the work of this account".to_owned());
        let template = self
            .config
            .summary
            .as_deref()
            .unwrap_or("{number} in {window} by {entity}; {usual}");
        says.summary = template
            .replace("{number}", &grouped(excess.count))
            .replace("{window}", &window)
            .replace("{usual}", &usual)
            .replace("{entity}", user);
        says.since_ns = excess.since_ns;
        says.evidence = excess.events;
        says.weight = excess.fresh;
        says.baseline = json!({
            "count": excess.count, "window": window, "limit": excess.limit,
            "mean": rounded(excess.habit.mean), "days": excess.habit.n,
            "learning": !known,
            "silent_at": Bound::at_most(excess.limit - 1, format!("events in {window}")).told(),
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
        self.state.accounts.bytes() + kept
    }
}
