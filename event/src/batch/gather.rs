//! Turns finished columns into arrays.
//!
//! A wide batch has hundreds of columns with a few values each. These are laid one after the other
//! into a few buffers that their arrays share, and what they were built in is used for the next
//! batch: so a column costs few allocations. A column with many values has buffers of its own.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, ListArray,
    StringArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Int32Type};
use arrow::error::ArrowError;

use super::column::{ColumnBuilder, Names};
use super::{Column, Kind, Origin};

/// A column shares buffers when fewer than one in so many rows have a value.
const SPARSE: usize = 8;
/// Bytes of room that are kept for the next batch: by one column, and by all.
const KEPT_OF_ONE: usize = 64 << 10;
const KEPT_OF_ALL: usize = 4 << 20;

/// The values of columns, one column after the other.
#[derive(Debug, Default)]
pub(super) struct Arena {
    pub(super) i32s: Vec<i32>,
    pub(super) i64s: Vec<i64>,
    pub(super) f64s: Vec<f64>,
    pub(super) words: Vec<u64>,
    pub(super) text: String,
}

/// Where the parts of a column are in an arena.
#[derive(Debug)]
pub(super) struct Laid {
    /// Bits of the rows that have a value, from this word on; `None` when all have one.
    pub(super) nulls: Option<usize>,
    pub(super) values: Values,
}

/// Where its values are: one a row from the given place on, or in a range.
#[derive(Debug)]
pub(super) enum Values {
    Text {
        keys: usize,
        ends: Range<usize>,
        text: Range<usize>,
    },
    Int(usize),
    Float(usize),
    /// Bits, from this word on.
    Bool(usize),
    StrList {
        offsets: usize,
        ends: Range<usize>,
        text: Range<usize>,
    },
    IntList {
        offsets: usize,
        members: Range<usize>,
    },
}

/// How much room columns need in an arena.
#[derive(Debug, Default)]
pub(super) struct Need {
    pub(super) i32s: usize,
    pub(super) i64s: usize,
    pub(super) f64s: usize,
    pub(super) words: usize,
    pub(super) text: usize,
}

/// An arena that takes no more columns.
struct Frozen {
    i32s: ScalarBuffer<i32>,
    i64s: ScalarBuffer<i64>,
    f64s: ScalarBuffer<f64>,
    words: Buffer,
    text: Buffer,
}

impl Arena {
    /// An arena with as much room and no more: it is not moved as it fills, and what batches hold
    /// stays in memory for minutes.
    fn with(need: &Need) -> Self {
        Arena {
            i32s: Vec::with_capacity(need.i32s),
            i64s: Vec::with_capacity(need.i64s),
            f64s: Vec::with_capacity(need.f64s),
            words: Vec::with_capacity(need.words),
            text: String::with_capacity(need.text),
        }
    }

    fn freeze(self) -> Frozen {
        Frozen {
            i32s: self.i32s.into(),
            i64s: self.i64s.into(),
            f64s: self.f64s.into(),
            words: Buffer::from_vec(self.words),
            text: Buffer::from_vec(self.text.into_bytes()),
        }
    }
}

impl Frozen {
    fn bits(&self, word: usize, rows: usize) -> BooleanBuffer {
        BooleanBuffer::new(self.words.clone(), word * 64, rows)
    }

    fn offsets(&self, range: &Range<usize>) -> OffsetBuffer<i32> {
        OffsetBuffer::new(self.i32s.slice(range.start, range.len()))
    }

    fn texts(&self, ends: &Range<usize>, text: &Range<usize>) -> Result<StringArray, ArrowError> {
        let text = self.text.slice_with_length(text.start, text.len());
        StringArray::try_new(self.offsets(ends), text, None)
    }

    fn array(&self, laid: &Laid, rows: usize) -> Result<ArrayRef, ArrowError> {
        let nulls = laid
            .nulls
            .map(|word| NullBuffer::new(self.bits(word, rows)));
        let lists = |kind, offsets: usize, members| {
            let field = Field::new_list_field(kind, true);
            let offsets = self.offsets(&(offsets..offsets + rows + 1));
            ListArray::try_new(Arc::new(field), offsets, members, nulls.clone())
        };
        Ok(match &laid.values {
            Values::Text { keys, ends, text } => {
                let keys = Int32Array::try_new(self.i32s.slice(*keys, rows), nulls)?;
                let values = Arc::new(self.texts(ends, text)?);
                Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values)?)
            }
            Values::Int(at) => Arc::new(Int64Array::try_new(self.i64s.slice(*at, rows), nulls)?),
            Values::Float(at) => {
                Arc::new(Float64Array::try_new(self.f64s.slice(*at, rows), nulls)?)
            }
            Values::Bool(word) => Arc::new(BooleanArray::new(self.bits(*word, rows), nulls)),
            Values::StrList {
                offsets,
                ends,
                text,
            } => {
                let members = Arc::new(self.texts(ends, text)?);
                Arc::new(lists(DataType::Utf8, *offsets, members)?)
            }
            Values::IntList { offsets, members } => {
                let members = self.i64s.slice(members.start, members.len());
                let members = Arc::new(Int64Array::try_new(members, None)?);
                Arc::new(lists(DataType::Int64, *offsets, members)?)
            }
        })
    }
}

/// The array of one column of `rows` rows, with buffers of its own.
pub(super) fn alone(builder: &ColumnBuilder, rows: usize) -> Result<ArrayRef, ArrowError> {
    let mut need = Need::default();
    builder.add_need(rows, &mut need);
    let mut arena = Arena::with(&need);
    let laid = builder.lay(rows, &mut arena);
    arena.freeze().array(&laid, rows)
}

/// Builders that are empty, and have room.
#[derive(Debug, Default)]
pub(super) struct Spare {
    /// By kind.
    builders: [Vec<ColumnBuilder>; 7],
    bytes: usize,
}

/// A column on its way to its array.
enum Coming {
    Alone(Result<ArrayRef, ArrowError>),
    Shared(Laid),
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
            builder.add_need(rows, &mut need);
        }
        let mut arena = Arena::with(&need);
        let mut coming = Vec::with_capacity(builders.len());
        for builder in builders {
            let values = builder.values();
            if values > 0 {
                let how = if is_shared(values) {
                    Coming::Shared(builder.lay(rows, &mut arena))
                } else {
                    Coming::Alone(alone(&builder, rows))
                };
                coming.push((builder.column(), how));
            }
            self.keep(builder);
        }
        let arena = arena.freeze();
        let finished = coming.into_iter().filter_map(|(column, how)| {
            let array = match how {
                Coming::Alone(array) => array,
                Coming::Shared(laid) => arena.array(&laid, rows),
            };
            match array {
                Ok(array) => Some(column.with(array)),
                // Arrays are built to fit; if one did not, losing it must not lose the batch.
                Err(error) => {
                    debug_assert!(false, "column does not fit: {error}");
                    None
                }
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
