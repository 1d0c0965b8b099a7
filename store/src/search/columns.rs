//! Columns of segments kept in memory as codes, and one number for each text of a field, so
//! that counts of many segments are sums of numbers.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use watchfire_event::{Column, EventBatch};

use crate::StoreError;
use crate::segment::{Coded, ColumnInfo, Rows, Segment, Times};

/// Bytes of columns kept; those not used for longest go first.
const LIMIT_BYTES: usize = 128 << 20;
/// Bytes of texts kept. Beyond, everything is dropped and begun anew.
const NAME_BYTES: usize = 48 << 20;
/// Segments that wait to be read ahead.
const WANTED: usize = 32;
/// Name under which the times of a segment are kept; no column is called that.
const TIMES: &str = "";

/// A column as codes, with the numbers of its texts.
#[derive(Debug)]
pub(crate) struct Held {
    pub coded: Coded,
    numbers: Numbers,
    /// In which run of the cache the numbers were given.
    run: u64,
}

/// By code: the numbers of the texts of the value, each once.
#[derive(Debug)]
pub(crate) struct Numbers {
    flat: Vec<u32>,
    /// Where those of each code begin in `flat`, and the end; empty where every code has one.
    starts: Vec<u32>,
}

impl Numbers {
    fn of(numbers: impl Iterator<Item = Vec<u32>>) -> Numbers {
        let (mut flat, mut starts) = (Vec::new(), vec![0]);
        let mut single = true;
        for of_value in numbers {
            single &= of_value.len() == 1;
            flat.extend(of_value);
            starts.push(flat.len() as u32);
        }
        if single {
            starts.clear();
        }
        flat.shrink_to_fit();
        starts.shrink_to_fit();
        Numbers { flat, starts }
    }

    /// Those of one code; none for rows without a value.
    pub fn of_code(&self, code: usize) -> &[u32] {
        let (from, to) = match self.starts.is_empty() {
            true => (code, code + 1),
            false => {
                let start = |i: usize| self.starts.get(i).map_or(usize::MAX, |s| *s as usize);
                (start(code), start(code + 1))
            }
        };
        self.flat.get(from..to).unwrap_or_default()
    }

    fn bytes(&self) -> usize {
        (self.flat.len() + self.starts.len()) * 4
    }
}

#[derive(Debug, Default)]
pub(crate) struct ColumnCache(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    found: HashMap<String, HashMap<String, Entry>>,
    fields: HashMap<String, Names>,
    bytes: usize,
    name_bytes: usize,
    clock: u64,
    /// Segments to read ahead.
    wanted: Vec<Arc<Segment>>,
    /// Segments that were read ahead.
    warmed: HashSet<String>,
    /// Counts how often everything was dropped: numbers of an earlier run mean nothing.
    run: u64,
}

#[derive(Debug)]
struct Entry {
    kept: Kept,
    bytes: usize,
    used: u64,
}

#[derive(Debug, Clone)]
enum Kept {
    Column(Arc<Held>),
    /// Too many distinct values.
    NotCoded,
    Times(Arc<Times>),
}

/// The texts of a field, by number.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
}

impl ColumnCache {
    /// The column as codes, read when it is not here; `None` when it has too many values.
    pub fn coded(
        &self,
        segment: &Segment,
        info: &ColumnInfo,
    ) -> Result<Option<Arc<Held>>, StoreError> {
        if !Coded::is_worthwhile(info.rows, info.distinct) {
            return Ok(None);
        }
        match self.get(&segment.info.id, &info.stored) {
            Some(Kept::Column(held)) => return Ok(Some(held)),
            Some(_) => return Ok(None),
            None => {}
        }
        let batch = segment.read(|name| name == info.stored, &Rows::All)?;
        let coded = match batch.columns().first() {
            Some(column) => Coded::of(column)?,
            None => None,
        };
        Ok(self.keep(segment, info, coded))
    }

    /// Keeps what a column of a segment was found to be.
    fn keep(
        &self,
        segment: &Segment,
        info: &ColumnInfo,
        coded: Option<Coded>,
    ) -> Option<Arc<Held>> {
        let held = coded.map(|coded| Arc::new(self.hold(coded, &info.name)));
        let (kept, bytes) = match &held {
            Some(held) => (Kept::Column(held.clone()), held.bytes()),
            None => (Kept::NotCoded, 0),
        };
        self.put(&segment.info.id, &info.stored, kept, bytes);
        held
    }

