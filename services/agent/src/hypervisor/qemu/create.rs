//! Makes a machine: its disks and its definition, in a folder that gets its name last.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contracts::host::{self, CreateVmRequest, Hardware};
use contracts::{Code, ObjectRef, Status};

use super::datastore::Datastore;
use super::definition::{Definition, Disk, DiskSource, NetworkCard};
use super::folder::{self, CREATING, Folder};
use super::image::Image;
use super::machine::{Machine, now_ms};
use super::tool::{self, ToolError};
use super::{Environment, blocks, seed};
use crate::core::seed::{self as guest_seed, Seed};
use crate::hypervisor::request;
use crate::limits;

/// Bytes of a fresh overlay or blank disk: header and first tables.
const EMPTY_DISK_BYTES: u64 = 1 << 20;

/// A disk that is to be made, with its image when it has one.
struct Plan {
    disk: Disk,
    image: Option<Image>,
}

pub(super) async fn create(
    environment: &Arc<Environment>,
    request: &CreateVmRequest,
) -> Result<Machine, Status> {
    let hardware = request::check(request)?;
    let guest = request.guest.as_ref();
    let seed = guest.map(|setup| guest_seed::seed(&request.vm_id, setup));
    let seed = seed.transpose()?;
    let plans = plan_disks(environment, &hardware).await?;
    let datastore = choose_datastore(environment, &request.datastore, &plans)?;
    let seed_bytes = seed.as_ref().map_or(0, |_| seed::bytes());
    datastore.check_room(
        plans.iter().map(Plan::bytes).sum::<u64>() + seed_bytes,
        &format!("machine {}", request.name),
    )?;
    let definition = define(environment, request, &hardware, &plans);
    let folder = unfinished(datastore, &request.vm_id);
    let failed = |error: io::Error| not_made(request, datastore, &error.to_string());
    folder::remove_folder(folder.path()).map_err(failed)?;
    let made = make(environment, datastore, &folder, &definition, &plans, seed).await;
    let named = made.and_then(|()| {
        folder::rename_durably(folder.path(), datastore.folder(&request.vm_id).path())
            .map_err(|error| error.to_string())
    });
    if let Err(why) = named {
        discard(datastore, &request.vm_id);
        return Err(not_made(request, datastore, &why));
    }
    Ok(Machine::new(
        environment.clone(),
        datastore.clone(),
        definition,
    ))
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

fn not_made(request: &CreateVmRequest, datastore: &Datastore, why: &str) -> Status {
    let why = why.trim_end_matches('.');
    let message = format!(
        "{} could not be made on datastore {}: {why}.",
        request.name, datastore.name
    );
    let (code, action) = if why.contains("No space left") {
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
        .about(ObjectRef::new("vm", &request.vm_id, &request.name))
        .action(action)
}

async fn plan_disks(environment: &Environment, hardware: &Hardware) -> Result<Vec<Plan>, Status> {
    let mut plans = Vec::new();
    for disk in &hardware.disks {
        plans.push(plan_disk(environment, disk).await?);
    }
    Ok(plans)
}

async fn plan_disk(environment: &Environment, disk: &host::Disk) -> Result<Plan, Status> {
    let source = DiskSource::of(disk);
    let image = match source {
        DiskSource::Blank => None,
        DiskSource::Overlay | DiskSource::Copy => Some(
            environment
                .images
                .check(&environment.datastores, &disk.image)
                .await?,
        ),
    };
    let least = image.as_ref().map_or(0, |image| image.virtual_bytes);
    if disk.size_bytes != 0 && disk.size_bytes < least {
        let message = format!(
            "Disk {} would be smaller than its image {}.",
            disk.id, disk.image
        );
        let action = format!("Ask for {least} bytes or more, or for 0 to take the image's size.");
        return Err(Status::invalid("hardware.disks.size_bytes", message).action(action));
    }
    let backing = match (&image, source) {
        (Some(image), DiskSource::Overlay) => image.layers.clone(),
        _ => Vec::new(),
    };
    let disk = Disk {
        id: disk.id.clone(),
        file: format!("{}.qcow2", disk.id),
        image: disk.image.clone(),
        source,
        size_bytes: disk.size_bytes.max(least),
        backing,
    };
    Ok(Plan { disk, image })
}

impl Plan {
    /// Room that the disk takes at first.
    fn bytes(&self) -> u64 {
        match (&self.image, self.disk.source) {
            (Some(image), DiskSource::Copy) => image.file_bytes,
            _ => EMPTY_DISK_BYTES,
        }
    }

    /// The datastore that an overlay has to be on.
    fn bound_to(&self) -> Option<&str> {
        let overlay = self.disk.source == DiskSource::Overlay;
        self.image
            .as_ref()
            .filter(|_| overlay)
            .map(|image| image.datastore.as_str())
    }
}

/// The one that is named; else the one that holds the images; else the one with most room.
fn choose_datastore<'a>(
    environment: &'a Environment,
    wanted: &'a str,
    plans: &'a [Plan],
) -> Result<&'a Datastore, Status> {
    let mut bound = plans.iter().filter_map(Plan::bound_to);
    let wanted = if wanted.is_empty() {
        bound.next().unwrap_or_default()
    } else {
        wanted
    };
    let datastores = &environment.datastores;
    let chosen = if wanted.is_empty() {
        datastores
            .iter()
            .max_by_key(|d| d.free_bytes().unwrap_or(0))
    } else {
        datastores.iter().find(|d| d.name == wanted)
    };
    let chosen = chosen.ok_or_else(|| {
        Status::not_found(ObjectRef::new("datastore", wanted, wanted))
            .action("List the host's datastores, or leave the choice to the host.")
    })?;
    match plans
        .iter()
        .find(|p| p.bound_to().is_some_and(|b| b != chosen.name))
    {
        None => Ok(chosen),
        Some(plan) => {
            let (disk, image) = (&plan.disk.id, &plan.disk.image);
            let message = format!(
                "Disk {disk} cannot be an overlay on {image}: that is not on datastore {}.",
                chosen.name
            );
            Err(Status::precondition(message)
                .action("Use the image's datastore, or copy the image."))
        }
    }
}

