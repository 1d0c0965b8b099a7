//! First-seen: an entity with something it was never seen with.
//!
//! How surprising that is follows from the entity's own habits: with N events of which N1 pairs
//! were seen exactly once, the next event brings an unseen pair with probability about N1/N
//! (Good-Turing, Gale & Sampson 1995). An entity with little history is judged by its group, the
//! two blended as Witten and Bell do. What is expected to bring something new every day is told of
//! nothing, and what does so all the same about once a day: the next new thing says little of it.
//! Pairs live in generations of Bloom filters, so forgetting the counts of an entity never makes
//! its pairs look new.
//!
//! New things come in bunches: a release brings a call or two, an intruder who looks around brings
//! many. How often one more follows within the hour is learned from the bunches that were told,
//! their sizes taken as geometric, and each adds to the score what that is worth.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use watchfire_event::Query;

use super::bloom::Generations;
use super::config::DetectorConfig;
use super::keys::{AllOf, FirstOf};
use super::{About, Learned, Observed, RowDetector};
use crate::alert::{counted, grouped};
use crate::calibrate::rounded;
use crate::cells::mix;
use crate::entity::Entity;
use crate::finding::Finding;
use crate::silent::Bound;

/// Groups counted; beyond, an entity belongs to the group of all.
const MAX_GROUPS: usize = 10_000;
const DEFAULT_SCORE: f64 = 2.0;
const HOUR_NS: i64 = 3_600 * 1_000_000_000;
const DAY_NS: f64 = 24.0 * HOUR_NS as f64;
/// After so long, half of what was told of an entity counts.
const HALF_LIFE_NS: f64 = 48.0 * HOUR_NS as f64;
/// What was told of an entity lately; from so much on, something new says little of it. That many
/// come to be where it is told once a day.
const OFTEN: f64 = 3.0;
/// Of a pair: read from the path where the log does not give it.
const ROUTE: &str = "http.route";
/// Who is expected to bring something new more often a day than this is told of nothing. So much
/// was quiet before anything was seen, it is thought.
const MOST_A_DAY: f64 = 1.0;
const PRIOR_NS: f64 = 48.0 * HOUR_NS as f64;
/// What is thought of bunches before any was told: after every other new thing there is one more,
/// as if so many had been seen.
const PRIOR_MORE: f64 = 4.0;
const PRIOR_NEW: f64 = 8.0;
const SILENT: &str = "Silent had the two been seen together once before.";

/// What is known of an entity or a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Habits {
    /// Events.
    n: u64,
    /// Pairs seen exactly once.
    once: u64,
    /// Different pairs.
    distinct: u64,
    /// Of a group: entities.
    entities: u64,
    /// Event time of the first event.
    first_ns: i64,
    /// Sequence number of the last event: order of forgetting.
    touched: u64,
    /// Hours in which something was new, and the latest of them, since 1970.
    #[serde(default)]
    hours: u32,
    #[serde(default)]
    new_hour: i64,
    /// Of an entity: how often it was told lately, as of the last time.
    #[serde(default)]
    told: f64,
    #[serde(default)]
    told_ns: i64,
    /// New things told within an hour of each other, and what they come to.
    #[serde(default)]
    bunch: u32,
    #[serde(default)]
    bunch_score: f32,
}

impl Habits {
    /// The score with which something new is told, if it is worth it. What follows within an hour
    /// is part of the same story, and of an entity that does something new every day the next new
    /// thing is no news.
    fn tell(&mut self, time_ns: i64, score: f64, bunches: &mut Bunches) -> Option<f64> {
        let since = time_ns.saturating_sub(self.told_ns);
        if self.told > 0.0 && since < HOUR_NS {
            self.told_ns = self.told_ns.max(time_ns);
            self.bunch = self.bunch.saturating_add(1);
            let score = score.max(f64::from(self.bunch_score) + bunches.more());
            self.bunch_score = score as f32;
            return Some(score);
        }
        let lately = self.told * 0.5_f64.powf(since as f64 / HALF_LIFE_NS);
        if lately >= OFTEN {
            return None;
        }
        (self.told, self.told_ns) = (lately + 1.0, time_ns);
        (self.bunch, self.bunch_score) = (1, score as f32);
        bunches.new += 1.0;
        Some(score)
    }

