//! Isolation forest: how few random cuts leave a point alone, over a batch that may hold attacks.
//!
//! Liu, Ting, Zhou, "Isolation Forest" (ICDM 2008): each tree cuts a small sample by random values
//! of random dimensions. A sample of 256 is too small for a cluster of attacks to look dense, so
//! the forest survives training on contaminated data, where densities break.
//!
//! Pitfalls. Unlike [`super::forest`] all dimensions are cut equally often, so scales do not matter
//! and neither does a dimension's worth: many useless ones hide a useful one. Dimensions that are
//! constant in a sample are not cut; if all are, every point is usual.

use super::forest::usual_depth;
use super::random::Random;

/// Trees and points a tree, as in the paper.
const TREES: usize = 100;
const SAMPLE: usize = 256;

/// A fitted isolation forest.
#[derive(Debug, Clone)]
pub struct IsolationForest {
    trees: Vec<Vec<Node>>,
    /// The depth that isolating a usual point takes.
    usual: f64,
}

#[derive(Debug, Clone)]
enum Node {
    Cut {
        dim: usize,
        at: f64,
        left: usize,
        right: usize,
    },
    /// So many points of the sample were not cut apart.
    Leaf(usize),
}

impl IsolationForest {
    /// Cuts samples of the points. What is not a finite number should have been replaced before.
    pub fn fit(points: &[Vec<f64>], seed: u64) -> Self {
        let mut random = Random::new(seed);
        let size = points.len().min(SAMPLE);
        let mut order: Vec<usize> = (0..points.len()).collect();
        let trees = (0..TREES).map(|_| {
            // The first `size` of a partial shuffle are a sample without replacement.
            for i in 0..size {
                let other = i + random.below(order.len() - i);
                order.swap(i, other);
            }
            tree(points, &order[..size], &mut random)
        });
        IsolationForest {
            trees: trees.collect(),
            usual: usual_depth(size as f64),
        }
    }

    /// How strange the point is, in (0, 1]; 0.5 is usual.
    pub fn score(&self, point: &[f64]) -> f64 {
        if self.usual <= 0.0 {
            return 0.5;
        }
        let depths = self.trees.iter().map(|tree| depth(tree, point));
        let mean = depths.sum::<f64>() / self.trees.len() as f64;
        (-mean / self.usual).exp2()
    }
}

fn tree(points: &[Vec<f64>], sample: &[usize], random: &mut Random) -> Vec<Node> {
    let deepest = (sample.len().max(2) as f64).log2().ceil() as usize;
    let mut nodes = vec![Node::Leaf(sample.len())];
    let mut open = vec![(0, sample.to_vec(), 0)];
    while let Some((place, inside, depth)) = open.pop() {
        nodes[place] = Node::Leaf(inside.len());
        if depth >= deepest {
            continue;
        }
        let Some((dim, at)) = cut(points, &inside, random) else {
            continue;
        };
        let (left, right): (Vec<usize>, Vec<usize>) =
            inside.into_iter().partition(|i| points[*i][dim] <= at);
        nodes.extend([Node::Leaf(left.len()), Node::Leaf(right.len())]);
        let (to_left, to_right) = (nodes.len() - 2, nodes.len() - 1);
        nodes[place] = Node::Cut {
            dim,
            at,
            left: to_left,
            right: to_right,
        };
        open.push((to_left, left, depth + 1));
        open.push((to_right, right, depth + 1));
    }
    nodes
}

/// A random value of a random dimension in which the points differ.
fn cut(points: &[Vec<f64>], inside: &[usize], random: &mut Random) -> Option<(usize, f64)> {
    let dims = points.get(*inside.first()?)?.len();
    let first = random.below(dims);
    for dim in (first..dims).chain(0..first) {
        let values = inside.iter().map(|i| points[*i][dim]);
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
            (low.min(v), high.max(v))
        });
        if low < high {
            // Halves first: the difference of two huge values may overflow.
            let at = 2.0 * (low / 2.0 + random.unit() * (high / 2.0 - low / 2.0));
            return Some((dim, if at < high { at } else { low }));
        }
    }
    None
}

fn depth(tree: &[Node], point: &[f64]) -> f64 {
    let (mut at, mut depth) = (0, 0.0);
    loop {
        match tree.get(at) {
            Some(Node::Cut {
                dim,
                at: value,
                left,
                right,
            }) => {
                let low = point.get(*dim).is_some_and(|v| v <= value);
                at = if low { *left } else { *right };
                depth += 1.0;
            }
            Some(Node::Leaf(points)) => return depth + usual_depth(*points as f64),
            None => return depth,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_apart_is_isolated_early() {
        let mut random = Random::new(1);
        let mut points: Vec<Vec<f64>> = (0..1_000)
            .map(|_| vec![random.unit(), random.unit() * 1e9, 7.0])
            .collect();
        points.push(vec![3.0, 0.5e9, 7.0]);
        let forest = IsolationForest::fit(&points, 1);
        let scores: Vec<f64> = points.iter().map(|p| forest.score(p)).collect();
        let highest = scores.iter().copied().fold(0.0, f64::max);
        assert_eq!(scores[1_000], highest);
        assert!(scores.iter().all(|s| *s > 0.0 && *s <= 1.0));
        // The same seed gives the same forest.
        assert_eq!(
            IsolationForest::fit(&points, 1).score(&points[0]),
            scores[0]
        );
    }

    #[test]
    fn few_and_constant_points_are_harmless() {
        for points in [
            vec![],
            vec![vec![1.0]],
            vec![vec![1.0, 2.0]; 500],
            vec![vec![]; 9],
        ] {
            let forest = IsolationForest::fit(&points, 3);
            let scores = [forest.score(&[1.0, 2.0]), forest.score(&[])];
            assert!(scores.iter().all(|s| s.is_finite()), "{scores:?}");
        }
        let huge = vec![vec![f64::MAX], vec![f64::MIN], vec![0.0]];
        assert!(
            IsolationForest::fit(&huge, 1)
                .score(&[f64::MAX])
                .is_finite()
        );
    }
}
