//! A machine that is stored in the library, brought back: its files come to the host as a parcel, and become its disks. One that
//! another program wrote down comes in the same way ([`super::package`] reads it).

use contracts::inventory::Vm;
use contracts::jobs::VmCreate;
use contracts::library::{Item, ItemKind, ItemRef, ItemStatus, ReadTextRequest};
use contracts::names::shorten;
use contracts::stored::{DEFINITION, SEED, StoredVm, VARIABLES, disk_file};
use contracts::{Code, ObjectRef, Status};

use super::addresses::give_macs;
use super::from_share::{File, FromShare};
use super::{State, package};
use crate::core::hardware;
use crate::hands::{Calls, Hands};

/// Refuses what cannot be said beside it.
pub(super) fn check(request: &VmCreate) -> Result<(), Status> {
    if request.template.is_empty() && request.clone_of.is_empty() {
        return Ok(());
    }
    let message =
        "A machine is made of a stored one, of another one or of a template, not of two of them.";
    Err(Status::invalid("stored", message).action("Name one of them."))
}

/// Looks up what is stored, and takes it over where the request says nothing else.
pub(super) async fn resolve(calls: &Calls, state: &mut State) -> Result<(), Status> {
    if state.request.stored.is_empty() {
        return Ok(());
    }
    let item = find(calls, &state.request.stored).await?;
    check_item(&item)?;
    if kind(&item) != ItemKind::StoredVm {
        return package::resolve(calls, state, &item).await;
    }
    let stored = read(calls, &item).await?;
    take_over(calls, state, &item, stored)
}

/// By its definition, or by the folder that this lies in: Muster's own, or one that is called as the folder is.
async fn find(calls: &Calls, wanted: &str) -> Result<Item, Status> {
    let unknown = match ask(calls, wanted.to_owned()).await {
        Err(unknown) if unknown.code() == Code::NotFound && wanted.contains('/') => unknown,
        found => return found,
    };
    let folder = wanted.trim_end_matches('/');
    let (_, name) = folder.rsplit_once('/').unwrap_or_default();
    let endings = ["ovf", "ova", "xml"].into_iter();
    let others = endings.map(|ending| format!("{name}.{ending}"));
    for file in std::iter::once(DEFINITION.to_owned()).chain(others) {
        match ask(calls, format!("{folder}/{file}")).await {
            Err(why) if why.code() == Code::NotFound => {}
            found => return found,
        }
    }
    Err(unknown)
}

async fn ask(calls: &Calls, item: String) -> Result<Item, Status> {
    let request = ItemRef { item };
    calls.library().get_item(&calls.context, &request).await
}

pub(super) fn path(item: &Item) -> String {
    item.facts.clone().unwrap_or_default().path
}

fn kind(item: &Item) -> ItemKind {
    let facts = item.facts.as_ref();
    facts.map_or(ItemKind::Unspecified, |facts| facts.kind())
}

pub(super) fn refused(item: &Item, why: &str, action: &str) -> Status {
    let path = path(item);
    let object = ObjectRef::new("library_item", &item.id, &path);
    Status::precondition(format!("Item {} {why}.", shorten(&path)))
        .about(object)
        .action(action)
}

fn check_item(item: &Item) -> Result<(), Status> {
    match item.status() {
        ItemStatus::Disabled => {
            return Err(refused(item, "is disabled", "Enable it, or name another."));
        }
        ItemStatus::Missing => {
            let action = "Bring the file or its share back.";
            return Err(refused(item, "is missing", action));
        }
        ItemStatus::Ok | ItemStatus::ChangedInUse | ItemStatus::Unspecified => {}
    }
    use ItemKind::{LibvirtDomain, Ova, Ovf, StoredVm};
    if matches!(kind(item), StoredVm | Ovf | Ova | LibvirtDomain) {
        return Ok(());
    }
    let why = "is no stored machine, and none that can be imported";
    let action =
        "Name the folder of a stored machine, an .ovf, an .ova, or a definition of libvirt.";
    Err(refused(item, why, action))
}

async fn read(calls: &Calls, item: &Item) -> Result<StoredVm, Status> {
    let request = ReadTextRequest {
        share_id: item.share_id.clone(),
        path: path(item),
    };
    let end = calls.library_end(&item.server_id);
    let read = end.read_text(&calls.context, &request).await?;
    StoredVm::parse(&read.text)
        .map_err(|why| refused(item, &why, "Mend the definition in the share."))
}

fn take_over(
    calls: &Calls,
    state: &mut State,
    item: &Item,
    stored: StoredVm,
) -> Result<(), Status> {
    let fleet = &calls.fleet;
    let request = &mut state.request;
    or(&mut request.name, &stored.name);
    or(&mut request.owner, &stored.owner);
    or(&mut request.owner, &calls.context.principal);
    or(&mut request.description, &stored.description);
    for (tag, value) in &stored.tags {
        request.tags.entry(tag.clone()).or_insert(value.clone());
    }
    fleet.check_name_free(&request.name)?;
    let is_another = fleet.vms.get(&stored.id)?.is_some();
    if !is_another {
        state.vm_id.clone_from(&stored.id);
    }
    let mut hardware = stored.hardware();
    hardware::complete(&mut hardware).map_err(|why| {
        let said = format!("says what no machine can be: {}", why.message);
        refused(
            item,
            said.trim_end_matches('.'),
            "Mend the definition in the share.",
        )
    })?;
    give_macs(calls, &mut hardware, is_another)?;
    request.hardware = Some(hardware);
    state.stored = Some(from_share(calls, item, &stored, is_another));
    Ok(())
}

/// What was not said is what the definition says.
pub(super) fn or(said: &mut String, own: &str) {
    if said.is_empty() {
        own.clone_into(said);
    }
}

fn from_share(calls: &Calls, item: &Item, stored: &StoredVm, is_another: bool) -> FromShare {
    let seeded = stored.seeded && !is_another;
    let file = |stored: &str, name: String| File {
        stored: stored.to_owned(),
        name,
        ..File::default()
    };
    let disks = stored.disks.iter();
    let disks = disks.map(|disk| file(&disk.file, disk_file(&disk.id)));
    let with_variables = !stored.firmware.is_bios();
    let seed = seeded.then(|| file(SEED, SEED.to_owned()));
    let variables = with_variables.then(|| file(VARIABLES, VARIABLES.to_owned()));
    FromShare {
        files: disks.chain(seed).chain(variables).collect(),
        with_variables,
        machine_type: stored.machine_type.clone(),
        seeded,
        is_another,
        ..FromShare::of(calls, item)
    }
}

/// Two that bring back the same machine at the same moment want the same id: only one of them makes the record.
pub(super) fn check_own(hands: &Hands, state: &State, vm: &Vm) -> Result<(), Status> {
    if state.stored.is_none() || vm.job_id == hands.job_id {
        return Ok(());
    }
    let object = ObjectRef::new("vm", &vm.id, &vm.name);
    let message = format!("Virtual machine {} is there already.", vm.name);
    Err(Status::already_exists(object, message)
        .action("Bring it back under another name: it then gets an id of its own."))
}

/// Whether the record is what this job has made. Of others it keeps its hands off.
pub(super) async fn is_own(hands: &Hands, state: &State) -> Result<bool, Status> {
    if state.stored.is_none() {
        return Ok(true);
    }
    hands.fleet.catch_up(&hands.context).await?;
    let there = hands.fleet.vms.get(&state.vm_id)?;
    Ok(there.is_none_or(|vm| vm.value.job_id == hands.job_id))
}