    /// Chance that the next event brings an unseen pair. Never 0: one more event is one chance.
    fn unseen(&self) -> f64 {
        (self.once as f64 + 1.0) / (self.n as f64 + 1.0)
    }

    /// Occasions for something new that are expected in a day: by the pairs seen once, as each
    /// event brings one with the chance of [`Self::unseen`], but no more than there were. One
    /// noisy hour is one occasion, so that nobody hides behind it.
    fn a_day(&self, time_ns: i64) -> f64 {
        let age = time_ns.saturating_sub(self.first_ns).max(0) as f64;
        (self.once.min(self.hours.into()) as f64 + 1.0) * DAY_NS / (age + PRIOR_NS)
    }

    fn learn(&mut self, sighting: Sighting, time_ns: i64, seq: u64) {
        if self.n == 0 {
            self.first_ns = time_ns;
        }
        self.n += 1;
        self.touched = seq;
        match sighting {
            Sighting::First => {
                self.once += 1;
                self.distinct += 1;
                let hour = time_ns.div_euclid(HOUR_NS);
                self.hours = self.hours.saturating_add((hour != self.new_hour).into());
                self.new_hour = hour;
            }
            Sighting::Second => self.once = self.once.saturating_sub(1),
            Sighting::Later => {}
        }
    }
}

/// New things that were told, and those of them that followed another within the hour.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Bunches {
    new: f64,
    more: f64,
}

impl Bunches {
    /// What one more is worth, -log10 of how often one follows. It is learned after that.
    fn more(&mut self) -> f64 {
        let often = (self.more + PRIOR_MORE) / (self.new + PRIOR_NEW);
        self.new += 1.0;
        self.more += 1.0;
        -often.log10()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Sighting {
    First,
    Second,
    Later,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct State {
    seen: Generations,
    again: Generations,
    entities: HashMap<u64, Habits>,
    groups: HashMap<u64, Habits>,
    #[serde(default)]
    bunches: Bunches,
}

/// See the module's documentation.
pub(crate) struct FirstSeen {
    config: Arc<DetectorConfig>,
    /// Entities are judged by their own habits alone, as each is a group of its own.
    alone: bool,
    state: State,
}

/// The keys of a batch's rows.
pub(crate) struct Keys<'a> {
    entity: FirstOf<'a>,
    pair: AllOf<'a>,
    /// Of a pair with a route: as the log gives it.
    route: Option<FirstOf<'a>>,
    group: FirstOf<'a>,
}

impl Keys<'_> {
    /// What the entity is seen with. A route that the log does not give is what was learned of
    /// its path.
    fn pair(&self, batch: &Observed<'_>, row: usize) -> Option<u64> {
        let pair = self.pair.hash(row)?;
        let Some(route) = &self.route else {
            return Some(pair);
        };
        let route = route.hash(row).or_else(|| learned_route(batch, row))?;
        Some(mix(pair, route))
    }

    /// The words for it, a clause for each that a field of the row says, and whether all are said.
    fn words(&self, batch: &Observed<'_>, row: usize) -> (String, Vec<String>, bool) {
        let mut values = self.pair.values(row);
        values.extend(self.route.as_ref().and_then(|route| route.value(row)));
        let clause = |(field, value): &(&str, String)| Query::field_equals(field, value);
        let clauses = values.iter().map(clause).collect();
        let mut words: Vec<String> = values.into_iter().map(|(_, value)| value).collect();
        let said = self
            .route
            .as_ref()
            .is_none_or(|route| route.hash(row).is_some());
        if !said {
            let learned = learned_route(batch, row).and_then(|hash| batch.names.of(hash));
            words.extend(learned.map(str::to_owned));
        }
        (words.join(", "), clauses, said)
    }
}

/// Method and template of the row's path, as far as paths are understood.
fn learned_route(batch: &Observed<'_>, row: usize) -> Option<u64> {
    let fact = batch.facts.rows.get(row)?;
    (fact.route != 0).then_some(fact.route)
}

impl FirstSeen {
    /// A detector that has seen nothing.
    pub(crate) fn new(config: Arc<DetectorConfig>) -> Self {
        let pairs = config.thresholds.max_pairs;
        let state = State {
            seen: Generations::new(pairs),
            again: Generations::new(pairs),
            entities: HashMap::new(),
            groups: HashMap::new(),
            bunches: Bunches::default(),
        };
        FirstSeen {
            alone: config.group == config.entity,
            config,
            state,
        }
    }

