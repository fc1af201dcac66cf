//! A virtual machine that a client wants made, as jobs take it.

use std::collections::BTreeMap;

use contracts::host::disk::Source;
use contracts::{host, jobs, limits, names, rest};

use super::placing::{self, NamedHosts};
use super::requests::{Scope, check_description, check_tags, within};
use crate::error::{Failure, Outcome};

/// The network that needs no bridge.
const DEFAULT_NETWORK: &str = "user";

pub(crate) fn vm_create(
    request: rest::CreateVm,
    scope: Scope,
    named: NamedHosts,
    principal: &str,
) -> Outcome<jobs::VmCreate> {
    let rest::CreateVm {
        name,
        template,
        guest,
        vcpus,
        memory_bytes,
        disks,
        network_cards,
        firmware,
        boot_order,
        owner,
        description,
        tags,
        // Looked up in `scope`.
        group: _,
        host: _,
        datastore,
        start,
        wait_for_guest,
        placing,
    } = request;
    check_words(&name, &description, &tags)?;
    check_waiting(start, wait_for_guest)?;
    let hardware = match template.as_deref() {
        Some("") => {
            return Err(Failure::invalid(
                "template",
                "The template has no name.",
                "Name a template, or leave it out.",
            ));
        }
        Some(_) if firmware.is_some() => {
            return Err(Failure::invalid(
                "firmware",
                "The firmware of a machine that is made from a template is what the template says.",
                "Leave firmware out, or use a template whose hardware profile has it.",
            ));
        }
        Some(_) => otherwise(vcpus, memory_bytes, disks, network_cards)?,
        None => hardware(vcpus.unwrap_or(1), memory_bytes, disks, network_cards)?,
    };
    let hardware = host::Hardware {
        firmware: host::Firmware::from(firmware.unwrap_or_default()).into(),
        boot_order: rest::boot_numbers(&boot_order),
        ..hardware
    };
    let guest = guest.unwrap_or_default();
    Ok(jobs::VmCreate {
        name,
        hardware: Some(hardware),
        template: template.unwrap_or_default(),
        guest_profile: guest.profile.unwrap_or_default(),
        host_name: guest.host_name.unwrap_or_default(),
        ssh_keys: guest.ssh_keys,
        owner: owner.unwrap_or_else(|| principal.to_owned()),
        description,
        tags,
        group_id: scope.group_id,
        host_id: scope.host_id,
        start,
        wait_for_guest,
        datastore: datastore.unwrap_or_default(),
        goal: placing::goal(&placing),
        weights: placing.weights.map(Into::into),
        placing: (placing != rest::Placing::default())
            .then(|| placing::requirements(placing, named)),
        ..jobs::VmCreate::default()
    })
}

fn check_words(name: &str, description: &str, tags: &BTreeMap<String, String>) -> Outcome<()> {
    names::check_vm_name(name)?;
    check_description(description)?;
    check_tags(tags.iter().map(|(key, value)| (key, Some(value))))
}

pub(super) fn check_waiting(start: bool, wait_for_guest: bool) -> Outcome<()> {
    if start || !wait_for_guest {
        return Ok(());
    }
    Err(Failure::invalid(
        "wait_for_guest",
        "A machine that is not started has no guest to wait for.",
        "Set start as well, or leave wait_for_guest out.",
    ))
}

/// A machine that is to be made of another.
pub(crate) fn vm_clone(
    clone_of: String,
    request: rest::CloneVm,
    principal: &str,
) -> Outcome<jobs::VmCreate> {
    let rest::CloneVm {
        name,
        linked,
        guest,
        owner,
        description,
        tags,
        start,
        wait_for_guest,
    } = request;
    check_words(&name, &description, &tags)?;
    check_waiting(start, wait_for_guest)?;
    let guest = guest.unwrap_or_default();
    Ok(jobs::VmCreate {
        name,
        clone_of,
        linked,
        guest_profile: guest.profile.unwrap_or_default(),
        host_name: guest.host_name.unwrap_or_default(),
        ssh_keys: guest.ssh_keys,
        owner: owner.unwrap_or_else(|| principal.to_owned()),
        description,
        tags,
        start,
        wait_for_guest,
        ..jobs::VmCreate::default()
    })
}

