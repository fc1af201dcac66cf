//! A machine whose disks have come as a parcel. They are looked at as any image is, and then are its own. Those that another
//! program wrote are converted.

use std::sync::Arc;

use contracts::host::{CreateVmRequest, Disk as Wanted, ReceivedVm};
use contracts::{ObjectRef, Status, names, stored};

use super::datastore::Datastore;
use super::definition::{Definition, Disk, DiskSource};
use super::machine::Machine;
use super::making::{self, Content, Plan, Told};
use super::{Environment, create, foreign_disk, parcel};
use crate::hypervisor::request;

pub(super) async fn create(
    environment: &Arc<Environment>,
    request: &CreateVmRequest,
    received: &ReceivedVm,
) -> Result<Machine, Status> {
    let hardware = request::check(request)?;
    names::check_id("received.parcel_id", &received.parcel_id)?;
    let datastore = datastore(environment, &request.datastore)?;
    let mut plans = Vec::new();
    for disk in &hardware.disks {
        plans.push(plan(environment, datastore, received, disk).await?);
    }
    let told = received.seeded.then(|| {
        let seed = parcel::path(datastore, &received.parcel_id, stored::SEED);
        Told::Received(seed)
    });
    let disks = plans.iter().map(|plan| plan.disk.clone()).collect();
    let made = create::define(environment, request, &hardware, disks);
    let definition = Definition {
        machine_type: match received.machine_type.as_str() {
            "" => made.machine_type,
            own => own.to_owned(),
        },
        seeded: received.seeded,
        ..made
    };
    definition.check().map_err(|why| {
        let message = format!("The definition of {} {why}.", request.name);
        Status::precondition(message).action("Mend the definition that it was stored with.")
    })?;
    let variables = received
        .with_variables
        .then(|| parcel::path(datastore, &received.parcel_id, stored::VARIABLES));
    making::make(environment, datastore, definition, &plans, told, variables).await
}

fn datastore<'a>(environment: &'a Environment, name: &str) -> Result<&'a Datastore, Status> {
    let found = environment.datastores.iter().find(|d| d.name == name);
    found.ok_or_else(|| {
        Status::not_found(ObjectRef::new("datastore", name, name))
            .action("List the host's datastores.")
    })
}

async fn plan(
    environment: &Environment,
    datastore: &Datastore,
    received: &ReceivedVm,
    wanted: &Wanted,
) -> Result<Plan, Status> {
    if received.disks.is_empty() {
        return take(environment, datastore, &received.parcel_id, wanted).await;
    }
    let content = match received.disks.iter().find(|from| from.disk_id == wanted.id) {
        None => Content::Empty,
        Some(from) => {
            let parcel_id = &received.parcel_id;
            let foreign = foreign_disk::look(environment, datastore, parcel_id, from).await?;
            foreign.check_size(wanted.size_bytes)?;
            Content::Foreign(foreign)
        }
    };
    Ok(Plan {
        disk: own(wanted),
        content,
    })
}

/// A disk that lies on nothing.
fn own(wanted: &Wanted) -> Disk {
    Disk {
        id: wanted.id.clone(),
        file: stored::disk_file(&wanted.id),
        image: String::new(),
        source: DiskSource::Blank,
        size_bytes: wanted.size_bytes,
        backing: Vec::new(),
    }
}

async fn take(
    environment: &Environment,
    datastore: &Datastore,
    parcel_id: &str,
    wanted: &Wanted,
) -> Result<Plan, Status> {
    let file = stored::disk_file(&wanted.id);
    let path = parcel::path(datastore, parcel_id, &file);
    let images = &environment.images;
    let found = images
        .check_alone(&datastore.parcels(), path.clone(), &file)
        .await?;
    if found.virtual_bytes != wanted.size_bytes {
        let message = format!(
            "Disk {file} has {} bytes, and the machine's definition says {}.",
            found.virtual_bytes, wanted.size_bytes
        );
        return Err(Status::precondition(message)
            .about(ObjectRef::new("image", &file, &file))
            .action("Mend the definition that it was stored with."));
    }
    Ok(Plan {
        disk: own(wanted),
        content: Content::Received(path),
    })
}
