//! The library. The gateway keeps no view of it: a share may have more files than the fleet has machines.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use contracts::common::Empty;
use contracts::jobs::ItemConvert;
use contracts::jobs::job_params::Kind;
use contracts::library::{
    AddShareRequest, ItemRef, LibraryClient, ListItemsRequest, ListedShare, RefreshShareRequest,
    ServerRef, ShareRef, UpdateServerRequest,
};
use contracts::rest::{
    AddLibraryServer, AddLibraryShare, ChangeOptions, ConvertItem, DeployVm, LibraryFound,
    LibraryItem, LibraryItemList, LibraryItemQuery, LibraryLookQuery, LibraryServerList,
    LibraryShare, LibraryShareList, UpdateLibraryItem, UpdateLibraryServer,
};

use super::change::{ChangeHeaders, Changed, ReadHeaders, submit};
use super::extract::{Asked, Body, Path, Query, Reflecting};
use super::{Failed, vms};
use crate::core::storing;
use crate::error::Outcome;

fn client(asked: &Asked) -> LibraryClient {
    LibraryClient::new(asked.app.caller.clone())
}

/// With the revisions that the answer reflects.
pub(super) fn answer(asked: &Asked, response: impl IntoResponse) -> Response {
    Reflecting(asked.context.seen(), response).into_response()
}

/// Library servers, those too that only have made themselves known.
#[utoipa::path(get, path = "/api/v1/library/servers", tag = "library", operation_id = "list_library_servers",
    params(ReadHeaders), responses((status = 200, description = "All of them", body = LibraryServerList), Failed))]
pub(super) async fn list_servers(asked: Asked) -> Outcome<Response> {
    let listed = client(&asked)
        .list_servers(&asked.context, &Empty {})
        .await?;
    let items = listed.servers.into_iter().map(Into::into).collect();
    Ok(answer(&asked, Json(LibraryServerList { items })))
}

/// Takes a server that has made itself known into the library.
#[utoipa::path(post, path = "/api/v1/library/servers", tag = "library", operation_id = "add_library_server",
    params(ReadHeaders), request_body = AddLibraryServer,
    responses((status = 204, description = "It is in the library"), Failed))]
pub(super) async fn add_server(
    asked: Asked,
    Body(request): Body<AddLibraryServer>,
) -> Outcome<Response> {
    let request = ServerRef {
        server: request.server,
    };
    client(&asked).add_server(&asked.context, &request).await?;
    Ok(answer(&asked, StatusCode::NO_CONTENT))
}

/// Changes how files travel to and from a library server.
#[utoipa::path(patch, path = "/api/v1/library/servers/{id_or_name}", tag = "library", operation_id = "update_library_server",
    params(("id_or_name" = String, Path), ReadHeaders), request_body = UpdateLibraryServer,
    responses((status = 204, description = "It is changed"), Failed))]
pub(super) async fn update_server(
    asked: Asked,
    Path(server): Path<String>,
    Body(request): Body<UpdateLibraryServer>,
) -> Outcome<Response> {
    let encryption = request.encryption;
    let request = UpdateServerRequest {
        server,
        encryption: encryption.map(|said| contracts::data::Encryption::from(said).into()),
    };
    client(&asked)
        .update_server(&asked.context, &request)
        .await?;
    Ok(answer(&asked, StatusCode::NO_CONTENT))
}

/// Forgets a library server that has no share; its files stay as they are.
#[utoipa::path(delete, path = "/api/v1/library/servers/{id_or_name}", tag = "library", operation_id = "remove_library_server",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 204, description = "It is forgotten"), Failed))]
pub(super) async fn remove_server(asked: Asked, Path(server): Path<String>) -> Outcome<Response> {
    let request = ServerRef { server };
    client(&asked)
        .remove_server(&asked.context, &request)
        .await?;
    Ok(answer(&asked, StatusCode::NO_CONTENT))
}

