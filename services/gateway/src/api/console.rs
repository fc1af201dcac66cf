//! A machine's screen and console log, asked of its host.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use contracts::host::{HostClient, ReadLogRequest, VmRef};
use contracts::inventory::Vm;
use contracts::rest::headers;
use contracts::{ObjectRef, Status};
use kit::records::Stored;
use serde::Deserialize;

use super::change::ReadHeaders;
use super::extract::{Asked, Path, Query};
use super::{Failed, vms};
use crate::error::{Failure, Outcome};

/// A piece of the log when the client does not say how much.
const LOG_BYTES_DEFAULT: u32 = 64 * 1024;

/// What a host gives at most at a time.
const LOG_BYTES_MAX: u32 = 256 * 1024;

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The host of a machine.
fn host_of(asked: &Asked, vm: &Stored<Vm>) -> Outcome<HostClient> {
    if vm.value.host_id.is_empty() {
        let object = ObjectRef::new("vm", &vm.id, &vm.value.name);
        let message = format!("The {} is on no host yet.", object.describe());
        let action = "Wait until it is placed: see its job.";
        return Err(Status::precondition(message)
            .about(object)
            .action(action)
            .into());
    }
    Ok(HostClient::new(asked.app.caller.clone(), &vm.value.host_id))
}

/// The screen of a running machine.
#[utoipa::path(get, path = "/api/v1/vms/{id_or_name}/screenshot", tag = "virtual machines", operation_id = "get_vm_screenshot",
    params(("id_or_name" = String, Path), ReadHeaders),
    responses((status = 200, description = "The screen", content_type = "image/png", body = Vec<u8>), Failed))]
pub(super) async fn screenshot(asked: Asked, Path(text): Path<String>) -> Outcome<Response> {
    let vm = vms::find(&asked, &text)?;
    let request = VmRef {
        vm_id: vm.id.clone(),
    };
    let answer = host_of(&asked, &vm)?
        .screenshot(&asked.context, &request)
        .await?;
    if !answer.png.starts_with(PNG_SIGNATURE) {
        return Err(
            Status::internal("The host answered with something that is no PNG image.").into(),
        );
    }
    Ok(([(header::CONTENT_TYPE, "image/png")], answer.png).into_response())
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LogQuery {
    /// Byte to begin with; negative: that many from the end. Absent: the last of it.
    offset: Option<i64>,
    /// How much at most, up to 262144; 65536 when absent.
    #[param(minimum = 1, maximum = 262144)]
    bytes: Option<u32>,
}

/// A piece of the serial console's log.
///
/// `X-Muster-Next-Offset` says where the next read goes on, `X-Muster-Log-Size` how long the log is now.
#[utoipa::path(get, path = "/api/v1/vms/{id_or_name}/log", tag = "virtual machines", operation_id = "read_vm_log",
    params(("id_or_name" = String, Path), LogQuery, ReadHeaders),
    responses((status = 200, description = "The piece", content_type = "text/plain", body = String,
        headers(("x-muster-next-offset" = u64), ("x-muster-log-size" = u64))), Failed))]
pub(super) async fn log(
    asked: Asked,
    Path(text): Path<String>,
    Query(query): Query<LogQuery>,
) -> Outcome<Response> {
    let bytes_max = query.bytes.unwrap_or(LOG_BYTES_DEFAULT);
    if !(1..=LOG_BYTES_MAX).contains(&bytes_max) {
        let message = format!("bytes: {bytes_max} is not between 1 and {LOG_BYTES_MAX}.");
        return Err(Failure::invalid(
            "bytes",
            message,
            "Read piece after piece.",
        ));
    }
    let vm = vms::find(&asked, &text)?;
    let request = ReadLogRequest {
        vm_id: vm.id.clone(),
        offset: query.offset.unwrap_or(-i64::from(bytes_max)),
        bytes_max,
    };
    let answer = host_of(&asked, &vm)?
        .read_log(&asked.context, &request)
        .await?;
    let headers = [
        (
            header::CONTENT_TYPE.as_str(),
            "text/plain; charset=utf-8".to_owned(),
        ),
        (headers::LOG_NEXT_OFFSET, answer.next_offset.to_string()),
        (headers::LOG_SIZE, answer.size_bytes.to_string()),
    ];
    Ok((headers, answer.data).into_response())
}
