//! How well scores tell anomalies from the rest. Equal scores are one threshold, so that a constant
//! score has an area of one half and a precision of the prevalence.

/// A score and whether the row is an anomaly.
pub(super) type Scored = (f64, bool);

/// Figures over all thresholds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measures {
    /// Area under the receiver operating characteristic: the chance that an anomaly scores higher
    /// than another row.
    pub(super) auc: f64,
    /// Average precision: area under precision over recall, without interpolation.
    pub(super) ap: f64,
    /// Share of anomalies found while at most 0.1 % of the others are flagged.
    pub(super) recall_at_1_in_1000: f64,
}

/// Measures the scores; `None` unless there are anomalies and others. A score that is not a number
/// counts as the lowest.
pub(super) fn measure(scored: &[Scored]) -> Option<Measures> {
    let mut sorted: Vec<Scored> = scored.to_vec();
    for (score, _) in &mut sorted {
        if score.is_nan() {
            *score = f64::NEG_INFINITY;
        }
    }
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let anomalies = sorted.iter().filter(|(_, anomaly)| *anomaly).count() as f64;
    let others = sorted.len() as f64 - anomalies;
    if anomalies == 0.0 || others == 0.0 {
        return None;
    }
    let (mut found, mut flagged) = (0.0, 0.0);
    let (mut auc, mut ap, mut recall) = (0.0, 0.0, 0.0);
    for equal in sorted.chunk_by(|a, b| a.0 == b.0) {
        let hits = equal.iter().filter(|(_, anomaly)| *anomaly).count() as f64;
        let misses = equal.len() as f64 - hits;
        auc += misses * (found + hits / 2.0);
        found += hits;
        flagged += misses;
        ap += hits / anomalies * found / (found + flagged);
        if flagged <= 0.001 * others {
            recall = found / anomalies;
        }
    }
    Some(Measures {
        auc: auc / (anomalies * others),
        ap,
        recall_at_1_in_1000: recall,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_definitions() {
        let constant = [(1.0, true), (1.0, false), (1.0, false), (1.0, false)];
        let measures = measure(&constant).unwrap();
        assert_eq!((measures.auc, measures.ap), (0.5, 0.25));
        let perfect = [(0.1, false), (f64::NAN, false), (0.9, true)];
        assert_eq!(measure(&perfect).unwrap().auc, 1.0);
        // One of two anomalies above all, one in the middle of four others.
        let mixed = [0.9, 0.5, 0.8, 0.7, 0.3, 0.2];
        let mixed: Vec<Scored> = (mixed.iter().enumerate())
            .map(|(i, s)| (*s, i < 2))
            .collect();
        let measures = measure(&mixed).unwrap();
        assert_eq!(measures.auc, 6.0 / 8.0);
        assert_eq!(measures.ap, 0.5 * 1.0 + 0.5 * 2.0 / 4.0);
        assert_eq!(measures.recall_at_1_in_1000, 0.5);
        assert_eq!(measure(&[(1.0, true)]), None);
    }
}
