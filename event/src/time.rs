//! Reading points in time as people and programs write them.

use chrono::{DateTime, NaiveDateTime};

/// A half-open range of event time, nanoseconds since the epoch: `from <= t < to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// First instant inside.
    pub from_ns: i64,
    /// First instant outside.
    pub to_ns: i64,
}

impl TimeRange {
    /// Every instant.
    pub const ALL: TimeRange = TimeRange {
        from_ns: i64::MIN,
        to_ns: i64::MAX,
    };

    /// Is `t` (nanoseconds) inside? The last representable instant counts as inside [`Self::ALL`].
    pub fn contains(&self, t: i64) -> bool {
        t >= self.from_ns && (t < self.to_ns || self.to_ns == i64::MAX)
    }

    /// Do the ranges share an instant? `other` is given by its first and last instant.
    pub fn overlaps(&self, first: i64, last: i64) -> bool {
        last >= self.from_ns && (first < self.to_ns || self.to_ns == i64::MAX)
    }
}

/// Nanoseconds since the epoch of a number that is seconds, milliseconds, microseconds or
/// nanoseconds, told apart by magnitude (seconds up to the year 5138).
pub fn epoch_number_ns(value: f64) -> Option<i64> {
    let magnitude = value.abs();
    let scale = match magnitude {
        m if !m.is_finite() => return None,
        m if m < 1e11 => 1e9,
        m if m < 1e14 => 1e6,
        m if m < 1e17 => 1e3,
        _ => 1.0,
    };
    let ns = value * scale;
    (ns.abs() < 9.2e18).then_some(ns.round() as i64)
}

/// As [`epoch_number_ns`], exact for integers.
pub fn epoch_int_ns(value: i64) -> Option<i64> {
    let scale = match value.unsigned_abs() {
        m if m < 100_000_000_000 => 1_000_000_000,
        m if m < 100_000_000_000_000 => 1_000_000,
        m if m < 100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    value.checked_mul(scale)
}

/// Reads a timestamp as logs write it: RFC 3339, the same with a space or without a zone (then
/// UTC), the common log format, or epoch digits. Nanoseconds since the epoch.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(t) = DateTime::parse_from_rfc3339(text) {
        return t.timestamp_nanos_opt();
    }
    for format in [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y/%m/%d %H:%M:%S%.f",
    ] {
        if let Ok(t) = NaiveDateTime::parse_from_str(text, format) {
            return t.and_utc().timestamp_nanos_opt();
        }
    }
    for format in [
        "%Y-%m-%dT%H:%M:%S%.f%z",
        "%Y-%m-%d %H:%M:%S%.f %z",
        "%d/%b/%Y:%H:%M:%S %z",
    ] {
        if let Ok(t) = DateTime::parse_from_str(text, format) {
            return t.timestamp_nanos_opt();
        }
    }
    if let Ok(n) = text.parse::<i64>() {
        return epoch_int_ns(n);
    }
    text.parse::<f64>().ok().and_then(epoch_number_ns)
}

/// Reads a date, `2026-01-31`: its first instant in UTC. Nanoseconds since the epoch.
pub fn parse_date(text: &str) -> Option<i64> {
    let date = chrono::NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").ok()?;
    date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_nanos_opt()
}

/// Reads a bound of a time range: RFC 3339, epoch digits, `now`, `now-15m` or `now+1h`
/// (units s, m, h, d, w). `now_ns` is what `now` means.
pub fn parse_bound(text: &str, now_ns: i64) -> Option<i64> {
    let text = text.trim();
    let Some(offset) = text.strip_prefix("now") else {
        return parse_timestamp(text).or_else(|| parse_date(text));
    };
    if offset.is_empty() {
        return Some(now_ns);
    }
    let sign = match offset.as_bytes().first()? {
        b'-' => -1,
        b'+' => 1,
        _ => return None,
    };
    parse_duration_ns(offset.get(1..)?).and_then(|d| now_ns.checked_add(sign * d))
}

/// Reads a duration such as `90s`, `15m`, `6h`, `30d`, `2w` or `500ms`. Nanoseconds.
pub fn parse_duration_ns(text: &str) -> Option<i64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(split);
    let seconds: i64 = match unit {
        "ms" => return digits.parse::<i64>().ok()?.checked_mul(1_000_000),
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    digits
        .parse::<i64>()
        .ok()?
        .checked_mul(seconds)?
        .checked_mul(1_000_000_000)
}

/// RFC 3339 in UTC with as many fractional digits as needed (0, 3, 6 or 9).
pub fn to_rfc3339(ns: i64) -> String {
    DateTime::from_timestamp_nanos(ns).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