    /// Keeps the columns of a segment whose rows are at hand, in the order of the segment.
    pub fn adopt(&self, segment: &Segment, batch: &EventBatch) -> Result<(), StoreError> {
        let id = &segment.info.id;
        for (column, info) in batch.columns().iter().zip(&segment.info.columns) {
            if Coded::is_worthwhile(info.rows, info.distinct) {
                self.keep(segment, info, Coded::of(column)?);
            }
        }
        let times = Times::of(batch);
        let bytes = times.bytes();
        self.put(id, TIMES, Kept::Times(Arc::new(times)), bytes);
        self.lock().warmed.insert(id.clone());
        Ok(())
    }

    /// Notes that rows of a segment are shown again and again: its columns are worth reading
    /// ahead, as long as there is room.
    pub fn want(&self, segment: &Arc<Segment>) {
        let mut inner = self.lock();
        let id = &segment.info.id;
        let known = inner.warmed.contains(id) || inner.wanted.iter().any(|s| s.info.id == *id);
        if !known && inner.wanted.len() < WANTED {
            inner.wanted.push(segment.clone());
        }
    }

    /// Is there a segment to read ahead?
    pub fn is_wanting(&self) -> bool {
        !self.lock().wanted.is_empty()
    }

    /// Reads the columns of the wanted segments, one after the other, until there is no room.
    pub fn warm(&self) -> Result<(), StoreError> {
        loop {
            let segment = {
                let mut inner = self.lock();
                let Some(segment) = inner.wanted.pop() else {
                    return Ok(());
                };
                inner.warmed.insert(segment.info.id.clone());
                segment
            };
            // The greater the dictionary, the longer it takes to show one value of it.
            let mut columns: Vec<&ColumnInfo> = segment.info.columns.iter().collect();
            columns.sort_by_key(|c| std::cmp::Reverse(c.distinct));
            for column in columns {
                if self.lock().bytes > LIMIT_BYTES / 4 * 3 {
                    return Ok(());
                }
                let started = Instant::now();
                self.coded(&segment, column)?;
                // Whoever waits for an answer has more use for the processor.
                std::thread::sleep(started.elapsed() * 2);
            }
        }
    }

    /// Is there room for more columns without letting go of others? A question about every column
    /// of every segment must not push out what other questions use.
    pub fn has_room(&self) -> bool {
        self.lock().bytes <= LIMIT_BYTES / 8 * 7
    }

    /// The column as codes if it is here.
    pub fn peek(&self, segment: &Segment, stored: &str) -> Option<Arc<Held>> {
        match self.get(&segment.info.id, stored) {
            Some(Kept::Column(held)) => Some(held),
            _ => None,
        }
    }

    /// A column in memory as codes; `None` when it has too many distinct values.
    pub fn code(&self, column: &Column) -> Result<Option<Held>, StoreError> {
        let coded = Coded::of(column)?;
        Ok(coded.map(|coded| self.hold(coded, &column.name)))
    }

    /// Event times and sequence numbers of a segment.
    pub fn times(&self, segment: &Segment) -> Result<Arc<Times>, StoreError> {
        if let Some(Kept::Times(times)) = self.get(&segment.info.id, TIMES) {
            return Ok(times);
        }
        let own = |name: &str| name == "_seq" || name == "_time";
        let times = Arc::new(Times::of(&segment.read(own, &Rows::All)?));
        let kept = Kept::Times(times.clone());
        self.put(&segment.info.id, TIMES, kept, times.bytes());
        Ok(times)
    }

