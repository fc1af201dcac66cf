//! What clients send, as functions of bytes: the doors that `tests/fuzz` comes in by. Each is the function that the
//! gateway itself uses.

use contracts::inventory::Vm;
use contracts::{Status, jobs, placement};

use crate::api::parse_body;
use crate::core::creating;
use crate::core::filter::Filter;
use crate::core::names::Names;
use crate::core::placing::{self, NamedHosts};
use crate::core::requests::{self, Scope};
use crate::core::sort::{Sort, list_name, read_cursor};
use crate::error::Failure;

/// The body of `POST /api/v1/vms`.
pub fn vm_create(body: &[u8]) -> Result<jobs::VmCreate, Status> {
    let request = parse_body(body).map_err(Failure::into_status)?;
    creating::vm_create(request, Scope::default(), NamedHosts::default(), "fuzz")
        .map_err(Failure::into_status)
}

/// The body of `PATCH /api/v1/vms/{vm}`.
pub fn vm_update(body: &[u8]) -> Result<jobs::VmUpdate, Status> {
    let request = parse_body(body).map_err(Failure::into_status)?;
    requests::vm_update("id".to_owned(), request).map_err(Failure::into_status)
}

/// The body of `POST /api/v1/placement/rate`.
pub fn rate(body: &[u8]) -> Result<placement::RateRequest, Status> {
    let request = parse_body(body).map_err(Failure::into_status)?;
    let scope = Scope::default();
    placing::rate(request, scope, NamedHosts::default(), String::new())
        .map_err(Failure::into_status)
}

/// Filter, order and cursor of a list of machines; answers whether the filter takes a machine.
pub fn list(filter: &str, sort: &str, cursor: &str, vm: &Vm) -> Result<bool, Status> {
    let parsed = Filter::<Vm>::parse(filter, &Names::default()).map_err(Failure::into_status)?;
    let order = Sort::<Vm>::parse(sort).map_err(Failure::into_status)?;
    if !cursor.is_empty() {
        let list = list_name("vm", filter, sort);
        let place = read_cursor(&list, cursor).map_err(Failure::into_status)?;
        order.is_after(vm, &place, &Names::default());
    }
    Ok(parsed.takes(vm))
}
