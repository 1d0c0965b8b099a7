//! Detection: batches of events in, alerts out.
//!
//! ```text
//! RuleFile ── RuleSet::load ──► RuleSet (Sigma rules, correlations, filters, detector files)
//!                                  │
//! EventBatch ── Engine::process ───┤  sigma: rows matched by rules, matches correlated over time
//!                                  │  detectors: rows scored against what is usual
//!                                  ▼
//!                     settings and exceptions of people (gate)
//!                                  ▼
//!                               Finding ── AlertBook (one alert an entity) ──► AlertChange
//! ```
//!
//! This crate has no clock, no files, no network and no threads: time is the time of the events.
//! The same events give the same alerts with the same ids however they are cut into batches, and
//! [`Engine::save`] / [`Engine::restore`] between any two batches change nothing.

mod activity;
mod alert;
mod backtest;
mod beside;
mod budget;
mod calibrate;
mod calibration;
pub mod catalogue;
mod cells;
mod cost;
mod detectors;
mod engine;
mod entity;
mod explain;
mod facts;
mod finding;
mod gate;
pub mod intel;
pub mod models;
mod needs;
pub mod pack;
mod policy;
mod risk;
mod ruleset;
mod season;
mod sigma;
mod silent;
mod state;
mod tail;
mod trace;

pub use activity::{Activity, Hidden, RuleActivity, RuleCounts, total};
pub use alert::{AlertChange, Change, Touched};
pub use backtest::{
    Backtest, BacktestReport, DayCount, EntityCount, ExceptionCount, MAX_ALERTS, Reading, RuleCount,
};
pub use calibration::Calibration;
pub use cost::{Costs, DetectorState, RuleCost};
pub use engine::learning::Learning;
pub use engine::{Engine, EngineConfig, EngineStats};
pub use needs::Lack;
pub use policy::{RuleException, RulePolicy, RuleSettings, RuleState, VerdictBar};
pub use risk::{RiskPoint, risk};
pub use ruleset::{PipelineInfo, RuleFault, RuleFile, RuleInfo, RuleKind, RuleSet};
pub use sigma::correlate::Windows;
pub use state::StateError;
pub use trace::{LogSourceTrace, RuleTrace, TraceNode};
