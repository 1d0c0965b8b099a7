//! What the tests of a group say of a row's value, whatever the value is made of.

use std::borrow::Cow;

use arrow::array::Array;
use rsigma_eval::{Event, EventValue};

use super::Scan;
use crate::cells::Cells;
use crate::sigma::event::{BatchFields, Lookup, RowEvent};
use crate::sigma::memory::{Memory, NOTHING};
use crate::sigma::program::expr::Place;

/// Not found out yet.
const UNKNOWN: u32 = u32::MAX;
/// Texts of a column that stand in fewer rows than this, on average, are not remembered.
const REPEATS: usize = 2;
/// Of a column with fewer texts than this nothing can be said.
const FEW: usize = 64;

/// What the columns of a way tell of a row.
enum Told {
    List(u32),
    /// There is no value.
    Nothing,
    /// There are several, or one that is a list or an object.
    Several,
}

impl Scan<'_> {
    /// The list of the row's value for a group of a field.
    pub(super) fn list(&mut self, group: usize, row: usize) -> u32 {
        let program = self.program;
        let Some(Place::Field(field)) = program.groups.get(group).map(|g| g.place) else {
            return NOTHING;
        };
        let ways = self.ways.get(field as usize).map_or(&[][..], Vec::as_slice);
        let mut first_column = 0;
        for way in ways {
            let mut columns = 0;
            if let Lookup::Columns(of) = way {
                columns = of.len();
                match self.of_columns(group, first_column, of, row) {
                    Told::List(list) => return list,
                    Told::Nothing => {
                        first_column += columns;
                        continue;
                    }
                    Told::Several => {}
                }
            }
            first_column += columns;
            if let Some(list) = self.of_way(group, way, row) {
                return list;
            }
        }
        if self.fields.has_overflow(row) {
            return self.of_overflow(group, field, row);
        }
        self.absent.get(group).copied().unwrap_or(NOTHING)
    }

    /// The list by columns of which one has a single value in the row.
    fn of_columns(&mut self, group: usize, first: usize, columns: &[usize], row: usize) -> Told {
        let fields = self.fields;
        let all = columns.iter().enumerate();
        let mut there = all.filter_map(|(place, column)| {
            let cells = fields.cells_at(*column, row)?;
            Some((first + place, cells))
        });
        let Some((place, cells)) = there.next() else {
            return Told::Nothing;
        };
        if there.next().is_some() {
            return Told::Several;
        }
        match cells {
            Cells::Str { keys, values } => {
                let code = usize::try_from(keys.value(row)).unwrap_or(0);
                let sizes = (values.len(), keys.len());
                Told::List(self.of_code(group, (place, code), sizes, || values.value(code)))
            }
            Cells::Int(cells) => Told::List(self.of_number(group, cells.value(row))),
            Cells::Bool(cells) => {
                let code = usize::from(cells.value(row));
                let known = self.code(group, place, code);
                if known != UNKNOWN {
                    return Told::List(known);
                }
                let list = self.of_value(group, &EventValue::Bool(cells.value(row)));
                self.set_code(group, place, code, 2, list);
                Told::List(list)
            }
            _ => Told::Several,
        }
    }

    fn code(&self, group: usize, place: usize, code: usize) -> u32 {
        let table = self.tables.get(group).and_then(|t| t.get(place));
        table.and_then(|t| t.get(code)).copied().unwrap_or(UNKNOWN)
    }

    fn set_code(&mut self, group: usize, place: usize, code: usize, codes: usize, list: u32) {
        let Some(tables) = self.tables.get_mut(group) else {
            return;
        };
        if tables.len() <= place {
            tables.resize_with(place + 1, Vec::new);
        }
        if let Some(table) = tables.get_mut(place) {
            if table.is_empty() {
                table.resize(codes, UNKNOWN);
            }
            if let Some(known) = table.get_mut(code) {
                *known = list;
            }
        }
    }

    /// The list of a value of any kind; `None` when the row has none by this way.
    fn of_way(&mut self, group: usize, way: &Lookup, row: usize) -> Option<u32> {
        if let Some((of, list)) = self.last.get(group)
            && *of == row
        {
            return Some(*list);
        }
        let tests = &self.program.groups.get(group)?.tests;
        let fields = self.fields;
        let mut texts = Vec::new();
        if all_texts(fields, way, row, &mut texts) {
            if texts.is_empty() {
                return None;
            }
            let value = || fields.value(way, row);
            tests.of_texts(&texts, value, fields.lists(), self.room);
        } else {
            tests.of_value(&fields.value(way, row)?, fields.lists(), self.room);
        }
        let list = self.memory.list(&self.room.hits, self.program);
        if let Some(last) = self.last.get_mut(group) {
            *last = (row, list);
        }
        Some(list)
    }

    fn of_overflow(&mut self, group: usize, field: u32, row: usize) -> u32 {
        let name = self.program.fields.get(field as usize).map(|f| &f.name);
        let event = RowEvent::new(self.fields, self.program.family, row);
        match name.and_then(|name| event.get_field(name)) {
            Some(value) => self.of_value(group, &value),
            None => self.absent.get(group).copied().unwrap_or(NOTHING),
        }
    }

    fn of_value(&mut self, group: usize, value: &EventValue<'_>) -> u32 {
        if let Some(group) = self.program.groups.get(group) {
            group.tests.of_value(value, self.fields.lists(), self.room);
        }
        self.memory.list(&self.room.hits, self.program)
    }

    fn of_number(&mut self, group: usize, number: i64) -> u32 {
        if self.asks_lists(group) {
            return self.of_value(group, &EventValue::Int(number));
        }
        if let Some(list) = self.memory.of_number(group, number) {
            return list;
        }
        let list = self.of_value(group, &EventValue::Int(number));
        self.memory.keep_number(group, number, list);
        list
    }

    pub(super) fn of_text(&mut self, group: usize, text: &str) -> u32 {
        if self.asks_lists(group) {
            return self.find_text(group, text);
        }
        if let Some(list) = self.memory.of_text(group, text) {
            return list;
        }
        let list = self.find_text(group, text);
        self.memory.keep_text(group, text, list);
        list
    }

    fn asks_lists(&self, group: usize) -> bool {
        let group = self.program.groups.get(group);
        group.is_some_and(|group| group.lists)
    }

    fn find_text(&mut self, group: usize, text: &str) -> u32 {
        if let Some(of) = self.program.groups.get(group) {
            match of.place {
                Place::Field(_) => of.tests.of_text(text, self.fields.lists(), self.room),
                Place::Keywords => of.tests.of_keyword_text(text, self.room),
            }
        }
        self.memory.list(&self.room.hits, self.program)
    }

    /// Gives the lists of the row's texts to `visit` until it has enough; did it?
    pub(super) fn keyword_lists(
        &mut self,
        group: usize,
        row: usize,
        visit: &mut dyn FnMut(&Memory, u32) -> bool,
    ) -> bool {
        let fields = self.fields;
        let mut columns = 0..self.keyword_columns.len();
        let found = columns.any(|place| {
            let column = self.keyword_columns.get(place).copied();
            column.is_some_and(|column| self.keywords_in(group, (place, column), row, visit))
        });
        found
            || fields.any_overflow_text(row, &mut |text| {
                let list = self.of_text(group, text);
                visit(self.memory, list)
            })
    }

    /// The same for the texts in one column, given with its place among those of keywords.
    pub(super) fn keywords_in(
        &mut self,
        group: usize,
        (place, column): (usize, usize),
        row: usize,
        visit: &mut dyn FnMut(&Memory, u32) -> bool,
    ) -> bool {
        let fields = self.fields;
        let Some(cells) = fields.cells_at(column, row) else {
            return false;
        };
        let Cells::Str { keys, values } = cells else {
            return fields.any_text_of(column, row, &mut |text| {
                let list = self.of_text(group, text);
                visit(self.memory, list)
            });
        };
        let code = usize::try_from(keys.value(row)).unwrap_or(0);
        let sizes = (values.len(), keys.len());
        let list = self.of_code(group, (place, code), sizes, || values.value(code));
        visit(self.memory, list)
    }

    /// The list of a text that the column has as a code; it has so many distinct texts and rows.
    #[inline]
    pub(super) fn of_code<'t>(
        &mut self,
        group: usize,
        (place, code): (usize, usize),
        (distinct, rows): (usize, usize),
        text: impl FnOnce() -> &'t str,
    ) -> u32 {
        let known = self.code(group, place, code);
        if known != UNKNOWN {
            return known;
        }
        // What hardly repeats within a batch hardly repeats from batch to batch.
        let list = if distinct * REPEATS > rows && distinct >= FEW {
            self.find_text(group, text())
        } else {
            self.of_text(group, text())
        };
        self.set_code(group, place, code, distinct, list);
        list
    }
}

/// Collects the texts that the row's value is made of; false when it has parts of other kinds.
fn all_texts<'v>(
    fields: &'v BatchFields<'_>,
    way: &Lookup,
    row: usize,
    out: &mut Vec<Cow<'v, str>>,
) -> bool {
    match way {
        Lookup::Columns(columns) => {
            columns
                .iter()
                .filter_map(|i| fields.cells_at(*i, row))
                .all(|cells| {
                    let is_text = matches!(cells, Cells::Str { .. });
                    if is_text {
                        out.extend(cells.text(row));
                    }
                    is_text || cells.is_null(row)
                })
        }
        Lookup::PathAndQuery { .. } => match fields.value(way, row) {
            Some(EventValue::Str(text)) => {
                out.push(text);
                true
            }
            found => found.is_none(),
        },
        Lookup::All(parts) => parts.iter().all(|part| all_texts(fields, part, row, out)),
        Lookup::Below(_) => false,
    }
}
