//! Parcels: files of one machine on their way to or from elsewhere, in `<datastore>/parcels/`.
//!
//! | in `<datastore>/parcels/` | means |
//! |---|---|
//! | `<parcel>-disk0.qcow2` | a disk, whole: it lies on no other file |
//! | `<parcel>-firmware.vars` | what its UEFI firmware has noted |
//! | `<parcel>-seed` | what the guest was told when it first booted |
//! | `<parcel>-machine.muster.json` | what the machine is, for people and for hosts to come |
//! | `.<parcel>-…` | one of them that is being made, or comes |
//!
//! A disk that is one file is its second name here: nothing is copied, and the machine may go before the parcel does. Where
//! the filesystem gives no second names it is copied.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use contracts::host::{PackVmRequest, Parcel, ParcelFile};
use contracts::stored::{self, StoredCard, StoredDisk, StoredVm};
use contracts::{ObjectRef, Status, names};

use super::clone::everything;
use super::datastore::Datastore;
use super::definition::Disk;
use super::firmware;
use super::folder;
use super::machine::Machine;
use super::making::{self, Whole};
use super::seed;

const PARCELS: &str = "parcels";

/// Room for the definition.
const DEFINITION_BYTES: u64 = 64 << 10;

/// Where a file of a parcel lies, below its datastore.
fn below(parcel_id: &str, name: &str) -> String {
    format!("{PARCELS}/{parcel_id}-{name}")
}

/// Where a file of a parcel lies.
pub(super) fn path(datastore: &Datastore, parcel_id: &str, name: &str) -> PathBuf {
    datastore.path.join(below(parcel_id, name))
}

/// Refuses ids that are none.
pub(super) fn check(request: &PackVmRequest) -> Result<(), Status> {
    names::check_id("vm_id", &request.vm_id)?;
    names::check_id("parcel_id", &request.parcel_id)
}

/// What a parcel of the machine will be, or why there is no room for it.
pub(super) async fn plan(machine: &Machine, request: &PackVmRequest) -> Result<Parcel, Status> {
    let file = |name: &str, bytes: u64| ParcelFile {
        name: name.to_owned(),
        path: below(&request.parcel_id, name),
        bytes,
    };
    let datastore = &machine.datastore;
    let (mut files, mut copied_bytes) = (Vec::new(), DEFINITION_BYTES);
    for (disk, whole) in wholes(machine) {
        let name = stored::disk_file(&disk.id);
        let to = path(datastore, &request.parcel_id, &name);
        let is_copied = is_copied(machine, &whole);
        let bytes = match is_copied {
            true => whole.measure(&machine.environment).await,
            false => making::taken(&machine.folder.file(&disk.file)),
        };
        // What an attempt before has made is there.
        if is_copied && !to.exists() {
            copied_bytes = copied_bytes.saturating_add(bytes);
        }
        files.push(file(&name, bytes));
    }
    let what = format!("a parcel of {}", machine.name());
    datastore.check_room(copied_bytes, &what)?;
    if !request.disks_only {
        if machine.definition.seeded {
            files.push(file(stored::SEED, seed::bytes()));
        }
        if !machine.definition.firmware.is_bios() {
            files.push(file(stored::VARIABLES, firmware::VARIABLES_BYTES));
        }
        files.push(file(stored::DEFINITION, DEFINITION_BYTES));
    }
    Ok(Parcel {
        parcel_id: request.parcel_id.clone(),
        datastore: datastore.name.clone(),
        files,
    })
}

fn wholes(machine: &Machine) -> Vec<(&Disk, Whole)> {
    let disks = machine.definition.disks.iter();
    disks
        .map(|disk| (disk, everything(machine, disk)))
        .collect()
}

fn is_copied(machine: &Machine, whole: &Whole) -> bool {
    whole.layers.len() > 1 || !machine.datastore.second_names
}

/// Makes the files of a machine that is off and held. Those that are there are left as they are.
pub(super) async fn pack(machine: &Machine, request: &PackVmRequest) -> Result<Parcel, Status> {
    let parcel = plan(machine, request).await?;
    let id = &request.parcel_id;
    for (disk, whole) in wholes(machine) {
        let to = path(&machine.datastore, id, &stored::disk_file(&disk.id));
        let packed = pack_disk(machine, disk, &whole, &to).await;
        packed.map_err(|why| machine.not_written("packed", why))?;
    }
    let packed = match request.disks_only {
        true => Ok(()),
        false => pack_words(machine, request),
    };
    let synced = packed.and_then(|()| File::open(machine.datastore.parcels())?.sync_all());
    synced.map_err(|error| machine.not_written("packed", error))?;
    Ok(parcel)
}

