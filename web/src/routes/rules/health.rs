//! What became of rules: matches, alerts, verdicts, and whether they can match at all.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;
use watchfire_detect::models::verdicts::{FEATURES, VerdictModel};
use watchfire_detect::{Activity, Costs, Lack, RuleCounts, RuleKind, RulePolicy, total};
use watchfire_event::time::to_rfc3339;
use watchfire_store::meta::{RuleSetting, Verdicts};

use super::settings::Settings;
use crate::error::{ApiError, Problem};
use crate::state::{AppState, RuleCatalog};

/// Days over which fields must have come for a rule to be called able to match.
const FIELD_DAYS: i64 = 7;
/// Days of the short overview.
const DAYS: usize = 7;
/// Days and hours of the long one.
const MORE_DAYS: usize = 31;
const HOURS: usize = 24;

/// What became of a rule. Days and hours are those of receipt, in UTC.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Events that matched in the last 24 hours, those hidden by exceptions included; of a
    /// correlation or a detector, how often it fired.
    matched_24h: u64,
    /// Since the beginning of the day six days ago: 7 days with today.
    matched_7d: u64,
    /// Alerts raised in these 7 days.
    alerts_7d: u64,
    /// Alerts a day in these 7 days.
    alerts_per_day: f64,
    /// Matches that exceptions hid in these 7 days.
    hidden_7d: u64,
    /// Matches that became part of an alert only because the rule suppresses for longer.
    suppressed_7d: u64,
    /// Alerts that would have been raised in these 7 days, had the rule not been in shadow.
    shadow_alerts_7d: u64,
    /// Matches of each of these 7 days, oldest first; the last is today.
    days: Vec<u64>,
    /// Event time of the newest match.
    last_match: Option<String>,
    /// Alerts there are, and how they were closed.
    #[schema(value_type = Object)]
    verdicts: Verdicts,
    /// Share of alerts closed as false positives among all closed ones; null without any.
    false_positive_share: Option<f64>,
    /// Can an event match at all, as far as log sources and fields tell? Null where nothing is
    /// known.
    can_match: Option<bool>,
    /// Fields the rule cannot do without and that no event of the last 7 days had.
    missing_fields: Vec<String>,
    /// Log sources, `product/category/service`, that the rule is for and that no event of the
    /// last 7 days was of.
    missing_log_sources: Vec<String>,
    /// Alerts that score no higher are held back, for people closed such ones as false or benign
    /// and none as an attack; null where nothing is held back by verdicts.
    held_up_to: Option<f64>,
    /// Verdicts that this rests on. Reopening an alert takes its verdict back.
    held_by_verdicts: u32,
    /// What all verdicts together teach; null while there are fewer than 50, or hardly any attack
    /// or false alert among them.
    learned: Option<Learned>,
    /// What it costs, measured since the start; null where nothing is known.
    cost: Option<Cost>,
    /// What a detector keeps, and whether its probabilities hold; null for rules.
    detector: Option<Inside>,
    /// Counts of each of the last 24 hours and 31 days; only where one rule is asked for.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    history: Option<History>,
}

/// A model of all verdicts: how likely an alert is an attack.
#[derive(Debug, Serialize, ToSchema)]
pub struct Learned {
    /// Closed alerts that it rests on.
    labels: u32,
    /// Attacks among them.
    attacks: u32,
    /// How often it gives an attack more than another alert, of alerts that it had not seen.
    auc: f64,
    /// Alerts that are less likely are held back; 0 where it holds none back.
    holds_below: f64,
    /// What `score` and `risk` (their logarithms), `severity` and `detector` (log odds of its
    /// verdicts) add to the log odds, a unit of each. None is negative.
    #[schema(value_type = Object)]
    weights: BTreeMap<&'static str, f64>,
}

