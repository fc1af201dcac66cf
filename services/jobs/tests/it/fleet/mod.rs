//! A small fleet: records on the real log, hosts and placement in memory.

mod hosts;
mod inventory;
mod library;
mod parcels;
mod placement;
mod refresher;
mod templates;
mod transfer;

use std::path::Path;
use std::sync::Arc;

use contracts::call::{Context, Serve};
use contracts::host::{Datastore, Disk, Hardware, HostFacts, VmReport, VmState};
use contracts::host::{HOST, HostServer};
use contracts::inventory::{Host, HostGroup, INVENTORY, InventoryServer, Vm, host};
use contracts::library::{LIBRARY, LIBRARYEND, TEMPLATES, TemplatesServer};
use contracts::names::ROOT_GROUP_ID;
use contracts::placement::{PLACEMENT, PlacementServer};
use contracts::records::Record;
use contracts::refresher::{REFRESHER, RefresherServer};
use contracts::transfer::{TRANSFER, TransferServer};
use kit::bus::Bus;
use kit::bus::nats::NatsBus;
use kit::records::{Decision, Mirror, Records, Store};
use kit::rpc::{Server, serve};
use kit::world::World;
use support::NatsServer;
use tokio_util::sync::CancellationToken;

pub(crate) use hosts::FakeHost;
pub(crate) use inventory::FakeInventory;
pub(crate) use library::{FakeLibrary, FakeLibraryEnd};
pub(crate) use placement::FakePlacement;
pub(crate) use refresher::FakeRefresher;
pub(crate) use templates::{FakeTemplates, USER_DATA, file_of};
pub(crate) use transfer::FakeTransfer;

pub(crate) const MEMORY_BYTES: u64 = 64 << 30;

