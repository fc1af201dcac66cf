//! Which files the data end may touch: regular ones below its datastores and shares, reached without any link. In a share
//! it makes files only in hidden folders that the library's end has made for them.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use contracts::data::{FileFacts, FileRef, FileStamp};
use contracts::{Code, ObjectRef, Status, names};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

/// What the name of a hidden folder of a share ends with that files come into.
pub(crate) const PARCEL_ENDING: &str = ".parcel";

/// The datastores of the host by their names, and shares of the library by their ids.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    datastores: BTreeMap<String, PathBuf>,
    shares: Arc<RwLock<Shares>>,
}

#[derive(Debug, Default)]
struct Shares {
    by_id: BTreeMap<String, PathBuf>,
    /// A library server that has just started has not heard yet which it has.
    are_to_come: bool,
}

/// Where a file that is to be made will be: its folder, open, and its name there.
pub(super) struct Place {
    pub(super) folder: File,
    pub(super) name: String,
}

impl Roots {
    pub fn new(datastores: impl IntoIterator<Item = (String, PathBuf)>) -> Self {
        Self {
            datastores: datastores.into_iter().collect(),
            shares: Arc::default(),
        }
    }

    /// Of a library server: until it has heard which shares it has, none is taken for one that is not there.
    pub fn with_shares_to_come(self) -> Self {
        self.shares_mut().are_to_come = true;
        self
    }

    fn shares_mut(&self) -> RwLockWriteGuard<'_, Shares> {
        self.shares.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which shares there are from now on.
    pub(super) fn set_shares(&self, by_id: BTreeMap<String, PathBuf>) {
        *self.shares_mut() = Shares {
            by_id,
            are_to_come: false,
        };
    }

    fn shares(&self) -> RwLockReadGuard<'_, Shares> {
        self.shares.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn share(&self, id: &str) -> Option<PathBuf> {
        self.shares().by_id.get(id).cloned()
    }

    /// The folder of a datastore or share.
    fn root(&self, file: &FileRef) -> Result<PathBuf, Status> {
        let share = self.share(&file.datastore);
        let root = share.or_else(|| self.datastores.get(&file.datastore).cloned());
        root.ok_or_else(|| self.no_root(file))
    }

    fn no_root(&self, file: &FileRef) -> Status {
        if self.shares().are_to_come {
            let message = "Which shares this library server has is not known yet.";
            return Status::unavailable(message).action("It is tried again by itself.");
        }
        let message = format!(
            "This host has no datastore {:?}.",
            names::shorten(&file.datastore)
        );
        Status::new(Code::NotFound, message).action("List the host's datastores.")
    }

    /// Opens a file to read it. The kernel sees to it that the way stays below the datastore.
    pub(super) fn open(&self, file: &FileRef) -> Result<File, Status> {
        check_path(file)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = below(&self.root(file)?, &file.path, flags);
        let opened = opened.map_err(|error| not_opened(file, error))?;
        let metadata = opened
            .metadata()
            .map_err(|e| failed(file, "looked at", &e))?;
        if !metadata.is_file() {
            return Err(refused(file, "is not a regular file"));
        }
        if metadata.len() > contracts::limits::DISK_BYTES_MAX {
            return Err(refused(file, "says that it is larger than any disk"));
        }
        Ok(opened)
    }

    /// Opens the folder of a file that is to be made.
    pub(super) fn place(&self, file: &FileRef) -> Result<Place, Status> {
        let root = self.root(file)?;
        match self.share(&file.datastore) {
            Some(_) => check_parcel_path(file)?,
            None => check_path(file)?,
        }
        let (folder, name) = file.path.rsplit_once('/').unwrap_or((".", &file.path));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let opened = below(&root, folder, flags);
        Ok(Place {
            folder: opened.map_err(|error| not_opened(file, error))?,
            name: name.to_owned(),
        })
    }
}

/// Opens what is below a folder; the kernel sees to it that the way stays there.
pub(crate) fn below(root: &Path, path: &str, flags: OFlags) -> Result<File, Errno> {
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, folder, Mode::empty())?;
    let way = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let opened = openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), way)?;
    Ok(File::from(opened))
}

/// No part of a path is hidden, which is how our own unfinished files are named, or leads up.
fn check_path(file: &FileRef) -> Result<(), Status> {
    let is_fine = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\0');
    if file.path.len() <= 1024 && file.path.split('/').all(is_fine) {
        return Ok(());
    }
    Err(refused(file, "is not a path below a datastore"))
}

/// A file in a hidden folder that was made for what comes. The folders above it, and the file, are as anywhere.
fn check_parcel_path(file: &FileRef) -> Result<(), Status> {
    let mut parts: Vec<&str> = file.path.split('/').collect();
    let place = parts.len().checked_sub(2);
    let folder = place.map_or("", |place| parts.remove(place));
    let seen = FileRef {
        path: parts.join("/"),
        ..file.clone()
    };
    if folder.starts_with('.') && folder.ends_with(PARCEL_ENDING) && check_path(&seen).is_ok() {
        return Ok(());
    }
    Err(refused(
        file,
        "is not in a folder of the share that files may come into",
    ))
}

fn not_opened(file: &FileRef, error: Errno) -> Status {
    match error {
        Errno::NOENT | Errno::NOTDIR => Status::not_found(object(file)),
        Errno::XDEV | Errno::LOOP => refused(file, "leads out of its datastore, or over a link"),
        // A socket, or a device without a driver.
        Errno::NXIO | Errno::NODEV => refused(file, "is not a regular file"),
        error => failed(file, "opened", &error.into()),
    }
}

