//! Machines that other programs wrote down, read for an import. Nothing is unpacked or copied, and no file is trusted: what a
//! descriptor names is looked for beside it, or in its archive, and nowhere else.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use contracts::library::{PackageDisk, PackageFile, ReadPackageResponse};
use contracts::{ObjectRef, Status, names};
use ring::digest;

use super::look::open;
use crate::core::package::tar::{self, Member};
use crate::core::package::{DESCRIPTOR_BYTES_MAX, Disk, Package, libvirt, manifest, ovf};
use crate::data::stamp;
use crate::hypervisor::qemu::disk_look::{At, DiskLook, Part};

/// Reads a package, and looks at each of its disks.
pub(super) async fn read(
    disks: &DiskLook,
    root: &Path,
    path: &str,
) -> Result<ReadPackageResponse, Status> {
    let refused = |why: String| {
        let title = names::shorten(path);
        let why = why.trim_end_matches('.');
        Status::precondition(format!("Package {title} {why}."))
            .about(ObjectRef::new("file", &title, &title))
            .action("Mend the package in the share, or export the machine anew.")
    };
    let (root, path) = (root.to_owned(), path.to_owned());
    let at_root = root.clone();
    let described = tokio::task::spawn_blocking(move || describe(&at_root, &path));
    let described = described.await;
    let described = described.unwrap_or_else(|_| Err("could not be read".to_owned()));
    let (source, package) = described.map_err(refused)?;
    let looked = look_at_all(disks, &root, &source, &package.disks).await;
    let (disks, files) = looked.map_err(refused)?;
    Ok(ReadPackageResponse {
        name: package.name,
        description: package.description,
        vcpus: package.vcpus,
        memory_bytes: package.memory_bytes,
        disks,
        macs: package.macs,
        uefi: package.uefi,
        files,
    })
}

/// Where the files of a package are.
enum Source {
    /// In this folder below the share; empty: at its top.
    Folder(String),
    Archive {
        file: File,
        path: String,
        members: Vec<Member>,
    },
}

/// A text with the name that it has in its package.
struct Named<'a> {
    name: &'a str,
    text: String,
}

fn describe(root: &Path, path: &str) -> Result<(Source, Package), String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let (_, ending) = name.rsplit_once('.').unwrap_or_default();
    let folder = Source::Folder(folder.to_owned());
    match ending.to_ascii_lowercase().as_str() {
        "ova" => {
            let file = regular(root, path)?;
            let bytes = file.metadata().map_err(unreadable)?.len();
            let members = tar::members(&file, bytes)?;
            let archive = Source::Archive {
                file,
                path: path.to_owned(),
                members,
            };
            let package = describe_archive(root, &archive)?;
            Ok((archive, package))
        }
        "ovf" => {
            let text = folder.read_text(root, name)?;
            let package = described_by(root, &folder, Named { name, text })?;
            Ok((folder, package))
        }
        _ => {
            let package = libvirt::parse(&folder.read_text(root, name)?)?;
            with_disks(package).map(|package| (folder, package))
        }
    }
}

fn describe_archive(root: &Path, archive: &Source) -> Result<Package, String> {
    let Source::Archive { members, .. } = archive else {
        return Err("is no archive".to_owned());
    };
    let is_descriptor = |member: &&Member| {
        let (_, ending) = member.name.rsplit_once('.').unwrap_or_default();
        ending.eq_ignore_ascii_case("ovf")
    };
    let mut descriptors = members.iter().filter(is_descriptor);
    let descriptor = descriptors.next();
    let descriptor = descriptor.ok_or_else(|| "has no member that ends in .ovf".to_owned())?;
    if descriptors.next().is_some() {
        return Err("has several members that end in .ovf".to_owned());
    }
    let name = descriptor.name.as_str();
    let text = archive.read_text(root, name)?;
    described_by(root, archive, Named { name, text })
}

/// The machine of an OVF descriptor that is as its manifest says, where there is one.
fn described_by(root: &Path, source: &Source, descriptor: Named<'_>) -> Result<Package, String> {
    let stem = descriptor.name.rsplit_once('.');
    let manifest = format!("{}.mf", stem.map_or(descriptor.name, |(stem, _)| stem));
    if source.has(root, &manifest) {
        let text = source.read_text(root, &manifest)?;
        let manifest = Named {
            name: &manifest,
            text,
        };
        check_digest(&descriptor, &manifest)?;
    }
    with_disks(ovf::parse(&descriptor.text)?)
}

/// Without a disk there is nothing to bring.
fn with_disks(package: Package) -> Result<Package, String> {
    let has_file = |disk: &Disk| matches!(disk, Disk::File { .. });
    match package.disks.iter().any(has_file) {
        true => Ok(package),
        false => Err("has no disk with anything on it".to_owned()),
    }
}

fn check_digest(descriptor: &Named<'_>, manifest: &Named<'_>) -> Result<(), String> {
    let Some(said) = manifest::digest_of(&manifest.text, descriptor.name) else {
        return Ok(());
    };
    let algorithm = match said.algorithm.as_str() {
        "SHA1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        "SHA256" => &digest::SHA256,
        "SHA384" => &digest::SHA384,
        "SHA512" => &digest::SHA512,
        _ => return Ok(()),
    };
    let real = digest::digest(algorithm, descriptor.text.as_bytes());
    let real: String = real.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    match real == said.hex {
        true => Ok(()),
        false => Err(format!(
            "is not what its manifest says: {} was changed since {} was written. Restore it, or remove the manifest",
            names::shorten(descriptor.name),
            names::shorten(manifest.name)
        )),
    }
}

