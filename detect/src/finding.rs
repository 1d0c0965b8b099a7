//! What a rule or a detector says about a row.
