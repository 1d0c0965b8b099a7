//! Maps what services call their fields to ECS names, and reads the time of each event.
//!
//! A mapping is data (`mappings/*.yml`): which rows it is for, and which fields it adds from
//! which. It only ever adds a field where the event has no value of that name, as columns of
//! [`Origin::Mapped`]; the event itself stays as it came. All work is done on columns: a
//! transform runs once for each distinct value.

mod mapping;
mod target;
mod time;
mod transform;

use arrow::array::Array;
use arrow::buffer::BooleanBuffer;
use watchfire_event::{EventBatch, Kind, Origin, field};

pub use mapping::{MappingError, Mappings};

use mapping::{Entry, Mapping};
use target::Targets;
use time::Times;

/// Adds mapped fields, event times and the flags about time to a batch.
pub fn normalize(batch: EventBatch, mappings: &Mappings) -> EventBatch {
    if batch.rows() == 0 {
        return batch;
    }
    let mut times = Times::new(&batch);
    let mut targets = Targets::new(&batch);
    for mapping in mappings.iter() {
        if let Some(rows) = mapping.when.rows(&batch) {
            apply(mapping, &rows, &mut targets, &mut times);
        }
    }
    let columns = targets.finish();
    times.write(batch.with_columns(columns))
}

fn apply(mapping: &Mapping, rows: &BooleanBuffer, targets: &mut Targets, times: &mut Times) {
    for entry in &mapping.map {
        if entry.to == field::TIMESTAMP {
            for name in entry.sources(&mapping.under) {
                times.read(&name, rows, true);
            }
        } else if let Some(value) = &entry.value {
            constant(entry, value, &mapping.under, rows, targets);
        } else {
            for name in entry.sources(&mapping.under) {
                targets.copy(entry, &name, rows);
            }
        }
    }
}

/// A constant goes to all rows of the mapping, or to those that have one of its sources.
fn constant(
    entry: &Entry,
    value: &str,
    under: &[String],
    rows: &BooleanBuffer,
    targets: &mut Targets,
) {
    let mut sources = entry.sources(under).peekable();
    if sources.peek().is_none() {
        targets.constant(&entry.to, value, rows);
    }
    for name in sources {
        if let Some(present) = present(targets.batch(), &name) {
            targets.constant(&entry.to, value, &(rows & &present));
        }
    }
}

/// The rows in which the event itself has a value other than null at `name`; `None` if no row.
fn present(batch: &EventBatch, name: &str) -> Option<BooleanBuffer> {
    let mut found: Option<BooleanBuffer> = None;
    for column in batch.named(name).filter(|c| c.origin == Origin::Own) {
        let mut rows = match column.array.nulls() {
            Some(nulls) => nulls.inner().clone(),
            None => BooleanBuffer::new_set(batch.rows()),
        };
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
