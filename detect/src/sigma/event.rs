//! A row of a batch as the event that rsigma evaluates: fields are read from columns, nothing is
//! turned into JSON.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use rsigma_eval::{Event, EventValue};
use serde_json::Value;
use watchfire_event::{Column, EventBatch, Kind, Origin, field};

use super::book::{BatchNames, Book, ByStem, NameBook, Stem};
use super::listed::{asked, on_list};
use super::names::{FieldNames, Named};
use super::strings::any_string;
use super::taxonomy::{Family, candidates};
use super::value::{any_json_text, json_or_text, json_text, last_segment, owned, push_values};
use crate::cells::{Cells, span};
use crate::intel::IntelSet;

/// The columns of a batch, ready to be read by field name.
pub(crate) struct BatchFields<'a> {
    batch: &'a EventBatch,
    columns: &'a [Column],
    /// Of the columns that have an array from the beginning.
    cells: Vec<Option<Cells<'a>>>,
    book: Book<'a>,
    names: BatchNames,
    /// Columns by lower-case name, in column order.
    by_name: ByStem,
    /// Columns by what their lower-case names begin with before a dot, in column order.
    below: ByStem,
    /// Own columns whose strings a keyword can be in.
    keyword_columns: Vec<usize>,
    overflow: Option<usize>,
    /// Threat lists that rules ask for.
    lists: Arc<IntelSet>,
    /// What the row asked last has beyond its columns.
    overflown: RefCell<Option<(usize, Rc<Value>)>>,
    lookups: RefCell<[ahash::HashMap<String, Rc<[Lookup]>>; Family::COUNT]>,
}

/// One way to find a field's value; the first that gives one is taken.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// Values of these columns together.
    Columns(Vec<usize>),
    /// A request target put together from path and query.
    PathAndQuery { path: Vec<usize>, query: Vec<usize> },
    /// The text of everything below a name that is an object.
    Below(Vec<usize>),
    /// The values of all of these.
    All(Vec<Lookup>),
}

impl Lookup {
    /// Adds the columns of which one must have a value so that this way gives one.
    pub(crate) fn columns(&self, out: &mut Vec<usize>) {
        match self {
            Lookup::Columns(columns) | Lookup::Below(columns) => out.extend(columns),
            Lookup::PathAndQuery { path, .. } => out.extend(path),
            Lookup::All(parts) => parts.iter().for_each(|part| part.columns(out)),
        }
    }
}

impl<'a> BatchFields<'a> {
    /// Indexes the columns of `batch`.
    pub(crate) fn new(batch: &'a EventBatch) -> Self {
        let mut book = NameBook::default();
        let names = book.learn(batch);
        Self::of_book(batch, Book::Own(Box::new(book)), names)
    }

    /// The same with a book that has learned the names of the batch.
    pub(crate) fn with_book(batch: &'a EventBatch, book: &'a NameBook, names: BatchNames) -> Self {
        Self::of_book(batch, Book::Shared(book), names)
    }

    fn of_book(batch: &'a EventBatch, book: Book<'a>, names: BatchNames) -> Self {
        let columns = batch.columns();
        let mut by_name = Vec::with_capacity(columns.len());
        let mut below = Vec::with_capacity(columns.len());
        let mut keyword_columns = Vec::new();
        let mut overflow = None;
        for (i, column) in columns.iter().enumerate() {
            if column.origin == Origin::Meta {
                if &*column.name == field::OVERFLOW {
                    overflow = Some(i);
                }
                continue;
            }
            if let Some((name, above)) = book.get().stems_of(&names, i).split_last() {
                by_name.push((*name, i));
                below.extend(above.iter().map(|stem| (*stem, i)));
            }
            let has_strings = matches!(column.kind, Kind::Str | Kind::StrList | Kind::Json);
            if has_strings && column.origin != Origin::Mapped {
                keyword_columns.push(i);
            }
        }
        let made = |column: &'a Column| column.has_array().then(|| Cells::of(column))?;
        let stems = book.get().stems();
        let lookups = RefCell::default();
        BatchFields {
            batch,
            columns,
            cells: columns.iter().map(made).collect(),
            book,
            names,
            by_name: ByStem::new(&by_name, stems),
            below: ByStem::new(&below, stems),
            keyword_columns,
            overflow,
            lists: Arc::default(),
            overflown: RefCell::default(),
            lookups,
        }
    }

