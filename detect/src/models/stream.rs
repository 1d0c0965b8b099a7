//! The always-on model of window vectors: a random cut forest that scales its numbers itself and
//! does not learn from what it finds strange.
//!
//! Pitfall: a model that learns everything takes a burst of attacks, which lie close together, for
//! a usual cluster. So points among the strangest twentieth are scored and not learned. The bound
//! follows the scores, so a lasting change is learned after some hundred points.

use super::ModelError;
use super::codec::{Reader, Writer};
use super::forest::{Forest, ForestConfig, Share, USUAL};
use super::scale::Scale;

const NAME: &str = "stream";
const VERSION: u32 = 1;

/// Share of points that are not learned.
const LEFT_OUT: f64 = 0.05;
/// Points after which some are left out; their scores choose the first bound.
const WARM_UP: usize = 256;
/// How fast the bound follows the scores, in score per point.
const STEP: f64 = 0.001;

/// A streaming anomaly model of points of fixed length.
#[derive(Debug, Clone)]
pub struct StreamModel {
    scale: Scale,
    forest: Forest,
    /// About the 95 % quantile of the scores.
    bound: f64,
    /// The scores of the warm-up.
    first: Vec<f64>,
    seen: u64,
}

impl StreamModel {
    /// A model that has seen nothing.
    pub fn new(config: ForestConfig) -> Self {
        StreamModel {
            scale: Scale::new(config.dims),
            forest: Forest::new(config),
            bound: USUAL,
            first: Vec::new(),
            seen: 0,
        }
    }

    /// How strange the point is, in (0, 1); [`USUAL`] while nothing can be said.
    pub fn score(&self, point: &[f64]) -> f64 {
        self.forest.score(&self.scale.apply(point))
    }

    /// Which numbers make the point strange; the shares add up to the score.
    pub fn attribution(&self, point: &[f64]) -> Vec<Share> {
        self.forest.attribution(&self.scale.apply(point))
    }

    /// Scores the point, then learns it unless it is strange.
    pub fn observe(&mut self, point: &[f64]) -> f64 {
        let scaled = self.scale.apply(point);
        let score = self.forest.score(&scaled);
        self.scale.learn(point);
        self.seen += 1;
        if self.seen as usize <= WARM_UP {
            self.forest.learn(&scaled);
            self.warm_up(score);
            return score;
        }
        if score <= self.bound {
            self.forest.learn(&scaled);
        }
        // Stochastic quantile: up by 0.95 steps for one in twenty, down by 0.05 for the others.
        let above = f64::from(u8::from(score > self.bound));
        self.bound += STEP * (above - LEFT_OUT);
        score
    }

    fn warm_up(&mut self, score: f64) {
        self.first.push(score);
        if self.first.len() < WARM_UP {
            return;
        }
        let mut sorted = std::mem::take(&mut self.first);
        sorted.sort_by(f64::total_cmp);
        let left_out = (WARM_UP as f64 * LEFT_OUT) as usize;
        self.bound = sorted[WARM_UP - 1 - left_out];
    }

    /// Points seen, learned or not.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Bytes held now.
    pub fn bytes(&self) -> usize {
        self.forest.bytes() + 2 * self.scale.dims() * size_of::<f64>()
    }

    /// The model as bytes; [`StreamModel::restore`] gives one that goes on alike.
    pub fn save(&self) -> Vec<u8> {
        let mut out = Writer::begin(NAME, VERSION);
        self.scale.save(&mut out);
        out.f64(self.bound);
        out.f64s(self.first.iter());
        out.u64(self.seen);
        out.bytes(&self.forest.save());
        out.finish()
    }

    /// The model that was saved.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] if the bytes are not one.
    pub fn restore(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut from = Reader::begin(bytes, NAME, VERSION)?;
        let scale = Scale::restore(&mut from)?;
        let (bound, first, seen) = (from.f64()?, from.f64s()?, from.u64()?);
        let forest = Forest::restore(from.bytes()?)?;
        from.end()?;
        if forest.config().dims != scale.dims() || first.len() > WARM_UP {
            return Err(ModelError::Malformed("a scale of other points"));
        }
        Ok(StreamModel {
            scale,
            forest,
            bound,
            first,
            seen,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    fn model() -> StreamModel {
        StreamModel::new(ForestConfig {
            trees: 20,
            sample: 128,
            ..ForestConfig::new(2, 5)
        })
    }

    fn usual(random: &mut Random) -> [f64; 2] {
        [100.0 + random.unit(), random.unit() * 1e6]
    }

    #[test]
    fn a_burst_of_attacks_stays_strange() {
        let (mut model, mut random) = (model(), Random::new(2));
        for _ in 0..2_000 {
            model.observe(&usual(&mut random));
        }
        let attack = [103.0, 5e6];
        let first = model.observe(&attack);
        for _ in 0..50 {
            model.observe(&attack);
        }
        let last = model.observe(&attack);
        assert!(last > first - 0.03, "{first} {last}");
        let highest = (0..100).map(|_| model.score(&usual(&mut random)));
        assert!(last > highest.fold(0.0, f64::max));
    }

    #[test]
    fn a_lasting_change_is_learned() {
        let (mut model, mut random) = (model(), Random::new(2));
        for _ in 0..2_000 {
            model.observe(&usual(&mut random));
        }
        let mut moved = || [130.0 + random.unit(), random.unit()];
        let first = model.observe(&moved());
        for _ in 0..4_000 {
            model.observe(&moved());
        }
        assert!(model.observe(&moved()) < first - 0.1);
    }

    #[test]
    fn a_restored_model_goes_on_alike() {
        for n in [0, 100, 256, 3_000] {
            let (mut one, mut random) = (model(), Random::new(4));
            for _ in 0..n {
                one.observe(&usual(&mut random));
            }
            let mut two = StreamModel::restore(&one.save()).unwrap();
            for _ in 0..300 {
                let point = usual(&mut random);
                assert_eq!(one.observe(&point).to_bits(), two.observe(&point).to_bits());
            }
            assert_eq!(one.save(), two.save());
        }
    }
}
