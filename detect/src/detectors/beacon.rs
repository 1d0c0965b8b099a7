//! Beacon: calls that come as regularly as a clock, where no clock is known.
//!
//! What has got in calls home: at a steady interval, with messages of about the same size, for
//! hours. For each pair of who calls (a service, else a host) and what is called (a domain outside,
//! or a route of another service) the last calls are kept. How regular they are is told by the four
//! measures of RITA (activecm/rita, `analysis/beacons.go`), each from 0 to 1: Bowley's skewness of
//! the intervals, their median absolute deviation, how much of the time is covered, and how alike
//! the sizes are. Deviations are taken relative to the median, so that a slow beacon is held to no
//! other standard than a fast one.
//!
//! Programs are regular, too, so it is the new rhythm that counts. Silent for: rhythms that began
//! while the log was young, a pair that had the same rhythm before, and what several others call
//! as regularly. The score is how rare new rhythms are, more for the more regular, less after a
//! deploy of either end.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use watchfire_event::Query;

use super::config::DetectorConfig;
use super::on_facts::{At, FactDetector};
use crate::alert::grouped;
use crate::calibrate::rounded;
use crate::calibration::Calibration;
use crate::cells::mix;
use crate::facts::recent::Recent;
use crate::facts::{Act, Fact};
use crate::finding::Finding;
use crate::sigma::told::span_words;
use crate::silent::Bound;

const HOUR_MS: i64 = 3_600 * 1_000;
/// Calls of a pair that are kept.
const CALLS: usize = 128;
/// Calls before a pair is judged, and after which it is judged again.
const LEAST: usize = 32;
const AGAIN: u32 = 16;
/// Regularity from which on a rhythm is told, and from which on it is a habit.
const REGULAR: f64 = 0.86;
const HABIT: f64 = 0.6;
/// A rhythm that goes on for less is none.
const LASTING_MS: i64 = 4 * HOUR_MS;
/// Intervals that differ by no more than this share are one rhythm.
const SAME: f64 = 0.25;
/// So many intervals without a call are a break.
const BREAK: f64 = 8.0;
/// What went on for so long and was not told is a habit.
const SETTLED_MS: i64 = 48 * HOUR_MS;
/// Rhythms that began before the log was so old are what is usual.
const YOUNG_MS: i64 = 72 * HOUR_MS;
/// Callers that share a rhythm with a target: it is everybody's.
const SHARED: usize = 3;
/// A deploy explains what begins within this time after it.
const DEPLOY_MS: i64 = HOUR_MS;
/// What it takes off the score.
const EXPLAINED: f64 = 2.0;
/// Shorter intervals are retries and fan-out, which logs date too coarsely.
const SHORTEST_MS: f64 = 5_000.0;
/// Pairs, targets and deploys of a generation.
const MAX_PAIRS: usize = 8_000;
const MAX_TARGETS: usize = 8_000;
const MAX_SERVICES: usize = 2_000;
const DEFAULT_SCORE: f64 = 4.0;

/// What was called, and by whom.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Pair {
    /// Event times in milliseconds, and bytes, of the last calls; rings of [`CALLS`].
    times: Vec<i64>,
    sizes: Vec<u32>,
    next: usize,
    since_judged: u32,
    first_ms: i64,
    /// Since when it is regular, its interval, and its calls in it; 0 while it is not.
    since_ms: i64,
    interval_ms: f64,
    calls: u64,
    /// The interval that is its habit, 0 while it has none.
    habit_ms: f64,
    events: Vec<u64>,
}

/// Who calls a target as regularly.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Target {
    callers: Vec<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pairs: Recent<Pair>,
    targets: Recent<Target>,
    /// When services were deployed last.
    deploys: Recent<i64>,
    /// First event seen.
    begun_ms: Option<i64>,
    /// Pairs that were called long enough to be judged, and new rhythms among them.
    judged: f64,
    rhythms: f64,
}

