//! What people set about rules, the exceptions, and what their verdicts say of each rule.

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tokio::sync::watch;
use watchfire_event::query::AnyLists;
use watchfire_event::{Alert, Query, Severity};

use super::alerts::{rank, severity_of};
use super::{
    CloseReason, Meta, MetaError, check_text, from_db, rfc3339, rfc3339_opt, secret, to_db,
};

/// Most rules with settings.
const MAX_SETTINGS: u64 = 50_000;
/// Most exceptions: each is a query that every batch may be held against.
const MAX_EXCEPTIONS: u64 = 1_000;
/// Verdicts that detection learns from.
const MAX_CLOSED: i64 = 5_000;
/// Most rules that one exception names.
const MAX_NAMED: usize = 1_000;
/// Most bytes of an exception's query.
const MAX_QUERY_BYTES: usize = 16 << 10;
/// Most characters of a reason or a note.
const MAX_REASON_CHARS: usize = 1_000;
/// Longest suppression, nanoseconds (30 days).
const MAX_SUPPRESS_NS: i64 = 30 * 24 * 3_600 * 1_000_000_000;

/// What is set about a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSetting {
    /// The rule's id.
    pub rule_id: String,
    /// Its title when this was set, for when its file is gone.
    pub title: String,
    /// How it is run, a word of the detection's.
    pub state: String,
    /// The severity of its alerts, where it is not the file's.
    pub severity: Option<Severity>,
    /// How long an alert takes in what follows, nanoseconds.
    pub suppress_ns: Option<i64>,
    /// Why.
    pub note: Option<String>,
    /// Who set it last.
    pub changed_by: String,
    /// When, nanoseconds; ignored on writing.
    pub changed_ns: i64,
}

/// Events that rules are not to speak of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleExceptionRow {
    /// `ex_` and random digits.
    pub id: String,
    /// The rules it is about; empty for every rule.
    pub rules: Vec<String>,
    /// Which events.
    pub query: String,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// When it ends; never without one.
    #[serde(rename = "expires", serialize_with = "rfc3339_opt")]
    pub expires_ns: Option<i64>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    #[serde(rename = "created", serialize_with = "rfc3339")]
    pub created_ns: i64,
    /// When it was last changed.
    #[serde(rename = "updated", serialize_with = "rfc3339")]
    pub updated_ns: i64,
}

/// An exception to make, or what an exception is to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRuleException {
    /// See [`RuleExceptionRow::rules`].
    pub rules: Vec<String>,
    /// See [`RuleExceptionRow::query`]; one that matches everything is refused.
    pub query: String,
    /// See [`RuleExceptionRow::owner`].
    pub owner: String,
    /// See [`RuleExceptionRow::reason`].
    pub reason: String,
    /// See [`RuleExceptionRow::expires_ns`].
    pub expires_ns: Option<i64>,
    /// See [`RuleExceptionRow::created_by`].
    pub created_by: String,
}

/// What became of the alerts of a detector.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Verdicts {
    /// All alerts.
    pub alerts: u64,
    /// Closed as an attack.
    pub true_positive: u64,
    /// Closed as wrong.
    pub false_positive: u64,
    /// Closed as allowed.
    pub benign: u64,
    /// Event time of the newest alert, nanoseconds.
    #[serde(rename = "last_alert", serialize_with = "rfc3339_opt")]
    pub last_alert_ns: Option<i64>,
}

impl Meta {
    /// Tells when settings or exceptions change.
    pub fn watch_rules(&self) -> watch::Receiver<u64> {
        self.rules_changed.subscribe()
    }

