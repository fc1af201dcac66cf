//! Walks a share: which files there are, and which are passed over. No link is ever followed, so that no way is endless.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use contracts::library::{ItemKind, Skipped};
use contracts::limits::{
    DISK_BYTES_MAX, LIBRARY_ITEMS_MAX, LIBRARY_PATH_BYTES_MAX, LIBRARY_SKIPPED_NAMED,
};
use walkdir::{DirEntry, WalkDir};

use super::limits;
use crate::core::library::{Stamp, kind};

/// A file that the library keeps.
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) kind: ItemKind,
    pub(super) stamp: Stamp,
}

/// What a walk has met.
#[derive(Default)]
pub(super) struct Walk {
    pub(super) files: Vec<Seen>,
    pub(super) skipped: SkippedFiles,
    /// Whether there was anything at all.
    pub(super) is_empty: bool,
    /// Folders, for the kernel to watch.
    pub(super) folders: Vec<std::path::PathBuf>,
    pub(super) device: u64,
}

/// Files that are passed over: the first by name, the others by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SkippedFiles {
    pub(super) named: Vec<Skipped>,
    pub(super) count: u32,
}

impl SkippedFiles {
    pub(super) fn add(&mut self, path: &str, reason: impl Into<String>) {
        self.count += 1;
        if self.named.len() < LIBRARY_SKIPPED_NAMED {
            self.named.push(Skipped {
                path: path.chars().take(limits::NAME_CHARS_SHOWN).collect(),
                reason: reason.into(),
            });
        }
    }
}

/// Walks a share. The error says why the share as a whole cannot be reached.
pub(super) fn walk(root: &Path) -> Result<Walk, String> {
    let unreachable =
        |error: io::Error| format!("Folder {} cannot be reached: {error}.", root.display());
    let before = std::fs::symlink_metadata(root).map_err(unreachable)?;
    if !before.is_dir() {
        return Err(format!("{} is no folder.", root.display()));
    }
    let mut walk = Walk {
        is_empty: true,
        device: before.dev(),
        ..Walk::default()
    };
    let mut entries = WalkDir::new(root)
        .max_depth(limits::DEPTH_MAX + 1)
        .sort_by_file_name()
        .into_iter();
    let mut met = 0;
    while let Some(entry) = entries.next() {
        met += 1;
        if met > limits::ENTRIES_MAX {
            walk.skipped.add(
                "",
                format!("the share has more than {} entries", limits::ENTRIES_MAX),
            );
            break;
        }
        match entry {
            Err(error) => failed(root, error, &mut walk)?,
            Ok(entry) if entry.depth() == 0 => walk.folders.push(root.to_owned()),
            Ok(entry) => {
                walk.is_empty = false;
                if meet(root, &entry, &mut walk) == Next::NotBelow && entry.file_type().is_dir() {
                    entries.skip_current_dir();
                }
            }
        }
    }
    let after = std::fs::symlink_metadata(root).map_err(unreachable)?;
    if (before.dev(), before.ino()) != (after.dev(), after.ino()) {
        return Err(format!(
            "Folder {} became another one meanwhile.",
            root.display()
        ));
    }
    Ok(walk)
}

#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    NotBelow,
}

/// What is gone by now, or closed to us, is passed over; anything else is the share's.
fn failed(root: &Path, error: walkdir::Error, walk: &mut Walk) -> Result<(), String> {
    let path = error.path().unwrap_or(root);
    let below = path
        .strip_prefix(root)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned();
    match error.io_error().map(io::Error::kind) {
        Some(io::ErrorKind::NotFound) if !below.is_empty() => Ok(()),
        Some(io::ErrorKind::PermissionDenied) if !below.is_empty() => {
            walk.skipped.add(&below, "cannot be read by the agent");
            Ok(())
        }
        _ => Err(format!(
            "Folder {} cannot be read: {error}.",
            root.display()
        )),
    }
}

fn meet(root: &Path, entry: &DirEntry, walk: &mut Walk) -> Next {
    let below = entry.path().strip_prefix(root).unwrap_or(entry.path());
    // Unfinished files and what belongs to others.
    if entry.file_name().as_encoded_bytes().starts_with(b".") {
        return Next::NotBelow;
    }
    let shown = below.to_string_lossy();
    let Some(path) = below.to_str() else {
        walk.skipped.add(&shown, "its name is not UTF-8");
        return Next::NotBelow;
    };
    if path.len() > LIBRARY_PATH_BYTES_MAX {
        walk.skipped.add(
            &shown,
            format!("its path has more than {LIBRARY_PATH_BYTES_MAX} bytes"),
        );
        return Next::NotBelow;
    }
    let kind_of_file = entry.file_type();
    if kind_of_file.is_dir() {
        if entry.depth() > limits::DEPTH_MAX {
            walk.skipped.add(
                path,
                format!("it lies deeper than {} folders", limits::DEPTH_MAX),
            );
            return Next::NotBelow;
        }
        walk.folders.push(entry.path().to_owned());
        return Next::GoOn;
    }
    let special = [
        (
            kind_of_file.is_symlink(),
            "is a link, which is not followed",
        ),
        (kind_of_file.is_fifo(), "is a pipe"),
        (kind_of_file.is_socket(), "is a socket"),
        (
            kind_of_file.is_block_device() || kind_of_file.is_char_device(),
            "is a device",
        ),
    ];
    if let Some((_, reason)) = special.iter().find(|(is_it, _)| *is_it) {
        // Links to what the library would not keep are nobody's loss.
        if kind(path, 0).is_some() || kind_of_file.is_symlink() {
            walk.skipped.add(path, *reason);
        }
        return Next::GoOn;
    }
    if let Ok(metadata) = entry.metadata() {
        take(path, &metadata, walk);
    }
    Next::GoOn
}

fn take(path: &str, metadata: &std::fs::Metadata, walk: &mut Walk) {
    let bytes = metadata.len();
    let Some(kind) = kind(path, bytes) else {
        return;
    };
    if bytes > DISK_BYTES_MAX {
        walk.skipped.add(
            path,
            format!("says that it has {bytes} bytes, more than any disk"),
        );
    } else if walk.files.len() >= LIBRARY_ITEMS_MAX {
        walk.skipped.add(
            path,
            format!("the share has more than {LIBRARY_ITEMS_MAX} files"),
        );
    } else {
        walk.files.push(Seen {
            path: path.to_owned(),
            kind,
            stamp: stamp(metadata),
        });
    }
}

pub(super) fn stamp(metadata: &std::fs::Metadata) -> Stamp {
    let nanoseconds =
        |secs: i64, rest: i64| secs.saturating_mul(1_000_000_000).saturating_add(rest);
    Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.len(),
        modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    }
}
