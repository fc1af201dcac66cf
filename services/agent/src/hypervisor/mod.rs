//! What runs machines on this host, behind one trait: QEMU, or a simulation in memory.

mod admission;
mod host_counters;
mod host_facts;
mod host_traffic;
mod order;
pub mod qemu;
mod request;
pub mod simulated;

use std::time::Duration;

use async_trait::async_trait;
use contracts::Status;
use contracts::host::{
    CloneVmRequest, CreateVmRequest, HostFacts, ImageInfo, Level, PackVmRequest, Parcel,
    ReadLogRequest, ReadLogResponse, VmReport, VmState,
};
use tokio::sync::broadcast;

use crate::core::usage::Counters;

/// What can be done to a machine's power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Start,
    Shutdown,
    TurnOff,
    Reset,
    Pause,
    Resume,
    Save,
}

impl Action {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Shutdown => "shutdown",
            Self::TurnOff => "turn_off",
            Self::Reset => "reset",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Save => "save",
        }
    }
}

/// What happened on the host of its own accord or by a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Vm(Box<VmReport>),
    Removed { vm_id: String },
}

/// Counters of the host and of every machine that has a process.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    pub host: Counters,
    pub vms: Vec<VmReading>,
}

#[derive(Clone, Debug)]
pub struct VmReading {
    pub vm_id: String,
    pub state: VmState,
    /// Tells its process from an earlier one.
    pub started_ms: i64,
    pub counters: Counters,
}

/// The hand on the machines. Every error says what happened to which machine, and what to do next.
#[async_trait]
pub trait Hypervisor: Send + Sync + 'static {
    /// What the host is and has now.
    async fn facts(&self) -> HostFacts;

    /// Every machine, as last known.
    async fn machines(&self) -> Vec<VmReport>;

    /// What the host and its machines have used until now. A machine that does not answer holds up nothing.
    async fn counters(&self) -> Reading;

    /// Looks afresh at what is there, of all machines or of one, so that what is told next is not only what was heard of.
    /// One that is in memory alone has nothing to look at.
    async fn look(&self, _level: Level, _vm_id: &str) {}

    /// Looks at an image without trusting it.
    async fn check_image(&self, image: &str) -> Result<ImageInfo, Status>;

    /// Makes a machine. Asked again with the same operation, it answers with the machine that is there.
    async fn create(&self, request: CreateVmRequest) -> Result<VmReport, Status>;

    /// Makes a machine of another one that is off. Asked again with the same operation, it answers with the machine that is there.
    async fn clone_machine(&self, request: CloneVmRequest) -> Result<VmReport, Status>;

    /// Makes files that can travel of a machine that is off, or only says what they will be. Files that are there are left.
    async fn pack(&self, request: PackVmRequest) -> Result<Parcel, Status>;

    /// Removes the files of a parcel, sent or received. One that is not there is no error.
    async fn drop_parcel(&self, parcel_id: &str) -> Result<(), Status>;

    /// Removes an image that nothing lies on, or only says why it would not be. One that is not there is no error.
    async fn remove_image(&self, image: &str, check_only: bool) -> Result<(), Status>;

    /// Deletes a machine that is off, or ends the making of one. One that is not there is no error.
    async fn delete(&self, vm_id: &str) -> Result<(), Status>;

    /// Brings a machine to where the action leads; nothing is done when it is there already.
    async fn act(&self, vm_id: &str, action: Action, limit: Duration) -> Result<VmReport, Status>;

    /// One machine, guest facts read fresh.
    async fn machine(&self, vm_id: &str) -> Result<VmReport, Status>;

    /// The screen as PNG.
    async fn screenshot(&self, vm_id: &str) -> Result<Vec<u8>, Status>;

    /// A piece of the serial console's log.
    async fn read_log(&self, request: ReadLogRequest) -> Result<ReadLogResponse, Status>;

    /// Changes from now on. A reader that falls behind is told so, and asks for the whole picture.
    fn changes(&self) -> broadcast::Receiver<Change>;
}
