//! Alerts from findings: one per detector and entity until it has been quiet for an hour.

use watchfire_event::Alert;

/// What happened to an alert in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It did not exist before.
    New,
    /// It became more severe.
    Worse,
    /// It stands for more events now.
    Updated,
}

/// An alert as it is after a batch, and what the batch did to it.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertChange {
    /// The alert, complete.
    pub alert: Alert,
    /// What happened to it.
    pub change: Change,
}
