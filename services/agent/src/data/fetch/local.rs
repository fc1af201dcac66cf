//! A copy on one host: no byte goes over any connection.

use std::fs::File;
use std::io;

use contracts::Status;
use contracts::data::{FileRef, FileStamp};
use rustix::fs::{OFlags, SeekFrom, copy_file_range, fcntl_setfl, ioctl_ficlone, seek};
use rustix::io::Errno;

use super::super::roots;
use super::super::source::is_same;
use super::super::{Shared, limits};
use super::Fetch;
use super::target::{self, Begun, Target};

/// How a file was copied.
pub(super) const REFLINK: &str = "reflink";
pub(super) const COPY: &str = "copy";

/// Copies the file: its blocks are shared where the filesystem can, else its data is copied and its holes are not.
pub(super) fn run(shared: &Shared, fetch: &Fetch) -> Result<(), Status> {
    let name = fetch.ticket.source.clone().unwrap_or_default();
    let failed = |e: io::Error| roots::failed(&name, "copied", &e);
    let source = shared.roots.open(&name)?;
    let facts = roots::facts(&source.metadata().map_err(failed)?);
    let stamp = facts.stamp.unwrap_or_default();
    fetch.begins(facts.size_bytes, facts.allocated_bytes);
    let begun = target::begin(&shared.roots, &shared.remembered, &fetch.ticket, &facts)?;
    let Begun::Going(target) = begun else {
        return Ok(());
    };
    let method = match ioctl_ficlone(target.part(), &source) {
        Ok(()) => REFLINK,
        Err(_) => {
            // Within the kernel it goes through the page cache.
            fcntl_setfl(target.part(), OFlags::empty()).map_err(|e| failed(e.into()))?;
            copy_data(fetch, &source, &target, facts.size_bytes).map_err(failed)?;
            COPY
        }
    };
    check_unchanged(&source, &stamp, &name)?;
    fetch.has(facts.allocated_bytes);
    fetch.set_method(method);
    target.finish(&shared.remembered, &[])
}

fn check_unchanged(source: &File, stamp: &FileStamp, name: &FileRef) -> Result<(), Status> {
    let metadata = source.metadata();
    let metadata = metadata.map_err(|e| roots::failed(name, "looked at", &e))?;
    if is_same(&roots::stamp(&metadata), stamp) {
        return Ok(());
    }
    let refused = roots::refused(name, "was changed while it was copied");
    Err(refused.action("Stop what writes to it, then start the transfer again."))
}

fn copy_data(fetch: &Fetch, source: &File, target: &Target, size_bytes: u64) -> io::Result<()> {
    let mut at = 0;
    while at < size_bytes {
        let start = match seek(source, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => return Ok(()),
            start => start?,
        };
        at = seek(source, SeekFrom::Hole(start))?;
        copy_range(fetch, source, target.part(), start, at)?;
    }
    Ok(())
}

fn copy_range(fetch: &Fetch, source: &File, target: &File, start: u64, end: u64) -> io::Result<()> {
    let (mut from, mut to) = (start, start);
    while from < end {
        if fetch.is_stopped() {
            return Err(io::Error::other("it was stopped"));
        }
        let count = usize::try_from((end - from).min(limits::COPY_BYTES)).unwrap_or_default();
        // Moves both offsets on.
        let copied = copy_file_range(source, Some(&mut from), target, Some(&mut to), count)?;
        if copied == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        fetch.count_done(copied);
    }
    Ok(())
}
