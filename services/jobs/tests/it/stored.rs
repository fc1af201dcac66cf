//! Machines that are stored and brought back: what is refused, and whose an id is when several want it.

use contracts::Code;
use contracts::host::{NetworkCard, VmState};
use contracts::jobs::job_params::Kind;
use contracts::jobs::{JobState, VmCreate, VmStore};
use contracts::stored::disk_file;
use jobs::probe::{At, Verdict};

use crate::fleet::list;
use crate::harness::{House, assert_state, request};

fn deploy(stored: &str, name: &str) -> Kind {
    Kind::VmCreate(VmCreate {
        stored: stored.to_owned(),
        name: name.to_owned(),
        ..VmCreate::default()
    })
}

#[tokio::test]
async fn what_cannot_be_stored_or_brought_back_is_refused() {
    let house = House::build().await;
    let off = house.fleet.put_vm("off", VmState::Stopped).await;
    let on = house.fleet.put_vm("on", VmState::Running).await;
    let saved = house.fleet.put_vm("saved", VmState::Saved).await;
    let store = |vm_id: &str, share: &str, path: &str| {
        Kind::VmStore(VmStore {
            vm_id: vm_id.to_owned(),
            share: share.to_owned(),
            path: path.to_owned(),
            ..VmStore::default()
        })
    };
    let both = Kind::VmCreate(VmCreate {
        stored: "images/web".to_owned(),
        template: "debian".to_owned(),
        ..VmCreate::default()
    });
    use Code::{AlreadyExists, FailedPrecondition, InvalidArgument, NotFound};
    for (code, words, kind) in [
        (
            FailedPrecondition,
            "on is running",
            store(&on, "images", ""),
        ),
        (
            FailedPrecondition,
            "saved is saved",
            store(&saved, "images", ""),
        ),
        (NotFound, "none", store("none", "images", "")),
        (NotFound, "nowhere", store(&off, "nowhere", "")),
        (InvalidArgument, "No share", store(&off, "", "")),
        (FailedPrecondition, "not mounted", store(&off, "away", "")),
        (
            AlreadyExists,
            "taken already",
            store(&off, "images", "taken"),
        ),
        (
            InvalidArgument,
            "cannot be the path",
            store(&off, "images", "../x"),
        ),
        (NotFound, "none", deploy("none/web", "")),
        (
            FailedPrecondition,
            "is disabled",
            deploy("images/disabled", ""),
        ),
        (
            FailedPrecondition,
            "is no stored machine",
            deploy("disk", ""),
        ),
        (
            FailedPrecondition,
            "no machine can be",
            deploy("images/a b", ""),
        ),
        (FailedPrecondition, "../x", deploy("images/broken.ova", "")),
        (
            InvalidArgument,
            "names no machine",
            deploy("images/_.ova", ""),
        ),
        (AlreadyExists, "off already", deploy("images/off.ova", "")),
        (AlreadyExists, "off already", deploy("images/web", "off")),
        (AlreadyExists, "off already", deploy("images/off", "")),
        (InvalidArgument, "name", deploy("images/web", "a/b")),
        (InvalidArgument, "of a stored one", both),
    ] {
        let asked = house.ask(&house.alice(), &request(kind.clone())).await;
        let refusal = asked.map(|_| kind.clone()).unwrap_err();
        assert_eq!(refusal.code(), code, "{kind:?}: {refusal}");
        let said = format!("{refusal} {}", refusal.field);
        assert!(said.contains(words), "{words:?} is not in: {said}");
        assert!(!refusal.recommended_action.is_empty(), "{refusal}");
    }
    assert!(list(&house.jobs).is_empty());
}

#[tokio::test]
async fn a_stored_machine_is_itself_again_and_every_other_of_it_another() {
    let house = House::build().await;
    let mut vms = Vec::new();
    for name in ["", "second"] {
        let job = house.submit(deploy("images/web", name)).await;
        house.script.plan(&job.id, |_| Verdict::GoOn);
        assert_state(&house.end_of(&job.id).await, JobState::Succeeded, name);
        let name = if name.is_empty() { "web" } else { name };
        vms.push(house.fleet.vm_named(name).unwrap());
    }
    let [first, second] = vms.try_into().unwrap();
    assert_eq!(
        (first.id.as_str(), first.owner.as_str()),
        ("old-web", "before")
    );
    assert_ne!(second.id, first.id);
    let file = disk_file("disk0");
    assert_eq!(house.fleet.transfer.times_fetched("h1", &file), 2);
}

#[tokio::test]
async fn an_imported_machine_is_another_each_time_and_keeps_its_address_once() {
    let house = House::build().await;
    let mut vms = Vec::new();
    for name in ["", "second"] {
        let job = house.submit(deploy("images/web.ova", name)).await;
        house.script.plan(&job.id, |_| Verdict::GoOn);
        assert_state(&house.end_of(&job.id).await, JobState::Succeeded, name);
        let name = if name.is_empty() { "web" } else { name };
        vms.push(house.fleet.vm_named(name).unwrap());
    }
    let [first, second] = vms.try_into().unwrap();
    assert_eq!(first.owner, "alice");
    assert_ne!(second.id, first.id);
    let hardware = first.hardware.unwrap();
    assert_eq!(hardware.disks.len(), 2);
    let mac = |cards: Vec<NetworkCard>| cards[0].mac.clone();
    assert_eq!(mac(hardware.network_cards), "00:50:56:00:00:01");
    assert!(mac(second.hardware.unwrap().network_cards).starts_with("52:54:00"));
    // However many disks are in it, the archive comes once for each machine.
    assert_eq!(house.fleet.transfer.times_fetched("h1", "package0"), 2);
}

#[tokio::test]
async fn of_two_that_want_one_id_at_once_one_gets_it_and_the_other_touches_nothing() {
    let house = House::build().await;
    let mut jobs = Vec::new();
    for _ in 0..2 {
        let job = house.submit(deploy("images/web", "")).await;
        house.script.hold(&job.id, "record", At::BeforeStep);
        house.script.passed(&job.id, |p| p.step == "record").await;
        jobs.push(job.id);
    }
    house.script.plan(&jobs[0], |_| Verdict::GoOn);
    assert_state(&house.end_of(&jobs[0]).await, JobState::Succeeded, "first");
    // By now nobody holds the machine.
    house.script.plan(&jobs[1], |_| Verdict::GoOn);
    let late = house.end_of(&jobs[1]).await;
    assert_state(&late, JobState::Failed, "second");
    assert_eq!(late.problem.unwrap().code(), Code::AlreadyExists);
    let there = house.fleet.vm_named("web").unwrap();
    assert_eq!((there.id.as_str(), there.job_id.as_str()), ("old-web", ""));
    assert_eq!(house.fleet.machines[0].machines().len(), 1);
}
