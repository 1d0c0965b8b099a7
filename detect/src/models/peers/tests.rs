//! Groups of those who do the same work, and what linfa does with what is not work.

use linfa::traits::Predict;
use ndarray::array;

use super::super::random::Random;
use super::*;

/// Somebody who uses eight of the ten things of a kind of work.
fn somebody(kind: u64, random: &mut Random) -> Used {
    let busy = 10.0 + 90.0 * random.unit();
    let mut used = Used::new();
    for thing in 0..10 {
        if random.unit() < 0.8 {
            used.push((1_000 * kind + thing, (busy * random.unit()) as f32));
        }
    }
    used
}

/// So many of each kind, in turn.
fn sample(kinds: u64, each: u64, seed: u64) -> Vec<Used> {
    let mut random = Random::new(seed);
    let all = 0..kinds * each;
    all.map(|i| somebody(i % kinds, &mut random)).collect()
}

fn fitted(sample: &[Used]) -> Peers {
    let mut peers = Peers::default();
    peers.fit(sample);
    peers
}

#[test]
fn kinds_of_work_are_groups_and_busy_ones_are_with_idle_ones() {
    let peers = fitted(&sample(3, 60, 1));
    let of = |kind| peers.group(&somebody(kind, &mut Random::new(9)));
    assert!(of(0).is_some() && of(1).is_some() && of(2).is_some());
    assert!(of(0) != of(1) && of(1) != of(2) && of(0) != of(2));
    let loud: Used = somebody(0, &mut Random::new(9))
        .iter()
        .map(|(thing, n)| (*thing, n * 30.0))
        .collect();
    assert_eq!(peers.group(&loud), of(0));
    let shares: f64 = (0..4).map(|group| peers.share(group)).sum();
    assert!((shares - 1.0).abs() < 1e-6, "{shares}");
}

#[test]
fn the_next_day_groups_keep_their_numbers() {
    let mut peers = fitted(&sample(5, 80, 1));
    let of =
        |peers: &Peers| [0, 1, 2, 3, 4].map(|k| peers.group(&somebody(k, &mut Random::new(9))));
    let before = of(&peers);
    peers.fit(&sample(5, 75, 2));
    assert_eq!((of(&peers), peers.fits()), (before, 2));
}

#[test]
fn the_same_sample_gives_the_same_groups_and_so_do_saved_ones() {
    let (one, mut two) = (fitted(&sample(4, 50, 1)), fitted(&sample(4, 50, 1)));
    let save = |peers: &Peers| serde_json::to_string(peers).unwrap();
    assert_eq!(save(&one), save(&two));
    let mut restored: Peers = serde_json::from_str(&save(&one)).unwrap();
    restored.fit(&sample(4, 50, 2));
    two.fit(&sample(4, 50, 2));
    assert_eq!(save(&restored), save(&two));
}

#[test]
fn few_equal_and_hostile_ones_form_no_groups_and_do_no_harm() {
    let mut peers = fitted(&[]);
    assert_eq!(peers.group(&vec![(1, 1.0)]), None);
    peers.fit(&sample(2, 20, 1));
    assert_eq!(peers.fits(), 0);
    // Whoever uses what everybody uses is like nobody more than like others.
    peers.fit(&vec![vec![(1, 3.0)]; 200]);
    assert_eq!(peers.group(&vec![(1, 3.0)]), None);
    peers.fit(&vec![Vec::new(); 200]);
    assert_eq!(peers.group(&Vec::new()), None);
    let mut hostile = sample(2, 60, 1);
    hostile.push(vec![(1, f32::NAN), (2, f32::INFINITY), (3, -5.0)]);
    hostile.push((0..100_000).map(|thing| (thing, f32::MAX)).collect());
    let peers = fitted(&hostile);
    let of = |kind| peers.group(&somebody(kind, &mut Random::new(9)));
    assert!(of(0).is_some() && of(0) != of(1));
    assert!(peers.bytes() < 10_000);
    let centres = peers.centres.iter().flatten();
    assert!(centres.chain(&peers.rarity).all(|x| x.is_finite()));
}

#[test]
fn a_group_of_few_is_none() {
    let mut all = sample(2, 70, 1);
    all.extend(sample(3, 5, 2).into_iter().skip(2).step_by(3));
    let peers = fitted(&all);
    assert_eq!(peers.group(&somebody(2, &mut Random::new(9))), None);
    assert!(peers.group(&somebody(1, &mut Random::new(9))).is_some());
}

#[test]
fn linfa_keeps_an_empty_group_and_refuses_what_is_no_number() {
    // If this fails after an update, the module's pitfalls are to be read again.
    let fit = |rows: Array2<f32>| {
        let begin = KMeansInit::Precomputed(array![[0.0f32], [100.0]]);
        let params = KMeans::params(2).n_runs(1).init_method(begin);
        params.fit(&DatasetBase::from(rows))
    };
    let model = fit(array![[1.0f32], [3.0], [2.0]]).unwrap();
    assert_eq!(model.centroids()[[1, 0]], 100.0);
    // The old centre is one more member: three rounds of it are not yet the mean.
    assert!((model.centroids()[[0, 0]] - 2.0).abs() < 0.01);
    assert_eq!(model.predict(&array![[1.0f32], [90.0]]), array![0, 1]);
    assert!(fit(array![[1.0f32], [f32::NAN]]).is_err());
}
