//! The file that a fetch makes.
//!
//! | in the target's folder | means |
//! |---|---|
//! | `.<name>.part` | what has come so far |
//! | `.<name>.journal` | which chunks those are, with their hashes; locked (flock) by who fills it |
//! | `<name>` | the whole file: complete, checked, and on disk before it got the name |
//!
//! A chunk is written before its slot in the journal is, so after a kill of the agent what has a slot is there. After a
//! crash of the system that does not hold, and nothing is synced on the way for it: every chunk that has a slot is read
//! again then and compared with its hash.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use contracts::data::{FileFacts, FileRef, FileStamp, Ticket};
use contracts::{Code, Status};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::super::chunk::{self, BLOCK_BYTES, CHUNK_BYTES, Hash, Packed};
use super::super::remembered::Remembered;
use super::super::roots::{self, Place, Roots};
use super::super::slots::{Head, Slots};
use super::aligned::Aligned;
use super::folder::{
    journal_name, keep, lock_journal, made, object, part_is_there, part_name, remove, rename,
    stamp_of, taken, there,
};
use crate::limits::DATASTORE_FREE_BYTES_MIN;

pub(super) struct Target {
    name: FileRef,
    place: Place,
    part: File,
    journal: Slots,
    head: Head,
}

/// What is found when a fetch begins.
pub(super) enum Begun {
    /// The file is whole already, made by this transfer.
    Whole(Head),
    Going(Box<Target>),
}

/// Of this start of the system.
fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.unwrap_or_default().trim().to_owned()
}

/// Begins to make a file, or goes on with what an earlier run has left of it.
pub(super) fn begin(
    roots: &Roots,
    remembered: &Remembered,
    ticket: &Ticket,
    facts: &FileFacts,
) -> Result<Begun, Status> {
    let name = ticket.target.clone().unwrap_or_default();
    let failed = |e: io::Error| roots::failed(&name, "made", &e);
    let place = roots.place(&name)?;
    let journal = lock_journal(&place).map_err(failed)?;
    let journal = Slots(journal.ok_or_else(|| taken(&name, ""))?);
    let left = journal.head().map_err(failed)?;
    if let Some(left) = left
        .as_ref()
        .filter(|left| left.transfer_id != ticket.transfer_id)
    {
        return Err(taken(&name, &left.transfer_id));
    }
    let is_finished = left
        .as_ref()
        .is_some_and(|left| !left.content_hash.is_empty());
    if let Some(stamp) = stamp_of(&place).map_err(failed)? {
        let is_named = !part_is_there(&place).map_err(failed)?;
        if let Some(head) = left.filter(|_| is_finished && is_named) {
            let head = keep(remembered, &place, &journal, head, stamp).map_err(failed)?;
            return Ok(Begun::Whole(head));
        }
        if let Some(head) = made(remembered, &name, &ticket.transfer_id, &stamp) {
            remove(&place, &journal_name(&place.name)).map_err(failed)?;
            return Ok(Begun::Whole(head));
        }
        // An empty journal is our own.
        if left_nothing(&journal).map_err(failed)? {
            remove(&place, &journal_name(&place.name)).map_err(failed)?;
        }
        return Err(there(&name));
    }
    let is_new = left.is_none();
    let head = left.unwrap_or_else(|| Head {
        stamp: facts.stamp,
        transfer_id: ticket.transfer_id.clone(),
        datastore: name.datastore.clone(),
        path: name.path.clone(),
        ..Head::default()
    });
    let part = open_part(&place).map_err(failed)?;
    let mut target = Target {
        name: name.clone(),
        place,
        part,
        journal,
        head,
    };
    target.check_room(facts)?;
    match target.settle() {
        Ok(()) => Ok(Begun::Going(Box::new(target))),
        Err(error) => {
            // A journal that names no transfer would be nobody's to remove.
            if is_new {
                target.remove().map_err(failed)?;
            }
            Err(failed(error))
        }
    }
}

fn left_nothing(journal: &Slots) -> io::Result<bool> {
    Ok(journal.head()?.is_none())
}

/// Opens what has come so far, past the page cache where the filesystem can: that is twice as fast, and leaves the cache
/// to others.
fn open_part(place: &Place) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
    let name = part_name(&place.name);
    let file = match openat(&place.folder, &name, flags | OFlags::DIRECT, mode) {
        Err(Errno::INVAL) => openat(&place.folder, &name, flags, mode)?,
        file => file?,
    };
    Ok(File::from(file))
}

impl Target {
    fn failed(&self, what: &str, error: &io::Error) -> Status {
        roots::failed(&self.name, what, error)
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.head.size_bytes()
    }

    /// Of the source's file when the transfer was begun.
    pub(super) fn expected(&self) -> Option<FileStamp> {
        self.head.stamp
    }

