//! QEMU: one process for each machine, started detached and found again after a restart of the agent.
//!
//! Nothing else in Muster speaks QMP. Read `folder` first (which file means what), then `worker` (who owns the state),
//! then the ways through: `create`, `start`, `save`, `stop`, `adopt`.

mod adopt;
mod blocks;
mod clone;
mod confinement;
mod counters;
mod create;
mod datastore;
mod definition;
mod definition_check;
pub(crate) mod disk_look;
mod finder;
mod firmware;
mod folder;
pub mod foreign;
mod foreign_disk;
mod guest_agent;
mod image;
mod image_file;
mod inotify;
mod launch;
mod layer;
mod machine;
mod making;
mod migration;
mod open;
mod parcel;
mod probe;
mod probe_sector;
mod process;
mod qcow2;
pub mod qmp;
mod receive;
mod registry;
mod save;
mod seed;
mod start;
mod stop;
pub(crate) mod tool;
mod users;
mod watch;
mod work;
mod worker;

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use contracts::Status;
use contracts::host::{
    CloneVmRequest, CreateVmRequest, HostFacts, ImageInfo, Level, PackVmRequest, Parcel,
    ReadLogRequest, ReadLogResponse, VmReport,
};
use futures::StreamExt as _;
use serde_json::json;
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinSet;

use self::confinement::Confinement;
use self::datastore::Datastore;
use self::disk_look::DiskLook;
use self::finder::Finder;
use self::firmware::Uefi;
use self::folder::Folder;
use self::image::Images;
use self::machine::Live;
use self::probe::Probe;
use self::registry::Registry;
use self::worker::Message;
use super::host_facts::HostReader;
use super::order::Order;
use super::{Action, Change, Hypervisor, Reading, VmReading, host_counters};
use crate::core::usage::Counters;
use crate::{limits, meter};

/// Whether guests on QEMU's own network see more than themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserNetwork {
    /// The guest gets an address and reaches nothing. The default: on an open one a guest also reaches everything that
    /// listens on the host's loopback, Muster's own ports among it.
    #[default]
    Isolated,
    /// The guest reaches whatever the host reaches, its loopback included.
    Open,
}

/// Where things are, and as whom QEMU runs.
#[derive(Clone, Debug)]
pub struct Settings {
    pub qemu: PathBuf,
    pub qemu_img: PathBuf,
    /// For sockets: a short path.
    pub runtime_dir: PathBuf,
    /// Name and path.
    pub datastores: Vec<(String, PathBuf)>,
    /// User that QEMU runs as when the agent is root.
    pub qemu_user: String,
    pub user_network: UserNetwork,
}

/// What all machines of the host share.
struct Environment {
    qemu: PathBuf,
    qemu_img: PathBuf,
    runtime_dir: PathBuf,
    datastores: Vec<Datastore>,
    user_network: UserNetwork,
    confinement: Confinement,
    probe: Probe,
    /// Firmware for machines that have UEFI; `None`: there is none here.
    uefi: Option<Uefi>,
    images: Images,
    /// Looks at disks of formats that machines do not run from.
    disks: DiskLook,
    order: Order,
}

/// Machines on QEMU. Dropping it leaves them running.
pub struct Qemu {
    environment: Arc<Environment>,
    registry: Arc<Registry>,
    finder: Arc<Finder>,
    /// Ends with this.
    _watching: JoinSet<()>,
    host: HostReader,
    screens: AtomicU64,
}

impl Qemu {
    /// Looks at what QEMU can do here, and takes over every machine that it finds. The error says what to set right.
    pub async fn open(settings: Settings, generation: u64) -> Result<Self, String> {
        let environment = Arc::new(open::environment(settings, generation).await?);
        let registry = Arc::new(Registry::new(environment.clone()));
        open::adopt_all(&registry, &environment).await;
        let finder = Arc::new(Finder::new(registry.clone(), environment.clone()));
        let mut watching = JoinSet::new();
        watching.spawn(inotify::watch(
            finder.clone(),
            environment.datastores.clone(),
        ));
        let host = HostReader::default();
        // The first look at the CPU is the start of the first sample.
        host.read();
        Ok(Self {
            environment,
            registry,
            finder,
            _watching: watching,
            host,
            screens: AtomicU64::new(0),
        })
    }

