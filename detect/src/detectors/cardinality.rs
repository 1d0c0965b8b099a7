//! Cardinality: more accounts than ever fail to log in from places that they never came from.
//!
//! Guessing that is spread over accounts, addresses and hours leaves no count that is high, but
//! the pairs of account and place are strange: hardly anybody mistypes a password where they have
//! never been, and whoever does gets in a moment later. So failures of accounts that never logged
//! in from the network or provider are counted, one for each account and as long as no success
//! has explained them, by address, by network, by provider and for the login as a whole.
//!
//! Such failures are rare and independent, but come in bursts from one address; those within
//! [`BURST_NS`] count once. How many come in a window is then Poisson with a rate that differs
//! between keys: gamma-distributed with the mean of all keys of the kind before anything is known
//! of one, and by its own past after, which makes the negative binomial. The last 15 minutes, two
//! hours and day are judged at every failure. What raised an alert is not learned.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::config::DetectorConfig;
use super::on_facts::{At, FactDetector};
use crate::alert::grouped;
use crate::calibrate::{Counts, rounded};
use crate::calibration::Calibration;
use crate::cells::mix;
use crate::facts::recent::Recent;
use crate::facts::{Act, Fact, Outcome};
use crate::finding::Finding;
use crate::silent::Bound;

const MINUTE_NS: i64 = 60 * 1_000_000_000;
const HOUR_NS: i64 = 60 * MINUTE_NS;
/// Windows that are judged, and the fewest accounts in each that are worth a word.
const WINDOWS: [(i64, usize); 3] = [(15 * MINUTE_NS, 4), (2 * HOUR_NS, 6), (24 * HOUR_NS, 10)];
const LONGEST_NS: i64 = 24 * HOUR_NS;
/// Failures of one address that follow one another sooner are one.
const BURST_NS: i64 = MINUTE_NS;
/// A success explains failures before it that are no older.
const EXPLAINS_NS: i64 = 15 * MINUTE_NS;
/// What is observed before anything is judged.
const LEAST_NS: i64 = 24 * HOUR_NS;
/// Shape of the gamma distribution of rates among keys: most are far below the mean.
const SHAPE: f64 = 0.5;
/// However much is known of a key, some hours are busier than others.
const MOST_SHAPE: f64 = 4.0;
/// The past is halved beyond so many hours.
const MOST_HOURS: f64 = 30.0 * 24.0;
/// Failures kept of a key.
const MAX_FAILURES: usize = 128;
/// Keys of a generation, and pairs of account and place.
const MAX_KEYS: usize = 10_000;
const MAX_PAIRS: usize = 200_000;
const DEFAULT_SCORE: f64 = 6.0;
/// Events named as evidence.
const EVIDENCE: usize = 10;

/// Where failures are counted.
const KINDS: [&str; 4] = ["ip", "net", "asn", "service"];
const KIND_COUNT: usize = KINDS.len();

/// An account that failed in a place where it was never seen.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Failure {
    time_ns: i64,
    user: u64,
    ip: u64,
    seq: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Key {
    failures: Vec<Failure>,
    /// Failures learned, and since when.
    n: f64,
    since_ns: i64,
    /// Accounts of which was spoken, and when.
    told: usize,
    told_ns: i64,
    /// The most accounts of which nothing was said, and in which window.
    #[serde(default)]
    silent: (usize, i64),
}

/// All keys of a kind.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Sum {
    n: f64,
    keys: f64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    keys: Recent<Key>,
    sums: [Sum; KIND_COUNT],
    /// Pairs of an account and a network or provider that it logged in from.
    known: Recent<()>,
    /// First login.
    since_ns: i64,
    /// Last event of which was spoken.
    #[serde(default)]
    told_ns: i64,
}

/// See the module's documentation.
pub(crate) struct Cardinality {
    config: Arc<DetectorConfig>,
    state: State,
}

/// Too many accounts.
struct Many {
    kind: usize,
    score: f64,
    window_ns: i64,
    usual: f64,
    failures: Vec<Failure>,
    fresh: usize,
    /// See [`Key::silent`].
    silent: (usize, i64),
}

impl Cardinality {
    /// A detector that has seen nothing.
    pub(crate) fn new(config: Arc<DetectorConfig>) -> Self {
        Cardinality {
            config,
            state: State {
                keys: Recent::new(MAX_KEYS),
                sums: Default::default(),
                known: Recent::new(MAX_PAIRS),
                since_ns: i64::MAX,
                told_ns: 0,
            },
        }
    }

    /// Did the account ever log in from the network or provider?
    fn is_known(&self, fact: &Fact) -> bool {
        let pairs = pairs(fact);
        let mut pairs = pairs.iter().filter(|pair| **pair != 0);
        pairs.any(|pair| self.state.known.peek(*pair).is_some())
    }