    /// What is set about rules, by id.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn rule_settings(&self) -> Result<Vec<RuleSetting>, MetaError> {
        let rows = sqlx::query("SELECT * FROM rule_settings ORDER BY rule_id")
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(setting).collect()
    }

    /// Sets what is to hold for a rule from now on.
    ///
    /// # Errors
    /// [`MetaError::Invalid`] for a suppression beyond 30 days or a bad note;
    /// [`MetaError::Conflict`] when too many rules have settings.
    pub async fn set_rule(&self, new: &RuleSetting) -> Result<(), MetaError> {
        if let Some(note) = &new.note {
            check_text("the note", note, MAX_REASON_CHARS)?;
        }
        if new
            .suppress_ns
            .is_some_and(|ns| !(1..=MAX_SUPPRESS_NS).contains(&ns))
        {
            let why = "a suppression is longer than nothing and not longer than 30 days";
            return Err(MetaError::Invalid(why.into()));
        }
        let sql = "INSERT INTO rule_settings (rule_id, title, state, severity, suppress_ns, note, \
                   changed_by, changed_ns) SELECT $1,$2,$3,$4,$5,$6,$7,$8 \
                   WHERE (SELECT COUNT(*) FROM rule_settings) < $9 \
                   ON CONFLICT (rule_id) DO UPDATE SET title = excluded.title, \
                   state = excluded.state, severity = excluded.severity, \
                   suppress_ns = excluded.suppress_ns, note = excluded.note, \
                   changed_by = excluded.changed_by, changed_ns = excluded.changed_ns";
        let done = sqlx::query(sql)
            .bind(&new.rule_id)
            .bind(&new.title)
            .bind(&new.state)
            .bind(new.severity.map(rank))
            .bind(new.suppress_ns)
            .bind(&new.note)
            .bind(&new.changed_by)
            .bind(self.now_ns())
            .bind(to_db(MAX_SETTINGS))
            .execute(&self.writer)
            .await?;
        if done.rows_affected() == 0 {
            let why = format!("{MAX_SETTINGS} rules have settings already");
            return Err(MetaError::Conflict(why));
        }
        self.note_rules_changed();
        Ok(())
    }

    /// Lets a rule be as its file says.
    ///
    /// # Errors
    /// [`MetaError`]; then nothing has changed.
    pub async fn reset_rule(&self, rule_id: &str) -> Result<(), MetaError> {
        sqlx::query("DELETE FROM rule_settings WHERE rule_id = $1")
            .bind(rule_id)
            .execute(&self.writer)
            .await?;
        self.note_rules_changed();
        Ok(())
    }

    /// All exceptions, the newest first; those that have ended too.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn rule_exceptions(&self) -> Result<Vec<RuleExceptionRow>, MetaError> {
        let sql = "SELECT * FROM rule_exceptions ORDER BY created_ns DESC, id";
        let rows = sqlx::query(sql).fetch_all(&self.readers).await?;
        rows.iter().map(exception).collect()
    }

    /// Makes an exception.
    ///
    /// # Errors
    /// [`MetaError::Invalid`] for a query, owner or reason that is none;
    /// [`MetaError::Conflict`] for the 1,001st.
    pub async fn add_rule_exception(
        &self,
        new: &NewRuleException,
    ) -> Result<RuleExceptionRow, MetaError> {
        check_exception(new)?;
        let now = self.now_ns();
        let row = RuleExceptionRow {
            id: format!("ex_{}", secret::random_hex(8)?),
            rules: new.rules.clone(),
            query: new.query.clone(),
            owner: new.owner.clone(),
            reason: new.reason.clone(),
            expires_ns: new.expires_ns,
            created_by: new.created_by.clone(),
            created_ns: now,
            updated_ns: now,
        };
        let sql = "INSERT INTO rule_exceptions (id, rules, query, owner, reason, expires_ns, \
                   created_by, created_ns, updated_ns) SELECT $1,$2,$3,$4,$5,$6,$7,$8,$8 \
                   WHERE (SELECT COUNT(*) FROM rule_exceptions) < $9";
        let done = sqlx::query(sql)
            .bind(&row.id)
            .bind(list(&row.rules))
            .bind(&row.query)
            .bind(&row.owner)
            .bind(&row.reason)
            .bind(row.expires_ns)
            .bind(&row.created_by)
            .bind(now)
            .bind(to_db(MAX_EXCEPTIONS))
            .execute(&self.writer)
            .await?;
        if done.rows_affected() == 0 {
            let why = format!("there are {MAX_EXCEPTIONS} exceptions already");
            return Err(MetaError::Conflict(why));
        }
        self.note_rules_changed();
        Ok(row)
    }

    /// Makes an exception say something else; who made it stays.
    ///
    /// # Errors
    /// [`MetaError::NotFound`]; [`MetaError::Invalid`] as for a new one.
    pub async fn change_rule_exception(
        &self,
        id: &str,
        new: &NewRuleException,
    ) -> Result<RuleExceptionRow, MetaError> {
        check_exception(new)?;
        let sql = "UPDATE rule_exceptions SET rules = $2, query = $3, owner = $4, reason = $5, \
                   expires_ns = $6, updated_ns = $7 WHERE id = $1 RETURNING *";
        let row = sqlx::query(sql)
            .bind(id)
            .bind(list(&new.rules))
            .bind(&new.query)
            .bind(&new.owner)
            .bind(&new.reason)
            .bind(new.expires_ns)
            .bind(self.now_ns())
            .fetch_optional(&self.writer)
            .await?;
        let row = row.ok_or(MetaError::NotFound("exception"))?;
        self.note_rules_changed();
        exception(&row)
    }

    /// Removes an exception.
    ///
    /// # Errors
    /// [`MetaError::NotFound`].
    pub async fn remove_rule_exception(&self, id: &str) -> Result<(), MetaError> {
        let done = sqlx::query("DELETE FROM rule_exceptions WHERE id = $1")
            .bind(id)
            .execute(&self.writer)
            .await?;
        if done.rows_affected() == 0 {
            return Err(MetaError::NotFound("exception"));
        }
        self.note_rules_changed();
        Ok(())
    }

    /// What became of the alerts of each detector, by its name in alerts.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn verdicts(&self) -> Result<Vec<(String, Verdicts)>, MetaError> {
        let sql = "SELECT detector, reason, COUNT(*), MAX(ts_ns) FROM alerts \
                   GROUP BY detector, reason ORDER BY detector";
        let groups: Vec<(String, Option<String>, i64, i64)> =
            sqlx::query_as(sql).fetch_all(&self.readers).await?;
        let mut all: Vec<(String, Verdicts)> = Vec::new();
        for (detector, reason, n, newest) in groups {
            let n = from_db(n);
            if all.last().is_none_or(|(last, _)| *last != detector) {
                all.push((detector, Verdicts::default()));
            }
            let Some((_, verdicts)) = all.last_mut() else {
                continue;
            };
            verdicts.alerts += n;
            verdicts.last_alert_ns = verdicts.last_alert_ns.max(Some(newest));
            match reason.as_deref().and_then(CloseReason::parse) {
                Some(CloseReason::TruePositive) => verdicts.true_positive += n,
                Some(CloseReason::FalsePositive) => verdicts.false_positive += n,
                Some(CloseReason::Benign) => verdicts.benign += n,
                None => {}
            }
        }
        Ok(all)
    }

    /// Closed alerts, each with whether it was an attack: those closed last, up to a number.
    ///
    /// # Errors
    /// [`MetaError`] when the database cannot be read.
    pub async fn closed_alerts(&self) -> Result<Vec<(Alert, bool)>, MetaError> {
        let sql = "SELECT * FROM alerts WHERE status = 'closed' ORDER BY updated_ns DESC LIMIT $1";
        let rows = sqlx::query(sql)
            .bind(MAX_CLOSED)
            .fetch_all(&self.readers)
            .await?;
        let read = |row| {
            let row = super::alerts::alert(row)?;
            let attack = row.reason == Some(CloseReason::TruePositive);
            Ok((row.alert, attack))
        };
        rows.iter().map(read).collect()
    }

    pub(super) fn note_rules_changed(&self) {
        self.rules_changed.send_modify(|n| *n += 1);
    }
}

