//! One message in a file of its own, for what may be old or lost: it was learned or seen, and will be again.

use std::fs;
use std::io;
use std::path::Path;

use prost::Message;

/// What was kept; nothing if there is no file, or none that can be read.
pub fn load<M: Message + Default>(file: &Path) -> Option<M> {
    let read = fs::read(file);
    match read.and_then(|bytes| M::decode(bytes.as_slice()).map_err(io::Error::other)) {
        Ok(kept) => Some(kept),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "what was kept cannot be read; it begins anew");
            None
        }
    }
}

/// Replaces the file in one step.
pub fn save(file: &Path, kept: &impl Message) {
    let new = file.with_extension("new");
    let written = fs::write(&new, kept.encode_to_vec()).and_then(|()| fs::rename(&new, file));
    if let Err(error) = written {
        tracing::warn!(file = %file.display(), %error, "what is to be kept was not written; it is tried again");
    }
}
