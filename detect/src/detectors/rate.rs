//! Rate: more events of an entity in a window than it, or its like, ever has.
//!
//! Counts per entity and window of event time are compared with the entity's own baseline
//! (exponentially weighted mean and variance over the windows in which it did anything), drawn
//! towards the baseline of its group while its own is short. The score is the negative-binomial
//! tail. An alarm is raised at the event that crosses the threshold, not at the end of the window.
//! What a window teaches is winsorised, so that an attack does not become the new normal. How busy
//! the hours of the week are is learned for the group, and taken out of all baselines.
//!
//! Windows close when the watermark (the greatest event time, never trusted beyond ten minutes
//! after receipt) has passed their end by [`LATENESS_NS`]; events for closed windows are counted
//! and left out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use watchfire_event::Query;

use super::config::DetectorConfig;
use super::keys::FirstOf;
use super::{Observed, RowDetector};
use crate::alert::grouped;
use crate::calibrate::{Counts, Moments, rounded};
use crate::calibration::Calibration;
use crate::entity::Entity;
use crate::finding::Finding;
use crate::season::Season;
use crate::sigma::told::span_words;
use crate::silent::Bound;

/// How late an event may be and still count.
const LATENESS_NS: i64 = 300 * 1_000_000_000;
/// Event times further ahead of receipt do not move the watermark.
const TRUST_NS: i64 = 600 * 1_000_000_000;
/// Windows after which old ones fade; of a group, which has many entities, more.
const OWN_RATE: f64 = 0.05;
const GROUP_RATE: f64 = 0.002;
/// A group's baseline weighs as much as so many windows of the entity.
const PRIOR_WINDOWS: f64 = 5.0;
/// Standard deviations above the mean at which a window's lesson is cut.
const WINSOR: f64 = 3.0;
const MAX_GROUPS: usize = 10_000;
/// Groups with a season of their own; those beyond have none.
const MAX_SEASONS: usize = 1_000;
const DAY_NS: f64 = 86_400e9;
const WEEK_NS: f64 = 7.0 * DAY_NS;
/// In its sentence an alarm names the hour when it is so much busier or quieter than others.
const NOTABLE: f64 = 1.25;
const DEFAULT_SCORE: f64 = 6.0;
/// First events of a window kept as evidence.
const EVIDENCE: usize = 10;

