//! Machines as other programs write them down, turned into one plain type. Whoever wrote it is not trusted.
//!
//! | written as | read by |
//! |---|---|
//! | OVF (DSP0243): a descriptor, with its disks beside it | [`ovf`] |
//! | OVA: a tar of the same | [`tar`], then [`ovf`] |
//! | a libvirt domain, as `virsh dumpxml` prints it | [`libvirt`] |
//!
//! What is taken over is what a machine of Muster has: name, description, processors, memory, disks, network cards. All else
//! (controllers, displays, drives for CDs) is passed over. Errors go on from "Package … ".

pub mod libvirt;
pub mod manifest;
pub mod ovf;
pub mod tar;
mod xml;

use std::collections::BTreeSet;

use contracts::{limits, names};

/// A descriptor; programs write 10 KiB to 40 KiB. Beyond this it is none.
pub const DESCRIPTOR_BYTES_MAX: usize = 1 << 20;

const SECTOR_BYTES: u64 = 512;
const MEBIBYTE: u64 = 1 << 20;

/// A machine as it is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// What a machine of Muster can be called after it. Empty: nothing.
    pub name: String,
    pub description: String,
    pub vcpus: u32,
    /// Whole mebibytes.
    pub memory_bytes: u64,
    /// In the order that the machine sees them.
    pub disks: Vec<Disk>,
    /// Hardware addresses of its network cards; empty where none is said.
    pub macs: Vec<String>,
    /// It starts by UEFI, not by BIOS.
    pub uefi: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disk {
    /// A file of the package, by its name in the folder or archive.
    File {
        name: String,
        /// As the library calls it, where the package says which it is.
        format: Option<&'static str>,
    },
    /// Nothing is on it yet.
    Blank { size_bytes: u64 },
}

impl Package {
    /// Refuses what no machine can be.
    fn checked(self) -> Result<Self, String> {
        if !(1..=limits::VCPUS_MAX).contains(&self.vcpus) {
            return Err(format!("has {} processors", self.vcpus));
        }
        let memory = limits::VM_MEMORY_BYTES_MIN..=limits::VM_MEMORY_BYTES_MAX;
        if !memory.contains(&self.memory_bytes) {
            return Err(format!("has {} bytes of memory", self.memory_bytes));
        }
        if self.disks.len() > limits::DISKS_MAX {
            let (there, most) = (self.disks.len(), limits::DISKS_MAX);
            return Err(format!("has {there} disks, and a machine {most} at most"));
        }
        if self.macs.len() > limits::NETWORK_CARDS_MAX {
            let (there, most) = (self.macs.len(), limits::NETWORK_CARDS_MAX);
            return Err(format!(
                "has {there} network cards, and a machine {most} at most"
            ));
        }
        let mut seen = BTreeSet::new();
        for disk in &self.disks {
            match disk {
                Disk::Blank { size_bytes } => check_size(*size_bytes)?,
                Disk::File { name, .. } if !seen.insert(name) => {
                    return Err(format!("has two disks in one file, {}", quoted(name)));
                }
                Disk::File { .. } => {}
            }
        }
        Ok(self)
    }
}

/// Refuses a size that no disk can have.
fn check_size(bytes: u64) -> Result<(), String> {
    match bytes {
        1..=limits::DISK_BYTES_MAX => Ok(()),
        _ => Err(format!("has a disk of {bytes} bytes")),
    }
}

/// A text of a package as it is shown.
fn quoted(text: &str) -> String {
    format!("{:?}", names::shorten(text))
}

/// The file beside the descriptor that a reference means. One that leads elsewhere is refused.
fn beside(reference: &str) -> Result<String, String> {
    const NAME_BYTES_MAX: usize = 255;
    let decoded = percent_decoded(reference);
    let name = decoded
        .as_deref()
        .map_or("", |name| name.strip_prefix("./").unwrap_or(name));
    let is_plain = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.starts_with('.')
        && !name.contains(['/', '\\'])
        && !name.contains(char::is_control);
    match is_plain {
        true => Ok(name.to_owned()),
        false => Err(format!(
            "names file {}, which is none that lies beside it",
            quoted(reference)
        )),
    }
}

