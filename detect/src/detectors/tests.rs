//! What every kind of detector on facts must do, whatever it looks for: keep its memory within
//! bounds however many entities there are, not forget those that stay, and mean its p-values.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use watchfire_event::{BatchBuilder, BatchLimits, RowMeta};

use super::*;
use crate::facts::{Fact, Outcome};
use crate::intel::IntelSet;
use crate::models::random::Random;
use crate::ruleset::RuleFile;

const HOUR_NS: i64 = 3_600 * 1_000_000_000;
const DAY_NS: i64 = 24 * HOUR_NS;
/// A Monday.
const BEGIN_NS: i64 = 20_528 * DAY_NS;
const MB: usize = 1_000_000;

/// The most that a kind may hold in a flood, in megabytes.
const CAPS: &[(&str, usize)] = &[
    ("beacon", 40),
    ("cardinality", 20),
    ("new_place", 40),
    ("reach", 60),
    ("silence", 40),
    ("spree", 40),
    ("takeover", 120),
    ("token_use", 40),
    ("unissued", 40),
    ("volume", 20),
    ("walk", 60),
];
/// The most that all of them may hold together.
const ALL_MB: usize = 400;

/// Every kind on facts, with its threshold.
fn kinds(min_score: f64) -> Vec<(&'static str, Box<dyn Detector>)> {
    let on_facts = DETECTORS.iter().filter(|kind| !kind.reads.is_empty());
    let made = on_facts.map(|kind| {
        let name = kind.name;
        let file = RuleFile {
            path: format!("{name}.yml"),
            text: format!(
                "detector: {name}\nid: {name}\ntitle: t\nthresholds: {{ min_score: {min_score} }}"
            ),
        };
        let (mut configs, faults) = DetectorConfig::read(&file, &IntelSet::default());
        assert!(faults.is_empty(), "{faults:?}");
        (name, (kind.make)(Arc::new(configs.remove(0))))
    });
    made.collect()
}

