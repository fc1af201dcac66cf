//! A machine that is made of another one: beside it, on its host and datastore.

use contracts::call::Context;
use contracts::host::disk::Source;
use contracts::host::{CloneVmRequest, Disk, GuestSetup, Hardware, HostClient, VmReport};
use contracts::inventory::Vm;
use contracts::jobs::VmCreate;
use contracts::names::check_id;
use contracts::{ObjectRef, Status};

use super::State;
use crate::core::power::{self, Action};
use crate::fleet::{Fleet, check_responding};
use crate::hands::Hands;

/// Fills in what the other machine has. Its addresses, id and name are not the clone's.
pub(super) fn take_over(request: &mut VmCreate, fleet: &Fleet) -> Result<(), Status> {
    check_id("clone_of", &request.clone_of)?;
    if !request.template.is_empty() {
        let message = "A machine is made of another one or of a template, not of both.";
        return Err(Status::invalid("template", message).action("Name one of the two."));
    }
    let vm = fleet.vm(&request.clone_of)?;
    request.host_id.clone_from(&vm.host_id);
    request.datastore.clone_from(&vm.datastore);
    request.group_id.clear();
    for (tag, value) in &vm.tags {
        request.tags.entry(tag.clone()).or_insert(value.clone());
    }
    request.hardware = Some(hardware(&vm, request.linked));
    Ok(())
}

fn hardware(vm: &Vm, linked: bool) -> Hardware {
    let source = match linked {
        true => Source::Overlay,
        false => Source::Copy,
    };
    let mut hardware = vm.hardware.clone().unwrap_or_default();
    for disk in &mut hardware.disks {
        // What it is made from is the host's to say.
        *disk = Disk {
            id: disk.id.clone(),
            source: source.into(),
            size_bytes: disk.size_bytes,
            ..Disk::default()
        };
    }
    for card in &mut hardware.network_cards {
        card.mac.clear();
    }
    hardware
}

/// Only one that is stopped is cloned, and only where it is.
pub(super) fn look(fleet: &Fleet, request: &VmCreate) -> Result<(), Status> {
    let vm = fleet.vm(&request.clone_of)?;
    power::check(Action::Clone, &vm)?;
    let object = || ObjectRef::new("vm", &vm.id, &vm.name);
    if vm.host_id.is_empty() || vm.host_id != request.host_id {
        let message = format!("Virtual machine {} is not where it was.", vm.name);
        return Err(Status::precondition(message)
            .about(object())
            .action("Ask for the clone again."));
    }
    check_responding(&fleet.host(&vm.host_id)?)
}

/// Bytes that are copied: what the other machine's own files take. What lies below them is known to its host alone.
pub(super) fn bytes_to_copy(fleet: &Fleet, request: &VmCreate) -> Result<u64, Status> {
    if request.linked {
        return Ok(0);
    }
    let disks = fleet
        .vm(&request.clone_of)?
        .hardware
        .unwrap_or_default()
        .disks;
    Ok(disks.iter().map(|disk| disk.allocated_bytes).sum())
}

/// Has the host make it. A copy takes as long as its disks are large: while the host is at it, it is waited for.
pub(super) async fn make(
    hands: &Hands,
    state: &State,
    guest: Option<GuestSetup>,
) -> Result<VmReport, Status> {
    let cards = state.hardware().network_cards.into_iter();
    let request = &CloneVmRequest {
        operation_id: hands.operation.clone(),
        vm_id: state.vm_id.clone(),
        name: state.request.name.clone(),
        source_vm_id: state.request.clone_of.clone(),
        linked: state.request.linked,
        macs: cards.map(|card| (card.id, card.mac)).collect(),
        guest,
    };
    let ask =
        |host: HostClient, context: Context| async move { host.clone_vm(&context, request).await };
    hands.ask_for_long(&state.host_id, &state.vm_id, ask).await
}
