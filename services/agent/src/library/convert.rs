//! Disks of a share in another format. All that a library server writes into a share, beside ids.
//!
//! | file | means |
//! |---|---|
//! | `.<name>.<conversion>.part` | a conversion that has not ended; asked again it begins anew |
//! | `.<name>.<conversion>.made` says which file `<name>` is | it is whole and on disk, and its conversion may still be taken back |
//! | `<name>` alone | the conversion was ended and what it made is kept |
//!
//! Nothing here needs a second name of a file, which some filesystems cannot give.

use std::collections::HashMap;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use contracts::library::{ConvertRequest, EndConversionRequest};
use contracts::{Code, ObjectRef, Status, names};
use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::{limits, room};
use crate::data::rename::rename_unless_there;
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
    /// Says which file was made, by its size and when it was last written.
    mark: String,
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
            mark: format!(".{name}.{conversion_id}.made"),
        })
    }

    /// A file as it is now; `None`: there is none.
    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<Option<File>> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.folder, name, flags, Mode::RUSR | Mode::WUSR) {
            Err(Errno::NOENT) => Ok(None),
            file => Ok(Some(File::from(file?))),
        }
    }

    fn is_there(&self) -> io::Result<bool> {
        Ok(self.open_file(&self.name, OFlags::PATH)?.is_some())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.folder, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            removed => Ok(removed?),
        }
    }

    /// Whether this conversion has made the file that has the name.
    fn is_made(&self) -> io::Result<bool> {
        let there = self.open_file(&self.name, OFlags::PATH)?;
        let mark = self.open_file(&self.mark, OFlags::RDONLY)?;
        let (Some(there), Some(mark)) = (there, mark) else {
            return Ok(false);
        };
        let mut said = String::new();
        mark.take(limits::MARK_BYTES_MAX)
            .read_to_string(&mut said)?;
        Ok(said == sign(&there.metadata()?))
    }

    /// Removes what a conversion has made that has not ended.
    fn clear(&self) -> io::Result<()> {
        self.remove(&self.part)?;
        self.remove(&self.mark)
    }

    fn make_part(&self) -> io::Result<()> {
        self.clear()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        self.open_file(&self.part, flags).map(drop)
    }

    /// Gives the whole file its name, on disk before. It belongs to whom the other does.
    fn finish(&self, source: &File) -> io::Result<()> {
        let part = self.open_file(&self.part, OFlags::RDONLY)?;
        let part = part.ok_or(io::ErrorKind::NotFound)?;
        let like = source.metadata()?;
        fchown(&part, Some(like.uid()), Some(like.gid()))?;
        part.set_permissions(Permissions::from_mode(like.mode() & 0o666))?;
        part.sync_all()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        if let Some(mut mark) = self.open_file(&self.mark, flags)? {
            mark.write_all(sign(&part.metadata()?).as_bytes())?;
            mark.sync_all()?;
        }
        self.folder.sync_all()?;
        rename_unless_there(&self.folder, &self.part, &self.name)?;
        self.folder.sync_all()
    }
}

/// Which file it is, as long as nobody writes to it. Inodes would say it better, but not every filesystem keeps them.
fn sign(file: &Metadata) -> String {
    let stamp = stamp(file);
    format!("{} {}", stamp.size_bytes, stamp.modified_ns)
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
    if place.is_there().map_err(not_made)? {
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
        let _ = place.clear();
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
        place.clear()?;
        place.folder.sync_all()
    };
    ended().map_err(|error| room::not_made(root, object(target), error))
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
