//! The names of columns, looked at once and known by numbers from batch to batch.
//!
//! A wide batch has hundreds of columns, and their names come again in the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::HashMap;
use watchfire_event::{Column, EventBatch, Origin};

use super::names::stems;

/// Names and stems beyond which all are forgotten before the next batch.
const MAX_NAMES: usize = 65_536;

/// Number of a text in lower case: the name of a column, or what one begins with before a dot.
pub(crate) type Stem = u32;

/// A column whose name nobody asks for: one of our own.
const NO_NAME: u32 = u32::MAX;

/// What is known of a name.
#[derive(Debug)]
struct Name {
    /// Its stems; the last is the name itself.
    stems: Box<[Stem]>,
    /// The last day for which it was noted that it came.
    noted: Option<i64>,
}

/// All names seen.
#[derive(Debug)]
pub(crate) struct NameBook {
    by_name: HashMap<Arc<str>, u32>,
    names: Vec<Name>,
    by_text: HashMap<Arc<str>, Stem>,
    texts: Vec<Arc<str>>,
    /// Of this book alone, and another one when everything was forgotten: numbers given before
    /// are void then.
    id: u64,
}

impl Default for NameBook {
    fn default() -> Self {
        static BOOKS: AtomicU64 = AtomicU64::new(1);
        NameBook {
            by_name: HashMap::default(),
            names: Vec::new(),
            by_text: HashMap::default(),
            texts: Vec::new(),
            id: BOOKS.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// The names of the columns of a batch, as numbers of a book.
#[derive(Debug, Default)]
pub(crate) struct BatchNames(Vec<u32>);

impl NameBook {
    /// Learns the names of the columns of a batch.
    pub(crate) fn learn(&mut self, batch: &EventBatch) -> BatchNames {
        if self.names.len() + self.texts.len() > MAX_NAMES {
            *self = NameBook::default();
        }
        let columns = batch.columns().iter();
        BatchNames(columns.map(|column| self.name(column)).collect())
    }

    fn name(&mut self, column: &Column) -> u32 {
        if column.origin == Origin::Meta {
            return NO_NAME;
        }
        if let Some(known) = self.by_name.get(&column.name) {
            return *known;
        }
        let lower = column.name.to_lowercase();
        let stems = stems(&lower).map(|stem| self.stem(stem)).collect();
        let number = self.names.len() as u32;
        self.names.push(Name { stems, noted: None });
        self.by_name.insert(column.name.clone(), number);
        number
    }

    fn stem(&mut self, text: &str) -> Stem {
        if let Some(known) = self.by_text.get(text) {
            return *known;
        }
        let number = self.texts.len() as Stem;
        let text: Arc<str> = text.into();
        self.texts.push(Arc::clone(&text));
        self.by_text.insert(text, number);
        number
    }

    /// The stems of the name of a column of the batch, the name itself as the last.
    pub(crate) fn stems_of(&self, names: &BatchNames, column: usize) -> &[Stem] {
        let name = names.0.get(column);
        let name = name.and_then(|name| self.names.get(*name as usize));
        name.map_or(&[], |name| &name.stems)
    }

    /// How many stems there are.
    pub(crate) fn stems(&self) -> usize {
        self.texts.len()
    }

    /// The number of a text in lower case, if any column had it.
    pub(crate) fn find(&self, text: &str) -> Option<Stem> {
        self.by_text.get(text).copied()
    }

    /// The text of a number.
    pub(crate) fn text(&self, stem: Stem) -> &str {
        self.texts.get(stem as usize).map_or("", |text| text)
    }

    /// Tells whose numbers they are: those of a book with another id are void.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Gives `note` the names in lower case of the batch's columns that have a value, those that
    /// were not noted on this day or later.
    pub(crate) fn note(
        &mut self,
        batch: &EventBatch,
        names: &BatchNames,
        day: i64,
        mut note: impl FnMut(&str),
    ) {
        for (column, name) in batch.columns().iter().zip(&names.0) {
            let Some(name) = self.names.get_mut(*name as usize) else {
                continue;
            };
            let is_noted = name.noted.is_some_and(|noted| noted >= day);
            if !is_noted && column.count() > 0 {
                name.noted = Some(day);
                let text = name.stems.last().and_then(|s| self.texts.get(*s as usize));
                text.iter().for_each(|text| note(text));
            }
        }
    }

    /// Forgets what was noted.
    pub(crate) fn note_anew(&mut self) {
        self.names.iter_mut().for_each(|name| name.noted = None);
    }
}

/// A book that knows the names of a batch.
pub(crate) enum Book<'a> {
    Own(Box<NameBook>),
    Shared(&'a NameBook),
}

impl Book<'_> {
    pub(crate) fn get(&self) -> &NameBook {
        match self {
            Book::Own(book) => book,
            Book::Shared(book) => book,
        }
    }
}

/// Columns by stem.
#[derive(Debug, Default)]
pub(crate) struct ByStem {
    /// By stem: where its columns begin. Those of the last end where the last place says.
    starts: Vec<u32>,
    columns: Vec<usize>,
}

impl ByStem {
    /// Puts columns by their stems; those of one stem stay in their order. There are so many
    /// stems in all.
    pub(crate) fn new(pairs: &[(Stem, usize)], stems: usize) -> Self {
        let mut starts = vec![0; stems + 1];
        for (stem, _) in pairs {
            if let Some(count) = starts.get_mut(*stem as usize + 1) {
                *count += 1;
            }
        }
        let mut before = 0;
        for start in &mut starts {
            before += *start;
            *start = before;
        }
        let mut next = starts.clone();
        let mut columns = vec![0; pairs.len()];
        for (stem, column) in pairs {
            if let Some(next) = next.get_mut(*stem as usize)
                && let Some(place) = columns.get_mut(*next as usize)
            {
                *place = *column;
                *next += 1;
            }
        }
        ByStem { starts, columns }
    }

    /// The columns of a stem, rising.
    pub(crate) fn get(&self, stem: Stem) -> &[usize] {
        let at = |place: usize| self.starts.get(place).map(|start| *start as usize);
        let span = || Some(at(stem as usize)?..at(stem as usize + 1)?);
        let span = span().and_then(|span| self.columns.get(span));
        span.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use watchfire_event::{BatchBuilder, BatchLimits, RowMeta};

    use super::*;

    fn batch(line: &str) -> EventBatch {
        let mut builder = BatchBuilder::new(BatchLimits::default());
        let meta = RowMeta {
            received_ns: 0,
            source: "test".into(),
        };
        builder.push(line.as_bytes(), &meta).unwrap();
        builder.finish()
    }

    #[test]
    fn names_keep_their_numbers_from_batch_to_batch() {
        let mut book = NameBook::default();
        let first = batch(r#"{"User":{"Name":"a"},"x":1}"#);
        let names = book.learn(&first);
        let numbers: Vec<Stem> = book.stems_of(&names, 0).to_vec();
        let texts: Vec<&str> = numbers.iter().map(|s| book.text(*s)).collect();
        assert_eq!(texts, ["user", "user.name"]);
        assert_eq!(book.find("user"), Some(numbers[0]));
        assert_eq!(book.find("User"), None);
        let second = batch(r#"{"y":1,"User":{"Name":"b"}}"#);
        let names = book.learn(&second);
        assert_eq!(book.stems_of(&names, 1), numbers);
    }

    #[test]
    fn a_name_is_noted_once_a_day() {
        let mut book = NameBook::default();
        let batch = batch(r#"{"A":1,"b":2}"#);
        let mut noted = |day: i64| {
            let names = book.learn(&batch);
            let mut found = Vec::new();
            book.note(&batch, &names, day, |name| found.push(name.to_owned()));
            found
        };
        assert_eq!(noted(5), ["a", "b"]);
        assert_eq!(noted(5), [""; 0]);
        assert_eq!(noted(4), [""; 0]);
        assert_eq!(noted(6), ["a", "b"]);
        book.note_anew();
        let names = book.learn(&batch);
        let mut found = 0;
        book.note(&batch, &names, 6, |_| found += 1);
        assert_eq!(found, 2);
    }

    #[test]
    fn columns_are_found_by_stem() {
        let by_stem = ByStem::new(&[(7, 0), (3, 1), (7, 2), (9, 3)], 10);
        assert_eq!(by_stem.get(7), [0, 2]);
        assert_eq!(by_stem.get(3), [1]);
        assert_eq!(by_stem.get(9), [3]);
        assert_eq!(by_stem.get(8), [0usize; 0]);
    }
}