    /// Is too little known of an entity, or of a group, to judge by its habits alone?
    fn is_learning(&self, own: &Habits) -> bool {
        own.n < self.config.thresholds.min_events
    }

    /// `None` while too little is known.
    fn probability(&self, own: &Habits, group: &Habits) -> Option<f64> {
        if !self.is_learning(own) {
            return Some(own.unseen());
        }
        if self.alone {
            return None;
        }
        let others = group.entities.saturating_sub(u64::from(own.n > 0));
        if self.is_learning(group) || others < self.config.thresholds.min_peers {
            return None;
        }
        let known = own.n as f64;
        let weight = if own.n == 0 {
            0.0
        } else {
            known / (known + own.distinct as f64)
        };
        Some(weight * own.unseen() + (1.0 - weight) * group.unseen())
    }

    fn learn(&mut self, entity: u64, group: u64, sighting: Sighting, time_ns: i64, seq: u64) {
        let own = self.state.entities.entry(entity).or_default();
        if !self.alone {
            let of_group = self.state.groups.entry(group).or_default();
            of_group.entities += u64::from(own.n == 0);
            of_group.learn(sighting, time_ns, seq);
        }
        own.learn(sighting, time_ns, seq);
        let limit = self.config.thresholds.max_entities.max(10);
        if self.state.entities.len() > limit {
            let mut ages: Vec<u64> = self.state.entities.values().map(|h| h.touched).collect();
            ages.sort_unstable();
            let oldest = ages.get(limit / 10).copied().unwrap_or_default();
            self.state
                .entities
                .retain(|_, habits| habits.touched > oldest);
        }
    }

    /// What is known of the entity, and of its group while that counts.
    fn baseline(&self, own: &Habits, group: &Habits) -> Value {
        let is_learning = self.is_learning(own);
        let mut baseline = json!({
            "events": own.n, "pairs": own.distinct, "pairs_seen_once": own.once,
            "new_lately": own.bunch, "learning": is_learning,
            "silent_at": Bound::at_least(1, "such events before").told_as(SILENT),
        });
        if is_learning {
            baseline["group_events"] = group.n.into();
            baseline["group_entities"] = group.entities.into();
            baseline["group_pairs_seen_once"] = group.once.into();
        }
        baseline
    }

    fn finding(
        &self,
        batch: &Observed<'_>,
        keys: &Keys<'_>,
        row: usize,
        score: f64,
        own: &Habits,
        group: &Habits,
    ) -> Option<Finding> {
        let config = &self.config;
        let events = batch.fields.batch();
        let (time_ns, seq) = (events.time().value(row), events.seq().value(row));
        let (field, value) = keys.entity.value(row)?;
        let (pair, mut clauses, said) = keys.words(batch, row);
        clauses.insert(0, Query::field_equals(field, &value));
        let template = config.summary.as_deref().unwrap_or(
            "First time in {age} that {kind} {entity} was seen with {pair}: \
             {events} before, {distinct} different",
        );
        let age = if own.n == 0 {
            "the time it is known".to_owned()
        } else {
            age_words(time_ns.saturating_sub(own.first_ns))
        };
        let mut summary = template
            .replace("{age}", &age)
            .replace("{events}", &counted(own.n))
            .replace("{n}", &grouped(own.n))
            .replace("{distinct}", &grouped(own.distinct))
            .replace("{kind}", &config.kind)
            .replace("{entity}", &value)
            .replace("{pair}", &pair);
        if own.bunch > 1 {
            let _ = write!(
                summary,
                "; {} such firsts, none more than an hour after the last",
                grouped(own.bunch.into())
            );
        }
        let mut entities = batch.entities.all(batch.fields, row);
        entities.insert(config.kind.clone(), value.clone());
        Some(Finding {
            row,
            seq,
            time_ns,
            since_ns: time_ns,
            score: rounded(score),
            fused: None,
            summary,
            baseline: self.baseline(own, group).into(),
            source: Arc::clone(&config.source),
            entity: Entity::new(&config.kind, &value),
            entities,
            clauses,
            evidence: Vec::new(),
            weight: 1,
            others: Vec::new(),
            within_ns: (!said).then_some((time_ns, time_ns)),
        })
    }
}

impl RowDetector for FirstSeen {
    type State = State;
    type Keys<'a> = Keys<'a>;

