//! Detector files: YAML beside the rules.
//!
//! ```yaml
//! detector: first_seen            # or beacon, cardinality, log_template, payload, rate,
//!                                 # new_place, reach, silence, spree, takeover, token_use,
//!                                 # unissued, volume, walk
//! id: first_seen.service_edge     # the detector's name in its alerts
//! title: Service calls a service it never called
//! severity: medium
//! filter: 'event.category:web'    # a query; all events when left out; new_place: what is weighty
//! entity: source.service.name     # who; of a list the first field that is there; only for
//!                                 # first_seen, log_template, payload and rate, the others decide
//!                                 # for themselves
//! pair: service.name              # first_seen: with whom or what; of a list all together;
//!                                 # http.route is read from the path where a log has none
//!                                 # log_template: the line; payload: the query string
//! group: user.roles               # whose habits count while the entity's own are not known
//!                                 # log_template: the version, whose change is a deploy
//! window: 10m                     # payload, rate, reach, spree
//! thresholds: { min_score: 2 }    # see Thresholds
//! summary: "first time in {age} that {entity} called {pair}"
//! tags: [attack.t1210]
//! ```
//!
//! Words in a summary: `{kind}` and `{entity}`, `{age}` since the entity was first seen, `{n}`
//! number of events before; first_seen: `{pair}`, `{distinct}` number of pairs before; rate:
//! `{number}` of events in the `{window}`, usual `{mean}`, `{low}` and
//! `{high}`, and `{hour}`, which is "at this hour " where that matters; log_template:
//! `{lines}` before and the `{template}`; payload: `{strange}` of `{number}` values in the
//! `{window}`, and `{kinds}` of characters, a clause of its own; spree: `{number}` in the
//! `{window}`, and what is `{usual}`, a clause of its own.

use std::sync::Arc;

use serde::Deserialize;
use watchfire_event::{AlertKind, Query, Severity, time::parse_duration_ns};

use crate::detectors::{DETECTORS, Make};
use crate::entity::kind_of;
use crate::finding::Source;
use crate::intel::IntelSet;
use crate::ruleset::{RuleFault, RuleFile, RuleInfo, RuleKind};

/// Kinds that look at more than the entity.
const PAIRED: [&str; 3] = ["first_seen", "log_template", "payload"];

/// From when on a detector speaks.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Thresholds {
    /// -log10 p from which on a finding is raised; first_seen 2, rate and payload 6,
    /// log_template 3.5, token_use 5, unissued 5.5, new_place and reach 4.5, silence, beacon and
    /// takeover 4, volume 3.6, cardinality 6; walk: log10 of a likelihood ratio, 10; spree: 0.
    pub(crate) min_score: Option<f64>,
    /// first_seen: events of an entity, or of its group, before it is judged.
    pub(crate) min_events: u64,
    /// first_seen: other entities of the group known before one without history is judged by it.
    pub(crate) min_peers: u64,
    /// log_template: lines of a service before it is judged, 10,000.
    pub(crate) min_lines: Option<u64>,
    /// rate, reach, spree: events, payload: strange values in a window below which nothing is said.
    pub(crate) min_count: u64,
    /// rate: complete windows of all entities of the group before anyone is judged.
    pub(crate) min_windows: u64,
    /// Entities remembered; beyond, those seen least recently are forgotten.
    pub(crate) max_entities: usize,
    /// first_seen: pairs remembered; beyond, the oldest generation is forgotten.
    pub(crate) max_pairs: usize,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds {
            min_score: None,
            min_events: 50,
            min_peers: 3,
            min_lines: None,
            min_count: 10,
            min_windows: 20,
            max_entities: 50_000,
            max_pairs: 1_000_000,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Vec<String> {
    fn from(value: OneOrMany) -> Self {
        match value {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        }
    }
}

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    detector: String,
    id: String,
    title: String,
    description: Option<String>,
    #[serde(alias = "level")]
    severity: Option<String>,
    status: Option<String>,
    author: Option<String>,
    #[serde(default)]
    references: Vec<String>,
    #[serde(default)]
    falsepositives: Vec<String>,
    /// For people who get the alert; not read here.
    #[serde(default, rename = "runbook")]
    _runbook: Option<String>,
    #[serde(default, rename = "date")]
    _date: Option<String>,
    #[serde(default, rename = "modified")]
    _modified: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    filter: Option<String>,
    entity: Option<OneOrMany>,
    kind: Option<String>,
    pair: Option<OneOrMany>,
    group: Option<OneOrMany>,
    window: Option<String>,
    #[serde(default)]
    thresholds: Thresholds,
    summary: Option<String>,
}

/// A detector's configuration, checked.
pub(crate) struct DetectorConfig {
    pub(crate) id: String,
    pub(crate) make: Make,
    pub(crate) source: Arc<Source>,
    pub(crate) filter: Option<Query>,
    pub(crate) entity: Vec<String>,
    pub(crate) kind: String,
    pub(crate) pair: Vec<String>,
    pub(crate) group: Vec<String>,
    pub(crate) window_ns: i64,
    pub(crate) thresholds: Thresholds,
    pub(crate) summary: Option<String>,
    description: Option<String>,
    status: Option<String>,
    author: Option<String>,
    references: Vec<String>,
    falsepositives: Vec<String>,
}

impl std::fmt::Debug for DetectorConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DetectorConfig({})", self.id)
    }
}

