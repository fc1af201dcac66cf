//! What a person can get wrong is refused with a code, the object's name and what to do, before anything was changed.

use contracts::host::{Disk, NetworkCard, VmState, disk};
use contracts::inventory::host;
use contracts::jobs::job_params::Kind;
use contracts::jobs::{
    GroupCreate, GroupTarget, GroupUpdate, HostAdd, HostMove, HostTarget, JobParams, SubmitRequest,
    VmCreate, VmTarget, VmUpdate,
};
use contracts::names::ROOT_GROUP_ID;
use contracts::{Code, Status};

use crate::cases::create;
use crate::fleet::{MEMORY_BYTES, list};
use crate::harness::{House, request};

fn spoiled(spoil: impl FnOnce(&mut VmCreate)) -> Kind {
    let mut request = create("new");
    spoil(&mut request);
    Kind::VmCreate(request)
}

fn vm(id: &str) -> VmTarget {
    VmTarget {
        vm_id: id.to_owned(),
        force: false,
    }
}

fn text(s: &str) -> String {
    s.to_owned()
}

async fn refusal(house: &House, kind: Kind) -> Status {
    match house.ask(&house.alice(), &request(kind.clone())).await {
        Ok(_) => panic!("taken: {kind:?}"),
        Err(refusal) => refusal,
    }
}

async fn assert_refused(house: &House, cases: Vec<(Code, &str, Kind)>) {
    let before = (
        list(&house.fleet.vms),
        list(&house.fleet.hosts),
        list(&house.fleet.groups),
    );
    for (code, words, kind) in cases {
        let refusal = refusal(house, kind.clone()).await;
        assert_eq!(refusal.code(), code, "{kind:?}: {refusal}");
        let said = format!("{refusal} {}", refusal.field);
        assert!(said.contains(words), "{words:?} is not in: {said}");
        assert!(!refusal.recommended_action.is_empty(), "{refusal}");
    }
    let after = (
        list(&house.fleet.vms),
        list(&house.fleet.hosts),
        list(&house.fleet.groups),
    );
    assert_eq!(
        (list(&house.jobs), after),
        (Vec::new(), before),
        "something was changed"
    );
}

