//! Reading many events in constant memory: oldest segment first, a few thousand rows at a time.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{Stream, StreamExt};
use watchfire_event::{EventBatch, Query, TimeRange};

use crate::StoreError;
use crate::flat;
use crate::memtable::View;
use crate::produced;
use crate::search::{MatchCache, Source, matching, sources};
use crate::segment::Rows;
use crate::shared::Shared;

/// Rows handed on at a time.
const BATCH_ROWS: usize = 8_192;

/// What to read of a view.
pub(crate) struct Reading {
    pub view: Arc<View>,
    pub query: Query,
    pub range: TimeRange,
    /// Fields to read by name; `None` is all.
    pub fields: Option<Vec<String>>,
}

impl Reading {
    /// Calls `take` with every batch of matching rows until it says stop, or until what it finds
    /// is no longer wanted.
    pub fn run(
        &self,
        cache: &MatchCache,
        is_wanted: impl Fn() -> bool,
        mut take: impl FnMut(EventBatch) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        for source in sources(&self.view, &self.range) {
            if !is_wanted() {
                return Ok(());
            }
            let rows = matching(&source, &self.query, &self.range, &self.view.hidden, cache)?;
            if rows != Rows::None && !self.read(&source, &rows, &mut take)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads the chosen rows of a source. False when `take` said stop.
    fn read(
        &self,
        source: &Source,
        rows: &Rows,
        take: &mut impl FnMut(EventBatch) -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        let keep = |stored: &str| match &self.fields {
            Some(fields) => crate::segment::is_named(stored, fields),
            None => true,
        };
        match source {
            Source::Segment(segment) => {
                for batch in segment.batches(keep, rows, BATCH_ROWS)? {
                    if !take(batch?)? {
                        return Ok(false);
                    }
                }
            }
            Source::Memory(_) => {
                let batch = source.read(keep, rows)?;
                for start in (0..batch.rows()).step_by(BATCH_ROWS) {
                    if !take(batch.slice(start, BATCH_ROWS))? {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }
}

/// Matching events as they come off the disk. Ends with the first error.
pub(crate) fn events(
    shared: Arc<Shared>,
    query: Query,
    range: TimeRange,
) -> impl Stream<Item = Result<EventBatch, StoreError>> + Send + use<> {
    let reading = Reading {
        view: shared.view.get(),
        query,
        range,
        fields: None,
    };
    stream(shared, reading, Ok)
}

/// Matching events as a flat table.
pub(crate) fn records(
    shared: Arc<Shared>,
    query: Query,
    range: TimeRange,
) -> SendableRecordBatchStream {
    let view = shared.view.get();
    let schema = flat::schema(&view);
    let reading = Reading {
        view,
        query,
        range,
        fields: None,
    };
    flat_stream(shared, reading, schema)
}

/// The rows of a reading in the form of `schema`.
pub(crate) fn flat_stream(
    shared: Arc<Shared>,
    reading: Reading,
    schema: SchemaRef,
) -> SendableRecordBatchStream {
    let form = schema.clone();
    let rows = stream(shared, reading, move |batch| flat::flatten(&batch, &form))
        .map(|batch| batch.map_err(|e| DataFusionError::External(Box::new(e))));
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

/// Reads on a blocking thread, which stops when the stream is dropped.
fn stream<T, F>(
    shared: Arc<Shared>,
    reading: Reading,
    form: F,
) -> impl Stream<Item = Result<T, StoreError>> + Send + use<T, F>
where
    T: Send + 'static,
    F: Fn(EventBatch) -> Result<T, StoreError> + Send + 'static,
{
    let (outlet, items) = produced::channel();
    drop(tokio::task::spawn_blocking(move || {
        let ended = reading.run(
            &shared.cache,
            || !outlet.is_closed(),
            |batch| Ok(outlet.blocking_send(form(batch)?)),
        );
        outlet.end(ended);
    }));
    items
}

/// Collects a flat stream; for tests.
#[cfg(test)]
pub(crate) async fn collect(
    mut rows: SendableRecordBatchStream,
) -> Result<Vec<arrow::array::RecordBatch>, StoreError> {
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await {
        batches.push(batch?);
    }
    Ok(batches)
}
