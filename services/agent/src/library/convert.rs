//! Disks of a share in another format. All that a library server writes into a share, beside ids.
//!
//! | file | means |
//! |---|---|
//! | `.<name>.<conversion>.part`, and no `<name>` | a conversion that has not ended; asked again it begins anew |
//! | `<name>` is a second name of `.<name>.<conversion>.part` | it is whole and on disk, and its conversion may still be taken back |
//! | `<name>` alone | the conversion was ended and what it made is kept |

use std::collections::HashMap;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use contracts::library::{ConvertRequest, EndConversionRequest};
use contracts::{Code, ObjectRef, Status, names};
use rustix::fs::{AtFlags, Mode, OFlags, linkat, openat, statat, unlinkat};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::room;
use crate::data::{below, stamp};
use crate::hypervisor::qemu::disk_look::{At, Disk, DiskLook};

/// Conversions that are under way, so that they can be stopped.
#[derive(Default)]
pub(super) struct Conversions(Mutex<HashMap<String, CancellationToken>>);

impl Conversions {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the new file is to be: its folder, open, and its names there.
struct Place {
    folder: File,
    path: PathBuf,
    name: String,
    part: String,
}

impl Place {
    fn open(root: &Path, target: &str, conversion_id: &str) -> Result<Self, Status> {
        names::check_id("conversion_id", conversion_id)?;
        let (folder, name) = target.rsplit_once('/').unwrap_or((".", target));
        let opened = below(root, folder, OFlags::RDONLY | OFlags::DIRECTORY);
        let opened = opened.map_err(|error| {
            let why = format!("cannot be made: its folder cannot be opened ({error})");
            refused(target, &why, "Name a folder of the share that is there.")
        })?;
        Ok(Self {
            folder: opened,
            path: root.join(folder),
            name: name.to_owned(),
            part: format!(".{name}.{conversion_id}.part"),
        })
    }

    /// The inode of a name; `None`: there is none.
    fn inode(&self, name: &str) -> io::Result<Option<u64>> {
        match statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            stat => Ok(Some(stat?.st_ino)),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.folder, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            removed => Ok(removed?),
        }
    }

    /// Whether this conversion has made the file that has the name.
    fn is_made(&self) -> io::Result<bool> {
        let (there, part) = (self.inode(&self.name)?, self.inode(&self.part)?);
        Ok(there.is_some() && there == part)
    }

    fn make_part(&self) -> io::Result<()> {
        self.remove(&self.part)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        openat(&self.folder, &self.part, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(())
    }

    /// Gives the whole file its name, on disk before. It belongs to whom the other does.
    fn finish(&self, source: &File) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let part = File::from(openat(&self.folder, &self.part, flags, Mode::empty())?);
        let like = source.metadata()?;
        fchown(&part, Some(like.uid()), Some(like.gid()))?;
        part.set_permissions(Permissions::from_mode(like.mode() & 0o666))?;
        part.sync_all()?;
        let (folder, empty) = (&self.folder, AtFlags::empty());
        linkat(folder, &self.part, folder, &self.name, empty)?;
        self.folder.sync_all()
    }
}

fn object(path: &str) -> ObjectRef {
    let title = names::shorten(path);
    ObjectRef::new("file", &title, &title)
}

fn refused(path: &str, why: &str, action: &str) -> Status {
    Status::precondition(format!("File {} {why}.", names::shorten(path)))
        .about(object(path))
        .action(action)
}

/// Opens the file that the caller means, and looks at it.
async fn look(
    disks: &DiskLook,
    root: &Path,
    request: &ConvertRequest,
) -> Result<(File, Disk), Status> {
    let path = request.path.as_str();
    let look_at = "Look at the file on the library server.";
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = below(root, path, flags)
        .map_err(|error| refused(path, &format!("cannot be opened: {error}"), look_at))?;
    let metadata = file
        .metadata()
        .map_err(|error| refused(path, &format!("cannot be read: {error}"), look_at))?;
    let modified_ms = stamp(&metadata).modified_ns / 1_000_000;
    if !metadata.is_file()
        || (metadata.len(), modified_ms) != (request.file_bytes, request.modified_ms)
    {
        let why = "has changed since it was looked at";
        return Err(refused(
            path,
            why,
            "Wait until the library has seen the change, then ask anew.",
        ));
    }
    let disk = disks.look(&file, &At::whole(root.join(path))).await;
    let disk = disk.map_err(|why| refused(path, &why, look_at))?;
    if disk.backing.is_some() {
        let why = "lies on another file";
        return Err(refused(
            path,
            why,
            "Flatten it with qemu-img convert where both are.",
        ));
    }
    if disk.format == request.format {
        let why = format!("is of format {} already", disk.format);
        return Err(refused(path, &why, "Ask for another format."));
    }
    Ok((file, disk))
}

