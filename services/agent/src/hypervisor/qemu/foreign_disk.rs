//! A disk that has come as another program wrote it. It was looked at before it travelled; here it is looked at again, for
//! nothing that has come is trusted, and then a disk of the machine is made of it. What has come stays until the machine is there:
//! a making that was cut off is begun anew.

use std::path::Path;

use contracts::host::ForeignDisk;
use contracts::{ObjectRef, Status, names};

use super::datastore::Datastore;
use super::disk_look::{At, Disk, DiskLook, Part};
use super::{Environment, folder, parcel};

/// What has come, and is to be converted.
pub(super) struct Foreign {
    /// As the parcel calls it.
    file: String,
    at: At,
    disk: Disk,
    /// Room that the converted disk takes, about.
    pub(super) bytes: u64,
}

fn refused(file: &str, why: &str) -> Status {
    let title = names::shorten(file);
    Status::precondition(format!("The file {title} that has come {why}."))
        .about(ObjectRef::new("image", &title, &title))
        .action("Look at the package in the library, and deploy it again.")
}

/// Looks at what has come: it is of the format that was said, and lies on nothing.
pub(super) async fn look(
    environment: &Environment,
    datastore: &Datastore,
    parcel_id: &str,
    from: &ForeignDisk,
) -> Result<Foreign, Status> {
    names::check_image_file("received.disks.file", &from.file)?;
    let said = |why: String| refused(&from.file, &why);
    let path = parcel::path(datastore, parcel_id, &from.file);
    let file = folder::open_regular(&path);
    let file = file.map_err(|error| said(format!("cannot be opened: {error}")))?;
    let handed_over = environment.confinement.hand_over(&path);
    handed_over.map_err(|error| said(format!("cannot be handed over: {error}")))?;
    let part = (from.length_bytes > 0).then_some(Part {
        offset_bytes: from.offset_bytes,
        bytes: from.length_bytes,
    });
    // A disk is raw because it was said to be, and not because nothing else was found in it.
    let name = format!("disk.{}", from.format);
    let at = At { path, part, name };
    let disk = environment.disks.look(&file, &at).await.map_err(said)?;
    if disk.backing.is_some() {
        return Err(said("lies on another file".to_owned()));
    }
    if disk.format != from.format {
        let format = names::shorten(&from.format);
        return Err(said(format!(
            "is {}, and {format} was expected",
            disk.format
        )));
    }
    // One that takes long to measure needs no more than it is large.
    let measured = environment.disks.measure(&disk, &at).await;
    let bytes = measured.unwrap_or(disk.virtual_bytes);
    Ok(Foreign {
        file: from.file.clone(),
        at,
        disk,
        bytes,
    })
}

impl Foreign {
    /// The machine's record says how large it is, and quotas and placing go by that.
    pub(super) fn check_size(&self, bytes: u64) -> Result<(), Status> {
        let own = self.disk.virtual_bytes;
        match own == bytes {
            true => Ok(()),
            false => Err(refused(
                &self.file,
                &format!("holds a disk of {own} bytes, and {bytes} were expected"),
            )),
        }
    }

    /// Makes a qcow2 file of it. The error goes on from "disk …".
    pub(super) async fn convert(&self, disks: &DiskLook, to: &Path) -> Result<(), String> {
        disks.convert(&self.disk, &self.at, to, "qcow2").await
    }
}