async fn pack_disk(machine: &Machine, disk: &Disk, whole: &Whole, to: &Path) -> Result<(), String> {
    let said = |error: io::Error| error.to_string();
    if to.try_exists().map_err(said)? {
        return Ok(());
    }
    if !is_copied(machine, whole) {
        return fs::hard_link(machine.folder.file(&disk.file), to).map_err(said);
    }
    let unfinished = hidden(to);
    let made = copy(machine, disk, whole, &unfinished).await;
    let named = made.and_then(|()| folder::rename_durably(&unfinished, to).map_err(said));
    if named.is_err() {
        let _ = folder::remove_file(&unfinished);
    }
    named
}

async fn copy(machine: &Machine, disk: &Disk, whole: &Whole, to: &Path) -> Result<(), String> {
    let environment = &machine.environment;
    folder::remove_file(to).map_err(|error| error.to_string())?;
    making::copy(environment, whole, to, disk.size_bytes).await?;
    making::sync(to).await
}

/// The name that a file has until it is whole.
fn hidden(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

/// What people and hosts to come are told of the machine, and what its guest was told.
fn pack_words(machine: &Machine, request: &PackVmRequest) -> io::Result<()> {
    let place = |name: &str| path(&machine.datastore, &request.parcel_id, name);
    let definition = place(stored::DEFINITION);
    if definition.try_exists()? {
        return Ok(());
    }
    let told = machine
        .definition
        .seeded
        .then_some((seed::FILE, stored::SEED));
    let has_uefi = !machine.definition.firmware.is_bios();
    let noted = has_uefi.then_some((stored::VARIABLES, stored::VARIABLES));
    for (own, name) in told.into_iter().chain(noted) {
        let to = place(name);
        folder::remove_file(&to)?;
        fs::copy(machine.folder.file(own), &to)?;
        File::open(&to)?.sync_all()?;
    }
    let text = describe(machine, request).to_text();
    folder::write_durably(&definition, text.map_err(io::Error::other)?.as_bytes())
}

fn describe(machine: &Machine, request: &PackVmRequest) -> StoredVm {
    let definition = &machine.definition;
    let disk = |disk: &Disk| StoredDisk {
        id: disk.id.clone(),
        file: stored::disk_file(&disk.id),
        size_bytes: disk.size_bytes,
    };
    let cards = definition.network_cards.iter().map(|card| StoredCard {
        id: card.id.clone(),
        mac: card.mac.clone(),
        network: card.network.clone(),
    });
    StoredVm {
        version: StoredVm::VERSION,
        id: definition.vm_id.clone(),
        name: definition.name.clone(),
        owner: request.owner.clone(),
        description: request.description.clone(),
        tags: request.tags.clone(),
        vcpus: definition.vcpus,
        memory_bytes: definition.memory_bytes,
        disks: definition.disks.iter().map(disk).collect(),
        network_cards: cards.collect(),
        machine_type: definition.machine_type.clone(),
        seeded: definition.seeded,
        firmware: definition.firmware,
        boot_order: definition.boot_order.clone(),
    }
}

/// Removes every file of a parcel, whichever datastore has it.
pub(super) fn drop_parcel(datastores: &[Datastore], parcel_id: &str) -> Result<(), Status> {
    names::check_id("parcel_id", parcel_id)?;
    let dropped = datastores
        .iter()
        .try_for_each(|datastore| drop_from(datastore, parcel_id));
    dropped.map_err(|error| {
        Status::internal(format!("Parcel {parcel_id} could not be removed: {error}."))
            .about(ObjectRef::new("parcel", parcel_id, ""))
            .action("Look at the folder parcels of the host's datastores.")
    })
}

fn drop_from(datastore: &Datastore, parcel_id: &str) -> io::Result<()> {
    let (named, unfinished) = (format!("{parcel_id}-"), format!(".{parcel_id}-"));
    let mut removed = false;
    for entry in fs::read_dir(datastore.parcels())? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&named) || name.starts_with(&unfinished) {
            folder::remove_file(&entry.path())?;
            removed = true;
        }
    }
    match removed {
        true => File::open(datastore.parcels())?.sync_all(),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_all_of_one_parcel_and_nothing_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let datastore = Datastore::open("ds", dir.path()).unwrap();
        let parcels = datastore.parcels();
        for name in [
            "p1-disk0.qcow2",
            "p1-seed",
            ".p1-disk1.qcow2.new",
            "p2-seed",
        ] {
            fs::write(parcels.join(name), "x").unwrap();
        }
        let datastores = [datastore];
        for _ in 0..2 {
            drop_parcel(&datastores, "p1").unwrap();
        }
        let left = fs::read_dir(&parcels).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["p2-seed"]);
        assert!(drop_parcel(&datastores, "../x").is_err());
    }

    #[test]
    fn a_file_that_is_not_whole_is_hidden_and_the_parcels_own() {
        let path = Path::new("/ds/parcels/p1-disk0.qcow2");
        assert_eq!(hidden(path), Path::new("/ds/parcels/.p1-disk0.qcow2.new"));
    }
}
