//! A page of hits: match every source, pick the rows that come first, read only those.

use std::cmp::Ordering;
use std::time::Duration;

use watchfire_event::{EventBatch, TimeRange};

use super::cache::MatchCache;
use super::job::Job;
use super::matching::{Source, matching, sources};
use super::{Cursor, Hit, MAX_PAGE, Order, SearchPage, SearchRequest};
use crate::StoreError;
use crate::memtable::View;
use crate::segment::Rows;

/// After this long the rest is only looked at when it can change the page; `total` is then a
/// lower bound. What was counted is remembered: asked again, the query counts on from there.
const COUNT_TIME: Duration = Duration::from_secs(1);
/// Sources matched between two looks at the clock, while the page is not full.
const WAVE: usize = 8;
/// Sources matched at a time to begin with, and once only the total is left to count.
const SMALL_WAVE: usize = 2;

/// A row that may be on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    at: Cursor,
    source: usize,
    row: usize,
}

/// Answers a search over a view.
///
/// # Errors
/// `query_limit`, or a failure to read.
pub(crate) fn search(
    view: &View,
    request: &SearchRequest,
    job: &Job,
    cache: &MatchCache,
) -> Result<SearchPage, StoreError> {
    if request.limit > MAX_PAGE {
        return Err(StoreError::QueryLimit(format!(
            "a page has at most {MAX_PAGE} hits"
        )));
    }
    let mut page = Page::new(request);
    let mut sources = sources(view, &request.range);
    sources.sort_by_key(|s| page.distance(s));
    let mut exact = true;
    let mut done = 0;
    while done < sources.len() {
        let worst = page.worst();
        let wave = match done == 0 || worst.is_some() {
            true => SMALL_WAVE,
            false => WAVE,
        };
        let rest = sources.get(done..).unwrap_or_default();
        let some = rest.get(..wave).unwrap_or(rest);
        let matters = |s: &Source| can_change(s, worst, request.order);
        if job.elapsed() > COUNT_TIME && !some.iter().any(matters) {
            exact = view.hidden.is_empty() && rest.iter().all(|s| is_free(s, request));
            if exact {
                page.total += rest.iter().map(|s| s.rows() as u64).sum::<u64>();
            }
            break;
        }
        let found = job.on_threads(some, |source| {
            let rows = matching(source, &request.query, &request.range, &view.hidden, cache)?;
            let first = match can_change(source, worst, request.order) {
                true => first_rows(source, &rows, request, cache)?,
                false => Vec::new(),
            };
            Ok((rows.count(source.rows()), first))
        })?;
        for (i, (count, first)) in found.into_iter().enumerate() {
            page.searched += some.get(i).map_or(0, Source::rows) as u64;
            page.add(done + i, count, first);
        }
        done += some.len();
    }
    let more = page.candidates.len() > request.limit;
    page.candidates.truncate(request.limit);
    let cursor = page.candidates.last().map(|c| c.at).filter(|_| more);
    let hits = read_hits(&sources, &page.candidates, job, cache)?;
    Ok(SearchPage {
        hits,
        total: page.total,
        total_is_exact: exact,
        cursor,
        searched: page.searched,
        partial: false,
    })
}

/// The page while it is being found.
struct Page<'a> {
    request: &'a SearchRequest,
    /// In page order, one more than the limit, which tells whether there is a next page.
    candidates: Vec<Candidate>,
    total: u64,
    searched: u64,
}

impl<'a> Page<'a> {
    fn new(request: &'a SearchRequest) -> Self {
        Page {
            request,
            candidates: Vec::new(),
            total: 0,
            searched: 0,
        }
    }

    /// Sources in the order in which they can fill the page.
    fn distance(&self, source: &Source) -> i64 {
        let (first, last) = source.times();
        match self.request.order {
            // Bitwise not reverses the order without overflow.
            Order::NewestFirst => !last,
            Order::OldestFirst => first,
        }
    }

