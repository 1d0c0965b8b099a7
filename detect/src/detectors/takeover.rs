//! Takeover: an account that no longer behaves like its owner.
//!
//! What an account does in an hour is summed up by the routes it uses, the network and provider it
//! comes from, its agent, and the time of day. Each is a draw from what is usual for the owner, or
//! for somebody else: routes and hours as everybody has them, and places and agents that the owner
//! never used. The log likelihood ratio of the two (naive Bayes, as in Maxion & Townsend's
//! masquerade detection, DSN 2002) is added up hour by hour in one CUSUM (Page 1954) for each
//! aspect: the owner makes it fall back to zero, somebody else lets it climb. Aspects do not excuse
//! one another: whoever took a device over has its agent and its address. What one hour can say is
//! bounded, so that a journey or a new phone is soon usual; the sum of strange things speaks.
//!
//! Colleagues use the same routes, but each in shares of their own. So every request is compared as
//! well: its share among those of the account against that among those of its role, or of its peers
//! where the log names no role ([`groups`]). Which request comes after which told nothing beyond
//! that (docs/EVALUATION.md). How rare a sum is, is read from the sums of all accounts of the role
//! or group ([`Tail`]).

mod counts;
mod groups;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::counts::{Common, Counts};
use self::groups::{Groups, MAX_GROUPS, Place, chances, learn, new_roles, rarity};
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
use crate::tail::{Crowd, Tail};

const HOUR_NS: i64 = 3_600 * 1_000_000_000;
/// What is compared.
struct Aspect {
    name: &'static str,
    /// The most that one hour of it may say, log10.
    most: f64,
    /// Somebody else brings what everybody has; otherwise what the owner never had.
    common: bool,
}

const ASPECTS: [Aspect; 5] = [
    Aspect {
        name: "routes",
        most: 1.5,
        common: true,
    },
    Aspect {
        name: "network",
        most: 0.8,
        common: false,
    },
    Aspect {
        name: "provider",
        most: 0.8,
        common: false,
    },
    Aspect {
        name: "agent",
        most: 0.8,
        common: false,
    },
    Aspect {
        name: "time of day",
        most: 0.4,
        common: true,
    },
];
/// Share of hours in which somebody else brings something new.
const NEW: f64 = 0.8;
/// What is done: of the aspects, the only one that may convict alone.
const ROUTES: usize = 0;
/// The most that strange places, strange agents or strange hours add up to.
const MOST_OF_OTHERS: f64 = 2.0;
/// What a known place says: log10 of 1 - [`NEW`] to what is usual.
const OWNED: f64 = -0.6;
const KINDS: usize = ASPECTS.len();
/// The most that the requests of an hour may say, log10, and that one may.
const MOST_OF_MIX: f64 = 0.5;
const MOST_OF_REQUEST: f64 = 1.5;
/// Share of a route that nobody of the role has used yet.
const UNUSED: f64 = 0.002;
/// Routes of an account, and of a role, whose requests are counted.
const MAX_ROUTES: usize = 128;
const MAX_ROLE_ROUTES: usize = 4_000;
/// Requests of an account, and of a role, beyond which their counts are halved.
const MOST_REQUESTS: f64 = 10_000.0;
const MOST_ROLE_REQUESTS: f64 = 1_000_000.0;
/// Values of one aspect that an account keeps.
const MAX_VALUES: usize = 48;
/// Hours of activity before an account is judged.
const LEAST_HOURS: f64 = 12.0;
/// Counts are halved beyond this, so that the past fades.
const MOST_HOURS: f64 = 400.0;
const MAX_ACCOUNTS: usize = 25_000;
const DEFAULT_SCORE: f64 = 4.0;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Account {
    hour: i64,
    /// What the hour brought so far, aspect by aspect.
    seen: [Vec<u64>; KINDS],
    first_seq: u64,
    habits: [Counts; KINDS],
    /// Evidence added up by aspect, and since when.
    parts: [f64; KINDS],
    /// Requests by route, how many of them are of this hour, and what those say.
    #[serde(default)]
    requests: Counts,
    #[serde(default)]
    of_hour: (u32, f64),
    /// Evidence of them added up.
    #[serde(default)]
    mix: f64,
    since_ns: i64,
    hours: u32,
    /// Its peers, if it has no role.
    #[serde(default)]
    place: Option<Place>,
    /// Strange values that the sum rests on.
    strange: Vec<(u8, u64)>,
    events: Vec<u64>,
    told: f64,
    /// The aspect without which nothing would have been said, once something was.
    #[serde(default)]
    silent: Option<u8>,
    /// Greatest sum of the day, for the tail.
    day: i64,
    most: f64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    accounts: Recent<Account>,
    common: [Common; KINDS],
    groups: Recent<Tail>,
    /// Requests by route, of each role or group of peers.
    #[serde(default = "new_roles")]
    roles: Recent<Counts>,
    #[serde(default)]
    calibration: Calibration,
    #[serde(default)]
    crowd: Crowd,
    #[serde(default)]
    peers: Groups,
}

