//! A machine made of another one that is off, on its datastore.

use std::collections::BTreeMap;
use std::sync::Arc;

use contracts::host::CloneVmRequest;
use contracts::{Status, stored};

use super::definition::{Definition, Disk, DiskSource, Format, Layer, NetworkCard};
use super::machine::{Machine, now_ms};
use super::making::{self, Content, Plan, Told, Whole};
use crate::core::seed as guest_seed;
use crate::hypervisor::request;

/// The request that would make the same machine from nothing is checked: it must be one that can be.
pub(super) fn check(request: &CloneVmRequest) -> Result<(), Status> {
    contracts::names::check_id("vm_id", &request.vm_id)?;
    contracts::names::check_id("source_vm_id", &request.source_vm_id)?;
    contracts::names::check_vm_name(&request.name)?;
    request::check_macs(&request.macs)
}

/// Makes the clone. Of a linked one the other's disks are layers by now.
pub(super) async fn make(source: &Machine, request: &CloneVmRequest) -> Result<Machine, Status> {
    let guest = request.guest.as_ref();
    let seed = guest.map(|setup| guest_seed::seed(&request.vm_id, setup));
    let seed = seed.transpose()?;
    let disks = source.definition.disks.iter();
    let plans: Vec<Plan> = disks
        .map(|disk| match request.linked {
            true => linked(source, disk),
            false => whole(source, disk),
        })
        .collect();
    let definition = define(source, request, &plans);
    making::make(
        &Arc::clone(&source.environment),
        &source.datastore,
        definition,
        &plans,
        seed.map(Told::Now),
        Some(source.folder.file(stored::VARIABLES)),
    )
    .await
}

fn linked(source: &Machine, disk: &Disk) -> Plan {
    let below = disk.backing.first().map_or("", |layer| layer.file.as_str());
    let image = below.strip_prefix("images/").unwrap_or(below);
    Plan {
        disk: Disk {
            file: format!("{}.qcow2", disk.id),
            image: format!("{}/{image}", source.datastore.name),
            source: DiskSource::Overlay,
            ..disk.clone()
        },
        content: Content::Empty,
    }
}

fn whole(source: &Machine, disk: &Disk) -> Plan {
    Plan {
        disk: Disk {
            file: format!("{}.qcow2", disk.id),
            source: match disk.image.as_str() {
                "" => DiskSource::Blank,
                _ => DiskSource::Copy,
            },
            backing: Vec::new(),
            ..disk.clone()
        },
        content: Content::Copy(everything(source, disk)),
    }
}

/// A disk with all that lies below it.
pub(super) fn everything(source: &Machine, disk: &Disk) -> Whole {
    let own = Layer {
        file: format!("vms/{}/{}", source.definition.vm_id, disk.file),
        format: Format::Qcow2,
    };
    let mut layers = vec![own];
    layers.extend(disk.backing.iter().cloned());
    Whole {
        datastore: source.datastore.path.clone(),
        layers,
        virtual_bytes: disk.size_bytes,
    }
}

fn define(source: &Machine, request: &CloneVmRequest, plans: &[Plan]) -> Definition {
    Definition {
        version: Definition::VERSION,
        vm_id: request.vm_id.clone(),
        name: request.name.clone(),
        operation_id: request.operation_id.clone(),
        created_ms: now_ms(),
        disks: plans.iter().map(|plan| plan.disk.clone()).collect(),
        network_cards: cards(source, &request.vm_id, &request.macs),
        seeded: request.guest.is_some(),
        // The guest finds the same devices.
        ..source.definition.clone()
    }
}

fn cards(source: &Machine, vm_id: &str, macs: &BTreeMap<String, String>) -> Vec<NetworkCard> {
    let cards = source.definition.network_cards.iter();
    cards
        .map(|card| NetworkCard {
            mac: match macs.get(&card.id) {
                Some(mac) => mac.to_lowercase(),
                None => request::mac_of(vm_id, &card.id),
            },
            ..card.clone()
        })
        .collect()
}