    async fn ask<T>(
        &self,
        vm_id: &str,
        question: impl FnOnce(worker::Reply<T>) -> Message,
    ) -> Result<T, Status> {
        let handle = self.registry.handle(vm_id)?;
        let (reply, answer) = oneshot::channel();
        let gone = |()| handle.machine.busy("being deleted");
        handle
            .mailbox
            .send(question(reply))
            .await
            .map_err(|_| gone(()))?;
        answer.await.map_err(|_| gone(()))?
    }

    /// `None`: it has just ended.
    async fn read_counters(&self, report: VmReport) -> Option<VmReading> {
        let vm_id = &report.vm_id;
        let live: Live = self
            .ask(vm_id, |reply| Message::Lend { reply })
            .await
            .ok()?;
        let handle = self.registry.handle(vm_id).ok()?;
        Some(counters::read(&handle.machine, &live, &report).await)
    }
}

#[async_trait]
impl Hypervisor for Qemu {
    async fn facts(&self) -> HostFacts {
        let environment = &self.environment;
        let probe = &environment.probe;
        HostFacts {
            hypervisor: "qemu".to_owned(),
            hypervisor_version: probe.version.clone(),
            accelerator: probe.accelerator.name().to_owned(),
            accelerator_reason: probe.reason.clone(),
            datastores: datastore::describe_all(&environment.datastores).await,
            confinement: environment.confinement.description.clone(),
            memory_overhead_bytes: probe.accelerator.overhead_bytes(),
            uefi: environment.uefi.is_some(),
            q35_versions: probe.q35_versions(),
            ..self.host.read()
        }
    }

    async fn machines(&self) -> Vec<VmReport> {
        self.registry.reports()
    }

    async fn counters(&self) -> Reading {
        let mut reports = self.registry.reports();
        reports.retain(|report| report.pid != 0);
        let reading = reports.into_iter().map(|report| self.read_counters(report));
        let vms = futures::stream::iter(reading)
            .buffer_unordered(limits::SAMPLES_AT_A_TIME)
            .filter_map(std::future::ready)
            .collect();
        let datastores = datastore::used_bytes_of_all(&self.environment.datastores);
        let (vms, disk_used_bytes) = tokio::join!(vms, datastores);
        Reading {
            host: Counters {
                disk_used_bytes,
                ..host_counters::read_counters()
            },
            vms,
        }
    }

    /// Machines say what they do by themselves; what comes and goes in the datastores, and guests, are looked at.
    async fn look(&self, level: Level, vm_id: &str) {
        if matches!(level, Level::Light | Level::Heavy) {
            self.finder.look().await;
        }
        if level == Level::Heavy {
            let mut machines = self.registry.reports();
            machines.retain(|machine| vm_id.is_empty() || machine.vm_id == vm_id);
            let asking = futures::stream::iter(machines).for_each_concurrent(
                limits::GUESTS_AT_A_TIME,
                |machine| async move {
                    // One that is gone by now has nothing to say.
                    let _ = self.machine(&machine.vm_id).await;
                },
            );
            // Of those that have not answered by then what was known before is told.
            let _ = tokio::time::timeout(limits::LOOK_TIMEOUT, asking).await;
        }
    }

    async fn check_image(&self, image: &str) -> Result<ImageInfo, Status> {
        let environment = &self.environment;
        let found = environment
            .images
            .check(&environment.datastores, image)
            .await?;
        Ok(found.to_message(image))
    }

    async fn create(&self, request: CreateVmRequest) -> Result<VmReport, Status> {
        self.registry.create(request).await
    }

    async fn clone_machine(&self, request: CloneVmRequest) -> Result<VmReport, Status> {
        self.registry.clone_machine(request).await
    }

    async fn pack(&self, request: PackVmRequest) -> Result<Parcel, Status> {
        self.registry.pack(request).await
    }

    async fn drop_parcel(&self, parcel_id: &str) -> Result<(), Status> {
        self.registry.drop_parcel(parcel_id).await
    }

    async fn remove_image(&self, image: &str, check_only: bool) -> Result<(), Status> {
        self.registry.remove_image(image, check_only).await
    }

