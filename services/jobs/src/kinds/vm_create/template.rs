//! What a template means when a machine is asked for: noted once, so that a change of the template is for later machines.

use contracts::Status;
use contracts::host::{Disk, GuestSetup, NetworkCard};
use contracts::jobs::VmCreate;
use contracts::library::{ResolveRequest, Resolved};
use contracts::names::{check_host_name, check_ssh_keys};

use super::images::FromLibrary;
use super::{State, free_mac};
use crate::core::hardware;
use crate::hands::Calls;

/// Refuses what cannot be, before the library is asked.
pub(super) fn check(request: &VmCreate) -> Result<(), Status> {
    if !request.host_name.is_empty() {
        check_host_name("guest.host_name", &request.host_name)?;
    }
    check_ssh_keys("guest.ssh_keys", &request.ssh_keys)?;
    if request.template.is_empty() && !request.guest_profile.is_empty() {
        let message = "A guest profile is named, and no template.";
        return Err(Status::invalid("guest.profile", message)
            .action("Name a template, or say host name and keys themselves."));
    }
    Ok(())
}

/// What a machine without a template tells its guest: nothing, unless something was said.
pub(super) fn guest_of(request: &VmCreate) -> Option<GuestSetup> {
    let is_told = !request.host_name.is_empty() || !request.ssh_keys.is_empty();
    is_told.then(|| {
        let mut guest = GuestSetup {
            host_name: request.name.clone(),
            ..GuestSetup::default()
        };
        personalise(&mut guest, request);
        guest
    })
}

fn personalise(guest: &mut GuestSetup, request: &VmCreate) {
    if !request.host_name.is_empty() {
        guest.host_name.clone_from(&request.host_name);
    }
    for key in &request.ssh_keys {
        if !guest.ssh_keys.contains(key) {
            guest.ssh_keys.push(key.clone());
        }
    }
}

/// Asks the library what the template means now. What the request says beside it goes before.
pub(super) async fn resolve(calls: &Calls, state: &mut State) -> Result<(), Status> {
    if state.request.template.is_empty() {
        return Ok(());
    }
    let request = ResolveRequest {
        template: state.request.template.clone(),
        vm_name: state.request.name.clone(),
        guest_profile: state.request.guest_profile.clone(),
    };
    let resolved = calls.templates().resolve(&calls.context, &request).await;
    let resolved = resolved.map_err(|refusal| Status {
        field: match refusal.object.as_ref().map(|object| object.kind.as_str()) {
            Some("guest_profile") => "guest.profile".to_owned(),
            _ => "template".to_owned(),
        },
        ..refusal
    })?;
    take_over(state, resolved);
    // Those of the profile and those of the request together.
    let guest = state.guest.clone().unwrap_or_default();
    check_ssh_keys("guest.ssh_keys", &guest.ssh_keys)?;
    let Some(hardware) = state.request.hardware.as_mut() else {
        return Ok(());
    };
    hardware::complete(hardware)?;
    for card in &mut hardware.network_cards {
        if card.mac.is_empty() {
            card.mac = free_mac(&calls.fleet, &calls.world)?;
        }
    }
    Ok(())
}

fn take_over(state: &mut State, resolved: Resolved) {
    let request = &mut state.request;
    let hardware = request.hardware.get_or_insert_default();
    if hardware.vcpus == 0 {
        hardware.vcpus = resolved.vcpus;
    }
    if hardware.memory_bytes == 0 {
        hardware.memory_bytes = resolved.memory_bytes;
    }
    hardware.firmware = resolved.firmware;
    if hardware.boot_order.is_empty() {
        hardware.boot_order = resolved.boot_order;
    }
    if hardware.network_cards.is_empty() {
        let cards = resolved.networks.into_iter().map(|network| NetworkCard {
            network,
            ..NetworkCard::default()
        });
        hardware.network_cards = cards.collect();
    }
    let mut disks = Vec::new();
    for (index, disk) in (0_u32..).zip(resolved.disks) {
        disks.push(Disk {
            // Under its datastore once it is known where that is.
            image: disk.image.clone().map(|i| i.file).unwrap_or_default(),
            source: disk.source,
            size_bytes: disk.size_bytes,
            ..Disk::default()
        });
        if let Some(image) = disk.image {
            state.images.push(FromLibrary { disk: index, image });
        }
    }
    // Those of the request come behind, under ids of their own.
    let own = std::mem::take(&mut hardware.disks);
    disks.extend(own.into_iter().map(|disk| Disk {
        id: String::new(),
        ..disk
    }));
    hardware.disks = disks;
    for (key, value) in resolved.tags {
        request.tags.entry(key).or_insert(value);
    }
    if let Some(load) = resolved.expected_load {
        let placing = request.placing.get_or_insert_default();
        let or = |asked: &mut Option<f64>, expected| *asked = asked.or(expected);
        or(&mut placing.expected_cpu_percent, load.cpu_percent);
        or(&mut placing.expected_disk_io_per_sec, load.disk_io_per_sec);
        or(&mut placing.expected_network_mbit, load.network_mbit);
    }
    let mut guest = resolved.guest.unwrap_or_default();
    personalise(&mut guest, request);
    state.guest = Some(guest);
    state.user_data = resolved.user_data;
    state.template = format!(
        "{}, version {}",
        resolved.template_name, resolved.template_version
    );
}
