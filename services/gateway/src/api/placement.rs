//! Ratings.

use axum::Json;
use axum::response::Response;
use contracts::placement::PlacementClient;
use contracts::rest::{RateRequest, Ratings};

use super::change::{ReadHeaders, reflecting};
use super::extract::{Asked, Body};
use super::{Failed, vms};
use crate::core::requests;
use crate::error::Outcome;

/// Rates every host in scope for a machine, best first. Changes nothing.
#[utoipa::path(post, path = "/api/v1/placement/rate", tag = "placement", operation_id = "rate",
    params(ReadHeaders), request_body = RateRequest,
    responses((status = 200, description = "Ratings, best first", body = Ratings), Failed))]
pub(super) async fn rate(asked: Asked, Body(request): Body<RateRequest>) -> Outcome<Response> {
    let scope = vms::scope(&asked, request.group.as_deref(), request.host.as_deref())?;
    let request = requests::rate(request, scope)?;
    let answer = PlacementClient::new(asked.app.caller.clone())
        .rate(&asked.context, &request)
        .await?;
    Ok(reflecting(&asked, Json(Ratings::from(answer))))
}
