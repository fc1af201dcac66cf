//! Hardware profiles and guest profiles: what templates are made of.

use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use contracts::common::Empty;
use contracts::library::{DefinitionRef, Put, PutGuestProfileRequest, PutHardwareProfileRequest};
use contracts::rest::{
    GuestProfile, GuestProfileList, HardwareProfile, HardwareProfileList, SetGuestProfile,
    SetHardwareProfile,
};

use super::Failed;
use super::change::ReadHeaders;
use super::extract::{Asked, Body, PRINCIPAL, Path};
use super::library::answer;
use super::templates::{client, same_name};
use crate::error::Outcome;

async fn put_hardware(
    asked: &Asked,
    put: Put,
    request: SetHardwareProfile,
) -> Outcome<HardwareProfile> {
    let request = PutHardwareProfileRequest {
        put: put.into(),
        profile: Some(request.of(PRINCIPAL)),
    };
    let made = client(asked)
        .put_hardware_profile(&asked.context, &request)
        .await?;
    Ok(made.into())
}

async fn put_guest(asked: &Asked, put: Put, request: SetGuestProfile) -> Outcome<GuestProfile> {
    let request = PutGuestProfileRequest {
        put: put.into(),
        profile: Some(request.of(PRINCIPAL)),
    };
    let made = client(asked)
        .put_guest_profile(&asked.context, &request)
        .await?;
    Ok(made.into())
}

/// Hardware profiles, in order of their names.
#[utoipa::path(get, path = "/api/v1/hardware-profiles", tag = "library", operation_id = "list_hardware_profiles",
    params(ReadHeaders), responses((status = 200, description = "All of them", body = HardwareProfileList), Failed))]
pub(super) async fn list_hardware(asked: Asked) -> Outcome<Response> {
    let listed = client(&asked)
        .list_hardware_profiles(&asked.context, &Empty {})
        .await?;
    let items = listed.profiles.into_iter().map(Into::into).collect();
    Ok(answer(&asked, Json(HardwareProfileList { items })))
}

/// Makes a hardware profile.
#[utoipa::path(post, path = "/api/v1/hardware-profiles", tag = "library", operation_id = "create_hardware_profile",
    params(ReadHeaders), request_body = SetHardwareProfile,
    responses((status = 201, description = "The hardware profile", body = HardwareProfile), Failed))]
pub(super) async fn create_hardware(
    asked: Asked,
    Body(request): Body<SetHardwareProfile>,
) -> Outcome<Response> {
    let made = put_hardware(&asked, Put::Create, request).await?;
    Ok(answer(&asked, (StatusCode::CREATED, Json(made))))
}

/// One hardware profile.
#[utoipa::path(get, path = "/api/v1/hardware-profiles/{id_or_name}", tag = "library", operation_id = "get_hardware_profile",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 200, description = "The hardware profile", body = HardwareProfile), Failed))]
pub(super) async fn get_hardware(
    asked: Asked,
    Path(definition): Path<String>,
) -> Outcome<Response> {
    let request = DefinitionRef { definition };
    let found = client(&asked)
        .get_hardware_profile(&asked.context, &request)
        .await?;
    Ok(answer(&asked, Json(HardwareProfile::from(found))))
}

/// Puts another hardware profile in the place of one. It keeps its name.
#[utoipa::path(put, path = "/api/v1/hardware-profiles/{id_or_name}", tag = "library", operation_id = "replace_hardware_profile",
    params(("id_or_name" = String, Path), ReadHeaders), request_body = SetHardwareProfile,
    responses((status = 200, description = "The hardware profile", body = HardwareProfile), Failed))]
pub(super) async fn replace_hardware(
    asked: Asked,
    Path(definition): Path<String>,
    Body(request): Body<SetHardwareProfile>,
) -> Outcome<Response> {
    let named = DefinitionRef { definition };
    let there = client(&asked)
        .get_hardware_profile(&asked.context, &named)
        .await?;
    same_name(&there.name, &request.name)?;
    let made = put_hardware(&asked, Put::Replace, request).await?;
    Ok(answer(&asked, Json(made)))
}