    /// The last candidate, where the page is full.
    fn worst(&self) -> Option<Cursor> {
        let full = self.candidates.len() > self.request.limit;
        self.candidates.last().map(|c| c.at).filter(|_| full)
    }

    fn add(&mut self, source: usize, count: usize, first: Vec<(Cursor, usize)>) {
        self.total += count as u64;
        let new = first
            .into_iter()
            .map(|(at, row)| Candidate { at, source, row });
        self.candidates.extend(new);
        let order = self.request.order;
        self.candidates.sort_by(|a, b| compare(order, &a.at, &b.at));
        self.candidates.truncate(self.request.limit + 1);
    }
}

/// Does every row of the source match, by the form of the request alone?
fn is_free(source: &Source, request: &SearchRequest) -> bool {
    let (first, last) = source.times();
    let range = &request.range;
    request.query.is_all() && range.contains(first) && range.contains(last)
}

/// Can a row of the source come before the last candidate of a full page?
fn can_change(source: &Source, worst: Option<Cursor>, order: Order) -> bool {
    let (first, last) = source.times();
    match (worst, order) {
        (None, _) => true,
        (Some(worst), Order::NewestFirst) => last >= worst.time_ns,
        (Some(worst), Order::OldestFirst) => first <= worst.time_ns,
    }
}

fn compare(order: Order, a: &Cursor, b: &Cursor) -> Ordering {
    match order {
        Order::NewestFirst => b.cmp(a),
        Order::OldestFirst => a.cmp(b),
    }
}

/// The first `limit + 1` of the matching rows of a source, in page order, past the cursor.
fn first_rows(
    source: &Source,
    rows: &Rows,
    request: &SearchRequest,
    cache: &MatchCache,
) -> Result<Vec<(Cursor, usize)>, StoreError> {
    if *rows == Rows::None || request.limit == 0 {
        return Ok(Vec::new());
    }
    let wanted = request.limit + 1;
    let (first, last) = source.times();
    let cut = match (request.cursor, request.order) {
        (None, _) => false,
        (Some(c), Order::NewestFirst) if first > c.time_ns => return Ok(Vec::new()),
        (Some(c), Order::OldestFirst) if last < c.time_ns => return Ok(Vec::new()),
        (Some(c), Order::NewestFirst) => last >= c.time_ns,
        (Some(c), Order::OldestFirst) => first <= c.time_ns,
    };
    let chosen = match source {
        // A segment is sorted, so the rows of the page are at one end.
        Source::Segment(_) if !cut => end_of(rows, source.rows(), wanted, request.order),
        _ => set_rows(rows, source.rows()),
    };
    let mut keyed = keys(source, chosen, cache)?;
    if let Some(cursor) = request.cursor {
        keyed.retain(|(at, _)| compare(request.order, at, &cursor) == Ordering::Greater);
    }
    if keyed.len() > wanted {
        keyed.select_nth_unstable_by(wanted - 1, |a, b| compare(request.order, &a.0, &b.0));
        keyed.truncate(wanted);
    }
    keyed.sort_by(|a, b| compare(request.order, &a.0, &b.0));
    Ok(keyed)
}

fn set_rows(rows: &Rows, total: usize) -> Vec<usize> {
    match rows {
        Rows::All => (0..total).collect(),
        Rows::None => Vec::new(),
        Rows::Some(mask) => mask.set_indices().collect(),
    }
}

/// The last (newest first) or first `wanted` of the rows.
fn end_of(rows: &Rows, total: usize, wanted: usize, order: Order) -> Vec<usize> {
    match (rows, order) {
        (Rows::All, Order::NewestFirst) => (total.saturating_sub(wanted)..total).collect(),
        (Rows::All, Order::OldestFirst) => (0..total.min(wanted)).collect(),
        (rows, Order::OldestFirst) => {
            let mask = rows.to_mask(total);
            mask.set_indices().take(wanted).collect()
        }
        (rows, Order::NewestFirst) => {
            let mask = rows.to_mask(total);
            let mut found = Vec::with_capacity(wanted.min(total));
            let mut row = total;
            while row > 0 && found.len() < wanted {
                row -= 1;
                if mask.value(row) {
                    found.push(row);
                }
            }
            found.reverse();
            found
        }
    }
}

