//! The definition of a machine, as it lies beside its disks: readable, versioned, and enough to register the machine
//! on another host.

use std::io;

use contracts::host::{self, Hardware, disk::Source};
use contracts::rest::{BootDevice, Firmware, boot_numbers};
use serde::{Deserialize, Serialize};

use super::definition_check;
use super::folder::{self, Folder};
use crate::limits;

/// Grows by addition; a reader refuses what is newer than itself.
const VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Definition {
    pub(super) version: u32,
    pub(super) vm_id: String,
    pub(super) name: String,
    /// The operation that made it: asked again, the answer is this machine.
    pub(super) operation_id: String,
    pub(super) created_ms: i64,
    /// QEMU's machine type with its version, so that a newer QEMU gives the guest the same devices.
    pub(super) machine_type: String,
    pub(super) vcpus: u32,
    pub(super) memory_bytes: u64,
    pub(super) disks: Vec<Disk>,
    pub(super) network_cards: Vec<NetworkCard>,
    /// Whether the guest is told who it is by a seed beside the disks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) seeded: bool,
    #[serde(default, skip_serializing_if = "Firmware::is_bios")]
    pub(super) firmware: Firmware,
    /// What the firmware tries, in this order; empty: the disks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) boot_order: Vec<BootDevice>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Disk {
    pub(super) id: String,
    /// Name in the machine's folder.
    pub(super) file: String,
    /// The image it was made from, as it was asked for; empty for a blank disk.
    pub(super) image: String,
    pub(super) source: DiskSource,
    pub(super) size_bytes: u64,
    /// What lies below the file, nearest first. The names in the files' own headers are never trusted.
    pub(super) backing: Vec<Layer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DiskSource {
    Overlay,
    Copy,
    Blank,
}

/// An image below a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layer {
    /// Path below the datastore, so that the datastore may be mounted elsewhere.
    pub(super) file: String,
    pub(super) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    Qcow2,
    Raw,
}

impl Format {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NetworkCard {
    pub(super) id: String,
    pub(super) mac: String,
    pub(super) network: String,
}

impl DiskSource {
    /// What a checked request asks for.
    pub(super) fn of(disk: &host::Disk) -> Self {
        match disk.source() {
            Source::Copy => Self::Copy,
            Source::Blank => Self::Blank,
            Source::Overlay | Source::Unspecified => Self::Overlay,
        }
    }

    pub(super) fn to_message(self) -> Source {
        match self {
            Self::Overlay => Source::Overlay,
            Self::Copy => Source::Copy,
            Self::Blank => Source::Blank,
        }
    }
}

impl Definition {
    pub(super) const VERSION: u32 = VERSION;

    pub(super) fn load(folder: &Folder) -> io::Result<Self> {
        Self::parse(&folder::read_limited(
            &folder.definition(),
            limits::DEFINITION_BYTES_MAX,
        )?)
    }

    /// Reads a definition that anybody may have written.
    pub(super) fn parse(content: &[u8]) -> io::Result<Self> {
        let definition: Self = serde_json::from_slice(content)?;
        if definition.version > VERSION {
            let newer = format!(
                "is of version {}, and this agent knows {VERSION}",
                definition.version
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, newer));
        }
        definition
            .check()
            .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
        Ok(definition)
    }

    /// Whether it may be what it says. The error goes on from "its definition …".
    pub(super) fn check(&self) -> Result<(), String> {
        definition_check::check(self)
    }

    pub(super) fn store(&self, folder: &Folder) -> io::Result<()> {
        let mut content = serde_json::to_vec_pretty(self)?;
        content.push(b'\n');
        folder::write_durably(&folder.definition(), &content)
    }

