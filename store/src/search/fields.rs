//! Every field there is, from the descriptions of segments and the columns in memory.

use std::collections::BTreeMap;

use watchfire_event::{Kind, Origin};

use super::FieldInfo;
use crate::memtable::View;
use crate::segment::ColumnInfo;

#[derive(Debug, Default)]
struct Seen {
    kinds: Vec<Kind>,
    events: u64,
    distinct: u64,
    /// Sent by an event, not only added by a mapping.
    own: bool,
}

/// The fields of a view, by name. Watchfire's own columns are left out, `_source` and `_flags`
/// aside: people query those.
pub(crate) fn fields(view: &View) -> Vec<FieldInfo> {
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    for column in view.segments.iter().flat_map(|s| &s.info.columns) {
        note(&mut seen, column);
    }
    for memory in &view.memory {
        for column in memory.batch.columns() {
            if column.count() > 0 {
                note(&mut seen, &ColumnInfo::of(column));
            }
        }
    }
    let info = |(name, seen): (String, Seen)| {
        let mut kinds = seen.kinds;
        kinds.sort();
        FieldInfo {
            name,
            types: kinds.into_iter().map(word).collect(),
            events: seen.events,
            distinct: seen.distinct,
            mapped: !seen.own,
        }
    };
    seen.into_iter().map(info).collect()
}

fn note(seen: &mut BTreeMap<String, Seen>, column: &ColumnInfo) {
    use watchfire_event::field::{OVERFLOW, RAW};
    let (origin, kind) = column.origin_and_kind();
    if origin == Origin::Meta && (column.name == RAW || column.name == OVERFLOW) {
        return;
    }
    let field = seen.entry(column.name.clone()).or_default();
    if !field.kinds.contains(&kind) {
        field.kinds.push(kind);
    }
    field.events += column.rows;
    field.distinct = field.distinct.max(column.distinct);
    field.own |= origin != Origin::Mapped;
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Str => "string",
        Kind::Int => "integer",
        Kind::Float => "float",
        Kind::Bool => "boolean",
        Kind::StrList => "strings",
        Kind::IntList => "integers",
        Kind::Json => "json",
    }
}
