//! What a step works with: calls to the other services and to hosts, in the name of its job.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use contracts::call::{Call, Context};
use contracts::host::{HostClient, ParcelRef, VmOperation, VmRef, VmReport};
use contracts::inventory::{ApplyVmReportRequest, InventoryClient};
use contracts::jobs::{Job, Progress};
use contracts::library::{LibraryClient, LibraryEndClient, TemplatesClient};
use contracts::limits::CALL_TIMEOUT;
use contracts::placement::{Decision, PlacementClient, Rating};
use contracts::records::Record;
use contracts::refresher::RefresherClient;
use contracts::transfer::TransferClient;
use contracts::{Code, ObjectRef, PropertyChange, Status, subjects};
use kit::bus::{Bus, Message};
use kit::world::World;
use prost::Message as _;

use crate::fleet::Fleet;

/// After this time without an answer a host is asked again. Too low and slow work is asked for many times; too high and
/// an answer that was lost holds the job up.
const ASK_AGAIN_FIRST: Duration = Duration::from_secs(3);

/// What a step has to say when it is done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) message: String,
    /// What a placement was chosen from.
    pub(crate) ratings: Vec<Rating>,
    /// What changed, where that is no object's record.
    pub(crate) changes: Vec<PropertyChange>,
    /// Why it was made as it was.
    pub(crate) decision: Option<Decision>,
}

impl Done {
    pub(crate) fn quiet() -> Result<Self, Status> {
        Ok(Self::default())
    }

    pub(crate) fn saying(message: impl Into<String>) -> Result<Self, Status> {
        Ok(Self {
            message: message.into(),
            ..Self::default()
        })
    }
}

/// Calls on behalf of somebody.
#[derive(Clone)]
pub(crate) struct Calls {
    pub(crate) context: Context,
    pub(crate) caller: Arc<dyn Call>,
    pub(crate) fleet: Fleet,
    pub(crate) world: World,
}

impl Calls {
    pub(crate) fn inventory(&self) -> InventoryClient {
        InventoryClient::new(Arc::clone(&self.caller))
    }

    pub(crate) fn placement(&self) -> PlacementClient {
        PlacementClient::new(Arc::clone(&self.caller))
    }

    pub(crate) fn refresher(&self) -> RefresherClient {
        RefresherClient::new(Arc::clone(&self.caller))
    }

    pub(crate) fn transfer(&self) -> TransferClient {
        TransferClient::new(Arc::clone(&self.caller))
    }

    pub(crate) fn templates(&self) -> TemplatesClient {
        TemplatesClient::new(Arc::clone(&self.caller))
    }

    pub(crate) fn library(&self) -> LibraryClient {
        LibraryClient::new(Arc::clone(&self.caller))
    }

    pub(crate) fn library_end(&self, server_id: &str) -> LibraryEndClient {
        LibraryEndClient::new(Arc::clone(&self.caller), server_id)
    }

    pub(crate) fn host(&self, host_id: &str) -> HostClient {
        HostClient::new(Arc::clone(&self.caller), host_id)
    }
}

/// Commands to a machine at its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Start,
    Shutdown,
    TurnOff,
    Reset,
    Pause,
    Resume,
    Save,
}

/// A step's hands.
pub(crate) struct Hands {
    pub(crate) calls: Calls,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) job_id: String,
    /// Under which a host stores what it did.
    pub(crate) operation: String,
    /// The revision of the job's record with which this try of the step was begun.
    pub(crate) begun_at: u64,
    pub(crate) percent: u32,
    pub(crate) guest_patience: Duration,
}

impl std::ops::Deref for Hands {
    type Target = Calls;

    fn deref(&self) -> &Calls {
        &self.calls
    }
}

impl Hands {
    /// Tells whoever listens what the step is at.
    pub(crate) async fn say(&self, message: &str) {
        publish_progress(&*self.bus, &self.job_id, self.percent, message).await;
    }

    /// Asks a host for a piece of work, and asks again while no answer comes: it may be lost with a bus or an agent that
    /// was killed. The host joins what it is still doing and answers from the store what it has done.
    pub(crate) async fn ask<T, F>(
        &self,
        host_id: &str,
        ask: impl Fn(HostClient, Context) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        self.ask_again(host_id, |context| ask(self.host(host_id), context))
            .await
    }

    /// The same for work on a machine's disks, which takes as long as they are large: while the host has the machine, it is
    /// asked again, and joins what it is doing.
    pub(crate) async fn ask_for_long<T, F>(
        &self,
        host_id: &str,
        vm_id: &str,
        ask: impl Fn(HostClient, Context) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        loop {
            match self.ask(host_id, &ask).await {
                Err(late) if late.code() == Code::DeadlineExceeded => {
                    self.look_at(host_id, vm_id).await?.ok_or(late)?;
                    self.say("The disks are being made.").await;
                }
                answer => return answer,
            }
        }
    }

    /// The same of a library server.
    pub(crate) async fn ask_library<T, F>(
        &self,
        server_id: &str,
        ask: impl Fn(LibraryEndClient, Context) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        self.ask_again(server_id, |context| {
            ask(self.library_end(server_id), context)
        })
        .await
    }

