//! What verdicts teach, and what they must not.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::models::random::Random;

/// `n` closed alerts of which every `every`th is an attack, and attacks score higher by `gap`.
fn closed(n: u64, every: u64, gap: f64, seed: u64) -> Vec<(Told, bool)> {
    let mut random = Random::new(seed);
    let mut alert = |i: u64| {
        let attack = i.is_multiple_of(every);
        let more = if attack { gap } else { 0.0 };
        let told = Told {
            detector: if random.unit() < 0.5 {
                "rate.a"
            } else {
                "walk.b"
            }
            .to_owned(),
            severity: Severity::Medium,
            score: 3.0 + more + 2.0 * random.unit(),
            risk: 3.0 + more + 2.0 * random.unit(),
        };
        (told, attack)
    };
    (0..n).map(&mut alert).collect()
}

fn told(score: f64, detector: &str) -> Told {
    Told {
        detector: detector.to_owned(),
        severity: Severity::Medium,
        score,
        risk: score,
    }
}

#[test]
fn too_few_verdicts_or_all_alike_teach_nothing() {
    assert_eq!(VerdictModel::learn(&[]), None);
    assert_eq!(VerdictModel::learn(&closed(49, 3, 3.0, 1)), None);
    assert_eq!(VerdictModel::learn(&closed(200, 1, 3.0, 1)), None);
    assert_eq!(VerdictModel::learn(&closed(200, 200, 3.0, 1)), None);
    assert!(VerdictModel::learn(&closed(50, 3, 3.0, 1)).is_some());
}

/// The library calls the class positive that there is more of: both ways round must come out.
#[test]
fn attacks_are_likely_and_others_are_not_whichever_there_are_more_of() {
    for every in [2, 3, 9] {
        let mut verdicts = closed(240, every, 3.0, 7);
        for _ in 0..2 {
            let model = VerdictModel::learn(&verdicts).unwrap();
            assert!(model.auc() > 0.95, "{every}: {}", model.auc());
            let (low, high) = (told(3.2, "rate.a"), told(8.0, "rate.a"));
            assert!(model.chance(&low) < 0.1, "{every}: {}", model.chance(&low));
            assert!(
                model.chance(&high) > 0.9,
                "{every}: {}",
                model.chance(&high)
            );
            // Now with more attacks than others.
            let more = closed(600, 1, 3.0, 11);
            verdicts.extend(more);
        }
    }
}

#[test]
fn what_is_worse_is_never_less_likely() {
    // Attacks score lower here, which nobody should learn.
    for seed in 0..20 {
        let Some(model) = VerdictModel::learn(&closed(100, 3, -1.0, seed)) else {
            continue;
        };
        assert!(
            model.weights().iter().all(|w| *w >= 0.0),
            "{:?}",
            model.weights()
        );
        assert!(model.chance(&told(9.0, "rate.a")) >= model.chance(&told(2.0, "rate.a")));
    }
}

#[test]
fn a_detector_that_was_always_wrong_is_believed_less() {
    let mut verdicts = closed(200, 4, 1.5, 3);
    for (alert, attack) in &mut verdicts {
        if alert.detector == "walk.b" {
            *attack = false;
        }
    }
    let model = VerdictModel::learn(&verdicts).unwrap();
    let chance = |detector: &str| model.chance(&told(5.0, detector));
    assert!(chance("walk.b") < chance("rate.a") / 2.0);
    assert!(
        chance("rate.a") > chance("never.seen"),
        "as all detectors are"
    );
    assert!(chance("never.seen") > chance("walk.b"));
}

#[test]
fn chance_holds_nothing_back() {
    let mut held = 0;
    for seed in 0..20 {
        let model = VerdictModel::learn(&closed(120, 4, 0.0, seed));
        held += u32::from(model.is_some_and(|model| model.below() > 0.0));
    }
    assert!(held <= 1, "{held} of 20 models believe in noise");
}

#[test]
fn what_is_held_back_lies_below_every_attack() {
    for seed in 0..10 {
        let verdicts = closed(300, 5, 2.5, seed);
        let model = VerdictModel::learn(&verdicts).unwrap();
        assert!(model.below() > 0.0 && model.below() <= MOST_HELD);
        let mut others = 0;
        for (alert, attack) in &verdicts {
            let holds = model.chance(alert) < model.below();
            assert!(!holds || !attack, "an attack would have been held back");
            others += u32::from(holds);
        }
        assert!(others > 100, "{others} of 240 held back");
    }
}

#[test]
fn the_same_verdicts_give_the_same_model() {
    let verdicts = closed(150, 4, 2.0, 5);
    let model = VerdictModel::learn(&verdicts).unwrap();
    assert_eq!(VerdictModel::learn(&verdicts).unwrap(), model);
    let text = serde_json::to_string(&model).unwrap();
    assert_eq!(serde_json::from_str::<VerdictModel>(&text).unwrap(), model);
}
