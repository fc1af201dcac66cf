//! The start of the agent: what QEMU can do here, and which machines there are.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use contracts::names;
use futures::{StreamExt as _, stream};

use super::super::order::Order;
use super::confinement::Confinement;
use super::datastore::Datastore;
use super::definition::Definition;
use super::disk_look::DiskLook;
use super::folder::{self, CREATING, DELETING};
use super::image::Images;
use super::machine::Machine;
use super::registry::Registry;
use super::{Environment, Settings, firmware, probe};
use crate::limits;

pub(super) async fn environment(
    settings: Settings,
    generation: u64,
) -> Result<Environment, String> {
    folder::check_runtime_dir(&settings.runtime_dir)?;
    make_runtime_dir(&settings.runtime_dir)?;
    let datastores = open_datastores(&settings)?;
    let mut must_reach: Vec<_> = datastores
        .iter()
        .flat_map(|d| [d.images(), d.machines(), d.parcels()])
        .collect();
    must_reach.push(settings.runtime_dir.clone());
    let confinement = Confinement::find(&settings.qemu_user, &must_reach).await;
    let probe = probe::probe(&settings.qemu, &confinement, &settings.runtime_dir).await;
    let probe = probe.map_err(|why| {
        format!(
            "QEMU ({}) cannot be used: {why}. Install qemu-system-x86, or set qemu.",
            settings.qemu.display()
        )
    })?;
    tracing::info!(
        version = probe.version,
        accelerator = probe.accelerator.name(),
        reason = probe.reason,
        confinement = confinement.description,
        "QEMU is ready"
    );
    Ok(Environment {
        images: Images::new(&settings.qemu_img, confinement.clone()),
        disks: DiskLook::of(&settings.qemu_img, confinement.clone()),
        qemu: settings.qemu,
        qemu_img: settings.qemu_img,
        runtime_dir: settings.runtime_dir,
        user_network: settings.user_network,
        order: Order::of(generation),
        datastores,
        confinement,
        probe,
        uefi: firmware::find(),
    })
}

/// Others may pass through to the sockets that they own, and may not look around.
fn make_runtime_dir(dir: &Path) -> Result<(), String> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(dir)
        .and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o711)));
    made.map_err(|error| {
        format!(
            "The runtime directory {} cannot be made: {error}. Set runtime_dir to another one.",
            dir.display()
        )
    })
}

fn open_datastores(settings: &Settings) -> Result<Vec<Datastore>, String> {
    let mut datastores: Vec<Datastore> = Vec::new();
    for (name, path) in &settings.datastores {
        if !names::is_token(name) || datastores.iter().any(|d| d.name == *name) {
            return Err(format!(
                "Datastore {name:?} cannot have this name, or there are two of it. Use letters, digits, - and _."
            ));
        }
        let datastore = Datastore::open(name, path).map_err(|error| {
            format!(
                "Datastore {name} at {} cannot be used: {error}. Mount it, or take it out.",
                path.display()
            )
        })?;
        datastores.push(datastore);
    }
    Ok(datastores)
}

/// Takes over every machine of every datastore, several at a time: one that hangs holds up nobody for long.
pub(super) async fn adopt_all(registry: &Arc<Registry>, environment: &Arc<Environment>) {
    let machines = environment.datastores.iter().flat_map(|datastore| {
        let ids = tidy(datastore);
        ids.into_iter()
            .filter_map(|id| read(environment, datastore, &id))
    });
    stream::iter(machines)
        .for_each_concurrent(limits::ADOPTIONS_AT_A_TIME, |machine| {
            registry.adopt(machine)
        })
        .await;
}

/// Removes what a crash left of machines that were being made or deleted. Answers with the ids of the others.
fn tidy(datastore: &Datastore) -> Vec<String> {
    let entries = fs::read_dir(datastore.machines())
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            if name.ends_with(CREATING) || name.ends_with(DELETING) {
                remove(&entry.path());
                return None;
            }
            names::is_token(&name).then_some(name)
        })
        .collect()
}

fn remove(path: &Path) {
    tracing::info!(path = %path.display(), "removing a machine whose making or deletion did not end");
    if let Err(error) = folder::remove_folder(path) {
        tracing::warn!(path = %path.display(), %error, "it could not be removed");
    }
}

fn read(environment: &Arc<Environment>, datastore: &Datastore, vm_id: &str) -> Option<Machine> {
    let folder = datastore.folder(vm_id);
    match Definition::load(&folder) {
        Ok(definition) if definition.vm_id == vm_id => Some(Machine::new(
            environment.clone(),
            datastore.clone(),
            definition,
        )),
        Ok(_) => {
            tracing::error!(folder = %folder.path().display(), "left alone: its definition is another machine's");
            None
        }
        Err(error) => {
            tracing::error!(folder = %folder.path().display(), %error, "left alone: its definition cannot be read");
            None
        }
    }
}
