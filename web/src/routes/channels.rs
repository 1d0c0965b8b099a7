//! `/api/v1/channels`: where alerts are sent, and what became of every message.

use axum::Json as JsonAnswer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use watchfire_store::meta::{
    AttemptRow, Channel, ChannelChange, Delivery, DeliveryPage, DeliveryState, NewChannel,
};

use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::extract::{self, Json, Params};
use crate::state::AppState;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 500;

/// All channels.
#[derive(Serialize, ToSchema)]
pub struct ChannelsAnswer {
    /// By name, without their secrets.
    #[schema(value_type = Vec<Object>)]
    channels: Vec<Channel>,
}

/// A channel to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelRequest {
    /// Unique, 1 to 100 characters.
    name: String,
    /// `webhook`.
    kind: String,
    /// http or https. Loopback and private targets only where the operator allows them.
    url: String,
    /// Which alerts: a query over the alert's fields, such as `severity:high`; all by default.
    query: Option<String>,
}

/// A channel with its signing secret, which is shown this once.
#[derive(Serialize, ToSchema)]
pub struct ChannelWithSecret {
    /// The channel.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    channel: Channel,
    /// `whsec_...`, for verifying signatures (Standard Webhooks 1.0).
    secret: String,
}

/// What to change. Fields that are left out stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelPatch {
    /// The name.
    name: Option<String>,
    /// The target.
    url: Option<String>,
    /// The filter; null removes it.
    #[serde(default, deserialize_with = "super::present")]
    #[schema(value_type = Option<String>)]
    query: Option<Option<String>>,
    /// Does it get alerts?
    enabled: Option<bool>,
}

/// Which deliveries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeliveriesParams {
    /// `pending`, `delivered`, `parked` or `folded`.
    state: Option<String>,
    /// Most deliveries, 1 to 500; 50 by default.
    limit: Option<usize>,
    /// `cursor` of the page before.
    cursor: Option<String>,
}

/// A delivery and its attempts.
#[derive(Serialize, ToSchema)]
pub struct DeliveryAnswer {
    /// The delivery.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    delivery: Delivery,
    /// Every attempt, oldest first.
    #[schema(value_type = Vec<Object>)]
    attempts: Vec<AttemptRow>,
}

/// Refuses targets that the operator does not allow. Asked off the runtime: it may resolve names.
async fn check_target(state: &AppState, url: &str) -> Result<(), ApiError> {
    let (hooks, url) = (state.hooks.clone(), url.to_owned());
    let checking = tokio::task::spawn_blocking(move || (hooks.check_target)(&url));
    let verdict = checking.await.map_err(ApiError::internal)?;
    verdict
        .map_err(|why| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "target_not_allowed", why))
}

/// Lists channels.
#[utoipa::path(get, path = "/api/v1/channels", tag = "channels", responses(
    (status = 200, description = "All channels", body = ChannelsAnswer),
))]
pub async fn list(State(state): State<AppState>) -> Result<JsonAnswer<ChannelsAnswer>, ApiError> {
    Ok(JsonAnswer(ChannelsAnswer {
        channels: state.meta().list_channels().await?,
    }))
}

/// Makes a channel. The secret is in this answer only.
#[utoipa::path(post, path = "/api/v1/channels", tag = "channels", request_body = ChannelRequest,
    responses(
    (status = 201, description = "The channel and its secret", body = ChannelWithSecret),
    (status = 409, description = "conflict: the name is taken", body = Problem),
    (status = 422, description = "invalid_field, target_not_allowed", body = Problem),
))]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Json(request): Json<ChannelRequest>,
) -> Result<(StatusCode, JsonAnswer<ChannelWithSecret>), ApiError> {
    check_target(&state, &request.url).await?;
    let ChannelRequest {
        name,
        kind,
        url,
        query,
    } = request;
    let new = NewChannel {
        name,
        kind,
        url,
        query,
    };
    let (channel, secret) = state.meta().create_channel(&new).await?;
    let detail = json!({ "name": channel.name, "url": channel.url, "query": channel.query });
    state
        .auth
        .audit(&caller, "channel.create", &channel.id, detail)
        .await?;
    Ok((
        StatusCode::CREATED,
        JsonAnswer(ChannelWithSecret { channel, secret }),
    ))
}

/// One channel.
#[utoipa::path(get, path = "/api/v1/channels/{id}", tag = "channels",
    params(("id" = String, Path, description = "The channel's id")), responses(
    (status = 200, description = "The channel", body = Object),
    (status = 404, description = "not_found", body = Problem),
))]
pub async fn get(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<JsonAnswer<Channel>, ApiError> {
    let channel = state.meta().get_channel(&id).await?;
    channel
        .map(JsonAnswer)
        .ok_or_else(|| ApiError::not_found("channel"))
}

/// Changes a channel.
#[utoipa::path(patch, path = "/api/v1/channels/{id}", tag = "channels",
    request_body = ChannelPatch, params(("id" = String, Path, description = "The channel's id")),
    responses(
    (status = 200, description = "The channel as it is now", body = Object),
    (status = 422, description = "invalid_field, target_not_allowed", body = Problem),
))]
pub async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    Json(patch): Json<ChannelPatch>,
) -> Result<JsonAnswer<Channel>, ApiError> {
    if let Some(url) = &patch.url {
        check_target(&state, url).await?;
    }
    let ChannelPatch {
        name,
        url,
        query,
        enabled,
    } = patch;
    let change = ChannelChange {
        name,
        url,
        query,
        enabled,
    };
    let channel = state.meta().update_channel(&id, &change).await?;
    let detail = json!({ "name": channel.name, "url": channel.url, "query": channel.query,
        "enabled": channel.enabled });
    state
        .auth
        .audit(&caller, "channel.update", &id, detail)
        .await?;
    Ok(JsonAnswer(channel))
}

