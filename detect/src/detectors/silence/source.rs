//! What one service or host sends, and what it should.

use std::f64::consts::LN_10;

use serde::{Deserialize, Serialize};

use super::MINUTE_NS;
use super::gaps::Gaps;
use crate::calibrate::{lower_chances, lower_tail};
use crate::calibration::Calibration;

/// Minutes of a bin.
const BIN: i64 = 5;
const BINS_PER_DAY: i64 = 24 * 60 / BIN;
const DAYS: i64 = 8;
const BINS: usize = (BINS_PER_DAY * DAYS) as usize;
/// Minutes kept one by one.
const MINUTES: usize = 64;
/// Minutes that are judged together.
const WINDOWS: [i64; 6] = [3, 5, 7, 10, 15, HOUR];
/// The longest of them. What is expected of an hour is off by more than chance, for all its
/// minutes alike, so the spread counts twice.
const HOUR: i64 = 60;
const HOUR_SPREAD: f64 = 2.0;
/// The fewest events that must be expected in them.
const LEAST: f64 = 8.0;
/// Minutes that a pause must last to be judged: a release takes two.
const PAUSE: i64 = 3;
/// Taken from the score of a pause: every event begins one, so there are many to go wrong.
const MANY: f64 = 1.5;
/// Bins before and after that are averaged with the one of the same time.
const AROUND: i64 = 4;
/// Bins whose expectations are kept.
const HABITS: usize = 40;
/// Hours until something is expected of a source: a day, and the bins around.
pub(super) const LEAST_HOURS: u64 = 25;
/// Of a bin of which nothing is expected yet.
const UNKNOWN: f32 = -1.0;
/// Bins that tell how busy it is, before the ones that are judged.
const BUSY: i64 = 24;
/// Of what is usual, more than this is business and no silence.
const LEFT: f64 = 0.2;

/// What one source sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Source {
    pub(super) service: String,
    /// Of a host: its name.
    pub(super) host: Option<String>,
    /// Its own key, and of a host that of its service.
    pub(super) key: u64,
    pub(super) of: u64,
    /// First minute it was seen.
    pub(super) born: i64,
    /// Minute of the last event.
    pub(super) last: i64,
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
    /// Event time of the newest event.
    #[serde(default)]
    newest_ns: i64,
    /// Its pauses.
    #[serde(default)]
    gaps: Gaps,
    /// How rarely low its counts were, -ln p of the distribution that they should have: that of a
    /// service whose people come in groups has a longer tail.
    #[serde(default)]
    lulls: Gaps,
    /// Alert is out since this minute.
    pub(super) silent_since: Option<i64>,
}

/// A source that says too little.
pub(super) struct Quiet {
    pub(super) key: u64,
    pub(super) score: f64,
    pub(super) window: i64,
    pub(super) count: u64,
    pub(super) expected: f64,
}

/// With how many events in a window nothing is said, and how many these are more than came.
pub(super) struct Enough {
    pub(super) window: i64,
    pub(super) count: u64,
    pub(super) lacking: u64,
}

impl Source {
    /// Memory that one takes, about.
    pub(super) const BYTES: usize = size_of::<Source>() + (BINS + MINUTES) * 2 + HABITS * 4 + 64;

