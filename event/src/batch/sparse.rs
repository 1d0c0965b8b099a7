//! A column as it was read: the values of the rows that have one, and no array yet.
//!
//! Of the hundreds of columns of a wide batch, most are never looked at before they are written
//! or dropped. Their values stay where they were laid, beside those of the other columns; an
//! array, with a place for every row, is made when somebody asks for it.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, ListArray,
    StringArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Int32Type};
use arrow::error::ArrowError;

/// The values of columns, one column after the other.
#[derive(Debug, Default)]
pub(super) struct Arena {
    pub(super) places: Vec<u32>,
    pub(super) i32s: Vec<i32>,
    pub(super) i64s: Vec<i64>,
    pub(super) f64s: Vec<f64>,
    pub(super) bools: Vec<bool>,
    pub(super) text: String,
    pub(super) laid: Vec<Laid>,
}

/// Where the parts of a column are in an arena.
#[derive(Debug)]
pub(super) struct Laid {
    /// The rows that have a value; none stand here when these are the first ones.
    pub(super) places: Range<usize>,
    /// How many rows have one.
    pub(super) count: usize,
    pub(super) values: Values,
}

/// Where its values are: one for each row that has one from the given place on, or in a range.
#[derive(Debug)]
pub(super) enum Values {
    Text {
        codes: usize,
        ends: Range<usize>,
        text: Range<usize>,
    },
    Int(usize),
    Float(usize),
    Bool(usize),
    /// Lists by where each ends among the members.
    StrList {
        lists: usize,
        ends: Range<usize>,
        text: Range<usize>,
    },
    IntList {
        lists: usize,
        members: Range<usize>,
    },
}

/// How much room columns need in an arena.
#[derive(Debug, Default)]
pub(super) struct Need {
    pub(super) columns: usize,
    pub(super) places: usize,
    pub(super) i32s: usize,
    pub(super) i64s: usize,
    pub(super) f64s: usize,
    pub(super) bools: usize,
    pub(super) text: usize,
}

/// An arena that takes no more columns.
#[derive(Debug)]
pub(super) struct Frozen {
    rows: usize,
    places: Vec<u32>,
    i32s: ScalarBuffer<i32>,
    i64s: ScalarBuffer<i64>,
    f64s: ScalarBuffer<f64>,
    bools: Vec<bool>,
    text: Buffer,
    laid: Vec<Laid>,
}

/// A column of a frozen arena.
#[derive(Debug, Clone)]
pub(super) struct Sparse {
    frozen: Arc<Frozen>,
    number: usize,
}

/// The texts of a column whose array was not asked for, and which row has which. Those of a list
/// need not be distinct.
#[derive(Debug, Clone, Copy)]
pub struct SparseTexts<'a> {
    /// Rows that have a value, rising; `None` when these are the first ones.
    rows: Option<&'a [u32]>,
    codes: &'a [i32],
    /// The codes are where the list of each row ends among the texts.
    lists: bool,
    ends: &'a [i32],
    text: &'a [u8],
}

impl Arena {
    /// An arena with as much room and no more: it is not moved as it fills, and what batches hold
    /// stays in memory for minutes.
    pub(super) fn with(need: &Need) -> Self {
        Arena {
            places: Vec::with_capacity(need.places),
            i32s: Vec::with_capacity(need.i32s),
            i64s: Vec::with_capacity(need.i64s),
            f64s: Vec::with_capacity(need.f64s),
            bools: Vec::with_capacity(need.bools),
            text: String::with_capacity(need.text),
            laid: Vec::with_capacity(need.columns),
        }
    }

    /// The columns laid so far, of `rows` rows.
    pub(super) fn freeze(self, rows: usize) -> Frozen {
        Frozen {
            rows,
            places: self.places,
            i32s: self.i32s.into(),
            i64s: self.i64s.into(),
            f64s: self.f64s.into(),
            bools: self.bools,
            text: Buffer::from_vec(self.text.into_bytes()),
            laid: self.laid,
        }
    }
}

