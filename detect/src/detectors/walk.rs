//! Identifier walk: somebody goes through object identifiers in their order.
//!
//! For every account (or token, or address) and route, the step from one numeric identifier to the
//! next is small (1 to [`STEP`], always the same way) or not. By chance that happens at a rate that
//! is learned for each route; in a walk it is the rule. Page's CUSUM (Biometrika 1954) of the log
//! likelihood ratio of the two adds up the evidence: other requests between do no harm, and a
//! few neighbours in a list are not enough.
//!
//! Silent for: accounts that walked the same route on an earlier day without anybody objecting
//! (exports, backups), and agents that say themselves to be crawlers while they read without an
//! account, until they have seen very much.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::config::DetectorConfig;
use super::on_facts::{At, FactDetector};
use crate::alert::grouped;
use crate::calibrate::rounded;
use crate::calibration::Calibration;
use crate::cells::mix;
use crate::facts::Fact;
use crate::facts::recent::Recent;
use crate::finding::Finding;
use crate::silent::Bound;

/// Steps up to this are small.
const STEP: i64 = 10;
/// Share of small steps in a walk.
const WALKING: f64 = 0.8;
/// Bounds of the share of small steps that is usual on a route.
const USUAL: (f64, f64) = (0.005, 0.4);
/// Most evidence that is kept, so that a walk that ends is soon forgotten.
const MOST: f64 = 60.0;
/// Identifiers in their order before anything is said.
const LEAST: u32 = 12;
/// The same for those who say that they are crawlers.
const LEAST_CRAWLED: u32 = 1_000;
const DEFAULT_SCORE: f64 = 10.0;
/// A walk that rests longer begins anew.
const REST_NS: i64 = 2 * 3_600 * 1_000_000_000;
const DAY_NS: i64 = 24 * 3_600 * 1_000_000_000;
/// Walks and routes of a generation.
const MAX_WALKS: usize = 50_000;
const MAX_ROUTES: usize = 10_000;
/// First events of a walk kept as evidence.
const EVIDENCE: usize = 10;

/// What one principal does on one route.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Walk {
    last: i64,
    last_ns: i64,
    /// +1 or -1, 0 before the first step.
    way: i8,
    /// Evidence, log10 of the likelihood ratio.
    sum: f64,
    /// Identifiers in their order, first event and first identifier of the walk.
    steps: u32,
    first_ns: i64,
    from: i64,
    refused: u32,
    /// Steps at which to speak again, and those of which was spoken.
    next: u32,
    told: u32,
    /// The most steps of which nothing was said.
    #[serde(default)]
    silent: u32,
    /// Its first events.
    events: Vec<u64>,
}

/// How often steps are small on a route.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Habit {
    small: f64,
    all: f64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    walks: Recent<Walk>,
    routes: Recent<Habit>,
    /// Who walks habitually, and since when.
    walkers: Recent<i64>,
}

/// See the module's documentation.
pub(crate) struct Walks {
    config: Arc<DetectorConfig>,
    state: State,
}

impl Walks {
    /// A detector that has seen nothing.
    pub(crate) fn new(config: Arc<DetectorConfig>) -> Self {
        Walks {
            config,
            state: State {
                walks: Recent::new(MAX_WALKS),
                routes: Recent::new(MAX_ROUTES),
                walkers: Recent::new(MAX_WALKS),
            },
        }
    }

