//! Runs the rules of a set over batches: classify rows, match, correlate.

use std::collections::HashMap;
use std::sync::Arc;

use rsigma_eval::{Engine, EvaluationResult};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;

use super::SigmaRules;
use super::correlate::{Correlator, CorrelatorState, Match};
use super::event::{BatchFields, RowEvent};
use super::logsource::{Decides, Facts, LogClass, classify, deciding};
use super::taxonomy::Family;
use super::told::correlation_finding;
use crate::cells::{Cells, HashedCells, mix};
use crate::entity::{Entity, EntityReader, about};
use crate::explain::{clauses, explain, rule_summary};
use crate::finding::{Finding, score_of};

/// Combinations of deciding fields remembered; beyond, all are forgotten and found again.
const MAX_COMBINATIONS: usize = 16_384;

/// Rows of a class, and the rules that may see them.
#[derive(Clone)]
struct Class {
    family: Family,
    engine: Option<Arc<Engine>>,
}

/// Rules over a stream of batches.
pub(crate) struct SigmaRun {
    rules: Arc<SigmaRules>,
    classes: Vec<Class>,
    by_class: HashMap<LogClass, usize>,
    /// Class by hash of the deciding fields.
    by_combination: HashMap<u64, usize>,
    correlators: Vec<Correlator>,
}

/// What was learned: the windows of correlations, by the ids of a component's correlations.
#[derive(Default, Deserialize)]
pub(crate) struct SigmaState {
    pub(super) correlators: HashMap<String, CorrelatorState>,
}

/// [`SigmaState`] as it is written: one correlator's windows are copied out at a time.
#[derive(Serialize)]
pub(crate) struct SigmaSaving<'a> {
    correlators: Correlators<'a>,
}

struct Correlators<'a>(&'a SigmaRun);

impl Serialize for Correlators<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.states())
    }
}

/// What a row is read with.
struct Reading<'a> {
    fields: &'a BatchFields<'a>,
    entities: EntityReader,
}

impl SigmaRun {
    /// A run with nothing learned.
    pub(crate) fn new(rules: Arc<SigmaRules>) -> Self {
        let correlators = rules
            .components
            .iter()
            .filter_map(Correlator::new)
            .collect();
        SigmaRun {
            rules,
            classes: Vec::new(),
            by_class: HashMap::new(),
            by_combination: HashMap::new(),
            correlators,
        }
    }

    /// Findings of the batch in the order of its rows. Every match is shown to `admits` by the
    /// rule's id and the row; one that it refuses counts for nothing.
    pub(crate) fn process(
        &mut self,
        fields: &BatchFields<'_>,
        admits: &mut dyn FnMut(&str, usize) -> bool,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        let batch = fields.batch();
        let columns = deciding_columns(fields);
        let reading = Reading {
            fields,
            entities: EntityReader::new(fields),
        };
        for row in 0..batch.rows() {
            let Some(class) = self.class(&columns, row).cloned() else {
                continue;
            };
            let Some(engine) = &class.engine else {
                continue;
            };
            let event = RowEvent::new(fields, class.family, row);
            let mut results = engine.evaluate(&event);
            if results.is_empty() {
                continue;
            }
            results.sort_by(|a, b| a.header.rule_id.cmp(&b.header.rule_id));
            results.retain(|r| admits(r.header.rule_id.as_deref().unwrap_or_default(), row));
            for result in &results {
                let id = result.header.rule_id.as_deref().unwrap_or_default();
                if !self.rules.silent.contains(id) {
                    findings.extend(self.rule_finding(&reading, class.family, result, row));
                }
            }
            for result in &results {
                self.correlate(&reading, event, result, row, &mut findings, admits);
            }
        }
        findings
    }

    fn correlate(
        &mut self,
        reading: &Reading<'_>,
        event: RowEvent<'_>,
        result: &EvaluationResult,
        row: usize,
        findings: &mut Vec<Finding>,
        admits: &mut dyn FnMut(&str, usize) -> bool,
    ) {
        let batch = reading.fields.batch();
        let id = result.header.rule_id.as_deref().unwrap_or_default();
        let Some(components) = self.rules.feeds.get(id) else {
            return;
        };
        let entities = reading.entities.all(reading.fields, row);
        let clauses = clauses(result, reading.fields, event.family(), row);
        let matched_row = Match {
            result,
            time_ns: batch.time().value(row),
            seq: batch.seq().value(row),
            entities: &entities,
            clauses: &clauses,
        };
        for component in components {
            let Some(correlator) = self.correlators.get_mut(*component) else {
                continue;
            };
            for fired in correlator.feed(event, &matched_row) {
                let id = fired.result.header.rule_id.as_deref().unwrap_or_default();
                if !admits(id, row) || self.rules.silent.contains(id) {
                    continue;
                }
                if let Some(source) = self.rules.sources.get(id) {
                    findings.extend(correlation_finding(source, &matched_row, &fired, row));
                }
            }
        }
    }

