//! The doors: one file a protocol, one line each in [`INPUTS`].

pub mod bulk;
pub mod events;
pub mod handshake;
pub mod otlp;

use axum::Router;

use crate::Ingest;

/// A protocol.
pub struct Input {
    /// What it is called in metrics.
    pub name: &'static str,
    /// Its routes.
    pub routes: fn(Router<Ingest>) -> Router<Ingest>,
}

/// Every protocol that is spoken.
pub const INPUTS: &[Input] = &[
    Input {
        name: "events",
        routes: events::routes,
    },
    Input {
        name: "bulk",
        routes: bulk::routes,
    },
    Input {
        name: "elasticsearch",
        routes: handshake::routes,
    },
    Input {
        name: "otlp",
        routes: otlp::routes,
    },
];

/// Counts a request that was refused as a whole.
fn count_refusal(input: &'static str, refusal: &crate::Refusal) {
    metrics::counter!(
        "watchfire_ingest_refused_total", "input" => input, "code" => refusal.code()
    )
    .increment(1);
}
