//! Virtual machines.

use axum::response::Response;
use contracts::inventory::Vm;
use contracts::jobs::VmTarget;
use contracts::jobs::job_params::Kind;
use contracts::names::shorten;
use contracts::records::Record;
use contracts::rest::{
    self, ChangeOptions, CloneVm, CreateVm, DeleteOptions, MakeTemplate, Page, StoreVm, UpdateVm,
};
use contracts::{Code, Status};
use kit::records::Stored;

use super::change::{ChangeHeaders, Changed, ReadHeaders, plain, submit};
use super::extract::{Asked, Body, PRINCIPAL, Path, Query};
use super::{Failed, groups, hosts, lists, placement, refreshers};
use crate::core::creating;
use crate::core::list::ListQuery;
use crate::core::requests::{self, Scope};
use crate::core::storing;
use crate::error::Outcome;

pub(super) fn find(asked: &Asked, text: &str) -> Outcome<Stored<Vm>> {
    asked.views.vms.by_id_or_name(text, |vm| &vm.name)
}

/// Ids of the group and host that a request named.
pub(super) fn scope(asked: &Asked, group: Option<&str>, host: Option<&str>) -> Outcome<Scope> {
    let group = group.map(|text| groups::find(asked, text)).transpose()?;
    let host = host.map(|text| hosts::find(asked, text)).transpose()?;
    Ok(Scope {
        group_id: group.map(|group| group.id).unwrap_or_default(),
        host_id: host.map(|host| host.id).unwrap_or_default(),
    })
}

/// Virtual machines, in order of their names.
///
/// Fields to filter and sort by: id, name, state, host, group, owner, datastore, accelerator, origin, job, vcpus,
/// memory_bytes, created, started, state_changed, tag.<key>.
#[utoipa::path(get, path = "/api/v1/vms", tag = "virtual machines", operation_id = "list_vms",
    params(ListQuery, ReadHeaders), responses((status = 200, description = "One page", body = Page<rest::Vm>), Failed))]
pub(super) async fn list(asked: Asked, Query(query): Query<ListQuery>) -> Outcome<Response> {
    lists::list(&asked, &asked.views.vms, &query).await
}

/// Makes a virtual machine.
#[utoipa::path(post, path = "/api/v1/vms", tag = "virtual machines", operation_id = "create_vm",
    params(ChangeOptions, ChangeHeaders), request_body = CreateVm, responses(Changed, Failed))]
pub(super) async fn create(
    asked: Asked,
    Query(options): Query<ChangeOptions>,
    Body(request): Body<CreateVm>,
) -> Outcome<Response> {
    let scope = scope(&asked, request.group.as_deref(), request.host.as_deref())?;
    let named = placement::named(&asked, &request.placing)?;
    let create = creating::vm_create(request, scope, named, PRINCIPAL)?;
    submit(&asked, Kind::VmCreate(create), options).await
}

/// Makes a virtual machine of another one that is stopped, beside it.
#[utoipa::path(post, path = "/api/v1/vms/{id_or_name}/actions/clone", tag = "virtual machines", operation_id = "clone_vm",
    params(("id_or_name" = String, Path), ChangeOptions, ChangeHeaders), request_body = CloneVm,
    responses(Changed, Failed))]
pub(super) async fn clone(
    asked: Asked,
    Path(text): Path<String>,
    Query(options): Query<ChangeOptions>,
    Body(request): Body<CloneVm>,
) -> Outcome<Response> {
    let clone = creating::vm_clone(find(&asked, &text)?.id, request, PRINCIPAL)?;
    submit(&asked, Kind::VmCreate(clone), options).await
}

/// Stores a virtual machine that is stopped in a share of the library.
///
/// Its disks and a definition come into a folder of the share. Then the machine is gone from its host, unless it is to be kept.
#[utoipa::path(post, path = "/api/v1/vms/{id_or_name}/actions/store", tag = "virtual machines", operation_id = "store_vm",
    params(("id_or_name" = String, Path), ChangeOptions, ChangeHeaders), request_body = StoreVm,
    responses(Changed, Failed))]
pub(super) async fn store(
    asked: Asked,
    Path(text): Path<String>,
    Query(options): Query<ChangeOptions>,
    Body(request): Body<StoreVm>,
) -> Outcome<Response> {
    let store = storing::vm_store(find(&asked, &text)?.id, request)?;
    submit(&asked, Kind::VmStore(store), options).await
}

