//! Refreshers: what is looked at again, how often, and looking now.

use axum::Json;
use axum::response::Response;
use contracts::inventory::{Host, Vm};
use contracts::jobs::RefresherSet;
use contracts::jobs::job_params::Kind;
use contracts::names::shorten;
use contracts::records::Record;
use contracts::refresher::{Interval, ListKindsRequest, RefresherClient};
use contracts::rest::{self, ChangeOptions, Refresher, Refreshers, SetRefresher};
use contracts::{ObjectRef, Status, jobs};

use super::change::{ChangeHeaders, Changed, ReadHeaders, reflecting, submit};
use super::extract::{Asked, Body, Path, Query};
use super::{Failed, hosts, vms};
use crate::error::Outcome;

async fn all(asked: &Asked) -> Outcome<Vec<Refresher>> {
    let client = RefresherClient::new(asked.app.caller.clone());
    let answer = client
        .list_kinds(&asked.context, &ListKindsRequest {})
        .await?;
    Ok(answer.kinds.into_iter().map(Into::into).collect())
}

/// Every kind of refresh, with how often it is due and how its targets are.
#[utoipa::path(get, path = "/api/v1/refreshers", tag = "refreshers", operation_id = "list_refreshers",
    params(ReadHeaders), responses((status = 200, description = "All of them", body = Refreshers), Failed))]
pub(super) async fn list(asked: Asked) -> Outcome<Response> {
    let items = all(&asked).await?;
    Ok(reflecting(&asked, Json(Refreshers { items })))
}

/// One kind of refresh.
#[utoipa::path(get, path = "/api/v1/refreshers/{name}", tag = "refreshers", operation_id = "get_refresher",
    params(("name" = String, Path), ReadHeaders),
    responses((status = 200, description = "The kind", body = Refresher), Failed))]
pub(super) async fn get(asked: Asked, Path(name): Path<String>) -> Outcome<Response> {
    let found = all(&asked).await?.into_iter().find(|r| r.name == name);
    let missing = || Status::not_found(ObjectRef::new("refresher", "", &shorten(&name)));
    let found = found.ok_or_else(missing)?;
    Ok(reflecting(&asked, Json(found)))
}

/// Sets how often a kind of refresh is due: for all, for a host group, or for one server.
#[utoipa::path(put, path = "/api/v1/refreshers/{name}", tag = "refreshers", operation_id = "set_refresher",
    params(("name" = String, Path), ChangeOptions, ChangeHeaders), request_body = SetRefresher,
    responses(Changed, Failed))]
pub(super) async fn set(
    asked: Asked,
    Path(name): Path<String>,
    Query(options): Query<ChangeOptions>,
    Body(request): Body<SetRefresher>,
) -> Outcome<Response> {
    let scope = vms::scope(&asked, request.group.as_deref(), None)?;
    let server_id = request.server.as_deref().map(|text| server(&asked, text));
    let interval = Interval {
        secs: request.interval_secs.unwrap_or(0),
        off: request.off,
    };
    let is_set = request.off || request.interval_secs.is_some();
    let set = RefresherSet {
        kind: name,
        group_id: scope.group_id,
        server_id: server_id.unwrap_or_default(),
        interval: is_set.then_some(interval),
    };
    submit(&asked, Kind::RefresherSet(set), options).await
}

/// The id of a host that is named so. Other servers than hosts go by their ids.
fn server(asked: &Asked, text: &str) -> String {
    hosts::find(asked, text).map_or_else(|_| text.to_owned(), |host| host.id)
}

/// Looks at a host and its machines afresh, now.
#[utoipa::path(post, path = "/api/v1/hosts/{id_or_name}/actions/refresh", tag = "hosts", operation_id = "refresh_host",
    params(("id_or_name" = String, Path), ChangeOptions, ChangeHeaders), responses(Changed, Failed))]
pub(super) async fn refresh_host(
    asked: Asked,
    Path(text): Path<String>,
    Query(options): Query<ChangeOptions>,
) -> Outcome<Response> {
    let host = hosts::find(&asked, &text)?;
    submit(&asked, refresh(Host::BUCKET, host.id), options).await
}

/// The job that has an object refreshed.
pub(super) fn refresh(object_kind: &str, object_id: String) -> Kind {
    Kind::Refresh(jobs::Refresh {
        object_kind: object_kind.to_owned(),
        object_id,
        kinds: Vec::new(),
    })
}

/// When a host was refreshed, as clients see it.
pub(super) fn of_host(asked: &Asked, host: &Host) -> Vec<rest::Refreshed> {
    let last = asked.views.refreshed.of(Host::BUCKET, &host.id, "");
    last.into_iter().map(Into::into).collect()
}

/// When a machine was refreshed, by itself or with its host.
pub(super) fn of_vm(asked: &Asked, vm: &Vm) -> Vec<rest::Refreshed> {
    let last = asked.views.refreshed.of(Vm::BUCKET, &vm.host_id, &vm.id);
    last.into_iter().map(Into::into).collect()
}
