//! Reading alerts: one, a filtered page, counts.

use std::collections::BTreeMap;

use futures::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};
use watchfire_event::{Alert, AlertStatus, Severity, TimeRange};

use super::{Meta, MetaError, from_db, rfc3339};

/// Most alerts a page holds.
const MAX_PAGE: usize = 1_000;

/// Alerts counted exactly; beyond, the count says "at least".
const MAX_COUNTED: i64 = 10_000;

/// Why an alert was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// It was an attack.
    TruePositive,
    /// The detector was wrong.
    FalsePositive,
    /// It happened as said, and it was allowed.
    Benign,
}

impl CloseReason {
    /// The word used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            CloseReason::TruePositive => "true_positive",
            CloseReason::FalsePositive => "false_positive",
            CloseReason::Benign => "benign",
        }
    }

    /// Reads the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::TruePositive, Self::FalsePositive, Self::Benign]
            .into_iter()
            .find(|r| r.as_str() == word)
    }
}

/// An alert with what people did about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertRow {
    /// The alert; its status is the present one.
    #[serde(flatten)]
    pub alert: Alert,
    /// Who works on it.
    pub assignee: Option<String>,
    /// Why it was closed.
    pub reason: Option<CloseReason>,
    /// Comments in its history.
    pub comments: u64,
    /// When it was first stored.
    #[serde(rename = "first_seen", serialize_with = "rfc3339")]
    pub first_seen_ns: i64,
    /// When it or its state last changed.
    #[serde(rename = "updated", serialize_with = "rfc3339")]
    pub updated_ns: i64,
}

/// Which alerts to list; the default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Only of this status.
    pub status: Option<AlertStatus>,
    /// Only of this severity or worse.
    pub severity: Option<Severity>,
    /// Only about this entity: `kind:value`, or a value of any kind.
    pub entity: Option<String>,
    /// Only of this detector.
    pub detector: Option<String>,
    /// Only those that are held back, or are not.
    pub held: Option<bool>,
    /// Only those whose events touch this range of event time.
    pub range: Option<TimeRange>,
    /// Most alerts of the page: 0 means 100, beyond 1,000 means 1,000.
    pub limit: usize,
    /// [`AlertPage::cursor`] of the page before.
    pub cursor: Option<String>,
}

/// A page of alerts, newest first by the event time at which they were raised.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertPage {
    /// The alerts.
    pub alerts: Vec<AlertRow>,
    /// Alerts the filter matches.
    pub total: u64,
    /// False when there are more than `total`.
    pub total_is_exact: bool,
    /// Asks for the next page; none on the last.
    pub cursor: Option<String>,
}

/// How many alerts there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AlertCounts {
    /// By status; those that are held back while they are open are not among them.
    pub by_status: BTreeMap<String, u64>,
    /// Open ones that are held back.
    pub held: u64,
    /// Those that are neither closed nor held back, by severity.
    pub open_by_severity: BTreeMap<String, u64>,
}

impl Meta {
    /// A page of alerts, newest first.
    ///
    /// # Errors
    /// [`MetaError::Invalid`] for a cursor of other making.
    pub async fn list_alerts(&self, filter: &AlertFilter) -> Result<AlertPage, MetaError> {
        let limit = match filter.limit {
            0 => 100,
            n => n.min(MAX_PAGE),
        };
        let mut page = QueryBuilder::<Sqlite>::new("SELECT * FROM alerts a WHERE TRUE");
        conditions(&mut page, filter);
        if let Some((ts_ns, id)) = filter.cursor.as_deref().map(parse_cursor).transpose()? {
            page.push(" AND (ts_ns < ").push_bind(ts_ns);
            page.push(" OR (ts_ns = ").push_bind(ts_ns);
            page.push(" AND id < ").push_bind(id.to_owned()).push("))");
        }
        // One more than asked for tells whether there is a next page.
        page.push(" ORDER BY ts_ns DESC, id DESC LIMIT ")
            .push_bind(limit as i64 + 1);
        let mut rows = page.build().fetch_all(&self.readers).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let cursor = match rows.last() {
            Some(last) if more => {
                let (ts, id): (i64, String) = (last.try_get("ts_ns")?, last.try_get("id")?);
                Some(format!("{ts}.{id}"))
            }
            _ => None,
        };

        let mut count =
            QueryBuilder::<Sqlite>::new("SELECT COUNT(*) FROM (SELECT 1 FROM alerts a WHERE TRUE");
        conditions(&mut count, filter);
        count
            .push(" LIMIT ")
            .push_bind(MAX_COUNTED)
            .push(") counted");
        let total: i64 = count.build_query_scalar().fetch_one(&self.readers).await?;
        Ok(AlertPage {
            alerts: rows.iter().map(alert).collect::<Result<_, _>>()?,
            total: from_db(total),
            total_is_exact: total < MAX_COUNTED,
            cursor,
        })
    }

