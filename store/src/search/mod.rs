//! Answering queries over a view: plan what to leave out, read what is needed, match, collect.

mod cache;
mod columns;
mod cursor;
mod facets;
mod fields;
mod hidden;
mod histogram;
mod job;
mod matching;
mod plan;
mod request;
mod run;
mod values;

pub use cursor::Cursor;
pub use request::{
    Bucket, Facet, FieldInfo, Histogram, Hit, MAX_BUCKETS, MAX_FACET_FIELDS, MAX_FACET_VALUES,
    MAX_PAGE, Order, SearchPage, SearchRequest, SqlLimits,
};

pub(crate) use cache::MatchCache;
pub(crate) use columns::{ColumnCache, Held};
pub(crate) use facets::facets;
pub(crate) use fields::fields;
pub(crate) use hidden::Hidden;
pub(crate) use histogram::histogram;
pub(crate) use job::Job;
pub(crate) use matching::{Source, matching, sources};
pub(crate) use run::{hit, mask_of, search};
