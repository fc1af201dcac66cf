//! One case for each job kind: what it works on, and what it asks for. Each has objects of its own, named after it, so that
//! all can run at once in one fleet.

use contracts::host::VmState;
use contracts::inventory::{Reserves, host};
use contracts::jobs::job_params::Kind;
use contracts::jobs::{
    GroupCreate, GroupTarget, GroupUpdate, HostAdd, HostMove, HostSet, HostTarget, ImageCopy,
    ImageDelete, ItemConvert, Refresh, RefresherSet, TemplateOf, VmCreate, VmStore, VmTarget,
    VmUpdate,
};
use contracts::names::ROOT_GROUP_ID;
use contracts::refresher::Interval;

use crate::fleet::{Fleet, hardware};

mod table;

pub(crate) use table::CASES;

pub(crate) struct Case {
    pub(crate) kind: &'static str,
    /// Its steps, in order, as the job's record shows them.
    pub(crate) steps: &'static [&'static str],
    /// Those of them that have an undo.
    pub(crate) undoable: &'static [&'static str],
    /// From here on it only goes forward: a failure at it or after it is for a person.
    pub(crate) closing: &'static [&'static str],
    /// Once it is done the job only goes forward; while it runs a cancel comes too late.
    pub(crate) irrevocable: Option<&'static str>,
    /// Of a kind that works in more than one way: the word for this one.
    pub(crate) way: &'static str,
}

/// Machines from a template, of another machine, from where they are stored, and as another program wrote them down.
const TEMPLATE: &str = "t";
pub(crate) const CLONE: &str = "c";
const STORED: &str = "s";
const IMPORT: &str = "i";

impl Case {
    /// For the name of its objects.
    pub(crate) fn title(&self) -> String {
        let title = self.kind.replace('_', "-");
        match self.way {
            "" => title,
            way => format!("{title}-{way}"),
        }
    }

    /// Whether a job of the kind leaves everything that is looked at here as it was.
    pub(crate) fn is_traceless(&self) -> bool {
        matches!(self.kind, "vm_reset" | "refresh")
    }

