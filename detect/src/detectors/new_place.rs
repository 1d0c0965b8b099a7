//! New place: an account is served on a network and with an agent that are both new to it.
//!
//! People travel, and people buy phones; both are common, and an alert for each is noise. Both
//! within one day are rare, unless somebody else has the account. How rare is read from the hours
//! of all accounts that are known long enough, and from those of the account itself, so that a
//! company whose people do that often hears little of it. What passes the filter is weighty, such
//! as a new password, a device, a role or a setting, and needs less to be told. An account that has
//! only ever come from inside, as those of machines do, needs no new agent: coming from outside is
//! enough. The many programs that act for people each have places of their own, so what programs
//! and apps bring is counted apart from browsers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::config::DetectorConfig;
use super::on_facts::{At, FactDetector};
use super::{About, Learned};
use crate::alert::grouped;
use crate::calibrate::rounded;
use crate::calibration::Calibration;
use crate::facts::Fact;
use crate::facts::recent::Recent;
use crate::finding::Finding;
use crate::silent::Bound;

const HOUR_NS: i64 = 3_600 * 1_000_000_000;
/// A value is new for so many hours.
const NEW_HOURS: i64 = 24;
/// Hours of activity, and hours since the first, before an account is judged.
const LEAST_HOURS: u32 = 10;
const LEAST_AGE: i64 = 72;
/// Hours that the account's own share of strange hours is mixed with those of all.
const PRIOR_HOURS: f64 = 50.0;
/// What is thought of hours before any was seen: one in a hundred, with so much trust.
const COLD_STRANGE: f64 = 5.0;
const COLD_HOURS: f64 = 500.0;
/// What is added to the rarity of the place, -log10 of its share: for a weighty act, as most hours
/// see none, and for any other.
const WEIGHTY: f64 = 2.0;
const ORDINARY: f64 = 1.0;
/// An account is told of once in so many hours.
const QUIET_HOURS: i64 = 24;
/// Half of what was told counts after so many hours: of the many whom a campaign or a new provider
/// brings at once, the first few are told.
const HALF_HOURS: f64 = 12.0;
/// Values of one aspect that an account keeps; beyond, the one used least recently goes.
const MAX_VALUES: usize = 12;
const MAX_ACCOUNTS: usize = 25_000;
const DEFAULT_SCORE: f64 = 4.5;
const SILENT: &str = "Silent had the account used the network or the agent a day earlier.";

/// Aspects of a place.
const PROVIDER: usize = 0;
const COUNTRY: usize = 1;
const AGENT: usize = 2;

/// How far from home an hour was, by the aspects that were new.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Strange {
    #[default]
    No,
    /// Another provider's network and another agent.
    Network,
    /// The same from a country that was never seen.
    Abroad,
    /// From outside, for the first time.
    Outside,
}

