//! The table `_alerts` of SQL: the newest alerts with what people did about them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, ListBuilder, RecordBatch, RecordBatchOptions, StringArray,
    StringBuilder, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::{StreamExt, TryStreamExt, stream};

use crate::StoreError;
use crate::meta::{AlertRow, CloseReason, Meta};

/// Name of the table.
pub(crate) const NAME: &str = "_alerts";
/// Alerts the table holds, the newest by the event time at which they were raised.
const MAX_ALERTS: usize = 100_000;
/// Alerts turned into columns at a time.
const BATCH_ROWS: usize = 1_024;

/// A column: its name and how to find its values.
type Column = (&'static str, Values);

#[derive(Clone, Copy)]
enum Values {
    Text(fn(&AlertRow) -> Option<String>),
    Integer(fn(&AlertRow) -> i64),
    Float(fn(&AlertRow) -> f64),
    /// Nanoseconds since the epoch.
    Time(fn(&AlertRow) -> i64),
    Texts(fn(&AlertRow) -> &[String]),
    /// The first entity of the kind that the column is named after.
    Entity,
}

use Values::{Entity, Float, Integer, Text, Texts, Time};

const COLUMNS: &[Column] = &[
    ("id", Text(|row| Some(row.alert.id.clone()))),
    ("ts", Time(|row| nanos(row.alert.ts))),
    ("t0", Time(|row| nanos(row.alert.t0))),
    ("t1", Time(|row| nanos(row.alert.t1))),
    ("status", Text(|row| word(row.alert.status.as_str()))),
    ("severity", Text(|row| word(row.alert.severity.as_str()))),
    ("severity_rank", Integer(|row| row.alert.severity as i64)),
    ("score", Float(|row| row.alert.score)),
    ("detector", Text(|row| Some(row.alert.detector.clone()))),
    ("kind", Text(|row| json_word(&row.alert.kind))),
    ("title", Text(|row| Some(row.alert.title.clone()))),
    ("summary", Text(|row| Some(row.alert.summary.clone()))),
    (
        "rule_id",
        Text(|row| row.alert.rule.as_ref().map(|r| r.id.clone())),
    ),
    ("user", Entity),
    ("ip", Entity),
    ("service", Entity),
    ("route", Entity),
    ("token", Entity),
    ("client", Entity),
    ("host", Entity),
    ("edge", Entity),
    ("tenant", Entity),
    ("asn", Entity),
    (
        "entities",
        Text(|row| serde_json::to_string(&row.alert.entities).ok()),
    ),
    ("tags", Texts(|row| &row.alert.tags)),
    (
        "count",
        Integer(|row| i64::try_from(row.alert.count).unwrap_or(i64::MAX)),
    ),
    ("assignee", Text(|row| row.assignee.clone())),
    (
        "reason",
        Text(|row| row.reason.and_then(|r| word(CloseReason::as_str(r)))),
    ),
    ("first_seen", Time(|row| row.first_seen_ns)),
    ("updated", Time(|row| row.updated_ns)),
];

fn word(word: &str) -> Option<String> {
    Some(word.to_owned())
}

/// The word that the API writes.
fn json_word(value: &impl serde::Serialize) -> Option<String> {
    let value = serde_json::to_value(value).ok()?;
    value.as_str().map(str::to_owned)
}

/// Seconds to nanoseconds, as exact as seconds in a float are: to the microsecond.
fn nanos(seconds: f64) -> i64 {
    ((seconds * 1e6).round() as i64).saturating_mul(1_000)
}

impl Values {
    fn data_type(self) -> DataType {
        match self {
            Text(_) | Entity => DataType::Utf8,
            Integer(_) => DataType::Int64,
            Float(_) => DataType::Float64,
            Time(_) => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            Texts(_) => DataType::new_list(DataType::Utf8, true),
        }
    }

    fn array(self, name: &str, rows: &[AlertRow]) -> ArrayRef {
        let entity = |row: &AlertRow| row.alert.entities.get(name)?.first().cloned();
        match self {
            Text(of) => Arc::new(rows.iter().map(of).collect::<StringArray>()),
            Entity => Arc::new(rows.iter().map(entity).collect::<StringArray>()),
            Integer(of) => Arc::new(Int64Array::from_iter_values(rows.iter().map(of))),
            Float(of) => Arc::new(Float64Array::from_iter_values(rows.iter().map(of))),
            Time(of) => {
                let times = TimestampNanosecondArray::from_iter_values(rows.iter().map(of));
                Arc::new(times.with_timezone("UTC"))
            }
            Texts(of) => {
                let mut lists = ListBuilder::new(StringBuilder::new());
                for row in rows {
                    lists.append_value(of(row).iter().map(Some));
                }
                Arc::new(lists.finish())
            }
        }
    }
}

/// The alerts as a table.
#[derive(Debug)]
pub(crate) struct AlertsTable {
    meta: Meta,
    schema: SchemaRef,
    /// Set when a query reads the table and there are more alerts than it holds.
    cut: Arc<AtomicBool>,
}

impl AlertsTable {
    pub fn new(meta: Meta, cut: Arc<AtomicBool>) -> Self {
        let field = |(name, values): &Column| Field::new(*name, values.data_type(), true);
        let schema = Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>());
        AlertsTable {
            meta,
            schema: Arc::new(schema),
            cut,
        }
    }
}

