//! When to try again: a pure function of what is known about a message.

use std::hash::{DefaultHasher, Hash, Hasher};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Waits after the first, second, ... failure, as Standard Webhooks advises. The last repeats.
const WAITS_NS: [i64; 9] = [
    5 * SECOND,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
];

/// A message is tried for so long, then parked.
const GIVE_UP_NS: i64 = 72 * HOUR;

/// Most that a receiver can ask us to wait.
const MAX_RETRY_AFTER_NS: i64 = 24 * HOUR;

/// When a message is due after its `tries`-th failure (from 1), nanoseconds; none when it is to
/// be parked. `began_ns` is when it was queued or replayed. The last attempt is at 72 hours.
///
/// Waits get up to a tenth longer, by the message's id and try, so that messages which failed
/// together do not come back together.
pub fn next_ns(
    id: &str,
    tries: u32,
    began_ns: i64,
    now_ns: i64,
    retry_after_ns: Option<i64>,
) -> Option<i64> {
    let deadline = began_ns.saturating_add(GIVE_UP_NS);
    if now_ns >= deadline {
        return None;
    }
    let step = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
    let wait = WAITS_NS[step.min(WAITS_NS.len() - 1)];
    let mut hasher = DefaultHasher::new();
    (id, tries).hash(&mut hasher);
    let jitter = (hasher.finish() % 1_000) as i64 * (wait / 10_000);
    let asked = retry_after_ns.unwrap_or(0).clamp(0, MAX_RETRY_AFTER_NS);
    Some(
        now_ns
            .saturating_add((wait + jitter).max(asked))
            .min(deadline),
    )
}

/// Reads `Retry-After`: seconds, or a date as HTTP writes it. Nanoseconds from `now_ns`.
pub fn retry_after_ns(value: &str, now_ns: i64) -> Option<i64> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(i64::from(seconds) * SECOND);
    }
    let date = chrono::DateTime::parse_from_rfc2822(value).ok()?;
    Some(date.timestamp_nanos_opt()?.saturating_sub(now_ns).max(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_receiver_that_is_down_is_tried_on_schedule_for_72_hours() {
        let (mut now, mut waits) = (0, Vec::new());
        while let Some(due) = next_ns("msg_a", waits.len() as u32 + 1, 0, now, None) {
            waits.push(due - now);
            now = due;
        }
        assert_eq!(now, GIVE_UP_NS, "the last attempt is at 72 hours");
        for (wait, planned) in waits.iter().zip(WAITS_NS).take(waits.len() - 1) {
            assert!(
                (planned..=planned + planned / 10).contains(wait),
                "{wait} {planned}"
            );
        }
        assert!((8..=10).contains(&waits.len()), "{waits:?}");
    }

    #[test]
    fn messages_spread_out() {
        let due: std::collections::BTreeSet<_> = (0..100)
            .map(|n| next_ns(&format!("msg_{n}"), 2, 0, 0, None))
            .collect();
        assert!(due.len() > 50, "{}", due.len());
    }

    #[test]
    fn the_receiver_can_ask_for_more_time_and_not_for_less() {
        let plain = next_ns("m", 1, 0, 0, None).unwrap();
        assert_eq!(next_ns("m", 1, 0, 0, Some(0)).unwrap(), plain);
        assert_eq!(next_ns("m", 1, 0, 0, Some(HOUR)).unwrap(), HOUR);
        assert_eq!(
            next_ns("m", 1, 0, 0, Some(i64::MAX)).unwrap(),
            MAX_RETRY_AFTER_NS
        );
        assert_eq!(
            next_ns("m", 1, 0, 71 * HOUR, Some(5 * HOUR)),
            Some(GIVE_UP_NS)
        );
    }

    #[test]
    fn retry_after_in_both_spellings() {
        let now = 1_445_412_420 * SECOND;
        let cases = [
            ("120", Some(120 * SECOND)),
            (" 0 ", Some(0)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(MINUTE)),
            ("Wed, 21 Oct 2015 07:20:00 GMT", Some(0)),
            ("-5", None),
            ("soon", None),
            ("99999999999999999999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(retry_after_ns(text, now), expected, "{text}");
        }
    }
}
