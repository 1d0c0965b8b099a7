//! Matching events counted over time.

use watchfire_event::{EventBatch, Query, TimeRange};

use super::cache::MatchCache;
use super::columns::Held;
use super::facets;
use super::job::Job;
use super::matching::{Source, matching, sources};
use super::run::data_range;
use super::values::{Names, for_each_value};
use super::{Bucket, Histogram, MAX_BUCKETS};
use crate::StoreError;
use crate::memtable::View;
use crate::segment::{Coded, Rows, Times, is_named};

/// Values that a split histogram names; events of other values count in the bucket alone.
const SPLIT_VALUES: usize = 12;

/// The buckets of a histogram, without counts.
#[derive(Debug, Clone, Copy)]
struct Scale {
    from_ns: i64,
    width_ns: i64,
    buckets: usize,
}

impl Scale {
    fn new(from_ns: i64, to_ns: i64, buckets: usize) -> Scale {
        let span = (i128::from(to_ns) - i128::from(from_ns)).max(1);
        let width = (span + buckets as i128 - 1) / buckets as i128;
        let width_ns = i64::try_from(width).unwrap_or(i64::MAX).max(1);
        let used = (span + i128::from(width_ns) - 1) / i128::from(width_ns);
        Scale {
            from_ns,
            width_ns,
            buckets: usize::try_from(used).unwrap_or(buckets),
        }
    }

    fn bucket(&self, time_ns: i64) -> usize {
        // The difference of two numbers of 64 bits always fits without a sign.
        let offset = time_ns.max(self.from_ns).wrapping_sub(self.from_ns) as u64;
        let bucket = offset / self.width_ns.unsigned_abs().max(1);
        usize::try_from(bucket)
            .unwrap_or(usize::MAX)
            .min(self.buckets.saturating_sub(1))
    }

    fn start(&self, bucket: usize) -> i64 {
        let start = i128::from(self.from_ns) + i128::from(self.width_ns) * bucket as i128;
        i64::try_from(start).unwrap_or(i64::MAX)
    }
}

/// Counts of one source or of all.
#[derive(Debug)]
struct Counts {
    buckets: Vec<u64>,
    /// By value that splits, then by bucket.
    by: Vec<Vec<u64>>,
}

/// The values that split the buckets.
#[derive(Debug, Default)]
struct Split {
    field: String,
    values: Vec<String>,
}

/// Counts over a view. `by` splits each bucket by the values of a field.
///
/// # Errors
/// `invalid_request` for zero or too many buckets, `query_limit`, or a failure to read.
pub(crate) fn histogram(
    view: &View,
    (query, range): (&Query, &TimeRange),
    (buckets, by): (usize, Option<&str>),
    job: &Job,
    cache: &MatchCache,
) -> Result<Histogram, StoreError> {
    if buckets == 0 || buckets > MAX_BUCKETS {
        return Err(StoreError::InvalidRequest(format!(
            "1 to {MAX_BUCKETS} buckets"
        )));
    }
    let sources = sources(view, range);
    let Some((from_ns, to_ns)) = data_range(&sources, range) else {
        let from_ns = if range.from_ns == i64::MIN {
            0
        } else {
            range.from_ns
        };
        return Ok(Histogram {
            from_ns,
            to_ns: from_ns,
            width_ns: 1,
            buckets: Vec::new(),
        });
    };
    let scale = Scale::new(from_ns, to_ns, buckets);
    let split = match by {
        None => None,
        Some(field) => {
            let fields = [field.to_owned()];
            let asked = (query, range, &*view.hidden);
            let most = facets::most_frequent(&sources, asked, (&fields, SPLIT_VALUES), job, cache)?;
            let values = most.into_iter().flat_map(|facet| facet.values);
            Some(Split {
                field: field.to_owned(),
                values: values.map(|(text, _)| text).collect(),
            })
        }
    };
    let none = || Counts {
        buckets: vec![0; scale.buckets],
        by: match &split {
            Some(split) => vec![vec![0; scale.buckets]; split.values.len()],
            None => Vec::new(),
        },
    };
    let counted = job.on_threads(&sources, |source| {
        let mut counts = none();
        let rows = matching(source, query, range, &view.hidden, cache)?;
        if rows != Rows::None {
            count(source, &rows, scale, split.as_ref(), cache, &mut counts)?;
        }
        Ok(counts)
    })?;
    let mut whole = none();
    counted.iter().for_each(|part| whole.merge(part));
    Ok(whole.histogram(scale, split.unwrap_or_default()))
}