impl Learned {
    fn of(model: &VerdictModel) -> Learned {
        let weights = FEATURES.into_iter().zip(model.weights());
        Learned {
            labels: model.labels,
            attacks: model.attacks,
            auc: model.auc(),
            holds_below: model.below(),
            weights: weights.collect(),
        }
    }
}

/// What a rule costs. What rules share, such as looking at the columns of events, is nobody's own
/// and counts for none of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct Cost {
    /// Microseconds of one processor for every event that comes, whatever it is.
    us_per_event: f64,
    /// Share of the time of all detection.
    share: f64,
    /// Share of events for which it had to be decided.
    asked_share: f64,
}

impl Cost {
    fn of(costs: &Costs, id: &str) -> Option<Cost> {
        let cost = costs.of(id).copied().unwrap_or_default();
        let events = costs.events as f64;
        let round = |x: f64| (x * 1e6).round() / 1e6;
        (costs.events > 0 && costs.nanos > 0).then(|| Cost {
            us_per_event: round(cost.nanos as f64 / 1e3 / events),
            share: round(cost.nanos as f64 / costs.nanos as f64),
            // Estimated from some of the batches.
            asked_share: round(cost.asked as f64 / events).min(1.0),
        })
    }
}

/// What is known of a detector's inside, as of the last hundred thousand events.
#[derive(Debug, Serialize, ToSchema)]
pub struct Inside {
    /// Bytes that what it has learned takes, about.
    state_bytes: usize,
    /// Windows of late, of those that have a probability.
    windows: Option<u64>,
    /// Kolmogorov-Smirnov distance of their p-values from uniform; null while few are known.
    distance: Option<f64>,
    /// Whether they can be taken at their word: where small ones come too often, beyond a distance
    /// of 0.05, the detector is uncalibrated, and its alerts do not add to the risk of others.
    calibrated: Option<bool>,
}

impl Inside {
    fn of(costs: &Costs, id: &str) -> Option<Inside> {
        let state = costs.detectors.get(id)?;
        let calibration = state.calibration.as_ref();
        let distance = calibration.and_then(|c| c.distance());
        Some(Inside {
            state_bytes: state.bytes,
            windows: calibration.map(|c| c.windows() as u64),
            distance: distance.map(|d| (d * 1e4).round() / 1e4),
            calibrated: calibration.and_then(|c| c.holds()),
        })
    }
}

/// Counts over time.
#[derive(Debug, Serialize, ToSchema)]
pub struct History {
    /// Each of the last 24 hours, oldest first.
    #[schema(value_type = Vec<Object>)]
    by_hour: Vec<RuleCounts>,
    /// Each of the last 31 days, oldest first.
    #[schema(value_type = Vec<Object>)]
    by_day: Vec<RuleCounts>,
}

/// Everything that is known of rules at one moment.
pub struct Book {
    /// The rules that are live.
    pub catalog: Arc<RuleCatalog>,
    /// What is set, by rule.
    pub set: HashMap<String, RuleSetting>,
    /// What rules did.
    pub activity: Arc<Activity>,
    costs: Arc<Costs>,
    /// What verdicts ask of alerts.
    told: RulePolicy,
    /// The present, nanoseconds since the epoch.
    pub now_ns: i64,
    verdicts: HashMap<String, Verdicts>,
    /// Rules that cannot match and what they lack; none where nothing is known.
    blind: Option<BTreeMap<String, Lack>>,
}

impl Book {
    /// Reads everything.
    pub async fn load(state: &AppState) -> Result<Book, ApiError> {
        let (catalog, activity) = (state.rules.load_full(), (state.hooks.activity)());
        let now_ns = crate::now_ns();
        let (set, did) = (Arc::clone(&catalog.set), Arc::clone(&activity));
        // The first time after a reload takes a while with thousands of rules.
        let finding = tokio::task::spawn_blocking(move || {
            let seen = did.fields_seen(now_ns, FIELD_DAYS)?;
            let sources = did.log_sources_seen(now_ns, FIELD_DAYS);
            Some(set.blind(&seen, sources.as_deref()))
        });
        let settings = state.meta().rule_settings().await?.into_iter();
        let verdicts = state.meta().verdicts().await?;
        Ok(Book {
            set: settings.map(|s| (s.rule_id.clone(), s)).collect(),
            verdicts: verdicts.into_iter().collect(),
            blind: finding.await.map_err(ApiError::internal)?,
            catalog,
            activity,
            costs: (state.hooks.costs)(),
            told: super::settings::verdicts(state.meta()).await?,
            now_ns,
        })
    }

