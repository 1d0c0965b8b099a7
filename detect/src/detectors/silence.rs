//! Silence: a source that says much less than it should at this hour.
//!
//! Counts of every service, and of every host of a service, are kept in bins of five minutes for
//! eight days. What is expected now is what came at the same time a week or a day ago (the middle
//! of nine bins, and the smaller of the two, so that a burst then is no silence now), less if the
//! last hours were less busy than theirs. The score is the lower tail of the negative
//! binomial around that, its spread learned from how far earlier expectations were off. The last
//! three to sixty minutes are judged every minute of event time.
//!
//! Logs stop for harmless reasons too, which are told apart: a collector that fails silences
//! several services at once (one alert that names all), traffic that wanes
//! moves what is
//! expected, and a host that is gone while its service goes on as before was replaced.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use watchfire_event::Query;

use super::config::DetectorConfig;
use super::on_facts::{At, FactDetector};
use crate::alert::grouped;
use crate::calibrate::{lower_chances, lower_tail, rounded};
use crate::calibration::Calibration;
use crate::cells::mix;
use crate::finding::Finding;

const MINUTE_NS: i64 = 60 * 1_000_000_000;
/// Minutes of a bin.
const BIN: i64 = 5;
const BINS_PER_DAY: i64 = 24 * 60 / BIN;
const DAYS: i64 = 8;
const BINS: usize = (BINS_PER_DAY * DAYS) as usize;
/// Minutes kept one by one.
const MINUTES: usize = 64;
/// Minutes that are judged together, and the fewest events that must be expected in them.
const WINDOWS: [(i64, f64); 6] = [
    (3, 8.0),
    (5, 8.0),
    (7, 8.0),
    (10, 8.0),
    (15, 8.0),
    (60, 8.0),
];
/// Bins before and after that are averaged with the one of the same time.
const AROUND: i64 = 4;
/// Bins whose expectations are kept.
const HABITS: usize = 40;
/// Of a bin of which nothing is expected yet.
const UNKNOWN: f32 = -1.0;
/// Bins that tell how busy it is, before the ones that are judged.
const BUSY: i64 = 24;
/// Of what is usual, more than this is business and no silence.
const LEFT: f64 = 0.2;
/// Sources remembered.
const MAX_SOURCES: usize = 4_000;
const DEFAULT_SCORE: f64 = 4.0;
/// So many services that fall silent together are one story: what collects their logs.
const TOGETHER: usize = 3;
/// A watermark that jumps further starts anew.
const MAX_JUMP: i64 = 2 * 24 * 60;

/// What one source sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Source {
    service: String,
    /// Of a host: its name.
    host: Option<String>,
    /// Its own key, and of a host that of its service.
    key: u64,
    of: u64,
    /// First minute it was seen.
    born: i64,
    /// Minute of the last event.
    last: i64,
    /// Counts by bin, a ring.
    bins: Vec<u16>,
    /// Counts by minute, a ring.
    minutes: Vec<u16>,
    /// What the past led to expect of the last bins, a ring.
    habits: Vec<f32>,
    /// How busy the last hours were compared with what was expected of them.
    ratio: f32,
    /// How far expectations were off: mean of (count - expected)^2 / expected.
    spread: f32,
    /// Alert is out since this minute.
    silent_since: Option<i64>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    sources: BTreeMap<u64, Source>,
    /// The minute that is counted now.
    minute: Option<i64>,
    #[serde(default)]
    calibration: Calibration,
}

/// See the module's documentation.
pub(crate) struct Silence {
    config: Arc<DetectorConfig>,
    state: State,
}

/// A source that says too little.
struct Quiet {
    key: u64,
    score: f64,
    window: i64,
    count: u64,
    expected: f64,
}

impl Silence {
    /// A detector that has seen nothing.
    pub(crate) fn new(config: Arc<DetectorConfig>) -> Self {
        Silence {
            config,
            state: State::default(),
        }
    }

