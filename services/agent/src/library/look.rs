//! Looks at one file: what it is, and who it is. Nothing in it is trusted.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use contracts::library::{Identity, ItemFacts, ItemKind};
use contracts::stored;
use rustix::fs::OFlags;

use super::identity;
use super::walk::{Seen, stamp};
use crate::core::library::{Fresh, Stamp, backing_path};
use crate::core::package::{libvirt, tar};
use crate::core::seed::ANSWERS_MARK;
use crate::data::below;
use crate::hypervisor::qemu::disk_look::{At, DiskLook};

/// A file that was looked at, without its id. It is not kept open: a share has more files than a process may have open.
pub(super) struct Looked {
    pub(super) facts: ItemFacts,
    pub(super) attribute: Option<String>,
    pub(super) stamp: Stamp,
}

impl Looked {
    pub(super) fn fresh(&self) -> Fresh {
        Fresh {
            path: self.facts.path.clone(),
            attribute: self.attribute.clone(),
            hash: self.facts.content_hash.clone(),
        }
    }
}

/// Opens a file of a share without following a link.
pub(super) fn open(root: &Path, path: &str) -> Result<File, String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    below(root, path, flags).map_err(|error| match error {
        rustix::io::Errno::ACCESS => "cannot be read by the agent".to_owned(),
        error => format!("cannot be opened: {error}"),
    })
}

/// Looks at a file of a share. The error goes on from "The file …".
pub(super) async fn look(
    disks: &DiskLook,
    root: &Path,
    seen: &Seen,
    identity: Identity,
) -> Result<Looked, String> {
    let file = open(root, &seen.path)?;
    let metadata = file
        .metadata()
        .map_err(|error| format!("cannot be read: {error}"))?;
    if !metadata.is_file() {
        return Err("is no regular file".to_owned());
    }
    let stamp = stamp(&metadata);
    let mut facts = ItemFacts {
        path: seen.path.clone(),
        kind: seen.kind.into(),
        format: extension(&seen.path),
        file_bytes: stamp.bytes,
        modified_ms: stamp.modified_ns / 1_000_000,
        identity: identity.into(),
        ..ItemFacts::default()
    };
    if seen.kind == ItemKind::VirtualDisk {
        look_at_disk(disks, root, &file, &mut facts).await?;
    }
    let (mut file, attribute, hash) = read_on(file, seen.kind, identity, stamp.bytes).await?;
    facts.content_hash = hash;
    match seen.kind {
        ItemKind::AnswerFile => facts.set_kind(answers(&mut file, &seen.path)?),
        ItemKind::StoredVm => check_definition(&mut file)?,
        _ => {}
    }
    Ok(Looked {
        facts,
        attribute,
        stamp,
    })
}

async fn look_at_disk(
    disks: &DiskLook,
    root: &Path,
    file: &File,
    facts: &mut ItemFacts,
) -> Result<(), String> {
    let disk = disks.look(file, &At::whole(root.join(&facts.path))).await?;
    disk.format.clone_into(&mut facts.format);
    facts.virtual_bytes = disk.virtual_bytes;
    if let Some(name) = disk.backing {
        let outside = || format!("lies on {name:?}, outside of the share");
        let path = backing_path(&facts.path, &name).ok_or_else(outside)?;
        open(root, &path).map_err(|why| format!("lies on {path}, which {why}"))?;
        facts.backing_path = path;
    }
    Ok(())
}

type Read = (File, Option<String>, Vec<u8>);

/// What takes long, beside the agent's own tasks.
async fn read_on(
    file: File,
    kind: ItemKind,
    identity: Identity,
    bytes: u64,
) -> Result<Read, String> {
    let read = move || -> Result<Read, String> {
        if kind == ItemKind::Ova {
            check_ova(&file, bytes)?;
        }
        match identity {
            Identity::Content => {
                let hash = identity::hash(&file, bytes)?;
                Ok((file, None, hash))
            }
            _ => {
                let attribute = identity::read(&file);
                Ok((file, attribute, Vec::new()))
            }
        }
    };
    let done = tokio::task::spawn_blocking(read).await;
    done.unwrap_or_else(|_| Err("could not be looked at".to_owned()))
}

fn extension(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = PathBuf::from(name)
        .extension()
        .map(|e| e.to_string_lossy().into_owned());
    let extension = extension
        .unwrap_or_else(|| "text".to_owned())
        .to_ascii_lowercase();
    extension.chars().take(16).collect()
}

/// No member of an OVA leads out of it, is a link, or is cut off.
fn check_ova(file: &File, bytes: u64) -> Result<(), String> {
    tar::members(file, bytes).map(drop)
}

/// A machine is brought back by it, so it must be one that can be.
fn check_definition(file: &mut File) -> Result<(), String> {
    let most = stored::DEFINITION_BYTES_MAX as u64;
    let mut text = String::new();
    let read = file.take(most + 1).read_to_string(&mut text);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > most {
        return Err(format!("is longer than {} KiB", most >> 10));
    }
    stored::StoredVm::parse(&text).map(drop)
}

/// YAML and XML are many things: only what says that it answers an installer is kept, and definitions of libvirt.
fn answers(file: &mut File, path: &str) -> Result<ItemKind, String> {
    const START_BYTES: u64 = 64 << 10;
    let (_, extension) = path.rsplit_once('.').unwrap_or_default();
    let is_xml = extension.eq_ignore_ascii_case("xml");
    let marks: &[&str] = match extension.to_ascii_lowercase().as_str() {
        "yaml" | "yml" => &["#cloud-config"],
        "xml" => &[ANSWERS_MARK],
        _ => return Ok(ItemKind::AnswerFile),
    };
    let mut start = Vec::new();
    let read = file.take(START_BYTES).read_to_end(&mut start);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    let start = String::from_utf8_lossy(&start);
    if marks.iter().any(|mark| start.contains(mark)) {
        return Ok(ItemKind::AnswerFile);
    }
    match is_xml && libvirt::is_domain(&start) {
        true => Ok(ItemKind::LibvirtDomain),
        false => Err("is no answer file".to_owned()),
    }
}