/// Adds the chosen rows of a source.
fn count(
    source: &Source,
    rows: &Rows,
    scale: Scale,
    split: Option<&Split>,
    cache: &MatchCache,
    counts: &mut Counts,
) -> Result<(), StoreError> {
    let held = match split {
        Some(split) => source.held(&split.field, false, &cache.columns)?,
        None => None,
    };
    let places = match source {
        Source::Segment(segment) => {
            let times = cache.columns.times(segment)?;
            Places::Runs(runs(&times, segment.rows(), scale))
        }
        Source::Memory(memory) => {
            let times = memory.batch.time().values();
            Places::Rows(times.iter().map(|t| scale.bucket(*t)).collect())
        }
    };
    places.count(rows, source.rows(), counts);
    let Some(split) = split else {
        return Ok(());
    };
    match held {
        Some(held) => places.split_held(&held, rows, split, counts),
        None => {
            let fields = [split.field.clone()];
            let batch = source.read(|stored| is_named(stored, &fields), rows)?;
            places.split_batch(&batch, rows, split, counts);
        }
    }
    Ok(())
}

/// In which bucket each row of a source is.
enum Places {
    /// Rows in the order of their times: bucket, first row, row after the last.
    Runs(Vec<(usize, usize, usize)>),
    /// By row.
    Rows(Vec<usize>),
}

/// Where each bucket begins and ends among rows in the order of their times.
fn runs(times: &Times, rows: usize, scale: Scale) -> Vec<(usize, usize, usize)> {
    let mut runs = Vec::new();
    let mut first = 0;
    while first < rows {
        let bucket = scale.bucket(times.time(first));
        let end = match bucket + 1 < scale.buckets {
            true => times.first_at(scale.start(bucket + 1)).max(first + 1),
            false => rows,
        };
        runs.push((bucket, first, end));
        first = end;
    }
    runs
}

impl Places {
    fn count(&self, rows: &Rows, total: usize, counts: &mut Counts) {
        match self {
            Places::Runs(runs) => {
                for (bucket, first, end) in runs {
                    let n = match rows {
                        Rows::Some(mask) => mask.slice(*first, end - first).count_set_bits(),
                        Rows::All => end - first,
                        Rows::None => 0,
                    };
                    increment(&mut counts.buckets, *bucket, n as u64);
                }
            }
            Places::Rows(places) => {
                for_each_row(rows, total, |row| {
                    if let Some(bucket) = places.get(row) {
                        increment(&mut counts.buckets, *bucket, 1);
                    }
                });
            }
        }
    }

    /// Splits by a field that is held as codes.
    fn split_held(&self, held: &Held, rows: &Rows, split: &Split, counts: &mut Counts) {
        let coded = &held.coded;
        let splits = split.of_codes(coded);
        match self {
            Places::Runs(runs) => {
                for (bucket, first, end) in runs {
                    let mut by_code = vec![0; coded.distinct() + 1];
                    coded.count_range(rows, (*first, *end), &mut by_code);
                    for (n, splits) in by_code.into_iter().zip(&splits).filter(|(n, _)| *n > 0) {
                        splits.iter().for_each(|s| counts.add(*s, *bucket, n));
                    }
                }
            }
            Places::Rows(places) => for_each_row(rows, coded.rows(), |row| {
                let splits = splits.get(coded.code(row));
                if let (Some(splits), Some(bucket)) = (splits, places.get(row)) {
                    splits.iter().for_each(|s| counts.add(*s, *bucket, 1));
                }
            }),
        }
    }

