//! The nightly second opinion over a batch of window vectors: three models that see different
//! things.
//!
//! Densities and distances are the best models of clean data and break on contaminated data, where
//! a cluster of attacks is dense; isolation survives it. So the tenth that an isolation forest
//! finds strangest is dropped, a mixture and nearest neighbours (Ramaswamy, Rastogi, Shim, SIGMOD
//! 2000) are fitted on the rest, and a point is as strange as the strangest of the three ranks
//! says. Measured on public sets that is better than each alone and than the mean of ranks.
//!
//! A one-class support vector machine (Schoelkopf et al., Neural Computation 2001) is fitted on the
//! same rest for a fourth opinion that is reported beside the score and not part of it.
//!
//! Pitfalls. The machine's kernel matrix is dense, so it sees 3,000 points at most; linfa's kernel
//! is exp(-d^2 / e), so e is the number of columns where others have gamma = 1 / columns. The index
//! of neighbours borrows its points and is built again for each batch that is scored.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_nn::distance::L2Dist;
use linfa_nn::{KdTree, NearestNeighbour};
use linfa_svm::Svm;
use ndarray::{Array1, Array2, ArrayView1};

use super::ModelError;
use super::codec::{Reader, Writer};
use super::isolation::IsolationForest;
use super::mixture::Mixture;
use super::random::Random;
use super::scale::Scale;

const NAME: &str = "nightly";
const VERSION: u32 = 1;

/// Share of the points that is dropped before densities are fitted.
const DROPPED: f64 = 0.10;
/// Points that are fitted at most, drawn at random.
const MOST: usize = 20_000;
/// Points among which neighbours are searched, and the neighbour whose distance counts.
const INDEXED: usize = 12_000;
const NEIGHBOUR: usize = 5;
/// Gaussians of the mixture.
const COMPONENTS: usize = 4;
/// Points the support vector machine sees, and the share it may leave outside.
const SUPPORT: usize = 3_000;
const OUTSIDE: f64 = 0.05;
/// Fewer points are not fitted.
const FEWEST: usize = 20;

/// The models of a batch.
#[derive(Debug)]
pub struct Nightly {
    seed: u64,
    /// What was fitted, for [`Nightly::save`]: fitting is deterministic.
    fitted: Vec<Vec<f64>>,
    scale: Scale,
    isolation: IsolationForest,
    mixture: Option<Mixture>,
    index: Array2<f64>,
    machine: Option<Svm<f64, bool>>,
    /// Scores of the fitted points by each model, sorted, to turn scores into ranks.
    past: [Vec<f64>; 3],
}

/// What the models say about a point. Ranks are shares of the fitted points that are less strange.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Opinion {
    /// The largest of the three ranks, in 0..=1.
    pub score: f64,
    /// Rank by isolation.
    pub isolation: f64,
    /// Rank by the mixture's likelihood; 0 if none could be fitted.
    pub mixture: f64,
    /// Rank by the distance of the fifth neighbour.
    pub neighbours: f64,
    /// Whether the support vector machine sees it outside; positive is outside.
    pub outside: f64,
}

impl Nightly {
    /// Fits the models to points of equal length; what is not a finite number counts as the mean.
    ///
    /// # Errors
    /// [`ModelError::TooLittle`] with fewer than 20 points.
    pub fn fit(points: &[Vec<f64>], seed: u64) -> Result<Self, ModelError> {
        if points.len() < FEWEST {
            return Err(ModelError::TooLittle("fewer than 20 points"));
        }
        let mut random = Random::new(seed);
        let fitted = drawn(points, MOST, &mut random);
        Self::fit_all(fitted, seed, random)
    }

    fn fit_all(fitted: Vec<Vec<f64>>, seed: u64, mut random: Random) -> Result<Self, ModelError> {
        let mut scale = Scale::unbounded(fitted.first().map_or(0, Vec::len));
        fitted.iter().for_each(|p| scale.learn(p));
        let scaled: Vec<Vec<f64>> = fitted.iter().map(|p| scale.apply(p)).collect();
        let isolation = IsolationForest::fit(&scaled, seed);
        let scores: Vec<f64> = scaled.iter().map(|p| isolation.score(p)).collect();
        let rest = trimmed(&scaled, &scores);
        let mixture = Mixture::fit(&rest, COMPONENTS).ok();
        let index = matrix(&drawn(&rest, INDEXED, &mut random));
        let machine = machine(&drawn(&rest, SUPPORT, &mut random));
        let mut nightly = Nightly {
            seed,
            fitted,
            scale,
            isolation,
            mixture,
            index,
            machine,
            past: [scores, Vec::new(), Vec::new()],
        };
        if let Some(mixture) = &nightly.mixture {
            nightly.past[1] = scaled.iter().map(|p| mixture.score(p)).collect();
        }
        nightly.past[2] = nightly.distances(&scaled)?;
        nightly
            .past
            .iter_mut()
            .for_each(|p| p.sort_by(f64::total_cmp));
        Ok(nightly)
    }