/// Deletes a channel with its deliveries.
#[utoipa::path(delete, path = "/api/v1/channels/{id}", tag = "channels",
    params(("id" = String, Path, description = "The channel's id")), responses(
    (status = 204, description = "Gone"),
    (status = 404, description = "not_found", body = Problem),
))]
pub async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.meta().delete_channel(&id).await?;
    state
        .auth
        .audit(&caller, "channel.delete", &id, json!({}))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives the channel a new secret; the old one keeps signing beside it for 24 hours.
#[utoipa::path(post, path = "/api/v1/channels/{id}/secret", tag = "channels",
    params(("id" = String, Path, description = "The channel's id")), responses(
    (status = 201, description = "The channel and its new secret", body = ChannelWithSecret),
))]
pub async fn rotate(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, JsonAnswer<ChannelWithSecret>), ApiError> {
    let secret = state.meta().rotate_channel_secret(&id).await?;
    let channel = state.meta().get_channel(&id).await?;
    let channel = channel.ok_or_else(|| ApiError::not_found("channel"))?;
    state
        .auth
        .audit(&caller, "channel.rotate", &id, json!({}))
        .await?;
    Ok((
        StatusCode::CREATED,
        JsonAnswer(ChannelWithSecret { channel, secret }),
    ))
}

/// Queues a test message.
#[utoipa::path(post, path = "/api/v1/channels/{id}/test", tag = "channels",
    params(("id" = String, Path, description = "The channel's id")), responses(
    (status = 202, description = "The delivery that was queued", body = Object),
    (status = 409, description = "conflict: the channel is switched off", body = Problem),
))]
pub async fn test(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, JsonAnswer<Delivery>), ApiError> {
    let delivery = state.meta().enqueue_test(&id).await?;
    state
        .auth
        .audit(
            &caller,
            "channel.test",
            &id,
            json!({ "delivery": delivery.id }),
        )
        .await?;
    Ok((StatusCode::ACCEPTED, JsonAnswer(delivery)))
}

/// The delivery log of a channel, newest first.
#[utoipa::path(get, path = "/api/v1/channels/{id}/deliveries", tag = "channels",
    params(("id" = String, Path, description = "The channel's id"), DeliveriesParams), responses(
    (status = 200, description = "`deliveries` and `cursor`", body = Object),
))]
pub async fn deliveries(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Params(params): Params<DeliveriesParams>,
) -> Result<JsonAnswer<DeliveryPage>, ApiError> {
    let limit = extract::count("limit", params.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let word = params.state.as_deref().filter(|s| !s.is_empty());
    let unknown = || ApiError::parameter("unknown state");
    let wanted = word
        .map(|s| DeliveryState::parse(s).ok_or_else(unknown))
        .transpose()?;
    let meta = state.meta();
    meta.get_channel(&id)
        .await?
        .ok_or_else(|| ApiError::not_found("channel"))?;
    let page = meta
        .list_deliveries(Some(&id), wanted, limit, params.cursor.as_deref())
        .await?;
    Ok(JsonAnswer(page))
}

/// One delivery with its attempts.
#[utoipa::path(get, path = "/api/v1/channels/{id}/deliveries/{delivery}", tag = "channels",
    params(("id" = String, Path, description = "The channel's id"),
        ("delivery" = String, Path, description = "The delivery's id")), responses(
    (status = 200, description = "The delivery", body = DeliveryAnswer),
    (status = 404, description = "not_found", body = Problem),
))]
pub async fn delivery(
    State(state): State<AppState>,
    Path((channel, id)): Path<(String, String)>,
) -> Result<JsonAnswer<DeliveryAnswer>, ApiError> {
    let delivery = of_channel(&state, &channel, &id).await?;
    let attempts = state.meta().delivery_attempts(&id).await?;
    Ok(JsonAnswer(DeliveryAnswer { delivery, attempts }))
}

/// Sends a delivery again.
#[utoipa::path(post, path = "/api/v1/channels/{id}/deliveries/{delivery}/replay",
    tag = "channels", params(("id" = String, Path, description = "The channel's id"),
        ("delivery" = String, Path, description = "The delivery's id")), responses(
    (status = 202, description = "The delivery, pending again", body = Object),
    (status = 404, description = "not_found", body = Problem),
))]
pub async fn replay(
    State(state): State<AppState>,
    caller: Caller,
    Path((channel, id)): Path<(String, String)>,
) -> Result<(StatusCode, JsonAnswer<Delivery>), ApiError> {
    of_channel(&state, &channel, &id).await?;
    let delivery = state.meta().replay_delivery(&id).await?;
    state
        .auth
        .audit(
            &caller,
            "delivery.replay",
            &id,
            json!({ "channel": channel }),
        )
        .await?;
    Ok((StatusCode::ACCEPTED, JsonAnswer(delivery)))
}

async fn of_channel(state: &AppState, channel: &str, id: &str) -> Result<Delivery, ApiError> {
    let found = state
        .meta()
        .get_delivery(id)
        .await?
        .filter(|d| d.channel_id == channel);
    found.ok_or_else(|| ApiError::not_found("delivery"))
}