    /// A success makes the place known, and explains failures there.
    fn succeed(&mut self, fact: &Fact) {
        let was_known = self.is_known(fact);
        for pair in pairs(fact).into_iter().filter(|pair| *pair != 0) {
            self.state.known.set(pair, ());
        }
        for key in keys(fact).into_iter().filter(|key| *key != 0) {
            let Some(key) = self.state.keys.get_mut(key) else {
                continue;
            };
            let before = key.failures.len();
            key.failures.retain(|failure| {
                let recent = (fact.time_ns - failure.time_ns).abs() < EXPLAINS_NS;
                // Whoever is at home in a place mistypes names there, too.
                let explained = failure.ip == fact.ip && (failure.user == fact.user || was_known);
                !(recent && explained)
            });
            key.n = (key.n - (before - key.failures.len()) as f64).max(0.0);
        }
    }

    fn fail(&mut self, fact: &Fact) -> Option<Many> {
        if self.is_known(fact) {
            return None;
        }
        let mut worst: Option<Many> = None;
        let young = fact.time_ns - self.state.since_ns < LEAST_NS;
        for (kind, key) in keys(fact).into_iter().enumerate() {
            if key == 0 {
                continue;
            }
            let many = self.count(fact, kind, key).filter(|_| !young);
            if let Some(many) = many
                && worst.as_ref().is_none_or(|w| many.score > w.score)
            {
                worst = Some(many);
            }
        }
        if worst.is_some() {
            self.state.told_ns = fact.time_ns;
        }
        worst
    }

    /// Counts a failure under a key.
    fn count(&mut self, fact: &Fact, kind: usize, hash: u64) -> Option<Many> {
        let sum = self.state.sums.get_mut(kind)?;
        let start = self.state.since_ns;
        let key = self.state.keys.entry(hash, || {
            sum.keys += 1.0;
            Key {
                since_ns: start,
                ..Key::default()
            }
        });
        let oldest = fact.time_ns - LONGEST_NS;
        key.failures.retain(|failure| failure.time_ns > oldest);
        let again = |failure: &&Failure| {
            let burst = (fact.time_ns - failure.time_ns).abs() < BURST_NS;
            failure.user == fact.user || failure.ip == fact.ip && burst
        };
        if key.failures.iter().any(|failure| again(&failure)) {
            return None;
        }
        let hours = (fact.time_ns - start).max(HOUR_NS) as f64 / HOUR_NS as f64;
        // Before anything is known of a key it is like the others.
        let mean = (sum.n + 1.0) / (sum.keys.max(1.0) * hours);
        if key.failures.len() >= MAX_FAILURES {
            key.failures.remove(0);
        }
        key.failures.push(Failure {
            time_ns: fact.time_ns,
            user: fact.user,
            ip: fact.ip,
            seq: fact.seq,
        });
        let wanted = self.config.thresholds.min_score.unwrap_or(DEFAULT_SCORE);
        let now = fact.time_ns;
        let many = key.judge((now, self.state.told_ns), kind, mean, wanted);
        if fact.time_ns - key.told_ns > LONGEST_NS || key.told_ns == 0 {
            key.learn(fact.time_ns);
            sum.n += 1.0;
        }
        many
    }
}

impl Key {
    /// Compares the last windows with what is usual.
    fn judge(
        &mut self,
        (now, told_ns): (i64, i64),
        kind: usize,
        mean: f64,
        wanted: f64,
    ) -> Option<Many> {
        let hours = ((now - self.since_ns) as f64 / HOUR_NS as f64).max(0.0);
        let (shape, rate) = (SHAPE + self.n, SHAPE / mean + hours);
        if now - self.told_ns > LONGEST_NS {
            self.told = 0;
        }
        let mut worst: Option<Many> = None;
        for (window_ns, least) in WINDOWS {
            let within = |failure: &&Failure| failure.time_ns > now - window_ns;
            let count = self.failures.iter().filter(within).count();
            // Speak again when there are twice as many.
            if count < least.max(self.told * 2) {
                continue;
            }
            // What a campaign left at other places was told with it: there must be new ones.
            let new = |failure: &&Failure| failure.time_ns > told_ns;
            if self.failures.iter().filter(within).filter(new).count() < least / 2 {
                continue;
            }
            let usual = shape / rate * (window_ns as f64 / HOUR_NS as f64);
            let variance = usual + usual * usual / shape.min(MOST_SHAPE);
            let counts = Counts {
                mean: usual,
                variance,
            };
            let score = counts.score(count as u64);
            if score >= wanted && worst.as_ref().is_none_or(|w| score > w.score) {
                let failures = self.failures.iter().filter(within).copied().collect();
                let fresh = count - self.told.min(count);
                worst = Some(Many {
                    kind,
                    score,
                    window_ns,
                    usual,
                    failures,
                    fresh,
                    silent: (count - 1, window_ns),
                });
            }
        }
        if let Some(many) = &mut worst {
            if self.told == 0 {
                self.silent = many.silent;
            }
            many.silent = self.silent;
            (self.told, self.told_ns) = (many.failures.len(), now);
        }
        worst
    }

