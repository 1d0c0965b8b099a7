//! Where usual points lie: a mixture of Gaussians, fitted by linfa's expectation maximisation.
//!
//! The strangeness of a point is minus the logarithm of its likelihood. linfa 0.8.1 gives none, and
//! its `predict_proba` is infinite far out (both pinned in the tests), so it is computed here from
//! the fitted weights, means and covariances, with the largest term taken out of the sum.
//!
//! Pitfalls. A mixture takes a cluster of attacks for a usual one: fit it on clean or trimmed data.
//! Constant columns make every covariance singular, so they are left out, and a value that differs
//! from the constant costs a fixed amount. Columns that depend on each other are the normal case: a
//! small ridge holds the covariance positive. If a component collapses, fewer are tried, and then
//! values that are held back more.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::GaussianMixtureModel;
use ndarray::Array2;

use super::ModelError;
use super::codec::{Reader, Writer};

const NAME: &str = "mixture";
const VERSION: u32 = 1;

/// Steps of expectation maximisation.
const STEPS: u64 = 100;
/// Points that are needed for each component and column.
const POINTS_FOR_COLUMN: usize = 2;
/// Where standardised values are held back for the fit, and what is added to their variances; one
/// after the other is tried. The expectation step of linfa sums likelihoods without taking out the
/// largest, and ends as soon as one point is so far from every component that all its terms are 0.
const LADDER: [(f64, f64); 4] = [(10.0, 1e-6), (10.0, 1e-3), (10.0, 1e-2), (5.0, 0.1)];
/// What a value costs that differs from a constant column, in nats: as a deviation of about six.
const NOT_CONSTANT: f64 = 18.0;
/// Standardised values beyond this say no more, and their squares stay finite.
const FARTHEST: f64 = 1e6;

/// A fitted mixture.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    columns: Vec<Column>,
    components: Vec<Component>,
}

/// Mean and deviation of a column; a deviation of 0 is a constant.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Column {
    mean: f64,
    deviation: f64,
}

#[derive(Debug, Clone, PartialEq)]
struct Component {
    /// Logarithm of weight and normalisation.
    log_scale: f64,
    mean: Vec<f64>,
    /// The lower triangle of the covariance's Cholesky factor, row by row.
    factor: Vec<f64>,
}

impl Mixture {
    /// Fits at most `components` Gaussians to the points, which must be finite.
    ///
    /// # Errors
    /// [`ModelError::TooLittle`] without two different points, or if not even one Gaussian fits.
    pub fn fit(points: &[Vec<f64>], components: usize) -> Result<Self, ModelError> {
        let columns = columns(points);
        let dims = columns.iter().filter(|c| c.deviation > 0.0).count();
        if dims == 0 {
            return Err(ModelError::TooLittle("all points are equal"));
        }
        let most = points.len() / (POINTS_FOR_COLUMN * dims).max(1);
        let ways = LADDER.iter().flat_map(|(held, ridge)| {
            (1..=components.min(most.max(1)))
                .rev()
                .map(move |k| (*held, *ridge, k))
        });
        for (held, ridge, k) in ways {
            let flat = points.iter().flat_map(|p| standardised(&columns, p));
            let flat: Vec<f64> = flat.map(|v| v.clamp(-held, held)).collect();
            let matrix = Array2::from_shape_vec((points.len(), dims), flat)
                .map_err(|_| ModelError::TooLittle("points of different lengths"))?;
            let fitted = GaussianMixtureModel::params(k)
                .reg_covariance(ridge)
                .max_n_iterations(STEPS)
                .fit(&DatasetBase::from(matrix));
            if let Some(components) = fitted.ok().and_then(|fitted| taken_over(&fitted)) {
                return Ok(Mixture {
                    columns,
                    components,
                });
            }
        }
        Err(ModelError::TooLittle("no Gaussian fits"))
    }

