//! One file a resource: its wire types, its handlers, its documentation.

pub mod alerts;
pub mod audit;
pub mod backtest;
pub mod backups;
pub mod channels;
pub mod dead_letters;
pub mod entities;
pub mod erasures;
pub mod exceptions;
pub mod export;
pub mod facets;
pub mod fields;
pub mod health;
pub mod histogram;
pub mod intel;
pub mod openapi;
pub mod rules;
pub mod search;
pub mod session;
pub mod sql;
pub mod status;
pub mod tail;
pub mod tokens;
pub mod users;

use std::time::Instant;

use serde::{Deserialize, Deserializer};

/// Milliseconds since `started`, to the microsecond.
fn elapsed_ms(started: Instant) -> f64 {
    started.elapsed().as_micros() as f64 / 1e3
}

/// The header of an answer in which something may be missing, such as a damaged segment.
fn partial(is_partial: bool) -> Option<[(&'static str, &'static str); 1]> {
    is_partial.then_some([("watchfire-partial", "true")])
}

/// Tells a field that is there and null (`Some(None)`) from one that is not there (`None`).
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
