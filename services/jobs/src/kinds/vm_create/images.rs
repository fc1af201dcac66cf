//! Images of the library on the machine's host. Each is fetched once for all machines there that want it: the transfer has
//! its id from host, datastore and file, so jobs that want the same at the same moment wait for one transfer.

use contracts::call::Context;
use contracts::data::FileRef;
use contracts::host::CheckImageRequest;
use contracts::library::LibraryImage;
use contracts::transfer::transfer_record::State as Transfer;
use contracts::transfer::{Endpoint, StartRequest, TransferRecord, TransferRef};
use contracts::{Code, ObjectRef, Status};
use tokio::time::Instant;

use super::State;
use crate::core::naming;
use crate::hands::{Calls, Done, Hands};
use crate::kinds::transfers::{LOOK_INTERVAL, REMOVE_PATIENCE, given_up, look, tell};

/// How often an image that was removed from a host is fetched again there, within the time that transfers are remembered.
const TRANSFERS_MAX: u32 = 1_000;

/// A disk's image.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FromLibrary {
    /// Its place among the machine's disks.
    #[prost(uint32, tag = "1")]
    pub(super) disk: u32,
    #[prost(message, required, tag = "2")]
    pub(super) image: LibraryImage,
}

/// An image as a file that a host has, or is to have.
struct Wanted<'a> {
    host_id: &'a str,
    datastore: &'a str,
    image: &'a LibraryImage,
}

impl<'a> Wanted<'a> {
    fn all(state: &'a State) -> impl Iterator<Item = Self> {
        let mut files: Vec<&LibraryImage> = state.images.iter().map(|i| &i.image).collect();
        files.sort_by(|a, b| a.file.cmp(&b.file));
        files.dedup_by(|a, b| a.file == b.file);
        files.into_iter().map(|image| Wanted {
            host_id: &state.host_id,
            datastore: &state.datastore,
            image,
        })
    }

    /// As hosts name it.
    fn name(&self) -> String {
        format!("{}/{}", self.datastore, self.image.file)
    }

    fn title(&self) -> String {
        format!("{}/{}", self.image.share_name, self.image.path)
    }

    fn transfer_id(&self, number: u32) -> String {
        naming::shared_transfer(self.host_id, &self.name(), number)
    }

