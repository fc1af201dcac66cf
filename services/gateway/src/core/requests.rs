//! What clients send, as jobs and placement take it. Checks what a person would mistype, so that nothing is asked of
//! other services that cannot be.

use contracts::host::disk::Source;
use contracts::{host, jobs, limits, names, rest};

use super::placing::{self, NamedHosts};

use crate::error::{Failure, Outcome};

/// The network that needs no bridge.
const DEFAULT_NETWORK: &str = "user";

/// Host groups and hosts that a request named, as ids; empty where it named none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) group_id: String,
    pub(crate) host_id: String,
}

pub(crate) fn vm_create(
    request: rest::CreateVm,
    scope: Scope,
    named: NamedHosts,
    principal: &str,
) -> Outcome<jobs::VmCreate> {
    let rest::CreateVm {
        name,
        vcpus,
        memory_bytes,
        disks,
        network_cards,
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
    names::check_vm_name(&name)?;
    check_description(&description)?;
    check_tags(tags.iter().map(|(key, value)| (key, Some(value))))?;
    if wait_for_guest && !start {
        return Err(Failure::invalid(
            "wait_for_guest",
            "A machine that is not started has no guest to wait for.",
            "Set start as well, or leave wait_for_guest out.",
        ));
    }
    Ok(jobs::VmCreate {
        name,
        hardware: Some(hardware(vcpus, memory_bytes, disks, network_cards)?),
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
    })
}

fn hardware(
    vcpus: u32,
    memory_bytes: u64,
    disks: Vec<rest::NewDisk>,
    cards: Option<Vec<rest::NewNetworkCard>>,
) -> Outcome<host::Hardware> {
    let cards = cards.unwrap_or_else(|| {
        vec![rest::NewNetworkCard {
            network: DEFAULT_NETWORK.to_owned(),
            mac: None,
        }]
    });
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
    })
}

pub(super) fn within(field: &str, value: u64, least: u64, most: u64) -> Outcome<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Failure::invalid(
        field,
        format!("{field}: {value} is not between {least} and {most}."),
        "Choose a value between the two.",
    ))
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

fn check_description(description: &str) -> Outcome<()> {
    let chars = description.chars().count() as u64;
    if chars <= limits::DESCRIPTION_CHARS_MAX as u64 {
        return Ok(());
    }
    Err(Failure::invalid(
        "description",
        format!("The description has {chars} characters."),
        &format!("Use at most {}.", limits::DESCRIPTION_CHARS_MAX),
    ))
}

fn check_tags<'a>(
    tags: impl ExactSizeIterator<Item = (&'a String, Option<&'a String>)>,
) -> Outcome<()> {
    within("tags", tags.len() as u64, 0, limits::TAGS_MAX as u64)?;
    let fits = |text: &str| text.chars().count() <= limits::TAG_CHARS_MAX;
    for (key, value) in tags {
        if key.is_empty() || !fits(key) || !value.is_none_or(|value| fits(value)) {
            return Err(Failure::invalid(
                &format!("tags.{}", names::shorten(key)),
                format!("The tag {:?} is empty or too long.", names::shorten(key)),
                &format!("Use 1 to {} characters.", limits::TAG_CHARS_MAX),
            ));
        }
    }
    Ok(())
}

pub(crate) fn vm_update(vm_id: String, request: rest::UpdateVm) -> Outcome<jobs::VmUpdate> {
    if request == rest::UpdateVm::default() {
        return Err(nothing_to_change());
    }
    let rest::UpdateVm {
        owner,
        description,
        tags,
    } = request;
    check_description(description.as_deref().unwrap_or_default())?;
    check_tags(tags.iter().map(|(key, value)| (key, value.as_ref())))?;
    let (set, removed): (Vec<_>, Vec<_>) = tags.into_iter().partition(|(_, v)| v.is_some());
    Ok(jobs::VmUpdate {
        vm_id,
        owner,
        description,
        set_tags: set.into_iter().filter_map(|(k, v)| Some((k, v?))).collect(),
        remove_tags: removed.into_iter().map(|(key, _)| key).collect(),
    })
}

pub(super) fn nothing_to_change() -> Failure {
    Failure::invalid(
        "",
        "The request names nothing to change.",
        "Set at least one field.",
    )
}

pub(crate) fn group_create(
    request: rest::CreateGroup,
    parent_id: String,
) -> Outcome<jobs::GroupCreate> {
    let rest::CreateGroup {
        name,
        parent: _,
        description,
    } = request;
    names::check_title("name", &name)?;
    check_description(&description)?;
    Ok(jobs::GroupCreate {
        name,
        parent_id,
        description,
    })
}

pub(crate) fn group_update(
    group_id: String,
    request: rest::UpdateGroup,
    parent_id: Option<String>,
) -> Outcome<jobs::GroupUpdate> {
    if request == rest::UpdateGroup::default() {
        return Err(nothing_to_change());
    }
    let rest::UpdateGroup {
        name,
        parent: _,
        description,
        encryption,
        reserves,
        settings,
        inherit,
    } = request;
    if let Some(name) = &name {
        names::check_title("name", name)?;
    }
    check_description(description.as_deref().unwrap_or_default())?;
    Ok(jobs::GroupUpdate {
        group_id,
        name,
        parent_id,
        description,
        encryption: encryption.map(|said| contracts::data::Encryption::from(said).into()),
        reserves: reserves.map(Into::into),
        settings: settings.map(Into::into),
        inherit,
    })
}

/// Names and ids of the fields at fault, as the client knows them.
pub(crate) fn rename_field(mut status: contracts::Status) -> contracts::Status {
    if let Some(rest) = status.field.strip_prefix("hardware.") {
        status.field = rest.to_owned();
    }
    status
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn request() -> rest::CreateVm {
        rest::CreateVm {
            name: "web-01".to_owned(),
            vcpus: 2,
            memory_bytes: 1 << 30,
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
        assert_eq!(with(&|r| r.vcpus = 0), "vcpus");
        assert_eq!(with(&|r| r.memory_bytes = 1), "memory_bytes");
        assert_eq!(with(&|r| r.memory_bytes = u64::MAX), "memory_bytes");
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
    fn a_tag_set_to_null_is_removed() {
        let request = rest::UpdateVm {
            tags: [
                ("env".to_owned(), Some("prod".to_owned())),
                ("old".to_owned(), None),
            ]
            .into(),
            ..rest::UpdateVm::default()
        };
        let update = vm_update("v1".to_owned(), request).unwrap();
        assert_eq!(
            update.set_tags,
            [("env".to_owned(), "prod".to_owned())].into()
        );
        assert_eq!(update.remove_tags, ["old"]);
        assert!(vm_update("v1".to_owned(), rest::UpdateVm::default()).is_err());
    }
}
