//! An address that sends values of a shape that others do not send.
//!
//! Every value of a query string is described by the kinds of its characters
//! ([`crate::models::payload`]). One strange value says little: one in a thousand harmless ones is
//! strange, too. So strange values are counted by address and window, and a finding is that there
//! are more than the share among all addresses explains.
//!
//! The model learns from what comes, without labels: from all values at first, and then from those
//! that are not strange, and from the first two strange ones of each address and window, so that a
//! new kind of value that many addresses send becomes usual and one that a single address
//! sends does not. The state holds numbers and hashes, no values.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use watchfire_event::Query;

use super::config::DetectorConfig;
use super::keys::FirstOf;
use super::{Observed, RowDetector};
use crate::alert::grouped;
use crate::calibrate::{Counts, rounded};
use crate::entity::Entity;
use crate::finding::Finding;
use crate::models::ModelError;
use crate::models::codec::{Kept, Model};
use crate::models::payload::{PayloadModel, features, values};
use crate::sigma::told::span_words;
use crate::silent::Bound;

const DEFAULT_SCORE: f64 = 6.0;
/// Values that the model is fitted to, and before the first one.
const SAMPLE: usize = 2_000;
/// Values after which it is fitted again.
const REFIT: u64 = 20_000;
/// Share of the sample that counts as strange, and how far beyond it (in nats) a value must be.
const STRANGE: f64 = 0.002;
const BEYOND: f64 = 5.0;
/// Strange values of an address in a window that are learned from, and that count for the share
/// among all.
const LEARNED: u64 = 2;
const SHARED: u64 = 20;
/// The share of strange values is never taken for smaller.
const LEAST_SHARE: f64 = 1e-3;
/// How fast that share follows.
const SHARE_RATE: f64 = 1e-4;
/// Values of a row that are looked at.
const VALUES: usize = 64;
/// Events that a finding names.
const EVIDENCE: usize = 20;

impl Model for PayloadModel {
    fn to_bytes(&self) -> Vec<u8> {
        self.save()
    }

    fn of_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        PayloadModel::restore(bytes)
    }
}

/// What an address sent in its current window.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Sender {
    window: i64,
    values: u64,
    strange: u64,
    /// Strange values at which it is looked at again.
    alarm: u64,
    /// Strange values told so far, and the most of which nothing was said.
    told: u64,
    #[serde(default)]
    silent: u64,
    first_ns: i64,
    events: Vec<u64>,
    /// Sequence number of the last event: order of forgetting.
    touched: u64,
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// Shapes that the next model is fitted to, as bits.
    sample: Vec<Vec<u64>>,
    /// Values that were learned from.
    learned: u64,
    model: Option<Kept<PayloadModel>>,
    /// The score from which a value is strange, as bits.
    bound: u64,
    /// Share of strange values among all addresses, as bits.
    share: u64,
    senders: HashMap<u64, Sender>,
}

/// See the module's documentation.
pub(crate) struct Payload {
    config: Arc<DetectorConfig>,
    state: State,
}

/// The keys of a batch's rows.
pub(crate) struct Keys<'a> {
    sender: FirstOf<'a>,
    text: FirstOf<'a>,
}

impl Payload {
    /// A detector that has seen nothing.
    pub(crate) fn new(config: Arc<DetectorConfig>) -> Self {
        Payload {
            config,
            state: State::default(),
        }
    }

    /// Whether the value is strange; `None` while there is no model.
    fn strange(&self, value: &str) -> Option<bool> {
        let model = self.state.model.as_ref()?;
        Some(model.0.score(value) > f64::from_bits(self.state.bound))
    }

    fn learn(&mut self, value: &str) {
        let shape = features(value).map(f64::to_bits).to_vec();
        let learned = self.state.learned;
        self.state.learned += 1;
        if self.state.sample.len() < SAMPLE {
            self.state.sample.push(shape);
        } else {
            // Every place once a round, so that the sample is the last of its length.
            self.state.sample[learned as usize % SAMPLE] = shape;
        }
        let learned = self.state.learned;
        if learned == SAMPLE as u64 || learned.is_multiple_of(REFIT) {
            self.fit();
        }
    }

    /// Fits the sample. If that fails, the model stays as it is.
    fn fit(&mut self) {
        let points = self.state.sample.iter();
        let points: Vec<Vec<f64>> = points
            .map(|p| p.iter().map(|bits| f64::from_bits(*bits)).collect())
            .collect();
        let Ok(model) = PayloadModel::fit_shapes(&points) else {
            return;
        };
        let mut scores: Vec<f64> = points.iter().map(|p| model.score_shape(p)).collect();
        scores.sort_by(f64::total_cmp);
        let above = (scores.len() as f64 * STRANGE) as usize;
        let bound = scores
            .iter()
            .rev()
            .nth(above)
            .copied()
            .unwrap_or(f64::INFINITY);
        self.state.bound = (bound + BEYOND).to_bits();
        self.state.model = Some(Kept(model));
    }

    /// The sender's window, begun anew if time went on; `None` for an event of an earlier one.
    fn sender(&mut self, key: u64, time_ns: i64, seq: u64) -> Option<&mut Sender> {
        let window = time_ns.div_euclid(self.config.window_ns);
        let senders = &mut self.state.senders;
        let limit = self.config.thresholds.max_entities.max(10);
        if senders.len() >= limit && !senders.contains_key(&key) {
            let mut ages: Vec<u64> = senders.values().map(|s| s.touched).collect();
            ages.sort_unstable();
            let oldest = ages.get(limit / 10).copied().unwrap_or_default();
            senders.retain(|_, s| s.touched > oldest);
        }
        let sender = senders.entry(key).or_insert_with(|| Sender {
            window: i64::MIN,
            ..Sender::default()
        });
        if window < sender.window {
            return None;
        }
        if window > sender.window {
            *sender = Sender {
                window,
                first_ns: time_ns,
                ..Sender::default()
            };
        }
        sender.touched = seq;
        Some(sender)
    }