    /// Refuses what would not fit, before anything is asked for.
    fn check_room(&self, facts: &FileFacts) -> Result<(), Status> {
        let failed = |e: io::Error| self.failed("made", &e);
        let room = rustix::fs::fstatvfs(&self.place.folder);
        let room = room.map_err(|e| failed(e.into()))?;
        let there = self
            .part
            .metadata()
            .map_err(failed)?
            .blocks()
            .saturating_mul(512);
        let needed = facts
            .allocated_bytes
            .saturating_sub(there)
            .saturating_add(DATASTORE_FREE_BYTES_MIN);
        let free = room.f_bavail.saturating_mul(room.f_frsize);
        if free >= needed {
            return Ok(());
        }
        let abandoned = if there == 0 { self.remove() } else { Ok(()) };
        abandoned.map_err(failed)?;
        let message = format!(
            "Datastore {} has {} MiB free, and file {} needs {} MiB.",
            self.name.datastore,
            free >> 20,
            self.name.path,
            needed >> 20
        );
        Err(Status::new(Code::ResourceExhausted, message)
            .about(object(&self.name))
            .action("Free room on it, or use another datastore."))
    }

    /// Makes sure of what an earlier run has left, and writes down what this one is about.
    fn settle(&mut self) -> io::Result<()> {
        let boot_id = boot_id();
        if !self.head.boot_id.is_empty() && self.head.boot_id != boot_id {
            self.verify_all()?;
        }
        self.head.boot_id = boot_id;
        self.part.set_len(self.size_bytes())?;
        self.journal.set_head(&self.head)?;
        self.journal.0.sync_data()
    }

    /// Forgets every chunk that is not what its slot says.
    fn verify_all(&self) -> io::Result<()> {
        let mut buffer = Aligned::new();
        self.journal.each(self.size_bytes(), |index, hash| {
            let length = chunk::length(index, self.size_bytes());
            let content = buffer.first(CHUNK_BYTES);
            content.fill(0);
            self.part.read_at(content, chunk::offset(index))?;
            let content = buffer.first(length);
            if Packed::pack(content).hash != *hash {
                buffer.first(CHUNK_BYTES).fill(0);
                self.part
                    .write_all_at(buffer.first(CHUNK_BYTES), chunk::offset(index))?;
                self.journal.set(index, &Hash::default())?;
            }
            Ok(())
        })
    }

    /// Every chunk that is there.
    pub(super) fn each_done(&self, mut see: impl FnMut(u64)) -> Result<(), Status> {
        let seen = self.journal.each(self.size_bytes(), |index, _| {
            see(index);
            Ok(())
        });
        seen.map_err(|e| self.failed("made", &e))
    }

    /// Writes a chunk that was checked, and that it is there.
    pub(super) fn write(
        &self,
        index: u64,
        packed: &Packed,
        buffer: &mut Aligned,
    ) -> Result<(), Status> {
        let mut write = || {
            let mut at = 0;
            for (start, blocks) in packed.runs() {
                // The last block of a file may be shorter; what lies beyond is cut off in the end.
                let bytes = buffer.padded(at, blocks * BLOCK_BYTES, packed.payload_bytes);
                let offset = chunk::offset(index) + start as u64;
                self.part.write_all_at(bytes, offset)?;
                at += blocks * BLOCK_BYTES;
            }
            self.journal.set(index, &packed.hash)
        };
        write().map_err(|e| self.failed("written", &e))
    }

    /// The hash of the whole as it has come.
    pub(super) fn whole(&self) -> Result<Hash, Status> {
        let whole = self.journal.whole(self.size_bytes());
        whole.map_err(|e| self.failed("made", &e))
    }

    /// What has come so far, to be filled by other means.
    pub(super) fn part(&self) -> &File {
        &self.part
    }

    /// Gives the file its name. Everything has been checked, and is on disk before.
    pub(super) fn finish(mut self, remembered: &Remembered, hash: &[u8]) -> Result<(), Status> {
        let name = self.name.clone();
        let done = self.try_finish(remembered, hash);
        done.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => there(&name),
            _ => roots::failed(&name, "made", &error),
        })
    }

    fn try_finish(&mut self, remembered: &Remembered, hash: &[u8]) -> io::Result<()> {
        self.part.set_len(self.size_bytes())?;
        self.part.sync_all()?;
        self.head.content_hash = hash.to_vec();
        self.journal.set_head(&self.head)?;
        self.journal.0.sync_data()?;
        rename(&self.place)?;
        self.place.folder.sync_all()?;
        let stamp = roots::stamp(&self.part.metadata()?);
        keep(
            remembered,
            &self.place,
            &self.journal,
            self.head.clone(),
            stamp,
        )?;
        Ok(())
    }

    /// Leaves nothing behind.
    pub(super) fn remove(&self) -> io::Result<()> {
        remove(&self.place, &part_name(&self.place.name))?;
        remove(&self.place, &journal_name(&self.place.name))
    }
}
