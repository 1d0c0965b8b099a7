//! What can go wrong in the store, with a stable code for each case.

use std::sync::Arc;

use watchfire_event::QueryError;

/// Why a call of the store failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The data folder is in use by another process.
    #[error("the data folder {0} is in use by another process")]
    Locked(String),
    /// Reading or writing files failed.
    #[error("{context}: {source}")]
    Io {
        /// What was being done.
        context: String,
        /// The cause.
        source: Arc<std::io::Error>,
    },
    /// Stored bytes are not what was written.
    #[error("damaged data: {0}")]
    Corrupt(String),
    /// The keys of an encrypted folder cannot be used.
    #[error(transparent)]
    Vault(#[from] crate::vault::VaultError),
    /// Another backup writes to the same repository.
    #[error("another backup is writing to {0}")]
    BackupRunning(String),
    /// The log failed.
    #[error("log: {0}")]
    Log(String),
    /// The metadata store failed.
    #[error("metadata: {0}")]
    Meta(String),
    /// The text of a query cannot be read.
    #[error("{0}")]
    Query(QueryError),
    /// A query ran into a limit of time, rows or memory.
    #[error("query limit: {0}")]
    QueryLimit(String),
    /// The paging cursor is not one of ours.
    #[error("the cursor is not valid")]
    InvalidCursor,
    /// A request is out of bounds, such as zero buckets.
    #[error("{0}")]
    InvalidRequest(String),
    /// The SQL text is wrong, or asks for more than reading.
    #[error("sql: {0}")]
    Sql(String),
    /// The caller went away, or the store is closing.
    #[error("cancelled")]
    Cancelled,
    /// A fault of ours.
    #[error("internal error: {0}")]
    Internal(String),
}

impl StoreError {
    /// A stable word for programs, as it appears in problem documents.
    pub fn code(&self) -> &'static str {
        match self {
            StoreError::Locked(_) => "locked",
            StoreError::Io { .. } => "io",
            StoreError::Corrupt(_) => "corrupt",
            StoreError::Vault(error) => error.code(),
            StoreError::BackupRunning(_) => "backup_running",
            StoreError::Log(_) => "log",
            StoreError::Meta(_) => "meta",
            StoreError::Query(error) => error.code,
            StoreError::QueryLimit(_) => "query_limit",
            StoreError::InvalidCursor => "invalid_cursor",
            StoreError::InvalidRequest(_) => "invalid_request",
            StoreError::Sql(_) => "sql_error",
            StoreError::Cancelled => "cancelled",
            StoreError::Internal(_) => "internal",
        }
    }

    /// An input or output error with what was being done.
    pub(crate) fn io(context: impl Into<String>) -> impl FnOnce(std::io::Error) -> StoreError {
        let context = context.into();
        move |source| StoreError::Io {
            context,
            source: Arc::new(source),
        }
    }
}

impl From<QueryError> for StoreError {
    fn from(error: QueryError) -> Self {
        StoreError::Query(error)
    }
}

impl From<arrow::error::ArrowError> for StoreError {
    fn from(error: arrow::error::ArrowError) -> Self {
        StoreError::Internal(format!("columns: {error}"))
    }
}

impl From<parquet::errors::ParquetError> for StoreError {
    fn from(error: parquet::errors::ParquetError) -> Self {
        StoreError::Corrupt(format!("parquet: {error}"))
    }
}

impl From<tantivy::TantivyError> for StoreError {
    fn from(error: tantivy::TantivyError) -> Self {
        StoreError::Corrupt(format!("index: {error}"))
    }
}

impl From<crate::log::LogError> for StoreError {
    fn from(error: crate::log::LogError) -> Self {
        StoreError::Log(error.to_string())
    }
}

impl From<crate::meta::MetaError> for StoreError {
    fn from(error: crate::meta::MetaError) -> Self {
        StoreError::Meta(error.to_string())
    }
}
