//! A host of its own for each test: datastore, runtime directory, QEMU.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use agent::hypervisor::qemu::{Qemu, Settings, UserNetwork};
use agent::hypervisor::{Action, Hypervisor};
use contracts::Status;
use contracts::host::disk::Source;
use contracts::host::{CreateVmRequest, Disk, Hardware, NetworkCard, VmReport, VmState};
use support::eventually;
use support::small_disk::SmallDisk;
use tokio::sync::{Semaphore, SemaphorePermit};

pub(crate) const ACTION: Duration = Duration::from_secs(100);

/// Two cores boot two guests at a time.
static BOOTING: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(2));

pub(crate) struct Host {
    /// What the datastore lies on, where that is small.
    pub(crate) disk: Option<SmallDisk>,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) settings: Settings,
    _turn: Option<SemaphorePermit<'static>>,
}

impl Host {
    /// With the guest's image in its datastore. Waits for its turn when `boots`.
    pub(crate) async fn new(boots: bool) -> Self {
        let turn = match boots {
            true => Some(BOOTING.acquire().await.unwrap()),
            false => None,
        };
        let mut host = Self::on(|_| None);
        host._turn = turn;
        host
    }

    /// With a datastore of so many bytes, and a neighbour who may take them. `None`: it cannot be had here.
    pub(crate) fn on_small_disk(bytes: u64) -> Option<Self> {
        Self::with_disk("", bytes)
    }

    /// With a filesystem of its own for parcels, so that no file of theirs is one of a machine's too.
    pub(crate) fn with_parcels_apart(bytes: u64) -> Option<Self> {
        Self::with_disk("parcels", bytes)
    }

    fn with_disk(folder: &str, bytes: u64) -> Option<Self> {
        let mount = |datastore: &Path| SmallDisk::mount(&datastore.join(folder), bytes).unwrap();
        let mut host = Self::on(mount);
        host.settings.qemu_img = host.dir.path().join("qemu-img");
        host.disk
            .as_ref()?
            .qemu_img(&host.settings.qemu_img)
            .unwrap();
        Some(host)
    }

    fn on(mount: impl FnOnce(&Path) -> Option<SmallDisk>) -> Self {
        // Short, because paths of sockets are; open to QEMU's user.
        let dir = tempfile::Builder::new()
            .prefix("muster-")
            .tempdir_in("/tmp")
            .unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let qemu =
            std::env::var_os("MUSTER_QEMU").map_or("qemu-system-x86_64".into(), PathBuf::from);
        let settings = Settings {
            qemu,
            qemu_img: "qemu-img".into(),
            runtime_dir: dir.path().join("run"),
            datastores: vec![("ds".to_owned(), dir.path().join("ds"))],
            qemu_user: "nobody".to_owned(),
            user_network: UserNetwork::Isolated,
        };
        let host = Self {
            disk: mount(&dir.path().join("ds")),
            dir,
            settings,
            _turn: None,
        };
        std::fs::create_dir_all(host.images()).unwrap();
        std::fs::copy(guest_image(), host.images().join("guest.qcow2")).unwrap();
        host
    }

    pub(crate) async fn open(&self) -> Arc<Qemu> {
        Arc::new(Qemu::open(self.settings.clone(), 1).await.unwrap())
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.dir.path().join("ds/images")
    }

    pub(crate) fn folder(&self, vm_id: &str) -> PathBuf {
        self.dir.path().join("ds/vms").join(vm_id)
    }

    /// Everything that is left of machines.
    pub(crate) fn traces(&self) -> Vec<PathBuf> {
        let list = |dir: PathBuf| std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
        list(self.dir.path().join("ds/vms"))
            .chain(list(self.dir.path().join("run")))
            .collect()
    }
}

impl Drop for Host {
    /// A test that failed must not leave its machines behind: each is ended by the pid that the agent wrote down.
    fn drop(&mut self) {
        let folders = std::fs::read_dir(self.dir.path().join("ds/vms"))
            .into_iter()
            .flatten()
            .flatten();
        for folder in folders {
            let Ok(record) = std::fs::read(folder.path().join("process.json")) else {
                continue;
            };
            let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
            kill(i32::try_from(record["identity"]["pid"].as_i64().unwrap()).unwrap());
        }
    }
}

pub(crate) fn guest_image() -> PathBuf {
    let image = std::env::var_os("MUSTER_GUEST_IMAGE");
    let image = PathBuf::from(
        image.expect("MUSTER_GUEST_IMAGE is not set: run ops/guest/build and name its guest.qcow2"),
    );
    assert!(
        image.is_file(),
        "MUSTER_GUEST_IMAGE={} is not there",
        image.display()
    );
    image
}

pub(crate) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// A small machine on an overlay of the guest's image.
pub(crate) fn request(vm_id: &str) -> CreateVmRequest {
    CreateVmRequest {
        operation_id: format!("{vm_id}/create"),
        vm_id: vm_id.to_owned(),
        name: vm_id.to_owned(),
        hardware: Some(Hardware {
            vcpus: 1,
            memory_bytes: 112 << 20,
            disks: vec![Disk {
                image: "guest.qcow2".to_owned(),
                source: Source::Overlay.into(),
                ..Disk::default()
            }],
            network_cards: vec![NetworkCard::default()],
            ..Hardware::default()
        }),
        ..CreateVmRequest::default()
    }
}

pub(crate) async fn act(qemu: &Qemu, vm_id: &str, action: Action) -> Result<VmReport, Status> {
    qemu.act(vm_id, action, ACTION).await
}

/// A machine whose guest answers.
pub(crate) async fn booted(qemu: &Qemu, vm_id: &str) -> VmReport {
    qemu.create(request(vm_id)).await.unwrap();
    act(qemu, vm_id, Action::Start).await.unwrap();
    answering(qemu, vm_id).await
}

/// Waits until the guest answers and has an address.
pub(crate) async fn answering(qemu: &Qemu, vm_id: &str) -> VmReport {
    eventually("the guest answers", async || {
        let report = qemu.machine(vm_id).await.unwrap();
        let guest = report.guest.clone().unwrap();
        (guest.agent_responding && !guest.addresses.is_empty()).then_some(report)
    })
    .await
    .unwrap()
}

/// Waits for a report, which the agent sends by itself.
pub(crate) async fn reported(qemu: &Qemu, vm_id: &str, state: VmState) -> VmReport {
    eventually(&format!("{vm_id} is {state:?}"), async || {
        let reports = qemu.machines().await;
        reports
            .into_iter()
            .find(|r| r.vm_id == vm_id && r.state() == state)
    })
    .await
    .unwrap()
}