    /// Steps where a failure leads back.
    pub(crate) fn before_closing(&self) -> impl Iterator<Item = &'static str> {
        let beyond = self
            .irrevocable
            .and_then(|name| self.steps.iter().position(|s| *s == name));
        let closing = self
            .closing
            .first()
            .and_then(|name| self.steps.iter().position(|s| s == name));
        let end = beyond
            .map(|i| i + 1)
            .or(closing)
            .unwrap_or(self.steps.len());
        self.steps.iter().take(end).copied()
    }

    /// Steps from which it only goes forward.
    pub(crate) fn beyond(&self) -> impl Iterator<Item = &'static str> {
        let count = self.before_closing().count();
        self.steps.iter().skip(count).copied()
    }

    /// What a job of the kind asks for, with the objects that it works on put in place.
    pub(crate) async fn prepare(&self, fleet: &Fleet, name: &str) -> Kind {
        let vm = async |state| VmTarget {
            vm_id: fleet.put_vm(name, state).await,
            force: false,
        };
        match self.kind {
            "vm_create" if self.way == TEMPLATE => Kind::VmCreate(of_template(name)),
            "vm_create" if self.way == CLONE => Kind::VmCreate(VmCreate {
                name: name.to_owned(),
                clone_of: fleet.put_vm(&format!("{name}-s"), VmState::Stopped).await,
                linked: true,
                start: true,
                ..VmCreate::default()
            }),
            "vm_create" if self.way == STORED => Kind::VmCreate(VmCreate {
                stored: format!("images/{name}"),
                start: true,
                ..VmCreate::default()
            }),
            "vm_create" if self.way == IMPORT => Kind::VmCreate(VmCreate {
                stored: format!("images/{name}.ova"),
                start: true,
                ..VmCreate::default()
            }),
            "vm_create" => Kind::VmCreate(create(name)),
            "vm_store" if self.way == TEMPLATE => Kind::VmStore(VmStore {
                vm_id: fleet.put_vm_of_disks(name).await,
                share: "images".to_owned(),
                template: Some(TemplateOf {
                    name: name.to_owned(),
                    ..TemplateOf::default()
                }),
                ..VmStore::default()
            }),
            "vm_store" => Kind::VmStore(VmStore {
                vm_id: vm(VmState::Stopped).await.vm_id,
                share: "images".to_owned(),
                ..VmStore::default()
            }),
            "vm_delete" => Kind::VmDelete(VmTarget {
                force: true,
                ..vm(VmState::Stopped).await
            }),
            "vm_start" => Kind::VmStart(vm(VmState::Stopped).await),
            "vm_shutdown" => Kind::VmShutdown(vm(VmState::Running).await),
            "vm_turn_off" => Kind::VmTurnOff(vm(VmState::Running).await),
            "vm_reset" => Kind::VmReset(vm(VmState::Running).await),
            "vm_pause" => Kind::VmPause(vm(VmState::Running).await),
            "vm_resume" => Kind::VmResume(vm(VmState::Paused).await),
            "vm_save" => Kind::VmSave(vm(VmState::Paused).await),
            "vm_update" => Kind::VmUpdate(VmUpdate {
                vm_id: vm(VmState::Stopped).await.vm_id,
                owner: Some("after".to_owned()),
                set_tags: [("env".to_owned(), "prod".to_owned())].into(),
                ..VmUpdate::default()
            }),
            _ => self.prepare_other(fleet, name).await,
        }
    }

    async fn prepare_other(&self, fleet: &Fleet, name: &str) -> Kind {
        let (host_id, group_id) = (name.to_owned(), format!("g-{name}"));
        if self.kind.starts_with("host") {
            let approval = if self.kind == "host_add" {
                host::Approval::Pending
            } else {
                host::Approval::Approved
            };
            fleet.put_host(&host_id, name, approval).await;
        }
        if matches!(self.kind, "group_update" | "group_delete" | "host_move") {
            fleet.put_group(&group_id, name, ROOT_GROUP_ID).await;
        }
        match self.kind {
            "host_add" => Kind::HostAdd(HostAdd {
                host_id,
                ..HostAdd::default()
            }),
            "host_remove" => Kind::HostRemove(HostTarget {
                host_id,
                force: false,
            }),
            "host_move" => Kind::HostMove(HostMove { host_id, group_id }),
            "host_set" => Kind::HostSet(HostSet {
                host_id,
                reserves: Some(Reserves {
                    cpu_percent: Some(5.0),
                    ..Reserves::default()
                }),
                maintenance: Some(true),
                add_tags: vec!["ssd".to_owned()],
                ..HostSet::default()
            }),
            "group_create" => Kind::GroupCreate(GroupCreate {
                name: name.to_owned(),
                ..GroupCreate::default()
            }),
            "group_update" => Kind::GroupUpdate(GroupUpdate {
                group_id,
                description: Some("after".to_owned()),
                reserves: Some(Reserves {
                    memory_bytes: Some(1 << 30),
                    ..Reserves::default()
                }),
                ..GroupUpdate::default()
            }),
            "group_delete" => Kind::GroupDelete(GroupTarget { group_id }),
            "refresh" => Kind::Refresh(Refresh {
                object_kind: "vm".to_owned(),
                object_id: fleet.put_vm(name, VmState::Running).await,
                kinds: Vec::new(),
            }),
            "refresher_set" => Kind::RefresherSet(RefresherSet {
                kind: "host".to_owned(),
                server_id: host_id,
                interval: Some(Interval {
                    secs: 600,
                    off: false,
                }),
                ..RefresherSet::default()
            }),
            "image_copy" => Kind::ImageCopy(ImageCopy {
                source_host_id: "h1".to_owned(),
                source_image: format!("ds/{name}.raw"),
                target_host_id: "h2".to_owned(),
                ..ImageCopy::default()
            }),
            "item_convert" => Kind::ItemConvert(ItemConvert {
                item: name.to_owned(),
                format: "qcow2".to_owned(),
                ..ItemConvert::default()
            }),
            "image_delete" => {
                fleet.machines[0].put_image(&format!("{name}.raw"));
                Kind::ImageDelete(ImageDelete {
                    host_id: "h1".to_owned(),
                    image: format!("ds/{name}.raw"),
                })
            }
            other => panic!("no case for {other}"),
        }
    }
}

/// From a template of the same name, which has an image of the same name.
pub(crate) fn of_template(name: &str) -> VmCreate {
    VmCreate {
        name: name.to_owned(),
        template: name.to_owned(),
        start: true,
        wait_for_guest: true,
        ..VmCreate::default()
    }
}

pub(crate) fn create(name: &str) -> VmCreate {
    let mut hardware = hardware();
    hardware.disks.push(contracts::host::Disk {
        image: "guest.qcow2".to_owned(),
        ..contracts::host::Disk::default()
    });
    hardware
        .network_cards
        .push(contracts::host::NetworkCard::default());
    VmCreate {
        name: name.to_owned(),
        hardware: Some(hardware),
        start: true,
        wait_for_guest: true,
        ..VmCreate::default()
    }
}
