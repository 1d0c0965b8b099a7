//! A kind of log line that a service has never written.
//!
//! Lines become templates ([`crate::models::drain`]). How surprising a new one is follows from how
//! often the service brings new ones (Good-Turing): a service that writes a new kind every hundred
//! lines says nothing with one more. A service is learned for 24 hours and the configured number of
//! lines before it is judged, and again for an hour after a deploy: a version that was not there
//! before brings new lines.
//!
//! The state holds hashes and counts only.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use watchfire_event::Query;

use super::config::DetectorConfig;
use super::keys::FirstOf;
use super::{About, Learned, Observed, RowDetector};
use crate::alert::grouped;
use crate::calibrate::rounded;
use crate::entity::Entity;
use crate::finding::Finding;
use crate::models::ModelError;
use crate::models::codec::{Kept, Model};
use crate::models::drain::{Drain, Parsed, mask};
use crate::silent::Bound;

const DEFAULT_SCORE: f64 = 3.5;
/// Lines of a service before it is judged, if the file does not say.
const MIN_LINES: u64 = 10_000;
/// Templates of a service.
const TEMPLATES: usize = 2_000;
/// Services; beyond, the one longest silent is forgotten and has to be learned again.
const MAX_SERVICES: usize = 200;
/// Versions of a service that are remembered.
const VERSIONS: usize = 16;
const DAY_NS: i64 = 86_400_000_000_000;
const HOUR_NS: i64 = 3_600_000_000_000;
/// Characters of a template that an alert shows.
const SHOWN: usize = 160;
const SILENT: &str = "Silent had the service written such a line once before.";

impl Model for Drain {
    fn to_bytes(&self) -> Vec<u8> {
        self.save()
    }

    fn of_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        Drain::restore(bytes)
    }
}

/// What a service writes.
#[derive(Debug, Serialize, Deserialize)]
struct Service {
    drain: Kept<Drain>,
    first_ns: i64,
    /// Nothing is said before this event time.
    quiet_until_ns: i64,
    /// Hashes of versions, the newest last.
    versions: Vec<u64>,
    /// Sequence number of the last line: order of forgetting.
    touched: u64,
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct State {
    services: HashMap<u64, Service>,
}

/// See the module's documentation.
pub(crate) struct LogTemplate {
    config: Arc<DetectorConfig>,
    state: State,
}

/// The keys of a batch's rows.
pub(crate) struct Keys<'a> {
    service: FirstOf<'a>,
    text: FirstOf<'a>,
    version: FirstOf<'a>,
}

impl LogTemplate {
    /// A detector that has seen nothing.
    pub(crate) fn new(config: Arc<DetectorConfig>) -> Self {
        LogTemplate {
            config,
            state: State::default(),
        }
    }

    fn min_lines(&self) -> u64 {
        self.config.thresholds.min_lines.unwrap_or(MIN_LINES)
    }

    /// The service, made if it is new.
    fn service(&mut self, key: u64, time_ns: i64) -> &mut Service {
        let services = &mut self.state.services;
        let limit = self.config.thresholds.max_entities.clamp(1, MAX_SERVICES);
        if services.len() >= limit && !services.contains_key(&key) {
            let oldest = services.iter().map(|(key, s)| (s.touched, *key)).min();
            if let Some((_, oldest)) = oldest {
                services.remove(&oldest);
            }
        }
        services.entry(key).or_insert_with(|| Service {
            drain: Kept(Drain::new(TEMPLATES)),
            first_ns: time_ns,
            quiet_until_ns: time_ns.saturating_add(DAY_NS),
            versions: Vec::new(),
            touched: 0,
        })
    }

