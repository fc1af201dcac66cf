//! Webhooks. The gateway keeps no view of them: their records hold secrets.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use contracts::call::Context;
use contracts::common::Empty;
use contracts::names::shorten;
use contracts::rest::{
    CreateWebhook, DeadLetterList, NewWebhook, Redelivery, UpdateWebhook, Webhook, WebhookList,
    WebhookTest,
};
use contracts::webhooks::{CreateRequest, EnableRequest, Listed, WebhookRef, WebhooksClient};
use contracts::{ObjectRef, Status};

use super::change::ReadHeaders;
use super::extract::{Asked, Body, Path};
use super::{Failed, groups};
use crate::error::Outcome;

/// For what may take longer than a service is given to answer before it is asked again: it must not be done twice at once.
fn once(asked: &Asked) -> Context {
    let mut context = asked.context.clone();
    context.idempotency_key.clear();
    context
}

fn client(asked: &Asked) -> WebhooksClient {
    WebhooksClient::new(asked.app.caller.clone())
}

async fn all(asked: &Asked) -> Outcome<Vec<Listed>> {
    Ok(client(asked)
        .list(&asked.context, &Empty {})
        .await?
        .webhooks)
}

/// The one with this id, or exactly this name.
async fn find(asked: &Asked, text: &str) -> Outcome<Webhook> {
    let mut webhooks = all(asked).await?.into_iter().map(Webhook::from);
    let found = webhooks.find(|webhook| webhook.id == text || webhook.name == text);
    found.ok_or_else(|| Status::not_found(ObjectRef::new("webhook", "", &shorten(text))).into())
}

async fn reference(asked: &Asked, text: &str) -> Outcome<WebhookRef> {
    let id = find(asked, text).await?.id;
    Ok(WebhookRef { id })
}

/// Webhooks, in order of their names.
#[utoipa::path(get, path = "/api/v1/webhooks", tag = "webhooks", operation_id = "list_webhooks",
    params(ReadHeaders), responses((status = 200, description = "All of them", body = WebhookList), Failed))]
pub(super) async fn list(asked: Asked) -> Outcome<Response> {
    let items = all(&asked).await?.into_iter().map(Into::into).collect();
    Ok(Json(WebhookList { items }).into_response())
}

/// Begins to deliver events to an address. The secret in the answer is shown this once.
///
/// Each event that is wanted is sent as a POST with a JSON body and the headers `webhook-id`, `webhook-timestamp` and
/// `webhook-signature`, in the order of the events, at least once.
#[utoipa::path(post, path = "/api/v1/webhooks", tag = "webhooks", operation_id = "create_webhook",
    params(ReadHeaders), request_body = CreateWebhook,
    responses((status = 201, description = "The webhook and its secret", body = NewWebhook), Failed))]
pub(super) async fn create(asked: Asked, Body(request): Body<CreateWebhook>) -> Outcome<Response> {
    let group = request.group.as_deref();
    let group = group.map(|text| groups::find(&asked, text)).transpose()?;
    let request = CreateRequest {
        name: request.name,
        url: request.url,
        kinds: request.kinds,
        verbs: request.verbs,
        group_id: group.map(|group| group.id).unwrap_or_default(),
    };
    let created = client(&asked).create(&once(&asked), &request).await?;
    Ok((StatusCode::CREATED, Json(NewWebhook::from(created))).into_response())
}

/// One webhook, and how far its deliveries have got.
#[utoipa::path(get, path = "/api/v1/webhooks/{id_or_name}", tag = "webhooks", operation_id = "get_webhook",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 200, description = "The webhook", body = Webhook), Failed))]
pub(super) async fn get(asked: Asked, Path(text): Path<String>) -> Outcome<Response> {
    Ok(Json(find(&asked, &text).await?).into_response())
}

/// Stops deliveries for a while, or goes on with them where they were stopped.
#[utoipa::path(patch, path = "/api/v1/webhooks/{id_or_name}", tag = "webhooks", operation_id = "update_webhook",
    params(("id_or_name" = String, Path), ReadHeaders), request_body = UpdateWebhook,
    responses((status = 200, description = "The webhook", body = Webhook), Failed))]
pub(super) async fn update(
    asked: Asked,
    Path(text): Path<String>,
    Body(request): Body<UpdateWebhook>,
) -> Outcome<Response> {
    let request = EnableRequest {
        id: find(&asked, &text).await?.id,
        enabled: request.enabled,
    };
    client(&asked).enable(&asked.context, &request).await?;
    Ok(Json(find(&asked, &text).await?).into_response())
}

/// Stops deliveries for good; what is undelivered, dead letters included, is forgotten.
#[utoipa::path(delete, path = "/api/v1/webhooks/{id_or_name}", tag = "webhooks", operation_id = "remove_webhook",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 204, description = "It is gone"), Failed))]
pub(super) async fn remove(asked: Asked, Path(text): Path<String>) -> Outcome<Response> {
    let webhook = reference(&asked, &text).await?;
    client(&asked).remove(&asked.context, &webhook).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Sends an event of type `webhook.test` now, once, and says what came of it.
#[utoipa::path(post, path = "/api/v1/webhooks/{id_or_name}/actions/test", tag = "webhooks", operation_id = "test_webhook",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 200, description = "What came of it", body = WebhookTest), Failed))]
pub(super) async fn test(asked: Asked, Path(text): Path<String>) -> Outcome<Response> {
    let webhook = reference(&asked, &text).await?;
    let answer = client(&asked).test(&once(&asked), &webhook).await?;
    Ok(Json(WebhookTest::from(answer)).into_response())
}

/// Events that the endpoint did not take, oldest first; at most 1,000 are kept.
#[utoipa::path(get, path = "/api/v1/webhooks/{id_or_name}/dead-letters", tag = "webhooks", operation_id = "list_dead_letters",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 200, description = "All of them", body = DeadLetterList), Failed))]
pub(super) async fn dead_letters(asked: Asked, Path(text): Path<String>) -> Outcome<Response> {
    let webhook = reference(&asked, &text).await?;
    let answer = client(&asked)
        .dead_letters(&asked.context, &webhook)
        .await?;
    Ok(Json(DeadLetterList::from(answer)).into_response())
}

/// Sends dead letters again now, in order, until one is not taken; those that are taken are forgotten.
#[utoipa::path(post, path = "/api/v1/webhooks/{id_or_name}/actions/redeliver", tag = "webhooks", operation_id = "redeliver",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 200, description = "What came of it", body = Redelivery), Failed))]
pub(super) async fn redeliver(asked: Asked, Path(text): Path<String>) -> Outcome<Response> {
    let webhook = reference(&asked, &text).await?;
    let answer = client(&asked).redeliver(&once(&asked), &webhook).await?;
    Ok(Json(Redelivery::from(answer)).into_response())
}
