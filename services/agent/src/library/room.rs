//! Room on a share: looked at before anything is made there, and told when it runs out on the way.

use std::fmt::Display;
use std::fs::File;
use std::path::Path;

use contracts::{Code, ObjectRef, Status};

use super::limits;
use crate::hypervisor::qemu::tool::is_want_of_room;

/// Refuses what would not fit into a folder of the share at `share`.
pub(super) fn check(
    folder: &File,
    share: &Path,
    object: ObjectRef,
    bytes: u64,
) -> Result<(), Status> {
    let needed = bytes.saturating_add(limits::SHARE_FREE_BYTES_MIN);
    let stat = match rustix::fs::fstatvfs(folder) {
        Ok(stat) => stat,
        Err(error) => return Err(not_made(share, object, error)),
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free >= needed {
        return Ok(());
    }
    let message = format!(
        "The share at {} has {} MiB free, and {} {} needs {} MiB.",
        share.display(),
        free >> 20,
        object.kind,
        object.name,
        needed >> 20
    );
    Err(Status::new(Code::ResourceExhausted, message)
        .about(object)
        .action("Free room on the share, or use another one."))
}

/// A file or folder of the share at `share` that could not be made.
pub(super) fn not_made(share: &Path, object: ObjectRef, why: impl Display) -> Status {
    let why = why.to_string();
    let message = format!(
        "The {} {} could not be made in the share at {}: {}.",
        object.kind,
        object.name,
        share.display(),
        why.trim_end_matches('.')
    );
    match is_want_of_room(&why) {
        true => Status::new(Code::ResourceExhausted, message)
            .action("Free room on the share, then restart the job."),
        false => Status::internal(message).action("Look at the disk of the library server."),
    }
    .about(object)
}