fn define(
    environment: &Environment,
    request: &CreateVmRequest,
    hardware: &Hardware,
    plans: &[Plan],
) -> Definition {
    let card = |card: &host::NetworkCard| NetworkCard {
        id: card.id.clone(),
        network: card.network.clone(),
        mac: if card.mac.is_empty() {
            request::mac_of(&request.vm_id, &card.id)
        } else {
            card.mac.to_lowercase()
        },
    };
    Definition {
        version: Definition::VERSION,
        vm_id: request.vm_id.clone(),
        name: request.name.clone(),
        operation_id: request.operation_id.clone(),
        created_ms: now_ms(),
        machine_type: environment.probe.machine_type.clone(),
        vcpus: hardware.vcpus,
        memory_bytes: hardware.memory_bytes,
        disks: plans.iter().map(|plan| plan.disk.clone()).collect(),
        network_cards: hardware.network_cards.iter().map(card).collect(),
        seeded: request.guest.is_some(),
    }
}

async fn make(
    environment: &Environment,
    datastore: &Datastore,
    folder: &Folder,
    definition: &Definition,
    plans: &[Plan],
    seed: Option<Seed>,
) -> Result<(), String> {
    // QEMU may pass through the folder to its files; others may not even list it.
    let made = fs::DirBuilder::new().mode(0o711).create(folder.path());
    made.map_err(|error| error.to_string())?;
    for plan in plans {
        make_disk(environment, datastore, folder, plan).await?;
    }
    if let Some(seed) = seed {
        seed::make(&environment.confinement, folder, &seed).map_err(|error| error.to_string())?;
    }
    definition.store(folder).map_err(|error| error.to_string())
}

async fn make_disk(
    environment: &Environment,
    datastore: &Datastore,
    folder: &Folder,
    plan: &Plan,
) -> Result<(), String> {
    let path = folder.file(&plan.disk.file);
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path);
    made.and_then(|_| environment.confinement.hand_over(&path))
        .map_err(|e| e.to_string())?;
    let filled = match &plan.image {
        Some(image) if plan.disk.source == DiskSource::Copy => {
            copy_image(
                environment,
                datastores_path(environment, image),
                image,
                &path,
                plan.disk.size_bytes,
            )
            .await
        }
        _ => make_empty(environment, datastore, &path, &plan.disk).await,
    };
    filled.map_err(|error| error.to_string())?;
    // qemu-img does not wait for the disk.
    let synced = tokio::task::spawn_blocking(move || File::open(&path)?.sync_all()).await;
    synced
        .map_err(io::Error::other)
        .and_then(|synced| synced)
        .map_err(|error| error.to_string())
}

fn datastores_path<'a>(environment: &'a Environment, image: &Image) -> &'a Path {
    let mut datastores = environment.datastores.iter();
    let found = datastores.find(|d| d.name == image.datastore);
    found.map_or(Path::new("/"), |d| d.path.as_path())
}

/// An overlay or a blank disk. `-u`: the size is known, and the image need not be opened again.
async fn make_empty(
    environment: &Environment,
    datastore: &Datastore,
    path: &Path,
    disk: &Disk,
) -> Result<(), ToolError> {
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
    tool::run_well(command, limits::IMAGE_INFO_TIMEOUT)
        .await
        .map(drop)
}

/// The name of an image in the header of a machine's disk. Relative, so that the datastore may be mounted elsewhere;
/// QEMU is told the whole chain anyhow, this is for people with `qemu-img`.
fn seen_from_machine(file: &str) -> PathBuf {
    Path::new("../..").join(file)
}

async fn copy_image(
    environment: &Environment,
    datastore: &Path,
    image: &Image,
    path: &Path,
    size_bytes: u64,
) -> Result<(), ToolError> {
    let mut command = environment.confinement.command(&environment.qemu_img);
    let chain = format!("json:{}", blocks::chain(&image.layers, datastore));
    command
        .args(["convert", "-q", "-O", "qcow2"])
        .arg(chain)
        .arg(path);
    tool::run_well(command, limits::IMAGE_COPY_TIMEOUT).await?;
    if size_bytes > image.virtual_bytes {
        let mut command = environment.confinement.command(&environment.qemu_img);
        command
            .args(["resize", "-q", "-f", "qcow2"])
            .arg(path)
            .arg(size_bytes.to_string());
        tool::run_well(command, limits::IMAGE_INFO_TIMEOUT).await?;
    }
    Ok(())
}
