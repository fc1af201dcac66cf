//! Reads a domain of libvirt, as `virsh dumpxml` prints it and virt-manager shows it.
//!
//! Paths in it are of another machine: a disk is the file of the same name beside the definition.

use super::xml::{self, Element};
use super::{
    Disk, MEBIBYTE, Package, beside, bytes_of, distinct_macs, machine_name, processors, quoted,
    words,
};

/// What the text of a domain begins with, after a declaration and comments.
const ROOT: &str = "<domain";

/// Whether the start of a file may be a domain's.
pub fn is_domain(start: &str) -> bool {
    let mut rest = start.trim_start_matches('\u{feff}').trim_start();
    loop {
        let end = match rest {
            _ if rest.starts_with("<?") => "?>",
            _ if rest.starts_with("<!--") => "-->",
            _ => break,
        };
        match rest.split_once(end) {
            Some((_, after)) => rest = after.trim_start(),
            None => return false,
        }
    }
    let after = rest.strip_prefix(ROOT);
    after.is_some_and(|after| after.starts_with(|c: char| c.is_whitespace() || c == '>'))
}

/// Reads a definition. The error goes on from "Package … ".
pub fn parse(text: &str) -> Result<Package, String> {
    let domain = xml::parse(text)?;
    if domain.name != "domain" {
        let name = quoted(&domain.name);
        return Err(format!("is no domain of libvirt: it is an element {name}"));
    }
    check_os(&domain)?;
    let devices = domain.child("devices");
    let devices = devices.ok_or_else(|| "says nothing of the machine's devices".to_owned())?;
    let texts = [domain.text_of("description"), domain.text_of("title")];
    let said = texts.into_iter().find(|text| !text.is_empty());
    let macs = devices.all("interface").map(|card| {
        let mac = card.child("mac");
        mac.map_or("", |mac| mac.get("address")).to_owned()
    });
    let package = Package {
        name: machine_name(domain.text_of("name")),
        description: words(said.unwrap_or_default()),
        vcpus: vcpus(&domain)?,
        memory_bytes: memory_bytes(&domain)?,
        disks: disks(devices)?,
        macs: distinct_macs(macs),
        uefi: is_uefi(&domain),
    };
    package.checked()
}

fn is_uefi(domain: &Element) -> bool {
    let flash = |loader: &Element| loader.get("type") == "pflash";
    let is_said =
        |os: &Element| os.get("firmware") == "efi" || os.child("loader").is_some_and(flash);
    domain.child("os").is_some_and(is_said)
}

fn check_os(domain: &Element) -> Result<(), String> {
    let Some(os) = domain.child("os") else {
        return Ok(());
    };
    let arch = os.child("type").map_or("", |kind| kind.get("arch"));
    match arch {
        "" | "x86_64" | "i686" => Ok(()),
        other => Err(format!(
            "is a machine for {}, and Muster's are for x86_64",
            quoted(other)
        )),
    }
}

/// Those that it has, where it may get more.
fn vcpus(domain: &Element) -> Result<u32, String> {
    let Some(vcpu) = domain.child("vcpu") else {
        return Ok(1);
    };
    match vcpu.get("current") {
        "" => processors(vcpu.text()),
        current => processors(current),
    }
}

fn memory_bytes(domain: &Element) -> Result<u64, String> {
    let memory = domain.child("memory");
    let memory = memory.ok_or_else(|| "says nothing of the machine's memory".to_owned())?;
    let unit = match memory.get("unit") {
        "b" | "bytes" => 1,
        "" | "k" | "KiB" => 1 << 10,
        "KB" => 1_000,
        "M" | "MiB" => 1 << 20,
        "MB" => 1_000_000,
        "G" | "GiB" => 1 << 30,
        "GB" => 1_000_000_000,
        "T" | "TiB" => 1 << 40,
        other => {
            return Err(format!(
                "counts memory in {}, which is not known",
                quoted(other)
            ));
        }
    };
    let bytes = bytes_of(memory.text(), unit, "memory")?;
    // Beyond what can be rounded it is refused by its size.
    Ok(bytes.checked_next_multiple_of(MEBIBYTE).unwrap_or(bytes))
}

/// In the order that it boots from them, then as they stand there. Drives for CDs and floppies stay behind.
fn disks(devices: &Element) -> Result<Vec<Disk>, String> {
    let is_disk = |disk: &&Element| ["", "disk"].contains(&disk.get("device"));
    let is_passed_on = |disk: &Element| disk.get("device") == "lun";
    if devices.all("disk").any(is_passed_on) {
        return Err("has a disk that is a device of its host".to_owned());
    }
    let mut found: Vec<&Element> = devices.all("disk").filter(is_disk).collect();
    let order = |disk: &Element| {
        let boot = disk.child("boot").map_or("", |boot| boot.get("order"));
        boot.parse().unwrap_or(u32::MAX)
    };
    found.sort_by_key(|disk| order(disk));
    found.into_iter().map(disk).collect()
}

