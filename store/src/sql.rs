//! SQL over the tables `events` and `_alerts`: DataFusion, read-only and within limits.
//!
//! Planning and running happen on threads of their own, so that a long query holds up neither
//! ingest nor the answers to others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use futures::StreamExt;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::timeout_at;

use crate::alert_table::{self, AlertsTable};
use crate::produced::{self, Outlet};
use crate::shared::Shared;
use crate::table::EventsTable;
use crate::{SqlLimits, SqlRows, StoreError};

/// Name of the table of events.
const EVENTS: &str = "events";
/// Parts of a table that one query reads at once.
pub(crate) const PARTITIONS: usize = 2;
/// Threads that all queries share.
const THREADS: usize = 4;
/// A plan is as deep as its text is long, and planning goes down into it. Pages of a stack that
/// are not used cost nothing.
const STACK_BYTES: usize = 64 << 20;
/// Words and operators of a query; lists of values do not count. Bounds the depth of the plan.
const MAX_WORDS: usize = 2_000;
/// Most bytes of a query's text.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// The threads of SQL, started by the first query.
#[derive(Debug, Default)]
pub(crate) struct SqlThreads(OnceLock<Runtime>);

impl SqlThreads {
    fn get(&self) -> Result<&Runtime, StoreError> {
        if let Some(runtime) = self.0.get() {
            return Ok(runtime);
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_stack_size(STACK_BYTES)
            .thread_name("sql")
            .enable_all()
            .build()
            .map_err(StoreError::io("starting threads for SQL"))?;
        if let Err(second) = self.0.set(runtime) {
            second.shutdown_background();
        }
        let missing = || StoreError::Internal("no threads for SQL".into());
        self.0.get().ok_or_else(missing)
    }
}

impl Drop for SqlThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // The last handle of the store may go on a thread that must not wait.
            runtime.shutdown_background();
        }
    }
}

/// Plans a query and starts it on the threads of SQL.
pub(crate) async fn sql(
    shared: &Arc<Shared>,
    text: &str,
    limits: SqlLimits,
) -> Result<SqlRows, StoreError> {
    check_size(text)?;
    let deadline = Instant::now() + limits.timeout;
    let place = timeout_at(deadline.into(), shared.queries.clone().acquire_owned()).await;
    let place = match place {
        Ok(place) => place.map_err(|_| StoreError::Cancelled)?,
        Err(_) => return Err(StoreError::QueryLimit("too many queries at once".into())),
    };
    let (outlet, batches) = produced::channel();
    let (planned, plan) = oneshot::channel();
    let work = Work {
        shared: shared.clone(),
        text: text.to_owned(),
        limits,
        deadline,
        place,
    };
    shared.sql.get()?.spawn(work.run(planned, outlet));
    let gone = |_| StoreError::Internal("sql: planning ended without an answer".into());
    let Planned { schema, cut } = plan.await.map_err(gone)??;
    let partial = cut || shared.is_partial();
    let batches = batches.map(|b| b.map_err(|e| DataFusionError::External(Box::new(e))));
    Ok(SqlRows {
        batches: Box::pin(RecordBatchStreamAdapter::new(schema.clone(), batches)),
        schema,
        partial,
    })
}

/// Refuses texts whose plan could be too deep for a stack.
fn check_size(text: &str) -> Result<(), StoreError> {
    if text.len() > MAX_TEXT_BYTES {
        let what = format!("a query has at most {MAX_TEXT_BYTES} bytes");
        return Err(StoreError::QueryLimit(what));
    }
    let is_word = |token: &Token| {
        let value = matches!(token, Token::Number(..) | Token::SingleQuotedString(_));
        !value && !matches!(token, Token::Whitespace(_) | Token::Comma)
    };
    // A text that cannot be cut into words is refused by the parser, with a reason.
    let tokens = Tokenizer::new(&GenericDialect, text).tokenize();
    if tokens
        .unwrap_or_default()
        .into_iter()
        .filter(is_word)
        .count()
        > MAX_WORDS
    {
        return Err(StoreError::QueryLimit(format!(
            "a query has at most {MAX_WORDS} words and operators; use IN for long lists"
        )));
    }
    Ok(())
}

/// What is known before the first row.
struct Planned {
    schema: SchemaRef,
    /// A table did not hold everything.
    cut: bool,
}

/// One query.
struct Work {
    shared: Arc<Shared>,
    text: String,
    limits: SqlLimits,
    deadline: Instant,
    place: OwnedSemaphorePermit,
}

impl Work {
    async fn run(
        self,
        planned: oneshot::Sender<Result<Planned, StoreError>>,
        outlet: Outlet<RecordBatch>,
    ) {
        let started = Instant::now();
        let plan = timeout_at(self.deadline.into(), self.plan()).await;
        let (plan, rows) = match plan.unwrap_or_else(|_| Err(self.late())) {
            Ok(ready) => ready,
            Err(error) => return drop(planned.send(Err(error))),
        };
        if planned.send(Ok(plan)).is_err() {
            return;
        }
        // When the reader goes, so do the plan and what it reads.
        let ended = tokio::select! {
            () = outlet.closed() => return,
            ended = self.feed(rows, &outlet) => ended,
        };
        metrics::histogram!("watchfire_query_seconds", "kind" => "sql")
            .record(started.elapsed().as_secs_f64());
        drop(self.place);
        outlet.end(ended);
    }

    async fn plan(&self) -> Result<(Planned, SendableRecordBatchStream), StoreError> {
        let context = session(self.limits)?;
        let cut = Arc::new(AtomicBool::new(false));
        let alerts = AlertsTable::new(self.shared.meta.clone(), cut.clone());
        context.register_table(EVENTS, Arc::new(EventsTable::new(&self.shared)))?;
        context.register_table(alert_table::NAME, Arc::new(alerts))?;
        let read_only = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        let frame = context.sql_with_options(&self.text, read_only).await?;
        let plan = frame.create_physical_plan().await?;
        let planned = Planned {
            schema: plan.schema(),
            cut: cut.load(Ordering::Acquire),
        };
        Ok((planned, execute_stream(plan, context.task_ctx())?))
    }

    /// Hands on the rows until they end, or a limit is reached.
    async fn feed(
        &self,
        mut rows: SendableRecordBatchStream,
        outlet: &Outlet<RecordBatch>,
    ) -> Result<(), StoreError> {
        let mut given = 0;
        let feeding = async {
            while let Some(batch) = rows.next().await {
                let batch = batch?;
                given += batch.num_rows();
                if given > self.limits.max_rows {
                    let rows = self.limits.max_rows;
                    let what = format!("more than {rows} rows; add a LIMIT");
                    return Err(StoreError::QueryLimit(what));
                }
                outlet.send(batch).await;
            }
            Ok(())
        };
        // A reader that takes too long is cut off as well: it holds one of few places.
        let fed = timeout_at(self.deadline.into(), feeding).await;
        fed.unwrap_or_else(|_| Err(self.late()))
    }

    fn late(&self) -> StoreError {
        let seconds = self.limits.timeout.as_secs_f64();
        StoreError::QueryLimit(format!("more than {seconds} seconds"))
    }
}

/// A context of its own for each query: nothing is shared, nothing is left behind.
fn session(limits: SqlLimits) -> Result<SessionContext, DataFusionError> {
    let pool = Arc::new(GreedyMemoryPool::new(limits.memory_bytes));
    let no_disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .with_disk_manager_builder(no_disk)
        .build_arc()?;
    let config = SessionConfig::new().with_target_partitions(PARTITIONS);
    Ok(SessionContext::new_with_config_rt(config, runtime))
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
