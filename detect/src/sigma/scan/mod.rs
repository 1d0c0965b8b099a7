//! Runs a program over the rows of a batch.
//!
//! First the groups of tests that anchor rules are asked about all rows, a distinct value once.
//! Nearly always nothing holds. Where something does, the rules that it anchors are evaluated, and
//! what else they ask about is found out for these rows alone.

mod values;

use std::sync::Arc;

use arrow::array::Array;
use rsigma_eval::evaluate_rule;
use watchfire_event::Kind;

use super::book::{NameBook, Stem};
use super::classes::OfClass;
use super::event::{BatchFields, Lookup, RowEvent};
use super::memory::{Memory, NOTHING};
use super::names::stems;
use super::program::Program;
use super::program::expr::{Facts, Place};
use super::program::lookup::Room;
use super::value::any_json_text;
use crate::cells::Cells;
use crate::cost::{SAMPLE, Watch};

/// A program with what it remembers of values.
#[derive(Debug)]
pub(crate) struct Scanner {
    pub(crate) program: Arc<Program>,
    memory: Memory,
    room: Room,
    touched: Touched,
    spent: Spent,
}

/// By place of a rule: rows in which it was decided, and the seconds that took.
pub(crate) type Spent = Vec<(u64, f64)>;

/// The fields of a program that a column can be of, by the stems of its name.
#[derive(Debug, Default)]
struct Touched {
    /// By number of the stem; `None` where nobody has asked yet.
    by_stem: Vec<Option<Box<[u32]>>>,
    /// The book whose numbers these are.
    book: u64,
}

impl Touched {
    fn fields(&mut self, book: &NameBook, stem: Stem, program: &Program) -> &[u32] {
        if self.book != book.id() {
            *self = Touched {
                book: book.id(),
                ..Touched::default()
            };
        }
        let place = stem as usize;
        if self.by_stem.len() <= place {
            self.by_stem.resize_with(place + 1, || None);
        }
        let known = self.by_stem.get_mut(place);
        let find = || program.fields_of(std::iter::once(book.text(stem))).into();
        known.map_or(&[], |known| known.get_or_insert_with(find))
    }
}

impl Scanner {
    /// Remembers nothing yet.
    pub(crate) fn new(program: Arc<Program>) -> Self {
        Scanner {
            memory: Memory::new(program.groups.len()),
            room: Room::default(),
            touched: Touched::default(),
            spent: Vec::new(),
            program,
        }
    }

    /// What it remembers, bytes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// Forgets all values.
    pub(crate) fn forget(&mut self) {
        self.memory.forget();
    }

    /// The ways in which the rows of the class have the program's fields; none for fields that
    /// they have not.
    pub(crate) fn ways(&mut self, fields: &BatchFields<'_>, of: &OfClass) -> Vec<Vec<Lookup>> {
        let program = &self.program;
        let mut found: Vec<u32> = Vec::new();
        for stem in of
            .columns
            .iter()
            .flat_map(|column| fields.stems_of(*column))
        {
            found.extend(self.touched.fields(fields.book(), *stem, program));
        }
        found.sort_unstable();
        found.dedup();
        let mut ways = Vec::new();
        ways.resize_with(program.fields.len(), Vec::new);
        for field in found {
            let names = program.fields.get(field as usize);
            if let (Some(names), Some(ways)) = (names, ways.get_mut(field as usize)) {
                *ways = fields.resolve(names);
            }
        }
        ways
    }

    /// What deciding rules took in the last batch, if it was measured.
    pub(crate) fn spent(&mut self) -> Spent {
        std::mem::take(&mut self.spent)
    }

    /// Rules that match, with the rows in which they do: rising by row, then by place of the rule.
    pub(crate) fn matches(
        &mut self,
        fields: &BatchFields<'_>,
        ways: &[Vec<Lookup>],
        of: &OfClass,
        watch: Watch,
    ) -> Vec<(u32, u32)> {
        self.memory.tidy();
        let program = Arc::clone(&self.program);
        let mut scan = Scan::new(&program, self, fields, ways);
        let is_theirs = |column: &&usize| of.columns.binary_search(column).is_ok();
        let columns = fields.keyword_columns().iter().filter(is_theirs);
        scan.keyword_columns = columns.copied().collect();
        let candidates = scan.candidates(&Rows::new(&of.rows, fields.batch().rows()));
        let matched = scan.decide(&of.rows, candidates, watch);
        let spent = std::mem::take(&mut scan.spent);
        self.spent = spent;
        matched
    }
}

/// Rows of a class.
struct Rows<'r> {
    all: &'r [u32],
    /// By row; empty when all rows are of the class.
    chosen: Vec<bool>,
}

impl<'r> Rows<'r> {
    fn new(all: &'r [u32], rows: usize) -> Self {
        let mut chosen = Vec::new();
        if all.len() < rows {
            chosen.resize(rows, false);
            for row in all {
                if let Some(chosen) = chosen.get_mut(*row as usize) {
                    *chosen = true;
                }
            }
        }
        Rows { all, chosen }
    }

