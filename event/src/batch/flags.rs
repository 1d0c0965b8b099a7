//! What was odd about events: one of our own columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringArray, StringBuilder};
use arrow::buffer::BooleanBuffer;

use super::{Column, EventBatch, Kind, Origin};
use crate::field;

impl EventBatch {
    /// What was odd about the event, see [`crate::field`].
    pub fn flags(&self, row: usize) -> Vec<String> {
        let mut flags = Vec::new();
        if let Some(column) = self.meta(field::FLAGS) {
            column.for_each_text(row, |v| flags.push(v.into_owned()));
        }
        flags
    }

    /// Adds flags (see [`crate::field`]) to the rows where their masks are set. A mask of another
    /// length than the batch adds nothing.
    #[must_use]
    pub fn with_flags(self, flags: &[(&str, BooleanBuffer)]) -> Self {
        let rows = self.rows();
        let fits = |mask: &BooleanBuffer| mask.len() == rows && mask.has_true();
        let flags: Vec<_> = flags.iter().filter(|(_, mask)| fits(mask)).collect();
        if flags.is_empty() {
            return self;
        }
        let is_flags = |c: &Column| c.origin == Origin::Meta && &*c.name == field::FLAGS;
        let before = self.columns.iter().find(|c| is_flags(c));
        let before = before.and_then(|c| c.array().as_list_opt::<i32>());
        let members = before.and_then(|lists| lists.values().as_string_opt::<i32>());
        let set: usize = flags.iter().map(|(_, mask)| mask.count_set_bits()).sum();
        let members_before = members.map_or(0, StringArray::len);
        let values = StringBuilder::with_capacity(set + members_before, 16 * set);
        let mut builder = ListBuilder::with_capacity(values, rows);
        for row in 0..rows {
            let mut any = false;
            if let (Some(lists), Some(members)) = (before, members)
                && lists.is_valid(row)
                && let [from, to] = lists.value_offsets()[row..row + 2]
            {
                any = true;
                (from..to).for_each(|i| builder.values().append_value(members.value(i as usize)));
            }
            for (flag, _) in flags.iter().filter(|(_, mask)| mask.value(row)) {
                any = true;
                builder.values().append_value(flag);
            }
            builder.append(any);
        }
        let array: ArrayRef = Arc::new(builder.finish());
        let column = Column::new(field::FLAGS, Kind::StrList, Origin::Meta, array);
        let mut columns = Arc::unwrap_or_clone(self.columns);
        columns.retain(|c| !is_flags(c));
        columns.push(column);
        Self::assemble(self.seq, self.time, self.received, columns)
    }
}
