//! What detectors know of a row: who did what to what, with which outcome, from where.
//!
//! Every row of a batch becomes a [`Fact`]: numbers and 64-bit hashes, read once and shared by all
//! detectors. Distinct values are hashed once a batch. What a log leaves out is added from what was
//! learned: the template of a path ([`routes`]), network and country of an address that another
//! log has named, and event time as far as it has come ([`Fact::now_ns`]).
//!
//! Hashes are turned back into words by [`Names`], which forgets values that nobody has used for
//! long; a detector that must name something later keeps the words itself.

mod columns;
mod names;
mod read;
pub(crate) mod recent;
mod routes;

use serde::{Deserialize, Serialize};

pub(crate) use names::Names;
pub(crate) use read::{FactReader, fields};

/// How a request ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    #[default]
    Unknown,
    Success,
    Failure,
}

/// What was done, as far as detectors tell things apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    /// A request like any other.
    #[default]
    Other,
    /// Somebody proves who they are.
    Login,
    /// Much is taken at once: an export, a download, a report.
    Export,
    /// A new version of a service goes live.
    Deploy,
    /// Somebody lets a program act for them.
    Consent,
}

/// One row. A hash of 0 stands for "not said".
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fact {
    pub(crate) row: u32,
    pub(crate) seq: u64,
    /// Event time.
    pub(crate) time_ns: i64,
    /// The watermark after this row: greatest event time so far, never trusted beyond ten minutes
    /// after receipt.
    pub(crate) now_ns: i64,
    pub(crate) act: Act,
    pub(crate) outcome: Outcome,
    /// HTTP status, 0 when there is none.
    pub(crate) status: u16,
    /// Neither GET nor HEAD nor OPTIONS.
    pub(crate) writes: bool,
    /// The agent says itself to be a crawler.
    pub(crate) crawler: bool,
    /// The agent is a program, not a browser or an app.
    pub(crate) tool: bool,
    pub(crate) user: u64,
    /// The roles together.
    pub(crate) role: u64,
    pub(crate) token: u64,
    pub(crate) ip: u64,
    /// The /24 of an IPv4 address, the /48 of an IPv6 address.
    pub(crate) net: u64,
    pub(crate) asn: u64,
    pub(crate) country: u64,
    /// The agent without its version numbers.
    pub(crate) agent: u64,
    /// The agent as it is said.
    pub(crate) exact_agent: u64,
    pub(crate) client: u64,
    pub(crate) tenant: u64,
    pub(crate) service: u64,
    pub(crate) host: u64,
    /// The service that calls, 0 for a request from outside.
    pub(crate) caller: u64,
    /// Where a call that leaves the company goes.
    pub(crate) domain: u64,
    /// Method and template of the path, within the service.
    pub(crate) route: u64,
    /// What the variable part of the path names, 0 when it names nothing.
    pub(crate) object: u64,
    /// The same as a number, if it is one.
    pub(crate) number: Option<i64>,
    /// Bytes of the answer, or that went over the network.
    pub(crate) bytes: u64,
}

impl Fact {
    /// Who is behind a request from outside: the account, else the token, else the address.
    pub(crate) fn principal(&self) -> u64 {
        [self.user, self.token, self.ip]
            .into_iter()
            .find(|hash| *hash != 0)
            .unwrap_or(0)
    }

    /// Does it come from outside?
    pub(crate) fn is_outer(&self) -> bool {
        self.caller == 0
    }

    /// Was it served?
    pub(crate) fn served(&self) -> bool {
        self.outcome == Outcome::Success
    }
}

/// The rows of a batch, in their order.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) rows: Vec<Fact>,
}
