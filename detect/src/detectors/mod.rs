//! Detectors of our own: a score for a row against what is usual.
