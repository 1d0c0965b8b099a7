//! Which rows of a segment match a query, remembered: paging, a histogram and facets ask the
//! same question again, and segments never change.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use super::columns::ColumnCache;
use crate::segment::Rows;

/// Bytes of masks kept; the oldest go first.
const LIMIT_BYTES: usize = 32 << 20;

/// Answers and columns kept for the queries to come.
#[derive(Debug, Default)]
pub(crate) struct MatchCache {
    matched: Mutex<Inner>,
    /// Columns as codes.
    pub columns: ColumnCache,
}

/// Segment and text of the query.
type Key = (String, String);

#[derive(Debug, Default)]
struct Inner {
    found: HashMap<Key, Rows>,
    order: VecDeque<Key>,
    bytes: usize,
}

impl MatchCache {
    pub fn get(&self, segment: &str, query: &str) -> Option<Rows> {
        let inner = self.matched.lock().unwrap_or_else(PoisonError::into_inner);
        inner
            .found
            .get(&(segment.to_owned(), query.to_owned()))
            .cloned()
    }

    pub fn put(&self, segment: &str, query: &str, rows: Rows) {
        let key = (segment.to_owned(), query.to_owned());
        let mut inner = self.matched.lock().unwrap_or_else(PoisonError::into_inner);
        let added = size(&key, &rows);
        if added > LIMIT_BYTES || inner.found.contains_key(&key) {
            return;
        }
        inner.bytes += added;
        inner.order.push_back(key.clone());
        inner.found.insert(key, rows);
        while inner.bytes > LIMIT_BYTES {
            let Some(oldest) = inner.order.pop_front() else {
                break;
            };
            if let Some(rows) = inner.found.remove(&oldest) {
                inner.bytes -= size(&oldest, &rows);
            }
        }
    }
}

fn size(key: &Key, rows: &Rows) -> usize {
    let mask = match rows {
        Rows::Some(mask) => mask.len() / 8,
        Rows::All | Rows::None => 0,
    };
    mask + 2 * (key.0.len() + key.1.len()) + 200
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::buffer::BooleanBuffer;

    #[test]
    fn the_oldest_masks_go_when_there_are_too_many() {
        let cache = MatchCache::default();
        let rows = Rows::Some(BooleanBuffer::new_set(8 << 20));
        for i in 0..40 {
            cache.put("s", &i.to_string(), rows.clone());
        }
        let kept = (0..40).filter(|i| cache.get("s", &i.to_string()).is_some());
        assert_eq!(kept.collect::<Vec<_>>(), (9..40).collect::<Vec<_>>());
    }
}