impl DetectorConfig {
    /// Reads the documents of a detector file.
    pub(crate) fn read(file: &RuleFile, lists: &IntelSet) -> (Vec<DetectorConfig>, Vec<RuleFault>) {
        let (mut configs, mut faults) = (Vec::new(), Vec::new());
        for document in yaml_serde::Deserializer::from_str(&file.text) {
            let fault = |line: Option<u32>, code, message| RuleFault {
                path: file.path.clone(),
                line,
                code,
                message,
            };
            match Raw::deserialize(document) {
                Ok(raw) => match DetectorConfig::check(raw, lists) {
                    Ok(config) => configs.push(config),
                    Err((key, message)) => {
                        let line = line_of(&file.text, key);
                        faults.push(fault(line, "invalid_detector", message));
                    }
                },
                Err(error) => {
                    let line = error.location().and_then(|l| u32::try_from(l.line()).ok());
                    faults.push(fault(line, "invalid_detector", error.to_string()));
                    // What follows a syntax error cannot be trusted.
                    break;
                }
            }
        }
        (configs, faults)
    }

    fn check(raw: Raw, lists: &IntelSet) -> Result<DetectorConfig, (&'static str, String)> {
        let Some(kind) = DETECTORS.iter().find(|kind| kind.name == raw.detector) else {
            let known: Vec<_> = DETECTORS.iter().map(|kind| kind.name).collect();
            let known = known.join(", ");
            return Err((
                "detector",
                format!("no detector {}; there are {known}", raw.detector),
            ));
        };
        let severity = raw.severity.as_deref().unwrap_or("medium");
        let severity = Severity::parse(severity)
            .ok_or_else(|| ("severity", format!("no severity is called {severity}")))?;
        let filter = filter_of(raw.filter.as_deref(), lists)?;
        let mut entity = raw.entity.map(Vec::from).unwrap_or_default();
        let pair = raw.pair.map(Vec::from).unwrap_or_default();
        match (kind.reads, entity.is_empty()) {
            ([], true) => return Err(("entity", "an entity needs a field".to_owned())),
            ([_, ..], false) => {
                let message = format!("{} decides for itself who it is about", kind.name);
                return Err(("entity", message));
            }
            (reads, _) => entity.extend(reads.iter().map(|field| (*field).to_owned())),
        }
        if PAIRED.contains(&raw.detector.as_str()) && pair.is_empty() {
            return Err(("detector", format!("{} needs a pair", raw.detector)));
        }
        let window = raw.window.as_deref().unwrap_or("10m");
        let window_ns = parse_duration_ns(window).filter(|ns| *ns >= 1_000_000_000);
        let window_ns = window_ns.ok_or_else(|| {
            (
                "window",
                format!("{window} is no window of at least a second"),
            )
        })?;
        let first = entity.first().map(String::as_str).unwrap_or_default();
        let about = raw
            .kind
            .unwrap_or_else(|| kind_of(first).unwrap_or(first).to_owned());
        let source = Source {
            detector: raw.id.clone(),
            kind: AlertKind::Statistic,
            title: raw.title,
            severity,
            tags: raw.tags.iter().map(|t| t.to_lowercase()).collect(),
            rule: None,
            condition: None,
        };
        Ok(DetectorConfig {
            id: raw.id,
            make: kind.make,
            source: Arc::new(source),
            filter,
            entity,
            kind: about,
            pair,
            group: raw.group.map(Vec::from).unwrap_or_default(),
            window_ns,
            thresholds: raw.thresholds,
            summary: raw.summary,
            description: raw.description,
            status: raw.status,
            author: raw.author,
            references: raw.references,
            falsepositives: raw.falsepositives,
        })
    }

    /// The clause of evidence queries that its filter makes; none for a filter that lets all pass.
    pub(crate) fn filter_clause(&self) -> Option<String> {
        let filter = self.filter.as_ref().filter(|filter| !filter.is_all());
        filter.map(|filter| format!("({})", filter.text()))
    }

    /// The detector, described.
    pub(crate) fn info(&self, file: &RuleFile) -> RuleInfo {
        let fields = [&self.entity, &self.pair, &self.group]
            .into_iter()
            .flatten()
            .cloned();
        RuleInfo {
            id: self.id.clone(),
            title: self.source.title.clone(),
            kind: RuleKind::Detector,
            severity: self.source.severity,
            status: self.status.clone(),
            logsource: self.filter.as_ref().map_or("*", Query::text).to_owned(),
            tags: self.source.tags.clone(),
            path: file.path.clone(),
            fields: fields.collect(),
            description: self.description.clone(),
            falsepositives: self.falsepositives.clone(),
            references: self.references.clone(),
            author: self.author.clone(),
            pipelines: Vec::new(),
            name: None,
            refs: Vec::new(),
            text: file.text.as_str().into(),
        }
    }
}

/// The filter as a query, or the key at fault and what is wrong with it. It may name threat lists.
fn filter_of(
    text: Option<&str>,
    lists: &IntelSet,
) -> Result<Option<Query>, (&'static str, String)> {
    let parse = |text| Query::parse_with(text, lists);
    text.map(parse).transpose().map_err(|e| {
        let (message, at) = (e.message, e.position);
        let message = format!("the filter is no query: {message} (character {at})");
        ("filter", message)
    })
}

fn line_of(text: &str, key: &str) -> Option<u32> {
    let at_key = |line: &str| {
        line.strip_prefix(key)
            .is_some_and(|rest| rest.starts_with(':'))
    };
    (1u32..)
        .zip(text.lines())
        .find(|(_, line)| at_key(line))
        .map(|(number, _)| number)
}
