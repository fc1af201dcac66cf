//! Makes a machine: its disks and its definition, in a folder that gets its name last.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use contracts::{Code, ObjectRef, Status};
use tokio::process::Command;

use super::confinement::Confinement;
use super::datastore::Datastore;
use super::definition::{Definition, Disk, Format, Layer};
use super::folder::{self, CREATING, Folder};
use super::foreign_disk::Foreign;
use super::machine::Machine;
use super::tool;
use super::{Environment, blocks, firmware, seed};
use crate::core::seed::Seed;
use crate::limits;

/// Bytes of a fresh overlay or blank disk: header and first tables.
pub(super) const EMPTY_DISK_BYTES: u64 = 1 << 20;

/// QEMU's user alone reads and writes what is the machine's.
const FILE_MODE: u32 = 0o600;

/// A disk that is to be made.
pub(super) struct Plan {
    pub(super) disk: Disk,
    pub(super) content: Content,
}

/// What a new disk holds.
pub(super) enum Content {
    /// What lies below it, or nothing.
    Empty,
    /// All of this, in a file of its own.
    Copy(Whole),
    /// This file, which has come and was looked at.
    Received(PathBuf),
    /// What this holds, which has come in another format and was looked at.
    Foreign(Foreign),
}

/// What the guest of a new machine is told.
pub(super) enum Told {
    Now(Seed),
    /// What it was told before, in a file that has come.
    Received(PathBuf),
}

/// A file and what lies below it, together one disk.
pub(super) struct Whole {
    pub(super) datastore: PathBuf,
    pub(super) layers: Vec<Layer>,
    pub(super) virtual_bytes: u64,
}

impl Whole {
    /// Room that a copy takes. What is compressed takes more in it than in its own file, so files say nothing.
    pub(super) async fn measure(&self, environment: &Environment) -> u64 {
        let chain = blocks::chain(&self.layers, &self.datastore);
        let measured = environment.disks.measure_node(&chain).await;
        // One that takes long to measure needs no more than it is large.
        measured.unwrap_or(self.virtual_bytes)
    }
}

impl Plan {
    /// Room that the disk takes at first.
    async fn bytes(&self, environment: &Environment, datastore: &Datastore) -> u64 {
        match &self.content {
            Content::Copy(whole) => whole.measure(environment).await,
            Content::Foreign(foreign) => foreign.bytes,
            Content::Empty => EMPTY_DISK_BYTES,
            Content::Received(_) if datastore.second_names => 0,
            Content::Received(from) => taken(from),
        }
    }
}

pub(super) async fn make(
    environment: &Arc<Environment>,
    datastore: &Datastore,
    definition: Definition,
    plans: &[Plan],
    told: Option<Told>,
    variables: Option<PathBuf>,
) -> Result<Machine, Status> {
    environment.probe.check_type(&definition)?;
    let variables = variables_of(environment, &definition, variables)?;
    let seed_bytes = told.as_ref().map_or(0, |_| seed::bytes());
    let variables_bytes = variables.as_ref().map_or(0, |_| firmware::VARIABLES_BYTES);
    let mut bytes = seed_bytes + variables_bytes;
    for plan in plans {
        bytes = bytes.saturating_add(plan.bytes(environment, datastore).await);
    }
    datastore.check_room(bytes, &format!("machine {}", definition.name))?;
    let vm_id = &definition.vm_id;
    let folder = unfinished(datastore, vm_id);
    let failed = |error: io::Error| not_made(&definition, datastore, &error.to_string());
    folder::remove_folder(folder.path()).map_err(failed)?;
    let made = async {
        fill(environment, datastore, &folder, plans, told).await?;
        let copied = variables.map(|from| firmware::copy_variables(environment, &from, &folder));
        copied.unwrap_or(Ok(())).map_err(said)?;
        definition.store(&folder).map_err(said)
    };
    let named = made.await.and_then(|()| {
        folder::rename_durably(folder.path(), datastore.folder(vm_id).path()).map_err(said)
    });
    if let Err(why) = named {
        discard(datastore, vm_id);
        return Err(not_made(&definition, datastore, &why));
    }
    Ok(Machine::new(
        environment.clone(),
        datastore.clone(),
        definition,
    ))
}

