//! Reads the descriptor of an OVF package (DSP0243, versions 1 and 2), as VMware, VirtualBox and others write it.

use super::xml::{self, Element};
use super::{
    Disk, MEBIBYTE, Package, SECTOR_BYTES, beside, bytes_of, check_size, distinct_macs,
    machine_name, processors, quoted, words,
};

/// Kinds of items, as CIM numbers them (`CIM_ResourceAllocationSettingData.ResourceType`).
const PROCESSORS: &str = "3";
const MEMORY: &str = "4";
const NETWORK_CARD: &str = "10";
const DISK: &str = "17";

/// Reads a descriptor. The error goes on from "Package … ".
pub fn parse(text: &str) -> Result<Package, String> {
    let envelope = xml::parse(text)?;
    if envelope.name != "Envelope" {
        let name = quoted(&envelope.name);
        return Err(format!(
            "is no OVF: it is an element {name}, and no Envelope"
        ));
    }
    if envelope.child("VirtualSystemCollection").is_some() {
        let why = "holds several machines; take it apart, and import each by itself";
        return Err(why.to_owned());
    }
    let system = envelope.child("VirtualSystem");
    let system = system.ok_or_else(|| "holds no VirtualSystem".to_owned())?;
    let hardware = system.child("VirtualHardwareSection");
    let hardware = hardware.ok_or_else(|| "says nothing of the machine's hardware".to_owned())?;
    let items = Items::of(&envelope, hardware);
    let package = Package {
        name: name(system),
        description: description(system),
        vcpus: items.vcpus()?,
        memory_bytes: items.memory_bytes()?,
        disks: items.disks(&envelope)?,
        macs: distinct_macs(items.of_kind(NETWORK_CARD).map(mac)),
        uefi: is_uefi(system),
    };
    package.checked()
}

fn name(system: &Element) -> String {
    let names = [system.text_of("Name"), system.get("id")];
    let mut names = names.into_iter().map(machine_name);
    let found = names.find(|name| !name.is_empty());
    found.unwrap_or_default()
}

/// What people wrote to it; else which system it is.
fn description(system: &Element) -> String {
    let annotation = system.child("AnnotationSection");
    let os = system.child("OperatingSystemSection");
    let texts = [
        annotation.map_or("", |section| section.text_of("Annotation")),
        os.map_or("", |section| section.text_of("Description")),
    ];
    let said = texts.into_iter().find(|text| !text.is_empty());
    words(said.unwrap_or_default())
}

/// VMware says it as a setting, VirtualBox in a section of its own.
fn is_uefi(system: &Element) -> bool {
    system.below().any(|element| match element.name.as_str() {
        "Config" => {
            element.get("key").eq_ignore_ascii_case("firmware")
                && element.get("value").eq_ignore_ascii_case("efi")
        }
        "Firmware" => element.get("type").to_ascii_uppercase().starts_with("EFI"),
        _ => false,
    })
}

/// Items of the hardware that count in the configuration that is taken where nobody chooses.
struct Items<'a>(Vec<&'a Element>);

impl<'a> Items<'a> {
    fn of(envelope: &'a Element, hardware: &'a Element) -> Self {
        let chosen = configuration(envelope);
        let is_item = |element: &&Element| {
            ["Item", "StorageItem", "EthernetPortItem"].contains(&element.name.as_str())
        };
        let counts = |item: &&Element| {
            let mut own = item.get("configuration").split_whitespace().peekable();
            // One with bounds only says how far another may go.
            item.get("bound").is_empty() && (own.peek().is_none() || own.any(|c| c == chosen))
        };
        Self(
            hardware
                .children
                .iter()
                .filter(is_item)
                .filter(counts)
                .collect(),
        )
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &'a Element> {
        let mut found = self.0.clone();
        found.retain(|item| item.text_of("ResourceType") == kind);
        found.into_iter()
    }

    /// Where a configuration changes an item, the later one is the changed one.
    fn last(&self, kind: &str) -> Option<&'a Element> {
        self.of_kind(kind).last()
    }

    fn vcpus(&self) -> Result<u32, String> {
        let item = self.last(PROCESSORS);
        let item = item.ok_or_else(|| "says nothing of the machine's processors".to_owned())?;
        processors(item.text_of("VirtualQuantity"))
    }

    fn memory_bytes(&self) -> Result<u64, String> {
        let item = self.last(MEMORY);
        let item = item.ok_or_else(|| "says nothing of the machine's memory".to_owned())?;
        let unit = unit(item.text_of("AllocationUnits"))?;
        let bytes = bytes_of(item.text_of("VirtualQuantity"), unit, "memory")?;
        // Beyond what can be rounded it is refused by its size.
        Ok(bytes.checked_next_multiple_of(MEBIBYTE).unwrap_or(bytes))
    }

    /// By controller, and by their place at it.
    fn disks(&self, envelope: &Element) -> Result<Vec<Disk>, String> {
        let mut found: Vec<&Element> = self.of_kind(DISK).collect();
        let controller = |disk: &Element| {
            let id = disk.text_of("Parent");
            let mut all = self.0.iter();
            all.position(|item| !id.is_empty() && item.text_of("InstanceID") == id)
        };
        let place = |disk: &Element| disk.text_of("AddressOnParent").parse().unwrap_or(0_u32);
        found.sort_by_key(|disk| (controller(disk).unwrap_or(usize::MAX), place(disk)));
        let package = Files { envelope };
        found.into_iter().map(|item| package.disk(item)).collect()
    }
}