/// How regular calls are.
#[derive(Debug, Clone, Copy)]
struct Rhythm {
    regularity: f64,
    /// The first of the calls that come without a long break until now.
    since_ms: i64,
    interval_ms: f64,
    /// Median absolute deviation of the intervals.
    off_ms: f64,
    bytes: f64,
    bytes_off: f64,
}

/// See the module's documentation.
pub(crate) struct Beacon {
    config: Arc<DetectorConfig>,
    state: State,
}

impl Beacon {
    /// A detector that has seen nothing.
    pub(crate) fn new(config: Arc<DetectorConfig>) -> Self {
        Beacon {
            config,
            state: State {
                pairs: Recent::new(MAX_PAIRS),
                targets: Recent::new(MAX_TARGETS),
                deploys: Recent::new(MAX_SERVICES),
                begun_ms: None,
                judged: 0.0,
                rhythms: 0.0,
            },
        }
    }

    /// Takes in a call; gives the rhythm of its pair if that is new, and the score.
    fn call(&mut self, fact: &Fact, ends: (u64, u64)) -> Option<(Pair, Rhythm, f64)> {
        let (caller, target) = ends;
        let now_ms = fact.time_ns / 1_000_000;
        let begun_ms = *self.state.begun_ms.get_or_insert(now_ms);
        let pair = self.state.pairs.entry(mix(caller, target), || Pair {
            first_ms: now_ms,
            ..Pair::default()
        });
        pair.note(now_ms, fact);
        if pair.times.len() < LEAST || pair.since_judged < AGAIN {
            return None;
        }
        let first_time = pair.calls == 0 && pair.times.len() == LEAST;
        pair.since_judged = 0;
        if pair.is_fast(now_ms) {
            return None;
        }
        let rhythm = Rhythm::of(pair)?;
        self.state.judged += f64::from(u8::from(first_time));
        pair.go_on(&rhythm);
        if pair.since_ms == 0 {
            return None;
        }
        let same = near(pair.habit_ms, rhythm.interval_ms);
        let is_young = pair.since_ms - begun_ms < YOUNG_MS;
        let lasts = now_ms - pair.since_ms >= LASTING_MS;
        let is_settled = now_ms - pair.since_ms > SETTLED_MS;
        if same || is_young || is_settled {
            pair.habit_ms = rhythm.interval_ms;
        }
        if !lasts {
            return None;
        }
        let target = self.state.targets.entry(target, Target::default);
        if !target.callers.contains(&caller) && target.callers.len() <= SHARED {
            target.callers.push(caller);
        }
        let is_shared = target.callers.len() > SHARED;
        if same || is_young || is_settled || is_shared || rhythm.regularity < REGULAR {
            return None;
        }
        pair.habit_ms = rhythm.interval_ms;
        let pair = pair.clone();
        self.state.rhythms += 1.0;
        let score = self.score(&pair, &rhythm, [caller, fact.service]);
        Some((pair, rhythm, score))
    }

    fn score(&mut self, pair: &Pair, rhythm: &Rhythm, ends: [u64; 2]) -> f64 {
        let rare = ((self.state.judged + 10.0) / self.state.rhythms.max(1.0)).log10();
        let explained = ends.iter().any(|end| {
            let deploy = self.state.deploys.peek(*end);
            deploy.is_some_and(|at| (0..DEPLOY_MS).contains(&(pair.since_ms - at)))
        });
        let clear = (rhythm.regularity - REGULAR) / (1.0 - REGULAR);
        2.5 + rare + clear - if explained { EXPLAINED } else { 0.0 }
    }