/// What the machine's firmware begins with: what another's has noted, or nothing. `None`: it has no UEFI.
fn variables_of(
    environment: &Environment,
    definition: &Definition,
    other: Option<PathBuf>,
) -> Result<Option<PathBuf>, Status> {
    if definition.firmware.is_bios() {
        return Ok(None);
    }
    let uefi = environment
        .uefi()
        .map_err(|why| why.about(ObjectRef::new("vm", &definition.vm_id, &definition.name)))?;
    Ok(Some(other.unwrap_or_else(|| uefi.variables.clone())))
}

fn unfinished(datastore: &Datastore, vm_id: &str) -> Folder {
    Folder::new(datastore.machines().join(format!("{vm_id}{CREATING}")))
}

/// Removes what a making that was ended has left.
pub(super) fn discard(datastore: &Datastore, vm_id: &str) {
    let folder = unfinished(datastore, vm_id);
    if let Err(error) = folder::remove_folder(folder.path()) {
        tracing::warn!(folder = %folder.path().display(), %error, "an unfinished machine stays until the next start");
    }
}

fn not_made(definition: &Definition, datastore: &Datastore, why: &str) -> Status {
    let why = why.trim_end_matches('.');
    let message = format!(
        "{} could not be made on datastore {}: {why}.",
        definition.name, datastore.name
    );
    let (code, action) = if tool::is_want_of_room(why) {
        (
            Code::ResourceExhausted,
            "Free room on the datastore, or use another one.",
        )
    } else {
        (
            Code::Internal,
            "Look whether the datastore can be written, and try again.",
        )
    };
    Status::new(code, message)
        .about(ObjectRef::new("vm", &definition.vm_id, &definition.name))
        .action(action)
}

async fn fill(
    environment: &Environment,
    datastore: &Datastore,
    folder: &Folder,
    plans: &[Plan],
    told: Option<Told>,
) -> Result<(), String> {
    // QEMU may pass through the folder to its files; others may not even list it.
    let made = fs::DirBuilder::new().mode(0o711).create(folder.path());
    made.map_err(said)?;
    for plan in plans {
        make_disk(environment, datastore, folder, plan).await?;
    }
    let seeded = match told {
        None => Ok(()),
        Some(Told::Now(seed)) => seed::make(&environment.confinement, folder, &seed),
        Some(Told::Received(path)) => {
            async {
                seed::check(&path)?;
                take(environment, datastore, &path, &folder.file(seed::FILE)).await
            }
            .await
        }
    };
    seeded.map_err(said)
}

async fn make_disk(
    environment: &Environment,
    datastore: &Datastore,
    folder: &Folder,
    plan: &Plan,
) -> Result<(), String> {
    let path = folder.file(&plan.disk.file);
    let disk = &plan.disk;
    match &plan.content {
        Content::Empty => make_empty(environment, datastore, &path, disk).await?,
        Content::Copy(whole) => copy(environment, whole, &path, disk.size_bytes).await?,
        Content::Received(from) => {
            take(environment, datastore, from, &path)
                .await
                .map_err(said)?;
        }
        Content::Foreign(foreign) => {
            make_file(&environment.confinement, &path).map_err(said)?;
            let converted = foreign.convert(&environment.disks, &path).await;
            converted.map_err(|why| format!("disk {} {why}", disk.id))?;
        }
    }
    // qemu-img does not wait for the disk.
    sync(&path).await
}

/// Makes a file that QEMU's user alone may read and write.
pub(super) fn make_file(confinement: &Confinement, path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)?;
    confinement.hand_over(path)
}

fn said(error: io::Error) -> String {
    error.to_string()
}

