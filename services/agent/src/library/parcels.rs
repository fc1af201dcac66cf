//! What comes into a share from elsewhere: a hidden folder that the data channel fills, and that gets its name when it is
//! whole. Into nothing else does the data channel write here.
//!
//! | in the folder above | means |
//! |---|---|
//! | `.<name>.<parcel>.parcel/`, and no `<name>/` of the parcel's | files come, or have come; the index passes over it |
//! | `<name>/` with a file `.<parcel>.parcel` in it | all of it is there and on disk, and it may still be taken back |
//! | `<name>/` without | it is kept: nobody's but its owner's |

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use contracts::library::{CloseParcelRequest, OpenParcelRequest, OpenParcelResponse, ParcelPlace};
use contracts::{ObjectRef, Status, names, stored};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;

use super::room;
use crate::data::rename::rename_unless_there;
use crate::data::{PARCEL_ENDING, below};

/// Only the agent's while it is not whole.
const HIDDEN_MODE: Mode = Mode::RWXU;

/// Where the folder is to be: the one above it, open, and its names there.
struct Place {
    share: PathBuf,
    above: File,
    /// Of the folder below the share, for messages.
    title: String,
    above_path: String,
    name: String,
    hidden: String,
    mark: String,
    files: Vec<String>,
}

impl Place {
    fn open(root: &Path, place: &ParcelPlace) -> Result<Self, Status> {
        let id = &place.parcel_id;
        names::check_id("parcel_id", id)?;
        names::check_folder_path("path", &place.folder)?;
        for file in &place.files {
            names::check_image_file("files", file)?;
        }
        let (above, name) = place
            .folder
            .rsplit_once('/')
            .unwrap_or((".", &place.folder));
        let opened = below(root, above, OFlags::RDONLY | OFlags::DIRECTORY);
        let opened = opened.map_err(|error| {
            let why = format!("cannot be made: the folder above it cannot be opened ({error})");
            refused(
                &place.folder,
                &why,
                "Name a folder of the share that is there.",
            )
        })?;
        Ok(Self {
            share: root.to_owned(),
            above: opened,
            title: place.folder.clone(),
            above_path: above.to_owned(),
            name: name.to_owned(),
            hidden: format!(".{name}.{id}{PARCEL_ENDING}"),
            mark: format!(".{id}{PARCEL_ENDING}"),
            files: place.files.clone(),
        })
    }

    fn failed(&self, error: &io::Error) -> Status {
        room::not_made(&self.share, object(&self.title), error)
    }

    /// A folder beside its names; `None`: there is none.
    fn folder(&self, name: &str) -> io::Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.above, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => Ok(None),
            folder => Ok(Some(File::from(folder?))),
        }
    }

    fn is_there(&self, name: &str) -> io::Result<bool> {
        there(&self.above, name).map(|kind| kind.is_some())
    }

    /// The folder with its name, if it is this parcel's and may still be taken back.
    fn named(&self) -> io::Result<Option<File>> {
        if there(&self.above, &self.name)? != Some(FileType::Directory) {
            return Ok(None);
        }
        let Some(folder) = self.folder(&self.name)? else {
            return Ok(None);
        };
        let is_marked = there(&folder, &self.mark)?.is_some();
        Ok(is_marked.then_some(folder))
    }

    /// Makes the hidden folder, or what an attempt before has not made of it.
    fn make(&self) -> io::Result<()> {
        match mkdirat(&self.above, &self.hidden, HIDDEN_MODE) {
            Err(Errno::EXIST) => {}
            made => made?,
        }
        let Some(folder) = self.folder(&self.hidden)? else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&folder, &self.mark, flags, Mode::RUSR | Mode::WUSR)?;
        folder.sync_all()?;
        self.above.sync_all()
    }

    /// Gives the folder its name. It and what is in it belong to whom the folder above does.
    fn finish(&self, folder: &File) -> io::Result<()> {
        let like = self.above.metadata()?;
        for file in &self.files {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = File::from(openat(folder, file.as_str(), flags, Mode::empty())?);
            // What a guest was told may be secret.
            let most = match file.as_str() {
                stored::SEED => 0o600,
                _ => 0o666,
            };
            give(&opened, &like, most)?;
        }
        give(folder, &like, 0o777)?;
        rename_unless_there(&self.above, &self.hidden, &self.name)?;
        self.above.sync_all()
    }

    /// Removes what has come of the parcel. What others have put there stays, and the folder with it.
    fn clear(&self, folder: &File, name: &str) -> io::Result<()> {
        for file in &self.files {
            for left in [
                file.clone(),
                format!(".{file}.part"),
                format!(".{file}.journal"),
            ] {
                remove(folder, &left)?;
            }
        }
        remove(folder, &self.mark)?;
        match unlinkat(&self.above, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                tracing::warn!(
                    folder = self.title,
                    "it is not removed: others have put files into it"
                );
                Ok(())
            }
            removed => Ok(removed?),
        }
    }
}