    /// Takes a step, and says whether the walk is worth a word.
    fn step(&mut self, fact: &Fact, number: i64) -> Option<Walk> {
        let key = mix(fact.principal(), fact.route);
        let habit = self.state.routes.entry(fact.route, Habit::default);
        let walk = self.state.walks.entry(key, Walk::default);
        let rested = fact.time_ns.saturating_sub(walk.last_ns) > REST_NS;
        if walk.last_ns == 0 || rested {
            walk.begin(fact, number);
            return None;
        }
        let step = number.saturating_sub(walk.last);
        if step == 0 {
            return None;
        }
        let way = if step > 0 { 1 } else { -1 };
        let is_small = step.abs() <= STEP && (walk.way == 0 || walk.way == way);
        let usual = habit.share().clamp(USUAL.0, USUAL.1);
        // Whoever walks must not teach that walking is usual.
        if walk.sum < 3.0 {
            habit.learn(is_small);
        }
        let evidence = match is_small {
            true => (WALKING / usual).log10(),
            false => ((1.0 - WALKING) / (1.0 - usual)).log10(),
        };
        walk.sum = (walk.sum + evidence).min(MOST);
        (walk.last, walk.last_ns) = (number, fact.time_ns);
        if walk.sum <= 0.0 {
            walk.begin(fact, number);
            return None;
        }
        if is_small {
            walk.way = way;
            walk.steps += 1;
            walk.refused += u32::from(matches!(fact.status, 401 | 403 | 404));
            if walk.events.len() < EVIDENCE {
                walk.events.push(fact.seq);
            }
        }
        let crawls = fact.crawler && fact.user == 0 && !fact.writes;
        let least = if crawls { LEAST_CRAWLED } else { LEAST };
        let wanted = self.config.thresholds.min_score.unwrap_or(DEFAULT_SCORE);
        if walk.steps < walk.next.max(least) || walk.sum < wanted {
            return None;
        }
        walk.next = walk.steps.saturating_mul(2);
        if walk.told == 0 {
            walk.silent = walk.steps - 1;
        }
        let now = walk.clone();
        walk.told = walk.steps;
        let walk = now;
        let since = self.state.walkers.entry(key, || fact.time_ns);
        (fact.time_ns - *since < DAY_NS).then_some(walk)
    }
}

impl Walk {
    fn begin(&mut self, fact: &Fact, number: i64) {
        *self = Walk {
            last: number,
            last_ns: fact.time_ns,
            first_ns: fact.time_ns,
            from: number,
            events: vec![fact.seq],
            ..Walk::default()
        };
    }
}

impl Habit {
    /// Share of small steps; one in a hundred while none is known.
    fn share(&self) -> f64 {
        (self.small + 1.0) / (self.all + 100.0)
    }

    fn learn(&mut self, is_small: bool) {
        self.all += 1.0;
        self.small += f64::from(u8::from(is_small));
        if self.all > 5_000.0 {
            self.all *= 0.5;
            self.small *= 0.5;
        }
    }
}

impl FactDetector for Walks {
    type State = State;

    fn config(&self) -> &Arc<DetectorConfig> {
        &self.config
    }

    fn fact(&mut self, at: &At<'_>, out: &mut Vec<Finding>) {
        let fact = at.fact;
        let (Some(number), true) = (fact.number, fact.is_outer()) else {
            return;
        };
        let Some(walk) = self.step(fact, number) else {
            return;
        };
        let habit = self
            .state
            .routes
            .peek(fact.route)
            .copied()
            .unwrap_or_default();
        let kinds = [("user", fact.user), ("token", fact.token), ("ip", fact.ip)];
        let Some((kind, who)) = kinds.into_iter().find(|(_, hash)| *hash != 0) else {
            return;
        };
        let (who, route) = (at.name(who), at.name(fact.route));
        // Walks of many through one service at a time are one story.
        let service = at.name(fact.service);
        // The evidence has a limit; the longer walk is the worse one still.
        let score = walk.sum.min(30.0) + f64::from(walk.steps).log10();
        let mut says = at.says("service", service, score);
        let minutes = (fact.time_ns - walk.first_ns) / 60_000_000_000;
        says.summary = format!(
            "{kind} {who} asked for {} identifiers of {route} in their order, {} to {}, in {} \
             min; {} refused",
            grouped(u64::from(walk.steps)),
            walk.from,
            walk.last,
            minutes.max(1),
            grouped(u64::from(walk.refused)),
        );
        says.clauses = vec![at.clause(kind, who)];
        says.since_ns = walk.first_ns;
        says.evidence = walk.events;
        says.weight = u64::from(walk.steps - walk.told);
        let silent = Bound::at_most(u64::from(walk.silent), "identifiers in their order");
        says.baseline = json!({
            "count": walk.steps, "from": walk.from, "to": walk.last, "refused": walk.refused,
            "usual_share_in_order": rounded(habit.share()),
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
        // The score is a log likelihood ratio.
        None
    }

    fn state_bytes(&self) -> usize {
        self.state.walks.bytes()
            + self.state.walks.len() * EVIDENCE * 8
            + self.state.routes.bytes()
            + self.state.walkers.bytes()
    }
}