    fn has(&self, row: usize) -> bool {
        self.chosen.is_empty() || self.chosen.get(row) == Some(&true)
    }

    /// Visits the rows that have something in the column: of most columns, few.
    fn with_value(&self, fields: &BatchFields<'_>, column: usize, visit: &mut dyn FnMut(u32)) {
        let Some(column) = fields.batch().columns().get(column) else {
            return;
        };
        if column.count() == column.rows() {
            self.all.iter().for_each(|row| visit(*row));
            return;
        }
        column.rows_with_value().for_each(|row| {
            if self.has(row)
                && let Ok(row) = u32::try_from(row)
            {
                visit(row);
            }
        });
    }
}

/// One run over a batch.
struct Scan<'s> {
    program: &'s Program,
    memory: &'s mut Memory,
    room: &'s mut Room,
    fields: &'s BatchFields<'s>,
    ways: &'s [Vec<Lookup>],
    /// By group: lists by the codes of each column, in the order of the ways; of groups of
    /// keywords by the columns that keywords look at.
    tables: Vec<Vec<Vec<u32>>>,
    /// The columns that keywords look at, of those that the rows have a value in.
    keyword_columns: Vec<usize>,
    /// By group: the list where there is no value.
    absent: Vec<u32>,
    /// By group: the row asked last and its list.
    last: Vec<(usize, u32)>,
    row: usize,
    spent: Spent,
}

impl<'s> Scan<'s> {
    fn new(
        program: &'s Program,
        scanner: &'s mut Scanner,
        fields: &'s BatchFields<'s>,
        ways: &'s [Vec<Lookup>],
    ) -> Self {
        let groups = program.groups.len();
        let memory = &mut scanner.memory;
        let absent = program.groups.iter().map(|group| match group.place {
            Place::Field(_) => memory.list(&group.without_value, program),
            Place::Keywords => NOTHING,
        });
        Scan {
            absent: absent.collect(),
            program,
            memory,
            room: &mut scanner.room,
            fields,
            ways,
            tables: vec![Vec::new(); groups],
            keyword_columns: Vec::new(),
            last: vec![(usize::MAX, NOTHING); groups],
            row: 0,
            spent: Vec::new(),
        }
    }