/// Event time and sequence number of the chosen rows.
fn keys(
    source: &Source,
    chosen: Vec<usize>,
    cache: &MatchCache,
) -> Result<Vec<(Cursor, usize)>, StoreError> {
    let keyed = |time_ns: &dyn Fn(usize) -> i64, seq: &dyn Fn(usize) -> u64| {
        let key = |row| {
            let (time_ns, seq) = (time_ns(row), seq(row));
            (Cursor { time_ns, seq }, row)
        };
        chosen.iter().copied().map(key).collect()
    };
    Ok(match source {
        Source::Memory(memory) => {
            let (time, seq) = (memory.batch.time().values(), memory.batch.seq().values());
            keyed(&|row| time.get(row).copied().unwrap_or_default(), &|row| {
                seq.get(row).copied().unwrap_or_default()
            })
        }
        Source::Segment(segment) => {
            let times = cache.columns.times(segment)?;
            keyed(&|row| times.time(row), &|row| times.seq(row))
        }
    })
}

/// These rows, of so many.
pub(crate) fn mask_of(rows: &[usize], total: usize) -> Rows {
    let mut mask = arrow::array::BooleanBufferBuilder::new(total);
    mask.append_n(total, false);
    for row in rows {
        mask.set_bit(*row, true);
    }
    Rows::of(mask.finish())
}

/// Reads the candidates in full, each source once.
fn read_hits(
    sources: &[Source],
    candidates: &[Candidate],
    job: &Job,
    cache: &MatchCache,
) -> Result<Vec<Hit>, StoreError> {
    let mut wanted: Vec<(usize, Vec<usize>)> = Vec::new();
    let mut by_place: Vec<&Candidate> = candidates.iter().collect();
    by_place.sort_by_key(|c| (c.source, c.row));
    for candidate in by_place {
        match wanted.last_mut() {
            Some((source, rows)) if *source == candidate.source => rows.push(candidate.row),
            _ => wanted.push((candidate.source, vec![candidate.row])),
        }
    }
    let read = job.on_threads(&wanted, |(source, rows)| {
        let source = sources
            .get(*source)
            .ok_or_else(|| StoreError::Internal("a hit without a source".into()))?;
        let batch = source.read_whole(&mask_of(rows, source.rows()), cache)?;
        Ok((0..batch.rows())
            .map(|row| hit(&batch, row))
            .collect::<Vec<_>>())
    })?;
    let mut hits: Vec<Hit> = read.into_iter().flatten().collect();
    let position: std::collections::HashMap<u64, usize> = candidates
        .iter()
        .enumerate()
        .map(|(i, c)| (c.at.seq, i))
        .collect();
    hits.sort_by_key(|hit| position.get(&hit.seq));
    Ok(hits)
}

/// A row as it is shown.
pub(crate) fn hit(batch: &EventBatch, row: usize) -> Hit {
    Hit {
        seq: batch.seq().values().get(row).copied().unwrap_or_default(),
        time_ns: batch.time().values().get(row).copied().unwrap_or_default(),
        received_ns: batch
            .received()
            .values()
            .get(row)
            .copied()
            .unwrap_or_default(),
        source: batch.source(row).map(|s| s.to_string()),
        flags: batch.flags(row),
        event: batch.event_json(row),
        mapped: batch.mapped_json(row),
    }
}

/// The range of event times that the sources have, cut to `range`; none without rows.
pub(super) fn data_range(sources: &[Source], range: &TimeRange) -> Option<(i64, i64)> {
    let first = sources.iter().map(|s| s.times().0).min()?;
    let last = sources.iter().map(|s| s.times().1).max()?;
    let from = first.max(range.from_ns);
    let to = last.saturating_add(1).min(range.to_ns);
    (from < to).then_some((from, to))
}
