//! A hypervisor in memory: the whole contract, and no machine behind it. For trials of many hosts; it proves nothing
//! about a machine that runs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use contracts::host::{
    CreateVmRequest, Datastore, GuestFacts, HostFacts, ImageFile, ImageInfo, ReadLogRequest,
    ReadLogResponse, VmReport, VmState,
};
use contracts::{Code, ObjectRef, Status};
use tokio::sync::broadcast;

use super::admission::{Admission, admit};
use super::host_facts::HostReader;
use super::{Action, Change, Hypervisor, request};
use crate::limits;

const DATASTORE: &str = "simulated";
const IMAGE: &str = "guest.qcow2";
const IMAGE_BYTES: u64 = 1 << 30;
const DATASTORE_BYTES: u64 = 1 << 40;

/// The smallest PNG: one black dot.
const SCREEN: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU\
\x00\x00\x00\nIDATx\x9cc`\x00\x00\x00\x02\x00\x01H\xaf\xa4q\x00\x00\x00\x00IEND\xaeB`\x82";

/// Machines that are only their reports.
pub struct Simulated {
    machines: Mutex<BTreeMap<String, Machine>>,
    changes: broadcast::Sender<Change>,
    host: HostReader,
}

struct Machine {
    report: VmReport,
    operation_id: String,
}

impl Default for Simulated {
    fn default() -> Self {
        Self {
            machines: Mutex::default(),
            changes: broadcast::Sender::new(limits::CHANGES_MAX),
            host: HostReader::default(),
        }
    }
}