/// Forgets a hardware profile that no template uses.
#[utoipa::path(delete, path = "/api/v1/hardware-profiles/{id_or_name}", tag = "library", operation_id = "remove_hardware_profile",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 204, description = "It is forgotten"), Failed))]
pub(super) async fn remove_hardware(
    asked: Asked,
    Path(definition): Path<String>,
) -> Outcome<Response> {
    let request = DefinitionRef { definition };
    client(&asked)
        .remove_hardware_profile(&asked.context, &request)
        .await?;
    Ok(answer(&asked, StatusCode::NO_CONTENT))
}

/// Guest profiles, in order of their names.
#[utoipa::path(get, path = "/api/v1/guest-profiles", tag = "library", operation_id = "list_guest_profiles",
    params(ReadHeaders), responses((status = 200, description = "All of them", body = GuestProfileList), Failed))]
pub(super) async fn list_guest(asked: Asked) -> Outcome<Response> {
    let listed = client(&asked)
        .list_guest_profiles(&asked.context, &Empty {})
        .await?;
    let items = listed.profiles.into_iter().map(Into::into).collect();
    Ok(answer(&asked, Json(GuestProfileList { items })))
}

/// Makes a guest profile.
#[utoipa::path(post, path = "/api/v1/guest-profiles", tag = "library", operation_id = "create_guest_profile",
    params(ReadHeaders), request_body = SetGuestProfile,
    responses((status = 201, description = "The guest profile", body = GuestProfile), Failed))]
pub(super) async fn create_guest(
    asked: Asked,
    Body(request): Body<SetGuestProfile>,
) -> Outcome<Response> {
    let made = put_guest(&asked, Put::Create, request).await?;
    Ok(answer(&asked, (StatusCode::CREATED, Json(made))))
}

/// One guest profile.
#[utoipa::path(get, path = "/api/v1/guest-profiles/{id_or_name}", tag = "library", operation_id = "get_guest_profile",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 200, description = "The guest profile", body = GuestProfile), Failed))]
pub(super) async fn get_guest(asked: Asked, Path(definition): Path<String>) -> Outcome<Response> {
    let request = DefinitionRef { definition };
    let found = client(&asked)
        .get_guest_profile(&asked.context, &request)
        .await?;
    Ok(answer(&asked, Json(GuestProfile::from(found))))
}

/// Puts another guest profile in the place of one. It keeps its name.
#[utoipa::path(put, path = "/api/v1/guest-profiles/{id_or_name}", tag = "library", operation_id = "replace_guest_profile",
    params(("id_or_name" = String, Path), ReadHeaders), request_body = SetGuestProfile,
    responses((status = 200, description = "The guest profile", body = GuestProfile), Failed))]
pub(super) async fn replace_guest(
    asked: Asked,
    Path(definition): Path<String>,
    Body(request): Body<SetGuestProfile>,
) -> Outcome<Response> {
    let named = DefinitionRef { definition };
    let there = client(&asked)
        .get_guest_profile(&asked.context, &named)
        .await?;
    same_name(&there.name, &request.name)?;
    let made = put_guest(&asked, Put::Replace, request).await?;
    Ok(answer(&asked, Json(made)))
}

/// Forgets a guest profile that no template uses.
#[utoipa::path(delete, path = "/api/v1/guest-profiles/{id_or_name}", tag = "library", operation_id = "remove_guest_profile",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 204, description = "It is forgotten"), Failed))]
pub(super) async fn remove_guest(
    asked: Asked,
    Path(definition): Path<String>,
) -> Outcome<Response> {
    let request = DefinitionRef { definition };
    client(&asked)
        .remove_guest_profile(&asked.context, &request)
        .await?;
    Ok(answer(&asked, StatusCode::NO_CONTENT))
}