/// Gives a file that has come a second name in a machine's folder, or copies it. The first goes when the machine is whole.
async fn take(
    environment: &Environment,
    datastore: &Datastore,
    from: &Path,
    to: &Path,
) -> io::Result<()> {
    match datastore.second_names {
        true => fs::hard_link(from, to)?,
        false => copy_file(from, to).await?,
    }
    fs::set_permissions(to, Permissions::from_mode(FILE_MODE))?;
    environment.confinement.hand_over(to)
}

async fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (from.to_owned(), to.to_owned());
    let copied = tokio::task::spawn_blocking(move || fs::copy(from, to)).await;
    copied?.map(drop)
}

/// Room that a file takes.
pub(super) fn taken(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.blocks().saturating_mul(512))
}

pub(super) async fn sync(path: &Path) -> Result<(), String> {
    let path = path.to_owned();
    let synced = tokio::task::spawn_blocking(move || File::open(&path)?.sync_all()).await;
    synced
        .map_err(io::Error::other)
        .and_then(|synced| synced)
        .map_err(said)
}

/// Makes an overlay or a blank disk. `-u`: the size is known, and the image need not be opened again.
pub(super) async fn make_empty(
    environment: &Environment,
    datastore: &Datastore,
    path: &Path,
    disk: &Disk,
) -> Result<(), String> {
    make_file(&environment.confinement, path).map_err(said)?;
    let mut command = environment.confinement.command(&environment.qemu_img);
    command.args(["create", "-q", "-f", "qcow2", "-u"]);
    if let Some(base) = disk.backing.first() {
        command
            .arg("-b")
            .arg(seen_from_machine(&base.file))
            .args(["-F", base.format.name()]);
    }
    command.arg(path).arg(disk.size_bytes.to_string());
    tracing::debug!(disk = disk.id, datastore = datastore.name, "making a disk");
    run(command, limits::IMAGE_INFO_TIMEOUT).await
}

async fn run(command: Command, limit: Duration) -> Result<(), String> {
    let ran = tool::run_well(command, limit).await;
    ran.map(drop).map_err(|error| error.to_string())
}

/// The name of an image in the header of a machine's disk. Relative, so that the datastore may be mounted elsewhere;
/// QEMU is told the whole chain anyhow, this is for people with `qemu-img`.
fn seen_from_machine(file: &str) -> PathBuf {
    Path::new("../..").join(file)
}

/// Makes a copy: shares the blocks of what is one file where the filesystem can, else copies the chain as a whole.
pub(super) async fn copy(
    environment: &Environment,
    whole: &Whole,
    path: &Path,
    size_bytes: u64,
) -> Result<(), String> {
    make_file(&environment.confinement, path).map_err(said)?;
    if !is_reflinked(whole, path).await {
        let mut command = environment.confinement.command(&environment.qemu_img);
        let chain = format!("json:{}", blocks::chain(&whole.layers, &whole.datastore));
        command
            .args(["convert", "-q", "-O", "qcow2"])
            .arg(chain)
            .arg(path);
        run(command, limits::IMAGE_COPY_TIMEOUT).await?;
    }
    if size_bytes > whole.virtual_bytes {
        let mut command = environment.confinement.command(&environment.qemu_img);
        command
            .args(["resize", "-q", "-f", "qcow2"])
            .arg(path)
            .arg(size_bytes.to_string());
        run(command, limits::IMAGE_INFO_TIMEOUT).await?;
    }
    Ok(())
}

async fn is_reflinked(whole: &Whole, path: &Path) -> bool {
    let [only] = whole.layers.as_slice() else {
        return false;
    };
    if only.format != Format::Qcow2 {
        return false;
    }
    let (from, to) = (whole.datastore.join(&only.file), path.to_owned());
    let share = move || {
        let to = OpenOptions::new().write(true).open(to)?;
        let from = folder::open_regular(&from)?;
        io::Result::Ok(rustix::fs::ioctl_ficlone(to, from)?)
    };
    matches!(tokio::task::spawn_blocking(share).await, Ok(Ok(())))
}