impl Frozen {
    fn rows_of(&self, laid: &Laid) -> Option<&[u32]> {
        let rows = self.places.get(laid.places.clone()).unwrap_or_default();
        (!rows.is_empty()).then_some(rows)
    }

    fn nulls(&self, laid: &Laid) -> Option<NullBuffer> {
        if laid.count >= self.rows {
            return None;
        }
        let mut words = vec![0_u64; self.rows.div_ceil(64)];
        each_row(self.rows_of(laid), laid.count, |_, row| {
            if let Some(word) = words.get_mut(row / 64) {
                *word |= 1 << (row % 64);
            }
        });
        let bits = BooleanBuffer::new(Buffer::from_vec(words), 0, self.rows);
        Some(NullBuffer::new(bits))
    }

    /// One value a row, zeros where there is none.
    fn spread<T>(&self, laid: &Laid, from: &ScalarBuffer<T>, at: usize) -> ScalarBuffer<T>
    where
        T: arrow::datatypes::ArrowNativeType,
    {
        let values = from.slice(at, laid.count);
        if laid.count == self.rows {
            return values;
        }
        let mut out = vec![T::default(); self.rows];
        each_row(self.rows_of(laid), laid.count, |i, row| {
            if let (Some(slot), Some(value)) = (out.get_mut(row), values.get(i)) {
                *slot = *value;
            }
        });
        out.into()
    }

    /// Where the list of each row begins, and where the last ends.
    fn offsets(&self, laid: &Laid, lists: usize) -> OffsetBuffer<i32> {
        let ends = self.i32s.slice(lists, laid.count);
        let mut out = Vec::with_capacity(self.rows + 1);
        let mut end = 0;
        each_row(self.rows_of(laid), laid.count, |i, row| {
            out.resize(row + 1, end);
            end = ends.get(i).copied().unwrap_or(end);
        });
        out.resize(self.rows + 1, end);
        OffsetBuffer::new(out.into())
    }

    fn texts(&self, ends: &Range<usize>, text: &Range<usize>) -> Result<StringArray, ArrowError> {
        let text = self.text.slice_with_length(text.start, text.len());
        let ends = self.i32s.slice(ends.start, ends.len());
        StringArray::try_new(OffsetBuffer::new(ends), text, None)
    }

    /// The column of this number as an array.
    pub(super) fn array(&self, number: usize) -> Result<ArrayRef, ArrowError> {
        let Some(laid) = self.laid.get(number) else {
            return Err(ArrowError::InvalidArgumentError("no such column".into()));
        };
        let nulls = self.nulls(laid);
        let lists = |kind, lists: usize, members| {
            let field = Field::new_list_field(kind, true);
            let offsets = self.offsets(laid, lists);
            ListArray::try_new(Arc::new(field), offsets, members, nulls.clone())
        };
        Ok(match &laid.values {
            Values::Text { codes, ends, text } => {
                let keys = self.spread(laid, &self.i32s, *codes);
                let keys = Int32Array::try_new(keys, nulls)?;
                let values = Arc::new(self.texts(ends, text)?);
                Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values)?)
            }
            Values::Int(at) => {
                let values = self.spread(laid, &self.i64s, *at);
                Arc::new(Int64Array::try_new(values, nulls)?)
            }
            Values::Float(at) => {
                let values = self.spread(laid, &self.f64s, *at);
                Arc::new(Float64Array::try_new(values, nulls)?)
            }
            Values::Bool(at) => {
                let values = self.bools.get(*at..*at + laid.count).unwrap_or_default();
                let mut out = vec![false; self.rows];
                each_row(self.rows_of(laid), laid.count, |i, row| {
                    if let (Some(slot), Some(value)) = (out.get_mut(row), values.get(i)) {
                        *slot = *value;
                    }
                });
                Arc::new(BooleanArray::new(out.into(), nulls))
            }
            Values::StrList {
                lists: at,
                ends,
                text,
            } => {
                let members = Arc::new(self.texts(ends, text)?);
                Arc::new(lists(DataType::Utf8, *at, members)?)
            }
            Values::IntList { lists: at, members } => {
                let members = self.i64s.slice(members.start, members.len());
                let members = Arc::new(Int64Array::try_new(members, None)?);
                Arc::new(lists(DataType::Int64, *at, members)?)
            }
        })
    }
}

