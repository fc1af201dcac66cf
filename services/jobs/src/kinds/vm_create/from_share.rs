//! Files of a share that a machine is made of, and how they come to its host: as a parcel, by transfers.

use contracts::Status;
use contracts::data::FileRef;
use contracts::host::{ForeignDisk, ReceivedVm};
use contracts::library::Item;
use contracts::names::shorten;
use contracts::transfer::{Endpoint, StartRequest};

use super::State;
use super::stored::path;
use crate::core::naming;
use crate::hands::{Calls, Done, Hands};
use crate::kinds::transfers::{bring, take_back, tell};

/// What is stored, as it was when the machine was asked for.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FromShare {
    #[prost(string, tag = "1")]
    pub(super) server_id: String,
    #[prost(string, tag = "2")]
    pub(super) share_id: String,
    /// Folder below the share.
    #[prost(string, tag = "3")]
    pub(super) folder: String,
    #[prost(message, repeated, tag = "4")]
    pub(super) files: Vec<File>,
    #[prost(string, tag = "5")]
    pub(super) parcel_id: String,
    #[prost(string, tag = "6")]
    pub(super) machine_type: String,
    #[prost(bool, tag = "7")]
    pub(super) seeded: bool,
    /// The machine gets an id and addresses of its own: one of its id is there.
    #[prost(bool, tag = "8")]
    pub(super) is_another: bool,
    /// Of one that another program wrote down: its disks, but for those that are blank.
    #[prost(message, repeated, tag = "9")]
    pub(super) disks: Vec<Foreign>,
    /// What its UEFI firmware has noted comes along.
    #[prost(bool, tag = "10")]
    pub(super) with_variables: bool,
}

/// A disk that is converted at the host.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Foreign {
    #[prost(string, tag = "1")]
    pub(super) disk_id: String,
    /// The file that it lies in, as the parcel calls it.
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(string, tag = "3")]
    pub(super) format: String,
    /// The part of the file that it is; a length of 0: all of it.
    #[prost(uint64, tag = "4")]
    pub(super) offset_bytes: u64,
    #[prost(uint64, tag = "5")]
    pub(super) length_bytes: u64,
}

/// A file that comes to the host.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct File {
    /// In the folder.
    #[prost(string, tag = "1")]
    pub(super) stored: String,
    /// In the parcel.
    #[prost(string, tag = "2")]
    pub(super) name: String,
    /// As it was when it was looked at; 0: nobody looked.
    #[prost(uint64, tag = "3")]
    pub(super) bytes: u64,
    #[prost(int64, tag = "4")]
    pub(super) modified_ms: i64,
}

impl FromShare {
    /// Nothing yet, from where an item lies.
    pub(super) fn of(calls: &Calls, item: &Item) -> Self {
        let path = path(item);
        let (folder, _) = path.rsplit_once('/').unwrap_or_default();
        Self {
            server_id: item.server_id.clone(),
            share_id: item.share_id.clone(),
            folder: folder.to_owned(),
            parcel_id: calls.world.new_id(),
            ..Self::default()
        }
    }

    /// Room that what comes takes beside the disks that are made of it.
    pub(super) fn bytes_beside(&self) -> u64 {
        match self.disks.is_empty() {
            // They become the disks.
            true => 0,
            false => self.files.iter().map(|file| file.bytes).sum(),
        }
    }

    fn start_request(
        &self,
        host_id: &str,
        datastore: &str,
        job_id: &str,
        file: &File,
    ) -> StartRequest {
        let from = match self.folder.as_str() {
            "" => file.stored.clone(),
            folder => format!("{folder}/{}", file.stored),
        };
        let from = FileRef::new(&self.share_id, from);
        let to = FileRef::new(
            datastore,
            format!("parcels/{}-{}", self.parcel_id, file.name),
        );
        StartRequest {
            transfer_id: self.transfer_id(file),
            source: Some(Endpoint::new(&self.server_id, from)),
            target: Some(Endpoint::new(host_id, to)),
            job_id: job_id.to_owned(),
            source_bytes: file.bytes,
            source_modified_ms: file.modified_ms,
            ..StartRequest::default()
        }
    }

    fn transfer_id(&self, file: &File) -> String {
        naming::parcel_transfer(&self.parcel_id, &file.name)
    }

    /// For the host, when the files have come.
    pub(super) fn received(&self) -> ReceivedVm {
        let disk = |disk: &Foreign| ForeignDisk {
            disk_id: disk.disk_id.clone(),
            file: disk.name.clone(),
            format: disk.format.clone(),
            offset_bytes: disk.offset_bytes,
            length_bytes: disk.length_bytes,
        };
        ReceivedVm {
            disks: self.disks.iter().map(disk).collect(),
            parcel_id: self.parcel_id.clone(),
            machine_type: self.machine_type.clone(),
            seeded: self.seeded,
            with_variables: self.with_variables,
        }
    }

    /// For people.
    pub(super) fn tell(&self) -> String {
        if !self.disks.is_empty() {
            let formats: Vec<&str> = self.disks.iter().map(|d| d.format.as_str()).collect();
            let formats = formats.join(", ");
            return format!("It is imported; its host converts its disks ({formats}).");
        }
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
