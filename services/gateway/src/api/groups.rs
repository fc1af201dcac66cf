//! Host groups.

use axum::response::Response;
use contracts::inherit::{self, DEFAULT_RESERVES, Groups};
use contracts::inventory::HostGroup;
use contracts::jobs::GroupTarget;
use contracts::jobs::job_params::Kind;
use contracts::names::ROOT_GROUP_ID;
use contracts::rest::{self, ChangeOptions, CreateGroup, EffectiveGroup, Page, UpdateGroup};
use kit::records::Stored;

use super::change::{ChangeHeaders, Changed, ReadHeaders, submit};
use super::extract::{Asked, Body, Path, Query};
use super::{Failed, lists};
use crate::core::list::ListQuery;
use crate::core::requests;
use crate::error::Outcome;

pub(super) fn find(asked: &Asked, text: &str) -> Outcome<Stored<HostGroup>> {
    asked.views.groups.by_id_or_name(text, |group| &group.name)
}

/// Every group, as what is inherited is looked up in.
pub(super) fn tree(asked: &Asked) -> Outcome<Groups> {
    let groups = asked.views.groups.snapshot()?;
    let groups = groups
        .records()
        .map(|group| (group.id.clone(), HostGroup::clone(group)));
    Ok(groups.collect())
}

/// The id of a group that a request named; the root when it named none.
pub(super) fn id_or_root(asked: &Asked, named: Option<&str>) -> Outcome<String> {
    named.map_or_else(
        || Ok(ROOT_GROUP_ID.to_owned()),
        |text| find(asked, text).map(|group| group.id),
    )
}

/// Host groups, in order of their paths.
///
/// Fields to filter and sort by: id, name, group (itself and all above), parent, job, created.
#[utoipa::path(get, path = "/api/v1/host-groups", tag = "host groups", operation_id = "list_host_groups",
    params(ListQuery, ReadHeaders), responses((status = 200, description = "One page", body = Page<rest::HostGroup>), Failed))]
pub(super) async fn list(asked: Asked, Query(query): Query<ListQuery>) -> Outcome<Response> {
    lists::list(&asked, &asked.views.groups, &query).await
}

/// Makes a host group.
#[utoipa::path(post, path = "/api/v1/host-groups", tag = "host groups", operation_id = "create_host_group",
    params(ChangeOptions, ChangeHeaders), request_body = CreateGroup, responses(Changed, Failed))]
pub(super) async fn create(
    asked: Asked,
    Query(options): Query<ChangeOptions>,
    Body(request): Body<CreateGroup>,
) -> Outcome<Response> {
    let parent_id = id_or_root(&asked, request.parent.as_deref())?;
    let create = requests::group_create(request, parent_id)?;
    submit(&asked, Kind::GroupCreate(create), options).await
}

/// One host group, with what is in force for hosts in it.
#[utoipa::path(get, path = "/api/v1/host-groups/{id_or_name}", tag = "host groups", operation_id = "get_host_group",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 200, description = "The group", body = rest::HostGroup), Failed))]
pub(super) async fn get(asked: Asked, Path(text): Path<String>) -> Outcome<Response> {
    let group = find(&asked, &text)?;
    let groups = tree(&asked)?;
    let effective = EffectiveGroup::new(
        inherit::of_group(&group.id, &groups, DEFAULT_RESERVES),
        inherit::settings(&group.id, &groups),
    );
    lists::one(&asked, &group.value, group.revision, |shown| {
        for shown in shown {
            shown.effective = Some(effective.clone());
        }
        Ok(())
    })
}

/// Renames, describes or moves a host group, or changes what hosts below it inherit.
#[utoipa::path(patch, path = "/api/v1/host-groups/{id_or_name}", tag = "host groups", operation_id = "update_host_group",
    params(("id_or_name" = String, Path), ChangeOptions, ChangeHeaders), request_body = UpdateGroup,
    responses(Changed, Failed))]
pub(super) async fn update(
    asked: Asked,
    Path(text): Path<String>,
    Query(options): Query<ChangeOptions>,
    Body(request): Body<UpdateGroup>,
) -> Outcome<Response> {
    let group = find(&asked, &text)?;
    let parent = request.parent.as_deref().map(|named| find(&asked, named));
    let parent_id = parent.transpose()?.map(|parent| parent.id);
    let update = requests::group_update(group.id, request, parent_id)?;
    submit(&asked, Kind::GroupUpdate(update), options).await
}

/// Deletes a host group that holds no group and no host.
#[utoipa::path(delete, path = "/api/v1/host-groups/{id_or_name}", tag = "host groups", operation_id = "delete_host_group",
    params(("id_or_name" = String, Path), ChangeOptions, ChangeHeaders), responses(Changed, Failed))]
pub(super) async fn delete(
    asked: Asked,
    Path(text): Path<String>,
    Query(options): Query<ChangeOptions>,
) -> Outcome<Response> {
    let group_id = find(&asked, &text)?.id;
    submit(&asked, Kind::GroupDelete(GroupTarget { group_id }), options).await
}
