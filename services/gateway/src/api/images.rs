//! Image files, and how fast they travel.

use axum::http::StatusCode;
use axum::response::Response;
use contracts::jobs::job_params::Kind;
use contracts::jobs::{ImageCopy, ImageDelete};
use contracts::rest::{ChangeOptions, CopyImage, DeleteImage, SetThrottle};
use contracts::transfer::{SetThrottleRequest, TransferClient};

use super::change::{ChangeHeaders, Changed, ReadHeaders, reflecting, submit};
use super::extract::{Asked, Body, Path, Query};
use super::{Failed, hosts};
use crate::error::Outcome;

/// Copies an image file to a datastore, of the same host or another.
///
/// Between hosts it travels encrypted and is verified; what the host has already of the same content, and holes, do not.
#[utoipa::path(post, path = "/api/v1/images/actions/copy", tag = "images", operation_id = "copy_image",
    params(ChangeOptions, ChangeHeaders), request_body = CopyImage, responses(Changed, Failed))]
pub(super) async fn copy(
    asked: Asked,
    Query(options): Query<ChangeOptions>,
    Body(request): Body<CopyImage>,
) -> Outcome<Response> {
    let CopyImage {
        source_host,
        source_image,
        host,
        datastore,
        file,
        like,
        bytes_per_sec,
    } = request;
    let copy = ImageCopy {
        source_host_id: hosts::find(&asked, &source_host)?.id,
        source_image,
        target_host_id: hosts::find(&asked, &host)?.id,
        target_datastore: datastore.unwrap_or_default(),
        target_file: file.unwrap_or_default(),
        seeds: like,
        bytes_per_sec,
    };
    submit(&asked, Kind::ImageCopy(copy), options).await
}

/// Removes an image file from a datastore.
///
/// One that machines or other images lie on is refused, and they are named.
#[utoipa::path(post, path = "/api/v1/images/actions/delete", tag = "images", operation_id = "delete_image",
    params(ChangeOptions, ChangeHeaders), request_body = DeleteImage, responses(Changed, Failed))]
pub(super) async fn delete(
    asked: Asked,
    Query(options): Query<ChangeOptions>,
    Body(request): Body<DeleteImage>,
) -> Outcome<Response> {
    let delete = ImageDelete {
        host_id: hosts::find(&asked, &request.host)?.id,
        image: request.image,
    };
    submit(&asked, Kind::ImageDelete(delete), options).await
}

/// Sets how fast files may travel from and to a host, all together; at once, and for those to come.
#[utoipa::path(put, path = "/api/v1/hosts/{id_or_name}/throttle", tag = "images", operation_id = "throttle_host",
    params(("id_or_name" = String, Path), ReadHeaders), request_body = SetThrottle,
    responses((status = 204, description = "It is in effect"), Failed))]
pub(super) async fn throttle_host(
    asked: Asked,
    Path(text): Path<String>,
    Body(request): Body<SetThrottle>,
) -> Outcome<Response> {
    let request = SetThrottleRequest {
        host_id: hosts::find(&asked, &text)?.id,
        bytes_per_sec: request.bytes_per_sec,
        ..SetThrottleRequest::default()
    };
    throttle(&asked, request).await
}

/// Sets how fast the file of a job may travel; at once.
#[utoipa::path(put, path = "/api/v1/jobs/{id}/throttle", tag = "images", operation_id = "throttle_job",
    params(("id" = String, Path), ReadHeaders), request_body = SetThrottle,
    responses((status = 204, description = "It is in effect"), Failed))]
pub(super) async fn throttle_job(
    asked: Asked,
    Path(job_id): Path<String>,
    Body(request): Body<SetThrottle>,
) -> Outcome<Response> {
    let request = SetThrottleRequest {
        job_id,
        bytes_per_sec: request.bytes_per_sec,
        ..SetThrottleRequest::default()
    };
    throttle(&asked, request).await
}

async fn throttle(asked: &Asked, request: SetThrottleRequest) -> Outcome<Response> {
    TransferClient::new(asked.app.caller.clone())
        .set_throttle(&asked.context, &request)
        .await?;
    Ok(reflecting(asked, StatusCode::NO_CONTENT))
}