    fn class(&mut self, columns: &[DecidingColumn<'_>], row: usize) -> Option<&Class> {
        let combination = columns
            .iter()
            .enumerate()
            .fold(0, |hash, (i, c)| c.hash(hash, i, row));
        if let Some(index) = self.by_combination.get(&combination) {
            return self.classes.get(*index);
        }
        let mut facts = Facts::default();
        columns
            .iter()
            .for_each(|column| column.tell(&mut facts, row));
        let class = classify(&facts, &self.rules.unknown);
        let index = match self.by_class.get(&class) {
            Some(index) => *index,
            None => {
                let engine = self.rules.engine(&class);
                self.classes.push(Class {
                    family: class.family,
                    engine,
                });
                self.by_class.insert(class, self.classes.len() - 1);
                self.classes.len() - 1
            }
        };
        if self.by_combination.len() >= MAX_COMBINATIONS {
            self.by_combination.clear();
        }
        self.by_combination.insert(combination, index);
        self.classes.get(index)
    }

    fn rule_finding(
        &self,
        reading: &Reading<'_>,
        family: Family,
        result: &EvaluationResult,
        row: usize,
    ) -> Option<Finding> {
        let fields = reading.fields;
        let source = self.rules.sources.get(result.header.rule_id.as_deref()?)?;
        let entities = reading.entities.all(fields, row);
        let entity = about(&entities);
        let explained = explain(result, fields, family, row);
        let mut clauses = entity_clauses(fields, &entity, row);
        clauses.extend(explained.clauses);
        let time_ns = fields.batch().time().value(row);
        Some(Finding {
            row,
            seq: fields.batch().seq().value(row),
            time_ns,
            since_ns: time_ns,
            score: score_of(source.severity),
            summary: rule_summary(&source.title, &entity, &explained.words),
            baseline: json!({ "matched": explained.matched }),
            source: Arc::clone(source),
            entity,
            entities,
            clauses,
            evidence: Vec::new(),
            weight: 1,
            others: Vec::new(),
            within_ns: None,
        })
    }

    /// Everything learned.
    pub(crate) fn save(&self) -> SigmaState {
        SigmaState {
            correlators: self.states().collect(),
        }
    }

    /// Everything learned, to be written.
    pub(crate) fn saving(&self) -> SigmaSaving<'_> {
        SigmaSaving {
            correlators: Correlators(self),
        }
    }

    fn states(&self) -> impl Iterator<Item = (String, CorrelatorState)> {
        let named = self.rules.components.iter().zip(&self.correlators);
        named.map(|(component, correlator)| (component.name(), correlator.save()))
    }

    /// Goes on from a saved state.
    pub(crate) fn restore(&mut self, mut state: SigmaState) {
        for (component, correlator) in self.rules.components.iter().zip(&mut self.correlators) {
            if let Some(state) = state.correlators.remove(&component.name()) {
                correlator.restore(state);
            }
        }
    }

    /// Matches that came too late for their correlation.
    pub(crate) fn late(&self) -> u64 {
        self.correlators.iter().map(Correlator::late).sum()
    }
}

/// The clause that names the entity, by the field in which the row has it.
fn entity_clauses(fields: &BatchFields<'_>, entity: &Entity, row: usize) -> Vec<String> {
    let field = crate::entity::field_of(fields, &entity.kind, row);
    let clause = field.map(|f| watchfire_event::Query::field_equals(&f, &entity.value));
    clause.into_iter().collect()
}

/// A deciding field that the batch has.
struct DecidingColumn<'a> {
    field: &'static str,
    columns: Deciding<'a>,
}

enum Deciding<'a> {
    Values(Vec<HashedCells<'a>>),
    Presence(Vec<Cells<'a>>),
}

fn deciding_columns<'a>(fields: &BatchFields<'a>) -> Vec<DecidingColumn<'a>> {
    let all = fields.batch().columns();
    let cells = |found: &[usize]| -> Vec<Cells<'a>> {
        found
            .iter()
            .filter_map(|i| Cells::of(all.get(*i)?))
            .collect()
    };
    let mut out = Vec::new();
    for (field, decides) in deciding() {
        let found = match field.strip_suffix('.') {
            Some(above) => cells(&fields.below(above)),
            None => cells(fields.named(field)),
        };
        if found.is_empty() {
            continue;
        }
        let columns = match decides {
            Decides::Value => Deciding::Values(found.into_iter().map(HashedCells::new).collect()),
            Decides::Presence => Deciding::Presence(found),
        };
        out.push(DecidingColumn { field, columns });
    }
    out
}

impl DecidingColumn<'_> {
    fn hash(&self, hash: u64, place: usize, row: usize) -> u64 {
        let place = place as u64 + 1;
        match &self.columns {
            Deciding::Values(columns) => columns
                .iter()
                .filter_map(|c| c.get(row))
                .fold(hash, |hash, value| mix(mix(hash, place), value)),
            Deciding::Presence(columns) if columns.iter().any(|c| !c.is_null(row)) => {
                mix(hash, place)
            }
            Deciding::Presence(_) => hash,
        }
    }

    fn tell(&self, facts: &mut Facts, row: usize) {
        match &self.columns {
            Deciding::Values(columns) => {
                for column in columns {
                    column
                        .cells()
                        .texts(row, &mut |text| facts.add(self.field, text));
                }
            }
            Deciding::Presence(columns) => {
                if columns.iter().any(|c| !c.is_null(row)) {
                    facts.add(self.field, "");
                }
            }
        }
    }
}