    fn finding(
        &self,
        batch: &Observed<'_>,
        keys: &Keys<'_>,
        row: usize,
        (parsed, lines, templates): (Parsed, u64, usize),
    ) -> Option<Finding> {
        let config = &self.config;
        let events = batch.fields.batch();
        let (time_ns, seq) = (events.time().value(row), events.seq().value(row));
        let (field, service) = keys.service.value(row)?;
        let (_, text) = keys.text.value(row)?;
        let template: String = mask(&text).chars().take(SHOWN).collect();
        let summary = config
            .summary
            .as_deref()
            .unwrap_or("{entity} wrote a kind of line it never wrote in {lines} lines: {template}");
        let summary = summary
            .replace("{lines}", &grouped(lines))
            .replace("{n}", &grouped(lines))
            .replace("{entity}", &service)
            .replace("{template}", &template);
        let mut entities = batch.entities.all(batch.fields, row);
        entities.insert(config.kind.clone(), service.clone());
        let mut clauses = vec![Query::field_equals(field, &service)];
        clauses.extend(config.filter_clause());
        Some(Finding {
            source: Arc::clone(&config.source),
            row,
            seq,
            time_ns,
            since_ns: time_ns,
            entity: Entity::new(&config.kind, &service),
            entities,
            score: rounded(-parsed.unseen.log10()),
            fused: None,
            summary,
            baseline: json!({
                "lines": lines, "templates": templates, "unseen": rounded(parsed.unseen),
                "silent_at": Bound::at_least(1, "such lines before").told_as(SILENT),
            })
            .into(),
            clauses,
            evidence: Vec::new(),
            weight: 1,
            others: Vec::new(),
            // The query alone finds all lines of the service.
            within_ns: Some((time_ns, time_ns)),
        })
    }
}

impl Service {
    /// A version that was not there before is a deploy; the first one is none.
    fn deployed(&mut self, version: u64, time_ns: i64) {
        if self.versions.contains(&version) {
            return;
        }
        if !self.versions.is_empty() {
            self.quiet_until_ns = self.quiet_until_ns.max(time_ns.saturating_add(HOUR_NS));
        }
        self.versions.push(version);
        if self.versions.len() > VERSIONS {
            self.versions.remove(0);
        }
    }
}

impl RowDetector for LogTemplate {
    type State = State;
    type Keys<'a> = Keys<'a>;

    fn config(&self) -> &Arc<DetectorConfig> {
        &self.config
    }

    fn keys<'a>(config: &DetectorConfig, batch: &Observed<'a>) -> Keys<'a> {
        Keys {
            service: FirstOf::new(batch.fields, &config.entity),
            text: FirstOf::new(batch.fields, &config.pair),
            version: FirstOf::new(batch.fields, &config.group),
        }
    }

    fn row(&mut self, batch: &Observed<'_>, keys: &Keys<'_>, row: usize) -> Option<Finding> {
        let events = batch.fields.batch();
        let (time_ns, seq) = (events.time().value(row), events.seq().value(row));
        let key = keys.service.hash(row)?;
        let (_, text) = keys.text.value(row)?;
        let (thresholds, least) = (self.config.thresholds, self.min_lines());
        let service = self.service(key, time_ns);
        service.touched = seq;
        if let Some(version) = keys.version.hash(row) {
            service.deployed(version, time_ns);
        }
        let lines = service.drain.0.lines();
        let parsed = service.drain.0.learn(&text);
        let templates = service.drain.0.len();
        let known = lines >= least;
        let due = time_ns >= service.quiet_until_ns && service.first_ns <= time_ns;
        let wanted = thresholds.min_score.unwrap_or(DEFAULT_SCORE);
        if !parsed.new || !known || !due || -parsed.unseen.log10() < wanted {
            return None;
        }
        self.finding(batch, keys, row, (parsed, lines, templates))
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn set_state(&mut self, state: State) {
        self.state = state;
    }

    fn learning(&self, about: &About<'_>) -> Option<Learned> {
        let known = self.state.services.get(&about.hash);
        let service = known.filter(|_| about.kind == self.config.kind)?;
        let (seen, needed) = (service.drain.0.lines(), self.min_lines());
        (seen < needed).then_some(Learned {
            seen,
            needed,
            unit: "lines",
        })
    }

    fn state_bytes(&self) -> usize {
        let drains = self.state.services.values().map(|s| s.drain.0.bytes());
        drains.sum::<usize>() + self.state.services.len() * (size_of::<Service>() + VERSIONS * 8)
    }
}
