//! A hypervisor in memory: the whole contract, and no machine behind it. For trials of many hosts; it proves nothing
//! about a machine that runs.

mod counters;
mod host;
mod machine;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use contracts::host::{
    CloneVmRequest, CreateVmRequest, HostFacts, ImageInfo, PackVmRequest, Parcel, ReadLogRequest,
    ReadLogResponse, VmReport, VmState,
};
use contracts::{Code, ObjectRef, Status};
use tokio::sync::broadcast;

use super::admission::{Admission, admit};
use super::order::Order;
use super::{Action, Change, Hypervisor, Reading, request};
use counters::Meter;
use host::Host;

pub use host::Load;

/// Changes that may wait for the reporter. There may be thousands of these hosts in a process; one that falls behind
/// sends its whole picture.
const CHANGES_MAX: usize = 64;

/// The smallest PNG: one black dot.
const SCREEN: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU\
\x00\x00\x00\nIDATx\x9cc`\x00\x00\x00\x02\x00\x01H\xaf\xa4q\x00\x00\x00\x00IEND\xaeB`\x82";

/// Machines that are only their reports.
pub struct Simulated {
    machines: Mutex<BTreeMap<String, Machine>>,
    changes: broadcast::Sender<Change>,
    host: Host,
    meter: Mutex<Meter>,
    /// How far the host's clock is ahead.
    skew_ms: AtomicI64,
    order: Order,
}

struct Machine {
    report: VmReport,
    operation_id: String,
}

impl Default for Simulated {
    /// This machine, with nothing on it.
    fn default() -> Self {
        Self::of_generation(0)
    }
}

/// What happens on a host by other hands than Muster's.
impl Simulated {
    /// A host that is made up, with its machines. Of its memory the facts say what is in use without any machine.
    pub fn new(facts: HostFacts, load: Load, machines: Vec<VmReport>, generation: u64) -> Self {
        let facts = Box::new(facts);
        Self::with(Host::Made { facts, load }, machines, generation)
    }

    /// This machine, with nothing on it, seen by one run of the agent.
    pub fn of_generation(generation: u64) -> Self {
        Self::with(Host::default(), Vec::new(), generation)
    }

    fn with(host: Host, machines: Vec<VmReport>, generation: u64) -> Self {
        let simulated = Self {
            machines: Mutex::default(),
            changes: broadcast::Sender::new(CHANGES_MAX),
            host,
            meter: Mutex::default(),
            skew_ms: AtomicI64::new(0),
            order: Order::of(generation),
        };
        for mut report in machines {
            let state = report.state();
            machine::enter(&mut report, state, false, simulated.now_ms());
            simulated.put(report);
        }
        simulated
    }

    /// A machine appears, or is replaced.
    pub fn put(&self, mut report: VmReport) {
        let mut machines = self.lock();
        self.tell(&mut report);
        let machine = Machine {
            report: report.clone(),
            operation_id: String::new(),
        };
        machines.insert(report.vm_id.clone(), machine);
    }

    /// A machine is brought into a state. `None`: it is not there.
    pub fn bring(&self, vm_id: &str, state: VmState) -> Option<VmReport> {
        let report = self.with_machine(vm_id, |report, now_ms| {
            let is_started = state == VmState::Running && report.state() != VmState::Paused;
            machine::enter(report, state, is_started, now_ms);
            self.tell(report);
            report.clone()
        });
        report.ok()
    }

    /// A machine vanishes.
    pub fn lose(&self, vm_id: &str) {
        if self.lock().remove(vm_id).is_some() {
            self.tell_gone(vm_id);
        }
    }

    /// Every machine as it is.
    pub fn reports(&self) -> Vec<VmReport> {
        let now_ms = self.now_ms();
        let mut machines = self.lock();
        let report = |machine: &mut Machine| {
            machine::refresh(&mut machine.report, now_ms);
            machine.report.clone()
        };
        machines.values_mut().map(report).collect()
    }

