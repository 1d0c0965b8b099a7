//! Alerts out: takes messages from the outbox and delivers them to webhooks.
//!
//! ```text
//! detection ──► one transaction: alert + outbox rows ──wake──► worker ──► one task a channel
//! ```
//!
//! An alert is on disk before the first attempt, and a message stays in the outbox until a
//! receiver has taken it or 72 hours have passed; so a crash repeats an attempt and loses
//! nothing. Every channel has a task of its own while it has something to send, one request at
//! a time, so that a slow receiver delays nobody else.
//!
//! One file a format; `webhook` is Standard Webhooks 1.0.

mod message;
mod schedule;
mod sender;
mod target;
mod webhook;
mod worker;

#[cfg(test)]
mod tests;

pub use sender::Lookup;
pub use target::TargetPolicy;
pub use worker::{Worker, run};
