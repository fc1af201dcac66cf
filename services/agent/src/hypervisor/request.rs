//! Checks a request to make a machine, before anything is touched.

use std::collections::{BTreeMap, HashSet};

use contracts::host::disk::Source;
use contracts::host::{CreateVmRequest, Disk, Firmware, Hardware, NetworkCard};
use contracts::{Status, limits, names};

/// Guest memory is given in whole mebibytes.
const MEBIBYTE: u64 = 1 << 20;
const SECTOR_BYTES: u64 = 512;

/// Answers with the hardware, nothing left open.
pub(crate) fn check(request: &CreateVmRequest) -> Result<Hardware, Status> {
    names::check_id("vm_id", &request.vm_id)?;
    names::check_vm_name(&request.name)?;
    let Some(hardware) = &request.hardware else {
        return Err(invalid(
            "hardware",
            "The machine has no hardware.",
            "Say how many processors and how much memory.",
        ));
    };
    check_size(hardware)?;
    let hardware = completed(hardware.clone());
    check_ids(
        "hardware.disks",
        "disk",
        hardware.disks.iter().map(|d| d.id.as_str()),
        limits::DISKS_MAX,
    )?;
    let cards = hardware.network_cards.iter().map(|c| c.id.as_str());
    check_ids(
        "hardware.network_cards",
        "nic",
        cards,
        limits::NETWORK_CARDS_MAX,
    )?;
    for (index, disk) in hardware.disks.iter().enumerate() {
        check_disk(&format!("hardware.disks[{index}]"), disk)?;
    }
    for (index, card) in hardware.network_cards.iter().enumerate() {
        check_card(&format!("hardware.network_cards[{index}]"), card)?;
    }
    if Firmware::try_from(hardware.firmware).is_err() {
        let message = "That firmware is not known.";
        return Err(invalid(
            "hardware.firmware",
            message,
            "Choose BIOS or UEFI.",
        ));
    }
    names::check_boot_order("hardware.boot_order", &hardware.boot_order)?;
    Ok(hardware)
}

fn invalid(field: &str, message: &str, action: &str) -> Status {
    Status::invalid(field, message).action(action)
}

fn check_size(hardware: &Hardware) -> Result<(), Status> {
    if !(1..=limits::VCPUS_MAX).contains(&hardware.vcpus) {
        let message = format!(
            "A machine cannot have {} virtual processors.",
            hardware.vcpus
        );
        return Err(invalid("hardware.vcpus", &message, "Ask for 1 to 240."));
    }
    let range = limits::VM_MEMORY_BYTES_MIN..=limits::VM_MEMORY_BYTES_MAX;
    let memory = hardware.memory_bytes;
    if !range.contains(&memory) || !memory.is_multiple_of(MEBIBYTE) {
        let message = format!("A machine cannot have {memory} bytes of memory.");
        return Err(invalid(
            "hardware.memory_bytes",
            &message,
            "Ask for whole mebibytes, 16 MiB to 16 TiB.",
        ));
    }
    Ok(())
}

/// Says what was left open: ids, where a disk comes from, which network.
fn completed(mut hardware: Hardware) -> Hardware {
    for (index, disk) in hardware.disks.iter_mut().enumerate() {
        if disk.id.is_empty() {
            disk.id = format!("disk{index}");
        }
        disk.set_source(source(disk));
    }
    for (index, card) in hardware.network_cards.iter_mut().enumerate() {
        if card.id.is_empty() {
            card.id = format!("nic{index}");
        }
        if card.network.is_empty() {
            "user".clone_into(&mut card.network);
        }
    }
    hardware
}

/// What a disk is made from; one with an image and no word on how is an overlay.
fn source(disk: &Disk) -> Source {
    match disk.source() {
        Source::Unspecified if disk.image.is_empty() => Source::Blank,
        Source::Unspecified => Source::Overlay,
        said => said,
    }
}

fn check_ids<'a>(
    field: &str,
    prefix: &str,
    ids: impl ExactSizeIterator<Item = &'a str>,
    most: usize,
) -> Result<(), Status> {
    if ids.len() > most {
        let message = format!("A machine cannot have {} of {field}.", ids.len());
        return Err(invalid(
            field,
            &message,
            &format!("Ask for at most {most}."),
        ));
    }
    let mut seen = HashSet::new();
    for id in ids {
        let number = id.strip_prefix(prefix).unwrap_or_default();
        let plain = (1..=3).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
        if !plain || !seen.insert(id) {
            let message = format!(
                "{:?} cannot be an id here, or is used twice.",
                names::shorten(id)
            );
            return Err(invalid(
                field,
                &message,
                &format!("Use {prefix}0, {prefix}1 and so on."),
            ));
        }
    }
    Ok(())
}

fn check_disk(field: &str, disk: &Disk) -> Result<(), Status> {
    let size = disk.size_bytes;
    if size > limits::DISK_BYTES_MAX || !size.is_multiple_of(SECTOR_BYTES) {
        let message = format!("Disk {} cannot have {size} bytes.", disk.id);
        return Err(invalid(
            &format!("{field}.size_bytes"),
            &message,
            "Ask for whole sectors of 512 bytes, at most 64 TiB.",
        ));
    }
    match disk.source() {
        Source::Blank if size == 0 => {
            let message = format!("Disk {} has neither an image nor a size.", disk.id);
            Err(invalid(
                &format!("{field}.size_bytes"),
                &message,
                "Name an image, or say how large the blank disk is.",
            ))
        }
        Source::Overlay | Source::Copy if disk.image.is_empty() => {
            let message = format!(
                "Disk {} is to be made from an image, and none is named.",
                disk.id
            );
            Err(invalid(
                &format!("{field}.image"),
                &message,
                "Name an image of the host's datastores.",
            ))
        }
        _ => Ok(()),
    }
}