fn unreadable(error: std::io::Error) -> String {
    format!("cannot be read: {error}")
}

/// Opens a plain file of the share.
fn regular(root: &Path, path: &str) -> Result<File, String> {
    let file = open(root, path)?;
    match file.metadata().map_err(unreadable)?.is_file() {
        true => Ok(file),
        false => Err("is no regular file".to_owned()),
    }
}

impl Source {
    fn path_of(&self, name: &str) -> String {
        match self {
            Self::Folder(folder) if folder.is_empty() => name.to_owned(),
            Self::Folder(folder) => format!("{folder}/{name}"),
            Self::Archive { path, .. } => path.clone(),
        }
    }

    fn member(&self, name: &str) -> Option<&Member> {
        match self {
            Self::Folder(_) => None,
            Self::Archive { members, .. } => members.iter().find(|member| member.name == name),
        }
    }

    fn has(&self, root: &Path, name: &str) -> bool {
        match self {
            Self::Folder(_) => regular(root, &self.path_of(name)).is_ok(),
            Self::Archive { .. } => self.member(name).is_some(),
        }
    }

    /// The file that a name means, and the part of it.
    fn open(&self, root: &Path, name: &str) -> Result<(File, Option<Part>), String> {
        match self {
            Self::Folder(_) => regular(root, &self.path_of(name)).map(|file| (file, None)),
            Self::Archive { file, .. } => {
                let member = self.member(name);
                let member = member.ok_or_else(|| "is no member of it".to_owned())?;
                let part = Part {
                    offset_bytes: member.offset_bytes,
                    bytes: member.bytes,
                };
                let file = file.try_clone().map_err(unreadable)?;
                Ok((file, Some(part)))
            }
        }
    }

    fn read_text(&self, root: &Path, name: &str) -> Result<String, String> {
        let (file, part) = self.open(root, name)?;
        let most = DESCRIPTOR_BYTES_MAX as u64;
        let mut content = Vec::new();
        match part {
            Some(part) if part.bytes <= most => {
                content.resize(usize::try_from(part.bytes).unwrap_or_default(), 0);
                file.read_exact_at(&mut content, part.offset_bytes)
                    .map_err(unreadable)?;
            }
            Some(_) => return Err(too_long(name)),
            None => {
                let read = file.take(most + 1).read_to_end(&mut content);
                read.map_err(unreadable)?;
            }
        }
        if content.len() > DESCRIPTOR_BYTES_MAX {
            return Err(too_long(name));
        }
        let no_text = |_| format!("has a file {} that is no UTF-8", names::shorten(name));
        String::from_utf8(content).map_err(no_text)
    }
}

fn too_long(name: &str) -> String {
    let (name, most) = (names::shorten(name), DESCRIPTOR_BYTES_MAX >> 10);
    format!("has a file {name} of more than {most} KiB, which is too long for what it is")
}

type Looked = (Vec<PackageDisk>, Vec<PackageFile>);

async fn look_at_all(
    disks: &DiskLook,
    root: &Path,
    source: &Source,
    wanted: &[Disk],
) -> Result<Looked, String> {
    let (mut looked, mut files): Looked = Default::default();
    for disk in wanted {
        let (name, format) = match disk {
            Disk::File { name, format } => (name, *format),
            Disk::Blank { size_bytes } => {
                looked.push(PackageDisk {
                    virtual_bytes: *size_bytes,
                    ..PackageDisk::default()
                });
                continue;
            }
        };
        let said = |why: String| format!("has a disk in {:?}, which {why}", names::shorten(name));
        let (file, part) = source.open(root, name).map_err(said)?;
        let path = source.path_of(name);
        let found = file_of(&file, path.clone()).map_err(said)?;
        if !files.contains(&found) {
            files.push(found);
        }
        let at = At {
            path: root.join(&path),
            part,
            // What is said to be raw need not be named so.
            name: match format {
                Some("raw") => "disk.raw".to_owned(),
                _ => name.clone(),
            },
        };
        let disk = look_at(disks, &file, &at, format).await.map_err(said)?;
        looked.push(PackageDisk { path, ..disk });
    }
    Ok((looked, files))
}

fn file_of(file: &File, path: String) -> Result<PackageFile, String> {
    let metadata = file.metadata().map_err(unreadable)?;
    Ok(PackageFile {
        path,
        file_bytes: metadata.len(),
        modified_ms: stamp(&metadata).modified_ns / 1_000_000,
    })
}

/// Looks at a disk. One that lies on another file is not whole, wherever that is.
async fn look_at(
    disks: &DiskLook,
    file: &File,
    at: &At,
    said: Option<&'static str>,
) -> Result<PackageDisk, String> {
    let disk = disks.look(file, at).await?;
    if let Some(backing) = &disk.backing {
        return Err(format!(
            "lies on another file, {:?}; flatten it with qemu-img convert",
            names::shorten(backing)
        ));
    }
    if let Some(said) = said.filter(|said| *said != disk.format) {
        return Err(format!(
            "is {}, and the definition says {said}",
            disk.format
        ));
    }
    let part = at.part;
    Ok(PackageDisk {
        format: disk.format.to_owned(),
        offset_bytes: part.map_or(0, |part| part.offset_bytes),
        length_bytes: part.map_or(0, |part| part.bytes),
        virtual_bytes: disk.virtual_bytes,
        ..PackageDisk::default()
    })
}

#[cfg(test)]
#[path = "package_tests.rs"]
mod tests;