/// Makes a template of a virtual machine that is stopped.
///
/// Its disks are stored as images of the library, and a hardware profile of the template's name says what it is made of.
#[utoipa::path(post, path = "/api/v1/vms/{id_or_name}/actions/make-template", tag = "virtual machines", operation_id = "make_template",
    params(("id_or_name" = String, Path), ChangeOptions, ChangeHeaders), request_body = MakeTemplate,
    responses(Changed, Failed))]
pub(super) async fn make_template(
    asked: Asked,
    Path(text): Path<String>,
    Query(options): Query<ChangeOptions>,
    Body(request): Body<MakeTemplate>,
) -> Outcome<Response> {
    let store = storing::vm_template(find(&asked, &text)?.id, request, PRINCIPAL)?;
    submit(&asked, Kind::VmStore(store), options).await
}

/// One virtual machine.
#[utoipa::path(get, path = "/api/v1/vms/{id_or_name}", tag = "virtual machines", operation_id = "get_vm",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 200, description = "The machine", body = rest::Vm), Failed))]
pub(super) async fn get(asked: Asked, Path(text): Path<String>) -> Outcome<Response> {
    let vm = find(&asked, &text)?;
    lists::one(&asked, &vm.value, vm.revision, |vms| {
        for shown in vms.iter_mut() {
            shown.refreshed = refreshers::of_vm(&asked, &vm.value);
        }
        Ok(())
    })
}

/// Changes owner, description or tags.
#[utoipa::path(patch, path = "/api/v1/vms/{id_or_name}", tag = "virtual machines", operation_id = "update_vm",
    params(("id_or_name" = String, Path), ChangeOptions, ChangeHeaders), request_body = UpdateVm,
    responses(Changed, Failed))]
pub(super) async fn update(
    asked: Asked,
    Path(text): Path<String>,
    Query(options): Query<ChangeOptions>,
    Body(request): Body<UpdateVm>,
) -> Outcome<Response> {
    let update = requests::vm_update(find(&asked, &text)?.id, request)?;
    submit(&asked, Kind::VmUpdate(update), options).await
}

/// Deletes a virtual machine with its disks.
#[utoipa::path(delete, path = "/api/v1/vms/{id_or_name}", tag = "virtual machines", operation_id = "delete_vm",
    params(("id_or_name" = String, Path), DeleteOptions, ChangeHeaders), responses(Changed, Failed))]
pub(super) async fn delete(
    asked: Asked,
    Path(text): Path<String>,
    Query(options): Query<DeleteOptions>,
) -> Outcome<Response> {
    let target = VmTarget {
        vm_id: find(&asked, &text)?.id,
        force: options.force,
    };
    submit(&asked, Kind::VmDelete(target), plain(options)).await
}

/// Starts, stops, pauses or saves a virtual machine.
///
/// Actions: `start`, `shutdown` (asks the guest), `turn-off` (pulls the plug), `reset`, `pause`, `resume`, `save`,
/// `refresh` (looks at the machine afresh).
#[utoipa::path(post, path = "/api/v1/vms/{id_or_name}/actions/{action}", tag = "virtual machines", operation_id = "act_on_vm",
    params(("id_or_name" = String, Path), ("action" = Action, Path), ChangeOptions, ChangeHeaders),
    responses(Changed, Failed))]
pub(super) async fn act(
    asked: Asked,
    Path((text, action)): Path<(String, String)>,
    Query(options): Query<ChangeOptions>,
) -> Outcome<Response> {
    if action == "refresh" {
        let refresh = refreshers::refresh(Vm::BUCKET, find(&asked, &text)?.id);
        return submit(&asked, refresh, options).await;
    }
    let make = action_kind(&action).ok_or_else(|| no_such_action(&action))?;
    let target = VmTarget {
        vm_id: find(&asked, &text)?.id,
        force: false,
    };
    submit(&asked, make(target), options).await
}

/// For the document.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "kebab-case")]
#[allow(dead_code)]
pub(super) enum Action {
    Start,
    Shutdown,
    TurnOff,
    Reset,
    Pause,
    Resume,
    Save,
    Refresh,
}

fn action_kind(action: &str) -> Option<fn(VmTarget) -> Kind> {
    Some(match action {
        "start" => Kind::VmStart,
        "shutdown" => Kind::VmShutdown,
        "turn-off" => Kind::VmTurnOff,
        "reset" => Kind::VmReset,
        "pause" => Kind::VmPause,
        "resume" => Kind::VmResume,
        "save" => Kind::VmSave,
        _ => return None,
    })
}

fn no_such_action(action: &str) -> Status {
    let message = format!("A virtual machine has no action {:?}.", shorten(action));
    Status::new(Code::NotFound, message)
        .action("Use start, shutdown, turn-off, reset, pause, resume, save or refresh.")
}
