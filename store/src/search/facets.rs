//! The most frequent values of fields among matching events.

use watchfire_event::{Query, TimeRange};

use super::cache::MatchCache;
use super::job::Job;
use super::matching::{matching, sources};
use super::values::{Names, for_each_value};
use super::{Facet, MAX_FACET_FIELDS, MAX_FACET_VALUES};
use crate::StoreError;
use crate::memtable::View;
use crate::segment::{Rows, is_named};

/// Counts of one field.
#[derive(Debug, Default)]
struct Counts {
    names: Names,
    /// By number of the value.
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
    let counted = job.on_threads(&sources, |source| {
        let rows = matching(source, query, range, &view.hidden, cache)?;
        let mut all: Vec<Counts> = fields.iter().map(|_| Counts::default()).collect();
        if rows == Rows::None {
            return Ok(all);
        }
        let batch = source.read(|stored| is_named(stored, fields), &rows)?;
        for (field, counts) in fields.iter().zip(&mut all) {
            let Counts {
                names,
                counts,
                missing,
            } = counts;
            let without = for_each_value(&batch, field, names, |_, value| {
                add(counts, value as usize, 1);
            });
            *missing = without as u64;
        }
        Ok(all)
    })?;
    let mut merged: Vec<Counts> = fields.iter().map(|_| Counts::default()).collect();
    for part in counted {
        for (whole, part) in merged.iter_mut().zip(part) {
            whole.merge(part);
        }
    }
    Ok(fields
        .iter()
        .zip(merged)
        .map(|(field, counts)| counts.facet(field, top))
        .collect())
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
    fn merge(&mut self, part: Counts) {
        self.missing += part.missing;
        self.names.overflowed |= part.names.overflowed;
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

    fn facet(self, field: &str, top: usize) -> Facet {
        let distinct = self.names.len() as u64;
        let distinct_is_exact = !self.names.overflowed;
        let count = |number: u32| {
            self.counts
                .get(number as usize)
                .copied()
                .unwrap_or_default()
        };
        let mut values: Vec<(String, u64)> = self
            .names
            .into_texts()
            .into_iter()
            .map(|(text, n)| (text, count(n)))
            .collect();
        values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        values.truncate(top);
        Facet {
            field: field.to_owned(),
            distinct,
            distinct_is_exact,
            values,
            missing: self.missing,
        }
    }
}