    fn tell(&self, at: &At<'_>, score: f64, pair: &Pair, rhythm: &Rhythm) -> Option<Finding> {
        let fact = at.fact;
        let (what, who) = match fact.caller {
            0 => ("host.name", at.name(fact.host)),
            caller => ("source.service.name", at.name(caller)),
        };
        let callee = match fact.domain {
            0 => at.name(fact.service),
            domain => at.name(domain),
        };
        let mut says = at.says("edge", &format!("{who}>{callee}"), score);
        says.clauses = vec![Query::field_equals(what, who)];
        says.clauses.push(match fact.domain {
            0 => at.clause("service", callee),
            _ => Query::field_equals("destination.domain", callee),
        });
        let whom = match fact.domain {
            0 => format!("{callee} ({})", at.name(fact.route)),
            _ => callee.to_owned(),
        };
        let hours = (fact.time_ns / 1_000_000 - pair.since_ms) as f64 / HOUR_MS as f64;
        let known = match pair.since_ms - pair.first_ms {
            age if age < HOUR_MS => "never called before".to_owned(),
            age => format!("without such a rhythm in the {} before", long(age)),
        };
        says.summary = format!(
            "{who} calls {whom} every {} ±{} for {hours:.0} h, {} bytes ±{} each; {known}",
            lasting(rhythm.interval_ms as i64),
            lasting(rhythm.off_ms as i64),
            grouped(rhythm.bytes as u64),
            grouped(rhythm.bytes_off as u64),
        );
        says.since_ns = pair.since_ms * 1_000_000;
        says.weight = pair.calls;
        says.evidence = pair.events.clone();
        says.baseline = json!({
            "interval_s": rounded(rhythm.interval_ms / 1e3),
            "interval_off_s": rounded(rhythm.off_ms / 1e3),
            "hours": rounded(hours), "calls": pair.calls,
            "bytes": rhythm.bytes, "bytes_off": rhythm.bytes_off,
            "regularity": rounded(rhythm.regularity),
            "silent_at": Bound::at_most(pair.calls - 1, "calls in this rhythm").told(),
            "pairs": self.state.judged, "new_rhythms": self.state.rhythms,
        });
        at.finding(&self.config, says)
    }
}

impl Pair {
    fn note(&mut self, now_ms: i64, fact: &Fact) {
        let bytes = u32::try_from(fact.bytes).unwrap_or(u32::MAX);
        if self.times.len() < CALLS {
            self.times.push(now_ms);
            self.sizes.push(bytes);
        } else if let (Some(time), Some(size)) =
            (self.times.get_mut(self.next), self.sizes.get_mut(self.next))
        {
            (*time, *size) = (now_ms, bytes);
            self.next = (self.next + 1) % CALLS;
        }
        self.since_judged += 1;
        self.calls += u64::from(self.since_ms != 0);
        if self.events.len() < 10 {
            self.events.push(fact.seq);
        }
    }

    /// Do its calls come too fast to tell a rhythm?
    fn is_fast(&self, now_ms: i64) -> bool {
        let oldest = self.times.get(self.next).copied().unwrap_or(now_ms);
        ((now_ms - oldest) as f64) < self.times.len() as f64 * SHORTEST_MS * 0.5
    }

    /// Goes on with a rhythm, begins one or ends it.
    fn go_on(&mut self, rhythm: &Rhythm) {
        let is_regular = rhythm.regularity >= HABIT;
        if is_regular && near(self.interval_ms, rhythm.interval_ms) && self.since_ms != 0 {
            return;
        }
        (self.since_ms, self.interval_ms, self.calls) = (0, 0.0, 0);
        if is_regular {
            self.since_ms = rhythm.since_ms;
            self.interval_ms = rhythm.interval_ms;
            self.calls = self.times.len() as u64;
        } else {
            self.events.clear();
        }
    }

    fn bytes(&self) -> usize {
        self.times.capacity() * 8 + self.sizes.capacity() * 4 + self.events.capacity() * 8
    }
}

