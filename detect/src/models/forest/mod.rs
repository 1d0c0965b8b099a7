//! Random cut forest: how easily random cuts separate a point from what was seen.
//!
//! Guha, Mishra, Roy, Schrijvers, "Robust Random Cut Forest Based Anomaly Detection On Streams"
//! (ICML 2016). Each tree keeps a sample of the stream that favours the new (a reservoir with
//! exponential decay) and cuts its bounding box at random, a dimension in proportion to its range.
//! A point that cuts part from the rest near the root is displaced easily and scores high.
//!
//! Points are scored before they are learned. The score is that of isolation forests (Liu, Ting,
//! Zhou, ICDM 2008), 2 to the minus of the depth at which the point would be cut off over the usual
//! depth, where the depth is expected over all cuts as the paper above does for its displacement.
//! Measured on six public sets, that orders points better than the mean of inverse depths.
//!
//! Pitfalls. The choice of dimension follows ranges, so features must come in comparable units
//! (log scaled counts, or [`super::scale::Scale`]). Equal points share a leaf, or constant data
//! would never split. A value that is not a number counts as 0.

mod points;
mod reservoir;
mod tree;

#[cfg(test)]
mod tests;

use super::ModelError;
use super::codec::{Reader, Writer};
use super::random::Random;
use points::Points;
use reservoir::Reservoir;
use tree::Tree;

const NAME: &str = "forest";
const VERSION: u32 = 1;

/// The score of a point of which nothing can be said: it is cut off at the usual depth.
pub const USUAL: f64 = 0.5;

/// With fewer points nothing can be said.
const FEWEST: u64 = 4;

/// Beyond this, ranges of short floats would overflow.
const LARGEST: f32 = 1e30;

/// How a forest is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForestConfig {
    /// Numbers in a point.
    pub dims: usize,
    /// Trees; more make the score steadier.
    pub trees: usize,
    /// Points that each tree keeps.
    pub sample: usize,
    /// How fast the sample forgets: the chance of a point to be in it falls by e every `1 / decay`
    /// points. 0 samples the whole past evenly.
    pub decay: f64,
    /// The same seed and the same points give the same scores.
    pub seed: u64,
}

impl ForestConfig {
    /// The reference setting: 50 trees of 256 points that look back about 2,500 points.
    pub fn new(dims: usize, seed: u64) -> Self {
        ForestConfig {
            dims,
            trees: 50,
            sample: 256,
            decay: 4e-4,
            seed,
        }
    }

    /// Bytes that a full forest of this kind holds at most.
    pub fn max_bytes(&self) -> usize {
        let point = self.dims * size_of::<f32>();
        let per_tree = Tree::max_bytes(self.dims, self.sample) + Reservoir::max_bytes(self.sample);
        self.trees * (per_tree + self.sample * (point + Points::OVERHEAD))
    }
}

/// What one number of a point adds to its score, by the side on which it lies.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Share {
    /// For being above what is usual.
    pub above: f64,
    /// For being below.
    pub below: f64,
}

impl Share {
    /// Both sides together.
    pub fn total(&self) -> f64 {
        self.above + self.below
    }

    /// Positive if the number is rather too high, negative if too low.
    pub fn signed(&self) -> f64 {
        self.above - self.below
    }
}

/// A random cut forest over a stream of points.
#[derive(Debug, Clone)]
pub struct Forest {
    config: ForestConfig,
    points: Points,
    trees: Vec<(Tree, Reservoir)>,
    random: Random,
    seen: u64,
}

impl Forest {
    /// An empty forest.
    pub fn new(config: ForestConfig) -> Self {
        let tree = || (Tree::new(config.dims), Reservoir::default());
        Forest {
            points: Points::new(config.dims),
            trees: (0..config.trees).map(|_| tree()).collect(),
            random: Random::new(config.seed),
            seen: 0,
            config,
        }
    }

    /// Points learned so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// How it was made.
    pub fn config(&self) -> &ForestConfig {
        &self.config
    }

    /// Bytes held now, without what allocators add.
    pub fn bytes(&self) -> usize {
        let trees = self.trees.iter().map(|(t, r)| t.bytes() + r.bytes());
        self.points.bytes() + trees.sum::<usize>()
    }

