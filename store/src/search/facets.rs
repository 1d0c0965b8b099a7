//! The most frequent values of fields among matching events.

use watchfire_event::{Query, TimeRange};

use super::cache::MatchCache;
use super::columns::{ColumnCache, Numbers};
use super::hidden::Hidden;
use super::job::Job;
use super::matching::{Source, matching, sources};
use super::values::{Names, for_each_value};
use super::{Facet, MAX_FACET_FIELDS, MAX_FACET_VALUES};
use crate::StoreError;
use crate::memtable::View;
use crate::segment::{Coded, Rows, is_named};

/// A field asked of fewer than one in so many rows is not worth reading in full.
const FEW: usize = 64;

/// The run of the cache in which numbers were given, and the cache; `None` where no numbers are
/// used.
type Run<'a> = Option<(u64, &'a ColumnCache)>;

/// Texts with how often each was seen.
type Top = Vec<(String, u64)>;

/// Counts of one field.
#[derive(Debug, Default)]
struct Counts {
    /// By number of the text in the cache.
    by_number: Vec<u64>,
    /// Texts of sources that have no codes.
    names: Names,
    /// By number of the value in `names`.
    counts: Vec<u64>,
    missing: u64,
}

/// Counts the values of each field over a view.
///
/// # Errors
/// `invalid_request` for too many fields or values, `query_limit`, or a failure to read.
pub(crate) fn facets(
    view: &View,
    (query, range): (&Query, &TimeRange),
    (fields, top): (&[String], usize),
    job: &Job,
    cache: &MatchCache,
) -> Result<Vec<Facet>, StoreError> {
    if fields.len() > MAX_FACET_FIELDS || top > MAX_FACET_VALUES {
        return Err(StoreError::InvalidRequest(format!(
            "at most {MAX_FACET_FIELDS} fields and {MAX_FACET_VALUES} values of each"
        )));
    }
    let sources = sources(view, range);
    most_frequent(
        &sources,
        (query, range, &view.hidden),
        (fields, top),
        job,
        cache,
    )
}

/// The `top` most frequent values of each field over all sources.
pub(super) fn most_frequent(
    sources: &[Source],
    asked: (&Query, &TimeRange, &[Hidden]),
    (fields, top): (&[String], usize),
    job: &Job,
    cache: &MatchCache,
) -> Result<Vec<Facet>, StoreError> {
    let columns = &cache.columns;
    let run = columns.run();
    let of = |counted: Vec<Counts>, run: Run<'_>| -> Option<Vec<Facet>> {
        let counted = fields.iter().zip(counted);
        let facet = |(field, counts): (&String, Counts)| counts.facet((field.as_str(), top), run);
        counted.map(facet).collect()
    };
    let counted = count(sources, asked, fields, job, (cache, Some(run)))?;
    if let Some(facets) = of(counted, Some((run, columns))) {
        return Ok(facets);
    }
    // The texts no longer have the numbers that were counted.
    let counted = count(sources, asked, fields, job, (cache, None))?;
    of(counted, None).ok_or_else(|| StoreError::Internal("counts without texts".into()))
}

/// Counts the values of each field over all sources; by number, where they have one in `run`.
fn count(
    sources: &[Source],
    (query, range, hidden): (&Query, &TimeRange, &[Hidden]),
    fields: &[String],
    job: &Job,
    (cache, run): (&MatchCache, Option<u64>),
) -> Result<Vec<Counts>, StoreError> {
    let none = || -> Vec<Counts> { fields.iter().map(|_| Counts::default()).collect() };
    let counted = job.on_threads(sources, |source| {
        let rows = matching(source, query, range, hidden, cache)?;
        let mut all = none();
        if rows == Rows::None {
            return Ok(all);
        }
        let few = rows.count(source.rows()) * FEW < source.rows();
        let mut rest: Vec<(String, &mut Counts)> = Vec::new();
        for (field, counts) in fields.iter().zip(&mut all) {
            let held = match run {
                Some(_) => source.held(field, few, &cache.columns)?,
                None => None,
            };
            match held.as_ref().and_then(|held| held.numbers(run?)) {
                Some((coded, numbers)) => counts.add_held(coded, numbers, &rows),
                None => rest.push((field.clone(), counts)),
            }
        }
        if !rest.is_empty() {
            let names: Vec<String> = rest.iter().map(|(field, _)| field.clone()).collect();
            let batch = source.read(|stored| is_named(stored, &names), &rows)?;
            for (field, counts) in rest {
                let Counts {
                    names,
                    counts,
                    missing,
                    ..
                } = counts;
                *missing += for_each_value(&batch, &field, names, |_, value| {
                    add(counts, value as usize, 1);
                }) as u64;
            }
        }
        Ok(all)
    })?;
    let mut merged = none();
    for part in counted {
        for (whole, part) in merged.iter_mut().zip(part) {
            whole.merge(part);
        }
    }
    Ok(merged)
}

