//! What lies in the folder of a file that is made, and who has made it.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use contracts::data::{FileRef, FileStamp, Ticket};
use contracts::{Code, ObjectRef, Status};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, openat, statat, unlinkat};
use rustix::io::Errno;

use super::super::remembered::Remembered;
use super::super::rename::rename_unless_there;
use super::super::roots::{self, Place, Roots};
use super::super::slots::{Head, Slots};
use super::super::source::is_same;

pub(super) fn part_name(name: &str) -> String {
    format!(".{name}.part")
}

pub(super) fn journal_name(name: &str) -> String {
    format!(".{name}.journal")
}

pub(super) fn object(name: &FileRef) -> ObjectRef {
    let name = format!("{}/{}", name.datastore, name.path);
    ObjectRef::new("file", &name, &name)
}

/// Another transfer makes the file, or has left half of it.
pub(super) fn taken(name: &FileRef, by: &str) -> Status {
    let object = object(name);
    let message = match by {
        "" => format!("Another transfer is making file {}.", object.name),
        by => format!("Transfer {by} is making file {}.", object.name),
    };
    Status::already_exists(object, message)
        .action("Wait until that transfer has ended, or cancel it, or choose another name.")
}

pub(super) fn there(name: &FileRef) -> Status {
    let object = object(name);
    let message = format!("There is a file {} already.", object.name);
    Status::already_exists(object, message).action("Choose another name, or remove that file.")
}

/// The transfer that has begun to make a file and not ended, if there is one.
pub(super) fn maker(place: &Place) -> io::Result<Option<String>> {
    let journal = openat(
        &place.folder,
        journal_name(&place.name),
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    );
    match journal {
        Err(Errno::NOENT) => Ok(None),
        journal => Ok(Slots(File::from(journal?))
            .head()?
            .map(|head| head.transfer_id)),
    }
}

/// The stamp of the file under its name; `None`: there is none.
pub(super) fn stamp_of(place: &Place) -> io::Result<Option<FileStamp>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(&place.folder, &place.name, flags, Mode::empty()) {
        Err(Errno::NOENT) => Ok(None),
        file => Ok(Some(roots::stamp(&File::from(file?).metadata()?))),
    }
}

/// The whole file, if this transfer has made it.
pub(super) fn made(
    remembered: &Remembered,
    name: &FileRef,
    transfer_id: &str,
    there: &FileStamp,
) -> Option<Head> {
    let is_ours = |head: &Head| {
        let stamp = head.stamp.as_ref();
        head.transfer_id == transfer_id && stamp.is_some_and(|stamp| is_same(stamp, there))
    };
    remembered.head(name).filter(is_ours)
}

/// Refuses a place where a file cannot be made by this transfer. Changes nothing.
pub(super) fn check(roots: &Roots, remembered: &Remembered, ticket: &Ticket) -> Result<(), Status> {
    let name = ticket.target.clone().unwrap_or_default();
    let place = roots.place(&name)?;
    let failed = |e: io::Error| roots::failed(&name, "made", &e);
    match maker(&place).map_err(failed)? {
        Some(by) if by != ticket.transfer_id => return Err(taken(&name, &by)),
        Some(_) => return Ok(()),
        None => {}
    }
    match stamp_of(&place).map_err(failed)? {
        Some(stamp) if made(remembered, &name, &ticket.transfer_id, &stamp).is_none() => {
            Err(there(&name))
        }
        _ => Ok(()),
    }
}

/// Remembers the hashes of a file that has got its name, and needs no journal any more.
pub(super) fn keep(
    remembered: &Remembered,
    place: &Place,
    journal: &Slots,
    mut head: Head,
    stamp: FileStamp,
) -> io::Result<Head> {
    head.stamp = Some(stamp);
    let name = FileRef {
        datastore: head.datastore.clone(),
        path: head.path.clone(),
    };
    remembered.keep(&name, journal, &head)?;
    remove(place, &journal_name(&place.name))?;
    Ok(head)
}

pub(super) fn part_is_there(place: &Place) -> io::Result<bool> {
    match statat(
        &place.folder,
        part_name(&place.name),
        AtFlags::SYMLINK_NOFOLLOW,
    ) {
        Err(Errno::NOENT) => Ok(false),
        stat => stat.map(|_| true).map_err(io::Error::from),
    }
}

/// The journal, locked. `None`: another has it.
pub(super) fn lock_journal(place: &Place) -> io::Result<Option<File>> {
    loop {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = File::from(openat(
            &place.folder,
            journal_name(&place.name),
            flags,
            mode,
        )?);
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(None),
            locked => locked?,
        }
        // It may have been removed between the two.
        if file.metadata()?.nlink() > 0 {
            return Ok(Some(file));
        }
    }
}

pub(super) fn remove(place: &Place, name: &str) -> io::Result<()> {
    match unlinkat(&place.folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => Ok(removed?),
    }
}

/// Gives the whole file its name.
pub(super) fn rename(place: &Place) -> io::Result<()> {
    rename_unless_there(&place.folder, &part_name(&place.name), &place.name)
}

/// Removes whatever a transfer has made of a file, whole or not. What is another's stays.
pub(in super::super) fn discard(
    roots: &Roots,
    remembered: &Remembered,
    transfer_id: &str,
    name: &FileRef,
) -> Result<(), Status> {
    let place = match roots.place(name) {
        Err(status) if status.code() == Code::NotFound => return Ok(()),
        place => place?,
    };
    let discard = || {
        if maker(&place)?.is_some_and(|by| by == transfer_id) {
            remove(&place, &part_name(&place.name))?;
            remove(&place, &journal_name(&place.name))?;
        }
        if let Some(stamp) = stamp_of(&place)?
            && made(remembered, name, transfer_id, &stamp).is_some()
        {
            remove(&place, &place.name)?;
            remembered.forget(name);
        }
        place.folder.sync_all()
    };
    discard().map_err(|e| roots::failed(name, "removed", &e))
}