    fn learn(&mut self, now: i64) {
        self.n += 1.0;
        let hours = (now - self.since_ns) as f64 / HOUR_NS as f64;
        if hours > MOST_HOURS {
            self.n *= 0.5;
            self.since_ns += (now - self.since_ns) / 2;
        }
    }
}

/// Keys of a row, kind by kind; 0 where the log does not say.
fn keys(fact: &Fact) -> [u64; KIND_COUNT] {
    let of = |kind: u64, value: u64| if value == 0 { 0 } else { mix(value, kind) };
    [
        of(1, fact.ip),
        of(2, fact.net),
        of(3, fact.asn),
        of(4, fact.service),
    ]
}

/// The account with its network and with its provider.
fn pairs(fact: &Fact) -> [u64; 2] {
    let of = |place: u64| if place == 0 { 0 } else { mix(fact.user, place) };
    [of(fact.net), of(fact.asn)]
}

/// `15 minutes`, `2 hours`
fn lasting(window_ns: i64) -> String {
    match window_ns / MINUTE_NS {
        minutes @ ..60 => format!("{minutes} minutes"),
        minutes => format!("{} hours", minutes / 60),
    }
}

impl FactDetector for Cardinality {
    type State = State;

    fn config(&self) -> &Arc<DetectorConfig> {
        &self.config
    }

    fn fact(&mut self, at: &At<'_>, out: &mut Vec<Finding>) {
        let fact = at.fact;
        if fact.act != Act::Login || fact.user == 0 || fact.ip == 0 || !fact.is_outer() {
            return;
        }
        self.state.since_ns = self.state.since_ns.min(fact.time_ns);
        let many = match fact.outcome {
            Outcome::Success => {
                self.succeed(fact);
                None
            }
            Outcome::Failure => self.fail(fact),
            Outcome::Unknown => None,
        };
        out.extend(many.and_then(|many| self.tell(at, &many)));
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn set_state(&mut self, state: State) {
        self.state = state;
    }

    fn calibration(&self) -> Option<&Calibration> {
        // Judged only where somebody fails: there is no window that has none.
        None
    }

    fn state_bytes(&self) -> usize {
        let failures = |key: &Key| key.failures.capacity() * size_of::<Failure>();
        let kept: usize = self.state.keys.values().map(failures).sum();
        self.state.keys.bytes() + kept + self.state.known.bytes()
    }
}

impl Cardinality {
    fn tell(&self, at: &At<'_>, many: &Many) -> Option<Finding> {
        let fact = at.fact;
        let place = match many.kind {
            0 => format!("address {}", at.name(fact.ip)),
            1 => format!("network {}", at.name(fact.net)),
            2 => format!("provider AS{}", at.name(fact.asn)),
            _ => "places".to_owned(),
        };
        // One campaign has many addresses: it is one story of the login that it tries.
        let (kind, value) = match fact.service {
            0 => ("ip", fact.ip),
            service => ("service", service),
        };
        let mut ips: Vec<u64> = Vec::new();
        for failure in &many.failures {
            if !ips.contains(&failure.ip) {
                ips.push(failure.ip);
            }
        }
        let mut says = at.says(kind, at.name(value), many.score);
        let window = lasting(many.window_ns);
        let (silent, silent_ns) = many.silent;
        let what = format!("accounts in {}", lasting(silent_ns));
        says.summary = format!(
            "{} accounts failed to log in from {place} in {window}, by {} addresses; none of them \
             had ever logged in from there, usual are {}",
            grouped(many.failures.len() as u64),
            grouped(ips.len() as u64),
            rounded(many.usual),
        );
        says.others = ips
            .iter()
            .rev()
            .filter_map(|ip| Some(("ip".to_owned(), at.names.of(*ip)?.to_owned())))
            .take(18)
            .collect();
        // The account is one of many, and a victim.
        says.entities.remove("user");
        let first = many.failures.iter().map(|failure| failure.time_ns).min();
        says.since_ns = first.unwrap_or(fact.time_ns);
        let newest = many.failures.iter().rev().map(|failure| failure.seq);
        says.evidence = newest.take(EVIDENCE).collect();
        says.weight = many.fresh as u64;
        says.baseline = json!({
            "count": many.failures.len(), "addresses": ips.len(), "mean": rounded(many.usual),
            "window": window, "silent_at": Bound::at_most(silent as u64, what).told(),
            "days": (fact.time_ns - self.state.since_ns) / (24 * HOUR_NS),
        });
        at.finding(&self.config, says)
    }
}
