//! A directory that holds images and machines.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use contracts::host::{self, ImageFile};
use contracts::{Code, Status};
use futures::future::join_all;

use super::folder::{Folder, remove_file};
use crate::limits;

#[derive(Clone, Debug)]
pub(super) struct Datastore {
    pub(super) name: String,
    /// Without links.
    pub(super) path: PathBuf,
    /// Whether a machine's file gets a second name in a parcel, and the other way. Where it does not, files are copied.
    pub(super) second_names: bool,
}

impl Datastore {
    /// Makes the folders that are missing.
    pub(super) fn open(name: &str, path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path.join("images"))?;
        fs::create_dir_all(path.join("vms"))?;
        // QEMU's user reaches what it is shown, and others may not even list it.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(path.join("parcels"))?;
        Ok(Self {
            name: name.to_owned(),
            path: fs::canonicalize(path)?,
            second_names: gives_second_names(&path.join("vms"), &path.join("parcels")),
        })
    }

    pub(super) fn images(&self) -> PathBuf {
        self.path.join("images")
    }

    pub(super) fn machines(&self) -> PathBuf {
        self.path.join("vms")
    }

    /// Of files on their way.
    pub(super) fn parcels(&self) -> PathBuf {
        self.path.join("parcels")
    }

    pub(super) fn folder(&self, vm_id: &str) -> Folder {
        Folder::new(self.machines().join(vm_id))
    }

    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn capacity_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
    }

    /// Refuses what would not fit, before anything is written.
    pub(super) fn check_room(&self, bytes: u64, what: &str) -> Result<(), Status> {
        let needed = bytes.saturating_add(limits::DATASTORE_FREE_BYTES_MIN);
        let free = self.free_bytes().map_err(|error| {
            Status::unavailable(format!("Datastore {} cannot be used: {error}.", self.name))
                .action("Look whether it is mounted.")
        })?;
        if free >= needed {
            return Ok(());
        }
        let (needed, free) = (needed >> 20, free >> 20);
        let message = format!(
            "Datastore {} has {free} MiB free, and {what} needs {needed} MiB.",
            self.name
        );
        Err(Status::new(Code::ResourceExhausted, message)
            .action("Free room on it, or use another datastore."))
    }

    /// One that cannot be looked at.
    fn unusable(&self, problem: String) -> host::Datastore {
        host::Datastore {
            name: self.name.clone(),
            path: self.path.to_string_lossy().into_owned(),
            problem,
            ..host::Datastore::default()
        }
    }

    /// The datastore as the rest of Muster sees it.
    fn describe(&self) -> host::Datastore {
        let listed = self.list_images();
        let capacity = self.capacity_bytes();
        let free = self.free_bytes();
        let problems = [
            listed.as_ref().err(),
            capacity.as_ref().err(),
            free.as_ref().err(),
        ];
        let problem = problems
            .into_iter()
            .flatten()
            .next()
            .map(|e| format!("It cannot be used: {e}."));
        host::Datastore {
            name: self.name.clone(),
            path: self.path.to_string_lossy().into_owned(),
            capacity_bytes: capacity.unwrap_or(0),
            free_bytes: free.unwrap_or(0),
            problem: problem.unwrap_or_default(),
            images: listed.unwrap_or_default(),
        }
    }

    fn list_images(&self) -> io::Result<Vec<ImageFile>> {
        let mut images: Vec<ImageFile> = fs::read_dir(self.images())?
            .filter_map(|entry| image_file(&entry.ok()?))
            .take(limits::IMAGES_LISTED_MAX)
            .collect();
        images.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(images)
    }
}

/// Tried out, since no filesystem says so. One that cannot be written now, being full, is taken to do as most do.
fn gives_second_names(from: &Path, to: &Path) -> bool {
    let (file, second) = (from.join(".first-name"), to.join(".second-name"));
    let tried = || {
        remove_file(&second)?;
        fs::File::create(&file)?;
        io::Result::Ok(fs::hard_link(&file, &second).is_ok())
    };
    let gives = tried().unwrap_or(true);
    for left in [file, second] {
        let _ = remove_file(&left);
    }
    gives
}

/// Describes all of them. One whose storage hangs holds up neither the others nor the agent.
pub(super) async fn describe_all(datastores: &[Datastore]) -> Vec<host::Datastore> {
    join_all(datastores.iter().map(describe_within)).await
}

async fn describe_within(datastore: &Datastore) -> host::Datastore {
    let looked_at = datastore.clone();
    let look = tokio::task::spawn_blocking(move || looked_at.describe());
    match tokio::time::timeout(limits::DATASTORE_TIMEOUT, look).await {
        Ok(Ok(described)) => described,
        Ok(Err(error)) => datastore.unusable(format!("It could not be looked at: {error}.")),
        Err(_) => {
            let secs = limits::DATASTORE_TIMEOUT.as_secs();
            datastore.unusable(format!("Its storage does not answer within {secs} s."))
        }
    }
}

/// Bytes that are taken on all of them, each file system counted once. `None`: one of them does not say.
pub(super) async fn used_bytes_of_all(datastores: &[Datastore]) -> Option<u64> {
    let datastores = datastores.to_vec();
    let look = tokio::task::spawn_blocking(move || {
        let mut used = BTreeMap::new();
        for datastore in &datastores {
            let device = rustix::fs::stat(&datastore.path)?.st_dev;
            let capacity = datastore.capacity_bytes()?;
            used.insert(device, capacity.saturating_sub(datastore.free_bytes()?));
        }
        io::Result::Ok(used.values().sum())
    });
    let looked = tokio::time::timeout(limits::DATASTORE_TIMEOUT, look).await;
    looked.ok()?.ok()?.ok()
}

fn image_file(entry: &fs::DirEntry) -> Option<ImageFile> {
    let name = entry.file_name().into_string().ok()?;
    let extension = name.rsplit_once('.')?.1;
    let metadata = fs::metadata(entry.path()).ok()?;
    let listed = ["qcow2", "raw", "img"].contains(&extension) && metadata.is_file();
    listed.then_some(ImageFile {
        name,
        file_bytes: metadata.len(),
    })
}
