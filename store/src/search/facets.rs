//! The most frequent values of fields among matching events.

use watchfire_event::{Query, TimeRange};

use super::cache::MatchCache;
use super::columns::{ColumnCache, Held, Numbers};
use super::hidden::Hidden;
use super::job::Job;
use super::matching::{Source, matching, sources};
use super::values::{Names, for_each_value};
use super::{Facet, MAX_FACET_FIELDS, MAX_FACET_VALUES};
use crate::StoreError;
use crate::memtable::View;
use crate::segment::{Rows, is_named};

/// A field asked of fewer than one in so many rows is not worth reading in full.
const FEW: usize = 64;

/// Counts of one field.
#[derive(Debug, Default)]
pub(super) struct Counts {
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
    let counted = count(&sources, (query, range, &view.hidden), fields, job, cache)?;
    let facets = fields.iter().zip(counted);
    Ok(facets
        .map(|(field, counts)| counts.facet(field, top, &cache.columns))
        .collect())
}

/// Counts the values of each field over all sources.
pub(super) fn count(
    sources: &[Source],
    (query, range, hidden): (&Query, &TimeRange, &[Hidden]),
    fields: &[String],
    job: &Job,
    cache: &MatchCache,
) -> Result<Vec<Counts>, StoreError> {
    let run = cache.columns.run();
    let counted = count_once(sources, (query, range, hidden), fields, job, (cache, true))?;
    if cache.columns.run() == run {
        return Ok(counted);
    }
    // The texts no longer have the numbers that were counted.
    count_once(sources, (query, range, hidden), fields, job, (cache, false))
}

fn count_once(
    sources: &[Source],
    (query, range, hidden): (&Query, &TimeRange, &[Hidden]),
    fields: &[String],
    job: &Job,
    (cache, numbered): (&MatchCache, bool),
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
            let held = match numbered {
                true => source.held(field, few, &cache.columns)?,
                false => None,
            };
            let added = held.is_some_and(|held| counts.add_held(&held, &rows, &cache.columns));
            if !added {
                rest.push((field.clone(), counts));
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
    /// Adds the values of the chosen rows. False when their numbers are out of date.
    fn add_held(&mut self, held: &Held, rows: &Rows, cache: &ColumnCache) -> bool {
        let Some(numbers) = cache.numbers(held) else {
            return false;
        };
        let coded = &held.coded;
        if let Rows::Some(mask) = rows
            && mask.count_set_bits() < coded.distinct()
        {
            mask.set_indices()
                .for_each(|row| self.add_code(numbers, coded.code(row), 1));
            return true;
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
        true
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
    pub(super) fn top(
        mut self,
        field: &str,
        top: usize,
        cache: &ColumnCache,
    ) -> (Vec<(String, u64)>, usize) {
        let counts = std::mem::take(&mut self.counts);
        let texts = std::mem::take(&mut self.names).into_texts();
        let mut values = Vec::new();
        let by_number = &mut self.by_number;
        cache.known(field, texts.iter().map(|(t, _)| t.as_str()), |i, known| {
            let Some((text, number)) = texts.get(i) else {
                return;
            };
            let n = counts.get(*number as usize).copied().unwrap_or_default();
            match known {
                Some(number) => add(by_number, number as usize, n),
                None => values.push((text.clone(), n)),
            }
        });
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
        let wanted: Vec<u32> = numbers.iter().map(|(_, number)| *number).collect();
        for ((n, _), text) in numbers.iter().zip(cache.texts(field, &wanted)) {
            values.extend(text.map(|text| (text.to_string(), *n)));
        }
        values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        values.truncate(top);
        (values, distinct)
    }

    fn facet(self, field: &str, top: usize, cache: &ColumnCache) -> Facet {
        let (missing, distinct_is_exact) = (self.missing, !self.names.overflowed);
        let (values, distinct) = self.top(field, top, cache);
        Facet {
            field: field.to_owned(),
            distinct: distinct as u64,
            distinct_is_exact,
            values,
            missing,
        }
    }
}
