//! A machine that is stored: what lies in its folder in a share, and how that is read. People may read and change it, so
//! nothing in it is trusted.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::host::disk::Source;
use crate::host::{self, Hardware};
use crate::rest::{BootDevice, Firmware, boot_numbers};
use crate::{limits, names};

/// What the name of a definition ends with, whatever the case.
pub const ENDING: &str = ".muster.json";

/// What definitions are called that Muster writes, in the folder with the disks.
pub const DEFINITION: &str = "machine.muster.json";

/// What the guest was told when it first booted. It may hold passwords, so it is no item of the library.
pub const SEED: &str = "seed";

/// What the machine's UEFI firmware has noted: what to start, and in which order.
pub const VARIABLES: &str = "firmware.vars";

/// What the names of the machine types begin with that machines are made of here; a version follows.
pub const Q35: &str = "pc-q35-";

/// Bytes of a definition: 16 disks, 8 cards, 64 tags and a description, several times over.
pub const DEFINITION_BYTES_MAX: usize = limits::USER_DATA_BYTES_MAX;

/// Grows by addition; a reader refuses what is newer than itself.
const VERSION: u32 = 1;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredVm {
    /// Of this format.
    pub version: u32,
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub owner: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    pub vcpus: u32,
    pub memory_bytes: u64,
    /// In the order that the machine sees them.
    #[serde(default)]
    pub disks: Vec<StoredDisk>,
    #[serde(default)]
    pub network_cards: Vec<StoredCard>,
    /// The hypervisor's own word for the machine's devices, so that the guest finds the same. Empty: those of its new host.
    #[serde(default)]
    pub machine_type: String,
    /// Whether [`SEED`] lies beside the disks.
    #[serde(default)]
    pub seeded: bool,
    /// With UEFI [`VARIABLES`] lies beside the disks.
    #[serde(default, skip_serializing_if = "Firmware::is_bios")]
    pub firmware: Firmware,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boot_order: Vec<BootDevice>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredDisk {
    pub id: String,
    /// In the same folder: a qcow2 file that lies on no other.
    pub file: String,
    /// Size that the guest sees.
    pub size_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCard {
    pub id: String,
    pub mac: String,
    pub network: String,
}

/// What a disk is called in the folder.
pub fn disk_file(disk_id: &str) -> String {
    format!("{disk_id}.qcow2")
}

impl StoredVm {
    pub const VERSION: u32 = VERSION;

    /// Reads a definition that anybody may have written. The error goes on from "The definition …".
    pub fn parse(text: &str) -> Result<Self, String> {
        let stored: Self = serde_json::from_str(text)
            .map_err(|error| format!("is no definition of a machine: {error}"))?;
        if stored.version > VERSION {
            return Err(format!(
                "is of version {}, and this release knows {VERSION}",
                stored.version
            ));
        }
        stored.check()?;
        Ok(stored)
    }

    /// As it lies in the folder: readable, with a line break at its end.
    pub fn to_text(&self) -> Result<String, String> {
        let text = serde_json::to_string_pretty(self);
        let text = text.map_err(|error| format!("cannot be written: {error}"))?;
        Ok(text + "\n")
    }

    fn check(&self) -> Result<(), String> {
        let said =
            |status: crate::Status| format!("says what no machine can be: {}", status.message);
        names::check_id("id", &self.id).map_err(said)?;
        names::check_vm_name(&self.name).map_err(said)?;
        names::check_words(&self.owner, &self.description, &self.tags).map_err(said)?;
        let ids = self.disks.iter().map(|disk| disk.id.as_str());
        check_ids(ids, limits::DISKS_MAX, "disks")?;
        let ids = self.network_cards.iter().map(|card| card.id.as_str());
        check_ids(ids, limits::NETWORK_CARDS_MAX, "network cards")?;
        for disk in &self.disks {
            let is_plain = names::check_image_file("file", &disk.file).is_ok();
            if !is_plain {
                return Err(format!("has disk {} in a file elsewhere", disk.id));
            }
            if !(1..=limits::DISK_BYTES_MAX).contains(&disk.size_bytes) {
                return Err(format!("has disk {} of {} bytes", disk.id, disk.size_bytes));
            }
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        match self.machine_type.len() <= 64 && self.machine_type.bytes().all(plain) {
            true => Ok(()),
            false => Err("names a machine type that cannot be one".to_owned()),
        }
    }

    /// What the machine is made of: its disks are files of their own.
    pub fn hardware(&self) -> Hardware {
        let disk = |disk: &StoredDisk| host::Disk {
            id: disk.id.clone(),
            source: Source::Blank.into(),
            size_bytes: disk.size_bytes,
            ..host::Disk::default()
        };
        let card = |card: &StoredCard| host::NetworkCard {
            id: card.id.clone(),
            mac: card.mac.to_ascii_lowercase(),
            network: card.network.clone(),
        };
        Hardware {
            vcpus: self.vcpus,
            memory_bytes: self.memory_bytes,
            disks: self.disks.iter().map(disk).collect(),
            network_cards: self.network_cards.iter().map(card).collect(),
            firmware: host::Firmware::from(self.firmware).into(),
            boot_order: boot_numbers(&self.boot_order),
        }
    }
}

fn check_ids<'a>(
    ids: impl ExactSizeIterator<Item = &'a str>,
    most: usize,
    what: &str,
) -> Result<(), String> {
    if ids.len() > most {
        return Err(format!("has {} {what}", ids.len()));
    }
    let mut seen = BTreeSet::new();
    for id in ids {
        if !names::is_token(id) || !seen.insert(id) {
            return Err(format!("has {what} without names of their own"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn stored() -> StoredVm {
        StoredVm {
            version: VERSION,
            id: "v1".to_owned(),
            name: "web-01".to_owned(),
            vcpus: 2,
            memory_bytes: 128 << 20,
            disks: vec![StoredDisk {
                id: "disk0".to_owned(),
                file: disk_file("disk0"),
                size_bytes: 64 << 20,
            }],
            network_cards: vec![StoredCard {
                id: "nic0".to_owned(),
                mac: "52:54:00:AA:00:01".to_owned(),
                network: "user".to_owned(),
            }],
            machine_type: "pc-q35-10.0".to_owned(),
            ..StoredVm::default()
        }
    }

    #[test]
    fn a_definition_is_read_as_it_was_written() {
        let text = stored().to_text().unwrap();
        assert_eq!(StoredVm::parse(&text).unwrap(), stored());
        let hardware = stored().hardware();
        assert_eq!(hardware.disks[0].source(), Source::Blank);
        assert_eq!(hardware.network_cards[0].mac, "52:54:00:aa:00:01");
        // What is not said is nothing; what is not known is passed over.
        let short = r#"{"version":1,"id":"v","name":"v","vcpus":1,"memory_bytes":1,"later":{}}"#;
        assert_eq!(StoredVm::parse(short).unwrap().disks, []);
    }

    #[test]
    fn nothing_in_a_definition_is_trusted() {
        let refusal = |change: fn(&mut StoredVm)| {
            let mut wrong = stored();
            change(&mut wrong);
            StoredVm::parse(&wrong.to_text().unwrap()).unwrap_err()
        };
        assert!(refusal(|s| s.version = 2).contains("version 2"));
        assert!(refusal(|s| s.id = "../x".to_owned()).contains("no machine can be"));
        assert!(refusal(|s| s.name = "a b".to_owned()).contains("no machine can be"));
        for file in ["", "../x.qcow2", "/etc/shadow", ".x", "a/b"] {
            let mut wrong = stored();
            file.clone_into(&mut wrong.disks[0].file);
            let refused = StoredVm::parse(&wrong.to_text().unwrap()).unwrap_err();
            assert!(refused.contains("elsewhere"), "{file}: {refused}");
        }
        assert!(refusal(|s| s.disks[0].size_bytes = u64::MAX).contains("bytes"));
        assert!(refusal(|s| s.disks = vec![s.disks[0].clone(); 2]).contains("disks"));
        assert!(refusal(|s| s.disks = vec![s.disks[0].clone(); 17]).contains("17 disks"));
        assert!(refusal(|s| s.machine_type = "q35,kernel=x".to_owned()).contains("type"));
        assert!(StoredVm::parse("[]").unwrap_err().contains("no definition"));
    }
}
