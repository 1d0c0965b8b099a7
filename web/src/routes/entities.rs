//! `GET /api/v1/entities/{kind}/{value}`: what is known of one user, address, service and so on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use watchfire_detect::RiskPoint;
use watchfire_event::time::to_rfc3339;
use watchfire_event::{Query, TimeRange};
use watchfire_store::meta::{AlertFilter, AlertPage, CloseReason};
use watchfire_store::{Order, SearchRequest};

use super::facets::FieldFacet;
use super::histogram::HistogramAnswer;
use crate::error::{ApiError, Problem};
use crate::extract::{self, Params};
use crate::state::AppState;

/// Kinds of entities with the fields whose values name one.
const KINDS: &[(&str, &[&str])] = &[
    ("user", &["user.id", "user.name", "user.email"]),
    ("ip", &["source.ip", "client.ip"]),
    ("asn", &["source.as.number"]),
    ("token", &["token.hash"]),
    ("service", &["service.name", "source.service.name"]),
    ("route", &["url.path", "http.route"]),
    ("client", &["user_agent.original"]),
    ("host", &["host.name"]),
    ("tenant", &["organization.id", "tenant.id"]),
];

/// What is counted beside the events themselves.
const COMPANIONS: [&str; 8] = [
    "service.name",
    "event.action",
    "event.outcome",
    "source.ip",
    "user.id",
    "user.name",
    "url.path",
    "http.response.status_code",
];

const BUCKETS: usize = 96;
const TOP: usize = 10;
const ALERTS: usize = 50;
/// Time whose alerts make up a risk, and how many of them.
const RISK_NS: i64 = 7 * 24 * 3_600 * 1_000_000_000;
const MOST_RISKY: usize = 1_000;
/// When to ask detection again.
const RETRY_S: u64 = 5;

/// Which time to look at.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EntityParams {
    /// Start of event time: RFC 3339, epoch milliseconds or `now-15m`; everything by default.
    from: Option<String>,
    /// End of event time, exclusive.
    to: Option<String>,
}

/// What is known of an entity.
#[derive(Serialize, ToSchema)]
pub struct EntityAnswer {
    /// Its kind.
    kind: String,
    /// Its name.
    value: String,
    /// The query that finds its events.
    query: String,
    /// Events in the range.
    events: u64,
    /// False when `events` is a lower bound.
    events_is_exact: bool,
    /// Time of its first event in the range, RFC 3339.
    first_seen: Option<String>,
    /// Time of its last event in the range.
    last_seen: Option<String>,
    /// Its events over time.
    timeline: HistogramAnswer,
    /// What it is seen with.
    facets: Vec<FieldFacet>,
    /// What its alerts of the last week come to, whatever the range: it halves in a day, and one
    /// sure alert is about 8. Alerts closed as false or benign count for nothing.
    risk: f64,
    /// Its newest alerts, with the total.
    #[schema(value_type = Object)]
    alerts: AlertPage,
}

/// Gathers what is known of an entity.
#[utoipa::path(get, path = "/api/v1/entities/{kind}/{value}", tag = "alerts",
    params(("kind" = String, Path, description = "user, ip, asn, token, service, route, client, \
        host, tenant or edge (caller>callee, or caller>domain outside)"),
        ("value" = String, Path, description = "The entity's name"), EntityParams), responses(
    (status = 200, description = "The entity; one that was never seen has no events",
        body = EntityAnswer),
    (status = 404, description = "not_found: there is no such kind", body = Problem),
))]
pub async fn entity(
    State(state): State<AppState>,
    Path((kind, value)): Path<(String, String)>,
    Params(params): Params<EntityParams>,
) -> Result<Json<EntityAnswer>, ApiError> {
    let range = extract::range(params.from.as_deref(), params.to.as_deref())?;
    let text = query_text(&kind, &value).ok_or_else(|| ApiError::not_found("kind of entity"))?;
    let query = extract::query(Some(&text))?;
    let filter = AlertFilter {
        entity: Some(format!("{kind}:{value}")),
        range: Some(range),
        limit: ALERTS,
        ..AlertFilter::default()
    };
    let alerts = state.meta().list_alerts(&filter).await?;
    let risk = risk_of(&state, &filter).await?;
    let started = Instant::now();
    let (last_seen, events, events_is_exact) =
        edge_of(&state, &query, range, Order::NewestFirst).await?;
    let (first_seen, ..) = edge_of(&state, &query, range, Order::OldestFirst).await?;
    let timeline = state
        .store
        .histogram(query.clone(), range, BUCKETS, None)
        .await?;
    let companions = COMPANIONS.map(str::to_owned).to_vec();
    let facets = state.store.facets(query, range, companions, TOP).await?;
    Ok(Json(EntityAnswer {
        kind,
        value,
        query: text,
        events,
        events_is_exact,
        first_seen,
        last_seen,
        timeline: HistogramAnswer::new(timeline, started),
        facets: facets.into_iter().map(FieldFacet::from).collect(),
        risk,
        alerts,
    }))
}