    fn count(&mut self, key: u64, minute: i64, make: impl FnOnce() -> Source) {
        let sources = &mut self.state.sources;
        if !sources.contains_key(&key) {
            if sources.len() >= MAX_SOURCES {
                let oldest = sources.iter().min_by_key(|(_, s)| s.last).map(|(k, _)| *k);
                oldest.map(|key| sources.remove(&key));
            }
            sources.insert(key, make());
        }
        let now = self.state.minute.unwrap_or(minute);
        if let Some(source) = sources.get_mut(&key) {
            source.add(minute, now);
        }
    }

    /// Ends the minutes before `now`.
    fn advance(&mut self, at: &At<'_>, out: &mut Vec<Finding>) {
        let now = at.fact.now_ns.div_euclid(MINUTE_NS);
        let Some(before) = self.state.minute else {
            self.state.minute = Some(now);
            return;
        };
        if now <= before {
            return;
        }
        if now - before > MAX_JUMP {
            self.state = State {
                minute: Some(now),
                ..State::default()
            };
            return;
        }
        for minute in before + 1..=now {
            self.state.minute = Some(minute);
            let calibration = &mut self.state.calibration;
            let sources = self.state.sources.values_mut();
            sources.for_each(|source| source.begin(minute, calibration));
            self.judge(minute, at, out);
        }
    }

    /// Judges every source at the beginning of `minute`.
    fn judge(&mut self, minute: i64, at: &At<'_>, out: &mut Vec<Finding>) {
        let wanted = self.config.thresholds.min_score.unwrap_or(DEFAULT_SCORE);
        let mut quiet: Vec<Quiet> = Vec::new();
        for (key, source) in &self.state.sources {
            if source.host.is_none() {
                quiet.extend(source.quiet(*key, minute));
            }
        }
        quiet.retain(|q| q.score >= wanted);
        let services = quiet.len();
        if services < TOGETHER {
            let hosts = self.quiet_hosts(minute, wanted);
            quiet.extend(hosts);
        }
        for quiet in &quiet {
            if let Some(source) = self.state.sources.get_mut(&quiet.key) {
                source.silent_since.get_or_insert(minute);
            }
        }
        let told = self.tell(minute, &quiet, services, at);
        out.extend(told);
        for source in self.state.sources.values_mut() {
            let ended = source.recent(minute, 5) > 0 && source.silent_since.is_some();
            if ended && !quiet.iter().any(|q| q.key == source.key) {
                source.silent_since = None;
            }
        }
    }

    /// Hosts that are silent while their service lacks what they used to send.
    fn quiet_hosts(&self, minute: i64, wanted: f64) -> Vec<Quiet> {
        let hosts = self.state.sources.iter().filter(|(_, s)| s.host.is_some());
        let quiet = hosts.filter_map(|(key, host)| {
            let quiet = host.quiet(*key, minute).filter(|q| q.score >= wanted)?;
            let service = self.state.sources.get(&host.of)?;
            let expected = service.expected(minute, quiet.window)?;
            let count = service.recent(minute, quiet.window) as f64;
            // Replaced by another when the service goes on as before.
            let missing = (expected - count) / quiet.expected.max(1.0);
            (missing > 0.5).then_some(quiet)
        });
        quiet.collect()
    }

    fn tell(&self, minute: i64, quiet: &[Quiet], services: usize, at: &At<'_>) -> Option<Finding> {
        let source_of = |quiet: &Quiet| self.state.sources.get(&quiet.key);
        let worst = quiet
            .iter()
            .max_by(|a, b| a.score.total_cmp(&b.score))
            .filter(|worst| source_of(worst).is_some_and(|s| s.silent_since == Some(minute)))?;
        let source = source_of(worst)?;
        let about = |source: &Source| match &source.host {
            Some(host) => format!("{host} of {}", source.service),
            None => source.service.clone(),
        };
        let expected = worst.expected.round() as u64;
        let mut summary = format!(
            "{} sent {} events in {} minutes, usual now is {}",
            about(source),
            grouped(worst.count),
            worst.window,
            grouped(expected),
        );
        let mut score = worst.score;
        if services >= TOGETHER {
            summary.push_str(&format!(
                "; {} services at once, so look at what collects their logs",
                services
            ));
            // A fault of ours, not an attacker who hides in one place.
            score = score.min(DEFAULT_SCORE);
        }
        let (kind, value) = match &source.host {
            Some(host) => ("host", host.as_str()),
            None => ("service", source.service.as_str()),
        };
        let mut says = at.says(kind, value, score);
        says.entities = BTreeMap::from([("service".to_owned(), source.service.clone())]);
        if let Some(host) = &source.host {
            says.entities.insert("host".to_owned(), host.clone());
        }
        let others = quiet.iter().filter_map(source_of).take(18);
        says.others = others
            .map(|source| match &source.host {
                Some(host) => ("host".to_owned(), host.clone()),
                None => ("service".to_owned(), source.service.clone()),
            })
            .collect();
        says.summary = summary;
        says.since_ns = (minute - worst.window) * MINUTE_NS;
        says.weight = worst.count;
        says.baseline = json!({
            "count": worst.count, "window": format!("{} minutes", worst.window),
            "mean": rounded(worst.expected), "days": (minute - source.born) / 1_440,
            "learning": minute - source.born < 7 * 1_440,
        });
        at.finding(&self.config, says)
    }
}

