//! Peers: who uses the same things, found by linfa's k-means.
//!
//! What somebody uses, for example the routes that an account calls, is a document: the logarithm
//! of how often, times how few others use it (TF-IDF, Spärck Jones 1972), scaled to length one, so
//! that busy and idle ones who do the same work are near each other. Comparing with peers found so
//! is peer group analysis (Bolton & Hand, Unsupervised Profiling Methods for Fraud Detection 2001).
//! Things are hashed to a fixed number of columns (Weinberger et al., ICML 2009): what is used
//! tomorrow for the first time has a column today, and memory has a limit.
//!
//! A later fit begins with the centres of the one before, so a group keeps its number while its
//! members come and go.
//!
//! Pitfalls of linfa-clustering 0.8.1, each pinned by a test: k-means on no rows panics, so few
//! rows are not fitted; what is not a number fails the fit, which keeps the groups as they were,
//! and none gets there; the old centre counts as one more member, so an empty group stays where
//! it was.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::{KMeans, KMeansInit};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::cells::mix;

/// Columns that things are hashed to.
const COLUMNS: usize = 128;
/// Seed of the hash.
const SALT: u64 = 0x7065_6572;
/// Groups at most, and members there must be for each on average.
const MAX_GROUPS: usize = 8;
const MEMBERS_EACH: usize = 40;
/// A smaller group is none.
const LEAST_MEMBERS: usize = 20;
/// Nobody uses anything more often.
const MOST_USES: f32 = 1e9;
/// Rounds of a fit, and beginnings that the first one tries.
const ROUNDS: u64 = 30;
const BEGINNINGS: usize = 3;

/// What somebody uses, and how often.
pub type Used = Vec<(u64, f32)>;

/// Groups of those who use the same things.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Peers {
    /// Fits so far.
    fits: u32,
    /// Weight of each column: the fewer use it, the more.
    rarity: Vec<f32>,
    centres: Vec<Vec<f32>>,
    /// Share of those fitted in each group; 0 for a group that is too small.
    shares: Vec<f32>,
}

impl Peers {
    /// Finds the groups of a sample; the same sample in the same order gives the same groups. Too
    /// small a sample changes nothing.
    pub fn fit(&mut self, sample: &[Used]) {
        let rows: Vec<_> = sample.iter().map(columns).collect();
        let wanted = (rows.len() / MEMBERS_EACH).min(MAX_GROUPS);
        // More groups than before are numbered anew, so there must be many more.
        let groups = match self.centres.len() {
            now if wanted < 2 * now => now,
            _ => wanted,
        };
        if wanted < 2 {
            return;
        }
        let mut users = [0f32; COLUMNS];
        for (column, _) in rows.iter().flatten() {
            if let Some(users) = users.get_mut(*column) {
                *users += 1.0;
            }
        }
        let rarity = users.map(|n| ((1.0 + rows.len() as f32) / (1.0 + n)).ln());
        let mut matrix = Array2::<f32>::zeros((rows.len(), COLUMNS));
        for (mut row, used) in matrix.rows_mut().into_iter().zip(&rows) {
            for (column, weight) in weighed(used, &rarity) {
                if let Some(cell) = row.get_mut(column) {
                    *cell = weight;
                }
            }
        }
        // Its random numbers begin with the same seed each time.
        let params = KMeans::params(groups).max_n_iterations(ROUNDS);
        let params = match self.centres.len() == groups {
            true => {
                let before = |(i, j)| self.centre(i).get(j).copied().unwrap_or(0.0);
                let before = Array2::from_shape_fn((groups, COLUMNS), before);
                params
                    .init_method(KMeansInit::Precomputed(before))
                    .n_runs(1)
            }
            false => params
                .init_method(KMeansInit::KMeansPlusPlus)
                .n_runs(BEGINNINGS),
        };
        let Ok(model) = params.fit(&DatasetBase::from(matrix)) else {
            return;
        };
        self.fits += 1;
        self.rarity = rarity.to_vec();
        let centres = model.centroids().rows();
        self.centres = centres.into_iter().map(|row| row.to_vec()).collect();
        let of: Vec<_> = rows.iter().filter_map(|row| self.nearest(row)).collect();
        let share = |group| match of.iter().filter(|of| **of == group).count() {
            n if n >= LEAST_MEMBERS => n as f32 / rows.len() as f32,
            _ => 0.0,
        };
        self.shares = (0..groups).map(share).collect();
    }

    /// Fits so far: a group holds until the next.
    pub fn fits(&self) -> u32 {
        self.fits
    }

    /// The group of somebody who uses that; `None` while there are none, and of a small one.
    pub fn group(&self, used: &Used) -> Option<usize> {
        let group = self.nearest(&columns(used))?;
        (self.share(group) > 0.0).then_some(group)
    }

    /// Which share of all a group is, 0 if it is too small.
    pub fn share(&self, group: usize) -> f64 {
        f64::from(self.shares.get(group).copied().unwrap_or(0.0))
    }

    fn centre(&self, group: usize) -> &[f32] {
        self.centres.get(group).map_or(&[], Vec::as_slice)
    }

    fn nearest(&self, used: &[(usize, f32)]) -> Option<usize> {
        let row = weighed(used, &self.rarity);
        if row.is_empty() {
            return None;
        }
        // The square of the distance, but for what is the same for all.
        let distance = |centre: &Vec<f32>| {
            let both = row
                .iter()
                .filter_map(|(column, x)| Some(centre.get(*column)? * x));
            let common: f32 = both.sum();
            centre.iter().map(|c| c * c).sum::<f32>() - 2.0 * common
        };
        let distances = self.centres.iter().map(distance).enumerate();
        let nearest = distances.min_by(|a, b| a.1.total_cmp(&b.1))?;
        Some(nearest.0)
    }

    /// Bytes that it takes, about.
    pub fn bytes(&self) -> usize {
        (self.centres.len() + 1) * COLUMNS * 4
    }
}

/// By column, in order, how much of it is used; logarithms.
fn columns(used: &Used) -> Vec<(usize, f32)> {
    let column = |thing: u64| (mix(thing, SALT) % COLUMNS as u64) as usize;
    let mut all: Vec<_> = used.iter().map(|(thing, n)| (column(*thing), *n)).collect();
    // Sums of floats depend on their order.
    all.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut sums: Vec<(usize, f32)> = Vec::with_capacity(all.len());
    for (column, n) in all {
        let n = if n.is_nan() { 0.0 } else { n };
        let weight = n.clamp(0.0, MOST_USES).ln_1p();
        match sums.last_mut() {
            Some((last, sum)) if *last == column => *sum += weight,
            _ => sums.push((column, weight)),
        }
    }
    sums
}

/// The same, weighted and of length one; empty where nothing tells it from others.
fn weighed(used: &[(usize, f32)], rarity: &[f32]) -> Vec<(usize, f32)> {
    let weight = |(column, x): &(usize, f32)| Some((*column, x * rarity.get(*column)?));
    let mut row: Vec<_> = used.iter().filter_map(weight).collect();
    let length = row.iter().map(|(_, x)| x * x).sum::<f32>().sqrt();
    if length <= 0.0 {
        return Vec::new();
    }
    row.iter_mut().for_each(|(_, x)| *x /= length);
    row
}

#[cfg(test)]
mod tests;
