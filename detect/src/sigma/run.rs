//! Runs the rules of a set over batches: classify rows, match, explain, correlate.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::SigmaRules;
use super::classes::Classes;
use super::component::Component;
use super::correlate::{Correlator, CorrelatorState, Match, Windows};
use super::detail::{Accounts, Detail, Details};
use super::event::{BatchFields, RowEvent};
use super::program::Program;
use super::told::correlation_finding;
use crate::cost::{Costs, Watch};
use crate::entity::{Entity, EntityReader, about};
use crate::explain::rule_summary;
use crate::finding::{Finding, Source, score_of};

/// Rules over a stream of batches.
pub(crate) struct SigmaRun {
    rules: Arc<SigmaRules>,
    classes: Classes,
    correlators: Vec<Correlator>,
    accounts: Accounts,
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

/// A match of a rule.
struct Hit {
    row: u32,
    class: usize,
    /// Place of the rule in the program of the class.
    place: u32,
}

/// A row with what several rules need to know of it.
struct Row<'a> {
    fields: &'a BatchFields<'a>,
    reader: &'a EntityReader,
    row: usize,
    entities: OnceCell<BTreeMap<String, String>>,
}

/// Who may take matches, and what is measured meanwhile.
struct Taking<'t> {
    admits: &'t mut dyn FnMut(&str, usize) -> bool,
    watch: Watch,
    costs: &'t mut Costs,
}

impl Taking<'_> {
    /// Notes the time since `start`, if it is measured.
    fn note(&mut self, id: &str, start: f64) {
        if self.watch.is_on() {
            self.costs.add(id, 0, self.watch.since(start));
        }
    }
}