    /// Takes the threat lists that rules may ask for.
    pub(crate) fn with_lists(mut self, lists: &Arc<IntelSet>) -> Self {
        self.lists = Arc::clone(lists);
        self
    }

    /// The threat lists.
    pub(crate) fn lists(&self) -> &IntelSet {
        &self.lists
    }

    /// Columns with this name, letter case aside.
    pub(crate) fn named(&self, lower: &str) -> &[usize] {
        let stem = self.book().find(lower);
        stem.map_or(&[], |stem| self.by_name.get(stem))
    }

    /// Columns of exactly this name.
    pub(crate) fn spelled(&self, name: &str) -> impl Iterator<Item = usize> {
        let lower = match name
            .bytes()
            .any(|b| b.is_ascii_uppercase() || !b.is_ascii())
        {
            true => Cow::Owned(name.to_lowercase()),
            false => Cow::Borrowed(name),
        };
        let columns = self.named(&lower).iter().copied();
        columns.filter(move |i| self.columns.get(*i).is_some_and(|c| &*c.name == name))
    }

    /// Columns below `lower.`, an object's members.
    pub(crate) fn below(&self, lower: &str) -> Vec<usize> {
        let stem = self.book().find(lower);
        stem.map_or_else(Vec::new, |stem| self.below.get(stem).to_vec())
    }