pub(crate) struct Fleet {
    pub(crate) vms: Records<Vm>,
    pub(crate) hosts: Records<Host>,
    pub(crate) groups: Records<HostGroup>,
    /// By id: "h1", "h2".
    pub(crate) machines: Vec<Arc<FakeHost>>,
    pub(crate) placement: Arc<FakePlacement>,
    pub(crate) refresher: Arc<FakeRefresher>,
    pub(crate) transfer: Arc<FakeTransfer>,
    pub(crate) templates: Arc<FakeTemplates>,
    library_end: Arc<FakeLibraryEnd>,
    _servers: Vec<Server>,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Fleet {
    pub(crate) async fn start(nats: &NatsServer) -> Self {
        let bus: Arc<dyn Bus> = Arc::new(
            NatsBus::connect("inventory", &nats.bus_config())
                .await
                .unwrap(),
        );
        let (folder, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
        let store = open(folder.path(), &bus, &stop);
        let (vms, hosts, groups) = tokio::try_join!(
            store.own::<Vm>(),
            store.own::<Host>(),
            store.own::<HostGroup>()
        )
        .unwrap();
        let placement = Arc::new(FakePlacement::new(hosts.clone(), vms.clone()));
        let transfer = Arc::new(FakeTransfer::default());
        let inventory = Arc::new(FakeInventory {
            vms: vms.clone(),
            hosts: hosts.clone(),
            groups: groups.clone(),
        });
        let refresher = Arc::new(FakeRefresher::default());
        let machines = vec![
            FakeHost::new("h1", &transfer),
            FakeHost::new("h2", &transfer),
        ];
        let templates = Arc::new(FakeTemplates::default());
        let mut servers = vec![
            serve(
                &bus,
                Arc::clone(&store) as _,
                INVENTORY.subject,
                Arc::new(InventoryServer(inventory)),
            )
            .await
            .unwrap(),
            serve(
                &bus,
                Arc::clone(&store) as _,
                PLACEMENT.subject,
                Arc::new(PlacementServer(Arc::clone(&placement))),
            )
            .await
            .unwrap(),
            serve(
                &bus,
                Arc::clone(&store) as _,
                REFRESHER.subject,
                Arc::new(RefresherServer(Arc::clone(&refresher))),
            )
            .await
            .unwrap(),
            serve(
                &bus,
                Arc::clone(&store) as _,
                TRANSFER.subject,
                Arc::new(TransferServer(Arc::clone(&transfer))),
            )
            .await
            .unwrap(),
        ];
        servers.push(
            serve(
                &bus,
                Arc::clone(&store) as _,
                TEMPLATES.subject,
                Arc::new(TemplatesServer(Arc::clone(&templates))),
            )
            .await
            .unwrap(),
        );
        let library_end = Arc::new(FakeLibraryEnd::default());
        let end = LIBRARYEND.subject_of_host(library::SERVER);
        for (subject, server) in [
            (LIBRARY.subject, Arc::new(FakeLibrary) as Arc<dyn Serve>),
            (end.as_str(), Arc::clone(&library_end) as Arc<dyn Serve>),
        ] {
            let served = serve(&bus, Arc::clone(&store) as _, subject, server).await;
            servers.push(served.unwrap());
        }
        for host in &machines {
            let server = Arc::new(HostServer(Arc::clone(host)));
            servers.push(
                serve(
                    &bus,
                    Arc::clone(&store) as _,
                    &HOST.subject_of_host(&host.id),
                    server,
                )
                .await
                .unwrap(),
            );
        }
        let fleet = Self {
            vms,
            hosts,
            groups,
            machines,
            placement,
            refresher,
            transfer,
            templates,
            library_end,
            _servers: servers,
            stop,
            _folder: folder,
        };
        fleet.put_group(ROOT_GROUP_ID, "All Hosts", "").await;
        for id in ["h1", "h2"] {
            fleet.put_host(id, id, host::Approval::Approved).await;
        }
        fleet
    }

    pub(crate) async fn put_group(&self, id: &str, name: &str, parent_id: &str) {
        let group = HostGroup {
            id: id.to_owned(),
            name: name.to_owned(),
            parent_id: parent_id.to_owned(),
            ..HostGroup::default()
        };
        put(&self.groups, id, group).await;
    }

    pub(crate) async fn put_host(&self, id: &str, name: &str, approval: host::Approval) {
        let host = Host {
            id: id.to_owned(),
            name: name.to_owned(),
            group_id: ROOT_GROUP_ID.to_owned(),
            approval: approval.into(),
            status: host::Status::Responding.into(),
            generation: 1,
            facts: Some(HostFacts {
                memory_bytes: MEMORY_BYTES,
                datastores: vec![Datastore {
                    name: "ds".to_owned(),
                    capacity_bytes: 1 << 50,
                    free_bytes: 1 << 50,
                    ..Datastore::default()
                }],
                ..HostFacts::default()
            }),
            ..Host::default()
        };
        put(&self.hosts, id, host).await;
    }

    pub(crate) async fn change_host(&self, id: &str, change: impl Fn(&mut Host) + Send + Sync) {
        let context = Context::new("test");
        self.hosts
            .update(&context, id, |stored| {
                let mut host = stored.unwrap().value.clone();
                change(&mut host);
                Ok(Decision::Put(host, ()))
            })
            .await
            .unwrap();
    }

    /// A machine on host h1, in a state.
    pub(crate) async fn put_vm(&self, name: &str, state: VmState) -> String {
        self.put_vm_of(name, state, hardware()).await
    }

    /// One that is off and has a disk.
    pub(crate) async fn put_vm_of_disks(&self, name: &str) -> String {
        let hardware = Hardware {
            disks: vec![Disk::default()],
            ..hardware()
        };
        self.put_vm_of(name, VmState::Stopped, hardware).await
    }

    async fn put_vm_of(&self, name: &str, state: VmState, hardware: Hardware) -> String {
        let id = format!("id-{name}");
        let vm = Vm {
            id: id.clone(),
            name: name.to_owned(),
            host_id: "h1".to_owned(),
            group_id: ROOT_GROUP_ID.to_owned(),
            state: state.into(),
            hardware: Some(hardware.clone()),
            owner: "before".to_owned(),
            ..Vm::default()
        };
        self.machines[0].put(VmReport {
            vm_id: id.clone(),
            name: name.to_owned(),
            state: state.into(),
            hardware: Some(hardware),
            ..VmReport::default()
        });
        put(&self.vms, &id, vm).await;
        id
    }

    pub(crate) fn vm_named(&self, name: &str) -> Option<Vm> {
        list(&self.vms).into_iter().find(|vm| vm.name == name)
    }

    /// Everything that bears the name: records, machines at hosts, claims. Two pictures that are the same mean that
    /// nothing is left over and nothing is missing.
    pub(crate) fn picture(&self, name: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for vm in list(&self.vms).into_iter().filter(|vm| vm.name == name) {
            lines.push(format!("record {vm:?}"));
        }
        for host in list(&self.hosts)
            .into_iter()
            .filter(|host| host.name == name)
        {
            lines.push(format!("record {host:?}"));
        }
        for group in list(&self.groups)
            .into_iter()
            .filter(|group| group.id.contains(name) || group.name == name)
        {
            lines.push(format!("record {group:?}"));
        }
        for host in &self.machines {
            let here = host.machines().into_iter().filter(|vm| vm.name == name);
            lines.extend(here.map(|vm| format!("machine on {} {vm:?}", host.id)));
            let images = host.images().into_iter();
            let named = images.filter(|file| *file == format!("{name}.raw"));
            lines.extend(named.map(|file| format!("image on {} {file}", host.id)));
            let parcels = host.parcels.lock().unwrap();
            let packed = parcels.values().filter(|vm| *vm == name);
            lines.extend(packed.map(|vm| format!("parcel of {vm} on {}", host.id)));
        }
        lines.extend(self.placement.claims_of(name));
        lines.extend(self.refresher.intervals_of(name));
        lines.extend(self.transfer.files_named(name));
        lines.extend(self.library_end.files_named(name));
        lines.extend(self.templates.named(name));
        lines
    }
}

pub(crate) fn open(folder: &Path, bus: &Arc<dyn Bus>, stop: &CancellationToken) -> Arc<Store> {
    Store::open(folder, Arc::clone(bus), &World::real(), stop.clone()).unwrap()
}

pub(crate) fn list<R: Record>(records: &Mirror<R>) -> Vec<R> {
    records
        .list()
        .unwrap()
        .into_iter()
        .map(|s| s.value)
        .collect()
}

async fn put<R: Record>(records: &Records<R>, id: &str, value: R) {
    let context = Context::new("test");
    records
        .update(&context, id, |_| Ok(Decision::Put(value.clone(), ())))
        .await
        .unwrap();
}

pub(crate) fn hardware() -> Hardware {
    Hardware {
        vcpus: 1,
        memory_bytes: 128 << 20,
        ..Hardware::default()
    }
}