    /// What the models say about each of the points.
    ///
    /// # Errors
    /// [`ModelError::TooLittle`] if no neighbours can be searched, as in points without numbers.
    pub fn judge(&self, points: &[Vec<f64>]) -> Result<Vec<Opinion>, ModelError> {
        let scaled: Vec<Vec<f64>> = points.iter().map(|p| self.scale.apply(p)).collect();
        let distances = self.distances(&scaled)?;
        let opinion = |(point, distance): (&Vec<f64>, f64)| {
            let isolation = rank(&self.past[0], self.isolation.score(point));
            let mixture = self.mixture.as_ref();
            let mixture = mixture.map_or(0.0, |m| rank(&self.past[1], m.score(point)));
            let neighbours = rank(&self.past[2], distance);
            Opinion {
                score: isolation.max(mixture).max(neighbours),
                isolation,
                mixture,
                neighbours,
                outside: self.outside(point),
            }
        };
        Ok(scaled.iter().zip(distances).map(opinion).collect())
    }

    /// Distance of each point to its fifth neighbour among the fitted ones, itself left out.
    fn distances(&self, points: &[Vec<f64>]) -> Result<Vec<f64>, ModelError> {
        let index = KdTree::new()
            .from_batch(&self.index, L2Dist)
            .map_err(|_| ModelError::TooLittle("points without numbers"))?;
        let distance = |point: &Vec<f64>| {
            let point = ArrayView1::from(point.as_slice());
            let found = index.k_nearest(point, NEIGHBOUR + 1).unwrap_or_default();
            let mut squares = found.iter().map(|(other, _)| {
                other
                    .iter()
                    .zip(point)
                    .map(|(a, b)| (a - b) * (a - b))
                    .sum::<f64>()
            });
            // One at distance 0 is the point itself.
            let first = squares.next().unwrap_or(0.0);
            let skip = if first == 0.0 {
                NEIGHBOUR - 1
            } else {
                NEIGHBOUR - 2
            };
            squares.nth(skip).unwrap_or(first).sqrt()
        };
        Ok(points.iter().map(distance).collect())
    }

    fn outside(&self, point: &[f64]) -> f64 {
        let Some(machine) = &self.machine else {
            return 0.0;
        };
        machine.rho - machine.weighted_sum(&ArrayView1::from(point))
    }

    /// What was fitted, as bytes; [`Nightly::restore`] fits it again to the same models.
    pub fn save(&self) -> Vec<u8> {
        let mut out = Writer::begin(NAME, VERSION);
        out.u64(self.seed);
        out.size(self.fitted.len());
        self.fitted.iter().for_each(|point| out.f64s(point.iter()));
        out.finish()
    }

    /// The models of the points that were saved.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] if the bytes are not such points, and as [`Nightly::fit`].
    pub fn restore(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut from = Reader::begin(bytes, NAME, VERSION)?;
        let seed = from.u64()?;
        let points: Vec<Vec<f64>> = (0..from.count(8)?)
            .map(|_| from.f64s())
            .collect::<Result<_, _>>()?;
        from.end()?;
        // No more than were fitted are saved, so that drawing gives them in the order they have.
        Self::fit(&points, seed)
    }
}

/// At most `most` of the points, in their order.
fn drawn(points: &[Vec<f64>], most: usize, random: &mut Random) -> Vec<Vec<f64>> {
    if points.len() <= most {
        return points.to_vec();
    }
    let mut order: Vec<usize> = (0..points.len()).collect();
    random.shuffle(&mut order);
    order.truncate(most);
    order.sort_unstable();
    order.into_iter().map(|i| points[i].clone()).collect()
}

/// The points without those of the highest scores.
fn trimmed(points: &[Vec<f64>], scores: &[f64]) -> Vec<Vec<f64>> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    order.truncate(points.len() - (points.len() as f64 * DROPPED) as usize);
    order.sort_unstable();
    order.into_iter().map(|i| points[i].clone()).collect()
}