impl Simulated {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Machine>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, report: &VmReport) {
        let _ = self.changes.send(Change::Vm(Box::new(report.clone())));
    }

    fn with<T>(&self, vm_id: &str, look: impl FnOnce(&mut VmReport) -> T) -> Result<T, Status> {
        let mut machines = self.lock();
        let machine = machines
            .get_mut(vm_id)
            .ok_or_else(|| Status::not_found(ObjectRef::new("vm", vm_id, "")))?;
        refresh(&mut machine.report);
        Ok(look(&mut machine.report))
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What moves by itself while a machine runs.
fn refresh(report: &mut VmReport) {
    let running_ms = now_ms().saturating_sub(report.started_ms);
    if let Some(guest) = report.guest.as_mut().filter(|guest| guest.agent_responding) {
        guest.uptime_secs = u64::try_from(running_ms / 1000).unwrap_or(0);
    }
}

/// Where an action leads.
fn apply(report: &mut VmReport, action: Action) {
    let state = match action {
        Action::Start | Action::Resume | Action::Reset => VmState::Running,
        Action::Shutdown | Action::TurnOff => VmState::Stopped,
        Action::Pause => VmState::Paused,
        Action::Save => VmState::Saved,
    };
    report.set_state(state);
    if matches!(action, Action::Start | Action::Reset) {
        report.started_ms = now_ms();
    }
    let on = matches!(state, VmState::Running | VmState::Paused);
    report.accelerator = if on {
        "simulated".to_owned()
    } else {
        String::new()
    };
    report.started_ms = if on { report.started_ms } else { 0 };
    report.guest = (state == VmState::Running).then(|| guest_of(report));
}

fn guest_of(report: &VmReport) -> GuestFacts {
    let hash = blake3::hash(report.vm_id.as_bytes());
    let [a, b, c, ..] = hash.as_bytes();
    GuestFacts {
        agent_responding: true,
        hostname: report.name.clone(),
        os: "Simulated".to_owned(),
        kernel: "0".to_owned(),
        addresses: vec![format!("10.{a}.{b}.{c}")],
        uptime_secs: 0,
    }
}

#[async_trait]
impl Hypervisor for Simulated {
    async fn facts(&self) -> HostFacts {
        HostFacts {
            hypervisor: "simulated".to_owned(),
            hypervisor_version: "simulated".to_owned(),
            accelerator: "simulated".to_owned(),
            accelerator_reason: "Nothing runs here.".to_owned(),
            confinement: "Nothing runs here.".to_owned(),
            datastores: vec![Datastore {
                name: DATASTORE.to_owned(),
                capacity_bytes: DATASTORE_BYTES,
                free_bytes: DATASTORE_BYTES,
                images: vec![ImageFile {
                    name: IMAGE.to_owned(),
                    file_bytes: IMAGE_BYTES,
                }],
                ..Datastore::default()
            }],
            ..self.host.read()
        }
    }

    async fn machines(&self) -> Vec<VmReport> {
        let mut machines = self.lock();
        machines
            .values_mut()
            .for_each(|machine| refresh(&mut machine.report));
        machines
            .values()
            .map(|machine| machine.report.clone())
            .collect()
    }

    async fn check_image(&self, image: &str) -> Result<ImageInfo, Status> {
        if image.rsplit('/').next() != Some(IMAGE) {
            return Err(Status::not_found(ObjectRef::new("image", image, image)));
        }
        Ok(ImageInfo {
            image: image.to_owned(),
            datastore: DATASTORE.to_owned(),
            format: "qcow2".to_owned(),
            virtual_bytes: IMAGE_BYTES,
            file_bytes: IMAGE_BYTES,
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
            datastore: DATASTORE.to_owned(),
            ..VmReport::default()
        };
        let mut machines = self.lock();
        if let Some(there) = machines.get(&request.vm_id) {
            if there.operation_id == request.operation_id && !request.operation_id.is_empty() {
                return Ok(there.report.clone());
            }
            let object = ObjectRef::new("vm", &request.vm_id, &there.report.name);
            return Err(Status::already_exists(
                object,
                "There is already a machine with this id.",
            ));
        }
        let machine = Machine {
            report: report.clone(),
            operation_id: request.operation_id,
        };
        machines.insert(request.vm_id, machine);
        self.tell(&report);
        Ok(report)
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
        let _ = self.changes.send(Change::Removed {
            vm_id: vm_id.to_owned(),
        });
        Ok(())
    }

    async fn act(&self, vm_id: &str, action: Action, _limit: Duration) -> Result<VmReport, Status> {
        self.with(vm_id, |report| match admit(report.state(), action) {
            Admission::Do => {
                apply(report, action);
                self.tell(report);
                Ok(report.clone())
            }
            Admission::AlreadyDone => Ok(report.clone()),
            Admission::Busy(doing) => Err(Status::new(
                Code::Aborted,
                format!("{} is just {doing}.", report.name),
            )),
            Admission::Refused(why, instead) => Err(refused(report, why, instead)),
        })?
    }

    async fn machine(&self, vm_id: &str) -> Result<VmReport, Status> {
        self.with(vm_id, |report| report.clone())
    }

    async fn screenshot(&self, vm_id: &str) -> Result<Vec<u8>, Status> {
        self.with(vm_id, |report| match report.started_ms {
            0 => Err(refused(report, "is not running", "Start it first.")),
            _ => Ok(SCREEN.to_vec()),
        })?
    }

    async fn read_log(&self, request: ReadLogRequest) -> Result<ReadLogResponse, Status> {
        self.with(&request.vm_id, |_| ReadLogResponse::default())
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }
}

fn refused(report: &VmReport, why: &str, instead: &str) -> Status {
    Status::precondition(format!("{} {why}.", report.name))
        .about(ObjectRef::new("vm", &report.vm_id, &report.name))
        .action(instead)
}

#[cfg(test)]
mod tests {
    use contracts::host::{Disk, Hardware};

    use super::*;

    fn request() -> CreateVmRequest {
        CreateVmRequest {
            operation_id: "j/1".to_owned(),
            vm_id: "v1".to_owned(),
            name: "web-01".to_owned(),
            hardware: Some(Hardware {
                vcpus: 1,
                memory_bytes: 64 << 20,
                disks: vec![Disk {
                    image: IMAGE.to_owned(),
                    ..Disk::default()
                }],
                ..Hardware::default()
            }),
            ..CreateVmRequest::default()
        }
    }

    #[tokio::test]
    async fn a_simulated_machine_lives_as_a_real_one_would() {
        let host = Simulated::default();
        let mut changes = host.changes();
        host.create(request()).await.unwrap();
        host.create(request()).await.unwrap();
        let limit = Duration::from_secs(1);
        let running = host.act("v1", Action::Start, limit).await.unwrap();
        assert!(running.guest.unwrap().agent_responding);
        assert!(host.delete("v1").await.is_err());
        assert_eq!(
            host.act("v1", Action::Save, limit).await.unwrap().state(),
            VmState::Saved
        );
        assert!(host.act("v1", Action::Pause, limit).await.is_err());
        host.delete("v1").await.unwrap();
        let mut heard = 0;
        while changes.try_recv().is_ok() {
            heard += 1;
        }
        assert_eq!((heard, host.machines().await.len()), (4, 0));
    }
}