    /// The hardware as the rest of Muster sees it, with what the disks take now.
    pub(super) fn hardware(&self, folder: &Folder) -> Hardware {
        Hardware {
            vcpus: self.vcpus,
            memory_bytes: self.memory_bytes,
            disks: self
                .disks
                .iter()
                .map(|disk| disk.to_message(folder))
                .collect(),
            network_cards: self
                .network_cards
                .iter()
                .map(NetworkCard::to_message)
                .collect(),
            firmware: host::Firmware::from(self.firmware).into(),
            boot_order: boot_numbers(&self.boot_order),
        }
    }
}

impl Disk {
    fn to_message(&self, folder: &Folder) -> host::Disk {
        let path = folder.file(&self.file);
        host::Disk {
            id: self.id.clone(),
            image: self.image.clone(),
            source: self.source.to_message().into(),
            size_bytes: self.size_bytes,
            allocated_bytes: allocated_bytes(&path),
            path: path.to_string_lossy().into_owned(),
            format: Format::Qcow2.name().to_owned(),
        }
    }
}

fn allocated_bytes(path: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    // st_blocks counts in units of 512 bytes, whatever the file system's own block is.
    std::fs::symlink_metadata(path).map_or(0, |m| m.blocks() * 512)
}

impl NetworkCard {
    pub(super) fn to_message(&self) -> host::NetworkCard {
        host::NetworkCard {
            id: self.id.clone(),
            mac: self.mac.clone(),
            network: self.network.clone(),
        }
    }
}

#[cfg(test)]
pub(super) fn sample() -> Definition {
    Definition {
        version: VERSION,
        vm_id: "0198c1a2-7f5e-7b60-9d2b-0a8f2f3c4d5e".to_owned(),
        name: "web-01".to_owned(),
        operation_id: "job/create".to_owned(),
        created_ms: 1,
        machine_type: "pc-q35-10.0".to_owned(),
        vcpus: 2,
        memory_bytes: 128 << 20,
        disks: vec![Disk {
            id: "disk0".to_owned(),
            file: "disk0.qcow2".to_owned(),
            image: "guest.qcow2".to_owned(),
            source: DiskSource::Overlay,
            size_bytes: 64 << 20,
            backing: vec![Layer {
                file: "images/guest.qcow2".to_owned(),
                format: Format::Qcow2,
            }],
        }],
        network_cards: vec![NetworkCard {
            id: "nic0".to_owned(),
            mac: "52:54:00:12:34:56".to_owned(),
            network: "user".to_owned(),
        }],
        seeded: false,
        firmware: Firmware::Bios,
        boot_order: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_comes_back_as_it_was_stored() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().to_owned());
        sample().store(&folder).unwrap();
        assert_eq!(Definition::load(&folder).unwrap(), sample());
    }

    #[test]
    fn a_definition_from_before_there_were_seeds_has_none() {
        let text = serde_json::to_string(&sample()).unwrap();
        assert!(!text.contains("seeded"));
        assert_eq!(Definition::parse(text.as_bytes()).unwrap(), sample());
        let seeded = Definition {
            seeded: true,
            ..sample()
        };
        let text = serde_json::to_vec(&seeded).unwrap();
        assert!(Definition::parse(&text).unwrap().seeded);
    }

    #[test]
    fn a_definition_without_a_word_on_it_is_of_a_machine_with_bios() {
        let text = serde_json::to_string(&sample()).unwrap();
        assert!(!text.contains("firmware") && !text.contains("boot_order"));
        let with = Definition {
            firmware: Firmware::Uefi,
            boot_order: vec![BootDevice::Network, BootDevice::Disk],
            ..sample()
        };
        let text = serde_json::to_vec(&with).unwrap();
        assert_eq!(Definition::parse(&text).unwrap(), with);
    }

    #[test]
    fn a_definition_of_a_newer_agent_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().to_owned());
        Definition {
            version: 2,
            ..sample()
        }
        .store(&folder)
        .unwrap();
        assert!(
            Definition::load(&folder)
                .unwrap_err()
                .to_string()
                .contains("version 2")
        );
    }
}