fn hardware(
    vcpus: u32,
    memory_bytes: Option<u64>,
    disks: Vec<rest::NewDisk>,
    cards: Option<Vec<rest::NewNetworkCard>>,
) -> Outcome<host::Hardware> {
    let cards = cards.unwrap_or_else(|| {
        vec![rest::NewNetworkCard {
            network: DEFAULT_NETWORK.to_owned(),
            mac: None,
        }]
    });
    let memory_bytes = memory_bytes.ok_or_else(|| {
        Failure::invalid(
            "memory_bytes",
            "How much memory the machine has is not said.",
            "Set memory_bytes, or make the machine from a template.",
        )
    })?;
    within("vcpus", vcpus.into(), 1, limits::VCPUS_MAX.into())?;
    within(
        "memory_bytes",
        memory_bytes,
        limits::VM_MEMORY_BYTES_MIN,
        limits::VM_MEMORY_BYTES_MAX,
    )?;
    within("disks", disks.len() as u64, 0, limits::DISKS_MAX as u64)?;
    within(
        "network_cards",
        cards.len() as u64,
        0,
        limits::NETWORK_CARDS_MAX as u64,
    )?;
    Ok(host::Hardware {
        vcpus,
        memory_bytes,
        disks: disks
            .into_iter()
            .enumerate()
            .map(disk)
            .collect::<Outcome<_>>()?,
        network_cards: cards.into_iter().enumerate().map(card).collect(),
        ..host::Hardware::default()
    })
}

/// What is to be otherwise than in a template; the rest is the template's.
fn otherwise(
    vcpus: Option<u32>,
    memory_bytes: Option<u64>,
    disks: Vec<rest::NewDisk>,
    cards: Option<Vec<rest::NewNetworkCard>>,
) -> Outcome<host::Hardware> {
    if cards.as_ref().is_some_and(Vec::is_empty) {
        return Err(Failure::invalid(
            "network_cards",
            "A machine of a template without a network card is not asked for so.",
            "Leave network_cards out, and give the template a hardware profile without networks.",
        ));
    }
    let whole = hardware(
        vcpus.unwrap_or(1),
        memory_bytes.or(Some(limits::VM_MEMORY_BYTES_MIN)),
        disks,
        cards.clone(),
    )?;
    Ok(host::Hardware {
        vcpus: vcpus.unwrap_or(0),
        memory_bytes: memory_bytes.unwrap_or(0),
        network_cards: match cards {
            Some(_) => whole.network_cards,
            None => Vec::new(),
        },
        disks: whole.disks,
        ..host::Hardware::default()
    })
}

fn disk((index, disk): (usize, rest::NewDisk)) -> Outcome<host::Disk> {
    let rest::NewDisk {
        image,
        source,
        size_bytes,
    } = disk;
    let field = |name: &str| format!("disks[{index}].{name}");
    let image = image.unwrap_or_default();
    let source = match source {
        Some(source) => Source::from(source),
        None if image.is_empty() => Source::Blank,
        None => Source::Overlay,
    };
    let size_bytes = size_bytes.unwrap_or(0);
    match source {
        Source::Blank if !image.is_empty() => Err(Failure::invalid(
            &field("image"),
            "A blank disk is made from no image.",
            "Leave the image out, or use overlay or copy.",
        )),
        Source::Blank => within(&field("size_bytes"), size_bytes, 1, limits::DISK_BYTES_MAX),
        Source::Overlay | Source::Copy if image.is_empty() => Err(Failure::invalid(
            &field("image"),
            "An overlay or copy needs an image.",
            "Name an image of a host's datastore (they are listed with the host).",
        )),
        Source::Overlay | Source::Copy => {
            within(&field("size_bytes"), size_bytes, 0, limits::DISK_BYTES_MAX)
        }
        Source::Unspecified => Err(Failure::invalid(
            &field("source"),
            "\"unknown\" is no source of a disk.",
            "Use overlay, copy or blank.",
        )),
    }?;
    Ok(host::Disk {
        id: format!("disk{index}"),
        image,
        source: source.into(),
        size_bytes,
        ..host::Disk::default()
    })
}

