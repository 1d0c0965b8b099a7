//! When each event happened, by what it says itself.

use arrow::array::{AsArray, Int32Array, Int64Array, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Float64Type, Int64Type};
use watchfire_event::time::{epoch_int_ns, epoch_number_ns, parse_timestamp};
use watchfire_event::{EventBatch, Kind, Origin, field};

/// An event this far ahead of its receipt has an odd clock. Nanoseconds.
const SKEW_AHEAD_NS: i64 = 600 * 1_000_000_000;
/// An event this far behind its receipt has an odd clock. Nanoseconds.
const SKEW_BEHIND_NS: i64 = 30 * 86_400 * 1_000_000_000;
/// In fields other than `@timestamp`, what reads as a time before 1973 is a plain number.
const EARLIEST_GUESS_NS: i64 = 100_000_000 * 1_000_000_000;

/// Event times of a batch while they are looked for.
pub(super) struct Times {
    batch: EventBatch,
    times: Vec<Option<i64>>,
    missing: usize,
    /// Rows in which something looked like a time and could not be read.
    unread: Vec<bool>,
}

impl Times {
    /// Starts with the event's own `@timestamp`.
    pub(super) fn new(batch: &EventBatch) -> Self {
        let rows = batch.rows();
        let mut times = Times {
            batch: batch.clone(),
            times: vec![None; rows],
            missing: rows,
            unread: vec![false; rows],
        };
        times.read(field::TIMESTAMP, &BooleanBuffer::new_set(rows), false);
        times
    }

    /// Reads the event's own field `name` for those of `rows` that have no time yet. A `guess`
    /// is a field that may well hold something else.
    pub(super) fn read(&mut self, name: &str, rows: &BooleanBuffer, guess: bool) {
        if self.missing == 0 {
            return;
        }
        let earliest = if guess { EARLIEST_GUESS_NS } else { i64::MIN };
        let batch = self.batch.clone();
        for column in batch.named(name).filter(|c| c.origin == Origin::Own) {
            let array = column.array().as_ref();
            let rows = match array.nulls() {
                Some(nulls) => nulls.inner() & rows,
                None => rows.clone(),
            };
            match column.kind {
                Kind::Str => {
                    if let Some((keys, values)) = column.dictionary() {
                        self.read_texts(keys, values, &rows, earliest);
                    }
                }
                Kind::Int => {
                    let numbers = array.as_primitive::<Int64Type>();
                    self.read_numbers(&rows, earliest, |row| epoch_int_ns(numbers.value(row)));
                }
                Kind::Float => {
                    let numbers = array.as_primitive::<Float64Type>();
                    self.read_numbers(&rows, earliest, |row| read_float(numbers.value(row)));
                }
                // Of JSON, only null is no attempt to say a time.
                _ if guess => {}
                _ => {
                    for row in rows.set_indices() {
                        let null = matches!(column.json(row), None | Some(serde_json::Value::Null));
                        self.found(row, None, !null);
                    }
                }
            }
        }
    }

    fn read_texts(
        &mut self,
        keys: &Int32Array,
        values: &StringArray,
        rows: &BooleanBuffer,
        earliest: i64,
    ) {
        // Text that says a time twice is rare, so the last one read is memory enough.
        let mut last: Option<(i32, Option<i64>)> = None;
        for row in rows.set_indices() {
            if self.times.get(row).is_none_or(Option::is_some) {
                continue;
            }
            let key = keys.value(row);
            let time = match last {
                Some((seen, time)) if seen == key => time,
                _ => read_text(values.value(key as usize)).filter(|t| *t >= earliest),
            };
            last = Some((key, time));
            self.found(row, time, true);
        }
    }

    fn read_numbers(
        &mut self,
        rows: &BooleanBuffer,
        earliest: i64,
        read: impl Fn(usize) -> Option<i64>,
    ) {
        for row in rows.set_indices() {
            if self.times.get(row).is_some_and(Option::is_none) {
                let time = read(row);
                self.found(row, time.filter(|t| *t >= earliest), time.is_none());
            }
        }
    }

    fn found(&mut self, row: usize, time: Option<i64>, unread: bool) {
        if let (Some(slot @ None), Some(_)) = (self.times.get_mut(row), time) {
            *slot = time;
            self.missing -= 1;
        } else if let Some(slot) = self.unread.get_mut(row) {
            *slot |= unread && time.is_none();
        }
    }

    /// What was found.
    pub(super) fn finish(self) -> Found {
        Found {
            times: self.times,
            unread: self.unread,
        }
    }
}

/// The times that were found.
pub(super) struct Found {
    times: Vec<Option<i64>>,
    /// As in [`Times`].
    unread: Vec<bool>,
}

impl Found {
    /// Sets times and flags. Events without a time take the time of receipt.
    pub(super) fn write(self, batch: EventBatch) -> EventBatch {
        let rows = batch.rows();
        let received = batch.received().clone();
        let time_of = |row: usize| self.times.get(row).copied().flatten();
        let times: Int64Array = (0..rows)
            .map(|row| Some(time_of(row).unwrap_or_else(|| received.value(row))))
            .collect();
        let missing = |row: usize| time_of(row).is_none();
        let unread = |row: usize| self.unread.get(row).copied().unwrap_or(false);
        let skewed = |row: usize| {
            time_of(row).is_some_and(|time| {
                time.saturating_sub(received.value(row)) > SKEW_AHEAD_NS
                    || received.value(row).saturating_sub(time) > SKEW_BEHIND_NS
            })
        };
        let flags: [(&str, &dyn Fn(usize) -> bool); 3] = [
            (field::FLAG_NO_TIMESTAMP, &|row| {
                missing(row) && !unread(row)
            }),
            (field::FLAG_BAD_TIMESTAMP, &|row| {
                missing(row) && unread(row)
            }),
            (field::FLAG_CLOCK_SKEW, &skewed),
        ];
        let flags = flags.map(|(flag, has)| (flag, BooleanBuffer::collect_bool(rows, has)));
        batch.with_time(times).with_flags(&flags)
    }
}

/// A float of today's date holds some 240 ns; what is finer than microseconds is noise.
fn read_float(value: f64) -> Option<i64> {
    let ns = epoch_number_ns(value)?;
    Some(ns.saturating_add(500).div_euclid(1_000) * 1_000)
}

/// As [`parse_timestamp`], with a short cut for what nearly every log writes.
fn read_text(text: &str) -> Option<i64> {
    read_rfc3339_utc(text.as_bytes()).or_else(|| parse_timestamp(text))
}

/// `2026-01-31T23:59:58.123456Z`, zone `Z` only. Nanoseconds since the epoch.
fn read_rfc3339_utc(text: &[u8]) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<i64> {
        text.get(from..to)?.iter().try_fold(0_i64, |n, b| {
            b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0'))
        })
    };
    let sign = |at: usize, byte: u8| (text.get(at) == Some(&byte)).then_some(());
    for (at, byte) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        sign(at, byte)?;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = match text.get(19..)? {
        b"Z" => 0,
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) => {
            let scale = 10_i64.pow(9 - digits.len() as u32);
            number(20, 20 + digits.len())? * scale
        }
        _ => return None,
    };
    let date = chrono::NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32)?;
    let days = i64::from(date.to_epoch_days());
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction)
}