impl Sparse {
    /// A column of an arena by its number.
    pub(super) fn new(frozen: &Arc<Frozen>, number: usize) -> Self {
        let frozen = Arc::clone(frozen);
        Sparse { frozen, number }
    }

    /// Rows of the column.
    pub(super) fn len(&self) -> usize {
        self.frozen.rows
    }

    fn laid(&self) -> Option<&Laid> {
        self.frozen.laid.get(self.number)
    }

    /// How many rows have a value.
    pub(super) fn count(&self) -> usize {
        self.laid().map_or(0, |laid| laid.count)
    }

    /// The rows that have a value, rising; `None` when these are the first ones.
    pub(super) fn rows(&self) -> Option<&[u32]> {
        self.frozen.rows_of(self.laid()?)
    }

    /// The texts, if it is a column of such.
    pub(super) fn texts(&self) -> Option<SparseTexts<'_>> {
        let laid = self.laid()?;
        let (codes, ends, text, lists) = match &laid.values {
            Values::Text { codes, ends, text } => (codes, ends, text, false),
            Values::StrList { lists, ends, text } => (lists, ends, text, true),
            _ => return None,
        };
        Some(SparseTexts {
            rows: self.frozen.rows_of(laid),
            codes: self.frozen.i32s.get(*codes..*codes + laid.count)?,
            lists,
            ends: self.frozen.i32s.get(ends.clone())?,
            text: self.frozen.text.as_slice().get(text.clone())?,
        })
    }

    /// Bytes of texts and list members.
    pub(super) fn content_bytes(&self) -> usize {
        match self.laid().map(|laid| &laid.values) {
            Some(Values::Text { ends, text, .. } | Values::StrList { ends, text, .. }) => {
                text.len() + 4 * ends.len().saturating_sub(1)
            }
            Some(Values::IntList { members, .. }) => 8 * members.len(),
            _ => 0,
        }
    }

    /// The column as an array.
    pub(super) fn array(&self) -> Result<ArrayRef, ArrowError> {
        self.frozen.array(self.number)
    }
}

impl<'a> SparseTexts<'a> {
    /// How many texts there are.
    pub fn count(&self) -> usize {
        self.ends.len().saturating_sub(1)
    }

    /// The text of a number.
    pub fn text(&self, code: usize) -> &'a str {
        let at = |i: usize| Some(usize::try_from(*self.ends.get(i)?).unwrap_or(0));
        let bytes = at(code).and_then(|from| self.text.get(from..at(code + 1)?));
        // It was laid as text, with its ends between characters.
        std::str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    }

    /// Visits the rows that have a value, rising, each with the number of its text; of a list,
    /// with those of all members.
    pub fn each(&self, mut visit: impl FnMut(usize, usize)) {
        let mut start = 0;
        each_row(self.rows, self.codes.len(), |i, row| {
            let code = self.codes.get(i).copied().unwrap_or(0);
            let code = usize::try_from(code).unwrap_or(0);
            match self.lists {
                true => (start..code).for_each(|member| visit(row, member)),
                false => visit(row, code),
            }
            start = code;
        });
    }
}

/// Visits places of values with their rows.
fn each_row(rows: Option<&[u32]>, count: usize, mut visit: impl FnMut(usize, usize)) {
    match rows {
        Some(rows) => rows
            .iter()
            .enumerate()
            .for_each(|(i, row)| visit(i, *row as usize)),
        None => (0..count).for_each(|i| visit(i, i)),
    }
}