/// What detectors do not judge yet of an entity.
#[derive(Serialize, ToSchema)]
pub struct LearningAnswer {
    /// Detectors that know it and have seen too little of it, in the order of the rules.
    detectors: Vec<LearningDetector>,
}

/// A detector that has seen too little of an entity to judge it.
#[derive(Serialize, ToSchema)]
pub struct LearningDetector {
    /// Its id.
    id: String,
    /// Its title.
    title: String,
    /// What it has seen of the entity.
    learned: u64,
    /// What it needs to judge it.
    needed: u64,
    /// What is counted, such as `working days`.
    unit: &'static str,
}

/// Tells which detectors do not judge an entity yet.
#[utoipa::path(get, path = "/api/v1/entities/{kind}/{value}/learning", tag = "alerts",
    params(("kind" = String, Path, description = "As of an entity"),
        ("value" = String, Path, description = "The entity's name")), responses(
    (status = 200, description = "The detectors; none for an entity that all of them judge, or \
        that none of them has seen", body = LearningAnswer),
    (status = 404, description = "not_found: there is no such kind", body = Problem),
    (status = 503, description = "detection_unavailable: detection is off, or too busy to answer",
        body = Problem),
))]
pub async fn learning(
    State(state): State<AppState>,
    Path((kind, value)): Path<(String, String)>,
) -> Result<Json<LearningAnswer>, ApiError> {
    query_text(&kind, &value).ok_or_else(|| ApiError::not_found("kind of entity"))?;
    let hooks = Arc::clone(&state.hooks);
    let asking = tokio::task::spawn_blocking(move || (hooks.learning)(&kind, &value));
    let learning = asking.await.map_err(ApiError::internal)?;
    let learning = learning.ok_or_else(|| {
        let detail = "detection is off, or too busy to answer; try again";
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "detection_unavailable",
            detail,
        )
        .retry_after(RETRY_S)
    })?;
    let detectors = learning.into_iter().map(|one| LearningDetector {
        id: one.detector,
        title: one.title,
        learned: one.learned,
        needed: one.needed,
        unit: one.unit,
    });
    Ok(Json(LearningAnswer {
        detectors: detectors.collect(),
    }))
}

/// What the alerts of the last week about an entity come to.
async fn risk_of(state: &AppState, filter: &AlertFilter) -> Result<f64, ApiError> {
    let now_ns = crate::now_ns();
    let filter = AlertFilter {
        range: Some(TimeRange {
            from_ns: now_ns.saturating_sub(RISK_NS),
            to_ns: i64::MAX,
        }),
        limit: MOST_RISKY,
        ..filter.clone()
    };
    let page = state.meta().list_alerts(&filter).await?;
    let mut points: BTreeMap<String, RiskPoint> = BTreeMap::new();
    for row in page.alerts {
        if matches!(
            row.reason,
            Some(CloseReason::FalsePositive | CloseReason::Benign)
        ) {
            continue;
        }
        let alert = row.alert;
        let time_ns = (alert.t1 * 1e9) as i64;
        let point = RiskPoint::new(&alert.detector, alert.kind, time_ns, alert.score);
        let known = points.entry(alert.detector).or_insert(point);
        known.score = known.score.max(point.score);
        known.time_ns = known.time_ns.max(point.time_ns);
    }
    let points: Vec<RiskPoint> = points.into_values().collect();
    Ok((watchfire_detect::risk(&points, now_ns) * 10.0).round() / 10.0)
}

/// The time of the first or last event, and how many there are.
async fn edge_of(
    state: &AppState,
    query: &Query,
    range: TimeRange,
    order: Order,
) -> Result<(Option<String>, u64, bool), ApiError> {
    let query = query.clone();
    let request = SearchRequest {
        query,
        range,
        limit: 1,
        cursor: None,
        order,
    };
    let page = state.store.search(request).await?;
    let time = page.hits.first().map(|hit| to_rfc3339(hit.time_ns));
    Ok((time, page.total, page.total_is_exact))
}

fn query_text(kind: &str, value: &str) -> Option<String> {
    if kind == "edge" {
        let (caller, callee) = value.split_once('>')?;
        let caller = Query::field_equals("source.service.name", caller);
        let service = Query::field_equals("service.name", callee);
        // Of a call that leaves the company the callee is a domain.
        let domain = Query::field_equals("destination.domain", callee);
        return Some(format!("{caller} AND ({service} OR {domain})"));
    }
    let (_, fields) = KINDS.iter().find(|(name, _)| *name == kind)?;
    let clauses = fields.iter().map(|field| Query::field_equals(field, value));
    Some(clauses.collect::<Vec<_>>().join(" OR "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_value_makes_a_query_that_reads_back() {
        for value in [
            "u1",
            "a b",
            "\"quoted\"",
            "x\\y",
            ") OR (a:b",
            "2001:db8::1",
            "*",
        ] {
            for (kind, _) in KINDS {
                Query::parse(&query_text(kind, value).unwrap()).unwrap();
            }
        }
        assert!(
            query_text("edge", "a>b")
                .unwrap()
                .contains("source.service.name")
        );
        assert_eq!(query_text("edge", "no arrow"), None);
        assert_eq!(query_text("planet", "x"), None);
    }
}
