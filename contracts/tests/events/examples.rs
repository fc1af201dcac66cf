//! For each verb of each kind a change that has it, and the event that the change is.

use contracts::common::Event;
use contracts::data::{Encryption, FileRef};
use contracts::host::{Disk, Hardware, NetworkCard, VmState, disk};
use contracts::inventory::host::{Approval, Status as HostStatus};
use contracts::inventory::{Host, HostGroup, Vm};
use contracts::jobs::{Job, JobState};
use contracts::library::{Identity, Item, ItemFacts, ItemKind, ItemWords, Server, Share, Skipped};
use contracts::records::Record;
use contracts::refresher::{Interval, Intervals};
use contracts::transfer::transfer_record::{Direction, State as TransferState};
use contracts::transfer::{Endpoint, TransferRecord};
use contracts::{ObjectRef, diff};
use prost::Name;

use crate::definitions;

const GROUP: &str = "0198c0de-7a01-7000-8000-00000000beef";
const HOST_1: &str = "0198c0de-7a02-7000-8000-0000000000a1";
const HOST_2: &str = "0198c0de-7a02-7000-8000-0000000000a2";
pub(crate) const VM: &str = "0198c0de-7a03-7000-8000-0000000000b1";
const JOB: &str = "0198c0de-7a04-7000-8000-0000000000c1";
const TRANSFER: &str = "0198c0de-7a05-7000-8000-0000000000d1";
const SHARE: &str = "0198c0de-7a06-5000-8000-0000000000e1";
pub(crate) const ITEM: &str = "0198c0de-7a07-4000-8000-0000000000f1";
pub(crate) const TIME_MS: i64 = 1_796_000_000_000;

/// One event of each verb.
pub(crate) fn of(kind: &str) -> Box<dyn Iterator<Item = Event>> {
    match kind {
        "vm" => Box::new(events(vms())),
        "host" => Box::new(events(hosts())),
        "host_group" => Box::new(events(groups())),
        "job" => Box::new(events(jobs())),
        "refresher" => Box::new(events(intervals())),
        "transfer" => Box::new(events(transfers())),
        "library_server" => Box::new(events(library_servers())),
        "library_share" => Box::new(events(shares())),
        "library_item" => Box::new(events(items())),
        "template" => Box::new(events(definitions::templates())),
        "hardware_profile" => Box::new(events(definitions::hardware_profiles())),
        "guest_profile" => Box::new(events(definitions::guest_profiles())),
        "placement_rule" => Box::new(events(definitions::rules())),
        other => panic!("{other} has no examples"),
    }
}

