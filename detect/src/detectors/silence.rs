//! Silence: a source that says much less than it should at this hour.
//!
//! Counts of every service, and of every host of a service, are kept in bins of five minutes for
//! eight days. What is expected now is what came at the same time a week or a day ago (the middle
//! of nine bins, and the smaller of the two, so that a burst then is no silence now), less if the
//! last hours were less busy than theirs. The score is the lower tail of the negative
//! binomial around that, its spread learned from how far earlier expectations were off. The last
//! three to sixty minutes are judged every minute of event time. A service that says nothing at
//! all is also judged by its pause. How long pauses and how rare scores are usual for a source is
//! learned, so that one that sends in bursts may pause longer, and one whose people come in groups
//! may say less.
//!
//! Logs stop for harmless reasons too, which are told apart: a collector that fails silences
//! several services at once (one alert that names all), traffic that wanes moves what is
//! expected, and a host that is gone while its service goes on as before was replaced.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use watchfire_event::Query;

use super::config::DetectorConfig;
use super::on_facts::{At, FactDetector};
use super::{About, Learned};
use crate::alert::grouped;
use crate::calibrate::rounded;
use crate::calibration::Calibration;
use crate::cells::mix;
use crate::finding::Finding;
use crate::silent::Bound;

mod gaps;
mod source;

use source::{Enough, Quiet, Source};

const MINUTE_NS: i64 = 60 * 1_000_000_000;
/// Sources remembered.
const MAX_SOURCES: usize = 4_000;
/// So many are forgotten at once when there is no room, so that each costs little.
const MAKE_ROOM: usize = MAX_SOURCES / 16;
const DEFAULT_SCORE: f64 = 4.0;
/// So many services that fall silent together are one story: what collects their logs.
const TOGETHER: usize = 3;
/// A watermark that jumps further starts anew.
const MAX_JUMP: i64 = 2 * 24 * 60;

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

impl Silence {
    /// A detector that has seen nothing.
    pub(crate) fn new(config: Arc<DetectorConfig>) -> Self {
        Silence {
            config,
            state: State::default(),
        }
    }

    fn count(&mut self, key: u64, time_ns: i64, make: impl FnOnce() -> Source) {
        let minute = time_ns.div_euclid(MINUTE_NS);
        let sources = &mut self.state.sources;
        if !sources.contains_key(&key) {
            if sources.len() >= MAX_SOURCES {
                make_room(sources, minute);
            }
            sources.insert(key, make());
        }
        let now = self.state.minute.unwrap_or(minute);
        if let Some(source) = sources.get_mut(&key) {
            source.add(time_ns, now);
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
            // Replaced by another when the service goes on as before.
            service
                .lacks(minute, quiet.window, host, 0)
                .then_some(quiet)
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
        let expected = worst.expected.round() as u64;
        let mut summary = format!(
            "{} sent {} events in {} minutes, usual now is {}",
            source.words(),
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
            "silent_at": self.silent_at(minute, quiet, services),
        });
        at.finding(&self.config, says)
    }

    /// The events with which nothing would have been said; unknown where more than a service and
    /// one of its hosts are quiet.
    fn silent_at(&self, minute: i64, quiet: &[Quiet], services: usize) -> Value {
        let wanted = self.config.thresholds.min_score.unwrap_or(DEFAULT_SCORE);
        let sources: Option<Vec<&Source>> = quiet
            .iter()
            .map(|q| self.state.sources.get(&q.key))
            .collect();
        let sources = sources.unwrap_or_default();
        if services > 1 || sources.len() > services + 1 {
            return Value::Null;
        }
        let first = sources.first().map(|source| &source.service);
        if sources.iter().any(|s| Some(&s.service) != first) {
            return Value::Null;
        }
        let enough = sources
            .iter()
            .filter_map(|s| Some((s.enough(minute, wanted)?, s)));
        let most = enough.max_by_key(|(enough, _)| enough.lacking);
        let Some((enough, source)) = most.filter(|(e, s)| self.decides(minute, e, s)) else {
            return Value::Null;
        };
        let what = format!("events of {} in {} minutes", source.words(), enough.window);
        Bound::at_least(enough.count, what).told()
    }

    /// Would the source be told with one event less? A host is not while its service has enough.
    fn decides(&self, minute: i64, enough: &Enough, source: &Source) -> bool {
        let service = self.state.sources.get(&source.of);
        let Some(service) = service.filter(|_| source.host.is_some()) else {
            return true;
        };
        service.lacks(minute, enough.window, source, enough.lacking - 1)
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
        self.count(of, fact.time_ns, || {
            Source::new(service, None, (of, 0), minute)
        });
        if let Some(host) = at.names.of(fact.host).filter(|_| fact.host != 0) {
            let key = mix(fact.service, fact.host);
            self.count(key, fact.time_ns, || {
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

    fn learning(&self, about: &About<'_>) -> Option<Learned> {
        let minute = self.state.minute?;
        let named = |source: &&Source| match (about.kind, &source.host) {
            ("service", None) => source.service == about.value,
            ("host", Some(host)) => host == about.value,
            _ => false,
        };
        // Of a host with several services the one that is known best.
        let sources = self.state.sources.values().filter(named);
        let learned = sources.map(|source| source.learned(minute));
        learned
            .max_by_key(|(hours, _)| *hours)
            .and_then(|(seen, is_known)| {
                (!is_known).then_some(Learned {
                    seen,
                    needed: source::LEAST_HOURS,
                    unit: "hours",
                })
            })
    }

    fn state_bytes(&self) -> usize {
        self.state.sources.len() * Source::BYTES
    }
}

/// Forgets a part of the sources at once. Those that are new go first, so that a flood of hosts
/// drives out itself and not whoever has been there for a day.
fn make_room(sources: &mut BTreeMap<u64, Source>, minute: i64) {
    let day = 24 * 60;
    let worth = |s: &Source| {
        let stays = s.last - s.born >= day && minute - s.last < 2 * day;
        (stays, s.last)
    };
    let mut all: Vec<_> = sources.iter().map(|(k, s)| (worth(s), *k)).collect();
    let (gone, _, _) = all.select_nth_unstable(MAKE_ROOM.min(sources.len() - 1));
    for (_, key) in gone {
        sources.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_hosts_drives_out_itself_and_nobody_who_stays() {
        let mut silence = Silence::new(Arc::new(config()));
        let of = |key: u64, time_ns: i64| {
            let minute = time_ns.div_euclid(MINUTE_NS);
            move || Source::new("orders", None, (key, 0), minute)
        };
        for hour in 0..=30 {
            let time_ns = hour * 60 * MINUTE_NS;
            silence.state.minute = Some(hour * 60);
            for key in 0..100 {
                silence.count(key, time_ns, of(key, time_ns));
            }
        }
        let time_ns = 31 * 60 * MINUTE_NS;
        for key in 1_000..201_000 {
            silence.count(key, time_ns, of(key, time_ns));
            assert!(silence.state.sources.len() <= MAX_SOURCES);
        }
        assert!((0..100).all(|key| silence.state.sources.contains_key(&key)));
    }

    fn config() -> DetectorConfig {
        let file = crate::RuleFile {
            path: "silence.yml".into(),
            text: "detector: silence\nid: silence\ntitle: t".into(),
        };
        let (mut configs, faults) = DetectorConfig::read(&file, &crate::intel::IntelSet::default());
        assert!(faults.is_empty(), "{faults:?}");
        configs.remove(0)
    }
}
