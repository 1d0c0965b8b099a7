//! What must hold for any stream of points.

use proptest::prelude::*;

use super::*;

fn config(dims: usize) -> ForestConfig {
    ForestConfig {
        trees: 10,
        sample: 64,
        ..ForestConfig::new(dims, 11)
    }
}

/// Two clusters, with noise.
fn point(random: &mut Random, dims: usize) -> Vec<f64> {
    let centre = if random.below(2) == 0 { 0.0 } else { 10.0 };
    (0..dims).map(|_| centre + random.unit()).collect()
}

fn fed(dims: usize, n: usize) -> (Forest, Random) {
    let (mut forest, mut random) = (Forest::new(config(dims)), Random::new(3));
    for _ in 0..n {
        let point = point(&mut random, dims);
        forest.learn(&point);
    }
    (forest, random)
}

#[test]
fn what_lies_apart_scores_high_and_says_why() {
    let (forest, mut random) = fed(5, 2_000);
    let usual = (0..100).map(|_| forest.score(&point(&mut random, 5)));
    let highest = usual.fold(0.0, f64::max);
    let strange = [0.5, 0.5, 30.0, 0.5, 0.5];
    let score = forest.score(&strange);
    assert!(score > highest + 0.1, "{score} {highest}");
    let shares = forest.attribution(&strange);
    let sum: f64 = shares.iter().map(Share::total).sum();
    assert!((sum - score).abs() < 1e-9);
    assert!(shares[2].signed() > 0.8 * score, "{shares:?}");
    let low = forest.attribution(&[0.5, -40.0, 0.5, 0.5, 0.5]);
    assert!(low[1].signed() < -0.8 * forest.score(&[0.5, -40.0, 0.5, 0.5, 0.5]));
}

#[test]
fn old_points_are_forgotten() {
    let mut forest = Forest::new(ForestConfig {
        decay: 0.01,
        ..config(2)
    });
    let mut random = Random::new(1);
    (0..1_000).for_each(|_| forest.learn(&[random.unit(), 0.0]));
    let before = forest.score(&[100.5, 0.0]);
    (0..2_000).for_each(|_| forest.learn(&[100.0 + random.unit(), 0.0]));
    assert!(forest.score(&[100.5, 0.0]) < before - 0.1);
    assert!(forest.score(&[0.5, 0.0]) > forest.score(&[100.5, 0.0]) + 0.1);
}

#[test]
fn memory_has_a_bound() {
    for dims in [1, 7, 40] {
        let (forest, _) = fed(dims, 5_000);
        let (bytes, most) = (forest.bytes(), forest.config().max_bytes());
        assert!(bytes <= most, "{dims}: {bytes} of {most}");
    }
    // The reference setting on 20 features: what one role's model may cost.
    assert!(ForestConfig::new(20, 0).max_bytes() < 4 << 20);
}

#[test]
fn constant_points_share_a_leaf() {
    let mut forest = Forest::new(config(3));
    for _ in 0..500 {
        forest.learn(&[1.0, 2.0, 3.0]);
    }
    let usual = forest.score(&[1.0, 2.0, 3.0]);
    let other = forest.score(&[1.0, 2.0, 3.1]);
    assert!(usual < 0.5 && other > 0.9, "{usual} {other}");
}

#[test]
fn an_empty_forest_says_nothing() {
    let forest = Forest::new(config(2));
    assert_eq!(forest.score(&[1.0, 2.0]), USUAL);
    assert!(forest.attribution(&[1.0]).iter().all(|s| s.total() == 0.0));
    assert_eq!(Forest::new(config(0)).score(&[]), USUAL);
}

#[test]
fn damaged_bytes_are_refused() {
    let bytes = fed(2, 100).0.save();
    for end in (0..bytes.len()).step_by(97) {
        assert!(Forest::restore(&bytes[..end]).is_err(), "{end}");
    }
    for at in (0..bytes.len()).step_by(31) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        // Either refused, or a forest that does not panic.
        if let Ok(mut forest) = Forest::restore(&damaged) {
            forest.score(&[0.5, 0.5]);
            forest.attribution(&[0.5, 0.5]);
            forest.learn(&[0.5, 0.5]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_points_give_finite_scores_and_survive_a_restore(
        points in prop::collection::vec(
            prop::collection::vec(
                prop_oneof![any::<f64>(), -1.0..1.0f64, Just(0.0), 0.0..1e-30f64], 3),
            1..200),
        cut in 0usize..200,
    ) {
        let mut forest = Forest::new(ForestConfig { sample: 16, decay: 0.02, ..config(3) });
        let mut restored: Option<Forest> = None;
        for (i, point) in points.iter().enumerate() {
            if i == cut.min(points.len() - 1) {
                restored = Some(Forest::restore(&forest.save()).unwrap());
            }
            let score = forest.score(point);
            prop_assert!(score > 0.0 && score <= 1.0, "{score}");
            let sum: f64 = forest.attribution(point).iter().map(Share::total).sum();
            prop_assert!(sum.is_finite() && sum <= score + 1e-9);
            forest.learn(point);
            if let Some(restored) = &mut restored {
                prop_assert_eq!(score.to_bits(), restored.score(point).to_bits());
                restored.learn(point);
            }
        }
        if let Some(restored) = restored {
            prop_assert_eq!(forest.save(), restored.save());
        }
    }
}