/// See the module's documentation.
pub(crate) struct Takeover {
    config: Arc<DetectorConfig>,
    state: State,
}

impl Takeover {
    /// A detector that has seen nothing.
    pub(crate) fn new(config: Arc<DetectorConfig>) -> Self {
        Takeover {
            config,
            state: State {
                accounts: Recent::new(MAX_ACCOUNTS),
                common: Default::default(),
                groups: Recent::new(MAX_GROUPS),
                roles: new_roles(),
                calibration: Calibration::default(),
                crowd: Crowd::default(),
                peers: Groups::default(),
            },
        }
    }
}

impl Account {
    fn note(&mut self, fact: &Fact, hour: i64) {
        let hour_of_week = (hour.rem_euclid(24) / 3) as u64 + 1;
        let values = [fact.route, fact.net, fact.asn, fact.agent, hour_of_week];
        for (seen, value) in self.seen.iter_mut().zip(values) {
            if value != 0 && seen.len() < MAX_VALUES && !seen.contains(&value) {
                seen.push(value);
            }
        }
    }

    /// Compares a request with what the account and its role send, and counts it.
    fn count_request(&mut self, route: u64, role: &mut Counts) {
        let theirs = role.shrunk(route, UNUSED);
        let mine = self.requests.shrunk(route, theirs);
        let ratio = (theirs / mine).log10();
        self.of_hour.0 += 1;
        self.of_hour.1 += ratio.clamp(-MOST_OF_REQUEST, MOST_OF_REQUEST);
        let weight = self.weight();
        self.requests.add(route, weight, MAX_ROUTES, MOST_REQUESTS);
        role.add(route, 1.0, MAX_ROLE_ROUTES, MOST_ROLE_REQUESTS);
    }

    /// How much of what is seen now is learned: somebody else must not become the owner.
    fn weight(&self) -> f64 {
        if self.sum() > 3.0 { 0.2 } else { 1.0 }
    }

    /// An hour of activity is over: what it says, and what it teaches.
    fn end_hour(&mut self, common: &mut [Common; KINDS], time_ns: i64) {
        let judged = self.habits[0].total >= LEAST_HOURS;
        let weight = self.weight();
        let (requests, says) = std::mem::take(&mut self.of_hour);
        for (aspect, common) in common.iter_mut().enumerate() {
            let seen = std::mem::take(&mut self.seen[aspect]);
            if seen.is_empty() {
                continue;
            }
            if judged {
                self.weigh(aspect, &seen, common, time_ns);
            }
            for value in &seen {
                common.add(*value, time_ns);
                let share = weight / seen.len() as f64;
                self.habits[aspect].add(*value, share, MAX_VALUES, MOST_HOURS);
            }
        }
        if !judged {
            return;
        }
        // A request is seldom the only one of its kind: a hundred say ten times as much as one.
        let says = says / f64::from(requests.max(1)).sqrt();
        self.mix = (self.mix + says.clamp(-MOST_OF_MIX, MOST_OF_MIX)).max(0.0);
        self.hours += 1;
        if self.sum() < 0.5 {
            self.hours = 0;
            self.strange.clear();
            self.events.clear();
            self.told = 0.0;
            self.since_ns = time_ns;
        }
        self.most = self.most.max(self.sum());
    }