async fn check_room(
    disks: &DiskLook,
    root: &Path,
    request: &ConvertRequest,
    disk: &Disk,
    place: &Place,
) -> Result<(), Status> {
    let measured = disks
        .measure(disk, &At::whole(root.join(&request.path)))
        .await;
    let needed =
        measured.map_err(|why| refused(&request.path, &why, "Look at the file with qemu-img."))?;
    room::check(&place.folder, root, object(&request.target_path), needed)
}

/// Converts a disk, or only says why not.
pub(super) async fn convert(
    conversions: &Conversions,
    disks: &DiskLook,
    root: &Path,
    request: &ConvertRequest,
) -> Result<(), Status> {
    let target = request.target_path.as_str();
    names::check_disk_path("target_path", target, &request.format)?;
    let place = Place::open(root, target, &request.conversion_id)?;
    let not_made = |error: io::Error| room::not_made(root, object(target), error);
    if place.is_made().map_err(not_made)? {
        return Ok(());
    }
    if place.inode(&place.name).map_err(not_made)?.is_some() {
        let message = format!("There is a file {} already.", names::shorten(target));
        return Err(Status::already_exists(object(target), message)
            .action("Choose another path, or remove that file."));
    }
    let (file, disk) = look(disks, root, request).await?;
    check_room(disks, root, request, &disk, &place).await?;
    if request.check_only {
        return Ok(());
    }
    let stop = CancellationToken::new();
    let id = &request.conversion_id;
    conversions.lock().insert(id.clone(), stop.clone());
    let work = fill(disks, root, request, &disk, &file, &place);
    let made = stop.run_until_cancelled(work).await;
    conversions.lock().remove(id);
    let stopped = || Status::new(Code::Cancelled, "The conversion was stopped.");
    let made = made.unwrap_or_else(|| Err(stopped()));
    if made.is_err() && !place.is_made().unwrap_or(true) {
        let _ = place.remove(&place.part);
    }
    made
}

async fn fill(
    disks: &DiskLook,
    root: &Path,
    request: &ConvertRequest,
    disk: &Disk,
    file: &File,
    place: &Place,
) -> Result<(), Status> {
    let target = request.target_path.as_str();
    let not_made = |error: io::Error| room::not_made(root, object(target), error);
    place.make_part().map_err(not_made)?;
    let from = At::whole(root.join(&request.path));
    let to = place.path.join(&place.part);
    let converted = disks.convert(disk, &from, &to, &request.format).await;
    converted.map_err(|why| room::not_made(root, object(target), why))?;
    // Half of one content and half of another is nobody's disk.
    let metadata = file.metadata().map_err(not_made)?;
    let modified_ms = stamp(&metadata).modified_ns / 1_000_000;
    if (metadata.len(), modified_ms) != (request.file_bytes, request.modified_ms) {
        let why = "was changed while it was converted";
        return Err(refused(
            &request.path,
            why,
            "Stop what writes to it, then ask anew.",
        ));
    }
    place.finish(file).map_err(not_made)
}

/// Keeps what a conversion has made, or stops it and removes that. What is another's stays.
pub(super) fn end(
    conversions: &Conversions,
    root: &Path,
    request: &EndConversionRequest,
) -> Result<(), Status> {
    if let Some(stop) = conversions.lock().get(&request.conversion_id) {
        stop.cancel();
    }
    let target = request.target_path.as_str();
    let place = Place::open(root, target, &request.conversion_id)?;
    let ended = || {
        if !request.keep && place.is_made()? {
            place.remove(&place.name)?;
        }
        place.remove(&place.part)?;
        place.folder.sync_all()
    };
    ended().map_err(|error| room::not_made(root, object(target), error))
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