fn add(counts: &mut Vec<u64>, place: usize, n: u64) {
    if place >= counts.len() {
        counts.resize(place + 1, 0);
    }
    if let Some(count) = counts.get_mut(place) {
        *count += n;
    }
}

impl Counts {
    /// Adds the values of the chosen rows.
    fn add_held(&mut self, coded: &Coded, numbers: &Numbers, rows: &Rows) {
        if let Rows::Some(mask) = rows
            && mask.count_set_bits() < coded.distinct()
        {
            mask.set_indices()
                .for_each(|row| self.add_code(numbers, coded.code(row), 1));
            return;
        }
        let mut by_code = vec![0; coded.distinct() + 1];
        match rows {
            Rows::All => {
                let counts = coded.counts().iter().map(|n| u64::from(*n));
                by_code.iter_mut().zip(counts).for_each(|(to, n)| *to = n);
            }
            rows => coded.count_range(rows, (0, coded.rows()), &mut by_code),
        }
        for (code, n) in by_code.into_iter().enumerate().filter(|(_, n)| *n > 0) {
            self.add_code(numbers, code, n);
        }
    }

    fn add_code(&mut self, numbers: &Numbers, code: usize, n: u64) {
        match numbers.of_code(code) {
            [] => self.missing += n,
            texts => texts
                .iter()
                .for_each(|number| add(&mut self.by_number, *number as usize, n)),
        }
    }

    fn merge(&mut self, part: Counts) {
        self.missing += part.missing;
        self.names.overflowed |= part.names.overflowed;
        for (number, n) in part
            .by_number
            .into_iter()
            .enumerate()
            .filter(|(_, n)| *n > 0)
        {
            add(&mut self.by_number, number, n);
        }
        for (text, number) in part.names.into_texts() {
            let n = part
                .counts
                .get(number as usize)
                .copied()
                .unwrap_or_default();
            if let Some(number) = self.names.number(&text) {
                add(&mut self.counts, number as usize, n);
            }
        }
    }

    /// The `top` most frequent texts, greatest first, then by text; and how many there are.
    /// `None` when the run in which they were counted is over.
    fn top(mut self, (field, top): (&str, usize), run: Run<'_>) -> Option<(Top, usize)> {
        let counts = std::mem::take(&mut self.counts);
        let texts = std::mem::take(&mut self.names).into_texts();
        let mut values = Vec::new();
        let by_number = &mut self.by_number;
        let mut take = |i: usize, known: Option<u32>| {
            let Some((text, number)) = texts.get(i) else {
                return;
            };
            let n = counts.get(*number as usize).copied().unwrap_or_default();
            match known {
                Some(number) => add(by_number, number as usize, n),
                None => values.push((text.clone(), n)),
            }
        };
        match run {
            None => (0..texts.len()).for_each(|i| take(i, None)),
            Some((run, cache)) => {
                let texts = texts.iter().map(|(text, _)| text.as_str());
                if !cache.known((run, field), texts, take) {
                    return None;
                }
            }
        }
        let mut numbers: Vec<(u64, u32)> = Vec::new();
        for (number, n) in self.by_number.iter().enumerate().filter(|(_, n)| **n > 0) {
            numbers.push((*n, number as u32));
        }
        let distinct = numbers.len() + values.len();
        if top > 0 && numbers.len() > top {
            // All that are as frequent as the last: their order is that of their texts.
            let (_, last, _) = numbers.select_nth_unstable_by(top - 1, |a, b| b.0.cmp(&a.0));
            let least = last.0;
            numbers.retain(|(n, _)| *n >= least);
        }
        if let Some((run, cache)) = run {
            let wanted: Vec<u32> = numbers.iter().map(|(_, number)| *number).collect();
            let texts = cache.texts((run, field), &wanted)?;
            for ((n, _), text) in numbers.iter().zip(texts) {
                values.extend(text.map(|text| (text.to_string(), *n)));
            }
        }
        values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        values.truncate(top);
        Some((values, distinct))
    }

