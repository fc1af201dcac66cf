//! Hosts, and the tokens that they join with.

use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use contracts::inherit::{self, DEFAULT_RESERVES};
use contracts::inventory::{CreateJoinTokenRequest, Host, InventoryClient};
use contracts::jobs::job_params::Kind;
use contracts::jobs::{HostAdd, HostTarget};
use contracts::records::indexes;
use contracts::rest::{
    self, AddHost, ChangeOptions, CreateJoinToken, DeleteOptions, JoinToken, MoveHost, Page,
    SetHost,
};
use kit::records::Stored;

use super::change::{ChangeHeaders, Changed, ReadHeaders, plain, reflecting, submit};
use super::extract::{Asked, Body, MaybeBody, Path, Query};
use super::{Failed, groups, lists, refreshers};
use crate::core::list::ListQuery;
use crate::core::placing;
use crate::error::Outcome;

pub(super) fn find(asked: &Asked, text: &str) -> Outcome<Stored<Host>> {
    asked.views.hosts.by_id_or_name(text, |host| &host.name)
}

/// Counts the machines of some hosts.
fn count_vms(asked: &Asked, hosts: &mut [rest::Host]) -> Outcome<()> {
    for host in hosts {
        host.vm_count = asked.views.vms.mirror.count(indexes::HOST, &host.id)?;
    }
    Ok(())
}

/// Hosts, in order of their names.
///
/// Fields to filter and sort by: id, name, group, status, approval, accelerator, os, agent_version, job, cpus,
/// memory_bytes, created, status_changed.
#[utoipa::path(get, path = "/api/v1/hosts", tag = "hosts", operation_id = "list_hosts",
    params(ListQuery, ReadHeaders), responses((status = 200, description = "One page", body = Page<rest::Host>), Failed))]
pub(super) async fn list(asked: Asked, Query(query): Query<ListQuery>) -> Outcome<Response> {
    lists::list_with(&asked, &asked.views.hosts, &query, |hosts| {
        count_vms(&asked, hosts)
    })
    .await
}

/// One host.
#[utoipa::path(get, path = "/api/v1/hosts/{id_or_name}", tag = "hosts", operation_id = "get_host",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 200, description = "The host", body = rest::Host), Failed))]
pub(super) async fn get(asked: Asked, Path(text): Path<String>) -> Outcome<Response> {
    let host = find(&asked, &text)?;
    let groups = groups::tree(&asked)?;
    let reserves = inherit::of_host(&host.value, &groups, DEFAULT_RESERVES);
    lists::one(&asked, &host.value, host.revision, |hosts| {
        for shown in hosts.iter_mut() {
            shown.refreshed = refreshers::of_host(&asked, &host.value);
            shown.effective_reserves = Some(reserves.clone().into());
        }
        count_vms(&asked, hosts)
    })
}

/// Changes reserves, maintenance mode, tags, failure domains or limits of a host.
#[utoipa::path(patch, path = "/api/v1/hosts/{id_or_name}", tag = "hosts", operation_id = "set_host",
    params(("id_or_name" = String, Path), ChangeOptions, ChangeHeaders), request_body = SetHost,
    responses(Changed, Failed))]
pub(super) async fn set(
    asked: Asked,
    Path(text): Path<String>,
    Query(options): Query<ChangeOptions>,
    Body(request): Body<SetHost>,
) -> Outcome<Response> {
    let set = placing::host_set(find(&asked, &text)?.id, request)?;
    submit(&asked, Kind::HostSet(set), options).await
}

/// Lets a host that registered itself take part.
#[utoipa::path(post, path = "/api/v1/hosts/{id_or_name}/actions/add", tag = "hosts", operation_id = "add_host",
    params(("id_or_name" = String, Path), ChangeOptions, ChangeHeaders), request_body = Option<AddHost>,
    responses(Changed, Failed))]
pub(super) async fn add(
    asked: Asked,
    Path(text): Path<String>,
    Query(options): Query<ChangeOptions>,
    MaybeBody(request): MaybeBody<AddHost>,
) -> Outcome<Response> {
    let host_id = find(&asked, &text)?.id;
    let group_id = groups::id_or_root(&asked, request.group.as_deref())?;
    submit(
        &asked,
        Kind::HostAdd(HostAdd { host_id, group_id }),
        options,
    )
    .await
}

/// Forgets a host; its virtual machines go on running.
#[utoipa::path(post, path = "/api/v1/hosts/{id_or_name}/actions/remove", tag = "hosts", operation_id = "remove_host",
    params(("id_or_name" = String, Path), DeleteOptions, ChangeHeaders), responses(Changed, Failed))]
pub(super) async fn remove(
    asked: Asked,
    Path(text): Path<String>,
    Query(options): Query<DeleteOptions>,
) -> Outcome<Response> {
    let target = HostTarget {
        host_id: find(&asked, &text)?.id,
        force: options.force,
    };
    submit(&asked, Kind::HostRemove(target), plain(options)).await
}

/// Moves a host to another group.
#[utoipa::path(post, path = "/api/v1/hosts/{id_or_name}/actions/move", tag = "hosts", operation_id = "move_host",
    params(("id_or_name" = String, Path), ChangeOptions, ChangeHeaders), request_body = MoveHost,
    responses(Changed, Failed))]
pub(super) async fn relocate(
    asked: Asked,
    Path(text): Path<String>,
    Query(options): Query<ChangeOptions>,
    Body(request): Body<MoveHost>,
) -> Outcome<Response> {
    let moved = contracts::jobs::HostMove {
        host_id: find(&asked, &text)?.id,
        group_id: groups::find(&asked, &request.group)?.id,
    };
    submit(&asked, Kind::HostMove(moved), options).await
}

/// Makes a token that lets hosts join without a person's approval. The secret in it is shown this once.
#[utoipa::path(post, path = "/api/v1/join-tokens", tag = "hosts", operation_id = "create_join_token",
    params(ReadHeaders), request_body = Option<CreateJoinToken>,
    responses((status = 201, description = "The token", body = JoinToken), Failed))]
pub(super) async fn create_join_token(
    asked: Asked,
    MaybeBody(request): MaybeBody<CreateJoinToken>,
) -> Outcome<Response> {
    let request = CreateJoinTokenRequest {
        group_id: groups::id_or_root(&asked, request.group.as_deref())?,
        lifetime_secs: request.lifetime_secs.unwrap_or(0),
    };
    let secret = InventoryClient::new(asked.app.caller.clone())
        .create_join_token(&asked.context, &request)
        .await?;
    let token = JoinToken::from(secret);
    Ok(reflecting(&asked, (StatusCode::CREATED, Json(token))))
}