    /// The host itself is asked: what inventory knows is from before.
    async fn is_there(&self, calls: &Calls, context: &Context) -> Result<bool, Status> {
        let request = CheckImageRequest { image: self.name() };
        let host = calls.host(self.host_id);
        match host.check_image(context, &request).await {
            Ok(_) => Ok(true),
            Err(refusal) if refusal.code() == Code::NotFound => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }

    fn start_request(&self, number: u32, job_id: &str) -> StartRequest {
        let image = self.image;
        let from = FileRef::new(&image.share_id, &image.path);
        let to = FileRef::new(self.datastore, format!("images/{}", image.file));
        StartRequest {
            transfer_id: self.transfer_id(number),
            source: Some(Endpoint::new(&image.server_id, from)),
            target: Some(Endpoint::new(self.host_id, to)),
            job_id: job_id.to_owned(),
            shared: true,
            source_bytes: image.file_bytes,
            source_modified_ms: image.modified_ms,
            ..StartRequest::default()
        }
    }

    fn reference(&self, number: u32, job_id: &str) -> TransferRef {
        TransferRef {
            transfer_id: self.transfer_id(number),
            job_id: job_id.to_owned(),
            ..TransferRef::default()
        }
    }

    /// What was told of a transfer; `None`: there is none.
    async fn known(&self, calls: &Calls, number: u32) -> Result<Option<TransferRecord>, Status> {
        let transfers = calls.transfer();
        let reference = self.reference(number, "");
        match transfers.get(&calls.context, &reference).await {
            Ok(record) => Ok(Some(record)),
            Err(error) if error.code() == Code::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Fetches the image unless it is there, and says what that took.
    async fn fetch(&self, hands: &Hands) -> Result<String, Status> {
        let title = self.title();
        for number in 0..TRANSFERS_MAX {
            if self.is_there(hands, &hands.context).await? {
                return Ok(format!("{title} is there already."));
            }
            let transfer = self.wait(hands, number).await?;
            // One that has succeeded long ago, and whose file was removed since, is followed by another.
            if self.is_there(hands, &hands.context).await? {
                return Ok(format!("{title}: {}", tell(&transfer)));
            }
        }
        let message = format!("Image {title} does not stay on the host.");
        Err(Status::precondition(message)
            .about(ObjectRef::new("host", self.host_id, ""))
            .action("Find out who removes images there."))
    }

    /// Waits for the transfer, which it may be the first to start.
    async fn wait(&self, hands: &Hands, number: u32) -> Result<TransferRecord, Status> {
        let transfers = hands.transfer();
        let start = self.start_request(number, &hands.job_id);
        let mut now = transfers.start(&hands.context, &start).await?;
        loop {
            match now.state() {
                Transfer::Succeeded => return Ok(now),
                Transfer::Failed => {
                    let silent =
                        || Status::internal("The transfer does not say why it has failed.");
                    return Err(given_up(now.problem.unwrap_or_else(silent)));
                }
                _ => {}
            }
            let asked = match now.state() {
                // The last of the others has left it just before.
                Transfer::Cancelled => {
                    tokio::time::sleep(LOOK_INTERVAL).await;
                    transfers.start(&hands.context, &start).await
                }
                _ => look(hands, self.reference(number, "")).await,
            };
            match asked {
                Ok(answer) => now = answer,
                Err(error) if !error.retryable() => return Err(error),
                // The service is away; the hosts go on meanwhile.
                Err(_) => {}
            }
        }
    }

    /// Waits for the image no longer. What is whole stays for the next machine.
    async fn leave(&self, hands: &Hands) -> Result<(), Status> {
        for number in 0..TRANSFERS_MAX {
            if self.known(hands, number).await?.is_none() {
                return Ok(());
            }
            self.leave_one(hands, number).await?;
        }
        Ok(())
    }

    async fn leave_one(&self, hands: &Hands, number: u32) -> Result<(), Status> {
        let transfers = hands.transfer();
        let reference = self.reference(number, &hands.job_id);
        let since = Instant::now();
        while since.elapsed() < REMOVE_PATIENCE {
            let left = transfers.cancel(&hands.context, &reference).await?;
            if left.state() == Transfer::Cancelled {
                return Ok(());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        let message = format!(
            "What was fetched of image {} is not removed yet.",
            self.title()
        );
        Err(Status::unavailable(message).action("Bring the host and its agent back."))
    }
}

pub(super) async fn fetch(hands: &Hands, state: &mut State) -> Result<Done, Status> {
    let mut said = Vec::new();
    for wanted in Wanted::all(state) {
        said.push(wanted.fetch(hands).await?);
    }
    let names: Vec<(u32, String)> = state
        .images
        .iter()
        .map(|from| name_of(state, from))
        .collect();
    let hardware = state.request.hardware.get_or_insert_default();
    for (index, name) in names {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if let Some(disk) = hardware.disks.get_mut(index) {
            disk.image = name;
        }
    }
    Done::saying(said.join(" "))
}

fn name_of(state: &State, from: &FromLibrary) -> (u32, String) {
    let name = format!("{}/{}", state.datastore, from.image.file);
    (from.disk, name)
}

pub(super) async fn leave(hands: &Hands, state: &State) -> Result<Done, Status> {
    if !hands.fleet.knows_host(&state.host_id)? {
        return Done::saying("The host is no longer one of the fleet's.");
    }
    for wanted in Wanted::all(state) {
        wanted.leave(hands).await?;
    }
    Done::quiet()
}

/// Bytes that would travel to a host. Refuses what the fetching would be refused for.
pub(super) async fn bytes_to_fetch(
    calls: &Calls,
    state: &State,
    host_id: &str,
    datastore: &str,
) -> Result<u64, Status> {
    let mut placed = state.clone();
    host_id.clone_into(&mut placed.host_id);
    datastore.clone_into(&mut placed.datastore);
    let mut bytes = 0;
    for wanted in Wanted::all(&placed) {
        if !wanted.is_there(calls, &calls.context).await? {
            bytes += wanted.planned_bytes(calls).await?;
        }
    }
    Ok(bytes)
}

impl Wanted<'_> {
    async fn planned_bytes(&self, calls: &Calls) -> Result<u64, Status> {
        let mut number = 0;
        while let Some(known) = self.known(calls, number).await? {
            match known.state() {
                Transfer::Succeeded if number < TRANSFERS_MAX => number += 1,
                Transfer::Failed | Transfer::Cancelled => break,
                // It is on its way for another machine.
                _ => return Ok(0),
            }
        }
        let request = self.start_request(number, "");
        let plan = calls.transfer().plan(&calls.context, &request).await;
        plan.map(|plan| plan.allocated_bytes).map_err(|why| {
            let message = format!("Image {} cannot be fetched: {}", self.title(), why.message);
            Status { message, ..why }
        })
    }
}