/// Lets the detectors see facts; gives what they find, by kind.
fn show(
    detectors: &mut [(&'static str, Box<dyn Detector>)],
    names: &Names,
    rows: Vec<Fact>,
) -> Vec<(&'static str, Finding)> {
    let mut builder = BatchBuilder::new(BatchLimits::default());
    let meta = RowMeta {
        received_ns: i64::MAX / 2,
        source: "test".into(),
    };
    builder.push(br#"{"user":{"id":"u"}}"#, &meta).unwrap();
    let batch = builder.finish();
    let fields = BatchFields::new(&batch);
    let entities = EntityReader::new(&fields);
    let facts = Facts { rows };
    let observed = Observed {
        fields: &fields,
        entities: &entities,
        facts: &facts,
        names,
    };
    let mut all = Vec::new();
    for (name, detector) in detectors {
        let mut found = Vec::new();
        detector.observe(&observed, &mut found);
        all.extend(found.into_iter().map(|finding| (*name, finding)));
    }
    all
}

/// A number that no other key has.
fn key(kind: u64, number: u64) -> u64 {
    crate::cells::mix(kind, number + 1)
}

/// A served request from outside.
fn request(time_ns: i64, user: u64) -> Fact {
    Fact {
        time_ns,
        now_ns: time_ns,
        outcome: Outcome::Success,
        status: 200,
        user,
        role: key(1, user % 3),
        token: key(2, user),
        ip: key(3, user),
        net: key(4, user),
        asn: key(5, user % 7),
        agent: key(6, user % 5),
        exact_agent: key(6, user % 5),
        service: key(7, 0),
        host: key(8, 0),
        route: key(9, 0),
        number: Some(5),
        bytes: 2_000,
        ..Fact::default()
    }
}

/// A call from one service to another.
fn health(time_ns: i64) -> Fact {
    Fact {
        caller: key(7, 0),
        service: key(7, 1),
        route: key(9, 100),
        bytes: 300,
        ..request(time_ns, 0)
    }
}

/// The next day of people who each work some hours of it, as much as chance will have it.
fn day(random: &mut Random, names: &mut Names, day: i64) -> Vec<Fact> {
    names.note(key(7, 0), "desk");
    names.note(key(7, 1), "store");
    names.note(key(8, 0), "desk-1");
    let mut rows = Vec::new();
    for user in 1..=250u64 {
        names.note(user, &format!("u{user}"));
        let busy = 8.0 + (user % 10) as f64 * 3.0;
        let requests = (busy * (0.4 * normal(random)).exp()).round() as u64;
        let begins = BEGIN_NS + day * DAY_NS + (6 + user as i64 % 6) * HOUR_NS;
        for _ in 0..requests {
            let at = begins + (random.unit() * 8.0 * HOUR_NS as f64) as i64;
            let away = random.below(30) == 0;
            rows.push(Fact {
                route: key(9, user % 4 + random.below(6) as u64),
                net: key(
                    4,
                    if away {
                        10_000 + random.below(40) as u64
                    } else {
                        user
                    },
                ),
                token: key(2, user + 1_000 * day as u64),
                number: Some(random.below(100_000) as i64),
                bytes: (2_000.0 * normal(random).exp()) as u64,
                ..request(at, user)
            });
        }
    }
    // Programs keep to the clock.
    let minutes = (0..288).map(|i| BEGIN_NS + day * DAY_NS + i * 5 * HOUR_NS / 60);
    rows.extend(minutes.map(health));
    rows.sort_by_key(|fact| fact.time_ns);
    let seqs = rows.iter_mut().zip(1..);
    seqs.for_each(|(fact, seq)| fact.seq = seq);
    rows
}

/// A standard normal value (Box and Muller).
fn normal(random: &mut Random) -> f64 {
    (-2.0 * random.unit().ln()).sqrt() * (std::f64::consts::TAU * random.unit()).cos()
}

#[test]
fn small_probabilities_of_usual_windows_are_as_rare_as_they_say() {
    let (mut detectors, mut names) = (kinds(99.0), Names::default());
    let mut random = Random::new(11);
    for number in 0..45 {
        let rows = day(&mut random, &mut names, number);
        assert!(show(&mut detectors, &names, rows).is_empty());
    }
    for (name, detector) in &detectors {
        // Kinds without p-values say why in their code.
        let Some(calibration) = detector.calibration() else {
            continue;
        };
        let windows = calibration.windows();
        assert!(windows >= 3_000.0, "{name} judged {windows} windows");
        for (bound, share) in calibration.small() {
            // Twice the bound, and what chance adds to a small count.
            let most = 2.0 * bound + 3.0 * (bound / windows).sqrt();
            assert!(
                share <= most,
                "{name}: {share} of {windows} windows have p <= {bound}"
            );
        }
    }
}

#[test]
fn a_flood_of_new_entities_neither_fills_memory_nor_drives_out_who_stays() {
    let quiet = after_a_flood(0);
    let flooded = after_a_flood(200_000);
    for kind in ["beacon", "token_use", "unissued", "walk"] {
        assert!(
            quiet.contains(&kind),
            "{kind} has nothing to forget: {quiet:?}"
        );
    }
    // Who stayed is known as well as without the flood, or it would be too new to be judged.
    assert_eq!(quiet, flooded);
}

/// Lets all kinds learn, then see so many events of new entities among those of people who stay.
/// Gives the kinds that speak about one of them who goes wrong afterwards.
fn after_a_flood(events: u64) -> Vec<&'static str> {
    const LEARNING: i64 = 11;
    let (mut detectors, mut names) = (kinds(3.0), Names::default());
    let mut random = Random::new(12);
    for number in 0..LEARNING {
        let rows = day(&mut random, &mut names, number);
        show(&mut detectors, &names, rows);
    }
    for part in 0..events / 1_000 {
        let begin_ns = BEGIN_NS + (LEARNING - 1) * DAY_NS + 20 * HOUR_NS;
        let at = |number: u64| begin_ns + number as i64 * 50_000_000;
        let numbers = part * 1_000..(part + 1) * 1_000;
        let mut rows: Vec<_> = numbers.map(|number| flooded(at(number), number)).collect();
        rows.iter().for_each(|fact| {
            names.note(fact.service, &format!("s{}", fact.service));
            names.note(fact.host, &format!("h{}", fact.host));
        });
        rows.extend((1..=20).map(|user| request(at(part * 1_000 + 999), user)));
        if part % 6 == 0 {
            rows.push(health(at(part * 1_000 + 999)));
        }
        show(&mut detectors, &names, rows);
    }
    let mut all = 0;
    for (name, detector) in &detectors {
        let bytes = detector.memory_bytes();
        let cap = CAPS.iter().find(|(kind, _)| kind == name);
        let (_, cap) = cap.expect("a cap for every kind");
        assert!(bytes <= cap * MB, "{name} holds {bytes} bytes");
        all += bytes;
    }
    assert!(all <= ALL_MB * MB, "{all}");
    names.note(7, "u7");
    let after = (0..100).map(|i| BEGIN_NS + LEARNING * DAY_NS + i * 5 * HOUR_NS / 60);
    let found = show(&mut detectors, &names, after.map(health).collect());
    let is_news = found.iter().any(|(kind, _)| *kind == "beacon");
    assert!(!is_news, "what was regular before");
    let found = show(
        &mut detectors,
        &names,
        gone_wrong(7, BEGIN_NS + LEARNING * DAY_NS),
    );
    let about = |finding: &Finding| {
        finding
            .entities
            .get("user")
            .is_some_and(|user| user == "u7")
    };
    let kinds = found.iter().filter(|(_, finding)| about(finding));
    let mut kinds: Vec<_> = kinds.map(|(kind, _)| *kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// One of very many events, each of somebody and something new. Services are fewer: each event of a
/// new one makes room among all that are known.
fn flooded(time_ns: i64, number: u64) -> Fact {
    Fact {
        service: key(7, number / 20),
        host: key(8, number / 20),
        route: key(9, number),
        caller: if number.is_multiple_of(2) {
            key(7, number + 1)
        } else {
            0
        },
        domain: if number.is_multiple_of(4) {
            key(10, number)
        } else {
            0
        },
        ..request(time_ns, 1_000_000 + number)
    }
}

/// Somebody else goes through everything in the order of its numbers with an account, at
/// first with a token that nobody logged in for.
fn gone_wrong(user: u64, begins_ns: i64) -> Vec<Fact> {
    let one = |number: i64| Fact {
        net: key(4, 999_999),
        asn: key(5, 999),
        agent: key(6, 999),
        exact_agent: key(6, 999),
        token: key(2, user + if number < 1_000 { 5_000_000 } else { 0 }),
        route: key(9, user % 4),
        number: Some(1_000 + number),
        bytes: 900_000,
        ..request(begins_ns + 9 * HOUR_NS + number * 10_000_000_000, user)
    };
    let mut rows = vec![request(begins_ns + 8 * HOUR_NS, user)];
    rows.extend((0..3_000).map(one));
    rows.extend((0..400).map(|minute| Fact {
        caller: key(7, 0),
        domain: key(10, 7),
        bytes: 512,
        ..request(begins_ns + 9 * HOUR_NS + minute * HOUR_NS / 60, user)
    }));
    rows.sort_by_key(|fact| fact.time_ns);
    rows
}

#[test]
fn what_was_saved_goes_on_alike() {
    let (mut whole, mut cut, mut names) = (kinds(3.0), kinds(3.0), Names::default());
    let (mut random, mut found) = (Random::new(13), (Vec::new(), Vec::new()));
    let mut step = |rows: Vec<Fact>, names: &Names, restart: bool| {
        found.0.extend(show(&mut whole, names, rows.clone()));
        if restart {
            cut = restored_all(&cut);
        }
        found.1.extend(show(&mut cut, names, rows));
    };
    for number in 0..9 {
        let rows = day(&mut random, &mut names, number);
        step(rows, &names, number % 2 == 1);
    }
    let mut rows = gone_wrong(7, BEGIN_NS + 9 * DAY_NS);
    let rest = rows.split_off(rows.len() / 2);
    step(rows, &names, true);
    step(rest, &names, true);
    let words = |all: &[(&str, Finding)]| -> Vec<_> {
        let one = |(kind, finding): &(&str, Finding)| format!("{kind}: {finding:?}");
        all.iter().map(one).collect()
    };
    assert!(found.0.len() > 2);
    assert_eq!(words(&found.0), words(&found.1));
    for ((name, one), (_, other)) in whole.iter().zip(&cut) {
        assert_eq!(one.calibration(), other.calibration(), "{name}");
    }
}

/// Other detectors with the same state.
fn restored_all(
    all: &[(&'static str, Box<dyn Detector>)],
) -> Vec<(&'static str, Box<dyn Detector>)> {
    let mut others = kinds(3.0);
    for ((_, old), (_, new)) in all.iter().zip(&mut others) {
        let mut bytes = Vec::new();
        old.save(&mut bytes).unwrap();
        new.restore(serde_json::from_slice(&bytes).unwrap())
            .unwrap();
    }
    others
}