    /// The cells of a column.
    pub(crate) fn cells(&self, column: usize) -> Option<Cells<'a>> {
        match self.cells.get(column)? {
            Some(cells) => Some(*cells),
            None => Cells::of(self.columns.get(column)?),
        }
    }

    /// The cells of a column that has a value in the row. Of one that has none, no array is made.
    #[inline]
    pub(crate) fn cells_at(&self, column: usize, row: usize) -> Option<Cells<'a>> {
        match self.cells.get(column)? {
            Some(cells) => (!cells.is_null(row)).then_some(*cells),
            None => {
                let column = self.columns.get(column)?;
                column.has_value(row).then(|| Cells::of(column))?
            }
        }
    }

    /// The batch itself.
    pub(crate) fn batch(&self) -> &'a EventBatch {
        self.batch
    }

    /// Name of the field in which a rule's field `name` has its value in the row.
    pub(crate) fn source_of(&self, family: Family, name: &str, row: usize) -> Option<Arc<str>> {
        let there = |i: &&usize| self.cells_at(**i, row).is_some();
        let column = |lookup: &Lookup| match lookup {
            Lookup::Columns(columns) => columns.iter().find(there).copied(),
            Lookup::PathAndQuery { path, .. } => path.iter().find(there).copied(),
            _ => None,
        };
        self.lookups(family, name)
            .iter()
            .find_map(|lookup| match lookup {
                Lookup::All(parts) => parts.iter().find_map(column),
                other => column(other),
            })
            .and_then(|i| Some(Arc::clone(&self.columns.get(i)?.name)))
    }

    fn lookups(&self, family: Family, name: &str) -> Rc<[Lookup]> {
        if let Some(found) = self.lookups.borrow()[family as usize].get(name) {
            return Rc::clone(found);
        }
        let made: Rc<[Lookup]> = self.resolve(&FieldNames::of(family, name)).into();
        self.lookups.borrow_mut()[family as usize].insert(name.to_owned(), Rc::clone(&made));
        made
    }

    /// The ways in which this batch can have a field.
    pub(crate) fn resolve(&self, names: &FieldNames) -> Vec<Lookup> {
        let mut lookups = Vec::new();
        for candidate in &names.candidates {
            let mut parts = candidate.iter().filter_map(|named| self.one(named));
            match (parts.next(), parts.next()) {
                (None, _) => {}
                (Some(one), None) => lookups.push(one),
                (Some(one), Some(two)) => {
                    let all = [one, two].into_iter().chain(parts);
                    lookups.push(Lookup::All(all.collect()));
                }
            }
        }
        let below = self.below(&names.lower);
        if !below.is_empty() {
            lookups.push(Lookup::Below(below));
        }
        lookups
    }

    /// The lookup of one name, `None` when the batch has no such column.
    fn one(&self, named: &Named) -> Option<Lookup> {
        let columns = match named {
            Named::Plain { exact, lower } => self.by_case(exact, lower),
            Named::Target { path, query } => {
                let (path, query) = (self.named(path).to_vec(), self.named(query).to_vec());
                return (!path.is_empty()).then_some(Lookup::PathAndQuery { path, query });
            }
            Named::Between { above, suffix } => {
                let mut columns = self.below(above);
                columns.retain(|i| {
                    let column = self.columns.get(*i);
                    column.is_some_and(|c| c.name.to_lowercase().ends_with(suffix))
                });
                columns
            }
        };
        (!columns.is_empty()).then_some(Lookup::Columns(columns))
    }

    /// Columns of the name, those spelled exactly so first.
    fn by_case(&self, exact: &str, lower: &str) -> Vec<usize> {
        let mut columns = self.named(lower).to_vec();
        if columns.len() < 2 {
            return columns;
        }
        columns.sort_by_key(|i| self.columns.get(*i).is_none_or(|c| &*c.name != exact));
        columns
    }

    /// The row's value by one of these ways.
    pub(crate) fn value(&self, lookup: &Lookup, row: usize) -> Option<EventValue<'_>> {
        match lookup {
            Lookup::Columns(columns) => {
                let mut values = Vec::new();
                for cells in columns.iter().filter_map(|i| self.cells_at(*i, row)) {
                    push_values(&cells, row, &mut values);
                }
                match values.len() {
                    0 => None,
                    1 => values.pop(),
                    _ => Some(EventValue::Array(values)),
                }
            }
            Lookup::PathAndQuery { path, query } => {
                let first = |columns: &[usize]| {
                    columns
                        .iter()
                        .find_map(|i| self.cells_at(*i, row)?.text(row))
                };
                let path = first(path)?;
                Some(EventValue::Str(match first(query) {
                    Some(query) if !query.is_empty() => Cow::Owned(format!("{path}?{query}")),
                    _ => path,
                }))
            }
            Lookup::Below(columns) => self.below_text(columns, row),
            Lookup::All(parts) => {
                let mut values: Vec<_> = parts.iter().filter_map(|p| self.value(p, row)).collect();
                if values.len() > 1 {
                    Some(EventValue::Array(values))
                } else {
                    values.pop()
                }
            }
        }
    }

    /// `"name":"value"` of every member, so that a search in the text of an object works.
    fn below_text(&self, columns: &[usize], row: usize) -> Option<EventValue<'_>> {
        let mut text = String::new();
        for i in columns {
            let (Some(cells), Some(column)) = (self.cells_at(*i, row), self.columns.get(*i)) else {
                continue;
            };
            if column.origin == Origin::Inner {
                continue;
            }
            if let Cells::Json { .. } = cells
                && let Some(json) = json_text(&cells, row)
            {
                text.push_str(&format!("\"{}\":{json},", last_segment(&column.name)));
            }
            cells.texts(row, &mut |value| {
                text.push_str(&format!("\"{}\":\"{value}\",", last_segment(&column.name)));
            });
        }
        (!text.is_empty()).then_some(EventValue::Str(Cow::Owned(text)))
    }

    /// The book that knows the names.
    pub(crate) fn book(&self) -> &NameBook {
        self.book.get()
    }

    /// The stems of a column's name.
    pub(crate) fn stems_of(&self, column: usize) -> &[Stem] {
        self.book().stems_of(&self.names, column)
    }

    /// Columns whose texts keywords look at.
    pub(crate) fn keyword_columns(&self) -> &[usize] {
        &self.keyword_columns
    }

    /// Has the row fields that have no column?
    pub(crate) fn has_overflow(&self, row: usize) -> bool {
        let column = self.overflow.and_then(|i| self.columns.get(i));
        column.is_some_and(|column| column.has_value(row))
    }

    /// The row's fields that have no column, as an object.
    pub(crate) fn overflow(&self, row: usize) -> Option<Rc<Value>> {
        let text = json_or_text(&self.cells_at(self.overflow?, row)?, row)?;
        let mut last = self.overflown.borrow_mut();
        if let Some((of, value)) = &*last
            && *of == row
        {
            return Some(Rc::clone(value));
        }
        let value: Rc<Value> = Rc::new(serde_json::from_str(text).ok()?);
        *last = Some((row, Rc::clone(&value)));
        Some(value)
    }

    fn any_keyword_text(&self, row: usize, pred: &mut dyn FnMut(&str) -> bool) -> bool {
        let mut columns = self.keyword_columns.iter();
        columns.any(|i| self.any_text_of(*i, row, pred)) || self.any_overflow_text(row, pred)
    }

    /// Is there a text of the row in this column that satisfies `pred`?
    pub(crate) fn any_text_of(
        &self,
        column: usize,
        row: usize,
        pred: &mut dyn FnMut(&str) -> bool,
    ) -> bool {
        match self.cells_at(column, row) {
            Some(Cells::StrList { lists, members }) => {
                span(lists, row).any(|i| pred(members.value(i)))
            }
            Some(cells @ Cells::Json { .. }) => {
                json_text(&cells, row).is_some_and(|text| any_json_text(text, pred))
            }
            Some(cells) => cells.text(row).is_some_and(|text| pred(&text)),
            None => false,
        }
    }

    /// Is there a text among the row's fields without a column that satisfies `pred`?
    pub(crate) fn any_overflow_text(&self, row: usize, pred: &mut dyn FnMut(&str) -> bool) -> bool {
        let value = self.overflow(row);
        value.is_some_and(|value| any_string(&value, pred))
    }
}

