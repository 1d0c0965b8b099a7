//! The table `events` of SQL: a view of the store, read in two parts at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use watchfire_event::field;

use crate::export::{Reading, flat_stream};
use crate::flat;
use crate::memtable::View;
use crate::pushdown::Narrowed;
use crate::shared::Shared;
use crate::sql::PARTITIONS;

/// The events of a view as a table.
pub(crate) struct EventsTable {
    shared: Arc<Shared>,
    view: Arc<View>,
    schema: SchemaRef,
    plain: BTreeSet<String>,
}

impl EventsTable {
    /// Everything that is stored now.
    pub fn new(shared: &Arc<Shared>) -> Self {
        let view = shared.view.get();
        EventsTable {
            shared: shared.clone(),
            schema: flat::schema(&view),
            plain: flat::plain_fields(&view),
            view,
        }
    }
}

impl std::fmt::Debug for EventsTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventsTable")
            .field("columns", &self.schema.fields().len())
            .finish()
    }
}

#[async_trait]
impl TableProvider for EventsTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters leave out what they can; the filter itself stays.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        let narrows = |filter: &Expr| Narrowed::not().by(filter, &self.plain).is_narrower();
        let answer = |filter: &&Expr| match narrows(filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let schema: SchemaRef = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => self.schema.clone(),
        };
        let part = filters
            .iter()
            .fold(Narrowed::not(), |part, f| part.by(f, &self.plain));
        let part = |view| -> Arc<dyn PartitionStream> {
            Arc::new(Part {
                shared: self.shared.clone(),
                view: Arc::new(view),
                part: part.clone(),
                schema: schema.clone(),
            })
        };
        let parts = split(&self.view).into_iter().map(part).collect();
        let scan = StreamingTableExec::try_new(schema.clone(), parts, None, [], false, limit)?;
        Ok(Arc::new(scan))
    }
}

/// The sources of a view in up to [`PARTITIONS`] groups with about as many rows each.
fn split(view: &View) -> Vec<View> {
    let sources = view.segments.len() + view.memory.len();
    let part = View {
        hidden: view.hidden.clone(),
        ..View::default()
    };
    let mut parts = vec![(0, part); PARTITIONS.min(sources).max(1)];
    for segment in &view.segments {
        if let Some((rows, part)) = parts.iter_mut().min_by_key(|(rows, _)| *rows) {
            *rows += segment.rows();
            part.segments.push(segment.clone());
        }
    }
    for memory in &view.memory {
        if let Some((rows, part)) = parts.iter_mut().min_by_key(|(rows, _)| *rows) {
            *rows += memory.batch.rows();
            part.memory.push(memory.clone());
        }
    }
    parts.into_iter().map(|(_, part)| part).collect()
}

/// The rows of one part of a scan.
struct Part {
    shared: Arc<Shared>,
    view: Arc<View>,
    part: Narrowed,
    schema: SchemaRef,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("part", &self.part).finish()
    }
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reading = Reading {
            view: self.view.clone(),
            query: self.part.query.clone(),
            range: self.part.range,
            fields: Some(read_names(&self.schema)),
        };
        flat_stream(self.shared.clone(), reading, self.schema.clone())
    }
}

/// Fields to read; counting rows needs one column, the smallest.
fn read_names(schema: &Schema) -> Vec<String> {
    let names = flat::names(schema);
    if names.is_empty() {
        vec![field::SEQ.to_owned()]
    } else {
        names
    }
}