    /// Minus the natural logarithm of the point's likelihood: small where usual points are dense.
    /// Always finite; a missing value counts as the mean.
    pub fn score(&self, point: &[f64]) -> f64 {
        let scaled: Vec<f64> = standardised(&self.columns, point).collect();
        let logs: Vec<f64> = self
            .components
            .iter()
            .map(|c| c.log_density(&scaled))
            .collect();
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logs.iter().map(|l| (l - largest).exp()).sum();
        let changed = self.columns.iter().zip(point);
        let changed = changed.filter(|(c, v)| c.deviation == 0.0 && v.is_finite() && **v != c.mean);
        changed.count() as f64 * NOT_CONSTANT - (largest + sum.ln())
    }

    /// How far each value is from the nearest component's mean, in that component's deviations.
    /// A value that differs from a constant counts as six.
    pub fn deviations(&self, point: &[f64]) -> Vec<f64> {
        let scaled: Vec<f64> = standardised(&self.columns, point).collect();
        let nearest = self
            .components
            .iter()
            .max_by(|a, b| a.log_density(&scaled).total_cmp(&b.log_density(&scaled)));
        let mut varying = 0;
        let each = self.columns.iter().enumerate().map(|(i, column)| {
            if column.deviation == 0.0 {
                let value = point.get(i).copied().unwrap_or(column.mean);
                return if value == column.mean { 0.0 } else { 6.0 };
            }
            varying += 1;
            nearest.map_or(0.0, |c| c.deviation(varying - 1, &scaled))
        });
        each.collect()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let numbers = self
            .components
            .iter()
            .map(|c| 1 + c.mean.len() + c.factor.len());
        (2 * self.columns.len() + numbers.sum::<usize>()) * size_of::<f64>()
    }

    /// The mixture as bytes.
    pub fn save(&self) -> Vec<u8> {
        let mut out = Writer::begin(NAME, VERSION);
        out.size(self.columns.len());
        for column in &self.columns {
            out.f64(column.mean);
            out.f64(column.deviation);
        }
        out.size(self.components.len());
        for component in &self.components {
            out.f64(component.log_scale);
            out.f64s(component.mean.iter());
            out.f64s(component.factor.iter());
        }
        out.finish()
    }

    /// The mixture that was saved.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] if the bytes are not one.
    pub fn restore(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut from = Reader::begin(bytes, NAME, VERSION)?;
        let mut columns = Vec::new();
        for _ in 0..from.count(16)? {
            columns.push(Column {
                mean: from.f64()?,
                deviation: from.f64()?,
            });
        }
        let dims = columns.iter().filter(|c| c.deviation > 0.0).count();
        let mut components = Vec::new();
        for _ in 0..from.count(24)? {
            let component = Component {
                log_scale: from.f64()?,
                mean: from.f64s()?,
                factor: from.f64s()?,
            };
            if component.mean.len() != dims || component.factor.len() != dims * (dims + 1) / 2 {
                return Err(ModelError::Malformed("a component of other points"));
            }
            components.push(component);
        }
        from.end()?;
        if components.is_empty() {
            return Err(ModelError::Malformed("a mixture of nothing"));
        }
        Ok(Mixture {
            columns,
            components,
        })
    }
}

impl Component {
    fn log_density(&self, point: &[f64]) -> f64 {
        let whitened = self.whitened(point);
        self.log_scale - 0.5 * whitened.iter().map(|w| w * w).sum::<f64>()
    }

    /// The point in the component's own coordinates: L w = x - mean, solved forwards.
    fn whitened(&self, point: &[f64]) -> Vec<f64> {
        let mut whitened: Vec<f64> = Vec::with_capacity(self.mean.len());
        let mut row = 0;
        for (i, (value, mean)) in point.iter().zip(&self.mean).enumerate() {
            let factors = &self.factor[row..row + i];
            let known: f64 = factors.iter().zip(&whitened).map(|(f, w)| f * w).sum();
            whitened.push((value - mean - known) / self.factor[row + i]);
            row += i + 1;
        }
        whitened
    }