    /// Calls `with` with the number of each of the texts that has one. False when `run` is over:
    /// numbers of that run then mean nothing.
    pub fn known<'a>(
        &self,
        (run, field): (u64, &str),
        texts: impl Iterator<Item = &'a str>,
        mut with: impl FnMut(usize, Option<u32>),
    ) -> bool {
        let inner = self.lock();
        if inner.run != run {
            return false;
        }
        let names = inner.fields.get(field);
        for (i, text) in texts.enumerate() {
            with(i, names.and_then(|n| n.numbers.get(text).copied()));
        }
        true
    }

    /// The texts of some numbers of a field; `None` when `run`, in which the numbers were given,
    /// is over.
    pub fn texts(
        &self,
        (run, field): (u64, &str),
        numbers: &[u32],
    ) -> Option<Vec<Option<Arc<str>>>> {
        let inner = self.lock();
        let names = inner.fields.get(field);
        let text = |n: &u32| names.and_then(|names| names.texts.get(*n as usize).cloned());
        (inner.run == run).then(|| numbers.iter().map(text).collect())
    }

    /// In which run of the cache we are: numbers of one run belong together.
    pub fn run(&self) -> u64 {
        self.lock().run
    }

    /// Drops what is kept of segments that are no more.
    pub fn forget(&self, segment: &str) {
        let mut inner = self.lock();
        inner.warmed.remove(segment);
        inner.wanted.retain(|s| s.info.id != segment);
        if let Some(gone) = inner.found.remove(segment) {
            inner.bytes -= gone.values().map(|e| e.bytes).sum::<usize>();
        }
    }

    fn hold(&self, coded: Coded, field: &str) -> Held {
        let values = coded.values();
        let texts: Vec<Vec<String>> = (0..coded.distinct())
            .map(|code| {
                let texts = values.values(field, code);
                texts.into_iter().map(|t| t.into_owned()).collect()
            })
            .collect();
        let mut inner = self.lock();
        let numbers = texts.into_iter().map(|of_value| {
            let mut numbers: Vec<u32> = Vec::with_capacity(of_value.len());
            for text in of_value {
                let number = inner.number(field, text);
                if !numbers.contains(&number) {
                    numbers.push(number);
                }
            }
            numbers
        });
        let numbers = Numbers::of(numbers);
        let run = inner.run;
        Held {
            coded,
            numbers,
            run,
        }
    }

    fn get(&self, segment: &str, stored: &str) -> Option<Kept> {
        let mut inner = self.lock();
        inner.clock += 1;
        let clock = inner.clock;
        let entry = inner.found.get_mut(segment)?.get_mut(stored)?;
        entry.used = clock;
        Some(entry.kept.clone())
    }

    fn put(&self, segment: &str, stored: &str, kept: Kept, bytes: usize) {
        let mut inner = self.lock();
        inner.clock += 1;
        let used = inner.clock;
        let entry = Entry { kept, bytes, used };
        let of_segment = inner.found.entry(segment.to_owned()).or_default();
        let before = of_segment.insert(stored.to_owned(), entry);
        inner.bytes += bytes;
        inner.bytes -= before.map_or(0, |e| e.bytes);
        if inner.name_bytes > NAME_BYTES {
            inner.begin_anew();
        } else if inner.bytes > LIMIT_BYTES {
            inner.evict();
        }
        metrics::gauge!("watchfire_store_column_cache_bytes").set(inner.bytes as f64);
    }

    /// What happens when the texts outgrow their limit.
    #[cfg(test)]
    pub fn begin_anew(&self) {
        self.lock().begin_anew();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Drops everything: a new run begins.
    fn begin_anew(&mut self) {
        *self = Inner {
            clock: self.clock,
            run: self.run + 1,
            ..Inner::default()
        };
    }

    fn number(&mut self, field: &str, text: String) -> u32 {
        if !self.fields.contains_key(field) {
            self.fields.insert(field.to_owned(), Names::default());
        }
        let Some(names) = self.fields.get_mut(field) else {
            return 0;
        };
        if let Some(number) = names.numbers.get(text.as_str()) {
            return *number;
        }
        let number = names.texts.len() as u32;
        self.name_bytes += text.len() + 80;
        let text: Arc<str> = text.into();
        names.texts.push(text.clone());
        names.numbers.insert(text, number);
        number
    }

    /// Drops the least recently used down to seven eighths of the limit.
    fn evict(&mut self) {
        let mut ages: Vec<(u64, String, String)> = Vec::new();
        for (segment, columns) in &self.found {
            let of_segment = columns.iter();
            ages.extend(of_segment.map(|(s, e)| (e.used, segment.clone(), s.clone())));
        }
        ages.sort_unstable();
        for (_, segment, stored) in ages {
            if self.bytes <= LIMIT_BYTES / 8 * 7 {
                break;
            }
            if let Some(columns) = self.found.get_mut(&segment) {
                self.bytes -= columns.remove(&stored).map_or(0, |e| e.bytes);
                self.warmed.remove(&segment);
                if columns.is_empty() {
                    self.found.remove(&segment);
                }
            }
        }
    }
}

impl Held {
    /// The codes and the numbers of their texts, if these were given in that run of the cache.
    pub fn numbers(&self, run: u64) -> Option<(&Coded, &Numbers)> {
        (self.run == run).then_some((&self.coded, &self.numbers))
    }

    fn bytes(&self) -> usize {
        self.coded.bytes() + self.numbers.bytes()
    }
}
