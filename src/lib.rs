//! Watchfire: a security event log aggregator and anomaly detector in one binary.
//!
//! This package holds no logic of its own beyond wiring: [`pipeline`] shows every task and
//! channel on one page, [`cli`] has one file a subcommand, [`notify`] sends what was found.

pub mod cli;
pub mod config;
pub mod demo;
mod detection;
pub mod intel;
pub mod notify;
pub mod pipeline;
pub mod rules;
pub mod telemetry;