    /// Distance of one value from the mean in deviations of this component.
    fn deviation(&self, dim: usize, point: &[f64]) -> f64 {
        let row = dim * (dim + 1) / 2;
        let variance: f64 = self.factor[row..=row + dim].iter().map(|f| f * f).sum();
        (point[dim] - self.mean[dim]) / variance.sqrt()
    }
}

/// Mean and deviation of each column.
fn columns(points: &[Vec<f64>]) -> Vec<Column> {
    let n = points.len() as f64;
    let dims = points.first().map_or(0, Vec::len);
    let column = |dim: usize| {
        let values = || {
            points
                .iter()
                .map(move |p| p.get(dim).copied().unwrap_or(0.0))
        };
        let mean = values().map(|v| v / n).sum::<f64>();
        let variance = values().map(|v| (v - mean) * ((v - mean) / n)).sum::<f64>();
        let deviation = variance.sqrt();
        // What rounding leaves of a constant is none.
        if deviation.is_finite() && deviation > mean.abs() * 1e-9 {
            return Column { mean, deviation };
        }
        Column {
            mean: values().next().unwrap_or(0.0),
            deviation: 0.0,
        }
    };
    (0..dims).map(column).collect()
}

/// The values of the columns that vary, in deviations from the mean.
fn standardised<'a>(columns: &'a [Column], point: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    let varying = columns
        .iter()
        .enumerate()
        .filter(|(_, c)| c.deviation > 0.0);
    varying.map(|(i, column)| match point.get(i) {
        Some(value) if !value.is_nan() => {
            ((value - column.mean) / column.deviation).clamp(-FARTHEST, FARTHEST)
        }
        _ => 0.0,
    })
}

/// The components with their covariances factored; `None` if one is not positive definite.
fn taken_over(fitted: &GaussianMixtureModel<f64>) -> Option<Vec<Component>> {
    let dims = fitted.means().ncols();
    let mut components = Vec::new();
    let parts = fitted.weights().iter().zip(fitted.means().rows());
    for ((weight, mean), covariance) in parts.zip(fitted.covariances().outer_iter()) {
        let factor = cholesky(dims, |i, j| covariance[[i, j]])?;
        let log_det: f64 = (0..dims).map(|i| factor[i * (i + 1) / 2 + i].ln()).sum();
        let log_scale =
            weight.ln() - log_det - 0.5 * dims as f64 * (2.0 * std::f64::consts::PI).ln();
        if !log_scale.is_finite() {
            return None;
        }
        components.push(Component {
            log_scale,
            mean: mean.to_vec(),
            factor,
        });
    }
    (!components.is_empty()).then_some(components)
}