    /// Sets the host's clock this far ahead.
    pub fn skew(&self, ahead_ms: i64) {
        self.skew_ms.store(ahead_ms, Ordering::Relaxed);
    }

    fn now_ms(&self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        now_ms.saturating_add(self.skew_ms.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Machine>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, report: &mut VmReport) {
        report.sequence = self.order.next();
        let _ = self.changes.send(Change::Vm(Box::new(report.clone())));
    }

    fn tell_gone(&self, vm_id: &str) {
        let _ = self.changes.send(Change::Removed {
            vm_id: vm_id.to_owned(),
        });
    }

    fn with_machine<T>(
        &self,
        vm_id: &str,
        look: impl FnOnce(&mut VmReport, i64) -> T,
    ) -> Result<T, Status> {
        let now_ms = self.now_ms();
        let mut machines = self.lock();
        let machine = machines
            .get_mut(vm_id)
            .ok_or_else(|| Status::not_found(ObjectRef::new("vm", vm_id, "")))?;
        machine::refresh(&mut machine.report, now_ms);
        Ok(look(&mut machine.report, now_ms))
    }
}

#[async_trait]
impl Hypervisor for Simulated {
    async fn facts(&self) -> HostFacts {
        let now_ms = self.now_ms();
        let machines = self.lock();
        self.host
            .facts(machines.values().map(|machine| &machine.report), now_ms)
    }

    async fn machines(&self) -> Vec<VmReport> {
        self.reports()
    }

    async fn counters(&self) -> Reading {
        let now_ms = self.now_ms();
        let machines = self.lock();
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        let reports = machines.values().map(|machine| &machine.report);
        meter.read(&self.host, reports, now_ms)
    }

    async fn check_image(&self, image: &str) -> Result<ImageInfo, Status> {
        let (wanted, file) = match image.split_once('/') {
            Some((datastore, file)) => (Some(datastore), file),
            None => (None, image),
        };
        let datastores = self.host.datastores();
        let found = datastores
            .iter()
            .filter(|datastore| wanted.is_none_or(|name| name == datastore.name))
            .find_map(|datastore| {
                let image = datastore.images.iter().find(|image| image.name == file)?;
                Some((datastore, image))
            });
        let (datastore, found) =
            found.ok_or_else(|| Status::not_found(ObjectRef::new("image", image, image)))?;
        Ok(ImageInfo {
            image: image.to_owned(),
            datastore: datastore.name.clone(),
            format: "qcow2".to_owned(),
            virtual_bytes: found.file_bytes,
            file_bytes: found.file_bytes,
            ..ImageInfo::default()
        })
    }

    async fn create(&self, request: CreateVmRequest) -> Result<VmReport, Status> {
        let mut hardware = request::check(&request)?;
        for disk in hardware
            .disks
            .iter_mut()
            .filter(|disk| !disk.image.is_empty())
        {
            disk.size_bytes = disk
                .size_bytes
                .max(self.check_image(&disk.image).await?.virtual_bytes);
        }
        for card in hardware
            .network_cards
            .iter_mut()
            .filter(|card| card.mac.is_empty())
        {
            card.mac = request::mac_of(&request.vm_id, &card.id);
        }
        let report = VmReport {
            vm_id: request.vm_id.clone(),
            name: request.name,
            state: VmState::Stopped.into(),
            hardware: Some(hardware),
            datastore: self.datastore(&request.datastore)?,
            ..VmReport::default()
        };
        self.enter_new(report, request.operation_id)
    }

    async fn clone_machine(&self, request: CloneVmRequest) -> Result<VmReport, Status> {
        let source = self.machine(&request.source_vm_id).await?;
        if source.state() != VmState::Stopped {
            return Err(refused(
                &source,
                "is not off",
                "Shut it down or turn it off first.",
            ));
        }
        let mut report = VmReport {
            vm_id: request.vm_id.clone(),
            name: request.name,
            ..source
        };
        for card in report
            .hardware
            .iter_mut()
            .flat_map(|h| &mut h.network_cards)
        {
            card.mac = match request.macs.get(&card.id) {
                Some(mac) => mac.clone(),
                None => request::mac_of(&request.vm_id, &card.id),
            };
        }
        self.enter_new(report, request.operation_id)
    }

