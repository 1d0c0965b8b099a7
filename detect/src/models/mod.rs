//! Models: what is usual, learned from numbers and text.
//!
//! | module | model | used for |
//! |---|---|---|
//! | [`forest`] | random cut forest | points of a stream, with what makes one strange |
//! | [`stream`] | the forest with scaling, guarded against attacks | window vectors of a role |
//! | [`isolation`] | isolation forest | a batch that may hold attacks |
//! | [`mixture`] | Gaussian mixture (linfa) | where usual points lie |
//! | [`nightly`] | the above, neighbours, support vectors (linfa) | a second opinion on a batch |
//! | [`peers`] | k-means (linfa) over what is used | accounts that do the same work |
//! | [`payload`] | a mixture over kinds of characters | values that clients send |
//! | [`drain`] | templates of log lines | new kinds of lines of a service |
//! | [`spot`] | generalised Pareto tail | large values to probabilities |
//! | [`series`] | jumps and shifts of level | counts, volumes, latencies over time |
//! | [`verdicts`] | logistic regression (linfa) | what people said of alerts |
//!
//! Models have no clock and no chance of their own: the same numbers in the same order give the
//! same scores, and a model that was saved and restored goes on as if nothing had been. Each has a
//! limit of memory that does not depend on what it is fed. What they were measured on, and with
//! which result, stands in `docs/EVALUATION.md`; `watchfire eval` measures it again.

pub mod codec;
pub mod drain;
pub mod forest;
pub mod isolation;
pub mod mixture;
pub mod nightly;
pub mod payload;
pub mod peers;
pub mod random;
pub mod scale;
pub mod series;
pub mod spot;
pub mod stream;
pub mod verdicts;

/// Why a model could not be made or taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The bytes are not a saved model of this kind and version.
    #[error("not a saved model: {0}")]
    Malformed(&'static str),
    /// What is to be learned from is too little or too uniform.
    #[error("nothing to learn from: {0}")]
    TooLittle(&'static str),
}
