//! Counts to probabilities: tails kept as -log10 p.
