//! What people do about alerts: status, assignee, comments, and the history of all that.

use serde::Serialize;
use sqlx::Row;
use watchfire_event::AlertStatus;

use super::alerts::alert;
use super::{AlertRow, CloseReason, Meta, MetaError, check_text, rfc3339, to_db};

/// Most entries in an alert's history.
const MAX_HISTORY: u64 = 10_000;

/// Most characters of a comment.
const MAX_COMMENT_CHARS: usize = 10_000;

/// One step in the life of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryRow {
    /// When.
    #[serde(rename = "at", serialize_with = "rfc3339")]
    pub at_ns: i64,
    /// By whom.
    pub who: String,
    /// `status`, `assign` or `comment`.
    pub action: String,
    /// The value before.
    pub from: Option<String>,
    /// The value after; a comment's text. A close is `closed (false_positive)`.
    pub to: Option<String>,
}

/// The columns a change may touch.
struct State {
    status: AlertStatus,
    reason: Option<CloseReason>,
    assignee: Option<String>,
    comments: u64,
}

impl Meta {
    /// Sets an alert's status. Closing needs a reason; the other statuses have none. Setting
    /// what is set already changes nothing.
    ///
    /// # Errors
    /// [`MetaError::NotFound`]; [`MetaError::Invalid`] where reason and status do not fit.
    pub async fn set_status(
        &self,
        id: &str,
        status: AlertStatus,
        reason: Option<CloseReason>,
        by: &str,
    ) -> Result<AlertRow, MetaError> {
        match (status, reason) {
            (AlertStatus::Closed, None) => {
                return Err(MetaError::Invalid("a closed alert needs a reason".into()));
            }
            (AlertStatus::Open | AlertStatus::Acknowledged, Some(_)) => {
                return Err(MetaError::Invalid(
                    "only a closed alert has a reason".into(),
                ));
            }
            _ => {}
        }
        self.change(id, by, "status", |state| {
            let from = in_words(state.status, state.reason);
            (state.status, state.reason) = (status, reason);
            (Some(from), Some(in_words(status, reason)))
        })
        .await
        // Verdicts are part of what rules and detectors go by.
        .inspect(|_| self.note_rules_changed())
    }

    /// Gives an alert to somebody, or to nobody.
    ///
    /// # Errors
    /// [`MetaError::NotFound`]; [`MetaError::Invalid`] for a bad name.
    pub async fn assign(
        &self,
        id: &str,
        assignee: Option<&str>,
        by: &str,
    ) -> Result<AlertRow, MetaError> {
        if let Some(name) = assignee {
            check_text("the assignee", name, 100)?;
        }
        self.change(id, by, "assign", |state| {
            let from = state.assignee.take();
            state.assignee = assignee.map(str::to_owned);
            (from, state.assignee.clone())
        })
        .await
    }

    /// Adds a comment, at most 10,000 characters.
    ///
    /// # Errors
    /// [`MetaError::NotFound`]; [`MetaError::Invalid`] for an empty or too long text.
    pub async fn add_comment(&self, id: &str, text: &str, by: &str) -> Result<AlertRow, MetaError> {
        check_text("the comment", text, MAX_COMMENT_CHARS)?;
        self.change(id, by, "comment", |state| {
            state.comments += 1;
            (None, Some(text.to_owned()))
        })
        .await
    }

    /// What happened to an alert, oldest first.
    ///
    /// # Errors
    /// [`MetaError::NotFound`].
    pub async fn alert_history(&self, id: &str) -> Result<Vec<HistoryRow>, MetaError> {
        let known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM alerts WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.readers)
            .await?;
        known.ok_or(MetaError::NotFound("alert"))?;
        let sql = "SELECT at_ns, who, action, old_value, new_value FROM alert_history \
                   WHERE alert_id = $1 ORDER BY n";
        let rows = sqlx::query(sql).bind(id).fetch_all(&self.readers).await?;
        rows.iter()
            .map(|row| {
                Ok(HistoryRow {
                    at_ns: row.try_get("at_ns")?,
                    who: row.try_get("who")?,
                    action: row.try_get("action")?,
                    from: row.try_get("old_value")?,
                    to: row.try_get("new_value")?,
                })
            })
            .collect()
    }

    /// Applies `change` to an alert and writes its (value before, value after) to the history.
    async fn change(
        &self,
        id: &str,
        by: &str,
        action: &str,
        change: impl FnOnce(&mut State) -> (Option<String>, Option<String>),
    ) -> Result<AlertRow, MetaError> {
        let now = self.now_ns();
        let mut tx = self.writer.begin().await?;
        let row = sqlx::query("SELECT * FROM alerts WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or(MetaError::NotFound("alert"))?;
        let mut seen = alert(&row)?;
        let mut state = State {
            status: seen.alert.status,
            reason: seen.reason,
            assignee: seen.assignee.clone(),
            comments: seen.comments,
        };
        let (from, to) = change(&mut state);
        if from == to {
            return Ok(seen);
        }
        let sql = "UPDATE alerts SET status = $1, reason = $2, assignee = $3, comments = $4, \
                   updated_ns = $5 WHERE id = $6";
        sqlx::query(sql)
            .bind(state.status.as_str())
            .bind(state.reason.map(CloseReason::as_str))
            .bind(&state.assignee)
            .bind(to_db(state.comments))
            .bind(now)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        let sql = "INSERT INTO alert_history (alert_id, n, at_ns, who, action, old_value, \
                   new_value) SELECT $1, c.n + 1, $2, $3, $4, $5, $6 FROM \
                   (SELECT COUNT(*) AS n FROM alert_history WHERE alert_id = $1) c \
                   WHERE c.n < $7";
        let done = sqlx::query(sql)
            .bind(id)
            .bind(now)
            .bind(by)
            .bind(action)
            .bind(from)
            .bind(to)
            .bind(to_db(MAX_HISTORY))
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Err(MetaError::Conflict(
                "the history of this alert is full".into(),
            ));
        }
        tx.commit().await?;
        seen.alert.status = state.status;
        seen.reason = state.reason;
        seen.assignee = state.assignee;
        seen.comments = state.comments;
        seen.updated_ns = now;
        Ok(seen)
    }
}

fn in_words(status: AlertStatus, reason: Option<CloseReason>) -> String {
    match reason {
        Some(reason) => format!("{} ({})", status.as_str(), reason.as_str()),
        None => status.as_str().to_owned(),
    }
}