fn check_card(field: &str, card: &NetworkCard) -> Result<(), Status> {
    if card.network != "user" {
        let message = format!(
            "There is no network {:?} on this host.",
            names::shorten(&card.network)
        );
        return Err(invalid(
            &format!("{field}.network"),
            &message,
            "Use \"user\".",
        ));
    }
    match card.mac.as_str() {
        "" => Ok(()),
        mac => check_mac(&format!("{field}.mac"), mac),
    }
}

/// Addresses by the ids of their cards.
pub(crate) fn check_macs(macs: &BTreeMap<String, String>) -> Result<(), Status> {
    let mut macs = macs.iter();
    macs.try_for_each(|(card, mac)| check_mac(&format!("macs.{}", names::shorten(card)), mac))
}

fn check_mac(field: &str, mac: &str) -> Result<(), Status> {
    if is_mac(mac) {
        return Ok(());
    }
    let shown = names::shorten(mac);
    let message = format!("{shown:?} cannot be the address of a network card.");
    Err(invalid(
        field,
        &message,
        "Use six pairs of hex digits of a unicast address.",
    ))
}

/// Six octets, the first of them even: odd ones are for groups.
fn is_mac(text: &str) -> bool {
    let octets: Vec<Option<u8>> = text
        .split(':')
        .map(|o| {
            // A number may have a sign, an octet not.
            (o.len() == 2 && o.bytes().all(|b| b.is_ascii_hexdigit()))
                .then(|| u8::from_str_radix(o, 16).ok())
                .flatten()
        })
        .collect();
    octets.len() == 6
        && octets.iter().all(Option::is_some)
        && octets
            .first()
            .is_some_and(|first| first.is_some_and(|o| o % 2 == 0))
}

/// An address that is always the same for the same card of the same machine.
pub(crate) fn mac_of(vm_id: &str, card_id: &str) -> String {
    let hash = blake3::hash(format!("{vm_id}/{card_id}").as_bytes());
    let [a, b, c, ..] = hash.as_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(change: impl FnOnce(&mut Hardware)) -> CreateVmRequest {
        let mut hardware = Hardware {
            vcpus: 1,
            memory_bytes: 128 << 20,
            disks: vec![Disk {
                image: "guest.qcow2".to_owned(),
                ..Disk::default()
            }],
            network_cards: vec![NetworkCard::default()],
            ..Hardware::default()
        };
        change(&mut hardware);
        CreateVmRequest {
            vm_id: "vm-1".to_owned(),
            name: "web-01".to_owned(),
            hardware: Some(hardware),
            ..CreateVmRequest::default()
        }
    }

    #[test]
    fn what_is_left_out_is_given() {
        let hardware = check(&request(|_| {})).unwrap();
        assert_eq!(hardware.disks[0].id, "disk0");
        assert_eq!(
            (
                hardware.network_cards[0].id.as_str(),
                hardware.network_cards[0].network.as_str()
            ),
            ("nic0", "user")
        );
        assert!(is_mac(&mac_of("vm-1", "nic0")));
        assert_ne!(mac_of("vm-1", "nic0"), mac_of("vm-1", "nic1"));
    }

    fn refused_field(change: impl FnOnce(&mut Hardware)) -> String {
        check(&request(change)).unwrap_err().field
    }

    #[test]
    fn impossible_hardware_is_refused_by_its_field() {
        assert_eq!(refused_field(|h| h.vcpus = 0), "hardware.vcpus");
        assert_eq!(refused_field(|h| h.vcpus = 241), "hardware.vcpus");
        assert_eq!(
            refused_field(|h| h.memory_bytes = 0),
            "hardware.memory_bytes"
        );
        assert_eq!(
            refused_field(|h| h.memory_bytes += 1),
            "hardware.memory_bytes"
        );
        assert_eq!(
            refused_field(|h| h.memory_bytes = u64::MAX),
            "hardware.memory_bytes"
        );
        assert_eq!(
            refused_field(|h| h.disks = vec![Disk::default(); 17]),
            "hardware.disks"
        );
        assert_eq!(
            refused_field(|h| h.disks[0].id = "../x".to_owned()),
            "hardware.disks"
        );
        assert_eq!(
            refused_field(|h| h.disks[0].size_bytes = 513),
            "hardware.disks[0].size_bytes"
        );
        assert_eq!(
            refused_field(|h| h.disks[0].set_source(Source::Blank)),
            "hardware.disks[0].size_bytes"
        );
        assert_eq!(
            refused_field(|h| h.disks[0].image.clear()),
            "hardware.disks[0].size_bytes"
        );
        assert_eq!(
            refused_field(|h| h.network_cards[0].network = "lan".to_owned()),
            "hardware.network_cards[0].network"
        );
        assert_eq!(
            refused_field(|h| h.network_cards[0].mac = "01:00:00:00:00:00".to_owned()),
            "hardware.network_cards[0].mac"
        );
        assert_eq!(
            refused_field(|h| h.network_cards[0].mac = "52:54:00:12:34".to_owned()),
            "hardware.network_cards[0].mac"
        );
    }

    #[test]
    fn two_disks_never_have_one_id() {
        let twice = |h: &mut Hardware| {
            h.disks[0].id = "disk1".to_owned();
            h.disks.push(h.disks[0].clone());
        };
        assert_eq!(refused_field(twice), "hardware.disks");
    }
}
