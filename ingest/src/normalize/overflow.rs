//! Fields beyond the column limit of a batch, brought back for those that are asked for.
//!
//! Which fields overflow depends on what else is in the batch. What is mapped must not: the same
//! line gives the same event, live and when it is read back in other company.

use serde_json::{Map, Value};
use watchfire_event::{BatchBuilder, BatchLimits, EventBatch, Origin, RowMeta, field};

/// The batch with columns for those overflown fields that `wanted` names. Only for looking at:
/// the columns say again what `_overflow` says.
pub(crate) fn with_overflown(batch: &EventBatch, wanted: impl Fn(&str) -> bool) -> EventBatch {
    let Some(overflow) = batch
        .named(field::OVERFLOW)
        .find(|c| c.origin == Origin::Meta)
    else {
        return batch.clone();
    };
    // The limits held when the lines were taken; here they must not bite again.
    let limits = BatchLimits {
        max_depth: usize::MAX,
        max_line_bytes: usize::MAX,
        max_columns: usize::MAX,
        keep_raw_all: false,
    };
    let mut builder = BatchBuilder::new(limits);
    let meta = RowMeta {
        received_ns: 0,
        source: "".into(),
    };
    for row in 0..batch.rows() {
        let mut kept = Map::new();
        if let Some(Value::Object(fields)) = overflow.json(row) {
            kept = fields
                .into_iter()
                .filter(|(name, _)| wanted(name))
                .collect();
        }
        let line = Value::Object(kept).to_string();
        if builder.push(line.as_bytes(), &meta).is_err() {
            // Cannot be: it was read from JSON just now. Without its row nothing fits.
            return batch.clone();
        }
    }
    let found = builder.finish();
    let own = found.columns().iter().filter(|c| c.origin == Origin::Own);
    batch.clone().with_columns(own.cloned().collect())
}
