//! What a new machine may be made of. Everything that a person can get wrong is said here, before anything is changed.

use contracts::host::disk::Source;
use contracts::host::{Disk, Firmware, Hardware, NetworkCard};
use contracts::names::{check_boot_order, is_token, shorten};
use contracts::{Status, limits};

use super::naming::is_mac;

/// QEMU's own network, the only one that every host has.
const USER_NETWORK: &str = "user";

/// Refuses impossible hardware; gives disks and cards the ids and kinds that were left open.
pub(crate) fn complete(hardware: &mut Hardware) -> Result<(), Status> {
    in_range(
        "hardware.vcpus",
        "virtual processors",
        hardware.vcpus.into(),
        1,
        limits::VCPUS_MAX.into(),
    )?;
    in_range(
        "hardware.memory_bytes",
        "bytes of memory",
        hardware.memory_bytes,
        limits::VM_MEMORY_BYTES_MIN,
        limits::VM_MEMORY_BYTES_MAX,
    )?;
    at_most(
        "hardware.disks",
        "disks",
        hardware.disks.len(),
        limits::DISKS_MAX,
    )?;
    at_most(
        "hardware.network_cards",
        "network cards",
        hardware.network_cards.len(),
        limits::NETWORK_CARDS_MAX,
    )?;
    if Firmware::try_from(hardware.firmware).is_err() {
        return Err(
            Status::invalid("hardware.firmware", "That firmware is not known.")
                .action("Choose BIOS or UEFI."),
        );
    }
    check_boot_order("hardware.boot_order", &hardware.boot_order)?;
    for (index, disk) in hardware.disks.iter_mut().enumerate() {
        complete_disk(&format!("hardware.disks[{index}]"), index, disk)?;
    }
    for (index, card) in hardware.network_cards.iter_mut().enumerate() {
        complete_card(&format!("hardware.network_cards[{index}]"), index, card)?;
    }
    unique(
        "hardware.disks",
        hardware.disks.iter().map(|d| d.id.as_str()),
    )?;
    unique(
        "hardware.network_cards",
        hardware.network_cards.iter().map(|c| c.id.as_str()),
    )?;
    let macs = hardware.network_cards.iter().map(|c| c.mac.as_str());
    unique("hardware.network_cards", macs.filter(|m| !m.is_empty()))
}

fn in_range(field: &str, what: &str, value: u64, least: u64, most: u64) -> Result<(), Status> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Status::invalid(
        field,
        format!("A virtual machine cannot have {value} {what}."),
    )
    .action(format!("Give it {least} to {most}.")))
}

fn at_most(field: &str, what: &str, count: usize, most: usize) -> Result<(), Status> {
    if count <= most {
        return Ok(());
    }
    Err(Status::invalid(
        field,
        format!("A virtual machine cannot have {count} {what}."),
    )
    .action(format!("Give it {most} at most.")))
}

fn complete_disk(field: &str, index: usize, disk: &mut Disk) -> Result<(), Status> {
    complete_id(field, "disk", index, &mut disk.id)?;
    if disk.source() == Source::Unspecified {
        disk.set_source(if disk.image.is_empty() {
            Source::Blank
        } else {
            Source::Overlay
        });
    }
    let wants_image = disk.source() != Source::Blank;
    if wants_image {
        check_image_name(&format!("{field}.image"), &disk.image)?;
    } else if !disk.image.is_empty() {
        return Err(Status::invalid(
            format!("{field}.image"),
            format!("Disk {} is to be blank and is given an image.", disk.id),
        )
        .action("Leave the image out, or make the disk from it."));
    }
    // With an image, 0 is the image's own size.
    let least = if wants_image && disk.size_bytes == 0 {
        0
    } else {
        1
    };
    if !(least..=limits::DISK_BYTES_MAX).contains(&disk.size_bytes) {
        return Err(Status::invalid(
            format!("{field}.size_bytes"),
            format!("Disk {} cannot have {} bytes.", disk.id, disk.size_bytes),
        )
        .action(format!("Give it 1 to {}.", limits::DISK_BYTES_MAX)));
    }
    // Where it lies is the host's to say.
    disk.path.clear();
    Ok(())
}

fn complete_card(field: &str, index: usize, card: &mut NetworkCard) -> Result<(), Status> {
    complete_id(field, "nic", index, &mut card.id)?;
    if card.network.is_empty() {
        USER_NETWORK.clone_into(&mut card.network);
    }
    if card.network != USER_NETWORK {
        return Err(Status::invalid(
            format!("{field}.network"),
            format!("There is no network {:?}.", shorten(&card.network)),
        )
        .action("Use the network \"user\"."));
    }
    card.mac.make_ascii_lowercase();
    if card.mac.is_empty() || is_mac(&card.mac) {
        return Ok(());
    }
    Err(Status::invalid(
        format!("{field}.mac"),
        format!(
            "{:?} is not the hardware address of a network card.",
            shorten(&card.mac)
        ),
    )
    .action("Leave it out, or give six bytes as 52:54:00:12:34:56."))
}