    /// Rows with lists that anchor rules.
    fn candidates(&mut self, rows: &Rows<'_>) -> Vec<(u32, u32)> {
        let mut found = Vec::new();
        let program = self.program;
        for (number, group) in program.groups.iter().enumerate().filter(|(_, g)| g.anchors) {
            match group.place {
                Place::Field(field) => self.field_candidates(number, field, rows, &mut found),
                Place::Keywords => self.keyword_candidates(number, rows, &mut found),
            }
        }
        for row in rows.all {
            if self.fields.has_overflow(*row as usize) {
                self.overflow_candidates(*row, &mut found);
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn field_candidates(
        &mut self,
        group: usize,
        field: u32,
        rows: &Rows<'_>,
        found: &mut Vec<(u32, u32)>,
    ) {
        let ways = self.ways.get(field as usize).map_or(&[][..], Vec::as_slice);
        let fields = self.fields;
        let mut ask = |row: u32| {
            let list = self.list(group, row as usize);
            if !self.memory.rules(list).is_empty() {
                found.push((row, list));
            }
        };
        match ways {
            [] => {}
            [Lookup::Columns(columns)] if let [column] = &columns[..] => {
                rows.with_value(fields, *column, &mut ask);
            }
            // A test that anchors rules holds for a value only: rows without any need no look.
            _ => {
                let mut columns = Vec::new();
                ways.iter().for_each(|way| way.columns(&mut columns));
                let all = fields.batch().columns();
                let counts = columns.iter().filter_map(|i| Some(all.get(*i)?.count()));
                match counts.sum::<usize>() < rows.all.len() {
                    true => columns
                        .iter()
                        .for_each(|column| rows.with_value(fields, *column, &mut ask)),
                    false => rows.all.iter().for_each(|row| ask(*row)),
                }
            }
        }
    }

    fn keyword_candidates(&mut self, group: usize, rows: &Rows<'_>, found: &mut Vec<(u32, u32)>) {
        let fields = self.fields;
        for place in 0..self.keyword_columns.len() {
            let Some(column) = self.keyword_columns.get(place).copied() else {
                continue;
            };
            if self.sparse_candidates(group, (place, column), rows, found) {
                continue;
            }
            if let Some(Cells::Str { keys, values }) = fields.cells(column) {
                let sizes = (values.len(), keys.len());
                rows.with_value(fields, column, &mut |row| {
                    let code = usize::try_from(keys.value(row as usize)).unwrap_or(0);
                    let text = || values.value(code);
                    let list = self.of_code(group, (place, code), sizes, text);
                    if !self.memory.rules(list).is_empty() {
                        found.push((row, list));
                    }
                });
                continue;
            }
            rows.with_value(fields, column, &mut |row| {
                self.keywords_in(group, (place, column), row as usize, &mut |memory, list| {
                    if !memory.rules(list).is_empty() {
                        found.push((row, list));
                    }
                    false
                });
            });
        }
    }

    /// The same for the texts of a column that has no array: of many it need not be made. False
    /// where it has one.
    fn sparse_candidates(
        &mut self,
        group: usize,
        (place, column): (usize, usize),
        rows: &Rows<'_>,
        found: &mut Vec<(u32, u32)>,
    ) -> bool {
        let Some(column) = self.fields.batch().columns().get(column) else {
            return false;
        };
        let Some(texts) = column.sparse_texts() else {
            return false;
        };
        texts.each(|row, code| {
            let Some(number) = u32::try_from(row).ok().filter(|_| rows.has(row)) else {
                return;
            };
            let mut note = |memory: &Memory, list: u32| {
                if !memory.rules(list).is_empty() {
                    found.push((number, list));
                }
            };
            match column.kind {
                Kind::Json => {
                    any_json_text(texts.text(code), &mut |text| {
                        let list = self.of_text(group, text);
                        note(self.memory, list);
                        false
                    });
                }
                Kind::StrList => {
                    let list = self.of_text(group, texts.text(code));
                    note(self.memory, list);
                }
                _ => {
                    let sizes = (texts.count(), column.rows());
                    let list = self.of_code(group, (place, code), sizes, || texts.text(code));
                    note(self.memory, list);
                }
            }
        });
        true
    }

    /// A row with fields that have no column: all that these fields can be, and their texts.
    fn overflow_candidates(&mut self, row: u32, found: &mut Vec<(u32, u32)>) {
        let Some(overflow) = self.fields.overflow(row as usize) else {
            return;
        };
        let members = overflow.as_object();
        let names: Vec<String> = members
            .into_iter()
            .flat_map(|members| members.keys().map(|name| name.to_lowercase()))
            .collect();
        let program = self.program;
        let fields = program.fields_of(names.iter().flat_map(|name| stems(name)));
        for (number, group) in program.groups.iter().enumerate().filter(|(_, g)| g.anchors) {
            match group.place {
                Place::Field(field) if fields.binary_search(&field).is_ok() => {
                    found.push((row, self.list(number, row as usize)));
                }
                Place::Field(_) => {}
                Place::Keywords => {
                    self.fields.any_overflow_text(row as usize, &mut |text| {
                        found.push((row, self.of_text(number, text)));
                        false
                    });
                }
            }
        }
    }

    /// Evaluates the rules that can be true.
    fn decide(
        &mut self,
        rows: &[u32],
        candidates: Vec<(u32, u32)>,
        watch: Watch,
    ) -> Vec<(u32, u32)> {
        let mut matched = Vec::new();
        let mut rules: Vec<u32> = Vec::new();
        let mut candidates = candidates.into_iter().peekable();
        let program = self.program;
        let open = &program.open;
        let every: &[u32] = if open.is_empty() { &[] } else { rows };
        let mut every = every.iter().copied().peekable();
        loop {
            let next = candidates.peek().map(|(row, _)| *row);
            let Some(row) = next.into_iter().chain(every.peek().copied()).min() else {
                return matched;
            };
            every.next_if_eq(&row);
            rules.clear();
            rules.extend(open);
            while let Some((_, list)) = candidates.next_if(|(of, _)| *of == row) {
                rules.extend(self.memory.rules(list));
            }
            rules.sort_unstable();
            rules.dedup();
            self.row = row as usize;
            for place in &rules {
                let rule = program.rules.get(*place as usize);
                let start = watch.now();
                if rule.is_some_and(|rule| rule.expr.holds(self)) {
                    matched.push((row, *place));
                }
                if watch.is_on() {
                    self.note_spent(*place, watch.since(start));
                }
            }
        }
    }
}

impl Scan<'_> {
    fn note_spent(&mut self, place: u32, seconds: f64) {
        if self.spent.is_empty() {
            self.spent.resize(self.program.rules.len(), (0, 0.0));
        }
        if let Some((asked, spent)) = self.spent.get_mut(place as usize) {
            *asked += SAMPLE;
            *spent += seconds;
        }
    }
}

impl Facts for Scan<'_> {
    fn test(&mut self, test: u32) -> bool {
        let group = self.program.group_of.get(test as usize);
        let group = group.map_or(usize::MAX, |group| *group as usize);
        if matches!(self.program.groups.get(group), Some(g) if g.place == Place::Keywords) {
            return self.keyword_lists(group, self.row, &mut |memory, list| memory.has(list, test));
        }
        let list = self.list(group, self.row);
        self.memory.has(list, test)
    }

    fn row_part(&mut self, part: u32) -> bool {
        let event = RowEvent::new(self.fields, self.program.family, self.row);
        let part = self.program.row_parts.get(part as usize);
        part.is_some_and(|part| evaluate_rule(&part.rule, &event).is_some())
    }
}