/// One row, read through the taxonomy of its log source.
#[derive(Clone, Copy)]
pub(crate) struct RowEvent<'a> {
    fields: &'a BatchFields<'a>,
    family: Family,
    row: usize,
    /// Give the first value only where a field has several: group keys need one.
    single: bool,
}

impl<'a> RowEvent<'a> {
    /// The event of `row`.
    pub(crate) fn new(fields: &'a BatchFields<'a>, family: Family, row: usize) -> Self {
        RowEvent {
            fields,
            family,
            row,
            single: false,
        }
    }

    /// The same event with one value a field, as correlations group by.
    pub(crate) fn single(self) -> Self {
        RowEvent {
            single: true,
            ..self
        }
    }
}

impl Event for RowEvent<'_> {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        if let Some((list, field)) = asked(path) {
            return Some(on_list(self.fields.lists(), list, self.get_field(field)));
        }
        let lookups = self.fields.lookups(self.family, path);
        let found = lookups
            .iter()
            .find_map(|l| self.fields.value(l, self.row))
            .or_else(|| {
                let overflow = self.fields.overflow(self.row)?;
                let members = overflow.as_object()?;
                candidates(self.family, path)
                    .iter()
                    .find_map(|c| members.get(&**c))
                    .map(|value| owned(value.clone()))
            })?;
        match found {
            EventValue::Array(values) if self.single => values.into_iter().next(),
            other => Some(other),
        }
    }

    fn any_string_value(&self, pred: &dyn Fn(&str) -> bool) -> bool {
        self.fields
            .any_keyword_text(self.row, &mut |text| pred(text))
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        let mut all = Vec::new();
        self.visit_string_values(&mut |text| all.push(Cow::Owned(text.to_owned())));
        all
    }

    fn visit_string_values(&self, visit: &mut dyn FnMut(&str)) {
        self.fields.any_keyword_text(self.row, &mut |text| {
            visit(text);
            false
        });
    }

    fn to_json(&self) -> Value {
        self.fields.batch.event_json(self.row)
    }

    fn field_keys(&self) -> Vec<Cow<'_, str>> {
        let has_value = |c: &Column| c.has_value(self.row);
        let columns = self.fields.columns.iter();
        columns
            .filter(|c| has_value(c))
            .map(|c| Cow::Borrowed(&*c.name))
            .collect()
    }
}