impl Row<'_> {
    fn entities(&self) -> &BTreeMap<String, String> {
        self.entities
            .get_or_init(|| self.reader.all(self.fields, self.row))
    }

    /// The entities for one who is the last to ask.
    fn take_entities(&mut self) -> BTreeMap<String, String> {
        let known = self.entities.take();
        known.unwrap_or_else(|| self.reader.all(self.fields, self.row))
    }
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
            classes: Classes::default(),
            correlators,
            accounts: Accounts::default(),
        }
    }

    /// Findings of the batch in the order of its rows. Every match is shown to `admits` by the
    /// rule's id and the row; one that it refuses counts for nothing. What rules take is noted in
    /// the costs, if it is measured.
    pub(crate) fn process(
        &mut self,
        fields: &BatchFields<'_>,
        (watch, costs): (Watch, &mut Costs),
        admits: &mut dyn FnMut(&str, usize) -> bool,
    ) -> Vec<Finding> {
        let rules = Arc::clone(&self.rules);
        let rows = self.classes.rows(&rules, fields);
        let mut hits = Vec::new();
        let mut scanned: Vec<Option<(Arc<Program>, _)>> = Vec::new();
        for (class, of) in rows.iter().enumerate() {
            let scanner = self.classes.scanners.get_mut(class);
            let scanner = scanner.and_then(Option::as_mut);
            let Some(scanner) = scanner.filter(|_| !of.rows.is_empty()) else {
                scanned.push(None);
                continue;
            };
            let ways = scanner.ways(fields, of);
            let found = scanner.matches(fields, &ways, of, watch).into_iter();
            let spent = scanner.spent();
            rules.note_spent(&scanner.program, &spent, costs);
            hits.extend(found.map(|(row, place)| Hit { row, class, place }));
            scanned.push(Some((Arc::clone(&scanner.program), ways)));
        }
        self.classes.tidy();
        // Stable: of a row, the rules stay in the order of their ids.
        hits.sort_by_key(|hit| hit.row);
        let kept = RefCell::new(std::mem::take(&mut self.accounts));
        let mut details: Vec<Option<Details<'_>>> = scanned
            .iter()
            .map(|scanned| {
                let (program, ways) = scanned.as_ref()?;
                Some(Details::new(&rules, fields, program, ways, &kept))
            })
            .collect();
        let reader = EntityReader::new(fields);
        let mut findings = Vec::new();
        let mut taking = Taking {
            admits,
            watch,
            costs,
        };
        for of_row in hits.chunk_by(|a, b| a.row == b.row) {
            let Some(first) = of_row.first() else {
                continue;
            };
            let mut row = Row {
                fields,
                reader: &reader,
                row: first.row as usize,
                entities: OnceCell::new(),
            };
            if let Some(Some(details)) = details.get_mut(first.class) {
                self.take(&mut row, of_row, details, &mut findings, &mut taking);
            }
        }
        drop(details);
        self.accounts = kept.into_inner();
        findings
    }

    /// Tells the log sources of rules that the last batch had events of, each once a day.
    pub(crate) fn log_sources(&mut self, day: i64, tell: &mut dyn FnMut(&str)) {
        self.classes.log_sources(&self.rules, day, tell);
    }

    /// Takes the matches of a row: first what they say themselves, then what they count for.
    fn take(
        &mut self,
        row: &mut Row<'_>,
        hits: &[Hit],
        details: &mut Details<'_>,
        findings: &mut Vec<Finding>,
        taking: &mut Taking<'_>,
    ) {
        let rules = Arc::clone(&self.rules);
        let hits = hits.iter();
        let hits: Vec<&Hit> = hits
            .filter(|hit| (taking.admits)(details.rule_id(hit.place), row.row))
            .collect();
        let alone = hits.len() == 1;
        for hit in &hits {
            let id = details.rule_id(hit.place);
            let start = taking.watch.now();
            if !rules.silent.contains(id)
                && let Some(source) = rules.sources.get(id)
                && let Some(detail) = details.of(hit.place, row.row)
            {
                let entities = match alone && !rules.feeds.contains_key(id) {
                    true => row.take_entities(),
                    false => row.entities().clone(),
                };
                findings.push(rule_finding(source, row, entities, &detail));
            }
            taking.note(id, start);
        }
        for hit in hits {
            let id = details.rule_id(hit.place);
            if let Some(components) = rules.feeds.get(id) {
                self.correlate(row, (id, hit.place), components, details, findings, taking);
            }
        }
    }

    fn correlate(
        &mut self,
        row: &Row<'_>,
        (id, place): (&str, u32),
        components: &[usize],
        details: &mut Details<'_>,
        findings: &mut Vec<Finding>,
        taking: &mut Taking<'_>,
    ) {
        let batch = row.fields.batch();
        let event = RowEvent::new(row.fields, details.family(), row.row);
        let mut detail: Option<Option<Arc<Detail>>> = None;
        for component in components {
            let Some(correlator) = self.correlators.get_mut(*component) else {
                continue;
            };
            let already = findings.len();
            let start = taking.watch.now();
            let mut values = || {
                let detail = detail.get_or_insert_with(|| details.of(place, row.row));
                let values = detail.as_ref().map(|d| d.values(row.fields, row.row));
                values.unwrap_or_default()
            };
            let mut matched_row = Match {
                rule_id: id,
                time_ns: batch.time().value(row.row),
                received_ns: batch.received().value(row.row),
                seq: batch.seq().value(row.row),
                entities: row.entities(),
                values: &mut values,
                has: &|value| value.is_in(row.fields, row.row),
            };
            for fired in correlator.feed(event, &mut matched_row) {
                if !(taking.admits)(&fired.id, row.row) || self.rules.silent.contains(&fired.id) {
                    continue;
                }
                if let Some(source) = self.rules.sources.get(&fired.id) {
                    findings.push(correlation_finding(source, &matched_row, fired, row.row));
                }
            }
            for finding in findings.iter_mut().skip(already) {
                let detail = detail.get_or_insert_with(|| details.of(place, row.row));
                if let Some(detail) = detail {
                    let matched = &detail.explanation(row.fields, row.row).matched;
                    Arc::make_mut(&mut finding.baseline)["matched"] = matched.clone();
                }
            }
            let component = self.rules.components.get(*component);
            taking.note(component.map_or("", Component::main_id), start);
        }
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

    /// Windows of correlations that are held.
    pub(crate) fn windows(&self) -> Windows {
        let mut held = Windows::default();
        self.correlators.iter().for_each(|c| c.count(&mut held));
        held
    }

    /// Matches that came too late for their correlation.
    pub(crate) fn late(&self) -> u64 {
        self.correlators.iter().map(Correlator::late).sum()
    }

    /// What is remembered of values, bytes, about.
    pub(crate) fn remembered(&self) -> usize {
        self.classes.remembered() + self.accounts.bytes()
    }

    /// Rules that are looked at in every row of a log source, of all log sources seen.
    pub(crate) fn open_rules(&self) -> usize {
        self.classes.open_rules()
    }
}

fn rule_finding(
    source: &Arc<Source>,
    row: &Row<'_>,
    entities: BTreeMap<String, String>,
    detail: &Detail,
) -> Finding {
    let fields = row.fields;
    let entity = about(&entities);
    let explained = detail.explanation(fields, row.row);
    let mut clauses = entity_clauses(row, &entity);
    for clause in &explained.clauses {
        if !clauses.contains(clause) {
            clauses.push(clause.clone());
        }
    }
    let time_ns = fields.batch().time().value(row.row);
    Finding {
        row: row.row,
        seq: fields.batch().seq().value(row.row),
        time_ns,
        since_ns: time_ns,
        score: score_of(source.severity),
        fused: None,
        summary: rule_summary(&source.title, &entity, &explained.words),
        baseline: explained.baseline(source.condition.as_deref()),
        source: Arc::clone(source),
        entity,
        entities,
        clauses,
        evidence: Vec::new(),
        weight: 1,
        others: Vec::new(),
        within_ns: None,
    }
}

/// The clause that names the entity, by the field in which the row has it.
fn entity_clauses(row: &Row<'_>, entity: &Entity) -> Vec<String> {
    let field = row.reader.field_of(row.fields, &entity.kind, row.row);
    let clause = field.map(|f| watchfire_event::Query::field_equals(&f, &entity.value));
    clause.into_iter().collect()
}
