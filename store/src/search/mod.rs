//! Answering queries over a view: plan what to leave out, read what is needed, match, collect.

mod cursor;
mod request;

pub use cursor::Cursor;
pub use request::{
    Bucket, Facet, FieldInfo, Histogram, Hit, MAX_BUCKETS, MAX_FACET_FIELDS, MAX_FACET_VALUES,
    MAX_PAGE, Order, SearchPage, SearchRequest, SqlLimits,
};