fn card((index, card): (usize, rest::NewNetworkCard)) -> host::NetworkCard {
    let rest::NewNetworkCard { network, mac } = card;
    host::NetworkCard {
        id: format!("nic{index}"),
        mac: mac.unwrap_or_default(),
        network,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn request() -> rest::CreateVm {
        rest::CreateVm {
            name: "web-01".to_owned(),
            vcpus: Some(2),
            memory_bytes: Some(1 << 30),
            disks: vec![rest::NewDisk {
                image: Some("debian.qcow2".to_owned()),
                ..rest::NewDisk::default()
            }],
            ..rest::CreateVm::default()
        }
    }

    fn field_at_fault(request: rest::CreateVm) -> String {
        let failure =
            vm_create(request, Scope::default(), NamedHosts::default(), "local").unwrap_err();
        failure.status().field.clone()
    }

    #[test]
    fn what_is_not_said_is_what_most_want() {
        let create =
            vm_create(request(), Scope::default(), NamedHosts::default(), "local").unwrap();
        let hardware = create.hardware.unwrap();
        assert_eq!(create.owner, "local");
        assert_eq!(hardware.disks[0].source(), Source::Overlay);
        assert_eq!(hardware.disks[0].id, "disk0");
        assert_eq!(hardware.network_cards[0].network, "user");
        let none = rest::CreateVm {
            network_cards: Some(Vec::new()),
            ..request()
        };
        let create = vm_create(none, Scope::default(), NamedHosts::default(), "local").unwrap();
        assert_eq!(create.hardware.unwrap().network_cards, []);
    }

    #[test]
    fn what_cannot_be_is_refused_by_the_name_of_its_field() {
        let with = |change: &dyn Fn(&mut rest::CreateVm)| {
            let mut request = request();
            change(&mut request);
            field_at_fault(request)
        };
        assert_eq!(with(&|r| r.name = "a/b".to_owned()), "name");
        assert_eq!(with(&|r| r.vcpus = Some(0)), "vcpus");
        assert_eq!(with(&|r| r.memory_bytes = Some(1)), "memory_bytes");
        assert_eq!(with(&|r| r.memory_bytes = Some(u64::MAX)), "memory_bytes");
        assert_eq!(with(&|r| r.memory_bytes = None), "memory_bytes");
        assert_eq!(with(&|r| r.template = Some(String::new())), "template");
        assert_eq!(with(&|r| r.wait_for_guest = true), "wait_for_guest");
        assert_eq!(
            with(&|r| r.disks = vec![rest::NewDisk::default(); 17]),
            "disks"
        );
        assert_eq!(with(&|r| r.disks[0].image = None), "disks[0].size_bytes");
        assert_eq!(
            with(&|r| r.disks[0].source = Some(rest::DiskSource::Blank)),
            "disks[0].image"
        );
        assert_eq!(
            with(&|r| r.tags = [(String::new(), String::new())].into()),
            "tags."
        );
    }

    #[test]
    fn a_clone_is_asked_for_by_its_name_and_what_it_is_of() {
        let clone = |change: &dyn Fn(&mut rest::CloneVm)| {
            let mut request = rest::CloneVm {
                name: "web-02".to_owned(),
                linked: true,
                ..rest::CloneVm::default()
            };
            change(&mut request);
            vm_clone("v1".to_owned(), request, "local")
        };
        let asked = clone(&|_| {}).unwrap();
        assert!(asked.linked && asked.clone_of == "v1" && asked.owner == "local");
        let field =
            |change: &dyn Fn(&mut rest::CloneVm)| clone(change).unwrap_err().status().field.clone();
        assert_eq!(field(&|r| r.name = "a/b".to_owned()), "name");
        assert_eq!(field(&|r| r.wait_for_guest = true), "wait_for_guest");
    }

    #[test]
    fn beside_a_template_only_what_is_said_is_asked_for() {
        let request = rest::CreateVm {
            name: "web-01".to_owned(),
            template: Some("debian".to_owned()),
            memory_bytes: Some(1 << 30),
            guest: Some(rest::SetGuest {
                host_name: Some("web".to_owned()),
                ..rest::SetGuest::default()
            }),
            ..rest::CreateVm::default()
        };
        let (scope, named) = (Scope::default(), NamedHosts::default());
        let create = vm_create(request.clone(), scope, named, "local").unwrap();
        let hardware = create.hardware.unwrap();
        assert_eq!((hardware.vcpus, hardware.memory_bytes), (0, 1 << 30));
        assert_eq!((hardware.disks.len(), hardware.network_cards.len()), (0, 0));
        assert_eq!(
            (create.template.as_str(), create.host_name.as_str()),
            ("debian", "web")
        );
        let without_cards = rest::CreateVm {
            network_cards: Some(Vec::new()),
            ..request.clone()
        };
        assert_eq!(field_at_fault(without_cards), "network_cards");
        let otherwise = rest::CreateVm {
            firmware: Some(rest::Firmware::Bios),
            ..request
        };
        assert_eq!(field_at_fault(otherwise), "firmware");
    }
}