    pub(super) fn new(
        service: &str,
        host: Option<&str>,
        (key, of): (u64, u64),
        minute: i64,
    ) -> Self {
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
            newest_ns: 0,
            gaps: Gaps::default(),
            lulls: Gaps::default(),
            silent_since: None,
        }
    }

    /// Counts an event, when it is minute `now`.
    pub(super) fn add(&mut self, time_ns: i64, now: i64) {
        let minute = time_ns.div_euclid(MINUTE_NS);
        // What comes later than the rings reach back is of no use.
        if minute > now || now - minute >= 60 {
            return;
        }
        self.pause(time_ns);
        self.last = self.last.max(minute);
        if let Some(count) = self.minutes.get_mut(slot(minute, MINUTES)) {
            *count = count.saturating_add(1);
        }
        if let Some(count) = self.bins.get_mut(slot(minute.div_euclid(BIN), BINS)) {
            *count = count.saturating_add(1);
        }
    }

    /// Learns the pause that an event ends.
    fn pause(&mut self, time_ns: i64) {
        let passed = (time_ns - self.newest_ns) as f64 / MINUTE_NS as f64;
        if passed <= 0.0 {
            return;
        }
        if self.host.is_none()
            && self.newest_ns > 0
            && passed <= MINUTES as f64
            && let Some(missed) = self.missed(time_ns.div_euclid(MINUTE_NS) + 1, passed)
        {
            self.gaps.learn(missed);
        }
        self.newest_ns = time_ns;
    }

    /// Events expected in so many minutes before `minute`.
    fn missed(&self, minute: i64, passed: f64) -> Option<f64> {
        let whole = (passed.ceil() as i64).max(1);
        Some(self.expected(minute, whole)? * passed / whole as f64)
    }

    /// A minute begins: what was in its places is over. The bin that ends is a lesson.
    pub(super) fn begin(&mut self, minute: i64, calibration: &mut Calibration) {
        if let Some(count) = self.minutes.get_mut(slot(minute, MINUTES)) {
            *count = 0;
        }
        if minute.rem_euclid(BIN) != 0 {
            return;
        }
        let ended = minute.div_euclid(BIN) - 1;
        let expected = self.habit(ended).map(|habit| habit * f64::from(self.ratio));
        if self.silent_since.is_none()
            && let Some(lull) = self.lull(minute)
        {
            self.lulls.learn(lull * LN_10);
        }
        if let Some(expected) = expected.filter(|e| *e > 1.0) {
            let off = self.bin(ended) - expected;
            if expected >= LEAST {
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
    pub(super) fn recent(&self, minute: i64, window: i64) -> u64 {
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
    pub(super) fn expected(&self, minute: i64, window: i64) -> Option<f64> {
        let end = (minute - 1).div_euclid(BIN);
        let bins = window.div_euclid(BIN).max(1);
        let habit: Option<f64> = (0..bins).map(|back| self.habit(end - back)).sum();
        let part = window as f64 / (bins * BIN) as f64;
        Some(habit? * part * f64::from(self.ratio))
    }

    /// Events of a window, and what was expected, if that is enough to judge it.
    fn lately(&self, minute: i64, window: i64) -> Option<(u64, f64)> {
        let expected = self.expected(minute, window).filter(|e| *e >= LEAST)?;
        Some((self.recent(minute, window), expected))
    }

    /// -log10 of the chance of so few events in a window.
    fn rarity(&self, window: i64, count: u64, expected: f64) -> f64 {
        let wide = if window == HOUR { HOUR_SPREAD } else { 1.0 };
        let spread = f64::from(self.spread).max(1.0) * wide;
        lower_tail(count, expected, spread * expected)
    }

    /// The same as it is told: no more than how rare that is among its own lulls.
    fn score(&self, window: i64, count: u64, expected: f64) -> f64 {
        let rarity = self.rarity(window, count, expected);
        rarity.min(self.lulls.score(rarity * LN_10, 1.0))
    }

    /// The rarest of what its windows say now.
    fn lull(&self, minute: i64) -> Option<f64> {
        let lately = |window: &i64| Some((*window, self.lately(minute, *window)?));
        let known = WINDOWS.iter().filter_map(lately);
        let scores = known.map(|(window, (count, expected))| self.rarity(window, count, expected));
        scores.max_by(f64::total_cmp)
    }

    /// How much too little it says, by counts of the last minutes or by the pause it makes.
    pub(super) fn quiet(&self, key: u64, minute: i64) -> Option<Quiet> {
        let counted = WINDOWS.iter().filter_map(|window| {
            let (count, expected) = self.lately(minute, *window)?;
            (count as f64 <= expected * LEFT).then(|| Quiet {
                key,
                score: self.score(*window, count, expected),
                window: *window,
                count,
                expected,
            })
        });
        let judged = counted.chain(self.paused(key, minute));
        judged.max_by(|a, b| a.score.total_cmp(&b.score))
    }

    /// What would have been enough at `minute`, had the rest come in its last minutes. Every window
    /// that is too quiet wants some more, and the one that wants most decides.
    pub(super) fn enough(&self, minute: i64, wanted: f64) -> Option<Enough> {
        let lacks = WINDOWS.iter().filter_map(|window| {
            let (count, expected) = self.lately(minute, *window)?;
            let is_told = |count: &u64| {
                *count as f64 <= expected * LEFT && self.score(*window, *count, expected) >= wanted
            };
            let enough = (count..).find(|count| !is_told(count))?;
            (enough > count).then_some(Enough {
                window: *window,
                count: enough,
                lacking: enough - count,
            })
        });
        let paused = self.paused(0, minute).filter(|quiet| quiet.score >= wanted);
        let paused = paused.map(|_| Enough {
            window: PAUSE,
            count: 1,
            lacking: 1,
        });
        lacks.chain(paused).max_by_key(|enough| enough.lacking)
    }

    /// Hours since it was seen first, and whether something is expected of it.
    pub(super) fn learned(&self, minute: i64) -> (u64, bool) {
        let hours = u64::try_from((minute - self.born) / 60).unwrap_or(0);
        (hours, self.expected(minute, BIN).is_some())
    }

    /// Does this service lack what its host used to send, if `more` events had come?
    pub(super) fn lacks(&self, minute: i64, window: i64, host: &Source, more: u64) -> bool {
        let expected = |source: &Source| source.expected(minute, window);
        let (Some(all), Some(of_host)) = (expected(self), expected(host)) else {
            return false;
        };
        let count = (self.recent(minute, window) + more) as f64;
        (all - count) / of_host.max(1.0) > 0.5
    }

    /// `orders-1 of orders`
    pub(super) fn words(&self) -> String {
        match &self.host {
            Some(host) => format!("{host} of {}", self.service),
            None => self.service.clone(),
        }
    }

    /// A service that says nothing at all is told as soon as its pause is too long for it. Hosts
    /// are not: their shares shift too often.
    fn paused(&self, key: u64, minute: i64) -> Option<Quiet> {
        let passed = (minute * MINUTE_NS - self.newest_ns) as f64 / MINUTE_NS as f64;
        let window = passed as i64;
        if self.host.is_some() || self.newest_ns == 0 || !(PAUSE..=HOUR).contains(&window) {
            return None;
        }
        let missed = self.missed(minute, passed).filter(|e| *e >= LEAST)?;
        let pauses = missed / passed * BIN as f64;
        Some(Quiet {
            key,
            score: self.gaps.score(missed, pauses) - MANY,
            window,
            count: 0,
            expected: missed,
        })
    }
}

/// Place of a minute or bin in its ring.
fn slot(at: i64, size: usize) -> usize {
    usize::try_from(at.rem_euclid(size as i64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::random::Random;

    /// Minutes until a service is told that sent three events a minute for three days, in groups
    /// of so many that come at once, and then stops.
    fn told_after(group: usize) -> i64 {
        const STOP: i64 = 3 * 24 * 60;
        let mut source = Source::new("orders", None, (1, 0), 0);
        let mut calibration = Calibration::default();
        let mut random = Random::new(5);
        let mut next = 0.0;
        for minute in 0..STOP {
            source.begin(minute, &mut calibration);
            while next < (minute + 1) as f64 {
                for event in 0..group {
                    let time_ns = (next * MINUTE_NS as f64) as i64 + event as i64;
                    source.add(time_ns, minute);
                }
                next -= (1.0 - random.unit()).ln() * group as f64 / 3.0;
            }
        }
        let late = (STOP..STOP + 60).find(|minute| {
            source.begin(*minute, &mut calibration);
            let pause = source.paused(1, *minute);
            pause.is_some_and(|pause| pause.score >= 4.0)
        });
        late.map_or(60, |minute| minute - STOP)
    }

    #[test]
    fn a_service_that_sends_in_bursts_may_pause_longer() {
        let (even, bursts) = (told_after(1), told_after(4));
        assert!((4..=9).contains(&even), "{even}");
        assert!(bursts >= 2 * even, "{bursts} {even}");
    }

    /// What a quarter of an hour with little is worth by the distribution alone, and as it is
    /// told, for a service that has such a lull at any time `a_day` times a day.
    fn lull_after(a_day: f64) -> (f64, f64) {
        const STOP: i64 = 7 * 24 * 60;
        let mut source = Source::new("orders", None, (1, 0), 0);
        let mut calibration = Calibration::default();
        let mut random = Random::new(7);
        let mut until = 0;
        for minute in 0..STOP + 15 {
            source.begin(minute, &mut calibration);
            if random.unit() < a_day / (24.0 * 60.0) {
                until = minute + 15;
            }
            let events = if minute < until || minute >= STOP {
                0..i64::from(minute % 8 == 0)
            } else {
                0..4
            };
            events.for_each(|event| source.add(minute * MINUTE_NS + event, minute));
        }
        source.begin(STOP + 15, &mut calibration);
        let (count, expected) = source.lately(STOP + 15, 15).unwrap_or_default();
        let told = source.quiet(1, STOP + 15).map_or(0.0, |quiet| quiet.score);
        (source.rarity(15, count, expected), told)
    }

    #[test]
    fn a_lull_that_is_usual_for_a_service_is_no_silence() {
        let ((steady, steady_told), (lulls, lulls_told)) = (lull_after(0.0), lull_after(6.0));
        assert!(steady > 4.0 && steady_told > 4.0, "{steady} {steady_told}");
        assert!(lulls > 4.0 && lulls_told < 4.0, "{lulls} {lulls_told}");
    }
}