    /// Splits by a field of the chosen rows as read.
    fn split_batch(&self, batch: &EventBatch, rows: &Rows, split: &Split, counts: &mut Counts) {
        let mut names = Names::default();
        let mut found: Vec<(usize, u32)> = Vec::new();
        for_each_value(batch, &split.field, &mut names, |row, value| {
            found.push((row, value));
        });
        let texts = names.into_texts();
        let mut splits: Vec<Option<usize>> = vec![None; texts.len()];
        for (text, number) in texts {
            if let Some(slot) = splits.get_mut(number as usize) {
                *slot = split.values.iter().position(|v| *v == text);
            }
        }
        let mut chosen: Vec<usize> = Vec::with_capacity(batch.rows());
        for_each_row(rows, batch.rows(), |row| chosen.push(row));
        for (place, value) in found {
            let split = splits.get(value as usize).copied().flatten();
            let bucket = chosen.get(place).and_then(|row| self.bucket(*row));
            if let (Some(split), Some(bucket)) = (split, bucket) {
                counts.add(split, bucket, 1);
            }
        }
    }

    fn bucket(&self, row: usize) -> Option<usize> {
        match self {
            Places::Rows(places) => places.get(row).copied(),
            Places::Runs(runs) => {
                let run = runs.partition_point(|(_, _, end)| *end <= row);
                runs.get(run).map(|(bucket, ..)| *bucket)
            }
        }
    }
}

impl Split {
    /// For each code, which of the values its row has.
    fn of_codes(&self, coded: &Coded) -> Vec<Vec<usize>> {
        let place = |text: &str| self.values.iter().position(|v| v == text);
        let of_code = |code: usize| {
            let texts = coded.values().values(&self.field, code);
            let mut places: Vec<usize> = texts.iter().filter_map(|t| place(t)).collect();
            places.sort_unstable();
            places.dedup();
            places
        };
        (0..coded.distinct()).map(of_code).collect()
    }
}

/// Calls `take` with every chosen row, of `total`.
fn for_each_row(rows: &Rows, total: usize, take: impl FnMut(usize)) {
    match rows {
        Rows::None => {}
        Rows::All => (0..total).for_each(take),
        Rows::Some(mask) => mask.set_indices().for_each(take),
    }
}

fn increment(list: &mut [u64], place: usize, n: u64) {
    if let Some(count) = list.get_mut(place) {
        *count += n;
    }
}

impl Counts {
    fn add(&mut self, split: usize, bucket: usize, n: u64) {
        if let Some(list) = self.by.get_mut(split) {
            increment(list, bucket, n);
        }
    }

    fn merge(&mut self, part: &Counts) {
        let lists = self.by.iter_mut().chain([&mut self.buckets]);
        for (whole, part) in lists.zip(part.by.iter().chain([&part.buckets])) {
            for (place, n) in part.iter().enumerate() {
                increment(whole, place, *n);
            }
        }
    }

    fn histogram(self, scale: Scale, split: Split) -> Histogram {
        let named: Vec<(String, Vec<u64>)> = split.values.into_iter().zip(self.by).collect();
        let bucket = |(place, count): (usize, &u64)| {
            let here = |counts: &Vec<u64>| counts.get(place).copied().unwrap_or_default();
            let by = named
                .iter()
                .map(|(text, counts)| (text.clone(), here(counts)));
            Bucket {
                from_ns: scale.start(place),
                count: *count,
                by: by.filter(|(_, n)| *n > 0).collect(),
            }
        };
        Histogram {
            from_ns: scale.from_ns,
            to_ns: scale.start(scale.buckets),
            width_ns: scale.width_ns,
            buckets: self.buckets.iter().enumerate().map(bucket).collect(),
        }
    }
}