fn check_exception(new: &NewRuleException) -> Result<(), MetaError> {
    check_text("the owner", &new.owner, 100)?;
    check_text("the reason", &new.reason, MAX_REASON_CHARS)?;
    if new.rules.len() > MAX_NAMED {
        let why = format!("an exception names at most {MAX_NAMED} rules; an empty list is all");
        return Err(MetaError::Invalid(why));
    }
    if new.query.len() > MAX_QUERY_BYTES {
        let why = format!("the query is longer than {MAX_QUERY_BYTES} bytes");
        return Err(MetaError::Invalid(why));
    }
    // Which lists there are is known where it is used; without its list it hides nothing.
    let query = Query::parse_with(&new.query, &AnyLists)
        .map_err(|e| MetaError::Invalid(format!("the query: {} at {}", e.message, e.position)))?;
    if query.is_everything() {
        let why = "the query matches every event; disable the rule instead";
        return Err(MetaError::Invalid(why.into()));
    }
    Ok(())
}

fn list(rules: &[String]) -> String {
    serde_json::json!(rules).to_string()
}

fn setting(row: &SqliteRow) -> Result<RuleSetting, MetaError> {
    let severity: Option<i64> = row.try_get("severity")?;
    Ok(RuleSetting {
        rule_id: row.try_get("rule_id")?,
        title: row.try_get("title")?,
        state: row.try_get("state")?,
        severity: severity.map(severity_of),
        suppress_ns: row.try_get("suppress_ns")?,
        note: row.try_get("note")?,
        changed_by: row.try_get("changed_by")?,
        changed_ns: row.try_get("changed_ns")?,
    })
}

fn exception(row: &SqliteRow) -> Result<RuleExceptionRow, MetaError> {
    let rules: String = row.try_get("rules")?;
    Ok(RuleExceptionRow {
        id: row.try_get("id")?,
        rules: serde_json::from_str(&rules)
            .map_err(|e| MetaError::Corrupt(format!("rules of an exception: {e}")))?,
        query: row.try_get("query")?,
        owner: row.try_get("owner")?,
        reason: row.try_get("reason")?,
        expires_ns: row.try_get("expires_ns")?,
        created_by: row.try_get("created_by")?,
        created_ns: row.try_get("created_ns")?,
        updated_ns: row.try_get("updated_ns")?,
    })
}
