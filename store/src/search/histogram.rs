//! Matching events counted over time.

use watchfire_event::{EventBatch, Query, TimeRange};

use super::cache::MatchCache;
use super::job::Job;
use super::matching::{matching, sources};
use super::run::data_range;
use super::values::{Names, for_each_value};
use super::{Bucket, Histogram, MAX_BUCKETS};
use crate::StoreError;
use crate::memtable::View;
use crate::segment::{Rows, is_named};

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
        let offset = (i128::from(time_ns) - i128::from(self.from_ns)) / i128::from(self.width_ns);
        usize::try_from(offset)
            .unwrap_or(0)
            .min(self.buckets.saturating_sub(1))
    }

    fn start(&self, bucket: usize) -> i64 {
        let start = i128::from(self.from_ns) + i128::from(self.width_ns) * bucket as i128;
        i64::try_from(start).unwrap_or(i64::MAX)
    }
}

/// Counts of one source or of all.
#[derive(Debug, Default)]
struct Counts {
    buckets: Vec<u64>,
    names: Names,
    /// By number of the value, then by bucket.
    by: Vec<Vec<u64>>,
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
    let counted = job.on_threads(&sources, |source| {
        let rows = matching(source, query, range, &view.hidden, cache)?;
        if rows == Rows::None {
            return Ok(Counts::default());
        }
        let fields: Vec<String> = by.map(str::to_owned).into_iter().collect();
        let keep = |stored: &str| stored == "_time" || is_named(stored, &fields);
        Ok(count(&source.read(keep, &rows)?, scale, by))
    })?;
    let mut whole = Counts {
        buckets: vec![0; scale.buckets],
        ..Counts::default()
    };
    for part in counted {
        whole.merge(part, scale.buckets);
    }
    Ok(whole.histogram(scale))
}

fn count(batch: &EventBatch, scale: Scale, by: Option<&str>) -> Counts {
    let mut counts = Counts {
        buckets: vec![0; scale.buckets],
        ..Counts::default()
    };
    let places: Vec<usize> = batch
        .time()
        .values()
        .iter()
        .map(|t| scale.bucket(*t))
        .collect();
    for place in &places {
        increment(&mut counts.buckets, *place, 1);
    }
    if let Some(field) = by {
        let Counts { names, by, .. } = &mut counts;
        for_each_value(batch, field, names, |row, value| {
            let value = value as usize;
            if value >= by.len() {
                by.resize_with(value + 1, Vec::new);
            }
            if let (Some(list), Some(place)) = (by.get_mut(value), places.get(row)) {
                list.resize(scale.buckets, 0);
                increment(list, *place, 1);
            }
        });
    }
    counts
}

fn increment(list: &mut [u64], place: usize, n: u64) {
    if let Some(count) = list.get_mut(place) {
        *count += n;
    }
}

impl Counts {
    fn merge(&mut self, part: Counts, buckets: usize) {
        for (place, n) in part.buckets.iter().enumerate() {
            increment(&mut self.buckets, place, *n);
        }
        for (text, number) in part.names.into_texts() {
            let Some(counts) = part.by.get(number as usize) else {
                continue;
            };
            let Some(number) = self.names.number(&text).map(|n| n as usize) else {
                continue;
            };
            if number >= self.by.len() {
                self.by.resize_with(number + 1, Vec::new);
            }
            if let Some(list) = self.by.get_mut(number) {
                list.resize(buckets, 0);
                counts
                    .iter()
                    .enumerate()
                    .for_each(|(place, n)| increment(list, place, *n));
            }
        }
    }

    fn histogram(self, scale: Scale) -> Histogram {
        let mut named: Vec<(u64, String, Vec<u64>)> = Vec::new();
        for (text, number) in self.names.into_texts() {
            let counts = self.by.get(number as usize).cloned().unwrap_or_default();
            named.push((counts.iter().sum(), text, counts));
        }
        named.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        named.truncate(SPLIT_VALUES);
        let bucket = |(place, count): (usize, &u64)| {
            let here = |counts: &Vec<u64>| counts.get(place).copied().unwrap_or_default();
            let by = named
                .iter()
                .map(|(_, text, counts)| (text.clone(), here(counts)));
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
