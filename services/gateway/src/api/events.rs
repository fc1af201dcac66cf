//! What happens, as server-sent events.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use contracts::names::shorten;
use contracts::{Code, Status};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use super::extract::{Asked, Query};
use super::{Failed, groups, layers};
use crate::core::list::KINDS;
use crate::error::{Failure, Outcome};
use crate::events::{Client, Filter, Start, channel};

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// `host_group`, `host`, `vm`, `job`; several with commas between.
    kind: Option<String>,
    /// Only of this group and those below, by id or name.
    group: Option<String>,
    /// Only of the object with this id.
    id: Option<String>,
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
struct EventsHeaders {
    /// The `id` of the last event that the client has: the stream goes on after it. Absent: from now on.
    #[param(rename = "Last-Event-ID")]
    last_event_id: Option<u64>,
}

/// What happens, from now on or after `Last-Event-ID`, each event once and in order.
///
/// The event's name is `<kind>.<verb>`, its `id` its place in the log, its data an Event. An event `reset` says that
/// the log cannot continue from where the client was: it must load everything again. A client that does not keep up is
/// cut off, and comes back with `Last-Event-ID`.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", operation_id = "stream_events",
    params(EventsQuery, EventsHeaders),
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream",
        body = contracts::rest::Event), Failed))]
pub(super) async fn events(
    asked: Asked,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Outcome<Response> {
    let filter = filter(&asked, query)?;
    let start = last_id(&headers)?.map_or(Start::Now, Start::After);
    let found = Client::find(&asked.hub, &*asked.app.bus, start).await?;
    let (out, frames) = channel(slot(&asked)?);
    let client = Client {
        hub: Arc::clone(&asked.hub),
        bus: Arc::clone(&asked.app.bus),
        views: Arc::clone(&asked.views),
        filter,
        out,
        stop: asked.app.stop.clone(),
    };
    tokio::spawn(client.run(found));
    Ok(frames.into_response())
}

fn filter(asked: &Asked, query: EventsQuery) -> Outcome<Filter> {
    let kinds: Vec<String> = query
        .kind
        .iter()
        .flat_map(|kinds| kinds.split(','))
        .map(|kind| kind.trim().to_owned())
        .collect();
    if let Some(unknown) = kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
        let message = format!("kind: {:?} is no kind of object.", shorten(unknown));
        return Err(Failure::invalid(
            "kind",
            message,
            &format!("Use some of: {}.", KINDS.join(", ")),
        ));
    }
    let group = query
        .group
        .map(|text| groups::find(asked, &text))
        .transpose()?;
    Ok(Filter {
        kinds,
        group_id: group.map(|group| group.id),
        id: query.id,
    })
}

/// The id of the last event that the client has.
pub(super) fn last_id(headers: &HeaderMap) -> Outcome<Option<u64>> {
    let Some(text) = layers::text(headers, "last-event-id").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        let message = format!("Last-Event-ID: {:?} is not a number.", shorten(text));
        Failure::invalid(
            "last-event-id",
            message,
            "Give the id of an event, or none.",
        )
    })
}

/// A place among the streams that there may be.
pub(super) fn slot(asked: &Asked) -> Outcome<OwnedSemaphorePermit> {
    Arc::clone(&asked.app.streams)
        .try_acquire_owned()
        .map_err(|_| {
            let message = format!(
                "There are {} streams open already.",
                asked.app.config.streams_max
            );
            let status = Status::new(Code::ResourceExhausted, message)
                .action("Close one, or raise gateway.streams_max, or start another gateway.");
            Failure::from(status).with_http(StatusCode::TOO_MANY_REQUESTS)
        })
}
