//! The store as a whole, against a naive scan of the same events.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod answers;
mod backups;
pub(crate) mod bed;
mod encrypted;
mod erasing;
mod hiding;
mod hunts;
mod life;
mod replays;
mod rewriting;
mod tables;
mod verifying;