/// The configuration that is marked as the one to take, else the first; empty where there are none.
fn configuration(envelope: &Element) -> &str {
    let Some(section) = envelope.child("DeploymentOptionSection") else {
        return "";
    };
    let mut all = section.all("Configuration");
    let marked = all.find(|option| ["true", "1"].contains(&option.get("default")));
    let chosen = marked.or_else(|| section.child("Configuration"));
    chosen.map_or("", |option| option.get("id"))
}

/// Some programs write a card's hardware address where the place of an item stands.
fn mac(card: &Element) -> String {
    let address = card.text_of("Address").replace('-', ":");
    match address.len() == "52:54:00:12:34:56".len() {
        true => address,
        false => String::new(),
    }
}

/// Bytes of a unit: `byte * 2^20` as the standard has it, and the names that were written before.
fn unit(text: &str) -> Result<u64, String> {
    let plain: String = text.to_ascii_lowercase().split_whitespace().collect();
    let bytes = match plain.as_str() {
        "" | "byte" | "bytes" => Some(1),
        "kilobytes" | "kilobyte" | "kb" => Some(1 << 10),
        "megabytes" | "megabyte" | "mb" => Some(1 << 20),
        "gigabytes" | "gigabyte" | "gb" => Some(1 << 30),
        other => other.strip_prefix("byte*").and_then(product),
    };
    bytes.ok_or_else(|| format!("counts in a unit {}, which is not known", quoted(text)))
}

/// `2^20`, `1024`, `1024*1024`.
fn product(text: &str) -> Option<u64> {
    let factor = |text: &str| match text.split_once('^') {
        Some((base, power)) => base.parse::<u64>().ok()?.checked_pow(power.parse().ok()?),
        None => text.parse().ok(),
    };
    let factors = text.split('*').map(factor);
    factors
        .into_iter()
        .try_fold(1_u64, |all, next| all.checked_mul(next?))
}

/// What an item's `ovf:/disk/…` leads to.
struct Files<'a> {
    envelope: &'a Element,
}

impl<'a> Files<'a> {
    fn disk(&self, item: &Element) -> Result<Disk, String> {
        let reference = item.text_of("HostResource");
        let path = reference.strip_prefix("ovf:").unwrap_or(reference);
        match path.trim_start_matches('/').split_once('/') {
            Some(("disk", id)) => self.described(id),
            Some(("file", id)) => self.file(id),
            _ => Err(format!(
                "has a disk in {}, and neither in a file of its own nor blank",
                quoted(reference)
            )),
        }
    }

    /// The only element of a section with an id.
    fn only(
        &self,
        section: &str,
        (element, attribute): (&'a str, &str),
        id: &str,
    ) -> Result<&'a Element, String> {
        let section = self.envelope.child(section);
        let all = section.into_iter().flat_map(|section| section.all(element));
        let mut named = all.filter(|found| found.get(attribute) == id);
        let found = named.next().filter(|_| !id.is_empty());
        let found = found.ok_or_else(|| format!("says nothing of its {element} {}", quoted(id)))?;
        match named.next() {
            None => Ok(found),
            Some(_) => Err(format!("says twice what its {element} {} is", quoted(id))),
        }
    }

    fn described(&self, id: &str) -> Result<Disk, String> {
        let disk = self.only("DiskSection", ("Disk", "diskId"), id)?;
        if !disk.get("parentRef").is_empty() {
            let id = quoted(id);
            return Err(format!(
                "has a disk {id} that is only the difference to another"
            ));
        }
        let unit = unit(disk.get("capacityAllocationUnits"))?;
        let bytes = bytes_of(disk.get("capacity"), unit, "disk")?;
        check_size(bytes)?;
        match disk.get("fileRef") {
            "" => Ok(Disk::Blank {
                size_bytes: bytes.next_multiple_of(SECTOR_BYTES),
            }),
            file => self.file(file),
        }
    }

    fn file(&self, id: &str) -> Result<Disk, String> {
        let file = self.only("References", ("File", "id"), id)?;
        let name = beside(file.get("href"))?;
        let compression = file.get("compression");
        if !["", "identity"].contains(&compression) {
            return Err(format!(
                "has its disk {} compressed by {}; unpack it, and write the descriptor anew",
                quoted(&name),
                quoted(compression)
            ));
        }
        if !file.get("chunkSize").is_empty() {
            let name = quoted(&name);
            return Err(format!("has its disk {name} in pieces; put these together"));
        }
        Ok(Disk::File { name, format: None })
    }
}

#[cfg(test)]
#[path = "ovf_tests.rs"]
mod tests;
