//! Event times and sequence numbers of a segment, small enough to keep.

use watchfire_event::EventBatch;

/// Numbers as offsets from the least of them, in units of their common divisor.
#[derive(Debug)]
enum Offsets {
    /// `base + unit * offset`.
    Narrow {
        base: i128,
        unit: u64,
        offsets: Vec<u32>,
    },
    /// As they are.
    Wide(Vec<i128>),
}

impl Offsets {
    fn of(values: impl Iterator<Item = i128> + Clone) -> Offsets {
        let base = values.clone().min().unwrap_or_default();
        let unit = values.clone().fold(0, |unit, v| gcd(unit, v - base)).max(1);
        let narrow: Option<Vec<u32>> = values
            .clone()
            .map(|v| u32::try_from((v - base) / unit).ok())
            .collect();
        match (narrow, u64::try_from(unit)) {
            (Some(offsets), Ok(unit)) => Offsets::Narrow {
                base,
                unit,
                offsets,
            },
            _ => Offsets::Wide(values.collect()),
        }
    }

    fn get(&self, row: usize) -> i128 {
        match self {
            Offsets::Narrow {
                base,
                unit,
                offsets,
            } => base + i128::from(*unit) * i128::from(offsets.get(row).copied().unwrap_or(0)),
            Offsets::Wide(values) => values.get(row).copied().unwrap_or_default(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Offsets::Narrow { offsets, .. } => offsets.len(),
            Offsets::Wide(values) => values.len(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Offsets::Narrow { offsets, .. } => offsets.len() * 4,
            Offsets::Wide(values) => values.len() * 16,
        }
    }
}

fn gcd(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Times, rising, and sequence numbers of the rows of a segment.
#[derive(Debug)]
pub(crate) struct Times {
    time: Offsets,
    seq: Offsets,
}

impl Times {
    /// Of rows that are sorted by time.
    pub fn of(batch: &EventBatch) -> Times {
        let (time, seq) = (batch.time().values(), batch.seq().values());
        Times {
            time: Offsets::of(time.iter().map(|t| i128::from(*t))),
            seq: Offsets::of(seq.iter().map(|s| i128::from(*s))),
        }
    }

    /// Event time of a row, nanoseconds since the epoch.
    pub fn time(&self, row: usize) -> i64 {
        self.time.get(row) as i64
    }

    /// Sequence number of a row.
    pub fn seq(&self, row: usize) -> u64 {
        self.seq.get(row) as u64
    }

    /// The first row at or after a time, or the number of rows.
    pub fn first_at(&self, time_ns: i64) -> usize {
        let (mut low, mut high) = (0, self.time.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.time(middle) < time_ns {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        self.time.bytes() + self.seq.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn offsets_give_back_every_number(
            values in prop::collection::vec(prop_oneof![
                any::<i64>().prop_map(i128::from),
                (0..1000_i64).prop_map(|ms| i128::from(1_760_000_000_000_i64 + ms) * 1_000_000),
            ], 0..40),
        ) {
            let offsets = Offsets::of(values.iter().copied());
            let back: Vec<i128> = (0..offsets.len()).map(|row| offsets.get(row)).collect();
            prop_assert_eq!(back, values);
        }
    }

    #[test]
    fn milliseconds_of_a_day_take_four_bytes_each() {
        let day: Vec<i128> = (0..86_400).map(|s| s * 1_000_000_000 + 7).collect();
        assert_eq!(Offsets::of(day.iter().copied()).bytes(), 4 * day.len());
    }
}
