//! Who a file is: by an id in its extended attribute, or by its content.

use std::fs::File;
use std::io::{self, Read as _};

use contracts::names;
use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};
use rustix::io::Errno;

use super::limits;

const ATTRIBUTE: &str = "user.muster.id";

/// Longest value that is read; an id has at most 64 bytes.
const VALUE_BYTES_MAX: usize = 64;

/// Whether a share keeps extended attributes: asked of its folder.
pub(super) fn keeps_attributes(folder: &File) -> bool {
    let mut value = [0_u8; VALUE_BYTES_MAX];
    !matches!(fgetxattr(folder, ATTRIBUTE, &mut value), Err(Errno::NOTSUP))
}

/// The id that a file has; what cannot be one is none.
pub(super) fn read(file: &File) -> Option<String> {
    let mut value = [0_u8; VALUE_BYTES_MAX];
    let length = fgetxattr(file, ATTRIBUTE, &mut value).ok()?;
    let id = String::from_utf8(value.get(..length)?.to_vec()).ok()?;
    names::is_token(&id).then_some(id)
}

pub(super) fn write(file: &File, id: &str) -> io::Result<()> {
    Ok(fsetxattr(
        file,
        ATTRIBUTE,
        id.as_bytes(),
        XattrFlags::empty(),
    )?)
}

/// BLAKE3 of the content. The error goes on from "The file …".
pub(super) fn hash(file: &File, bytes: u64) -> Result<Vec<u8>, String> {
    if bytes > limits::HASHED_BYTES_MAX {
        let most = limits::HASHED_BYTES_MAX >> 30;
        return Err(format!(
            "has more than {most} GiB, too much to be recognised by its content"
        ));
    }
    let mut hasher = blake3::Hasher::new();
    // No more than it had: it may grow without end.
    let read = hasher.update_reader(file.take(bytes));
    read.map_err(|error| format!("cannot be read: {error}"))?;
    Ok(hasher.finalize().as_bytes().to_vec())
}

/// The id of a file that is recognised by its content, if no other has it.
pub(super) fn id_of(hash: &[u8]) -> String {
    hash.iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