    /// Adds what an hour says about one aspect.
    fn weigh(&mut self, aspect: usize, seen: &[u64], common: &Common, time_ns: i64) {
        let Aspect {
            most,
            common: by_all,
            ..
        } = ASPECTS[aspect];
        let own = &self.habits[aspect];
        let mut ratio = 0.0;
        for value in seen {
            let one = match by_all {
                true => {
                    let everybody = common.counts.share(*value);
                    let unseen = own.unseen();
                    let mine = (1.0 - unseen) * own.known_share(*value) + unseen * everybody;
                    (everybody / mine).log10()
                }
                false if own.by_value.contains_key(value) => OWNED,
                false => (NEW / own.unseen()).log10(),
            };
            // What is new for everybody says nothing about anybody.
            let one = if common.is_young(*value, time_ns) && by_all {
                0.0
            } else {
                one
            };
            let strange = (aspect as u8, *value);
            if one > 0.3 && self.strange.len() < 12 && !self.strange.contains(&strange) {
                self.strange.push(strange);
            }
            ratio += one;
        }
        let ratio = (ratio / (seen.len() as f64).sqrt()).clamp(-most, most);
        if let Some(part) = self.parts.get_mut(aspect) {
            // Places alone convict nobody: there are people who are never twice in the same. Nor do
            // hours: where the owner's are those of everybody, their sum is a walk at random.
            let limit = if aspect == ROUTES {
                f64::INFINITY
            } else {
                MOST_OF_OTHERS
            };
            *part = (*part + ratio).clamp(0.0, limit);
        }
    }

    fn sum(&self) -> f64 {
        self.evidence().map(|(_, part)| part).sum()
    }

    /// What each aspect comes to; after them the mix of requests.
    fn evidence(&self) -> impl Iterator<Item = (usize, f64)> {
        self.parts.iter().chain([&self.mix]).copied().enumerate()
    }

    /// The strongest aspect, if the others alone would not be told.
    fn decisive(&self, is_told: impl FnOnce(f64) -> bool) -> Option<u8> {
        let (aspect, part) = self.evidence().max_by(|a, b| a.1.total_cmp(&b.1))?;
        (!is_told(self.sum() - part)).then_some(aspect as u8)
    }
}

impl FactDetector for Takeover {
    type State = State;

    fn config(&self) -> &Arc<DetectorConfig> {
        &self.config
    }

    fn fact(&mut self, at: &At<'_>, out: &mut Vec<Finding>) {
        let fact = at.fact;
        if fact.user == 0 || !fact.is_outer() || !fact.served() || fact.route == 0 {
            return;
        }
        let hour = fact.time_ns.div_euclid(HOUR_NS);
        self.state.peers.advance(fact.now_ns, &self.state.accounts);
        let account = self.state.accounts.entry(fact.user, || Account {
            hour,
            day: hour / 24,
            since_ns: fact.time_ns,
            ..Account::default()
        });
        if hour < account.hour {
            return;
        }
        let group = self.state.peers.group_of(account, fact.role);
        let mut finding = None;
        if hour > account.hour {
            account.end_hour(&mut self.state.common, fact.time_ns);
            let day_ends = hour / 24 > account.day;
            let (most, told_before) = (account.most, account.told);
            if day_ends {
                (account.day, account.most) = (hour / 24, account.sum());
            }
            let score = rarity(&mut self.state.groups, group, account.sum());
            if day_ends {
                // What the day's greatest sum is among those of other accounts.
                if let Some((low, high)) = chances(&mut self.state.groups, group, most) {
                    self.state.calibration.rank(low, high, told_before > 0.0);
                }
                self.state.crowd.add(hour / 24);
                learn(&mut self.state.groups, group, most);
            }
            let wanted = self.config.thresholds.min_score.unwrap_or(DEFAULT_SCORE);
            let wanted = wanted + self.state.crowd.surplus();
            if score >= wanted && score > account.told * 1.2 && account.sum() > 1.0 {
                if account.told == 0.0 {
                    let is_told =
                        |sum| sum > 1.0 && rarity(&mut self.state.groups, group, sum) >= wanted;
                    account.silent = account.decisive(is_told);
                }
                account.told = score;
                finding = Some((score, account.clone()));
            }
            account.hour = hour;
        }
        if account.events.len() < 20 && account.sum() > 0.0 {
            account.events.push(fact.seq);
        }
        account.note(fact, hour);
        let role = self.state.roles.entry(group, Counts::default);
        account.count_request(fact.route, role);
        if let Some((score, account)) = finding {
            out.extend(self.tell(at, score, &account));
        }
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn set_state(&mut self, state: State) {
        self.state = state;
    }

    fn calibration(&self) -> Option<&Calibration> {
        Some(&self.state.calibration)
    }

    fn learning(&self, about: &About<'_>) -> Option<Learned> {
        let known = self.state.accounts.peek(about.hash);
        let account = known.filter(|_| about.kind == "user")?;
        let hours = account.habits[0].total;
        (hours < LEAST_HOURS).then_some(Learned {
            seen: hours as u64,
            needed: LEAST_HOURS as u64,
            unit: "active hours",
        })
    }

    fn state_bytes(&self) -> usize {
        let accounts = self.state.accounts.values();
        let habits = accounts
            .flat_map(|a| a.habits.iter().chain([&a.requests]))
            .map(|h| h.by_value.capacity() * 13);
        let common = self.state.common.iter().map(|c| c.first.capacity() * 30);
        let tails = self.state.groups.values().map(Tail::bytes);
        let roles = self.state.roles.values();
        let roles = roles.map(|r| r.by_value.capacity() * 13);
        self.state.accounts.bytes()
            + self.state.peers.bytes()
            + habits
                .chain(common)
                .chain(roles)
                .chain(tails)
                .sum::<usize>()
            + self.state.calibration.bytes()
    }
}

fn name_of(aspect: usize) -> &'static str {
    ASPECTS.get(aspect).map_or("mix of requests", |a| a.name)
}