impl Rhythm {
    /// Of the calls that are kept; `None` for those that come too fast.
    fn of(pair: &Pair) -> Option<Rhythm> {
        let mut times = pair.times.clone();
        times.sort_unstable();
        let pairs = times.iter().zip(times.iter().skip(1));
        let mut intervals: Vec<f64> = pairs.map(|(a, b)| (b - a) as f64).collect();
        let [low, median, high] = quartiles(&mut intervals);
        if median < SHORTEST_MS {
            return None;
        }
        let together = |pair: &(&i64, &i64)| ((pair.1 - pair.0) as f64) < median * BREAK;
        let since = times.iter().zip(times.iter().skip(1)).rev();
        let since = since.take_while(together).last().map(|(first, _)| *first);
        let off_ms = deviation(&intervals, median);
        let mut sizes: Vec<f64> = pair.sizes.iter().map(|s| f64::from(*s)).collect();
        let [_, bytes, _] = quartiles(&mut sizes);
        let bytes_off = deviation(&sizes, bytes);
        let skew = match high - low {
            // Too narrow to lean to a side.
            range if range < median * 0.05 => 0.0,
            range => (low + high - 2.0 * median) / range,
        };
        let span = times.last().zip(times.first()).map_or(0, |(b, a)| b - a);
        // Intervals of chance alone deviate by 0.69 of their median.
        let steady = (1.0 - off_ms / median * 2.0).max(0.0);
        let covered = (intervals.len() as f64 * median / span.max(1) as f64).min(1.0);
        let alike = (1.0 - bytes_off / bytes.max(1.0)).max(0.0);
        Some(Rhythm {
            regularity: (1.0 - skew.abs() + steady + covered + alike) / 4.0,
            since_ms: since.or(times.last().copied()).unwrap_or(0),
            interval_ms: median,
            off_ms,
            bytes,
            bytes_off,
        })
    }
}

impl FactDetector for Beacon {
    type State = State;

    fn config(&self) -> &Arc<DetectorConfig> {
        &self.config
    }

    fn fact(&mut self, at: &At<'_>, out: &mut Vec<Finding>) {
        let fact = at.fact;
        if fact.act == Act::Deploy && fact.service != 0 {
            self.state
                .deploys
                .set(fact.service, fact.time_ns / 1_000_000);
        }
        let Some(ends) = ends(fact) else {
            return;
        };
        let wanted = self.config.thresholds.min_score.unwrap_or(DEFAULT_SCORE);
        let found = self.call(fact, ends);
        if let Some((pair, rhythm, score)) = found.filter(|(.., score)| *score >= wanted) {
            out.extend(self.tell(at, score, &pair, &rhythm));
        }
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn set_state(&mut self, state: State) {
        self.state = state;
    }

    fn calibration(&self) -> Option<&Calibration> {
        // The score is how rare new rhythms are: there is no window that has none.
        None
    }

    fn state_bytes(&self) -> usize {
        let calls: usize = self.state.pairs.values().map(Pair::bytes).sum();
        let callers = self.state.targets.len() * (SHARED + 1) * 8;
        calls
            + callers
            + self.state.pairs.bytes()
            + self.state.targets.bytes()
            + self.state.deploys.bytes()
    }
}

/// Who calls, and what is called.
fn ends(fact: &Fact) -> Option<(u64, u64)> {
    match (fact.caller, fact.domain) {
        (0, 0) => None,
        (0, domain) => (fact.host != 0).then_some((fact.host, domain)),
        (caller, 0) => {
            let named = fact.service != 0 && fact.route != 0;
            named.then(|| (caller, mix(fact.service, fact.route)))
        }
        (caller, domain) => Some((caller, domain)),
    }
}

fn near(one: f64, other: f64) -> bool {
    (one - other).abs() <= SAME * one.max(other) && one > 0.0
}

/// Sorts the values, and gives their quartiles.
fn quartiles(values: &mut [f64]) -> [f64; 3] {
    values.sort_unstable_by(f64::total_cmp);
    let at = |share: usize| values.get(values.len() * share / 4);
    [1, 2, 3].map(|share| at(share).copied().unwrap_or(0.0))
}

/// Median absolute deviation from the median.
fn deviation(values: &[f64], median: f64) -> f64 {
    let mut off: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
    quartiles(&mut off)[1]
}

/// `12 days`, of milliseconds.
fn long(ms: i64) -> String {
    match (ms + HOUR_MS / 2) / HOUR_MS {
        hours if hours >= 48 => format!("{} days", hours / 24),
        hours => format!("{hours} h"),
    }
}

/// `90 s`, of milliseconds.
fn lasting(ms: i64) -> String {
    span_words(u64::try_from((ms + 500) / 1_000).unwrap_or(0))
}
