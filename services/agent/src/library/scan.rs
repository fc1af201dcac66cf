//! One look at a share: what is there now, by what was known before.

use std::collections::BTreeSet;
use std::path::Path;

use contracts::library::Identity;
use futures::StreamExt as _;
use rustix::fs::{Mode, OFlags};
use uuid::Uuid;

use super::index::Index;
use super::look::{Looked, look, open};
use super::looks::Looks;
use super::walk::{Seen, SkippedFiles, Walk, stamp, walk};
use super::watch::Watch;
use super::{identity, limits};
use crate::core::library::{Items, Known, assign};
use crate::hypervisor::qemu::disk_look::DiskLook;

/// What a look has found.
pub(super) struct Scan {
    pub(super) items: Items,
    pub(super) skipped: SkippedFiles,
    pub(super) identity: Identity,
    pub(super) device: u64,
}

/// Looks at a share. The error says why it cannot be reached as a whole. `anew`: files that need another id.
pub(super) async fn scan(
    disks: &DiskLook,
    root: &Path,
    index: &Index,
    anew: &BTreeSet<String>,
    with_attributes: bool,
    progress: &Looks,
    watch: Option<&mut Watch>,
) -> Result<Scan, String> {
    let walked = walk_watched(root, watch).await?;
    check_mounted(root, index, &walked)?;
    let identity = identity_of(root, with_attributes)?;
    let (kept, news) = part(index, walked.files, anew, identity);
    let mut skipped = walked.skipped;
    let mut looked: Vec<Looked> = Vec::new();
    let looks: Vec<_> = news
        .iter()
        .map(|seen| async move { (seen, look(disks, root, seen, identity).await) })
        .collect();
    let mut looks = futures::stream::iter(looks).buffered(limits::LOOKS_AT_ONCE);
    let mut left = news.len();
    progress.note_left_to_look(left);
    while let Some((seen, result)) = looks.next().await {
        left -= 1;
        progress.note_left_to_look(left);
        match result {
            Ok(file) => looked.push(file),
            Err(reason) => skipped.add(&seen.path, reason),
        }
    }
    let mut items = kept;
    name_all(root, index, &mut items, looked, anew, &mut skipped);
    Ok(Scan {
        items,
        skipped,
        identity,
        device: walked.device,
    })
}

/// Walks until all that it has met was watched before: what comes into a folder after that is told by the kernel.
async fn walk_watched(root: &Path, mut watch: Option<&mut Watch>) -> Result<Walk, String> {
    let mut walked = walk_aside(root).await?;
    let mut tries = 0;
    while let Some(watch) = watch.as_mut()
        && watch.add(&walked.folders)
        && tries < limits::WALKS_AGAIN
    {
        walked = walk_aside(root).await?;
        tries += 1;
    }
    Ok(walked)
}

async fn walk_aside(root: &Path) -> Result<Walk, String> {
    let root = root.to_owned();
    let walked = tokio::task::spawn_blocking(move || walk(&root)).await;
    walked.unwrap_or_else(|_| Err("The folder could not be walked.".to_owned()))
}

/// The folder of something that is not mounted is there, and empty.
fn check_mounted(root: &Path, index: &Index, walked: &Walk) -> Result<(), String> {
    let had = !index.items.is_empty();
    if had && walked.is_empty && walked.device != index.device {
        return Err(format!(
            "Folder {} is empty, and on another filesystem than its files were: it may not be mounted.",
            root.display()
        ));
    }
    Ok(())
}

fn identity_of(root: &Path, with_attributes: bool) -> Result<Identity, String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(root, flags, Mode::empty());
    let folder =
        folder.map_err(|error| format!("Folder {} cannot be opened: {error}.", root.display()))?;
    Ok(
        match with_attributes && identity::keeps_attributes(&folder.into()) {
            true => Identity::Attribute,
            false => Identity::Content,
        },
    )
}

/// Files that are as they were, and those to look at.
fn part(
    index: &Index,
    files: Vec<Seen>,
    anew: &BTreeSet<String>,
    identity: Identity,
) -> (Items, Vec<Seen>) {
    let by_path: std::collections::HashMap<&str, &Known> = index
        .items
        .values()
        .map(|known| (known.facts.path.as_str(), known))
        .collect();
    let mut kept = Items::new();
    let mut news = Vec::new();
    for seen in files {
        let known = by_path.get(seen.path.as_str()).filter(|known| {
            known.stamp == seen.stamp
                && known.facts.identity() == identity
                && !anew.contains(&known.facts.id)
        });
        match known {
            Some(known) => {
                kept.insert(known.facts.id.clone(), (*known).clone());
            }
            None => news.push(seen),
        }
    }
    (kept, news)
}

/// Gives every file that was looked at its id.
fn name_all(
    root: &Path,
    index: &Index,
    items: &mut Items,
    looked: Vec<Looked>,
    anew: &BTreeSet<String>,
    skipped: &mut SkippedFiles,
) {
    // An id that is another server's is as good as taken.
    let taken: BTreeSet<String> = items.keys().chain(anew).cloned().collect();
    let fresh: Vec<_> = looked.iter().map(Looked::fresh).collect();
    let ids = assign(&index.items, &taken, &fresh);
    let mut inodes: BTreeSet<_> = items
        .values()
        .map(|k| (k.stamp.device, k.stamp.inode))
        .collect();
    for (file, id) in looked.into_iter().zip(ids) {
        let path = file.facts.path.clone();
        if !inodes.insert((file.stamp.device, file.stamp.inode)) {
            skipped.add(&path, "is another name of a file that is listed");
            continue;
        }
        let content = Some(identity::id_of(&file.facts.content_hash));
        let content =
            content.filter(|id| !id.is_empty() && !items.contains_key(id) && !anew.contains(id));
        let id = id.or(content).unwrap_or_else(|| Uuid::new_v4().to_string());
        match named(root, file, &id) {
            Ok(mut known) => {
                let before = index.items.get(&id);
                known.facts.changed_in_use_ms =
                    before.map_or(0, |before| before.facts.changed_in_use_ms);
                items.insert(id, known);
            }
            Err(reason) => skipped.add(&path, reason),
        }
    }
}

fn named(root: &Path, mut file: Looked, id: &str) -> Result<Known, String> {
    let keeps = file.facts.identity() == Identity::Attribute;
    if keeps && file.attribute.as_deref() != Some(id) {
        let opened = open(root, &file.facts.path)?;
        let look = || opened.metadata().map(|metadata| stamp(&metadata));
        let unreadable = |error| format!("cannot be read: {error}");
        if look().map_err(unreadable)?.inode != file.stamp.inode {
            // The next look sees it, which the kernel asks for.
            return Err("was replaced while it was looked at".to_owned());
        }
        identity::write(&opened, id).map_err(|error| format!("cannot be given an id: {error}"))?;
        // Having an id is no change of the file.
        let now = look().map_err(unreadable)?;
        if (now.inode, now.modified_ns, now.bytes)
            == (file.stamp.inode, file.stamp.modified_ns, file.stamp.bytes)
        {
            file.stamp = now;
        }
    }
    id.clone_into(&mut file.facts.id);
    Ok(Known {
        facts: file.facts,
        stamp: file.stamp,
    })
}