    async fn pack(&self, request: PackVmRequest) -> Result<Parcel, Status> {
        let machine = self.machine(&request.vm_id).await?;
        let why = "has no files: its host is simulated";
        Err(refused(
            &machine,
            why,
            "Store machines of hosts that have them.",
        ))
    }

    async fn drop_parcel(&self, _parcel_id: &str) -> Result<(), Status> {
        Ok(())
    }

    async fn remove_image(&self, image: &str, _check_only: bool) -> Result<(), Status> {
        Err(Status::precondition(format!(
            "Image {image} is only a name: the host is simulated."
        ))
        .action("Remove images of hosts that have them."))
    }

    async fn delete(&self, vm_id: &str) -> Result<(), Status> {
        let mut machines = self.lock();
        let Some(machine) = machines.get(vm_id) else {
            return Ok(());
        };
        if !matches!(machine.report.state(), VmState::Stopped | VmState::Saved) {
            return Err(refused(
                &machine.report,
                "is not off",
                "Shut it down or turn it off first.",
            ));
        }
        machines.remove(vm_id);
        self.tell_gone(vm_id);
        Ok(())
    }

    async fn act(&self, vm_id: &str, action: Action, _limit: Duration) -> Result<VmReport, Status> {
        self.with_machine(vm_id, |report, now_ms| {
            match admit(report.state(), action) {
                Admission::Do => {
                    let is_started = matches!(action, Action::Start | Action::Reset);
                    machine::enter(report, machine::goal(action), is_started, now_ms);
                    self.tell(report);
                    Ok(report.clone())
                }
                Admission::AlreadyDone => Ok(report.clone()),
                Admission::Busy(doing) => Err(Status::new(
                    Code::Aborted,
                    format!("{} is just {doing}.", report.name),
                )),
                Admission::Refused(why, instead) => Err(refused(report, why, instead)),
            }
        })?
    }

    async fn machine(&self, vm_id: &str) -> Result<VmReport, Status> {
        self.with_machine(vm_id, |report, _| report.clone())
    }

    async fn screenshot(&self, vm_id: &str) -> Result<Vec<u8>, Status> {
        self.with_machine(vm_id, |report, _| match report.started_ms {
            0 => Err(refused(report, "is not running", "Start it first.")),
            _ => Ok(SCREEN.to_vec()),
        })?
    }

    async fn read_log(&self, request: ReadLogRequest) -> Result<ReadLogResponse, Status> {
        self.with_machine(&request.vm_id, |_, _| ReadLogResponse::default())
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }
}

impl Simulated {
    /// A machine that is made, unless the same operation has made it.
    fn enter_new(&self, mut report: VmReport, operation_id: String) -> Result<VmReport, Status> {
        let mut machines = self.lock();
        if let Some(there) = machines.get(&report.vm_id) {
            if there.operation_id == operation_id && !operation_id.is_empty() {
                return Ok(there.report.clone());
            }
            let object = ObjectRef::new("vm", &report.vm_id, &there.report.name);
            return Err(Status::already_exists(
                object,
                "There is already a machine with this id.",
            ));
        }
        self.tell(&mut report);
        let machine = Machine {
            report: report.clone(),
            operation_id,
        };
        machines.insert(report.vm_id.clone(), machine);
        Ok(report)
    }

    /// The datastore that was asked for, or the first.
    fn datastore(&self, asked: &str) -> Result<String, Status> {
        let mut names = self.host.datastores().into_iter().map(|d| d.name);
        let name = names.find(|name| asked.is_empty() || name == asked);
        name.ok_or_else(|| Status::not_found(ObjectRef::new("datastore", asked, asked)))
    }
}

fn refused(report: &VmReport, why: &str, instead: &str) -> Status {
    Status::precondition(format!("{} {why}.", report.name))
        .about(ObjectRef::new("vm", &report.vm_id, &report.name))
        .action(instead)
}
