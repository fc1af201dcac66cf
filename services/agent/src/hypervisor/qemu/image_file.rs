//! Looks at image files with our own eyes, before any tool sees them: where a file really is, what it is, and what it
//! refers to.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use contracts::{Status, names};

use super::datastore::Datastore;
use super::definition::Format;
use super::{folder, qcow2};
use crate::limits;

/// One file of a chain as we found it with our own eyes.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    pub(super) metadata: Metadata,
    pub(super) cluster_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) backing: Option<qcow2::Backing>,
}

/// Why an image is refused, to go on from "Image x …".
pub(super) enum Refused {
    Missing,
    /// Not a file that can be read at all.
    File(String),
    /// Refers to what it must not.
    Outside(String),
    Content(String),
}

/// Finds the file that a name means; with no datastore named, the first that has it.
pub(super) fn locate<'a>(
    datastores: &'a [Datastore],
    image: &str,
) -> Result<Option<(&'a Datastore, PathBuf)>, Status> {
    let (wanted, file) = split_name(image)?;
    let mut paths = datastores
        .iter()
        .filter(|d| wanted.is_none_or(|w| w == d.name))
        .map(|d| (d, d.images().join(file)));
    Ok(paths.find(|(_, path)| path.symlink_metadata().is_ok()))
}

/// `<datastore>/<file>` or `<file>`. No name leads out of the folder of images.
fn split_name(image: &str) -> Result<(Option<&str>, &str), Status> {
    let (datastore, file) = match image.split_once('/') {
        Some((datastore, file)) => (Some(datastore), file),
        None => (None, image),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-+".contains(&b);
    let ok = datastore.is_none_or(names::is_token)
        && (1..=200).contains(&file.len())
        && file.bytes().all(plain)
        && !file.starts_with('.');
    if ok {
        return Ok((datastore, file));
    }
    let shown = names::shorten(image);
    Err(Status::invalid("image", format!("{shown:?} cannot be the name of an image."))
        .action("Use <file> or <datastore>/<file>, with letters, digits, dots, hyphens, underscores and plus signs."))
}

/// Looks at a file and at everything below it.
pub(super) fn look_through(images: &Path, path: PathBuf) -> Result<Vec<Found>, Refused> {
    let mut chain: Vec<Found> = Vec::new();
    let mut next = Some((path, None));
    while let Some((path, declared)) = next {
        if chain.len() == limits::CHAIN_LAYERS_MAX {
            return Err(Refused::Outside("lies on too many other images".to_owned()));
        }
        let found = look(images, &path, declared).map_err(|why| match why {
            Refused::Missing if !chain.is_empty() => {
                Refused::Outside("lies on a file that is not there".to_owned())
            }
            why => why,
        })?;
        next = found
            .backing
            .as_ref()
            .map(|b| (backing_path(&found.path, &b.name), b.format));
        chain.push(found);
    }
    Ok(chain)
}

fn backing_path(file: &Path, name: &str) -> PathBuf {
    // `join` takes an absolute name as it is. "nbd://…" or "json:…" become paths that do not exist.
    file.parent().unwrap_or(Path::new("/")).join(name)
}

/// Looks at one file: where it really is, what it is, what its header says.
fn look(images: &Path, path: &Path, declared: Option<Format>) -> Result<Found, Refused> {
    let real = fs::canonicalize(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Refused::Missing,
        _ => Refused::Outside("leads to a file that cannot be reached".to_owned()),
    })?;
    if !real.starts_with(images) {
        return Err(Refused::Outside(
            "leads out of the datastore's images".to_owned(),
        ));
    }
    let mut file = folder::open_regular(&real).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Refused::File("cannot be read by the agent".to_owned()),
        _ => Refused::File("is not a regular file".to_owned()),
    })?;
    let unreadable = |error: io::Error| Refused::File(format!("cannot be read: {error}"));
    let metadata = file.metadata().map_err(unreadable)?;
    let start = read_start(&mut file).map_err(unreadable)?;
    judge(real, metadata, &start, declared)
}

fn read_start(file: &mut File) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    file.take(qcow2::HEADER_BYTES as u64)
        .read_to_end(&mut start)?;
    Ok(start)
}

/// Our own rule for the format: the qcow2 magic makes it qcow2, else the file's name makes it raw. Nothing is guessed.
fn judge(
    path: PathBuf,
    metadata: Metadata,
    start: &[u8],
    declared: Option<Format>,
) -> Result<Found, Refused> {
    let bytes = metadata.len();
    let format = if qcow2::has_magic(start) {
        Format::Qcow2
    } else if is_raw_name(&path) && bytes > 0 && bytes.is_multiple_of(512) {
        Format::Raw
    } else {
        return Err(Refused::Content("is not an image".to_owned()));
    };
    if declared.is_some_and(|declared| declared != format) {
        return Err(Refused::Content(
            "lies on an image of another format than it says".to_owned(),
        ));
    }
    let header = match format {
        Format::Qcow2 => qcow2::parse(start).map_err(Refused::Content)?,
        Format::Raw => qcow2::Header {
            virtual_bytes: bytes,
            cluster_bytes: 512,
            backing: None,
        },
    };
    check_size(header.virtual_bytes).map_err(Refused::Content)?;
    Ok(Found {
        path,
        format,
        metadata,
        cluster_bytes: header.cluster_bytes,
        virtual_bytes: header.virtual_bytes,
        backing: header.backing,
    })
}

fn is_raw_name(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "raw" || e == "img")
}

fn check_size(virtual_bytes: u64) -> Result<(), String> {
    if virtual_bytes == 0 || virtual_bytes > contracts::limits::DISK_BYTES_MAX {
        return Err(format!("says that its disk has {virtual_bytes} bytes"));
    }
    Ok(())
}

#[cfg(test)]
#[path = "image_file_tests.rs"]
mod tests;