/// Shares, in order of their names.
#[utoipa::path(get, path = "/api/v1/library/shares", tag = "library", operation_id = "list_library_shares",
    params(ReadHeaders), responses((status = 200, description = "All of them", body = LibraryShareList), Failed))]
pub(super) async fn list_shares(asked: Asked) -> Outcome<Response> {
    let listed = client(&asked)
        .list_shares(&asked.context, &Empty {})
        .await?;
    let items = listed.shares.into_iter().map(Into::into).collect();
    Ok(answer(&asked, Json(LibraryShareList { items })))
}

/// Makes a folder of a library server a share.
///
/// The server looks at the folder first, and then at what is in it.
#[utoipa::path(post, path = "/api/v1/library/shares", tag = "library", operation_id = "add_library_share",
    params(ReadHeaders), request_body = AddLibraryShare,
    responses((status = 201, description = "The share", body = LibraryShare), Failed))]
pub(super) async fn add_share(
    asked: Asked,
    Body(request): Body<AddLibraryShare>,
) -> Outcome<Response> {
    let request = AddShareRequest {
        server: request.server,
        path: request.path,
        name: request.name.unwrap_or_default(),
    };
    let share = client(&asked).add_share(&asked.context, &request).await?;
    let share = LibraryShare::from(ListedShare {
        server_name: request.server,
        share: Some(share),
        ..ListedShare::default()
    });
    Ok(answer(&asked, (StatusCode::CREATED, Json(share))))
}

/// Forgets a share and its items; the files stay as they are.
#[utoipa::path(delete, path = "/api/v1/library/shares/{id_or_name}", tag = "library", operation_id = "remove_library_share",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 204, description = "It is forgotten"), Failed))]
pub(super) async fn remove_share(asked: Asked, Path(share): Path<String>) -> Outcome<Response> {
    let request = ShareRef { share };
    client(&asked)
        .remove_share(&asked.context, &request)
        .await?;
    Ok(answer(&asked, StatusCode::NO_CONTENT))
}

/// Has a share looked at afresh now, and answers when it is done.
///
/// A look that takes longer than some seconds goes on by itself (202): ask again with its name to hear how far it is and
/// what it has found. What was found is also among the jobs.
#[utoipa::path(post, path = "/api/v1/library/shares/{id_or_name}/actions/refresh", tag = "library", operation_id = "refresh_library_share",
    params(("id_or_name" = String, Path), LibraryLookQuery, ReadHeaders),
    responses(
        (status = 200, description = "What was found", body = LibraryFound),
        (status = 202, description = "How far the look is", body = LibraryFound),
        Failed))]
pub(super) async fn refresh_share(
    asked: Asked,
    Path(share): Path<String>,
    Query(query): Query<LibraryLookQuery>,
) -> Outcome<Response> {
    let request = RefreshShareRequest {
        share,
        look: query.look.unwrap_or_default(),
    };
    let found = client(&asked)
        .refresh_share(&asked.context, &request)
        .await?;
    let status = match found.in_work {
        true => StatusCode::ACCEPTED,
        false => StatusCode::OK,
    };
    Ok(answer(&asked, (status, Json(LibraryFound::from(found)))))
}

/// Items, in the order of their ids, in pages.
#[utoipa::path(get, path = "/api/v1/library/items", tag = "library", operation_id = "list_library_items",
    params(LibraryItemQuery, ReadHeaders),
    responses((status = 200, description = "A page", body = LibraryItemList), Failed))]
pub(super) async fn list_items(
    asked: Asked,
    Query(query): Query<LibraryItemQuery>,
) -> Outcome<Response> {
    let mut request = ListItemsRequest {
        share: query.share.unwrap_or_default(),
        family: query.family.unwrap_or_default(),
        after: query.after.unwrap_or_default(),
        limit: query.limit.unwrap_or_default(),
        ..ListItemsRequest::default()
    };
    if let Some(kind) = query.kind {
        request.set_kind(kind.into());
    }
    if let Some(status) = query.status {
        request.set_status(status.into());
    }
    let page = client(&asked).list_items(&asked.context, &request).await?;
    let list = LibraryItemList {
        items: page.items.into_iter().map(Into::into).collect(),
        next: (!page.next.is_empty()).then_some(page.next),
    };
    Ok(answer(&asked, Json(list)))
}

