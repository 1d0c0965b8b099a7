//! SQL over the table `events`: DataFusion on a view, read-only and within limits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use futures::StreamExt;
use tokio::sync::mpsc::channel;
use watchfire_event::field;

use crate::export::{Reading, flat_stream};
use crate::flat;
use crate::memtable::View;
use crate::pushdown::Narrowed;
use crate::shared::Shared;
use crate::{SqlLimits, SqlRows, StoreError};

/// Name of the one table.
const TABLE: &str = "events";
/// Batches that wait for a slow reader.
const QUEUE: usize = 2;

/// Plans a query and starts it on a blocking thread.
pub(crate) async fn sql(
    shared: &Arc<Shared>,
    text: &str,
    limits: SqlLimits,
) -> Result<SqlRows, StoreError> {
    let place = tokio::time::timeout(limits.timeout, shared.queries.clone().acquire_owned()).await;
    let place = match place {
        Ok(place) => place.map_err(|_| StoreError::Cancelled)?,
        Err(_) => return Err(StoreError::QueryLimit("too many queries at once".into())),
    };
    let deadline = Instant::now() + limits.timeout;
    let context = session(limits)?;
    let view = shared.view.get();
    let table = EventsTable {
        shared: shared.clone(),
        schema: flat::schema(&view),
        plain: flat::plain_fields(&view),
        view,
    };
    context.register_table(TABLE, Arc::new(table))?;
    let read_only = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    let frame = context.sql_with_options(text, read_only).await?;
    let plan = frame.create_physical_plan().await?;
    let schema = plan.schema();
    let rows = execute_stream(plan, context.task_ctx())?;
    let (sender, mut receiver) = channel(QUEUE);
    let runtime = tokio::runtime::Handle::current();
    let work = move || {
        let _place = place;
        runtime.block_on(async {
            let mut rows = Bounded {
                rows,
                deadline,
                limits,
                given: 0,
            };
            while let Some(batch) = rows.next().await {
                let ended = batch.is_err();
                if sender.send(batch).await.is_err() || ended {
                    break;
                }
            }
        });
    };
    drop(tokio::task::spawn_blocking(work));
    let batches = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
    let batches = Box::pin(RecordBatchStreamAdapter::new(schema.clone(), batches));
    Ok(SqlRows { schema, batches })
}

/// A context of its own for each query: nothing is shared, nothing is left behind.
fn session(limits: SqlLimits) -> Result<SessionContext, DataFusionError> {
    let pool = Arc::new(GreedyMemoryPool::new(limits.memory_bytes));
    let no_disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .with_disk_manager_builder(no_disk)
        .build_arc()?;
    // One partition: the plan then runs on the blocking thread alone, not on the runtime's.
    let config = SessionConfig::new().with_target_partitions(1);
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

/// Rows of a query, cut off with an error at the limits.
struct Bounded {
    rows: SendableRecordBatchStream,
    deadline: Instant,
    limits: SqlLimits,
    given: usize,
}

impl Bounded {
    async fn next(&mut self) -> Option<Result<RecordBatch, DataFusionError>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let Ok(batch) =
            tokio::time::timeout(left.max(Duration::from_millis(1)), self.rows.next()).await
        else {
            let seconds = self.limits.timeout.as_secs_f64();
            return Some(Err(limit(format!("more than {seconds} seconds"))));
        };
        let batch = batch?;
        self.given += batch.as_ref().map_or(0, RecordBatch::num_rows);
        if self.given > self.limits.max_rows {
            let rows = self.limits.max_rows;
            return Some(Err(limit(format!("more than {rows} rows; add a LIMIT"))));
        }
        Some(batch)
    }
}

fn limit(what: String) -> DataFusionError {
    DataFusionError::External(Box::new(StoreError::QueryLimit(what)))
}

/// The events of a view as a table.
struct EventsTable {
    shared: Arc<Shared>,
    view: Arc<View>,
    schema: SchemaRef,
    plain: BTreeSet<String>,
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
        let part = Part {
            shared: self.shared.clone(),
            view: self.view.clone(),
            part: filters
                .iter()
                .fold(Narrowed::not(), |part, f| part.by(f, &self.plain)),
            schema: schema.clone(),
        };
        let scan =
            StreamingTableExec::try_new(schema, vec![Arc::new(part)], None, [], false, limit)?;
        Ok(Arc::new(scan))
    }
}

/// The rows of a scan.
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

impl From<DataFusionError> for StoreError {
    fn from(error: DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(what) => StoreError::QueryLimit(what.clone()),
            DataFusionError::External(inner) => match inner.downcast_ref::<StoreError>() {
                Some(ours) => ours.clone(),
                None => StoreError::Internal(inner.to_string()),
            },
            DataFusionError::Internal(what) => StoreError::Internal(format!("sql: {what}")),
            _ => StoreError::Sql(error.strip_backtrace()),
        }
    }
}