fn object(file: &FileRef) -> ObjectRef {
    let name = format!(
        "{}/{}",
        names::shorten(&file.datastore),
        names::shorten(&file.path)
    );
    ObjectRef::new("file", &name, &name)
}

/// What will not be done with a file, however often it is asked.
pub(super) fn refused(file: &FileRef, why: &str) -> Status {
    let object = object(file);
    Status::precondition(format!("File {} {why}.", object.name))
        .about(object)
        .action("Name a plain file below one of the host's datastores.")
}

/// What the system did not do.
pub(super) fn failed(file: &FileRef, what: &str, error: &io::Error) -> Status {
    let object = object(file);
    let message = format!("File {} could not be {what}: {error}.", object.name);
    let (code, action) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            (
                Code::ResourceExhausted,
                "Free room on the datastore, or use another; then start the transfer again.",
            )
        }
        _ => (
            Code::Internal,
            "Look at the host's disk and at the rights of the file.",
        ),
    };
    Status::new(code, message).about(object).action(action)
}

pub(crate) fn stamp(metadata: &Metadata) -> FileStamp {
    let nanoseconds =
        |secs: i64, rest: i64| secs.saturating_mul(1_000_000_000).saturating_add(rest);
    FileStamp {
        inode: metadata.ino(),
        size_bytes: metadata.len(),
        modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    }
}

pub(super) fn facts(metadata: &Metadata) -> FileFacts {
    FileFacts {
        size_bytes: metadata.len(),
        allocated_bytes: metadata.blocks().saturating_mul(512).min(metadata.len()),
        stamp: Some(stamp(metadata)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn file(path: &str) -> FileRef {
        FileRef {
            datastore: "ds".to_owned(),
            path: path.to_owned(),
        }
    }

    #[test]
    fn only_plain_files_below_a_datastore_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let images = dir.path().join("ds/images");
        std::fs::create_dir_all(&images).unwrap();
        std::fs::write(images.join("good.raw"), "x").unwrap();
        std::fs::write(images.join(".good.raw.part"), "x").unwrap();
        std::fs::write(dir.path().join("outside"), "x").unwrap();
        symlink("good.raw", images.join("link.raw")).unwrap();
        symlink(dir.path(), images.join("up")).unwrap();
        let _socket = UnixListener::bind(images.join("socket.raw")).unwrap();
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(
            rustix::fs::CWD,
            images.join("pipe.raw"),
            rustix::fs::FileType::Fifo,
            mode,
            0,
        )
        .unwrap();
        let huge = File::create(images.join("huge.raw")).unwrap();
        // As large as the filesystem lets it be, if that is more than any disk.
        let is_huge = huge
            .set_len(contracts::limits::DISK_BYTES_MAX + 4096)
            .is_ok();
        let roots = Roots::new([("ds".to_owned(), dir.path().join("ds"))]);
        assert!(roots.open(&file("images/good.raw")).is_ok());
        let code = |path: &str| roots.open(&file(path)).unwrap_err().code();
        for path in [
            "images/link.raw",
            "images/up/outside",
            "images/socket.raw",
            "images/pipe.raw",
            "images",
            "../outside",
            "images/../../outside",
            "/etc/passwd",
            "images//good.raw",
            "images/.good.raw.part",
            "",
            "images/good.raw\0",
        ] {
            assert_eq!(code(path), Code::FailedPrecondition, "{path}");
        }
        assert!(!is_huge || code("images/huge.raw") == Code::FailedPrecondition);
        assert_eq!(code("images/none.raw"), Code::NotFound);
        let elsewhere = FileRef {
            datastore: "other".to_owned(),
            ..file("images/good.raw")
        };
        assert_eq!(roots.open(&elsewhere).unwrap_err().code(), Code::NotFound);
        assert!(roots.place(&file("images/new.raw")).is_ok());
        assert!(roots.place(&file("images/up/new.raw")).is_err());
    }

    #[test]
    fn in_a_share_files_are_made_only_where_the_library_has_made_room_for_them() {
        let dir = tempfile::tempdir().unwrap();
        let hidden = dir.path().join("share/deep/.web.p1.parcel");
        std::fs::create_dir_all(&hidden).unwrap();
        std::fs::create_dir_all(dir.path().join("share/.git")).unwrap();
        std::fs::create_dir_all(dir.path().join(".out.p1.parcel")).unwrap();
        symlink(&hidden, dir.path().join("share/.link.parcel")).unwrap();
        let roots = Roots::new([]);
        roots.set_shares([("ds".to_owned(), dir.path().join("share"))].into());
        assert!(
            roots
                .place(&file("deep/.web.p1.parcel/disk0.qcow2"))
                .is_ok()
        );
        for path in [
            "disk0.qcow2",
            "deep/disk0.qcow2",
            ".git/disk0.qcow2",
            ".link.parcel/disk0.qcow2",
            "deep/.web.p1.parcel/.disk0.qcow2",
            "deep/.web.p1.parcel/../disk0.qcow2",
            "../.out.p1.parcel/disk0.qcow2",
            ".web.p1.parcel",
            "",
        ] {
            let refused = roots.place(&file(path)).err().map(|refusal| refusal.code());
            assert_eq!(refused, Some(Code::FailedPrecondition), "{path}");
        }
        let early = Roots::new([]).with_shares_to_come();
        let asked = early.place(&file("deep/.web.p1.parcel/disk0.qcow2"));
        assert_eq!(asked.err().map(|e| e.code()), Some(Code::Unavailable));
        // What is being brought is read by nobody.
        std::fs::write(hidden.join("disk0.qcow2"), "x").unwrap();
        assert!(
            roots
                .open(&file("deep/.web.p1.parcel/disk0.qcow2"))
                .is_err()
        );
    }
}