    fn config(&self) -> &Arc<DetectorConfig> {
        &self.config
    }

    fn keys<'a>(config: &DetectorConfig, batch: &Observed<'a>) -> Keys<'a> {
        let is_route = |name: &String| name.eq_ignore_ascii_case(ROUTE);
        let (routes, others): (Vec<_>, Vec<_>) = config.pair.iter().cloned().partition(is_route);
        Keys {
            entity: FirstOf::new(batch.fields, &config.entity),
            pair: AllOf::new(batch.fields, &others),
            route: (!routes.is_empty()).then(|| FirstOf::new(batch.fields, &routes)),
            group: FirstOf::new(batch.fields, &config.group),
        }
    }

    fn row(&mut self, batch: &Observed<'_>, keys: &Keys<'_>, row: usize) -> Option<Finding> {
        let (entity, pair) = (keys.entity.hash(row)?, keys.pair(batch, row)?);
        let events = batch.fields.batch();
        let (time_ns, seq) = (events.time().value(row), events.seq().value(row));
        let group = keys.group.hash(row).unwrap_or_default();
        let known = self.state.groups.contains_key(&group);
        let group = if known || self.state.groups.len() < MAX_GROUPS {
            group
        } else {
            0
        };
        let both = mix(entity, pair);
        let sighting = if !self.state.seen.contains(both) {
            self.state.seen.insert(both);
            Sighting::First
        } else if !self.state.again.contains(both) {
            self.state.again.insert(both);
            Sighting::Second
        } else {
            Sighting::Later
        };
        let own = self
            .state
            .entities
            .get(&entity)
            .copied()
            .unwrap_or_default();
        let of_group = self.state.groups.get(&group).copied().unwrap_or_default();
        self.learn(entity, group, sighting, time_ns, seq);
        if sighting != Sighting::First {
            return None;
        }
        if !self.is_learning(&own) && own.a_day(time_ns) > MOST_A_DAY {
            return None;
        }
        let probability = self.probability(&own, &of_group)?;
        let score = -probability.log10();
        let wanted = self.config.thresholds.min_score.unwrap_or(DEFAULT_SCORE);
        if score < wanted {
            return None;
        }
        let habits = self.state.entities.get_mut(&entity)?;
        let score = habits.tell(time_ns, score, &mut self.state.bunches)?;
        let own = Habits {
            bunch: habits.bunch,
            ..own
        };
        self.finding(batch, keys, row, score, &own, &of_group)
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn set_state(&mut self, state: State) {
        self.state = state;
    }

    /// Whose group it is, is not kept: it says nothing while any group would do to judge by.
    fn learning(&self, about: &About<'_>) -> Option<Learned> {
        let known = self.state.entities.get(&about.hash);
        let own = known.filter(|_| about.kind == self.config.kind)?;
        let mut groups = self.state.groups.values();
        let is_judged =
            !self.is_learning(own) || groups.any(|group| self.probability(own, group).is_some());
        (!is_judged).then_some(Learned {
            seen: own.n,
            needed: self.config.thresholds.min_events,
            unit: "events",
        })
    }

    fn state_bytes(&self) -> usize {
        let habits = self.state.entities.len() + self.state.groups.len();
        habits * (size_of::<Habits>() + 16)
            + self.state.seen.memory_bytes()
            + self.state.again.memory_bytes()
    }
}

/// `94 days`, `3 hours`, `20 minutes`.
fn age_words(ns: i64) -> String {
    let seconds = ns.max(0) / 1_000_000_000;
    let (n, unit) = match seconds {
        s if s >= 2 * 86_400 => (s / 86_400, "days"),
        s if s >= 2 * 3_600 => (s / 3_600, "hours"),
        s if s >= 120 => (s / 60, "minutes"),
        s => (s, "seconds"),
    };
    format!("{n} {unit}")
}