#[tokio::test]
async fn a_create_that_is_wrong_is_refused() {
    let house = House::build().await;
    house.fleet.put_vm("Taken", VmState::Stopped).await;
    use Code::{AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted};
    let disk = |image: &str, size_bytes| Disk {
        image: text(image),
        size_bytes,
        ..Disk::default()
    };
    let hw = |change: fn(&mut contracts::host::Hardware)| {
        spoiled(|r| change(r.hardware.as_mut().unwrap()))
    };
    let with_disk = |d: Disk| spoiled(|r| r.hardware.as_mut().unwrap().disks = vec![d]);
    assert_refused(
        &house,
        vec![
            (InvalidArgument, "a/b", spoiled(|r| r.name = text("a/b"))),
            (InvalidArgument, "name", spoiled(|r| r.name.clear())),
            (AlreadyExists, "Taken", spoiled(|r| r.name = text("taken"))),
            (InvalidArgument, "vcpus", hw(|h| h.vcpus = 0)),
            (InvalidArgument, "memory_bytes", hw(|h| h.memory_bytes = 1)),
            (
                ResourceExhausted,
                "h1: It has",
                hw(|h| h.memory_bytes = MEMORY_BYTES * 2),
            ),
            (
                InvalidArgument,
                "disks[0].image",
                with_disk(disk("../../etc/shadow", 0)),
            ),
            (
                NotFound,
                "does not have the image",
                with_disk(disk("missing.qcow2", 0)),
            ),
            (
                FailedPrecondition,
                "bad.txt is not an image",
                with_disk(disk("bad.txt", 0)),
            ),
            (
                InvalidArgument,
                "disks[0].size_bytes",
                with_disk(disk("guest.qcow2", 1)),
            ),
            (
                InvalidArgument,
                "disks[0].size_bytes",
                with_disk(Disk {
                    source: disk::Source::Blank.into(),
                    ..Disk::default()
                }),
            ),
            (
                InvalidArgument,
                "network",
                hw(|h| {
                    h.network_cards = vec![NetworkCard {
                        network: "lan".to_owned(),
                        ..NetworkCard::default()
                    }];
                }),
            ),
            (
                InvalidArgument,
                "description",
                spoiled(|r| r.description = "x".repeat(3_000)),
            ),
            (
                InvalidArgument,
                "tags",
                spoiled(|r| r.tags = (0..65).map(|i| (format!("t{i}"), String::new())).collect()),
            ),
            (
                NotFound,
                "host group nowhere",
                spoiled(|r| r.group_id = text("nowhere")),
            ),
            (
                NotFound,
                "host nowhere",
                spoiled(|r| r.host_id = text("nowhere")),
            ),
            (
                InvalidArgument,
                "host_id",
                spoiled(|r| r.host_id = text("a.b")),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_a_machines_state_forbids_is_refused() {
    let house = House::build().await;
    let stopped = house.fleet.put_vm("stopped", VmState::Stopped).await;
    let running = house.fleet.put_vm("running", VmState::Running).await;
    use Code::{FailedPrecondition, InvalidArgument, NotFound};
    assert_refused(
        &house,
        vec![
            (
                FailedPrecondition,
                "machine running is running",
                Kind::VmStart(vm(&running)),
            ),
            (
                FailedPrecondition,
                "machine stopped is stopped",
                Kind::VmShutdown(vm(&stopped)),
            ),
            (
                FailedPrecondition,
                "is stopped",
                Kind::VmTurnOff(vm(&stopped)),
            ),
            (
                FailedPrecondition,
                "is stopped",
                Kind::VmReset(vm(&stopped)),
            ),
            (
                FailedPrecondition,
                "is stopped",
                Kind::VmPause(vm(&stopped)),
            ),
            (
                FailedPrecondition,
                "is running",
                Kind::VmResume(vm(&running)),
            ),
            (FailedPrecondition, "is stopped", Kind::VmSave(vm(&stopped))),
            (
                FailedPrecondition,
                "with force",
                Kind::VmDelete(vm(&running)),
            ),
            (NotFound, "virtual machine none", Kind::VmStart(vm("none"))),
            (InvalidArgument, "vm_id", Kind::VmStart(vm("a b"))),
            (
                InvalidArgument,
                "Nothing is to be changed",
                Kind::VmUpdate(VmUpdate {
                    vm_id: stopped,
                    ..VmUpdate::default()
                }),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_hosts_and_groups_do_not_allow_is_refused() {
    let house = House::build().await;
    house.fleet.put_vm("on-h1", VmState::Stopped).await;
    house
        .fleet
        .put_host("new", "new", host::Approval::Pending)
        .await;
    house.fleet.put_group("g1", "G1", ROOT_GROUP_ID).await;
    house.fleet.put_group("g2", "G2", "g1").await;
    use Code::{AlreadyExists, FailedPrecondition, InvalidArgument, NotFound};
    let move_group = |id: &str, parent: &str| {
        Kind::GroupUpdate(GroupUpdate {
            group_id: text(id),
            parent_id: Some(text(parent)),
            ..GroupUpdate::default()
        })
    };
    let host = |id: &str| HostTarget {
        host_id: text(id),
        force: false,
    };
    let into = |host: &str, group: &str| HostMove {
        host_id: text(host),
        group_id: text(group),
    };
    let new_group = |name: &str| {
        Kind::GroupCreate(GroupCreate {
            name: text(name),
            ..GroupCreate::default()
        })
    };
    assert_refused(
        &house,
        vec![
            (
                FailedPrecondition,
                "Host h1 still has 1 virtual machine",
                Kind::HostRemove(host("h1")),
            ),
            (NotFound, "host none", Kind::HostRemove(host("none"))),
            (
                FailedPrecondition,
                "Host h1 is in the fleet already",
                Kind::HostAdd(HostAdd {
                    host_id: text("h1"),
                    group_id: text("g1"),
                }),
            ),
            (
                NotFound,
                "host group none",
                Kind::HostMove(into("h1", "none")),
            ),
            (
                FailedPrecondition,
                "Host new is not in the fleet",
                Kind::HostMove(into("new", "g1")),
            ),
            (AlreadyExists, "G1", new_group("g1")),
            (InvalidArgument, "name", new_group("a/b")),
            (
                FailedPrecondition,
                "is not empty: it holds 0 hosts and 1 host group",
                Kind::GroupDelete(GroupTarget {
                    group_id: text("g1"),
                }),
            ),
            (
                FailedPrecondition,
                "is the root",
                Kind::GroupDelete(GroupTarget {
                    group_id: text(ROOT_GROUP_ID),
                }),
            ),
            (
                FailedPrecondition,
                "is the root",
                move_group(ROOT_GROUP_ID, "g1"),
            ),
            (FailedPrecondition, "into itself", move_group("g1", "g2")),
        ],
    )
    .await;
    let empty = SubmitRequest {
        params: Some(JobParams::default()),
        ..SubmitRequest::default()
    };
    let refusal = house.ask(&house.alice(), &empty).await.unwrap_err();
    assert_eq!(
        (refusal.code(), refusal.field.as_str()),
        (InvalidArgument, "params")
    );
}

#[tokio::test]
async fn a_machine_whose_host_does_not_respond_is_left_alone_unless_it_is_missing_and_forced() {
    let house = House::build().await;
    let there = house.fleet.put_vm("there", VmState::Stopped).await;
    let missing = house.fleet.put_vm("missing", VmState::Missing).await;
    house
        .fleet
        .change_host("h1", |host| host.set_status(host::Status::NotResponding))
        .await;
    let forced = |id: &str| {
        Kind::VmDelete(VmTarget {
            vm_id: text(id),
            force: true,
        })
    };
    assert_refused(
        &house,
        vec![
            (
                Code::Unavailable,
                "Host h1 does not respond",
                Kind::VmStart(vm(&there)),
            ),
            (Code::Unavailable, "Host h1", Kind::VmDelete(vm(&there))),
            (Code::Unavailable, "Host h1", forced(&there)),
            (
                Code::Unavailable,
                "with force",
                Kind::VmDelete(vm(&missing)),
            ),
        ],
    )
    .await;
    let job = house.run(forced(&missing)).await;
    crate::harness::assert_state(&job, contracts::jobs::JobState::Succeeded, "forget");
    assert_eq!(house.fleet.vm_named("missing"), None);
    assert_eq!(
        house.fleet.machines[0].times("delete", &missing),
        0,
        "the host was not asked"
    );
}