/// What kind of file has a name in a folder; `None`: there is none.
fn there(folder: &File, name: &str) -> io::Result<Option<FileType>> {
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        stat => Ok(Some(FileType::from_raw_mode(stat?.st_mode))),
    }
}

fn remove(folder: &File, name: &str) -> io::Result<()> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => Ok(removed?),
    }
}

/// Gives a file to whom another belongs, with the same rights.
fn give(file: &File, like: &std::fs::Metadata, most: u32) -> io::Result<()> {
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        fchown(file, Some(like.uid()), Some(like.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(like.mode() & most))?;
    file.sync_all()
}

fn object(path: &str) -> ObjectRef {
    let title = names::shorten(path);
    ObjectRef::new("folder", &title, &title)
}

fn refused(path: &str, why: &str, action: &str) -> Status {
    Status::precondition(format!("Folder {} {why}.", names::shorten(path)))
        .about(object(path))
        .action(action)
}

fn taken(path: &str) -> Status {
    let message = format!(
        "There is a file or folder {} already.",
        names::shorten(path)
    );
    Status::already_exists(object(path), message).action("Choose another path, or remove that.")
}

/// Makes the hidden folder that files come into, or only says why not.
pub(super) fn open(root: &Path, request: &OpenParcelRequest) -> Result<OpenParcelResponse, Status> {
    let place = Place::open(root, &request.place.clone().unwrap_or_default())?;
    let failed = |error: io::Error| place.failed(&error);
    let opened = OpenParcelResponse {
        hidden_folder: match place.above_path.as_str() {
            "." => place.hidden.clone(),
            above => format!("{above}/{}", place.hidden),
        },
    };
    if place.named().map_err(failed)?.is_some() {
        return Ok(opened);
    }
    if place.is_there(&place.name).map_err(failed)? {
        return Err(taken(&place.title));
    }
    if !place.is_there(&place.hidden).map_err(failed)? {
        room::check(&place.above, root, object(&place.title), request.bytes)?;
    }
    if !request.check_only {
        place.make().map_err(failed)?;
    }
    Ok(opened)
}

/// Gives the folder its name, when all its files are there.
pub(super) fn name(root: &Path, request: &ParcelPlace) -> Result<(), Status> {
    let place = Place::open(root, request)?;
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(&place.title),
        _ => place.failed(&error),
    };
    if place.named().map_err(failed)?.is_some() {
        return Ok(());
    }
    let Some(folder) = place.folder(&place.hidden).map_err(failed)? else {
        let why = "is not there any more as it has come";
        return Err(refused(&place.title, why, "Restart the job."));
    };
    for file in &place.files {
        if there(&folder, file).map_err(failed)? != Some(FileType::RegularFile) {
            let why = format!("is not whole: {file} has not come");
            return Err(refused(&place.title, &why, "Restart the job."));
        }
    }
    place.finish(&folder).map_err(failed)
}

/// Keeps what has its name, or removes what has come.
pub(super) fn close(root: &Path, request: &CloseParcelRequest) -> Result<(), Status> {
    let place = Place::open(root, &request.place.clone().unwrap_or_default())?;
    let close = || {
        let named = place.named()?;
        if request.keep {
            return match named {
                Some(folder) => {
                    remove(&folder, &place.mark)?;
                    folder.sync_all()
                }
                None => Ok(()),
            };
        }
        if let Some(folder) = named {
            place.clear(&folder, &place.name)?;
        }
        if let Some(folder) = place.folder(&place.hidden)? {
            place.clear(&folder, &place.hidden)?;
        }
        place.above.sync_all()
    };
    close().map_err(|error| place.failed(&error))
}

#[cfg(test)]
#[path = "parcels_tests.rs"]
mod tests;