    /// What is set about a rule.
    pub fn settings(&self, id: &str) -> Settings {
        Settings::of(self.set.get(id))
    }

    /// What became of a rule; `kind` is none where its file is gone.
    pub fn health(&self, id: &str, kind: Option<RuleKind>, long: bool) -> Health {
        let did = self.activity.rule(id);
        let days = |n| {
            did.map(|d| d.days(self.now_ns, n))
                .unwrap_or(vec![RuleCounts::default(); n])
        };
        let hours = did.map(|d| d.hours(self.now_ns, HOURS));
        let hours = hours.unwrap_or(vec![RuleCounts::default(); HOURS]);
        let week = days(DAYS);
        let sum = total(&week);
        let name = match kind {
            Some(RuleKind::Detector) => id.to_owned(),
            _ => format!("sigma:{id}"),
        };
        let verdicts = self.verdicts.get(&name).cloned().unwrap_or_default();
        let closed = verdicts.true_positive + verdicts.false_positive + verdicts.benign;
        let share = verdicts.false_positive as f64 / closed.max(1) as f64;
        let bar = self.told.bars.get(&name);
        let is_asked = kind.is_some_and(|kind| kind != RuleKind::Filter);
        let blind = self.blind.as_ref().filter(|_| is_asked);
        let lack = blind.and_then(|b| b.get(id)).cloned().unwrap_or_default();
        Health {
            matched_24h: total(&hours).matched,
            matched_7d: sum.matched,
            alerts_7d: sum.alerts,
            alerts_per_day: (sum.alerts as f64 / DAYS as f64 * 100.0).round() / 100.0,
            hidden_7d: sum.hidden,
            suppressed_7d: sum.suppressed,
            shadow_alerts_7d: sum.shadow_alerts,
            days: week.iter().map(|day| day.matched).collect(),
            last_match: did.and_then(|d| d.last_match_ns).map(to_rfc3339),
            verdicts,
            false_positive_share: (closed > 0).then_some((share * 1e3).round() / 1e3),
            can_match: blind.map(|blind| !blind.contains_key(id)),
            missing_fields: lack.fields.into_iter().collect(),
            missing_log_sources: lack.log_sources.into_iter().collect(),
            held_up_to: bar.map(|bar| bar.up_to_milli as f64 / 1e3),
            held_by_verdicts: bar.map_or(0, |bar| bar.verdicts),
            learned: self.told.model.as_ref().map(Learned::of),
            cost: Cost::of(&self.costs, id),
            detector: Inside::of(&self.costs, id),
            history: long.then(|| History {
                by_hour: hours,
                by_day: days(MORE_DAYS),
            }),
        }
    }
}

/// What became of a rule: matches, alerts, verdicts, fields that do not arrive.
#[utoipa::path(get, path = "/api/v1/rules/{id}/health", tag = "rules",
    params(("id" = String, Path, description = "The rule's id")), responses(
    (status = 200, description = "What became of it", body = Health),
    (status = 404, description = "not_found", body = Problem),
))]
pub async fn health(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<JsonAnswer<Health>, ApiError> {
    let book = Book::load(&state).await?;
    let kind = book.catalog.set.info(&id).map(|info| info.kind);
    if kind.is_none() && !book.set.contains_key(&id) {
        return Err(ApiError::not_found("rule"));
    }
    Ok(JsonAnswer(book.health(&id, kind, true)))
}
