//! Sigma rules over the rows of a batch.