/// Each record as what the one before it became; the last one is deleted.
fn events<R: Record + Name>((id, states): (&'static str, Vec<R>)) -> impl Iterator<Item = Event> {
    let mut steps: Vec<Option<R>> = vec![None];
    steps.extend(states.into_iter().map(Some));
    steps.push(None);
    let pairs: Vec<(Option<R>, Option<R>)> = steps
        .iter()
        .cloned()
        .zip(steps.iter().skip(1).cloned())
        .collect();
    pairs
        .into_iter()
        .zip(4_711..)
        .map(move |((before, after), revision)| {
            let name = R::event(before.as_ref(), after.as_ref()).unwrap();
            let bytes = |record: &Option<R>| record.as_ref().map_or(Vec::new(), R::encode_to_vec);
            Event {
                kind: R::BUCKET.to_owned(),
                id: id.to_owned(),
                verb: name.verb.to_owned(),
                group_id: name.group_id,
                revision,
                time_ms: TIME_MS,
                principal: "local".to_owned(),
                job_id: JOB.to_owned(),
                name: name.name,
                changes: diff::changes(before.as_ref(), after.as_ref()),
                before: bytes(&before).into(),
                after: bytes(&after).into(),
            }
        })
}

fn vms() -> (&'static str, Vec<Vm>) {
    let made = Vm {
        id: VM.to_owned(),
        name: "web-01".to_owned(),
        host_id: HOST_1.to_owned(),
        group_id: GROUP.to_owned(),
        state: VmState::Stopped.into(),
        owner: "local".to_owned(),
        hardware: Some(Hardware {
            vcpus: 2,
            memory_bytes: 4 << 30,
            disks: vec![Disk {
                id: "disk0".to_owned(),
                image: "debian-12.qcow2".to_owned(),
                source: disk::Source::Overlay.into(),
                size_bytes: 20 << 30,
                ..Disk::default()
            }],
            network_cards: vec![NetworkCard {
                id: "nic0".to_owned(),
                mac: "52:54:00:12:34:56".to_owned(),
                network: "user".to_owned(),
            }],
            ..Hardware::default()
        }),
        created_ms: TIME_MS,
        ..Vm::default()
    };
    let running = Vm {
        state: VmState::Running.into(),
        accelerator: "kvm".to_owned(),
        started_ms: TIME_MS,
        ..made.clone()
    };
    let tagged = Vm {
        tags: [("tier".to_owned(), "web".to_owned())].into(),
        ..running.clone()
    };
    let moved = Vm {
        host_id: HOST_2.to_owned(),
        ..tagged.clone()
    };
    (VM, vec![made, running, tagged, moved])
}

fn hosts() -> (&'static str, Vec<Host>) {
    let registered = Host {
        id: HOST_1.to_owned(),
        name: "kvm-01".to_owned(),
        group_id: "all-hosts".to_owned(),
        approval: Approval::Pending.into(),
        status: HostStatus::Responding.into(),
        created_ms: TIME_MS,
        ..Host::default()
    };
    let approved = Host {
        approval: Approval::Approved.into(),
        ..registered.clone()
    };
    let moved = Host {
        group_id: GROUP.to_owned(),
        ..approved.clone()
    };
    let taken = Host {
        job_id: JOB.to_owned(),
        ..moved.clone()
    };
    (HOST_1, vec![registered, approved, moved, taken])
}

fn groups() -> (&'static str, Vec<HostGroup>) {
    let made = HostGroup {
        id: GROUP.to_owned(),
        name: "Production".to_owned(),
        parent_id: "all-hosts".to_owned(),
        ..HostGroup::default()
    };
    let described = HostGroup {
        description: "Customers see it.".to_owned(),
        ..made.clone()
    };
    let moved = HostGroup {
        parent_id: "0198c0de-7a01-7000-8000-00000000cafe".to_owned(),
        ..described.clone()
    };
    (GROUP, vec![made, described, moved])
}

fn jobs() -> (&'static str, Vec<Job>) {
    let asked = Job {
        id: JOB.to_owned(),
        kind: "vm_start".to_owned(),
        state: JobState::Queued.into(),
        owner: "local".to_owned(),
        target: Some(ObjectRef::new("vm", VM, "web-01")),
        group_id: GROUP.to_owned(),
        created_ms: TIME_MS,
        ..Job::default()
    };
    let running = Job {
        state: JobState::Running.into(),
        started_ms: TIME_MS,
        ..asked.clone()
    };
    let further = Job {
        progress_percent: 50,
        ..running.clone()
    };
    (JOB, vec![asked, running, further])
}

fn intervals() -> (&'static str, Vec<Intervals>) {
    let every = |secs: u32| Intervals {
        kind: "host".to_owned(),
        all: Some(Interval { secs, off: false }),
        ..Intervals::default()
    };
    ("host", vec![every(1_800), every(600)])
}

fn transfers() -> (&'static str, Vec<TransferRecord>) {
    let image = FileRef::new("local", "images/debian-12.qcow2");
    let end = |host_id: &str| Endpoint::new(host_id, image.clone());
    let queued = TransferRecord {
        id: TRANSFER.to_owned(),
        state: TransferState::Queued.into(),
        source: Some(end(HOST_1)),
        target: Some(end(HOST_2)),
        job_id: JOB.to_owned(),
        group_id: GROUP.to_owned(),
        encryption: Encryption::Tls.into(),
        direction: Direction::Pull.into(),
        created_ms: TIME_MS,
        size_bytes: 20 << 30,
        ..TransferRecord::default()
    };
    let running = TransferRecord {
        state: TransferState::Running.into(),
        started_ms: TIME_MS,
        ..queued.clone()
    };
    let slowed = TransferRecord {
        bytes_per_sec: 50_000_000,
        ..running.clone()
    };
    (TRANSFER, vec![queued, running, slowed])
}

fn library_servers() -> (&'static str, Vec<Server>) {
    let known = Server {
        id: HOST_1.to_owned(),
        name: "store-01".to_owned(),
        created_ms: TIME_MS,
        folders: vec!["/srv/muster".to_owned()],
        ..Server::default()
    };
    let added = Server {
        added: true,
        ..known.clone()
    };
    let allowing = Server {
        folders: vec!["/srv/muster".to_owned(), "/srv/iso".to_owned()],
        ..added.clone()
    };
    (HOST_1, vec![known, added, allowing])
}

fn shares() -> (&'static str, Vec<Share>) {
    let made = Share {
        id: SHARE.to_owned(),
        server_id: HOST_1.to_owned(),
        name: "images".to_owned(),
        path: "/srv/muster/images".to_owned(),
        created_ms: TIME_MS,
        ..Share::default()
    };
    let away = Share {
        problem: "Folder /srv/muster/images cannot be reached: No such file or directory."
            .to_owned(),
        ..made.clone()
    };
    let back = made.clone();
    let looked_at = Share {
        skipped: vec![Skipped {
            path: "latest.iso".to_owned(),
            reason: "is a link, which is not followed".to_owned(),
        }],
        skipped_count: 1,
        ..back.clone()
    };
    (SHARE, vec![made, away, back, looked_at])
}

fn items() -> (&'static str, Vec<Item>) {
    let at = |path: &str| ItemFacts {
        id: ITEM.to_owned(),
        path: path.to_owned(),
        kind: ItemKind::VirtualDisk.into(),
        format: "qcow2".to_owned(),
        file_bytes: 400 << 20,
        virtual_bytes: 2 << 30,
        modified_ms: TIME_MS,
        identity: Identity::Attribute.into(),
        ..ItemFacts::default()
    };
    let found = Item {
        id: ITEM.to_owned(),
        share_id: SHARE.to_owned(),
        server_id: HOST_1.to_owned(),
        facts: Some(at("debian-13.qcow2")),
        found_ms: TIME_MS,
        ..Item::default()
    };
    let described = Item {
        words: Some(ItemWords {
            family: "debian".to_owned(),
            release: "13.1".to_owned(),
            ..ItemWords::default()
        }),
        ..found.clone()
    };
    let moved = Item {
        facts: Some(at("debian/13.qcow2")),
        ..described.clone()
    };
    let missing = Item {
        missing: true,
        missing_ms: TIME_MS,
        ..moved.clone()
    };
    (ITEM, vec![found, described, moved, missing])
}