fn disk(disk: &Element) -> Result<Disk, String> {
    let target = disk.child("target").map_or("", |target| target.get("dev"));
    let target = quoted(target);
    let source = disk.child("source");
    let path = source.map_or("", |source| source.get("file"));
    if !["", "file"].contains(&disk.get("type")) || path.is_empty() {
        return Err(format!("has a disk {target} that lies in no file"));
    }
    let is_encrypted = |element: &Element| element.child("encryption").is_some();
    if is_encrypted(disk) || source.is_some_and(is_encrypted) {
        return Err(format!("has a disk {target} that is encrypted"));
    }
    let driver = disk.child("driver").map_or("", |driver| driver.get("type"));
    let format = match driver {
        "" => None,
        "qcow2" => Some("qcow2"),
        "raw" => Some("raw"),
        "vmdk" => Some("vmdk"),
        "vpc" => Some("vhd"),
        "vhdx" => Some("vhdx"),
        other => {
            let other = quoted(other);
            return Err(format!("has a disk {target} of a format {other}"));
        }
    };
    let name = path.rsplit('/').next().unwrap_or(path);
    // It is a path, and no reference as that of the web.
    let name = beside(&name.replace('%', "%25"))?;
    Ok(Disk::File { name, format })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As virt-manager has libvirt write it.
    const DOMAIN: &str = r#"<!-- made by virt-manager -->
<domain type='kvm' id='3'>
  <name>db.example</name>
  <uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>
  <title>Database</title>
  <memory unit='KiB'>1048576</memory>
  <currentMemory unit='KiB'>524288</currentMemory>
  <vcpu placement='static' current='2'>4</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><boot dev='hd'/></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='cdrom'><source file='/iso/debian.iso'/><target dev='sda' bus='sata'/></disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='/data/db 50%.img'/><target dev='vdb' bus='virtio'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/><source file='/var/lib/libvirt/images/db.qcow2' index='2'/>
      <backingStore type='file'><format type='qcow2'/><source file='/elsewhere/base.qcow2'/></backingStore>
      <target dev='vda' bus='virtio'/><boot order='1'/>
    </disk>
    <interface type='network'><mac address='52:54:00:AA:BB:01'/><source network='default'/><model type='virtio'/></interface>
    <interface type='bridge'><source bridge='br0'/></interface>
    <graphics type='spice' autoport='yes'/>
  </devices>
</domain>
"#;

    #[test]
    fn a_domain_is_read_and_its_disks_are_files_beside_it() {
        let file = |name: &str, format| Disk::File {
            name: name.to_owned(),
            format: Some(format),
        };
        let expected = Package {
            uefi: false,
            name: "db-example".to_owned(),
            description: "Database".to_owned(),
            vcpus: 2,
            memory_bytes: 1 << 30,
            disks: vec![file("db.qcow2", "qcow2"), file("db 50%.img", "raw")],
            macs: vec!["52:54:00:aa:bb:01".to_owned(), String::new()],
        };
        assert_eq!(parse(DOMAIN), Ok(expected));
    }

    #[test]
    fn a_domain_is_known_by_its_first_element() {
        assert!(is_domain(DOMAIN));
        assert!(is_domain("<?xml version='1.0'?>\n<domain>"));
        for other in [
            "",
            "<domainsnapshot>",
            "<network>",
            "<!-- <domain> --",
            "<unattend xmlns='urn:schemas-microsoft-com:unattend'/>",
            "text <domain>",
        ] {
            assert!(!is_domain(other), "{other}");
        }
    }

    #[test]
    fn the_firmware_is_what_the_domain_says() {
        assert!(!parse(DOMAIN).unwrap().uefi);
        let loader = "<loader readonly='yes' type='pflash'>/x</loader>";
        for (from, to) in [
            ("<os>", "<os firmware='efi'>"),
            ("<boot dev='hd'/>", loader),
        ] {
            assert!(parse(&DOMAIN.replace(from, to)).unwrap().uefi, "{to}");
        }
    }

    #[test]
    fn what_cannot_be_brought_is_refused_by_name() {
        let with = |from: &str, to: &str| {
            assert!(DOMAIN.contains(from), "{from} is not in the sample");
            parse(&DOMAIN.replace(from, to)).unwrap_err()
        };
        for (from, to, words) in [
            ("arch='x86_64'", "arch='aarch64'", "\"aarch64\""),
            (
                "type='file' device='disk'",
                "type='block' device='disk'",
                "\"vda\" that lies in no file",
            ),
            (
                "type='file' device='disk'",
                "type='network' device='disk'",
                "in no file",
            ),
            ("device='cdrom'", "device='lun'", "a device of its host"),
            ("/images/db.qcow2", "/images/..", "beside it"),
            ("/images/db.qcow2", "/images/", "beside it"),
            (
                "/data/db 50%.img",
                "/data/db.qcow2",
                "two disks in one file",
            ),
            ("type='raw'", "type='luks'", "\"luks\""),
            (
                "<boot order='1'/>",
                "<encryption format='luks'/>",
                "encrypted",
            ),
            (
                "unit='KiB'>1048576<",
                "unit='KiB'>18446744073709551615<",
                "memory",
            ),
            ("unit='KiB'>1048576<", "unit='parsec'>1<", "\"parsec\""),
            ("current='2'", "current='500'", "500 processors"),
            ("memory unit", "x unit", "not written as XML"),
            ("domain", "network", "no domain"),
            ("devices>", "things>", "nothing of the machine's devices"),
        ] {
            let refused = with(from, to);
            assert!(refused.contains(words), "{to}: {refused}");
        }
    }
}
