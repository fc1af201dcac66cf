//! Whether the process lives, whether it can work, and what it serves.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use contracts::{Status, subjects};

use super::{App, Failed};
use crate::error::Outcome;

/// How long the bus may take to answer before the gateway counts as not ready.
const BUS_PATIENCE: Duration = Duration::from_secs(2);

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "It lives", body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The bus is there and the views have caught up.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, description = "It can work", body = String), Failed))]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Outcome<&'static str> {
    app.ready()?;
    let log = subjects::bucket_stream(subjects::buckets::VM);
    let asked = tokio::time::timeout(BUS_PATIENCE, app.bus.info(&log)).await;
    if matches!(asked, Ok(Ok(_))) {
        return Ok("ready\n");
    }
    let action = "Check that nats-server runs and can be reached.";
    Err(Status::unavailable("The bus does not answer.")
        .action(action)
        .into())
}

static DOCUMENT: LazyLock<String> = LazyLock::new(crate::openapi_json);

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "health",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)))]
pub(super) async fn openapi() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "application/json")],
        DOCUMENT.as_str(),
    )
}

/// The types of all messages on the bus, for programs that read events there: a `FileDescriptorSet` of protobuf.
#[utoipa::path(get, path = "/api/v1/descriptors", tag = "health", operation_id = "get_descriptors",
    responses((status = 200, description = "A FileDescriptorSet", content_type = "application/x-protobuf", body = Vec<u8>)))]
pub(super) async fn descriptors() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "application/x-protobuf")],
        contracts::DESCRIPTORS,
    )
}
