//! Who lies on an image: machines by their definitions, and other images by their headers.

use std::fs;
use std::io;

use contracts::{Code, ObjectRef, Status, names};

use super::datastore::Datastore;
use super::definition::Definition;
use super::folder;
use super::image_file::{locate, look_through};

/// Names that are told of those that need an image.
const NAMES_TOLD_MAX: usize = 10;

/// Names of the machines of a datastore that have a disk on a file of it, given below the datastore. A definition that cannot
/// be read is an error: nobody knows what it needs.
pub(super) fn machines_on(datastore: &Datastore, file: &str) -> io::Result<Vec<String>> {
    let mut machines = Vec::new();
    for entry in fs::read_dir(datastore.machines())? {
        let Ok(name) = entry?.file_name().into_string() else {
            continue;
        };
        if !names::is_token(&name) {
            continue;
        }
        let definition = match Definition::load(&datastore.folder(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                let why = format!("the definition of machine {name} cannot be read: {error}");
                return Err(io::Error::new(error.kind(), why));
            }
            Ok(definition) => definition,
        };
        let mut layers = definition.disks.iter().flat_map(|disk| &disk.backing);
        if layers.any(|layer| layer.file == file) {
            machines.push(definition.name);
        }
    }
    machines.sort();
    Ok(machines)
}

/// Names of the other images of a datastore that lie on one.
fn images_on(datastore: &Datastore, file: &str) -> io::Result<Vec<String>> {
    let images = datastore.images();
    let wanted = fs::canonicalize(images.join(file))?;
    let mut found = Vec::new();
    for entry in fs::read_dir(&images)? {
        let Ok(name) = entry?.file_name().into_string() else {
            continue;
        };
        // What is no image lies on none.
        let chain = look_through(&images, images.join(&name)).unwrap_or_default();
        if chain.iter().skip(1).any(|below| below.path == wanted) {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}

/// Removes an image that nobody lies on, or only says why it would not be.
pub(super) fn remove_image(
    datastores: &[Datastore],
    image: &str,
    check_only: bool,
) -> Result<(), Status> {
    let failed = |error: io::Error| {
        Status::internal(format!("Image {image} could not be removed: {error}."))
            .about(object(image))
            .action("Look at the datastore at the host.")
    };
    let Some((datastore, path)) = locate(datastores, image)? else {
        return match check_only {
            true => Err(Status::new(
                Code::NotFound,
                format!("There is no image {image} on this host."),
            )
            .about(object(image))
            .action("List the host's datastores to see their images.")),
            false => Ok(()),
        };
    };
    let file = image.rsplit('/').next().unwrap_or(image);
    let machines = machines_on(datastore, &format!("images/{file}")).map_err(failed)?;
    refuse_needed(image, "machines", &machines)?;
    let images = match images_on(datastore, file) {
        // A link that leads nowhere: nobody lies on it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        images => images.map_err(failed)?,
    };
    refuse_needed(image, "images", &images)?;
    if check_only {
        return Ok(());
    }
    folder::remove_file(&path)
        .and_then(|()| fs::File::open(datastore.images())?.sync_all())
        .map_err(failed)
}

fn object(image: &str) -> ObjectRef {
    ObjectRef::new("image", image, image)
}

fn refuse_needed(image: &str, what: &str, by: &[String]) -> Result<(), Status> {
    if by.is_empty() {
        return Ok(());
    }
    let told: Vec<&str> = by.iter().map(String::as_str).take(NAMES_TOLD_MAX).collect();
    let more = match by.len().saturating_sub(NAMES_TOLD_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!(
        "Image {image} is needed by {} {what}: {}{more}.",
        by.len(),
        told.join(", ")
    );
    Err(Status::precondition(message)
        .about(object(image))
        .action("Delete those first, or clone them whole and delete them then."))
}