/// An entity's count in an open window.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Open {
    group: u64,
    count: u64,
    /// The next count at which to speak; 0 until it is worked out.
    alarm: u64,
    /// Count of which alerts already speak.
    told: u64,
    /// The greatest count of which nothing was said.
    #[serde(default)]
    silent: u64,
    first_ns: i64,
    events: Vec<u64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Window {
    entities: HashMap<u64, Open>,
    /// In order of first event: the order in which groups learn.
    order: Vec<u64>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Baseline {
    moments: Moments,
    /// Mean over about a week, whatever the hour: what the season is a multiple of.
    #[serde(default)]
    level: f32,
    /// Last window that taught it: order of forgetting.
    window: i64,
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct State {
    open: BTreeMap<i64, Window>,
    /// Windows below are closed.
    closed: i64,
    watermark_ns: Option<i64>,
    baselines: HashMap<u64, Baseline>,
    groups: HashMap<u64, Moments>,
    #[serde(default)]
    seasons: HashMap<u64, Season>,
    late: u64,
    /// Events of entities beyond the limit of a window.
    untracked: u64,
    #[serde(default)]
    calibration: Calibration,
}

/// See the module's documentation.
pub(crate) struct Rate {
    config: Arc<DetectorConfig>,
    state: State,
}

pub(crate) struct Keys<'a> {
    entity: FirstOf<'a>,
    group: FirstOf<'a>,
}

impl Rate {
    /// A detector that has seen nothing.
    pub(crate) fn new(config: Arc<DetectorConfig>) -> Self {
        Rate {
            config,
            state: State {
                closed: i64::MIN,
                ..State::default()
            },
        }
    }

    /// An entity has reached the count at which it is to be looked at.
    fn alarm(
        &mut self,
        batch: &Observed<'_>,
        keys: &Keys<'_>,
        row: usize,
        (index, entity): (i64, u64),
    ) -> Option<Finding> {
        let group = self.state.open.get(&index)?.entities.get(&entity)?.group;
        let moments = self.moments(entity, group)?;
        let season = self.season(group, index);
        let counts = Counts::of(&moments).times(season);
        let wanted = self.config.thresholds.min_score.unwrap_or(DEFAULT_SCORE);
        let open = self.state.open.get_mut(&index)?.entities.get_mut(&entity)?;
        if open.alarm == 0 {
            open.alarm = counts.quantile(wanted).max(1);
        }
        if open.count < open.alarm {
            return None;
        }
        // Speak again when it has doubled.
        open.alarm = open.count.saturating_mul(2);
        let weight = open.count - open.told;
        if open.told == 0 {
            open.silent = open.count - 1;
        }
        open.told = open.count;
        let open = open.clone();
        self.finding(
            batch,
            keys,
            row,
            &open,
            weight,
            (&counts, season),
            moments.n,
        )
    }

    /// What is usual for an entity; `None` while too little is known.
    fn moments(&self, entity: u64, group: u64) -> Option<Moments> {
        let group = self.state.groups.get(&group)?;
        let own = self
            .state
            .baselines
            .get(&entity)
            .map(|b| b.moments)
            .unwrap_or_default();
        let enough = group.n >= self.config.thresholds.min_windows;
        enough.then(|| own.shrunk(group, PRIOR_WINDOWS))
    }

    /// How much busier than usual a window of a group is.
    fn season(&self, group: u64, index: i64) -> f64 {
        let season = self.state.seasons.get(&group);
        season.map_or(1.0, |season| season.factor(self.begin(index)))
    }

    fn begin(&self, index: i64) -> i64 {
        index.saturating_mul(self.config.window_ns)
    }

    /// Moves the watermark and closes the windows it has passed.
    fn advance(&mut self, time_ns: i64, received_ns: i64) {
        let trusted = if received_ns > 0 {
            time_ns.min(received_ns.saturating_add(TRUST_NS))
        } else {
            time_ns
        };
        if self.state.watermark_ns.is_some_and(|w| w >= trusted) {
            return;
        }
        self.state.watermark_ns = Some(trusted);
        let passed = trusted
            .saturating_sub(LATENESS_NS)
            .div_euclid(self.config.window_ns);
        while let Some(entry) = self.state.open.first_entry() {
            if *entry.key() >= passed {
                break;
            }
            let (index, window) = entry.remove_entry();
            self.close(index, window);
        }
        self.state.closed = self.state.closed.max(passed);
    }

    /// Learns from a window that is complete.
    fn close(&mut self, index: i64, window: Window) {
        for entity in &window.order {
            let Some(open) = window.entities.get(entity) else {
                continue;
            };
            let known = self.state.groups.contains_key(&open.group);
            let room = known || self.state.groups.len() < MAX_GROUPS;
            let group = if room { open.group } else { 0 };
            let season = self.season(group, index);
            let mut value = open.count as f64 / season;
            if let Some(moments) = self.moments(*entity, group) {
                let counts = Counts::of(&moments).times(season);
                // One in eight will do: a tail costs more than the count.
                if (*entity ^ index as u64).is_multiple_of(8) {
                    let (low, high) = counts.chances(open.count);
                    self.state.calibration.note(low, high, open.told > 0);
                }
                let most = counts.mean + WINSOR * counts.variance.sqrt();
                let learned = (open.count as f64).min(most);
                value = learned / season;
                self.learn_season((*entity, group), index, learned);
            }
            self.state
                .groups
                .entry(group)
                .or_default()
                .add(value, GROUP_RATE);
            let baseline = self.state.baselines.entry(*entity).or_default();
            baseline.moments.add(value, OWN_RATE);
            baseline.window = index;
        }
        let limit = self.config.thresholds.max_entities.max(10);
        if self.state.baselines.len() > limit {
            let mut ages: Vec<_> = self
                .state
                .baselines
                .iter()
                .map(|(key, b)| (b.window, *key))
                .collect();
            ages.sort_unstable();
            for (_, key) in ages
                .iter()
                .take(self.state.baselines.len() - limit / 10 * 9)
            {
                self.state.baselines.remove(key);
            }
        }
    }

    /// Learns how busy the hour of a window is from an entity that is known for a day or longer.
    fn learn_season(&mut self, (entity, group): (u64, u64), index: i64, count: f64) {
        let at = self.begin(index);
        let State {
            baselines, seasons, ..
        } = &mut self.state;
        let Some(baseline) = baselines.get_mut(&entity) else {
            return;
        };
        let window_ns = self.config.window_ns as f64;
        let windows = baseline.moments.n.max(1) as f64;
        let rate = (1.0 / windows).max(window_ns / WEEK_NS).min(1.0);
        baseline.level += (count as f32 - baseline.level) * rate as f32;
        let is_known = windows * window_ns >= DAY_NS && baseline.level > 0.0;
        if is_known && (seasons.len() < MAX_SEASONS || seasons.contains_key(&group)) {
            let ratio = count / f64::from(baseline.level);
            seasons.entry(group).or_default().add(at, ratio);
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "all of them belong to one sentence"
    )]
    fn finding(
        &self,
        batch: &Observed<'_>,
        keys: &Keys<'_>,
        row: usize,
        open: &Open,
        weight: u64,
        (counts, season): (&Counts, f64),
        own_windows: u64,
    ) -> Option<Finding> {
        let config = &self.config;
        let events = batch.fields.batch();
        let (time_ns, seq) = (events.time().value(row), events.seq().value(row));
        let (field, value) = keys.entity.value(row)?;
        let mut clauses = vec![Query::field_equals(field, &value)];
        clauses.extend(config.filter_clause());
        let low = (counts.mean - 2.33 * counts.variance.sqrt())
            .max(0.0)
            .round() as u64;
        let high = counts.quantile(2.0).saturating_sub(1);
        let window = span_words(u64::try_from(config.window_ns / 1_000_000_000).unwrap_or(0));
        let template = config.summary.as_deref().unwrap_or(
            "{number} events in {window} by {kind} {entity}, usual {hour}is {mean} ({low}-{high})",
        );
        let summary = template
            .replace("{number}", &grouped(open.count))
            .replace("{window}", &window)
            .replace("{mean}", &number(counts.mean))
            .replace("{low}", &grouped(low))
            .replace("{high}", &grouped(high))
            .replace("{hour}", hour(season))
            .replace("{kind}", &config.kind)
            .replace("{entity}", &value);
        let mut entities = batch.entities.all(batch.fields, row);
        entities.insert(config.kind.clone(), value.clone());
        Some(Finding {
            row,
            seq,
            time_ns,
            since_ns: open.first_ns,
            score: rounded(counts.score(open.count)),
            fused: None,
            summary,
            baseline: json!({
                "count": open.count, "window": window, "mean": rounded(counts.mean),
                "low": low, "high": high, "season": rounded(season), "windows": own_windows,
                "silent_at": Bound::at_most(open.silent, format!("events in {window}")).told(),
                "learning": own_windows < config.thresholds.min_windows,
            })
            .into(),
            source: Arc::clone(&config.source),
            entity: Entity::new(&config.kind, &value),
            entities,
            clauses,
            evidence: open.events.clone(),
            weight,
            others: Vec::new(),
            within_ns: None,
        })
    }
}

impl RowDetector for Rate {
    type State = State;
    type Keys<'a> = Keys<'a>;

    fn config(&self) -> &Arc<DetectorConfig> {
        &self.config
    }

    fn keys<'a>(config: &DetectorConfig, batch: &Observed<'a>) -> Keys<'a> {
        Keys {
            entity: FirstOf::new(batch.fields, &config.entity),
            group: FirstOf::new(batch.fields, &config.group),
        }
    }

    fn row(&mut self, batch: &Observed<'_>, keys: &Keys<'_>, row: usize) -> Option<Finding> {
        let events = batch.fields.batch();
        let (time_ns, seq) = (events.time().value(row), events.seq().value(row));
        self.advance(time_ns, events.received().value(row));
        let entity = keys.entity.hash(row)?;
        let group = keys.group.hash(row).unwrap_or_default();
        let index = time_ns.div_euclid(self.config.window_ns);
        if index < self.state.closed {
            self.state.late += 1;
            return None;
        }
        let window = self.state.open.entry(index).or_default();
        let limit = self.config.thresholds.max_entities.max(10);
        if !window.entities.contains_key(&entity) {
            if window.entities.len() >= limit {
                self.state.untracked += 1;
                return None;
            }
            window.order.push(entity);
        }
        let open = window.entities.entry(entity).or_insert_with(|| Open {
            group,
            first_ns: time_ns,
            ..Open::default()
        });
        open.count += 1;
        open.first_ns = open.first_ns.min(time_ns);
        if open.events.len() < EVIDENCE {
            open.events.push(seq);
        }
        let count = open.count;
        if count < self.config.thresholds.min_count.max(1) || open.alarm > count {
            return None;
        }
        self.alarm(batch, keys, row, (index, entity))
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

    fn state_bytes(&self) -> usize {
        let open: usize = self.state.open.values().map(|w| w.entities.len()).sum();
        open * (size_of::<Open>() + EVIDENCE * 8 + 32)
            + self.state.baselines.len() * (size_of::<Baseline>() + 16)
            + self.state.groups.len() * (size_of::<Moments>() + 16)
            + self.state.seasons.len() * (Season::BYTES + 16)
    }
}

/// Where what is usual is usual at this hour alone.
fn hour(season: f64) -> &'static str {
    match (1.0 / NOTABLE..=NOTABLE).contains(&season) {
        true => "",
        false => "at this hour ",
    }
}

/// `3`, `0.4`: as exact as is of use.
fn number(x: f64) -> String {
    if x < 10.0 && (x - x.round()).abs() > 0.05 {
        format!("{x:.1}")
    } else {
        grouped(x.round() as u64)
    }
}