const LEVELS: usize = 4;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Value {
    hash: u64,
    first: i64,
    last: i64,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Hands {
    /// The strangest of this hour.
    now: Strange,
    /// How often there was something strange before, and the hour of the last time.
    times: u32,
    last: Option<i64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Account {
    /// Hour since 1970 of the first and of the latest fact.
    first: i64,
    hour: i64,
    /// Hours of activity.
    hours: u32,
    places: [Vec<Value>; 3],
    /// What browsers did, and what programs did.
    hands: [Hands; 2],
    /// First hour from outside.
    outside: Option<i64>,
    told: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    accounts: Recent<Account>,
    /// Hours of accounts that are judged, and how often one was at least so strange: by browsers,
    /// and by programs and apps.
    hours: u64,
    strange: [[u64; LEVELS]; 2],
    /// Told lately, as of the hour of the last time.
    told: f64,
    told_hour: i64,
}

/// See the module's documentation.
pub(crate) struct NewPlace {
    config: Arc<DetectorConfig>,
    state: State,
}

/// What is to be told.
struct Told {
    strange: Strange,
    score: f64,
    one_in: f64,
    lately: f64,
    account: Account,
}

impl Account {
    /// Takes a fact in, and says how strange its place is.
    fn learn(&mut self, fact: &Fact, hour: i64) -> Strange {
        let provider = if fact.asn == 0 { fact.net } else { fact.asn };
        let values = [provider, fact.country, fact.agent];
        for (known, hash) in self.places.iter_mut().zip(values) {
            note(known, hash, hour);
        }
        if is_public(fact) && self.outside.is_none() {
            self.outside = Some(hour);
        }
        let is_new = |aspect: usize, hash: u64| {
            let known = self.places.get(aspect).into_iter().flatten();
            let first = known.filter(|v| v.hash == hash).map(|v| v.first).next();
            first.is_some_and(|first| hour - first < NEW_HOURS && first - self.first >= LEAST_AGE)
        };
        let from_outside = self
            .outside
            .is_some_and(|first| hour - first < NEW_HOURS && first - self.first >= LEAST_AGE);
        match () {
            () if from_outside && is_public(fact) => Strange::Outside,
            () if !is_new(PROVIDER, provider) || !is_new(AGENT, fact.agent) => Strange::No,
            () if is_new(COUNTRY, fact.country) => Strange::Abroad,
            () => Strange::Network,
        }
    }

    /// What the hour that is over teaches. What goes on is one time, and what was told teaches
    /// nothing: it may be somebody else.
    fn end_hour(&mut self) -> [Strange; 2] {
        let (hour, told) = (self.hour, self.told);
        let recent = |last: Option<i64>| last.is_some_and(|last| hour - last < NEW_HOURS);
        let strange = self
            .hands
            .map(|hands| match recent(hands.last) || recent(told) {
                true => Strange::No,
                false => hands.now,
            });
        for (hands, strange) in self.hands.iter_mut().zip(strange) {
            hands.times += u32::from(strange != Strange::No);
            if hands.now != Strange::No {
                hands.last = Some(hour);
            }
            hands.now = Strange::No;
        }
        strange
    }

    fn is_judged(&self) -> bool {
        self.hours >= LEAST_HOURS && self.hour - self.first >= LEAST_AGE
    }
}

/// Does a log name the network or the country? Of an address inside a company none does.
fn is_public(fact: &Fact) -> bool {
    fact.asn != 0 || fact.country != 0
}

fn note(known: &mut Vec<Value>, hash: u64, hour: i64) {
    if hash == 0 {
        return;
    }
    if let Some(value) = known.iter_mut().find(|value| value.hash == hash) {
        value.first = value.first.min(hour);
        value.last = value.last.max(hour);
        return;
    }
    if known.len() >= MAX_VALUES {
        let oldest = known.iter().enumerate().min_by_key(|(_, value)| value.last);
        if let Some((index, _)) = oldest {
            known.swap_remove(index);
        }
    }
    known.push(Value {
        hash,
        first: hour,
        last: hour,
    });
}

impl NewPlace {
    /// A detector that has seen nothing.
    pub(crate) fn new(config: Arc<DetectorConfig>) -> Self {
        NewPlace {
            config,
            state: State {
                accounts: Recent::new(MAX_ACCOUNTS),
                hours: 0,
                strange: [[0; LEVELS]; 2],
                told: 0.0,
                told_hour: 0,
            },
        }
    }

    /// Learns from a fact. `None` for one that says nothing of where an account is.
    fn learn(&mut self, fact: &Fact) -> Option<Strange> {
        if fact.user == 0 || fact.ip == 0 || fact.agent == 0 || !fact.is_outer() || !fact.served() {
            return None;
        }
        let hour = fact.time_ns.div_euclid(HOUR_NS);
        let account = self.state.accounts.entry(fact.user, || Account {
            first: hour,
            hour,
            ..Account::default()
        });
        account.first = account.first.min(hour);
        if hour > account.hour {
            let strange = account.end_hour();
            if account.is_judged() {
                self.state.hours += 1;
                for (counts, strange) in self.state.strange.iter_mut().zip(strange) {
                    counts
                        .iter_mut()
                        .take(strange as usize + 1)
                        .for_each(|n| *n += 1);
                }
            }
            account.hours += 1;
            account.hour = hour;
        }
        let strange = account.learn(fact, hour);
        if let Some(hands) = account.hands.get_mut(usize::from(fact.tool)) {
            hands.now = strange.max(hands.now);
        }
        Some(strange)
    }

    fn judge(&mut self, fact: &Fact, strange: Strange, weight: f64) -> Option<Told> {
        let hours = self.state.hours as f64 + COLD_HOURS;
        let counts = self.state.strange.get(usize::from(fact.tool))?;
        let often = counts.get(strange as usize).copied()?;
        let all = (often as f64 + COLD_STRANGE) / hours;
        let account = self.state.accounts.get_mut(fact.user)?;
        if strange == Strange::No || !account.is_judged() {
            return None;
        }
        if account
            .told
            .is_some_and(|told| account.hour - told < QUIET_HOURS)
        {
            return None;
        }
        let own = account.hands.get(usize::from(fact.tool))?.times;
        let share = (f64::from(own) + PRIOR_HOURS * all) / (f64::from(account.hours) + PRIOR_HOURS);
        let since = account.hour.saturating_sub(self.state.told_hour).max(0);
        let lately = self.state.told * 0.5_f64.powf(since as f64 / HALF_HOURS);
        let score = weight - (share * (1.0 + lately)).log10();
        let wanted = self.config.thresholds.min_score.unwrap_or(DEFAULT_SCORE);
        if score < wanted {
            return None;
        }
        account.told = Some(account.hour);
        (self.state.told, self.state.told_hour) = (lately + 1.0, account.hour);
        Some(Told {
            strange,
            score,
            one_in: 1.0 / share,
            lately,
            account: account.clone(),
        })
    }

    /// The finding, if any, and the clauses of its query without that of the filter.
    fn tell(&mut self, at: &At<'_>, weight: f64) -> Option<(Finding, Vec<String>)> {
        let fact = at.fact;
        let strange = self.learn(fact)?;
        let told = self.judge(fact, strange, weight)?;
        let name = at.name(fact.user);
        let mut says = at.says("user", name, told.score);
        let from = match at.names.of(fact.country) {
            Some(country) if !country.is_empty() => format!("{} ({country})", at.name(fact.ip)),
            _ => at.name(fact.ip).to_owned(),
        };
        let what = match told.strange {
            Strange::Outside => "outside, where it was never seen",
            Strange::Abroad => "a country, a network and an agent that are all new to it",
            _ => "a network and an agent that are both new to it",
        };
        let account = &told.account;
        says.summary = format!(
            "{name} was served {} from {from}: {what}; it was active in {} hours of {} days \
             before, and about one in {} hours of an account brings that",
            at.name(fact.route),
            grouped(u64::from(account.hours)),
            (account.hour - account.first) / 24,
            grouped(told.one_in.round() as u64),
        );
        let [networks, countries, agents] = &account.places;
        says.baseline = json!({
            "hours": account.hours, "times_before": account.hands.map(|hands| hands.times),
            "networks": networks.len(), "countries": countries.len(), "agents": agents.len(),
            "told_lately": rounded(told.lately),
            "hours_of_all": self.state.hours, "share": rounded(1.0 / told.one_in),
            "silent_at": Bound::at_least(NEW_HOURS as u64, "hours known").told_as(SILENT),
        });
        let clauses = says.clauses.clone();
        Some((at.finding(&self.config, says)?, clauses))
    }
}

impl FactDetector for NewPlace {
    type State = State;

    fn config(&self) -> &Arc<DetectorConfig> {
        &self.config
    }

    fn passed_over(&mut self, at: &At<'_>, out: &mut Vec<Finding>) {
        let told = self.tell(at, ORDINARY);
        out.extend(told.map(|(mut finding, clauses)| {
            finding.clauses = clauses;
            finding
        }));
    }

    fn fact(&mut self, at: &At<'_>, out: &mut Vec<Finding>) {
        let weight = match self.config.filter {
            Some(_) => WEIGHTY,
            None => ORDINARY,
        };
        out.extend(self.tell(at, weight).map(|(finding, _)| finding));
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn set_state(&mut self, state: State) {
        self.state = state;
    }

    fn calibration(&self) -> Option<&Calibration> {
        // The score is how rare such hours are, not how rare such acts.
        None
    }

    fn learning(&self, about: &About<'_>) -> Option<Learned> {
        let account = self.state.accounts.peek(about.hash);
        let account = account.filter(|_| about.kind == "user")?;
        (!account.is_judged()).then_some(Learned {
            seen: u64::from(account.hours.min(LEAST_HOURS)),
            needed: u64::from(LEAST_HOURS),
            unit: "hours",
        })
    }

    fn state_bytes(&self) -> usize {
        let values = |account: &Account| account.places.iter().map(Vec::capacity).sum::<usize>();
        let kept: usize = self.state.accounts.values().map(values).sum();
        self.state.accounts.bytes() + kept * size_of::<Value>()
    }
}
