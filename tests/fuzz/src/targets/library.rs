//! What lies in shares of the library.

use std::io::Cursor;

use agent::core::package::{Disk, Package, libvirt, ovf, tar};
use contracts::limits::{DISK_BYTES_MAX, DISKS_MAX, NETWORK_CARDS_MAX};
use contracts::names;
use contracts::stored::StoredVm;

use super::promise;

/// A definition that is accepted is the same when it is written and read again, and names nothing outside its folder.
pub(super) fn stored(input: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else {
        return Ok(());
    };
    let stored = match StoredVm::parse(text) {
        Ok(stored) => stored,
        Err(why) => return promise(!why.is_empty(), "a refusal without a reason"),
    };
    let again = StoredVm::parse(&stored.to_text()?);
    promise(
        again.as_ref() == Ok(&stored),
        "a definition changed by being written",
    )?;
    promise(stored.disks.len() <= DISKS_MAX, "too many disks")?;
    for disk in &stored.disks {
        let is_beside =
            !disk.file.is_empty() && !disk.file.contains('/') && !disk.file.starts_with('.');
        promise(is_beside, "a disk outside the folder")?;
        promise(disk.size_bytes <= DISK_BYTES_MAX, "a disk of absurd size")?;
    }
    promise(
        !stored.machine_type.contains(','),
        "a word of the command line more",
    )
}

/// A machine that others wrote down is one of sizes that a machine can have, in files beside its descriptor.
pub(super) fn package(input: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else {
        return Ok(());
    };
    for read in [ovf::parse(text), libvirt::parse(text)] {
        match read {
            Ok(package) => is_a_machine(&package)?,
            Err(why) => promise(
                !why.is_empty() && why.len() <= 1_000,
                "a refusal without a reason, or one that is too long",
            )?,
        }
    }
    Ok(())
}

fn is_a_machine(package: &Package) -> Result<(), String> {
    let is_named = package.name.is_empty() || names::check_vm_name(&package.name).is_ok();
    promise(is_named, "a name that no machine can have")?;
    promise(package.disks.len() <= DISKS_MAX, "too many disks")?;
    promise(package.macs.len() <= NETWORK_CARDS_MAX, "too many cards")?;
    promise(
        package.memory_bytes.is_multiple_of(1 << 20),
        "memory that is no whole number of mebibytes",
    )?;
    for disk in &package.disks {
        match disk {
            Disk::Blank { size_bytes } => {
                promise(*size_bytes <= DISK_BYTES_MAX, "a disk of absurd size")?;
            }
            Disk::File { name, .. } => {
                let is_beside = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
                promise(is_beside, "a disk outside the folder")?;
            }
        }
    }
    Ok(())
}

/// Members of an archive lie in it, and do not lead out of it.
pub(super) fn archive(input: &[u8]) -> Result<(), String> {
    let bytes = input.len() as u64;
    let members = match tar::members(Cursor::new(input), bytes) {
        Ok(members) => members,
        Err(why) => return promise(!why.is_empty(), "a refusal without a reason"),
    };
    for member in members {
        let end = member.offset_bytes.checked_add(member.bytes);
        promise(end.is_some_and(|end| end <= bytes), "a member outside")?;
        let leads_out = member.name.starts_with('/') || member.name.split('/').any(|p| p == "..");
        promise(!leads_out, "a member that leads out")?;
    }
    Ok(())
}

pub(super) mod samples {
    pub(in super::super) fn package() -> Vec<Vec<u8>> {
        let ovf = r#"<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1">
            <References><File ovf:id="f" ovf:href="web.vmdk"/></References>
            <DiskSection><Disk ovf:capacity="16" ovf:capacityAllocationUnits="byte * 2^30" ovf:diskId="d" ovf:fileRef="f"/>
            <Disk ovf:capacity="1000" ovf:diskId="e"/></DiskSection>
            <VirtualSystem ovf:id="web &amp; more"><VirtualHardwareSection>
            <Item><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
            <Item><rasd:ResourceType>4</rasd:ResourceType><rasd:AllocationUnits>MegaBytes</rasd:AllocationUnits>
            <rasd:VirtualQuantity>512</rasd:VirtualQuantity></Item>
            <Item><rasd:ResourceType>17</rasd:ResourceType><rasd:HostResource>ovf:/disk/d</rasd:HostResource></Item>
            <Item><rasd:ResourceType>17</rasd:ResourceType><rasd:HostResource>ovf:/disk/e</rasd:HostResource></Item>
            <Item><rasd:ResourceType>10</rasd:ResourceType><rasd:Address>00:50:56:00:00:01</rasd:Address></Item>
            </VirtualHardwareSection></VirtualSystem></Envelope>"#;
        let domain = "<domain type='kvm'><name>db</name><memory unit='KiB'>524288</memory><vcpu current='2'>4</vcpu>
            <os><type arch='x86_64'>hvm</type></os><devices><disk type='file' device='disk'>
            <driver type='qcow2'/><source file='/images/db.qcow2'/><target dev='vda'/><boot order='1'/></disk>
            <interface type='network'><mac address='52:54:00:00:00:01'/></interface></devices></domain>";
        [ovf, domain].map(|text| text.as_bytes().to_vec()).into()
    }

    pub(in super::super) fn archive() -> Vec<Vec<u8>> {
        /// A header of ustar, by its fields; the sum is over all bytes, its own as spaces.
        fn header(name: &str, kind: u8, bytes: usize) -> Vec<u8> {
            let mut header = vec![0; 512];
            let mut put = |at: usize, field: &[u8]| {
                header.splice(at..at + field.len(), field.iter().copied());
            };
            put(0, name.as_bytes());
            put(100, b"0000644\0");
            put(124, format!("{bytes:011o}\0").as_bytes());
            put(148, b"        ");
            put(156, &[kind]);
            put(257, b"ustar\x0000");
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header.splice(148..156, format!("{sum:06o}\0 ").into_bytes());
            header
        }
        let member = |name: &str, kind: u8, content: &str| {
            let mut bytes = header(name, kind, content.len());
            bytes.extend(content.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(512), 0);
            bytes
        };
        let whole = [
            member("web.ovf", b'0', "<Envelope/>"),
            member("longname", b'L', &"x".repeat(200)),
            member("web.vmdk", b'0', "KDMV"),
            vec![0; 1024],
        ];
        let linked = [
            member("x", b'x', "16 path=a.vmdk\n"),
            member("a", b'2', ""),
            vec![0; 1024],
        ];
        vec![whole.concat(), linked.concat()]
    }

    pub(in super::super) fn stored() -> Vec<Vec<u8>> {
        let whole = r#"{"version": 1, "id": "0198c1a2-7f5e-7b60-9d2b-0a8f2f3c4d5e", "name": "web-01", "owner": "ann",
            "description": "for the web", "tags": {"tier": "web"}, "vcpus": 2, "memory_bytes": 134217728,
            "disks": [{"id": "disk0", "file": "disk0.qcow2", "size_bytes": 67108864}],
            "network_cards": [{"id": "nic0", "mac": "52:54:00:12:34:56", "network": "user"}],
            "machine_type": "pc-q35-10.0", "seeded": true}"#;
        let least =
            r#"{"version": 1, "id": "v1", "name": "v1", "vcpus": 1, "memory_bytes": 16777216}"#;
        [whole, least].map(|text| text.as_bytes().to_vec()).into()
    }
}