impl Source {
    fn new(service: &str, host: Option<&str>, (key, of): (u64, u64), minute: i64) -> Self {
        Source {
            service: service.to_owned(),
            host: host.map(str::to_owned),
            key,
            of,
            born: minute,
            last: minute,
            bins: vec![0; BINS],
            minutes: vec![0; MINUTES],
            habits: vec![UNKNOWN; HABITS],
            ratio: 1.0,
            spread: 2.0,
            silent_since: None,
        }
    }

    /// Counts an event of `minute`, when it is `now`.
    fn add(&mut self, minute: i64, now: i64) {
        // What comes later than the rings reach back is of no use.
        if minute > now || now - minute >= 60 {
            return;
        }
        self.last = self.last.max(minute);
        if let Some(count) = self.minutes.get_mut(slot(minute, MINUTES)) {
            *count = count.saturating_add(1);
        }
        if let Some(count) = self.bins.get_mut(slot(minute.div_euclid(BIN), BINS)) {
            *count = count.saturating_add(1);
        }
    }

    /// A minute begins: what was in its places is over. The bin that ends is a lesson.
    fn begin(&mut self, minute: i64, calibration: &mut Calibration) {
        if let Some(count) = self.minutes.get_mut(slot(minute, MINUTES)) {
            *count = 0;
        }
        if minute.rem_euclid(BIN) != 0 {
            return;
        }
        let ended = minute.div_euclid(BIN) - 1;
        let expected = self.habit(ended).map(|habit| habit * f64::from(self.ratio));
        if let Some(expected) = expected.filter(|e| *e > 1.0) {
            let off = self.bin(ended) - expected;
            if expected >= WINDOWS[0].1 {
                let (count, spread) = (self.bin(ended) as u64, f64::from(self.spread).max(1.0));
                let (low, high) = lower_chances(count, expected, spread * expected);
                calibration.note(low, high, self.silent_since.is_some());
            }
            let rate = if self.silent_since.is_some() {
                0.0
            } else {
                0.01
            };
            let lesson = (off * off / expected).min(25.0);
            self.spread += (rate * (lesson - f64::from(self.spread))) as f32;
            // Silence must not become what is usual.
            if self.silent_since.is_some()
                && let Some(count) = self.bins.get_mut(slot(ended, BINS))
            {
                *count = expected.round() as u16;
            }
        }
        let begun = minute.div_euclid(BIN);
        if let Some(count) = self.bins.get_mut(slot(begun, BINS)) {
            *count = 0;
        }
        self.expect(begun);
    }

    fn bin(&self, bin: i64) -> f64 {
        f64::from(self.bins.get(slot(bin, BINS)).copied().unwrap_or(0))
    }

    /// Events of the `window` minutes before `minute`.
    fn recent(&self, minute: i64, window: i64) -> u64 {
        let minutes = (minute - window)..minute;
        let counts = minutes.filter_map(|m| self.minutes.get(slot(m, MINUTES)));
        counts.map(|count| u64::from(*count)).sum()
    }

