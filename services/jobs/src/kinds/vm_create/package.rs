//! A machine that another program wrote down, imported: what it is, as the library server reads it.

use contracts::Status;
use contracts::host::disk::Source;
use contracts::host::{Disk, Firmware, Hardware, NetworkCard};
use contracts::library::{Item, PackageDisk, ReadPackageRequest, ReadPackageResponse};
use contracts::names::shorten;

use super::State;
use super::addresses::give_macs;
use super::from_share::{File, Foreign, FromShare};
use super::stored::{or, path, refused};
use crate::core::{hardware, naming};
use crate::hands::Calls;

const MEND: &str = "Mend the package in the share, or export the machine anew.";

/// Reads it, and takes it over where the request says nothing else.
pub(super) async fn resolve(calls: &Calls, state: &mut State, item: &Item) -> Result<(), Status> {
    let request = ReadPackageRequest {
        share_id: item.share_id.clone(),
        path: path(item),
    };
    let end = calls.library_end(&item.server_id);
    let package = end.read_package(&calls.context, &request).await?;
    let request = &mut state.request;
    or(&mut request.name, &package.name);
    or(&mut request.owner, &calls.context.principal);
    or(&mut request.description, &package.description);
    if request.name.is_empty() {
        let message = format!(
            "Package {} names no machine in letters or digits.",
            shorten(&path(item))
        );
        return Err(Status::invalid("name", message).action("Give the machine a name."));
    }
    calls.fleet.check_name_free(&request.name)?;
    let mut hardware = hardware_of(&package);
    hardware::complete(&mut hardware).map_err(|why| {
        let said = format!("says what no machine can be: {}", why.message);
        refused(item, said.trim_end_matches('.'), MEND)
    })?;
    give_macs(calls, &mut hardware, false)?;
    request.hardware = Some(hardware);
    let (files, disks) = files_of(item, &package)?;
    state.stored = Some(FromShare {
        files,
        disks,
        ..FromShare::of(calls, item)
    });
    Ok(())
}

fn disk_id(index: usize) -> String {
    format!("disk{index}")
}

/// Disks are files of their own, as those of stored machines are. An address that no card can have is left out.
fn hardware_of(package: &ReadPackageResponse) -> Hardware {
    let disk = |(index, disk): (usize, &PackageDisk)| Disk {
        id: disk_id(index),
        source: Source::Blank.into(),
        size_bytes: disk.virtual_bytes,
        ..Disk::default()
    };
    let card = |mac: &String| NetworkCard {
        mac: match naming::is_mac(mac) {
            true => mac.clone(),
            false => String::new(),
        },
        ..NetworkCard::default()
    };
    Hardware {
        vcpus: package.vcpus,
        memory_bytes: package.memory_bytes,
        disks: package.disks.iter().enumerate().map(disk).collect(),
        network_cards: package.macs.iter().map(card).collect(),
        firmware: match package.uefi {
            true => Firmware::Uefi.into(),
            false => Firmware::Unspecified.into(),
        },
        ..Hardware::default()
    }
}

/// What comes, each file once, and which disk lies in which.
fn files_of(
    item: &Item,
    package: &ReadPackageResponse,
) -> Result<(Vec<File>, Vec<Foreign>), Status> {
    let own = path(item);
    let folder = own.rsplit_once('/').map(|(folder, _)| format!("{folder}/"));
    let files = package.files.iter().enumerate().map(|(index, file)| {
        let below = match &folder {
            Some(folder) => file.path.strip_prefix(folder.as_str()),
            None => Some(file.path.as_str()),
        };
        let elsewhere = || refused(item, "has files in another folder", MEND);
        Ok(File {
            stored: below.ok_or_else(elsewhere)?.to_owned(),
            name: format!("package{index}"),
            bytes: file.file_bytes,
            modified_ms: file.modified_ms,
        })
    });
    let files = files.collect::<Result<Vec<File>, Status>>()?;
    let mut disks = Vec::new();
    for (index, disk) in package.disks.iter().enumerate() {
        // A disk without a file is blank.
        let place = package.files.iter().position(|file| file.path == disk.path);
        if let Some(file) = place.and_then(|place| files.get(place)) {
            disks.push(Foreign {
                disk_id: disk_id(index),
                name: file.name.clone(),
                format: disk.format.clone(),
                offset_bytes: disk.offset_bytes,
                length_bytes: disk.length_bytes,
            });
        }
    }
    match disks.is_empty() {
        true => Err(refused(item, "has no disk with anything on it", MEND)),
        false => Ok((files, disks)),
    }
}

#[cfg(test)]
mod tests {
    use contracts::library::{ItemFacts, PackageFile};

    use super::*;

    fn item(path: &str) -> Item {
        Item {
            facts: Some(ItemFacts {
                path: path.to_owned(),
                ..ItemFacts::default()
            }),
            ..Item::default()
        }
    }

    fn package() -> ReadPackageResponse {
        let disk = |path: &str, offset_bytes| PackageDisk {
            path: path.to_owned(),
            format: "vmdk".to_owned(),
            offset_bytes,
            length_bytes: 512,
            virtual_bytes: 1 << 20,
        };
        ReadPackageResponse {
            uefi: true,
            vcpus: 1,
            memory_bytes: 16 << 20,
            disks: vec![
                disk("deep/web.ova", 512),
                disk("", 0),
                disk("deep/web.ova", 2048),
            ],
            macs: vec![
                "52:54:00:00:00:01".to_owned(),
                "01:00:00:00:00:01".to_owned(),
            ],
            files: vec![PackageFile {
                path: "deep/web.ova".to_owned(),
                file_bytes: 4096,
                modified_ms: 7,
            }],
            ..ReadPackageResponse::default()
        }
    }

    #[test]
    fn a_file_comes_once_however_many_disks_are_in_it() {
        let (files, disks) = files_of(&item("deep/web.ova"), &package()).unwrap();
        let [file] = files.try_into().unwrap();
        assert_eq!((file.stored.as_str(), file.bytes), ("web.ova", 4096));
        let disks: Vec<(&str, u64)> = disks
            .iter()
            .map(|disk| (disk.disk_id.as_str(), disk.offset_bytes))
            .collect();
        assert_eq!(disks, [("disk0", 512), ("disk2", 2048)]);
        assert!(files_of(&item("other/web.ova"), &package()).is_err());
        let blank = ReadPackageResponse {
            disks: vec![PackageDisk::default()],
            ..package()
        };
        assert!(files_of(&item("deep/web.ova"), &blank).is_err());
    }

    #[test]
    fn hardware_is_what_the_package_says_without_addresses_that_are_none() {
        let mut hardware = hardware_of(&package());
        assert_eq!(hardware.firmware(), Firmware::Uefi);
        hardware::complete(&mut hardware).unwrap();
        let ids: Vec<&str> = hardware.disks.iter().map(|d| d.id.as_str()).collect();
        assert_eq!(ids, ["disk0", "disk1", "disk2"]);
        let macs: Vec<&str> = hardware
            .network_cards
            .iter()
            .map(|c| c.mac.as_str())
            .collect();
        assert_eq!(macs, ["52:54:00:00:00:01", ""]);
    }
}