/// `%20` is a space. `None`: it makes no text.
fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2)?;
        let is_code = code.bytes().all(|b| b.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(code, 16).ok().filter(|_| is_code)?);
        bytes.extend(part.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// What a machine of Muster is called after a name that people gave elsewhere: "Debian 12 (64-bit)" is `Debian-12-64-bit`.
fn machine_name(text: &str) -> String {
    let plain = text.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = plain.filter(|word| !word.is_empty()).collect();
    let name: String = words.join("-");
    let cut = name.get(..limits::VM_NAME_CHARS_MAX).unwrap_or(&name);
    cut.trim_end_matches('-').to_owned()
}

/// A text for people, of a length that is kept.
fn words(text: &str) -> String {
    let fine = |c: &char| !c.is_control() || *c == '\n';
    let kept = text.trim().chars().filter(fine);
    kept.take(limits::DESCRIPTION_CHARS_MAX).collect()
}

/// A number with its unit, as bytes.
fn bytes_of(number: &str, unit: u64, what: &str) -> Result<u64, String> {
    let count: Option<u64> = number.trim().parse().ok();
    let bytes = count.and_then(|count| count.checked_mul(unit));
    bytes.ok_or_else(|| {
        format!(
            "says that its {what} has {} units of {unit} bytes",
            quoted(number)
        )
    })
}

/// Two cards of one address cannot be told apart: the second gets one of its own.
fn distinct_macs(macs: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let fresh = |mac: String| match seen.insert(mac.clone()) {
        true => mac,
        false => String::new(),
    };
    macs.map(|mac| mac.to_ascii_lowercase())
        .map(fresh)
        .collect()
}

fn processors(text: &str) -> Result<u32, String> {
    let count = text.trim().parse();
    count.map_err(|_| format!("says that it has {} processors", quoted(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_beside_the_descriptor_are_named() {
        for (reference, name) in [
            ("disk.vmdk", "disk.vmdk"),
            ("./disk.vmdk", "disk.vmdk"),
            ("My%20disk.vmdk", "My disk.vmdk"),
        ] {
            assert_eq!(beside(reference).unwrap(), name);
        }
        for reference in [
            "",
            ".",
            "..",
            "../disk.vmdk",
            "/etc/shadow",
            "a/b.vmdk",
            "..%2fdisk.vmdk",
            "%2e%2e/disk.vmdk",
            "https://example.org/disk.vmdk",
            "file:///etc/shadow",
            "..\\disk.vmdk",
            ".hidden",
            "a%00b",
            "a%zz",
            "a%",
            "a%+1",
            "%ff",
        ] {
            let refused = beside(reference).unwrap_err();
            assert!(refused.contains("beside it"), "{reference}: {refused}");
        }
        assert!(beside(&"x".repeat(256)).is_err());
    }

    #[test]
    fn names_that_people_gave_elsewhere_become_names_of_machines() {
        for (text, name) in [
            ("web-01", "web-01"),
            ("Debian 12 (64-bit)", "Debian-12-64-bit"),
            ("-_-", ""),
            ("größe", "gr-e"),
            ("a.example.org", "a-example-org"),
        ] {
            assert_eq!(machine_name(text), name);
        }
        let long = machine_name(&format!("{}-b", "a".repeat(62)));
        assert_eq!(long, "a".repeat(62));
        assert!(names::check_vm_name(&long).is_ok());
    }

    #[test]
    fn a_second_card_of_an_address_gets_one_of_its_own() {
        let macs = ["52:54:00:AA:00:01", "52:54:00:aa:00:01", "", ""];
        let macs = distinct_macs(macs.into_iter().map(str::to_owned));
        assert_eq!(macs, ["52:54:00:aa:00:01", "", "", ""]);
    }
}