#[async_trait]
impl TableProvider for AlertsTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let schema: SchemaRef = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => self.schema.clone(),
        };
        let wanted = limit.unwrap_or(MAX_ALERTS).min(MAX_ALERTS);
        if wanted == MAX_ALERTS {
            let more = self.meta.has_more_alerts_than(MAX_ALERTS).await;
            self.cut.fetch_or(more.map_err(external)?, Ordering::AcqRel);
        }
        let newest = Newest {
            meta: self.meta.clone(),
            wanted,
            schema: schema.clone(),
        };
        let scan =
            StreamingTableExec::try_new(schema, vec![Arc::new(newest)], None, [], false, limit)?;
        Ok(Arc::new(scan))
    }
}

fn external(error: impl Into<StoreError>) -> DataFusionError {
    DataFusionError::External(Box::new(error.into()))
}

/// The newest alerts.
#[derive(Debug, Clone)]
struct Newest {
    meta: Meta,
    wanted: usize,
    schema: SchemaRef,
}

impl PartitionStream for Newest {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, task: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reservation = MemoryConsumer::new(NAME).register(task.memory_pool());
        let loading = self.clone().load(reservation);
        let batches = stream::once(loading).map_ok(|(batches, reservation)| {
            // What is held is accounted for until the last batch is handed on.
            stream::iter(batches).map(move |batch| {
                let _held = &reservation;
                Ok(batch)
            })
        });
        let batches = batches.try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches))
    }
}

impl Newest {
    /// Reads all at once, so that a slow reader does not keep the database waiting.
    async fn load(
        self,
        reservation: MemoryReservation,
    ) -> Result<(Vec<RecordBatch>, MemoryReservation), DataFusionError> {
        let mut batches = Vec::new();
        let mut rows = std::pin::pin!(self.meta.newest_alerts(self.wanted).chunks(BATCH_ROWS));
        while let Some(chunk) = rows.next().await {
            let chunk: Result<Vec<AlertRow>, _> = chunk.into_iter().collect();
            let batch = self.batch(&chunk.map_err(external)?)?;
            reservation.try_grow(batch.get_array_memory_size())?;
            batches.push(batch);
        }
        Ok((batches, reservation))
    }

    fn batch(&self, rows: &[AlertRow]) -> Result<RecordBatch, DataFusionError> {
        let fields = self.schema.fields().iter();
        let columns = fields.filter_map(|f| COLUMNS.iter().find(|(name, _)| name == f.name()));
        let arrays = columns.map(|(name, values)| values.array(name, rows));
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let arrays: Vec<ArrayRef> = arrays.collect();
        Ok(RecordBatch::try_new_with_options(
            self.schema.clone(),
            arrays,
            &options,
        )?)
    }
}