    fn facet(self, (field, top): (&str, usize), run: Run<'_>) -> Option<Facet> {
        let (missing, distinct_is_exact) = (self.missing, !self.names.overflowed);
        let (values, distinct) = self.top((field, top), run)?;
        Some(Facet {
            field: field.to_owned(),
            distinct: distinct as u64,
            distinct_is_exact,
            values,
            missing,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::memtable::MemoryBatch;
    use crate::tests::bed::{build, record};

    /// Two batches in memory with the values of `v`.
    fn memory(values: [&[&str]; 2]) -> Vec<Source> {
        let source = |values: &[&str]| {
            let events: Vec<_> = values.iter().map(|v| json!({ "v": v })).collect();
            let batch = build(&[record(&events, 0, Vec::new())]);
            Source::Memory(Arc::new(MemoryBatch::new(batch)))
        };
        values.iter().map(|v| source(v)).collect()
    }

    fn ask(sources: &[Source], cache: &MatchCache) -> Vec<(String, u64)> {
        let query = Query::parse("*").unwrap();
        let asked: (&Query, &TimeRange, &[Hidden]) = (&query, &TimeRange::ALL, &[]);
        let (job, _guard) = Job::new(Duration::from_secs(60));
        let fields = ["v".to_owned()];
        let mut facets = most_frequent(sources, asked, (&fields, 10), &job, cache).unwrap();
        facets.remove(0).values
    }

    #[test]
    fn numbers_of_a_run_that_is_over_name_nothing() {
        let (sources, cache) = (memory([&["a", "b", "b"], &["c"]]), MatchCache::default());
        let query = Query::parse("*").unwrap();
        let (job, _guard) = Job::new(Duration::from_secs(60));
        let fields = ["v".to_owned()];
        let run = cache.columns.run();
        let counts = || {
            let asked: (&Query, &TimeRange, &[Hidden]) = (&query, &TimeRange::ALL, &[]);
            let counted = count(&sources, asked, &fields, &job, (&cache, Some(run)));
            counted.unwrap().remove(0)
        };
        let (early, late) = (counts(), counts());
        assert!(
            early
                .facet(("v", 10), Some((run, &cache.columns)))
                .is_some()
        );
        cache.columns.begin_anew();
        ask(&memory([&["x"], &["y", "z"]]), &cache);
        assert!(late.facet(("v", 10), Some((run, &cache.columns))).is_none());
        let expected = [("b", 2), ("a", 1), ("c", 1)].map(|(t, n)| (t.to_owned(), n));
        assert_eq!(ask(&sources, &cache), expected);
    }

    #[test]
    fn counts_are_right_while_texts_are_dropped() {
        let sources = memory([&["a", "b", "b", "b"], &["c", "c", "a", "a", "a"]]);
        let others = memory([&["z", "y"], &["x"]]);
        let (cache, stop) = (MatchCache::default(), AtomicBool::new(false));
        let expected = [("a", 4), ("b", 3), ("c", 2)].map(|(t, n)| (t.to_owned(), n));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    cache.columns.begin_anew();
                    ask(&others, &cache);
                }
            });
            let right = (0..2_000).all(|_| ask(&sources, &cache) == expected);
            stop.store(true, Ordering::Relaxed);
            assert!(right);
        });
    }
}
