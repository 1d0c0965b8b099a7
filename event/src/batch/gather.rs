//! Turns finished columns into those of a batch.
//!
//! A wide batch has hundreds of columns with a few values each. These are laid one after the other
//! into a few buffers that they share, and stay there until their array is asked for. What they
//! were built in is used for the next batch: so a column costs few allocations. A column with many
//! values has an array of its own at once.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;

use super::column::{ColumnBuilder, Names};
use super::held::Held;
use super::sparse::{Arena, Need, Sparse};
use super::{Column, Kind, Origin};

/// A column shares buffers when fewer than one in so many rows have a value.
const SPARSE: usize = 8;
/// Bytes of room that are kept for the next batch: by one column, and by all.
const KEPT_OF_ONE: usize = 64 << 10;
const KEPT_OF_ALL: usize = 4 << 20;

/// The array of one column of `rows` rows, with buffers of its own.
pub(super) fn alone(builder: &ColumnBuilder, rows: usize) -> Result<ArrayRef, ArrowError> {
    let mut need = Need::default();
    builder.add_need(&mut need);
    let mut arena = Arena::with(&need);
    builder.lay(&mut arena);
    arena.freeze(rows).array(0)
}

/// Builders that are empty, and have room.
#[derive(Debug, Default)]
pub(super) struct Spare {
    /// By kind.
    builders: [Vec<ColumnBuilder>; 7],
    bytes: usize,
}

/// A column on its way into a batch.
enum Coming {
    Alone(Result<ArrayRef, ArrowError>),
    /// The number of the column in the arena.
    Shared(usize),
}

impl Spare {
    /// A builder of a column.
    pub(super) fn builder(&mut self, names: Names, origin: Origin, kind: Kind) -> ColumnBuilder {
        let spare = self.builders.get_mut(kind as usize).and_then(Vec::pop);
        match spare {
            Some(mut builder) => {
                self.bytes = self.bytes.saturating_sub(builder.room());
                builder.rename(names, origin);
                builder
            }
            None => ColumnBuilder::new(names, origin, kind),
        }
    }

    /// The finished columns of `rows` rows; those without any value are left out.
    pub(super) fn columns(
        &mut self,
        builders: impl Iterator<Item = ColumnBuilder>,
        rows: usize,
    ) -> Vec<Column> {
        let builders: Vec<ColumnBuilder> = builders.collect();
        let is_shared = |values: usize| values > 0 && values * SPARSE <= rows;
        let mut need = Need::default();
        for builder in builders.iter().filter(|b| is_shared(b.values())) {
            builder.add_need(&mut need);
        }
        let mut arena = Arena::with(&need);
        let mut coming = Vec::with_capacity(builders.len());
        for builder in builders {
            let values = builder.values();
            if values > 0 {
                let how = if is_shared(values) {
                    builder.lay(&mut arena);
                    Coming::Shared(arena.laid.len() - 1)
                } else {
                    Coming::Alone(alone(&builder, rows))
                };
                coming.push((builder.column(), how));
            }
            self.keep(builder);
        }
        let arena = Arc::new(arena.freeze(rows));
        let finished = coming.into_iter().filter_map(|(column, how)| match how {
            Coming::Shared(number) => Some(column.with(Held::sparse(Sparse::new(&arena, number)))),
            Coming::Alone(Ok(array)) => Some(column.with(Held::Array(array))),
            // Arrays are built to fit; if one did not, losing it must not lose the batch.
            Coming::Alone(Err(error)) => {
                debug_assert!(false, "column does not fit: {error}");
                None
            }
        });
        finished.collect()
    }

    fn keep(&mut self, mut builder: ColumnBuilder) {
        builder.clear();
        let room = builder.room();
        if room > KEPT_OF_ONE || self.bytes + room > KEPT_OF_ALL {
            return;
        }
        if let Some(builders) = self.builders.get_mut(builder.kind() as usize) {
            self.bytes += room;
            builders.push(builder);
        }
    }
}
