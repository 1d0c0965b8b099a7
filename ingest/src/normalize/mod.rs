//! Maps what services call their fields to ECS names, and reads the time of each event.
//!
//! A mapping is data (`mappings/*.yml`): which rows it is for, and which fields it adds from
//! which. It only ever adds a field where the event has no value of that name, as columns of
//! [`Origin::Mapped`]; the event itself stays as it came. All work is done on columns: a
//! transform runs once for each distinct value.

mod mapping;
mod overflow;
mod target;
mod time;
mod transform;

use arrow::array::Array;
use arrow::buffer::BooleanBuffer;
use watchfire_event::{EventBatch, Kind, Origin, field};

pub use mapping::{MappingError, Mappings};
pub(crate) use overflow::with_overflown;

use mapping::{Entry, Mapping};
use target::Targets;
use time::Times;

/// Adds mapped fields, event times and the flags about time to a batch.
pub fn normalize(batch: EventBatch, mappings: &Mappings) -> EventBatch {
    if batch.rows() == 0 {
        return batch;
    }
    let view = with_overflown(&batch, |name| mappings.mention(name));
    let mut times = Times::new(&view);
    let mut targets = Targets::new(&view);
    for mapping in mappings.iter() {
        if let Some(rows) = mapping.when.rows(&view) {
            apply(mapping, &rows, &mut targets, &mut times);
        }
    }
    let columns = targets.finish();
    let times = times.finish();
    // The columns need not be copied when nobody else has them.
    drop(view);
    times.write(batch.with_columns(columns))
}

fn apply(mapping: &Mapping, rows: &BooleanBuffer, targets: &mut Targets, times: &mut Times) {
    for entry in &mapping.map {
        if entry.to == field::TIMESTAMP {
            entry
                .from
                .iter()
                .for_each(|name| times.read(name, rows, true));
        } else if let Some(value) = &entry.value {
            constant(entry, value, rows, targets);
        } else {
            entry
                .from
                .iter()
                .for_each(|name| targets.copy(entry, name, rows));
        }
    }
}

/// A constant goes to all rows of the mapping, or to those that have one of its sources.
fn constant(entry: &Entry, value: &str, rows: &BooleanBuffer, targets: &mut Targets) {
    if entry.from.is_empty() {
        targets.constant(&entry.to, value, rows);
    }
    for name in &entry.from {
        if let Some(present) = present(targets.batch(), name) {
            targets.constant(&entry.to, value, &(rows & &present));
        }
    }
}

/// The rows in which the event itself has a value other than null at `name`; `None` if no row.
fn present(batch: &EventBatch, name: &str) -> Option<BooleanBuffer> {
    let mut found: Option<BooleanBuffer> = None;
    for column in batch.named(name).filter(|c| c.origin == Origin::Own) {
        let mut rows = column.mask();
        if column.kind == Kind::Json
            && let Some((keys, values)) = column.dictionary()
            && let Some(null) = values.iter().position(|v| v == Some("null"))
        {
            let other = BooleanBuffer::collect_bool(keys.len(), |row| {
                keys.is_valid(row) && keys.value(row) as usize != null
            });
            rows = &rows & &other;
        }
        found = Some(match found {
            Some(found) => &found | &rows,
            None => rows,
        });
    }
    found.filter(|rows| rows.count_set_bits() > 0)
}
