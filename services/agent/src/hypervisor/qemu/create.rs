//! A machine as it is asked for: which images its disks come from, and which datastore it is made on.

use std::path::Path;
use std::sync::Arc;

use contracts::host::{self, CreateVmRequest, Hardware};
use contracts::{ObjectRef, Status};

use super::Environment;
use super::datastore::Datastore;
use super::definition::{Definition, Disk, DiskSource, NetworkCard};
use super::image::Image;
use super::machine::{Machine, now_ms};
use super::making::{self, Content, Plan, Told, Whole};
use super::receive;
use crate::core::seed as guest_seed;
use crate::hypervisor::request;

/// A disk that is wanted, with its image when it has one.
struct Wanted {
    disk: Disk,
    image: Option<Image>,
}

pub(super) async fn create(
    environment: &Arc<Environment>,
    request: &CreateVmRequest,
) -> Result<Machine, Status> {
    if let Some(received) = &request.received {
        return receive::create(environment, request, received).await;
    }
    let hardware = request::check(request)?;
    let guest = request.guest.as_ref();
    let seed = guest.map(|setup| guest_seed::seed(&request.vm_id, setup));
    let seed = seed.transpose()?;
    let wanted = look_at_disks(environment, &hardware).await?;
    let datastore = choose_datastore(environment, &request.datastore, &wanted)?;
    let disks = wanted.iter().map(|w| w.disk.clone()).collect();
    let definition = define(environment, request, &hardware, disks);
    let plans: Vec<Plan> = wanted.into_iter().map(|w| w.plan(environment)).collect();
    making::make(
        environment,
        datastore,
        definition,
        &plans,
        seed.map(Told::Now),
        None,
    )
    .await
}

async fn look_at_disks(
    environment: &Environment,
    hardware: &Hardware,
) -> Result<Vec<Wanted>, Status> {
    let mut wanted = Vec::new();
    for disk in &hardware.disks {
        wanted.push(look_at_disk(environment, disk).await?);
    }
    Ok(wanted)
}

async fn look_at_disk(environment: &Environment, disk: &host::Disk) -> Result<Wanted, Status> {
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
    Ok(Wanted { disk, image })
}

impl Wanted {
    fn plan(self, environment: &Environment) -> Plan {
        let content = match self.image {
            Some(image) if self.disk.source == DiskSource::Copy => Content::Copy(Whole {
                datastore: datastores_path(environment, &image).to_owned(),
                layers: image.layers,
                virtual_bytes: image.virtual_bytes,
            }),
            _ => Content::Empty,
        };
        Plan {
            disk: self.disk,
            content,
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
    wanted: &str,
    wanted_disks: &[Wanted],
) -> Result<&'a Datastore, Status> {
    let mut bound = wanted_disks.iter().filter_map(Wanted::bound_to);
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
    match wanted_disks
        .iter()
        .find(|w| w.bound_to().is_some_and(|b| b != chosen.name))
    {
        None => Ok(chosen),
        Some(other) => {
            let (disk, image) = (&other.disk.id, &other.disk.image);
            let message = format!(
                "Disk {disk} cannot be an overlay on {image}: that is not on datastore {}.",
                chosen.name
            );
            Err(Status::precondition(message)
                .action("Use the image's datastore, or copy the image."))
        }
    }
}

pub(super) fn define(
    environment: &Environment,
    request: &CreateVmRequest,
    hardware: &Hardware,
    disks: Vec<Disk>,
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
        disks,
        network_cards: hardware.network_cards.iter().map(card).collect(),
        seeded: request.guest.is_some(),
        firmware: hardware.firmware().into(),
        boot_order: hardware.boot_order().map(Into::into).collect(),
    }
}

fn datastores_path<'a>(environment: &'a Environment, image: &Image) -> &'a Path {
    let mut datastores = environment.datastores.iter();
    let found = datastores.find(|d| d.name == image.datastore);
    found.map_or(Path::new("/"), |d| d.path.as_path())
}
