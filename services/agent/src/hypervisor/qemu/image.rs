//! Looks at image files without trusting them.
//!
//! Order matters: first our own eyes (place, kind of file, header), and only a file that refers to nothing outside the
//! images of its datastore is shown to `qemu-img`, which runs unprivileged and with little memory and time.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use contracts::host::ImageInfo;
use contracts::{Code, ObjectRef, Status};
use serde_json::Value;

use super::blocks;
use super::confinement::Confinement;
use super::datastore::Datastore;
use super::definition::{Format, Layer};
use super::image_file::{Found, Refused, locate, look_through};
use super::tool::{self, ToolError};
use crate::limits;

/// An image that a machine may run from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Image {
    pub(super) datastore: String,
    pub(super) path: PathBuf,
    pub(super) virtual_bytes: u64,
    pub(super) file_bytes: u64,
    /// The image itself and what lies below it.
    pub(super) layers: Vec<Layer>,
}

impl Image {
    pub(super) fn to_message(&self, image: &str) -> ImageInfo {
        ImageInfo {
            image: image.to_owned(),
            datastore: self.datastore.clone(),
            path: self.path.to_string_lossy().into_owned(),
            format: self
                .layers
                .first()
                .map_or("", |l| l.format.name())
                .to_owned(),
            virtual_bytes: self.virtual_bytes,
            file_bytes: self.file_bytes,
        }
    }
}

/// Checks images, and remembers those that were found good until their file changes.
pub(super) struct Images {
    qemu_img: PathBuf,
    confinement: Confinement,
    good: Mutex<HashMap<PathBuf, Stamp>>,
}

/// A file that has the same stamp has the same content.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(m: &Metadata) -> Self {
        Self {
            inode: m.ino(),
            bytes: m.len(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        }
    }
}

impl Images {
    pub(super) fn new(qemu_img: &Path, confinement: Confinement) -> Self {
        Self {
            qemu_img: qemu_img.to_owned(),
            confinement,
            good: Mutex::new(HashMap::new()),
        }
    }

    /// Looks at `<datastore>/<file>` or `<file>`, and at everything below it.
    pub(super) async fn check(
        &self,
        datastores: &[Datastore],
        image: &str,
    ) -> Result<Image, Status> {
        let located = locate(datastores, image)?;
        let (datastore, path) = located.ok_or_else(|| refused(image, Refused::Missing))?;
        let chain = look_through(&datastore.images(), path).map_err(|why| refused(image, why))?;
        for found in &chain {
            self.verify(image, found).await?;
        }
        describe(image, datastore, &chain)
    }

    /// Looks at a file of a folder that is to be a disk by itself: a qcow2 file that lies on no other.
    pub(super) async fn check_alone(
        &self,
        folder: &Path,
        path: PathBuf,
        name: &str,
    ) -> Result<Found, Status> {
        let mut chain = look_through(folder, path).map_err(|why| refused(name, why))?;
        let found = chain.pop().filter(|_| chain.is_empty());
        let several = || refused(name, Refused::Outside("lies on another file".to_owned()));
        let found = found.ok_or_else(several)?;
        if found.format != Format::Qcow2 {
            return Err(refused(
                name,
                Refused::Content("is no qcow2 file".to_owned()),
            ));
        }
        self.verify(name, &found).await?;
        Ok(found)
    }

