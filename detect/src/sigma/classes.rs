//! The classes of log sources that events came from, and the scanner of each.

use std::collections::BTreeSet;

use ahash::{HashMap, RandomState};
use arrow::array::{Array, BooleanBufferBuilder};
use arrow::buffer::BooleanBuffer;
use watchfire_event::{Column, Kind};

use super::SigmaRules;
use super::event::BatchFields;
use super::logsource::{Decides, Facts, LogClass, classify, deciding};
use super::scan::Scanner;
use crate::cells::{Cells, mix};

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
    /// Hashes their values. Randomly seeded: they come from outside.
    hasher: RandomState,
    /// Classes of the last batch.
    last: BTreeSet<usize>,
    /// Day for which the log sources of a class were told.
    told: HashMap<usize, i64>,
}

impl Classes {
    /// What the batch has of each class.
    pub(crate) fn rows(&mut self, rules: &SigmaRules, fields: &BatchFields<'_>) -> Vec<OfClass> {
        let columns = deciding_columns(fields);
        let mut combinations = vec![0; fields.batch().rows()];
        for (place, column) in (1u64..).zip(&columns) {
            column.hash(&mut combinations, place, &self.hasher);
        }
        let mut rows: Vec<OfClass> = Vec::new();
        let mut class_of = Vec::with_capacity(combinations.len());
        for (row, (number, combination)) in (0u32..).zip(combinations).enumerate() {
            let class = self.of_row(rules, &columns, combination, row);
            class_of.push(class);
            if rows.len() <= class {
                rows.resize_with(class + 1, OfClass::default);
            }
            if let Some(of_class) = rows.get_mut(class) {
                of_class.rows.push(number);
            }
        }
        find_columns(&mut rows, &class_of, fields.batch().columns());
        let classes = rows.iter().enumerate();
        let classes = classes.filter(|(_, of_class)| !of_class.rows.is_empty());
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

    fn of_row(
        &mut self,
        rules: &SigmaRules,
        columns: &[DecidingColumn<'_>],
        combination: u64,
        row: usize,
    ) -> usize {
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

/// What a batch has of a class.
#[derive(Debug, Default)]
pub(crate) struct OfClass {
    /// Its rows, rising.
    pub(crate) rows: Vec<u32>,
    /// The columns that have a value in one of them, rising.
    pub(crate) columns: Vec<usize>,
}

/// Finds the columns of each class: of the many that a batch of many sources has, few.
fn find_columns(classes: &mut [OfClass], class_of: &[usize], columns: &[Column]) {
    let there = classes
        .iter()
        .filter(|class| !class.rows.is_empty())
        .count();
    // By class: the column that was found to have a value last.
    let mut last = vec![usize::MAX; classes.len()];
    for (number, column) in columns.iter().enumerate() {
        if there <= 1 || column.count() == column.rows() {
            classes.iter_mut().for_each(|of| of.columns.push(number));
            continue;
        }
        let mut found = 0;
        let mut rows = column.rows_with_value();
        let _ = rows.try_for_each(|row| {
            let class = *class_of.get(row)?;
            let (last, of) = (last.get_mut(class)?, classes.get_mut(class)?);
            if *last != number {
                *last = number;
                of.columns.push(number);
                found += 1;
            }
            // All are known to have it.
            (found < there).then_some(())
        });
    }
}

/// A deciding field that the batch has.
struct DecidingColumn<'a> {
    field: &'static str,
    columns: Deciding<'a>,
}

enum Deciding<'a> {
    Values(Vec<&'a Column>),
    Presence(BooleanBuffer),
}

fn deciding_columns<'a>(fields: &BatchFields<'a>) -> Vec<DecidingColumn<'a>> {
    let all = fields.batch().columns();
    let rows = fields.batch().rows();
    let mut out = Vec::new();
    for (field, decides) in deciding() {
        let found = match field.strip_suffix('.') {
            Some(above) => fields.below(above),
            None => fields.named(field).to_vec(),
        };
        if found.is_empty() {
            continue;
        }
        let found = found.iter().filter_map(|i| all.get(*i));
        let columns = match decides {
            Decides::Value => Deciding::Values(found.collect()),
            Decides::Presence => {
                let mut any = BooleanBufferBuilder::new(rows);
                any.append_n(rows, false);
                for column in found {
                    column
                        .rows_with_value()
                        .for_each(|row| any.set_bit(row, true));
                }
                Deciding::Presence(any.finish())
            }
        };
        out.push(DecidingColumn { field, columns });
    }
    out
}

impl DecidingColumn<'_> {
    /// Mixes what each row has of this field, which is number `place`, into the row's hash.
    fn hash(&self, hashes: &mut [u64], place: u64, hasher: &RandomState) {
        match &self.columns {
            Deciding::Values(columns) => {
                for column in columns {
                    hash_values(column, hasher, &mut |row, value| {
                        if let Some(hash) = hashes.get_mut(row) {
                            *hash = mix(mix(*hash, place), value);
                        }
                    });
                }
            }
            Deciding::Presence(any) => {
                for row in any.set_indices() {
                    if let Some(hash) = hashes.get_mut(row) {
                        *hash = mix(*hash, place);
                    }
                }
            }
        }
    }

    fn tell(&self, facts: &mut Facts, row: usize) {
        match &self.columns {
            Deciding::Values(columns) => {
                for column in columns.iter().filter(|column| column.has_value(row)) {
                    if let Some(cells) = Cells::of(column) {
                        cells.texts(row, &mut |text| facts.add(self.field, text));
                    }
                }
            }
            Deciding::Presence(any) => {
                if any.value(row) {
                    facts.add(self.field, "");
                }
            }
        }
    }
}

/// Gives `add` the rows that have a value with its hash (of a list: of all members). A text that
/// comes again is hashed once.
fn hash_values(column: &Column, hasher: &RandomState, add: &mut dyn FnMut(usize, u64)) {
    let sparse = column.sparse_texts().filter(|_| column.kind == Kind::Str);
    if let Some(texts) = sparse {
        let mut distinct = vec![None; texts.count()];
        texts.each(|row, code| {
            if let Some(known) = distinct.get_mut(code) {
                let of = || hasher.hash_one(texts.text(code));
                add(row, *known.get_or_insert_with(of));
            }
        });
        return;
    }
    let Some(cells) = Cells::of(column) else {
        return;
    };
    if let Cells::Str { keys, values } = cells {
        let mut distinct = vec![None; values.len()];
        for row in column.rows_with_value() {
            let code = usize::try_from(keys.value(row)).unwrap_or(0);
            if let Some(known) = distinct.get_mut(code) {
                let of = || hasher.hash_one(values.value(code));
                add(row, *known.get_or_insert_with(of));
            }
        }
        return;
    }
    for row in column.rows_with_value() {
        let mut all = 0;
        cells.texts(row, &mut |text| all = mix(all, hasher.hash_one(text)));
        add(row, all);
    }
}