/// The lower triangle L of a symmetric matrix L L^T, row by row.
fn cholesky(dims: usize, matrix: impl Fn(usize, usize) -> f64) -> Option<Vec<f64>> {
    let mut factor: Vec<f64> = Vec::with_capacity(dims * (dims + 1) / 2);
    let row = |i: usize| i * (i + 1) / 2;
    for i in 0..dims {
        for j in 0..=i {
            let known: f64 = (0..j)
                .map(|k| factor[row(i) + k] * factor[row(j) + k])
                .sum();
            let left = matrix(i, j) - known;
            let entry = if i == j {
                if left.is_nan() || left <= 0.0 {
                    return None;
                }
                left.sqrt()
            } else {
                left / factor[row(j) + j]
            };
            factor.push(entry);
        }
    }
    Some(factor)
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    /// A normal number (sum of uniforms).
    fn normal(random: &mut Random) -> f64 {
        (0..12).map(|_| random.unit()).sum::<f64>() - 6.0
    }

    fn blobs(n: usize) -> Vec<Vec<f64>> {
        let mut random = Random::new(6);
        let mut one = |i: usize| {
            let centre = if i.is_multiple_of(2) { 0.0 } else { 10.0 };
            vec![centre + normal(&mut random), 5.0 * normal(&mut random)]
        };
        (0..n).map(&mut one).collect()
    }

    #[test]
    fn the_likelihood_is_that_of_the_mixture() {
        let points = blobs(4_000);
        let mixture = Mixture::fit(&points, 2).unwrap();
        // Half the weight each, deviations 1 and 5; in the units of standardised columns.
        let spread: Vec<f64> = mixture.columns.iter().map(|c| c.deviation).collect();
        let density = |x: f64, y: f64| {
            let bell = |v: f64| (-0.5 * v * v).exp() / (2.0 * std::f64::consts::PI).sqrt();
            0.5 * (bell(x) + bell(x - 10.0)) * bell(y / 5.0) / 5.0 * spread[0] * spread[1]
        };
        for (x, y) in [(0.0, 0.0), (10.0, 5.0), (5.0, 0.0), (2.0, -8.0)] {
            let (got, want) = (mixture.score(&[x, y]), -density(x, y).ln());
            assert!((got - want).abs() < 0.4, "{x} {y}: {got} {want}");
        }
    }

    #[test]
    fn the_upstream_model_cannot_say_it_far_out() {
        // Why the likelihood is our own. If this fails after an update, linfa has been mended.
        let matrix = Array2::from_shape_fn((600, 2), |(i, j)| blobs(600)[i][j]);
        let model = GaussianMixtureModel::params(3)
            .fit(&DatasetBase::from(matrix))
            .unwrap();
        let far = Array2::from_elem((1, 2), 400.0);
        let odds = model.predict_proba(&far);
        assert!(odds.iter().any(|p| !p.is_finite()), "{odds}");
        let ours = Mixture::fit(&blobs(600), 3).unwrap();
        assert!(ours.score(&[400.0, 400.0]) > ours.score(&[200.0, 200.0]));
        assert!(ours.score(&[f64::MAX, f64::MIN]).is_finite());
        assert!(ours.score(&[f64::NAN, f64::INFINITY]).is_finite());
    }

    #[test]
    fn constant_and_dependent_columns_are_the_normal_case() {
        let points: Vec<Vec<f64>> = blobs(500)
            .into_iter()
            .map(|p| vec![p[0], 3.0, p[1], p[0] + p[1], 1e12])
            .collect();
        let mixture = Mixture::fit(&points, 4).unwrap();
        let usual = mixture.score(&points[0]);
        let mut changed = points[0].clone();
        changed[1] = 4.0;
        assert!((mixture.score(&changed) - usual - NOT_CONSTANT).abs() < 1e-6);
        assert_eq!(mixture.deviations(&changed)[1], 6.0);
        // The sum no longer being the sum is stranger than either value.
        let mut broken = points[0].clone();
        broken[3] += 5.0;
        assert!(mixture.score(&broken) > usual + 100.0);
    }

    #[test]
    fn too_little_is_an_error_and_little_is_enough() {
        for points in [
            vec![],
            vec![vec![1.0, 2.0]],
            vec![vec![1.0]; 100],
            vec![vec![]; 3],
        ] {
            assert!(matches!(
                Mixture::fit(&points, 4),
                Err(ModelError::TooLittle(_))
            ));
        }
        let mixture = Mixture::fit(&blobs(6), 4).unwrap();
        assert!(mixture.score(&[50.0, 0.0]) > mixture.score(&[5.0, 0.0]));
    }

    #[test]
    fn a_restored_mixture_gives_the_same_scores() {
        let mixture = Mixture::fit(&blobs(300), 4).unwrap();
        let bytes = mixture.save();
        let restored = Mixture::restore(&bytes).unwrap();
        assert_eq!(mixture, restored);
        assert!((0..bytes.len()).all(|end| Mixture::restore(&bytes[..end]).is_err()));
        assert!(mixture.bytes() < 300);
    }
}