/// What is strange in one aspect, with up to two names.
fn strange_words(at: &At<'_>, account: &Account, aspect: usize) -> String {
    let name = name_of(aspect);
    let of_it = account
        .strange
        .iter()
        .filter(|(of, _)| usize::from(*of) == aspect);
    let named: Vec<_> = of_it
        .filter_map(|(_, value)| at.names.of(*value))
        .take(2)
        .collect();
    match named.is_empty() {
        true => format!("other {name}"),
        false => format!("other {name} ({})", named.join(", ")),
    }
}

/// What it means that an aspect decided.
fn silent_at(aspect: u8) -> Value {
    let name = name_of(aspect.into());
    let sentence = format!("Silent had the account kept to its usual {name}.");
    Bound::at_most(0, format!("hours of other {name}")).told_as(&sentence)
}

/// The first digit with zeros: more would claim too much.
fn round_down(number: u64) -> u64 {
    let unit = 10u64.pow(number.checked_ilog10().unwrap_or(0));
    number / unit * unit
}

impl Takeover {
    fn tell(&self, at: &At<'_>, score: f64, account: &Account) -> Option<Finding> {
        let user = at.name(at.fact.user);
        let mut says = at.says("user", user, score);
        let mut parts: Vec<_> = account.evidence().collect();
        parts.sort_by(|a, b| b.1.total_cmp(&a.1));
        let told = parts.iter().filter(|(_, part)| *part > 0.3).take(3);
        let told: Vec<_> = told.map(|(i, _)| strange_words(at, account, *i)).collect();
        let days = 10f64.powf(self.state.calibration.calibrated(score)) as u64;
        let peers = self.state.peers_of(account);
        let beside = peers.map_or_else(String::new, |peers| {
            let peers = grouped(round_down(peers));
            format!("beside about {peers} accounts that use what it uses, ")
        });
        says.summary = format!(
            "{user} has not behaved like its owner for {} active hours: {}; {beside}one account \
             in {} is as strange on a day",
            account.hours,
            told.join(", "),
            grouped(round_down(days)),
        );
        says.since_ns = account.since_ns;
        says.evidence = account.events.clone();
        says.weight = account.events.len() as u64;
        let strange = account.strange.iter().filter_map(|(aspect, value)| {
            let name = ASPECTS.get(usize::from(*aspect))?.name;
            Some(json!({"what": name, "value": at.names.of(*value)?}))
        });
        says.baseline = json!({
            "evidence": rounded(account.sum()), "hours": account.hours,
            "known_hours": rounded(account.habits[4].total), "peers": peers,
            "strange": strange.collect::<Vec<_>>(),
            "silent_at": account.silent.map_or(Value::Null, silent_at),
        });
        at.finding(&self.config, says)
    }
}

#[cfg(test)]
mod tests;