    async fn delete(&self, vm_id: &str) -> Result<(), Status> {
        self.registry.delete(vm_id).await
    }

    async fn act(&self, vm_id: &str, action: Action, limit: Duration) -> Result<VmReport, Status> {
        let span = meter::qemu_span(action, vm_id);
        self.ask(vm_id, |reply| Message::Act {
            action,
            limit,
            reply,
            span,
        })
        .await
    }

    async fn machine(&self, vm_id: &str) -> Result<VmReport, Status> {
        if let Some(report) = self.registry.report_of_unfinished(vm_id) {
            return Ok(report);
        }
        self.ask(vm_id, |reply| Message::Look { reply }).await
    }

    async fn screenshot(&self, vm_id: &str) -> Result<Vec<u8>, Status> {
        let live: Live = self.ask(vm_id, |reply| Message::Lend { reply }).await?;
        let handle = self.registry.handle(vm_id)?;
        let number = self.screens.fetch_add(1, Ordering::Relaxed);
        let file = handle
            .machine
            .sockets
            .dir()
            .join(format!("screen{number}.png"));
        let arguments = json!({"filename": file.to_string_lossy(), "format": "png"});
        let taken = live.qmp.execute("screendump", arguments).await;
        let png = taken
            .map_err(|error| handle.machine.qmp_failed("photographed", error))
            .and_then(|_| {
                let png = folder::read_limited(&file, limits::SCREENSHOT_BYTES_MAX);
                png.map_err(|error| handle.machine.failed("photographed", error))
            });
        let _ = folder::remove_file(&file);
        png
    }

    async fn read_log(&self, request: ReadLogRequest) -> Result<ReadLogResponse, Status> {
        let handle = self.registry.handle(&request.vm_id)?;
        let failed =
            |error: std::io::Error| handle.machine.failed("read from (its serial log)", error);
        read_log(&handle.machine.folder, &request).map_err(failed)
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.registry.changes()
    }
}

/// Reads from an offset, or from that many bytes before the end. A log that was cut meanwhile is read from its start.
fn read_log(folder: &Folder, request: &ReadLogRequest) -> std::io::Result<ReadLogResponse> {
    let mut file = match folder::open_regular(&folder.console_log()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(ReadLogResponse::default());
        }
        file => file?,
    };
    let size = file.metadata()?.len();
    let start = match u64::try_from(request.offset) {
        Ok(offset) if offset > size => 0,
        Ok(offset) => offset,
        Err(_) => size.saturating_sub(request.offset.unsigned_abs()),
    };
    let bytes_max = match request.bytes_max {
        0 => limits::LOG_READ_BYTES_MAX,
        asked => u64::from(asked).min(limits::LOG_READ_BYTES_MAX),
    };
    file.seek(SeekFrom::Start(start))?;
    let mut data = Vec::new();
    file.take(bytes_max).read_to_end(&mut data)?;
    Ok(ReadLogResponse {
        next_offset: start + data.len() as u64,
        data,
        size_bytes: size,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(folder: &Folder, offset: i64, bytes_max: u32) -> (Vec<u8>, u64) {
        let request = ReadLogRequest {
            vm_id: String::new(),
            offset,
            bytes_max,
        };
        let answer = read_log(folder, &request).unwrap();
        (answer.data, answer.next_offset)
    }

    #[test]
    fn a_log_is_read_from_either_end_and_on() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().to_owned());
        assert_eq!(read(&folder, 0, 0), (Vec::new(), 0));
        std::fs::write(folder.console_log(), "0123456789").unwrap();
        assert_eq!(read(&folder, 0, 4), (b"0123".to_vec(), 4));
        assert_eq!(read(&folder, 4, 0), (b"456789".to_vec(), 10));
        assert_eq!(read(&folder, -3, 0), (b"789".to_vec(), 10));
        assert_eq!(read(&folder, -99, 2), (b"01".to_vec(), 2));
        // It was cut since the last read.
        assert_eq!(read(&folder, 99, 1), (b"0".to_vec(), 1));
        assert_eq!(read(&folder, i64::MIN, 1), (b"0".to_vec(), 1));
    }
}