    /// Shows a file to `qemu-img`, unless it was found good before.
    async fn verify(&self, image: &str, found: &Found) -> Result<(), Status> {
        let stamp = Stamp::of(&found.metadata);
        if self.lock().get(&found.path) == Some(&stamp) {
            return Ok(());
        }
        let info = self.info(image, found).await?;
        check_info(&info, found).map_err(|why| refused(image, Refused::Content(why)))?;
        if found.format == Format::Qcow2 {
            self.check_tables(image, found).await?;
        }
        self.lock().insert(found.path.clone(), stamp);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Stamp>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn info(&self, image: &str, found: &Found) -> Result<Value, Status> {
        let mut command = self.confinement.limited_command(&self.qemu_img);
        // -U: a machine may run from the image now, and then it is locked.
        command
            .args(["info", "-U", "--output=json"])
            .arg(only(found));
        let output = tool::run_well(command, limits::IMAGE_INFO_TIMEOUT)
            .await
            .map_err(|error| self.tool_failed(image, error))?;
        serde_json::from_slice(&output.stdout).map_err(|e| {
            bad(
                image,
                &format!("was not understood ({e})"),
                "Convert it with qemu-img.",
            )
        })
    }

    async fn check_tables(&self, image: &str, found: &Found) -> Result<(), Status> {
        let mut command = self.confinement.limited_command(&self.qemu_img);
        command
            .args(["check", "-U", "--output=json"])
            .arg(only(found));
        let output = tool::run(command, limits::IMAGE_CHECK_TIMEOUT)
            .await
            .map_err(|error| self.tool_failed(image, error))?;
        let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
        check_report(
            output.code,
            &report,
            found.metadata.len(),
            found.cluster_bytes,
        )
        .map_err(|why| refused(image, Refused::Content(why)))
    }

    fn tool_failed(&self, image: &str, error: ToolError) -> Status {
        match error {
            ToolError::Failed { stderr, .. } if stderr.contains("Permission denied") => bad(
                image,
                &format!(
                    "cannot be read by {}, as whom QEMU runs",
                    self.confinement.user_name()
                ),
                "Make the file readable for all (chmod a+r).",
            ),
            ToolError::Failed { stderr, .. } => bad(
                image,
                &format!("is refused by qemu-img: {}", tool::last_line(&stderr)),
                "Look at it with qemu-img info and qemu-img check, and copy it again.",
            ),
            error @ (ToolError::NotRun { .. } | ToolError::TimedOut { .. }) => {
                Status::unavailable(format!("Image {image} could not be checked: {error}."))
                    .about(object(image))
                    .action("Look whether the host is overloaded, and try again.")
            }
        }
    }
}

/// A name for `qemu-img` that says everything: format, file, and that nothing below it is to be opened.
fn only(found: &Found) -> String {
    format!("json:{}", blocks::image(&found.path, found.format))
}

fn refused(image: &str, why: Refused) -> Status {
    match why {
        Refused::Missing => missing(image),
        Refused::File(why) => bad(image, &why, "Put a plain qcow2 or raw file there."),
        Refused::Outside(why) => bad(
            image,
            &why,
            "Flatten it with qemu-img convert where that file is trusted, or put both among the datastore's images.",
        ),
        Refused::Content(why) => bad(
            image,
            &why,
            "Use a whole qcow2 image, or a raw one named .raw or .img.",
        ),
    }
}

fn object(image: &str) -> ObjectRef {
    ObjectRef::new("image", image, image)
}

fn bad(image: &str, why: &str, action: &str) -> Status {
    Status::precondition(format!("Image {image} {why}."))
        .about(object(image))
        .action(action)
}

fn missing(image: &str) -> Status {
    Status::new(
        Code::NotFound,
        format!("There is no image {image} on this host."),
    )
    .about(object(image))
    .action("List the host's datastores to see their images.")
}

/// What `qemu-img info` says must be what we saw.
pub(super) fn check_info(info: &Value, found: &Found) -> Result<(), String> {
    let format = info
        .get("format")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let bytes = info
        .get("virtual-size")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    if format != found.format.name() || bytes != found.virtual_bytes {
        return Err(format!(
            "is {format} of {bytes} bytes to qemu-img, and not what its header says"
        ));
    }
    if info.get("encrypted").and_then(Value::as_bool) == Some(true) {
        return Err("is encrypted".to_owned());
    }
    let data = info
        .pointer("/format-specific/data")
        .unwrap_or(&Value::Null);
    match data.get("data-file") {
        Some(_) => Err("keeps its data in another file".to_owned()),
        None => Ok(()),
    }
}

/// Judges what `qemu-img check` found. Leaked clusters (code 3) waste room and harm nothing.
pub(super) fn check_report(
    code: Option<i32>,
    report: &Value,
    file_bytes: u64,
    cluster_bytes: u64,
) -> Result<(), String> {
    if !matches!(code, Some(0 | 3)) {
        return Err("is truncated or corrupt".to_owned());
    }
    // The last cluster may be shorter than the others, by less than itself. A cut within it cannot be seen.
    let end = report
        .get("image-end-offset")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    if end >= file_bytes.saturating_add(cluster_bytes) {
        return Err("is truncated".to_owned());
    }
    Ok(())
}

fn describe(image: &str, datastore: &Datastore, chain: &[Found]) -> Result<Image, Status> {
    let top = chain.first().ok_or_else(|| missing(image))?;
    let layer = |found: &Found| {
        let file = found
            .path
            .strip_prefix(&datastore.path)
            .unwrap_or(&found.path);
        Layer {
            file: file.to_string_lossy().into_owned(),
            format: found.format,
        }
    };
    Ok(Image {
        datastore: datastore.name.clone(),
        path: top.path.clone(),
        virtual_bytes: top.virtual_bytes,
        file_bytes: top.metadata.len(),
        layers: chain.iter().map(layer).collect(),
    })
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