    async fn ask_again<T, F>(&self, host_id: &str, ask: impl Fn(Context) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut patience = ASK_AGAIN_FIRST;
        let mut left = CALL_TIMEOUT;
        loop {
            let answer = ask(self.host_context());
            match tokio::time::timeout(patience.min(left), answer).await {
                Ok(answer) => return answer,
                Err(_) if patience >= left => return Err(too_late(&self.fleet, host_id)),
                Err(_) => {}
            }
            left -= patience;
            // Each time the host has one more to answer, so ever more seldom.
            patience *= 2;
        }
    }

    /// A host's work takes as long as its method allows. It is asked as of the record's revision: a host that has heard of a
    /// later one does not do what comes late.
    fn host_context(&self) -> Context {
        let mut context = Context::new(&self.context.principal);
        context.job_id.clone_from(&self.context.job_id);
        context
            .idempotency_key
            .clone_from(&self.context.idempotency_key);
        context.trace_parent.clone_from(&self.context.trace_parent);
        context.saw_all(&self.context.seen());
        context.saw(Job::BUCKET, self.begun_at);
        context
    }

    pub(crate) async fn command(
        &self,
        command: Command,
        host_id: &str,
        vm_id: &str,
    ) -> Result<VmReport, Status> {
        self.command_as(command, host_id, vm_id, self.operation.clone())
            .await
    }

    /// A command of a step that gives more than one: each needs an operation of its own.
    pub(crate) async fn command_as(
        &self,
        command: Command,
        host_id: &str,
        vm_id: &str,
        operation_id: String,
    ) -> Result<VmReport, Status> {
        let request = &VmOperation {
            operation_id,
            vm_id: vm_id.to_owned(),
        };
        self.ask(host_id, |host, context| async move {
            match command {
                Command::Start => host.start_vm(&context, request).await,
                Command::Shutdown => host.shutdown_vm(&context, request).await,
                Command::TurnOff => host.turn_off_vm(&context, request).await,
                Command::Reset => host.reset_vm(&context, request).await,
                Command::Pause => host.pause_vm(&context, request).await,
                Command::Resume => host.resume_vm(&context, request).await,
                Command::Save => host.save_vm(&context, request).await,
            }
        })
        .await
    }

    /// Deletes a machine at its host; one that is not there is no error.
    pub(crate) async fn delete_vm(&self, host_id: &str, vm_id: &str) -> Result<(), Status> {
        let request = &VmOperation {
            operation_id: self.operation.clone(),
            vm_id: vm_id.to_owned(),
        };
        let ask = |host: HostClient, context: Context| async move {
            host.delete_vm(&context, request).await
        };
        self.ask(host_id, ask).await.map(drop)
    }

    /// Has a host remove a parcel of a machine, or for one; one that is not there is no error, and one of a host that is no
    /// longer one of the fleet's is nobody's.
    pub(crate) async fn drop_parcel(
        &self,
        host_id: &str,
        vm_id: &str,
        parcel_id: &str,
    ) -> Result<(), Status> {
        if !self.fleet.knows_host(host_id)? {
            return Ok(());
        }
        let request = &ParcelRef {
            parcel_id: parcel_id.to_owned(),
            vm_id: vm_id.to_owned(),
        };
        let ask = |host: HostClient, context: Context| async move {
            host.drop_parcel(&context, request).await
        };
        self.ask(host_id, ask).await.map(drop)
    }

    /// A machine as its host has it now; `None` when it does not have it.
    pub(crate) async fn look_at(
        &self,
        host_id: &str,
        vm_id: &str,
    ) -> Result<Option<VmReport>, Status> {
        let request = VmRef {
            vm_id: vm_id.to_owned(),
        };
        let host = self.host(host_id);
        match host.get_vm(&self.host_context(), &request).await {
            Ok(report) => Ok(Some(report)),
            Err(error) if error.code() == Code::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes over into the fleet's picture what a host answered.
    pub(crate) async fn apply(&self, host_id: &str, report: VmReport) -> Result<(), Status> {
        let request = ApplyVmReportRequest {
            host_id: host_id.to_owned(),
            job_id: self.job_id.clone(),
            vm: Some(report),
        };
        self.inventory()
            .apply_vm_report(&self.context, &request)
            .await?;
        Ok(())
    }
}

fn too_late(fleet: &Fleet, host_id: &str) -> Status {
    let name = fleet
        .host(host_id)
        .map_or_else(|_| host_id.to_owned(), |host| host.name);
    Status::new(
        Code::DeadlineExceeded,
        format!(
            "Host {name} did not answer within {} s.",
            CALL_TIMEOUT.as_secs()
        ),
    )
    .about(ObjectRef::new("host", host_id, &name))
    .action("Whether it took effect is not known: look at the object, then restart the job.")
}

/// Tells whoever listens how far a job is. Nobody listening is no error.
pub(crate) async fn publish_progress(bus: &dyn Bus, job_id: &str, percent: u32, message: &str) {
    let progress = Progress {
        job_id: job_id.to_owned(),
        percent,
        message: message.to_owned(),
        ..Progress::default()
    };
    let message = Message::new(progress.encode_to_vec());
    if let Err(error) = bus.publish(&subjects::progress(job_id), message).await {
        tracing::debug!(job_id, %error, "progress was not told");
    }
}