fn matrix(points: &[Vec<f64>]) -> Array2<f64> {
    let dims = points.first().map_or(0, Vec::len);
    Array2::from_shape_fn((points.len(), dims), |(i, j)| {
        points[i].get(j).copied().unwrap_or(0.0)
    })
}

/// A support vector machine around the points; `None` if there is nothing to go around.
fn machine(points: &[Vec<f64>]) -> Option<Svm<f64, bool>> {
    let dims = points.first().map_or(0, Vec::len);
    if dims == 0 {
        return None;
    }
    let targets: Array1<()> = Array1::from_elem(points.len(), ());
    let data = DatasetBase::new(matrix(points), targets);
    let params = Svm::<f64, linfa::dataset::Pr>::params()
        .gaussian_kernel(dims as f64)
        .nu_weight(OUTSIDE);
    params.fit(&data).ok()
}

/// Share of the sorted past that lies below, ties by half.
fn rank(past: &[f64], score: f64) -> f64 {
    let below = past.partition_point(|p| *p < score);
    let upto = past.partition_point(|p| *p <= score);
    (below + upto) as f64 / (2 * past.len().max(1)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(n: usize, seed: u64) -> Vec<Vec<f64>> {
        let mut random = Random::new(seed);
        (0..n)
            .map(|i| {
                let centre = if i % 3 == 0 { 5.0 } else { 0.0 };
                vec![centre + random.unit(), random.unit(), 4.0, centre]
            })
            .collect()
    }

    #[test]
    fn a_dense_cluster_of_attacks_does_not_look_usual() {
        let mut batch = points(900, 1);
        batch.extend((0..45).map(|i| vec![20.0 + f64::from(i) * 1e-4, 9.0, 4.0, 0.0]));
        let nightly = Nightly::fit(&batch, 1).unwrap();
        let opinions = nightly.judge(&batch).unwrap();
        let (usual, attacks) = opinions.split_at(900);
        let lowest = attacks.iter().map(|o| o.score).fold(1.0, f64::min);
        let higher = usual.iter().filter(|o| o.score > lowest).count();
        assert!(higher < 45, "{higher} of 900 above {lowest}");
        assert!(attacks.iter().all(|o| o.outside > 0.0));
        let outside = usual.iter().filter(|o| o.outside > 0.0).count();
        assert!(outside < 180, "{outside}");
        for o in &opinions {
            let ranks = [o.score, o.isolation, o.mixture, o.neighbours];
            assert!(ranks.iter().all(|r| (0.0..=1.0).contains(r)) && o.outside.is_finite());
        }
    }

    #[test]
    fn too_few_equal_and_hostile_points() {
        assert!(matches!(
            Nightly::fit(&points(19, 1), 1),
            Err(ModelError::TooLittle(_))
        ));
        let equal = vec![vec![1.0, 2.0]; 50];
        let nightly = Nightly::fit(&equal, 1).unwrap();
        assert_eq!(nightly.judge(&equal).unwrap()[7].score, 0.5);
        assert_eq!(nightly.judge(&[vec![9.0, 2.0]]).unwrap()[0].score, 1.0);
        let mut hostile = points(60, 2);
        hostile.push(vec![f64::NAN, f64::INFINITY, f64::MAX, f64::MIN]);
        let nightly = Nightly::fit(&hostile, 1).unwrap();
        for o in nightly.judge(&hostile).unwrap() {
            assert!(
                (0.0..=1.0).contains(&o.score) && !o.outside.is_nan(),
                "{o:?}"
            );
        }
        assert!(Nightly::fit(&vec![Vec::new(); 30], 1).is_err());
    }

    #[test]
    fn restored_models_say_the_same() {
        let batch = points(300, 3);
        let nightly = Nightly::fit(&batch, 9).unwrap();
        let restored = Nightly::restore(&nightly.save()).unwrap();
        assert_eq!(
            nightly.judge(&batch).unwrap(),
            restored.judge(&batch).unwrap()
        );
    }

    #[test]
    fn linfa_counts_the_support_vectors_by_nu() {
        // nu bounds the share outside from above and the share of support vectors from below.
        let batch = points(600, 4);
        let machine = machine(&batch).unwrap();
        let outside = |p: &Vec<f64>| {
            machine.rho - machine.weighted_sum(&ArrayView1::from(p.as_slice())) > 1e-9
        };
        let share = batch.iter().filter(|p| outside(p)).count() as f64 / 600.0;
        assert!(share <= OUTSIDE + 0.02, "{share}");
        assert!(machine.nsupport() as f64 >= OUTSIDE * 600.0 - 1.0);
    }
}
