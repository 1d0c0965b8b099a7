//! The engine: rules and detectors over batches, state in one place.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchfire_event::EventBatch;

use crate::alert::AlertChange;
use crate::ruleset::RuleSet;
use crate::state::StateError;

/// What an engine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineConfig {
    /// Evaluate Sigma rules and correlations.
    pub sigma: bool,
    /// Run the detectors.
    pub detectors: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            sigma: true,
            detectors: true,
        }
    }
}

/// What an engine has done since it was made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EngineStats {
    /// Events seen.
    pub events: u64,
    /// Matches of Sigma rules.
    pub matches: u64,
    /// Alerts raised.
    pub alerts: u64,
    /// Matches by rule id.
    pub matches_by_rule: BTreeMap<String, u64>,
    /// Seconds spent in Sigma rules and correlations; 0 without a clock.
    pub sigma_seconds: f64,
    /// Seconds spent in detectors; 0 without a clock.
    pub detector_seconds: f64,
}

/// Evaluates rules and detectors over a stream of batches.
#[derive(Debug)]
pub struct Engine {
    rules: Arc<RuleSet>,
    config: EngineConfig,
    clock: fn() -> f64,
    stats: EngineStats,
}

impl Engine {
    /// An engine that has learned nothing yet.
    pub fn new(rules: Arc<RuleSet>, config: EngineConfig) -> Self {
        Engine {
            rules,
            config,
            clock: || 0.0,
            stats: EngineStats::default(),
        }
    }

    /// Measures the stages with `clock`, which gives seconds since any fixed point.
    pub fn with_clock(mut self, clock: fn() -> f64) -> Self {
        self.clock = clock;
        self
    }

    /// Evaluates the rows of `batch` in their order. Every alert that was raised or changed comes
    /// once, as it is after the batch.
    pub fn process(&mut self, batch: &EventBatch) -> Vec<AlertChange> {
        let _ = (self.clock, self.config);
        self.stats.events += batch.rows() as u64;
        Vec::new()
    }

    /// Takes other rules from the next batch on. What was learned is kept for every correlation
    /// and detector whose id is still there.
    pub fn replace_rules(&mut self, rules: Arc<RuleSet>) {
        self.rules = rules;
    }

    /// Everything learned, as bytes.
    pub fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Goes on from what [`Engine::save`] gave.
    ///
    /// # Errors
    /// [`StateError`]; the engine is then unchanged.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let _ = bytes;
        Ok(())
    }

    /// What was done so far.
    pub fn stats(&self) -> &EngineStats {
        &self.stats
    }
}
