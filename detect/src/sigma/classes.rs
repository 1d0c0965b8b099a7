//! The classes of log sources that events came from, and the scanner of each.

use std::collections::{BTreeSet, HashMap};

use super::SigmaRules;
use super::event::BatchFields;
use super::logsource::{Decides, Facts, LogClass, classify, deciding};
use super::scan::Scanner;
use crate::cells::{Cells, HashedCells, mix};

/// Combinations of deciding fields remembered; beyond, all are forgotten and found again.
const MAX_COMBINATIONS: usize = 16_384;
/// What scanners may remember together, bytes; beyond, all is forgotten.
const MAX_REMEMBERED: usize = 32 << 20;

/// Classes of the events seen so far.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    /// Scanner of each class, `None` where no rule may see its events.
    pub(crate) scanners: Vec<Option<Scanner>>,
    by_class: HashMap<LogClass, usize>,
    /// Class by hash of the deciding fields.
    by_combination: HashMap<u64, usize>,
    /// Classes of the last batch.
    last: BTreeSet<usize>,
    /// Day for which the log sources of a class were told.
    told: HashMap<usize, i64>,
}

impl Classes {
    /// The rows of the batch by class, each rising.
    pub(crate) fn rows(&mut self, rules: &SigmaRules, fields: &BatchFields<'_>) -> Vec<Vec<u32>> {
        let columns = deciding_columns(fields);
        let mut rows: Vec<Vec<u32>> = Vec::new();
        for (row, number) in (0..fields.batch().rows()).zip(0u32..) {
            let class = self.of_row(rules, &columns, row);
            if rows.len() <= class {
                rows.resize_with(class + 1, Vec::new);
            }
            if let Some(rows) = rows.get_mut(class) {
                rows.push(number);
            }
        }
        let classes = rows.iter().enumerate();
        let classes = classes.filter(|(_, rows)| !rows.is_empty());
        self.last = classes.map(|(class, _)| class).collect();
        rows
    }

    /// Tells the log sources of rules that the last batch had events of, each once a day.
    pub(crate) fn log_sources(&mut self, rules: &SigmaRules, day: i64, tell: &mut dyn FnMut(&str)) {
        for (class, index) in &self.by_class {
            if self.last.contains(index) && self.told.insert(*index, day) != Some(day) {
                rules.log_sources(class).iter().for_each(|name| tell(name));
            }
        }
    }

    /// What all scanners remember, bytes, about.
    pub(crate) fn remembered(&self) -> usize {
        self.scanners.iter().flatten().map(Scanner::bytes).sum()
    }

    /// Rules that are looked at in every row of a class.
    pub(crate) fn open_rules(&self) -> usize {
        let scanners = self.scanners.iter().flatten();
        scanners.map(|s| s.program.open.len()).sum()
    }

    /// Forgets all that scanners remember if it is too much.
    pub(crate) fn tidy(&mut self) {
        if self.remembered() > MAX_REMEMBERED {
            self.scanners.iter_mut().flatten().for_each(Scanner::forget);
        }
    }

    fn of_row(&mut self, rules: &SigmaRules, columns: &[DecidingColumn<'_>], row: usize) -> usize {
        let combination = columns
            .iter()
            .enumerate()
            .fold(0, |hash, (i, c)| c.hash(hash, i, row));
        if let Some(index) = self.by_combination.get(&combination) {
            return *index;
        }
        let mut facts = Facts::default();
        columns
            .iter()
            .for_each(|column| column.tell(&mut facts, row));
        let class = classify(&facts, rules.unknown_names());
        let index = match self.by_class.get(&class) {
            Some(index) => *index,
            None => {
                let program = rules.program(&class);
                self.scanners.push(program.map(Scanner::new));
                self.by_class.insert(class, self.scanners.len() - 1);
                self.scanners.len() - 1
            }
        };
        if self.by_combination.len() >= MAX_COMBINATIONS {
            self.by_combination.clear();
        }
        self.by_combination.insert(combination, index);
        index
    }
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
