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
const MAX_EVENTS: usize = 128;
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

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Account {
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
struct Excess {
    count: u64,
    fresh: u64,
    limit: u64,
    habit: Moments,
    since_ns: i64,
    events: Vec<u64>,
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
        let limit = account.limit(least).min(MAX_EVENTS as u64);
        account.begin(fact.time_ns.div_euclid(DAY_NS), limit);
        let oldest = fact.time_ns - window;
        account.events.retain(|(time_ns, _)| *time_ns > oldest);
        if account.events.len() >= MAX_EVENTS {
            account.events.remove(0);
        }
        account.events.push((fact.time_ns, fact.seq));
        let count = account.events.len() as u64;
        account.most = account.most.max(count);
        // Speak once a day, and again when there are twice as many.
        if count < limit.max(account.told * 2) {
            return None;
        }
        let fresh = count - account.told.min(count);
        account.told = count;
        let first = account.events.iter().map(|(time_ns, _)| *time_ns).min();
        let newest = account.events.iter().rev().map(|(_, seq)| *seq);
        Some(Excess {
            count,
            fresh,
            limit,
            habit: account.habit,
            since_ns: first.unwrap_or(fact.time_ns),
            events: newest.take(EVIDENCE).collect(),
        })
    }
}

impl Account {
    /// The count at which to speak.
    fn limit(&self, least: u64) -> u64 {
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
        let known = excess.habit.n >= LEAST_DAYS;
        let usual = match known {
            true => format!(
                "on {} days before it was at most {} on average",
                excess.habit.n,
                rounded(excess.habit.mean)
            ),
            false => "it is not known to be the work of this account".to_owned(),
        };
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
        let events = |account: &Account| account.events.capacity() * size_of::<(i64, u64)>();
        let kept: usize = self.state.accounts.values().map(events).sum();
        self.state.accounts.bytes() + kept
    }
}