    /// Takes in a value; gives whether it is strange.
    fn value(&mut self, key: u64, value: &str) -> bool {
        let Some(strange) = self.strange(value) else {
            self.learn(value);
            return false;
        };
        let Some(sender) = self.state.senders.get_mut(&key) else {
            return false;
        };
        sender.values += 1;
        sender.strange += u64::from(strange);
        let (values, strange_values) = (sender.values, sender.strange);
        if !strange || strange_values <= LEARNED {
            self.learn(value);
        }
        if values <= SHARED {
            let share = f64::from_bits(self.state.share);
            let now = f64::from(u8::from(strange));
            self.state.share = (share + SHARE_RATE * (now - share)).to_bits();
        }
        strange
    }

    fn finding(
        &self,
        batch: &Observed<'_>,
        keys: &Keys<'_>,
        row: usize,
        sender: &Sender,
        (score, odd): (f64, &str),
    ) -> Option<Finding> {
        let config = &self.config;
        let events = batch.fields.batch();
        let (field, value) = keys.sender.value(row)?;
        let kinds = self
            .state
            .model
            .as_ref()
            .map(|m| m.0.explain(odd))
            .unwrap_or_default();
        let kinds: Vec<&str> = kinds
            .iter()
            .filter(|(_, by)| *by > 3.0)
            .take(2)
            .map(|(kind, _)| *kind)
            .collect();
        let window = span_words(u64::try_from(config.window_ns / 1_000_000_000).unwrap_or(0));
        let summary = config.summary.as_deref().unwrap_or(
            "{strange} of {number} values from {entity} in {window} have a shape that others do \
             not send{kinds}",
        );
        let kinds = if kinds.is_empty() {
            String::new()
        } else {
            format!("; the last one has unusually many {}", kinds.join(" and "))
        };
        let summary = summary
            .replace("{strange}", &grouped(sender.strange))
            .replace("{number}", &grouped(sender.values))
            .replace("{window}", &window)
            .replace("{kinds}", &kinds)
            .replace("{kind}", &config.kind)
            .replace("{entity}", &value);
        let silent = Bound::at_most(sender.silent, format!("strange values in {window}"));
        let mut entities = batch.entities.all(batch.fields, row);
        entities.insert(config.kind.clone(), value.clone());
        let mut clauses = vec![Query::field_equals(field, &value)];
        clauses.extend(config.filter_clause());
        Some(Finding {
            source: Arc::clone(&config.source),
            row,
            seq: events.seq().value(row),
            time_ns: events.time().value(row),
            since_ns: sender.first_ns,
            entity: Entity::new(&config.kind, &value),
            entities,
            score: rounded(score),
            fused: None,
            summary,
            baseline: json!({
                "values": sender.values, "strange": sender.strange, "window": window,
                "share_of_others": rounded(self.share()), "learned": self.state.learned,
                "silent_at": silent.told(),
            })
            .into(),
            clauses,
            evidence: sender.events.clone(),
            weight: (sender.strange - sender.told).max(1),
            others: Vec::new(),
            within_ns: None,
        })
    }

    fn share(&self) -> f64 {
        f64::from_bits(self.state.share).max(LEAST_SHARE)
    }
}

impl RowDetector for Payload {
    type State = State;
    type Keys<'a> = Keys<'a>;

    fn config(&self) -> &Arc<DetectorConfig> {
        &self.config
    }

    fn keys<'a>(config: &DetectorConfig, batch: &Observed<'a>) -> Keys<'a> {
        Keys {
            sender: FirstOf::new(batch.fields, &config.entity),
            text: FirstOf::new(batch.fields, &config.pair),
        }
    }

    fn row(&mut self, batch: &Observed<'_>, keys: &Keys<'_>, row: usize) -> Option<Finding> {
        let events = batch.fields.batch();
        let (time_ns, seq) = (events.time().value(row), events.seq().value(row));
        let key = keys.sender.hash(row)?;
        let (_, text) = keys.text.value(row)?;
        let before = self.sender(key, time_ns, seq)?.strange;
        let mut odd = None;
        for value in values(&text).take(VALUES) {
            if self.value(key, &value) {
                odd = Some(value);
            }
        }
        let odd = odd?;
        let (share, thresholds) = (self.share(), self.config.thresholds);
        let sender = self.state.senders.get_mut(&key)?;
        if sender.events.len() < EVIDENCE {
            sender.events.push(seq);
        }
        if sender.strange < thresholds.min_count.max(sender.alarm) {
            return None;
        }
        let mean = share * sender.values as f64;
        let counts = Counts {
            mean,
            variance: mean,
        };
        let score = counts.score(sender.strange);
        if score < thresholds.min_score.unwrap_or(DEFAULT_SCORE) {
            return None;
        }
        // Speak again when it has doubled.
        sender.alarm = sender.strange.saturating_mul(2);
        if sender.told == 0 {
            sender.silent = before;
        }
        let told = sender.clone();
        sender.told = sender.strange;
        self.finding(batch, keys, row, &told, (score, &odd))
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn set_state(&mut self, state: State) {
        self.state = state;
    }

    fn state_bytes(&self) -> usize {
        let model = self.state.model.as_ref().map_or(0, |m| m.0.bytes());
        model
            + self.state.sample.len() * (12 * 8 + 24)
            + self.state.senders.len() * (size_of::<Sender>() + EVIDENCE * 8 + 16)
    }
}
