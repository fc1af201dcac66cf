//! A machine that is stored in the library, brought back: its files come to the host as a parcel, and become its disks.

use contracts::data::FileRef;
use contracts::host::ReceivedVm;
use contracts::inventory::Vm;
use contracts::jobs::VmCreate;
use contracts::library::{Item, ItemKind, ItemRef, ItemStatus, ReadTextRequest};
use contracts::names::shorten;
use contracts::stored::{DEFINITION, SEED, StoredVm, disk_file};
use contracts::transfer::{Endpoint, StartRequest};
use contracts::{Code, ObjectRef, Status};

use super::{State, free_mac};
use crate::core::{hardware, naming};
use crate::hands::{Calls, Done, Hands};
use crate::kinds::transfers::{bring, take_back, tell};

/// What is stored, as it was when the machine was asked for.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FromShare {
    #[prost(string, tag = "1")]
    server_id: String,
    #[prost(string, tag = "2")]
    share_id: String,
    /// Folder below the share.
    #[prost(string, tag = "3")]
    folder: String,
    #[prost(message, repeated, tag = "4")]
    files: Vec<File>,
    #[prost(string, tag = "5")]
    parcel_id: String,
    #[prost(string, tag = "6")]
    machine_type: String,
    #[prost(bool, tag = "7")]
    seeded: bool,
    /// The machine gets an id and addresses of its own: one of its id is there.
    #[prost(bool, tag = "8")]
    is_another: bool,
}

/// A file that comes to the host.
#[derive(Clone, PartialEq, prost::Message)]
struct File {
    /// In the folder.
    #[prost(string, tag = "1")]
    stored: String,
    /// In the parcel.
    #[prost(string, tag = "2")]
    name: String,
}

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
    let stored = read(calls, &item).await?;
    take_over(calls, state, &item, stored)
}

/// By its definition, or by the folder that this lies in.
async fn find(calls: &Calls, wanted: &str) -> Result<Item, Status> {
    let unknown = match ask(calls, wanted.to_owned()).await {
        Err(unknown) if unknown.code() == Code::NotFound && wanted.contains('/') => unknown,
        found => return found,
    };
    let folder = wanted.trim_end_matches('/');
    let found = ask(calls, format!("{folder}/{DEFINITION}")).await;
    found.map_err(|why| match why.code() {
        Code::NotFound => unknown,
        _ => why,
    })
}

async fn ask(calls: &Calls, item: String) -> Result<Item, Status> {
    let request = ItemRef { item };
    calls.library().get_item(&calls.context, &request).await
}

fn path(item: &Item) -> String {
    item.facts.clone().unwrap_or_default().path
}

fn refused(item: &Item, why: &str, action: &str) -> Status {
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
        ItemStatus::Ok | ItemStatus::Unspecified => {}
    }
    if item.facts.as_ref().map(|facts| facts.kind()) == Some(ItemKind::StoredVm) {
        return Ok(());
    }
    let action = "Name the folder of a stored machine, or the definition in it.";
    Err(refused(item, "is no stored machine", action))
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
    let or = |said: &mut String, own: &str| {
        if said.is_empty() {
            own.clone_into(said);
        }
    };
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
    for card in &mut hardware.network_cards {
        if is_another || card.mac.is_empty() || fleet.vm_with_mac(&card.mac)?.is_some() {
            card.mac = free_mac(fleet, &calls.world)?;
        }
    }
    request.hardware = Some(hardware);
    state.stored = Some(from_share(calls, item, &stored, is_another));
    Ok(())
}

