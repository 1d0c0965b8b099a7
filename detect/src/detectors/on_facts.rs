//! Detectors that look at [`Fact`]s: what they need to speak.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use watchfire_event::Query;

use super::config::DetectorConfig;
use super::{About, Detector, Learned, Observed, fuse, restored, save_state};
use crate::calibrate::rounded;
use crate::calibration::Calibration;
use crate::entity::{self, Entity};
use crate::facts::{Fact, Names};
use crate::finding::Finding;
use crate::sigma::event::BatchFields;
use crate::state::StateError;

/// A detector as its file writes it: one fact after the other.
pub(crate) trait FactDetector: Send {
    /// Everything learned.
    type State: Serialize + DeserializeOwned;

    fn config(&self) -> &Arc<DetectorConfig>;

    /// Scores a fact that passes the filter, and learns from it.
    fn fact(&mut self, at: &At<'_>, out: &mut Vec<Finding>);

    /// Takes in a fact that the filter leaves out. Most know only what passes it.
    fn passed_over(&mut self, _at: &At<'_>, _out: &mut Vec<Finding>) {}

    fn state(&self) -> &Self::State;

    fn set_state(&mut self, state: Self::State);

    /// Forgets words that name what `query` asks for. Most keep hashes and counts only, from which
    /// no value can be read.
    fn forget(&mut self, _query: &Query) {}

    /// The p-values of its windows; `None` for a score that is no probability.
    fn calibration(&self) -> Option<&Calibration>;

    /// See [`Detector::learning`].
    fn learning(&self, _about: &About<'_>) -> Option<Learned> {
        None
    }

    fn state_bytes(&self) -> usize;
}

/// A fact and what is needed to speak about it.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) fact: &'a Fact,
    pub(crate) names: &'a Names,
    /// The batch it is from; names the fields of evidence queries.
    pub(crate) fields: Option<&'a BatchFields<'a>>,
}

/// What a detector has to say.
pub(crate) struct Says {
    /// Kind of the entity that it is about.
    pub(crate) kind: &'static str,
    pub(crate) value: String,
    pub(crate) score: f64,
    pub(crate) summary: String,
    pub(crate) baseline: Value,
    /// First event time it speaks of.
    pub(crate) since_ns: i64,
    /// Earlier events that it rests on.
    pub(crate) evidence: Vec<u64>,
    /// How many events it stands for.
    pub(crate) weight: u64,
    /// Clauses of the query that finds the events again.
    pub(crate) clauses: Vec<String>,
    /// Who is named; kind and value.
    pub(crate) entities: BTreeMap<String, String>,
    /// Others that are named besides.
    pub(crate) others: Vec<(String, String)>,
}

impl<'a> At<'a> {
    /// The words of a hash, or a stand-in for what was forgotten.
    pub(crate) fn name(&self, hash: u64) -> &'a str {
        self.names.of(hash).unwrap_or("?")
    }

    /// Everything that the row names.
    pub(crate) fn entities(&self) -> BTreeMap<String, String> {
        let fact = self.fact;
        let kinds = [
            ("user", fact.user),
            ("ip", fact.ip),
            ("token", fact.token),
            ("service", fact.service),
            ("route", fact.route),
            ("host", fact.host),
            ("asn", fact.asn),
            ("client", fact.client),
            ("tenant", fact.tenant),
        ];
        let known = kinds.iter().filter_map(|(kind, hash)| {
            let name = self.names.of(*hash).filter(|_| *hash != 0)?;
            Some(((*kind).to_owned(), name.to_owned()))
        });
        let mut all: BTreeMap<_, _> = known.collect();
        if fact.caller != 0 {
            let callee = if fact.domain != 0 {
                fact.domain
            } else {
                fact.service
            };
            let edge = format!("{}>{}", self.name(fact.caller), self.name(callee));
            all.insert("edge".to_owned(), edge);
        }
        all
    }

    /// A clause that holds where the entity of `kind` is `value`.
    pub(crate) fn clause(&self, kind: &str, value: &str) -> String {
        let row = self.fact.row as usize;
        let named = self
            .fields
            .and_then(|fields| entity::field_of(fields, kind, row));
        let first = || entity::fields_of(kind).first().copied().unwrap_or(kind);
        Query::field_equals(named.as_deref().unwrap_or_else(first), value)
    }

    /// What is said about an entity of this row, with the row's entities named.
    pub(crate) fn says(&self, kind: &'static str, value: &str, score: f64) -> Says {
        Says {
            kind,
            value: value.to_owned(),
            score,
            summary: String::new(),
            baseline: Value::Null,
            since_ns: self.fact.time_ns,
            evidence: Vec::new(),
            weight: 1,
            clauses: vec![self.clause(kind, value)],
            entities: self.entities(),
            others: Vec::new(),
        }
    }

    /// The finding; `None` when its score is below the detector's threshold.
    pub(crate) fn finding(&self, config: &DetectorConfig, says: Says) -> Option<Finding> {
        let score = rounded(says.score);
        let wanted = config.thresholds.min_score.unwrap_or(0.0);
        let mut clauses = says.clauses;
        clauses.extend(config.filter_clause());
        (score >= wanted).then(|| Finding {
            source: Arc::clone(&config.source),
            row: self.fact.row as usize,
            seq: self.fact.seq,
            time_ns: self.fact.time_ns,
            since_ns: says.since_ns,
            entity: Entity::new(says.kind, &says.value),
            entities: says.entities,
            score,
            fused: None,
            summary: says.summary,
            baseline: says.baseline.into(),
            clauses,
            evidence: says.evidence,
            weight: says.weight,
            others: says.others,
            within_ns: None,
        })
    }
}

/// A detector on facts, as the engine uses it.
pub(crate) struct OnFacts<D>(pub(crate) D);

impl<D: FactDetector> Detector for OnFacts<D> {
    fn observe(&mut self, batch: &Observed<'_>, findings: &mut Vec<Finding>) {
        let config = Arc::clone(self.0.config());
        let mask = config
            .filter
            .as_ref()
            .map(|query| query.matches(batch.fields.batch()));
        for fact in &batch.facts.rows {
            let at = At {
                fact,
                names: batch.names,
                fields: Some(batch.fields),
            };
            let passes = mask
                .as_ref()
                .is_none_or(|mask| mask.value(fact.row as usize));
            let before = findings.len();
            match passes {
                true => self.0.fact(&at, findings),
                false => self.0.passed_over(&at, findings),
            }
            for finding in findings.iter_mut().skip(before) {
                fuse(finding, self.0.calibration());
            }
        }
    }

    fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        save_state(self.0.state(), out)
    }

    fn restore(&mut self, state: Value) -> Result<(), StateError> {
        self.0.set_state(restored(self.0.config(), state)?);
        Ok(())
    }

    fn forget(&mut self, query: &Query) {
        self.0.forget(query);
    }

    fn calibration(&self) -> Option<&Calibration> {
        self.0.calibration()
    }

    fn learning(&self, about: &About<'_>) -> Option<Learned> {
        self.0.learning(about)
    }

    fn memory_bytes(&self) -> usize {
        self.0.state_bytes()
    }
}