    /// Up to `limit` alerts, newest first.
    pub(crate) fn newest_alerts(
        &self,
        limit: usize,
    ) -> impl Stream<Item = Result<AlertRow, MetaError>> + Send + '_ {
        sqlx::query("SELECT * FROM alerts ORDER BY ts_ns DESC, id DESC LIMIT $1")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch(&self.readers)
            .map(|row| alert(&row?))
    }

    /// Are there more alerts than `limit`?
    pub(crate) async fn has_more_alerts_than(&self, limit: usize) -> Result<bool, MetaError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM alerts LIMIT 1 OFFSET $1)";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let more: i64 = sqlx::query_scalar(sql)
            .bind(limit)
            .fetch_one(&self.readers)
            .await?;
        Ok(more != 0)
    }

    /// The alert of this id.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn get_alert(&self, id: &str) -> Result<Option<AlertRow>, MetaError> {
        let row = sqlx::query("SELECT * FROM alerts WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(alert).transpose()
    }

    /// How many alerts there are.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn alert_counts(&self) -> Result<AlertCounts, MetaError> {
        let sql = "SELECT status, severity, held, COUNT(*) FROM alerts \
                   GROUP BY status, severity, held";
        let groups: Vec<(String, i64, i64, i64)> =
            sqlx::query_as(sql).fetch_all(&self.readers).await?;
        let mut counts = AlertCounts::default();
        for (status, severity, held, n) in groups {
            let n = from_db(n);
            if held != 0 && status == AlertStatus::Open.as_str() {
                counts.held += n;
                continue;
            }
            if status != AlertStatus::Closed.as_str() {
                let word = severity_of(severity).as_str().to_owned();
                *counts.open_by_severity.entry(word).or_default() += n;
            }
            *counts.by_status.entry(status).or_default() += n;
        }
        Ok(counts)
    }
}

fn conditions(sql: &mut QueryBuilder<Sqlite>, filter: &AlertFilter) {
    if let Some(status) = filter.status {
        sql.push(" AND status = ").push_bind(status.as_str());
    }
    if let Some(severity) = filter.severity {
        sql.push(" AND severity >= ").push_bind(rank(severity));
    }
    if let Some(held) = filter.held {
        sql.push(" AND held = ").push_bind(i64::from(held));
    }
    if let Some(detector) = &filter.detector {
        sql.push(" AND detector = ").push_bind(detector.clone());
    }
    if let Some(range) = filter.range {
        sql.push(" AND t1_ns >= ").push_bind(range.from_ns);
        sql.push(" AND t0_ns < ").push_bind(range.to_ns);
    }
    if let Some(entity) = &filter.entity {
        sql.push(" AND id IN (SELECT alert_id FROM alert_entities WHERE value = ");
        sql.push_bind(entity.clone());
        // A value may hold colons itself (an IPv6 address), so both readings count.
        if let Some((kind, value)) = entity.split_once(':') {
            sql.push(" OR (value = ").push_bind(value.to_owned());
            sql.push(" AND kind = ")
                .push_bind(kind.to_owned())
                .push(")");
        }
        sql.push(")");
    }
}

fn parse_cursor(text: &str) -> Result<(i64, &str), MetaError> {
    text.split_once('.')
        .and_then(|(ts, id)| Some((ts.parse().ok()?, id)))
        .ok_or_else(|| MetaError::Invalid("the cursor is not one of ours".into()))
}

pub(super) fn alert(row: &SqliteRow) -> Result<AlertRow, MetaError> {
    let body: String = row.try_get("body")?;
    let mut alert: Alert =
        serde_json::from_str(&body).map_err(|e| MetaError::Corrupt(format!("alert body: {e}")))?;
    let status: String = row.try_get("status")?;
    alert.status = AlertStatus::parse(&status)
        .ok_or_else(|| MetaError::Corrupt(format!("unknown status {status:?}")))?;
    let reason: Option<String> = row.try_get("reason")?;
    Ok(AlertRow {
        alert,
        assignee: row.try_get("assignee")?,
        reason: reason.as_deref().and_then(CloseReason::parse),
        comments: from_db(row.try_get("comments")?),
        first_seen_ns: row.try_get("first_seen_ns")?,
        updated_ns: row.try_get("updated_ns")?,
    })
}

/// Severity as a number that sorts.
pub(super) fn rank(severity: Severity) -> i64 {
    severity as i64
}

pub(super) fn severity_of(rank: i64) -> Severity {
    match rank {
        0 => Severity::Info,
        1 => Severity::Low,
        2 => Severity::Medium,
        3 => Severity::High,
        _ => Severity::Critical,
    }
}