fn complete_id(field: &str, prefix: &str, index: usize, id: &mut String) -> Result<(), Status> {
    if id.is_empty() {
        *id = format!("{prefix}{index}");
    }
    if is_token(id) {
        return Ok(());
    }
    Err(Status::invalid(
        format!("{field}.id"),
        format!("{:?} is not an id.", shorten(id)),
    )
    .action(format!("Leave it out, or use one like {prefix}{index}.")))
}

fn unique<'a>(field: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Status> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Status::invalid(field, format!("{name} is named twice."))
                .action("Give each an id and an address of its own, or leave them out."));
        }
    }
    Ok(())
}

/// `<file>` or `<datastore>/<file>`: never a way out of a datastore.
fn check_image_name(field: &str, image: &str) -> Result<(), Status> {
    let parts: Vec<&str> = image.split('/').collect();
    let is_plain = |part: &&str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.contains('\\')
            && !part.contains(char::is_control)
    };
    if parts.len() <= 2 && parts.iter().all(is_plain) && image.len() <= 255 {
        return Ok(());
    }
    Err(Status::invalid(
        field,
        format!("{:?} cannot be the name of an image.", shorten(image)),
    )
    .action("Name an image of a datastore as <file> or <datastore>/<file>."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Hardware {
        Hardware {
            vcpus: 1,
            memory_bytes: 128 << 20,
            disks: vec![Disk {
                image: "guest.qcow2".to_owned(),
                ..Disk::default()
            }],
            network_cards: vec![NetworkCard::default()],
            ..Hardware::default()
        }
    }

    #[test]
    fn what_was_left_open_is_filled_in() {
        let mut hardware = good();
        complete(&mut hardware).unwrap();
        assert_eq!(
            (hardware.disks[0].id.as_str(), hardware.disks[0].source()),
            ("disk0", Source::Overlay)
        );
        assert_eq!(
            (
                hardware.network_cards[0].id.as_str(),
                hardware.network_cards[0].network.as_str()
            ),
            ("nic0", "user")
        );
    }

    #[test]
    fn each_mistake_is_named_by_its_field() {
        let disk = |image: &str, size_bytes: u64, source: Source| Disk {
            image: image.to_owned(),
            size_bytes,
            source: source.into(),
            ..Disk::default()
        };
        type Spoil = Box<dyn Fn(&mut Hardware)>;
        let cases: Vec<(&str, Spoil)> = vec![
            ("hardware.vcpus", Box::new(|h| h.vcpus = 0)),
            ("hardware.vcpus", Box::new(|h| h.vcpus = 241)),
            (
                "hardware.memory_bytes",
                Box::new(|h| h.memory_bytes = 1 << 20),
            ),
            (
                "hardware.memory_bytes",
                Box::new(|h| h.memory_bytes = u64::MAX),
            ),
            (
                "hardware.disks",
                Box::new(|h| h.disks = vec![Disk::default(); 17]),
            ),
            (
                "hardware.network_cards",
                Box::new(|h| h.network_cards = vec![NetworkCard::default(); 9]),
            ),
            (
                "hardware.disks[0].image",
                Box::new(move |h| h.disks[0] = disk("../x", 0, Source::Overlay)),
            ),
            (
                "hardware.disks[0].image",
                Box::new(move |h| h.disks[0] = disk("/etc/shadow", 0, Source::Copy)),
            ),
            (
                "hardware.disks[0].image",
                Box::new(move |h| h.disks[0] = disk("", 0, Source::Copy)),
            ),
            (
                "hardware.disks[0].image",
                Box::new(move |h| h.disks[0] = disk("a", 1, Source::Blank)),
            ),
            (
                "hardware.disks[0].size_bytes",
                Box::new(move |h| h.disks[0] = disk("", 0, Source::Blank)),
            ),
            (
                "hardware.disks[0].size_bytes",
                Box::new(move |h| h.disks[0] = disk("", u64::MAX, Source::Blank)),
            ),
            (
                "hardware.network_cards[0].mac",
                Box::new(|h| h.network_cards[0].mac = "x".to_owned()),
            ),
            (
                "hardware.network_cards[0].network",
                Box::new(|h| h.network_cards[0].network = "x".to_owned()),
            ),
            (
                "hardware.disks",
                Box::new(|h| {
                    h.disks = vec![
                        Disk {
                            id: "a".to_owned(),
                            image: "i".to_owned(),
                            ..Disk::default()
                        };
                        2
                    ]
                }),
            ),
        ];
        for (field, spoil) in cases {
            let mut hardware = good();
            spoil(&mut hardware);
            let refusal = complete(&mut hardware).unwrap_err();
            assert_eq!(refusal.field, field, "{refusal}");
            assert!(!refusal.recommended_action.is_empty(), "{refusal}");
        }
    }
}
