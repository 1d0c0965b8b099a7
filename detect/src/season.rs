//! Season: how busy each hour of the week is, as a multiple of what is usual.
//!
//! A profile of 168 hours, UTC, each drawn towards its hour of the day, and that towards one, as
//! far as little is known of it: two levels of shrinkage, so that the first week already knows
//! nights from days, and Sundays are learned later. Baselines are kept with the season taken out
//! (classical multiplicative decomposition) and put back where something is expected.

use serde::{Deserialize, Serialize};

const HOUR_NS: i64 = 3_600 * 1_000_000_000;
const DAY: usize = 24;
const WEEK: usize = 7 * DAY;
/// The past weighs as much as so many observations when an hour is drawn towards its prior.
const PRIOR: f32 = 6.0;
/// Observations after which old ones fade.
const MEMORY: f32 = 500.0;
/// An hour is never taken to be busier or quieter than this: what is learned of a few windows must
/// not hide or invent an attack.
const MOST: f32 = 5.0;

/// The mean of what was seen in an hour, over what was expected without season.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Hour(f32, f32);

impl Hour {
    fn add(&mut self, ratio: f32) {
        let Hour(n, mean) = self;
        *n = (*n + 1.0).min(MEMORY);
        *mean += (ratio - *mean) / *n;
    }

    fn drawn_towards(self, prior: f32) -> f32 {
        let Hour(n, mean) = self;
        (n * mean + PRIOR * prior) / (n + PRIOR)
    }
}

/// A profile; empty, it knows of no season.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Season {
    hours_of_day: Vec<Hour>,
    hours_of_week: Vec<Hour>,
}

impl Season {
    /// Bytes that a profile takes, about.
    pub(crate) const BYTES: usize = (DAY + WEEK) * size_of::<Hour>() + size_of::<Season>();

    /// How much busier than usual the hour of this time is.
    pub(crate) fn factor(&self, time_ns: i64) -> f64 {
        let hour = hour_of_week(time_ns);
        let of_day = self.hours_of_day.get(hour % DAY);
        let of_day = of_day.copied().unwrap_or_default().drawn_towards(1.0);
        let of_week = self.hours_of_week.get(hour).copied().unwrap_or_default();
        let factor = of_week.drawn_towards(of_day);
        f64::from(factor.clamp(1.0 / MOST, MOST))
    }

    /// Takes in what was seen at a time, over what was expected without season.
    pub(crate) fn add(&mut self, time_ns: i64, ratio: f64) {
        let hour = hour_of_week(time_ns);
        self.hours_of_day.resize(DAY, Hour::default());
        self.hours_of_week.resize(WEEK, Hour::default());
        let ratio = (ratio as f32).clamp(0.0, MOST);
        if let Some(of_day) = self.hours_of_day.get_mut(hour % DAY) {
            of_day.add(ratio);
        }
        if let Some(of_week) = self.hours_of_week.get_mut(hour) {
            of_week.add(ratio);
        }
    }
}

fn hour_of_week(time_ns: i64) -> usize {
    usize::try_from(time_ns.div_euclid(HOUR_NS).rem_euclid(WEEK as i64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Busy days, quiet nights, and Sundays without work.
    fn usual(hour: i64) -> f64 {
        let (day, hour) = (hour / 24 % 7, hour % 24);
        match (day, hour) {
            (6, _) => 0.4,
            (_, 8..20) => 1.7,
            _ => 0.5,
        }
    }

    fn after(weeks: i64) -> Season {
        let mut season = Season::default();
        for hour in 0..weeks * 168 {
            // Twelve windows an hour.
            (0..12).for_each(|_| season.add(hour * HOUR_NS, usual(hour)));
        }
        season
    }

    #[test]
    fn without_a_past_no_hour_differs() {
        assert_eq!(Season::default().factor(12_345 * HOUR_NS), 1.0);
    }

    #[test]
    fn a_few_days_tell_days_from_nights_and_some_weeks_the_days_of_the_week() {
        let mut season = Season::default();
        (0..72).for_each(|hour| {
            (0..12).for_each(|_| season.add(hour * HOUR_NS, usual(hour)));
        });
        let at = |season: &Season, hour: i64| season.factor((168 * 900 + hour) * HOUR_NS);
        assert!(
            at(&season, 100) < 0.8,
            "a night not seen yet: {}",
            at(&season, 100)
        );
        assert!(
            at(&season, 108) > 1.3,
            "a day not seen yet: {}",
            at(&season, 108)
        );
        let season = after(6);
        assert!((at(&season, 12) - 1.7).abs() < 0.15, "{}", at(&season, 12));
        assert!((at(&season, 2) - 0.5).abs() < 0.1, "{}", at(&season, 2));
        assert!(at(&season, 6 * 24 + 12) < 0.75, "Sunday noon");
    }

    #[test]
    fn one_odd_hour_changes_little() {
        let mut season = after(4);
        let noon = 12 * HOUR_NS;
        let before = season.factor(noon);
        (0..12).for_each(|_| season.add(noon, 1e9));
        assert!(season.factor(noon) < before * 1.5 && season.factor(noon) <= 5.0);
    }

    #[test]
    fn a_profile_is_restored_as_it_was() {
        let season = after(1);
        let text = serde_json::to_string(&season).unwrap_or_default();
        assert_eq!(serde_json::from_str::<Season>(&text).ok(), Some(season));
    }
}