    /// How strange the point is, in (0, 1): [`USUAL`] while almost nothing was learned, above 0.6
    /// for the strange. A point of another length is cut or filled with zeros.
    pub fn score(&self, point: &[f64]) -> f64 {
        if self.seen < FEWEST {
            return USUAL;
        }
        let point = self.clean(point);
        let depths = self
            .trees
            .iter()
            .filter_map(|(t, _)| t.depth(&self.points, &point));
        let (mut depth, mut usual) = (0.0, 0.0);
        for (expected, points) in depths {
            depth += expected;
            usual += usual_depth(points);
        }
        if usual > 0.0 {
            (-depth / usual).exp2()
        } else {
            USUAL
        }
    }

    /// Which numbers of the point make it strange. The shares add up to the score.
    pub fn attribution(&self, point: &[f64]) -> Vec<Share> {
        let score = self.score(point);
        let point = self.clean(point);
        let mut shares = vec![Share::default(); self.config.dims];
        for (tree, _) in &self.trees {
            tree.attribute(&self.points, &point, &mut shares);
        }
        let sum: f64 = shares.iter().map(Share::total).sum();
        if sum > 0.0 {
            for share in &mut shares {
                share.above *= score / sum;
                share.below *= score / sum;
            }
        }
        shares
    }

    /// Takes the point into the samples of those trees whose turn it is.
    pub fn learn(&mut self, point: &[f64]) {
        let point = self.clean(point);
        let stored = self.points.add(&point);
        for (tree, reservoir) in &mut self.trees {
            // A late point is worth more: its key grows with time instead of others' falling.
            let key = (-self.random.unit().ln()).ln() - self.config.decay * self.seen as f64;
            match reservoir.offer(key, self.config.sample) {
                reservoir::Offer::Refused => continue,
                reservoir::Offer::Room => {}
                reservoir::Offer::Instead(old) => tree.remove(&mut self.points, old),
            }
            let kept = tree.insert(&mut self.points, stored, &mut self.random);
            reservoir.push(key, kept);
        }
        self.points.release(stored);
        self.seen += 1;
    }

    fn clean(&self, point: &[f64]) -> Vec<f32> {
        let mut clean: Vec<f32> = point
            .iter()
            .take(self.config.dims)
            .map(|v| number(*v))
            .collect();
        clean.resize(self.config.dims, 0.0);
        clean
    }

    /// The forest as bytes; [`Forest::restore`] gives one that goes on alike.
    pub fn save(&self) -> Vec<u8> {
        let mut out = Writer::begin(NAME, VERSION);
        let config = &self.config;
        out.size(config.dims);
        out.size(config.trees);
        out.size(config.sample);
        out.f64(config.decay);
        out.u64(config.seed);
        out.u64(self.seen);
        self.random.save(&mut out);
        self.points.save(&mut out);
        for (tree, reservoir) in &self.trees {
            tree.save(&mut out);
            reservoir.save(&mut out);
        }
        out.finish()
    }

    /// The forest that was saved.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] if the bytes are not a forest, or one that contradicts itself.
    pub fn restore(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut from = Reader::begin(bytes, NAME, VERSION)?;
        let config = ForestConfig {
            dims: from.size()?,
            trees: from.count(1)?,
            sample: from.size()?,
            decay: from.f64()?,
            seed: from.u64()?,
        };
        let seen = from.u64()?;
        let random = Random::restore(&mut from)?;
        let points = Points::restore(&mut from, config.dims)?;
        let mut trees = Vec::with_capacity(config.trees);
        for _ in 0..config.trees {
            let tree = Tree::restore(&mut from, &points)?;
            let reservoir = Reservoir::restore(&mut from, config.sample)?;
            if !reservoir.places().all(|place| tree.holds(&points, place)) {
                return Err(ModelError::Malformed(
                    "a sample that its tree does not hold",
                ));
            }
            trees.push((tree, reservoir));
        }
        from.end()?;
        Ok(Forest {
            config,
            points,
            trees,
            random,
            seen,
        })
    }
}

/// The mean depth of a leaf among `points` (Liu et al., equation 1).
pub(super) fn usual_depth(points: f64) -> f64 {
    if points < 2.0 {
        return 0.0;
    }
    let harmonic = (points - 1.0).ln() + 0.577_215_664_901_532_9;
    (2.0 * harmonic - 2.0 * (points - 1.0) / points).max(1.0)
}

fn number(value: f64) -> f32 {
    if value.is_nan() {
        return 0.0;
    }
    (value as f32).clamp(-LARGEST, LARGEST)
}