fn from_share(calls: &Calls, item: &Item, stored: &StoredVm, is_another: bool) -> FromShare {
    let path = path(item);
    let seeded = stored.seeded && !is_another;
    let disks = stored.disks.iter().map(|disk| File {
        stored: disk.file.clone(),
        name: disk_file(&disk.id),
    });
    let seed = seeded.then(|| File {
        stored: SEED.to_owned(),
        name: SEED.to_owned(),
    });
    FromShare {
        server_id: item.server_id.clone(),
        share_id: item.share_id.clone(),
        folder: path
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder)
            .to_owned(),
        files: disks.chain(seed).collect(),
        parcel_id: calls.world.new_id(),
        machine_type: stored.machine_type.clone(),
        seeded,
        is_another,
    }
}

impl FromShare {
    fn start_request(
        &self,
        host_id: &str,
        datastore: &str,
        job_id: &str,
        file: &File,
    ) -> StartRequest {
        let end = |host_id: &str, datastore: &str, path: String| Endpoint {
            host_id: host_id.to_owned(),
            file: Some(FileRef {
                datastore: datastore.to_owned(),
                path,
            }),
        };
        let from = match self.folder.as_str() {
            "" => file.stored.clone(),
            folder => format!("{folder}/{}", file.stored),
        };
        let to = format!("parcels/{}-{}", self.parcel_id, file.name);
        StartRequest {
            transfer_id: self.transfer_id(file),
            source: Some(end(&self.server_id, &self.share_id, from)),
            target: Some(end(host_id, datastore, to)),
            job_id: job_id.to_owned(),
            ..StartRequest::default()
        }
    }

    fn transfer_id(&self, file: &File) -> String {
        naming::parcel_transfer(&self.parcel_id, &file.name)
    }

    /// For the host, when the files have come.
    pub(super) fn received(&self) -> ReceivedVm {
        ReceivedVm {
            parcel_id: self.parcel_id.clone(),
            machine_type: self.machine_type.clone(),
            seeded: self.seeded,
        }
    }

    /// For people.
    pub(super) fn tell(&self) -> String {
        match self.is_another {
            true => "A machine of its id is there: this one gets an id and addresses of its own."
                .to_owned(),
            false => "It is the machine that was stored.".to_owned(),
        }
    }
}

/// A file that cannot be had, by its own name and not by that of its share's id.
fn not_brought(state: &State, file: &File, why: Status) -> Status {
    let message = format!(
        "File {} of {} cannot be brought: {}",
        file.stored,
        shorten(&state.request.stored),
        why.message
    );
    Status { message, ..why }
}

/// Bytes that will travel. Refuses what the bringing would be refused for.
pub(super) async fn bytes_to_bring(
    calls: &Calls,
    state: &State,
    host_id: &str,
    datastore: &str,
) -> Result<u64, Status> {
    let Some(from) = &state.stored else {
        return Ok(0);
    };
    let mut bytes = 0;
    for file in &from.files {
        let request = from.start_request(host_id, datastore, "", file);
        let plan = calls.transfer().plan(&calls.context, &request).await;
        bytes += plan
            .map_err(|why| not_brought(state, file, why))?
            .allocated_bytes;
    }
    Ok(bytes)
}

pub(super) async fn bring_files(hands: &Hands, state: &State) -> Result<Done, Status> {
    let Some(from) = &state.stored else {
        return Done::quiet();
    };
    let mut said = Vec::new();
    for file in &from.files {
        let request = from.start_request(&state.host_id, &state.datastore, &hands.job_id, file);
        let brought = bring(hands, &request).await;
        let brought = brought.map_err(|why| not_brought(state, file, why))?;
        said.push(format!("{}: {}", file.name, tell(&brought)));
    }
    Done::saying(said.join(" "))
}

/// Brings no more, and removes what has come.
pub(super) async fn leave(hands: &Hands, state: &State) -> Result<Done, Status> {
    let Some(from) = &state.stored else {
        return Done::quiet();
    };
    for file in &from.files {
        take_back(hands, &from.transfer_id(file), &file.name).await?;
    }
    hands
        .drop_parcel(&state.host_id, &state.vm_id, &from.parcel_id)
        .await?;
    Done::quiet()
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