/// One item, by its id or as `<share>/<path>` with the slashes encoded.
#[utoipa::path(get, path = "/api/v1/library/items/{item}", tag = "library", operation_id = "get_library_item",
    params(("item" = String, Path), ReadHeaders),
    responses((status = 200, description = "The item", body = LibraryItem), Failed))]
pub(super) async fn get_item(asked: Asked, Path(item): Path<String>) -> Outcome<Response> {
    let request = ItemRef { item };
    let item = client(&asked).get_item(&asked.context, &request).await?;
    Ok(answer(&asked, Json(LibraryItem::from(item))))
}

/// Changes what people say of an item.
#[utoipa::path(patch, path = "/api/v1/library/items/{item}", tag = "library", operation_id = "update_library_item",
    params(("item" = String, Path), ReadHeaders), request_body = UpdateLibraryItem,
    responses((status = 200, description = "The item", body = LibraryItem), Failed))]
pub(super) async fn update_item(
    asked: Asked,
    Path(item): Path<String>,
    Body(request): Body<UpdateLibraryItem>,
) -> Outcome<Response> {
    let request = request.of(item);
    let item = client(&asked).update_item(&asked.context, &request).await?;
    Ok(answer(&asked, Json(LibraryItem::from(item))))
}

/// Forgets an item whose file is missing.
#[utoipa::path(delete, path = "/api/v1/library/items/{item}", tag = "library", operation_id = "remove_library_item",
    params(("item" = String, Path), ReadHeaders),
    responses((status = 204, description = "It is forgotten"), Failed))]
pub(super) async fn remove_item(asked: Asked, Path(item): Path<String>) -> Outcome<Response> {
    let request = ItemRef { item };
    client(&asked).remove_item(&asked.context, &request).await?;
    Ok(answer(&asked, StatusCode::NO_CONTENT))
}

/// Makes a virtual disk of another format of an item, in the same share.
#[utoipa::path(post, path = "/api/v1/library/items/{item}/actions/convert", tag = "library", operation_id = "convert_library_item",
    params(("item" = String, Path), ChangeOptions, ChangeHeaders), request_body = ConvertItem,
    responses(Changed, Failed))]
pub(super) async fn convert_item(
    asked: Asked,
    Path(item): Path<String>,
    Query(options): Query<ChangeOptions>,
    Body(request): Body<ConvertItem>,
) -> Outcome<Response> {
    let convert = ItemConvert {
        item,
        format: request.format,
        target_path: request.path.unwrap_or_default(),
    };
    submit(&asked, Kind::ItemConvert(convert), options).await
}

/// Brings a stored virtual machine back, or imports one of another program.
///
/// The item is its definition, by its id or as `<share>/<path>`, or the folder that this lies in: one that Muster has stored, an OVF
/// descriptor, an OVA, or a domain of libvirt. Disks of an imported machine are converted at its host. What is in the share stays.
#[utoipa::path(post, path = "/api/v1/library/items/{item}/actions/deploy", tag = "library", operation_id = "deploy_library_item",
    params(("item" = String, Path), ChangeOptions, ChangeHeaders), request_body = DeployVm,
    responses(Changed, Failed))]
pub(super) async fn deploy_item(
    asked: Asked,
    Path(item): Path<String>,
    Query(options): Query<ChangeOptions>,
    Body(request): Body<DeployVm>,
) -> Outcome<Response> {
    let scope = vms::scope(&asked, request.group.as_deref(), request.host.as_deref())?;
    let deploy = storing::vm_deploy(item, request, scope)?;
    submit(&asked, Kind::VmCreate(deploy), options).await
}