    /// Events a bin, `days` ago, around the bin: the middle one.
    fn level(&self, bin: i64, days: i64) -> Option<f64> {
        let at = bin - days * BINS_PER_DAY;
        let first = self.born.div_euclid(BIN);
        if at - AROUND <= first {
            return None;
        }
        let mut around: Vec<f64> = (at - AROUND..=at + AROUND).map(|b| self.bin(b)).collect();
        around.sort_by(f64::total_cmp);
        // The middle half: a median of small counts would only know whole numbers.
        let quarter = around.len() / 4;
        let middle = around.get(quarter..around.len() - quarter)?;
        Some(middle.iter().sum::<f64>() / middle.len() as f64)
    }

    /// Works out what is expected of the bin that begins.
    fn expect(&mut self, bin: i64) {
        let habit = match (self.level(bin, 7), self.level(bin, 1)) {
            (Some(week), Some(day)) => Some(week.min(day)),
            (week, day) => week.or(day),
        };
        if let Some(place) = self.habits.get_mut(slot(bin, HABITS)) {
            *place = habit.map_or(UNKNOWN, |habit| habit as f32);
        }
        // The two hours that ended an hour ago: a silence must not excuse itself.
        let before = (bin - BUSY - 12)..(bin - 12);
        let known = before.filter(|bin| self.habit(*bin).is_some());
        let (mut was, mut should) = (10.0, 10.0);
        for bin in known {
            was += self.bin(bin);
            should += self.habit(bin).unwrap_or(0.0);
        }
        self.ratio = (was / should).clamp(0.2, 1.0) as f32;
    }

    fn habit(&self, bin: i64) -> Option<f64> {
        let habit = f64::from(*self.habits.get(slot(bin, HABITS))?);
        (habit >= 0.0).then_some(habit)
    }

    /// Events expected in the `window` minutes before `minute`.
    fn expected(&self, minute: i64, window: i64) -> Option<f64> {
        let end = (minute - 1).div_euclid(BIN);
        let bins = window.div_euclid(BIN).max(1);
        let habit: Option<f64> = (0..bins).map(|back| self.habit(end - back)).sum();
        let part = window as f64 / (bins * BIN) as f64;
        Some(habit? * part * f64::from(self.ratio))
    }

    fn quiet(&self, key: u64, minute: i64) -> Option<Quiet> {
        let judged = WINDOWS.iter().filter_map(|(window, least)| {
            let expected = self.expected(minute, *window).filter(|e| e >= least)?;
            let count = self.recent(minute, *window);
            if count as f64 > expected * LEFT {
                return None;
            }
            let spread = f64::from(self.spread).max(1.0);
            Some(Quiet {
                key,
                score: lower_tail(count, expected, spread * expected),
                window: *window,
                count,
                expected,
            })
        });
        judged.max_by(|a, b| a.score.total_cmp(&b.score))
    }
}

impl FactDetector for Silence {
    type State = State;

    fn config(&self) -> &Arc<DetectorConfig> {
        &self.config
    }

    fn fact(&mut self, at: &At<'_>, out: &mut Vec<Finding>) {
        self.advance(at, out);
        let fact = at.fact;
        let minute = fact.time_ns.div_euclid(MINUTE_NS);
        let Some(service) = at.names.of(fact.service).filter(|_| fact.service != 0) else {
            return;
        };
        let of = mix(fact.service, 0);
        self.count(of, minute, || Source::new(service, None, (of, 0), minute));
        if let Some(host) = at.names.of(fact.host).filter(|_| fact.host != 0) {
            let key = mix(fact.service, fact.host);
            self.count(key, minute, || {
                Source::new(service, Some(host), (key, of), minute)
            });
        }
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn set_state(&mut self, state: State) {
        self.state = state;
    }

    fn forget(&mut self, query: &Query) {
        self.state.sources.retain(|_, source| {
            let names = source.host.iter().chain([&source.service]);
            !query.is_mentioned_by(&names.cloned().collect::<Vec<_>>())
        });
    }

    fn calibration(&self) -> Option<&Calibration> {
        Some(&self.state.calibration)
    }

    fn state_bytes(&self) -> usize {
        self.state.sources.len() * (size_of::<Source>() + (BINS + MINUTES) * 2 + HABITS * 4 + 64)
    }
}

/// Place of a minute or bin in its ring.
fn slot(at: i64, size: usize) -> usize {
    usize::try_from(at.rem_euclid(size as i64)).unwrap_or(0)
}
