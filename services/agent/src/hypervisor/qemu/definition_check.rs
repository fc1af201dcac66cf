//! What a definition may say. It lies in a datastore, which others may write to and which may come from elsewhere; and
//! what it says becomes files that are opened and words of QEMU's command line.

use std::path::{Component, Path};

use contracts::host::{self, CreateVmRequest, Hardware};
use contracts::rest::boot_numbers;

use super::definition::{Definition, Disk};
use crate::hypervisor::request;
use crate::limits;

/// Longest name of a machine type or of a disk's file.
const NAME_CHARS_MAX: usize = 64;

/// The folder of a datastore that holds what disks may lie on.
const IMAGES: &str = "images";

/// The error goes on from "its definition …".
pub(super) fn check(definition: &Definition) -> Result<(), String> {
    request::check(&as_asked_for(definition)).map_err(|status| {
        format!(
            "says what no machine can be asked to be: {}",
            status.message
        )
    })?;
    if !is_plain(&definition.machine_type) {
        return Err("names a machine type that cannot be one".to_owned());
    }
    if definition.network_cards.iter().any(|c| c.mac.is_empty()) {
        return Err("has a network card without an address".to_owned());
    }
    definition.disks.iter().try_for_each(check_disk)
}

/// The request that would make the same machine.
fn as_asked_for(definition: &Definition) -> CreateVmRequest {
    let disk = |disk: &Disk| host::Disk {
        id: disk.id.clone(),
        image: disk.image.clone(),
        source: disk.source.to_message().into(),
        size_bytes: disk.size_bytes,
        ..host::Disk::default()
    };
    let cards = definition.network_cards.iter();
    let hardware = Hardware {
        vcpus: definition.vcpus,
        memory_bytes: definition.memory_bytes,
        disks: definition.disks.iter().map(disk).collect(),
        network_cards: cards.map(|card| card.to_message()).collect(),
        firmware: host::Firmware::from(definition.firmware).into(),
        boot_order: boot_numbers(&definition.boot_order),
    };
    CreateVmRequest {
        operation_id: definition.operation_id.clone(),
        vm_id: definition.vm_id.clone(),
        name: definition.name.clone(),
        hardware: Some(hardware),
        ..CreateVmRequest::default()
    }
}

fn check_disk(disk: &Disk) -> Result<(), String> {
    if !is_plain(&disk.file) {
        return Err(format!("has {} outside the machine's folder", disk.id));
    }
    if disk.backing.len() > limits::CHAIN_LAYERS_MAX {
        return Err(format!("has {} on too many images", disk.id));
    }
    if !disk
        .backing
        .iter()
        .all(|layer| is_among_images(&layer.file))
    {
        return Err(format!(
            "has {} on a file that is not among the images",
            disk.id
        ));
    }
    Ok(())
}

/// A name that is one word wherever it is written, and one file in its folder.
fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with(['.', '-'])
}

/// Links among the images are those of who may write there.
fn is_among_images(file: &str) -> bool {
    let mut parts = Path::new(file).components();
    parts.next() == Some(Component::Normal(IMAGES.as_ref()))
        && parts.clone().next().is_some()
        && parts.all(|part| matches!(part, Component::Normal(_)))
        && !file.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::qemu::definition::sample;

    fn refusal(change: impl FnOnce(&mut Definition)) -> String {
        let mut definition = sample();
        change(&mut definition);
        check(&definition).unwrap_err()
    }

    #[test]
    fn what_this_agent_writes_is_fine() {
        check(&sample()).unwrap();
    }

    #[test]
    fn no_file_outside_the_datastore_can_be_reached() {
        for file in [
            "",
            "/etc/shadow",
            "../other/disk0.qcow2",
            "..",
            "lock/../x",
            ".x",
        ] {
            let said = refusal(|d| file.clone_into(&mut d.disks[0].file));
            assert!(said.contains("outside"), "{file}: {said}");
        }
        for file in [
            "/etc/shadow",
            "images",
            "images/../../../etc/shadow",
            "../images/a",
            "vms/other/memory.state",
            "nbd://host/x",
            "images/a\0b",
        ] {
            let said = refusal(|d| file.clone_into(&mut d.disks[0].backing[0].file));
            assert!(said.contains("not among the images"), "{file}: {said}");
        }
        refusal(|d| {
            let layer = d.disks[0].backing[0].clone();
            d.disks[0].backing = vec![layer; limits::CHAIN_LAYERS_MAX + 1];
        });
    }

    #[test]
    fn no_word_of_the_command_line_can_be_added() {
        refusal(|d| d.machine_type = "q35,kernel=/etc/shadow".to_owned());
        refusal(|d| d.name = "a,process=b".to_owned());
        refusal(|d| d.vm_id = "../x".to_owned());
        refusal(|d| d.disks[0].id = "disk0,x=y".to_owned());
        refusal(|d| d.network_cards[0].id = "nic0,hostfwd=tcp::22-:22".to_owned());
        refusal(|d| d.network_cards[0].network = "bridge".to_owned());
        for mac in ["", "52:54:00:12:34:56,x=y", "+2:+4:+0:+2:+4:+6"] {
            refusal(|d| mac.clone_into(&mut d.network_cards[0].mac));
        }
    }

    #[test]
    fn a_machine_has_the_bounds_that_one_that_is_asked_for_has() {
        refusal(|d| d.vcpus = 0);
        refusal(|d| d.memory_bytes = 1 << 60);
        refusal(|d| d.disks[0].size_bytes = 511);
        refusal(|d| {
            let disk = d.disks[0].clone();
            d.disks.push(disk);
        });
    }
}
