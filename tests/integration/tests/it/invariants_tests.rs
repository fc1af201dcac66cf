//! The checker sees what it is there for.

use contracts::host::VmState;
use contracts::jobs::Step;
use contracts::placement::Claim;
use contracts::{Code, Status};
use prost::Message;

use super::*;

fn created<R: Record>(sequence: u64, id: &str, record: &R) -> (u64, Event) {
    let event = Event {
        kind: R::BUCKET.to_owned(),
        id: id.to_owned(),
        verb: "created".to_owned(),
        revision: sequence,
        after: record.encode_to_vec().into(),
        ..Event::default()
    };
    (sequence, event)
}

fn job() -> Job {
    let step = Step {
        name: "record".to_owned(),
        state: State::Done.into(),
        ..Step::default()
    };
    Job {
        id: "j1".to_owned(),
        kind: "vm_create".to_owned(),
        owner: "local".to_owned(),
        state: JobState::Succeeded.into(),
        steps: vec![step],
        ..Job::default()
    }
}

/// One running machine, made by one job, and everything as it must be.
fn sound() -> Picture {
    let vm = Vm {
        id: "v1".to_owned(),
        name: "Web".to_owned(),
        host_id: "h1".to_owned(),
        state: VmState::Running.into(),
        pid: 7,
        ..Vm::default()
    };
    let name = VmName {
        vm_id: "v1".to_owned(),
        ..VmName::default()
    };
    let mut picture = Picture {
        events: vec![created(1, "v1", &vm), created(2, "j1", &job())],
        vms: Bucket::from([("v1".to_owned(), (1, vm))]),
        names: Bucket::from([("web".to_owned(), (1, name))]),
        jobs: Bucket::from([("j1".to_owned(), (2, job()))]),
        acknowledged: BTreeSet::from(["j1".to_owned()]),
        processes: vec![("v1".to_owned(), 7)],
        folders: BTreeSet::from(["v1".to_owned()]),
        ..Picture::default()
    };
    let lists = picture.expected_lists().into_iter();
    let lists = lists.map(|(kind, items)| (kind, items.into_values().collect()));
    picture.lists = vec![lists.collect()];
    picture
}

#[test]
fn nothing_is_wrong_with_what_is_sound() {
    assert_eq!(sound().wrong(), Vec::<String>::new());
}

fn finds(text: &str, spoil: impl FnOnce(&mut Picture)) {
    let mut picture = sound();
    spoil(&mut picture);
    let wrong = picture.wrong();
    assert!(
        wrong.iter().any(|w| w.contains(text)),
        "{text:?} is not in {wrong:?}"
    );
}

#[test]
fn a_job_that_was_lost_doubled_or_left_open_is_found() {
    finds("is not in the log", |p| {
        p.acknowledged.insert("j2".to_owned());
    });
    finds("is in the log unasked", |p| p.acknowledged.clear());
    let end_as = |p: &mut Picture, state: JobState, problem: Option<Status>| {
        let job = &mut p.jobs.get_mut("j1").unwrap().1;
        job.set_state(state);
        job.problem = problem;
    };
    finds("Running with steps", |p| {
        end_as(p, JobState::Running, None);
    });
    finds("without a word", |p| {
        let problem = Status::new(Code::Internal, "It broke.");
        end_as(p, JobState::Stuck, Some(problem));
    });
    finds("waits for a runner", |p| {
        p.waiting_for_a_runner = Some("j1".to_owned());
    });
}

#[test]
fn a_list_that_is_not_the_bucket_is_found() {
    finds("lists of vms", |p| {
        p.lists[0].get_mut("vms").unwrap().clear()
    });
    finds("lists one of jobs twice", |p| {
        let jobs = p.lists[0].get_mut("jobs").unwrap();
        jobs.push(jobs[0].clone());
    });
}

#[test]
fn events_that_are_doubled_missing_or_another_story_are_found() {
    finds("revision 1 after 1", |p| {
        p.events.insert(1, p.events[0].clone())
    });
    finds("has no event", |p| p.events.clear());
    finds("the last event of vm v1 is not its record", |p| {
        p.vms.get_mut("v1").unwrap().1.owner = "bob".to_owned();
    });
    finds("a change before revision 9 has no event", |p| {
        let mut vm = p.vms["v1"].1.clone();
        vm.owner = "bob".to_owned();
        let (sequence, mut event) = created(9, "v1", &vm);
        event.before = vm.encode_to_vec().into();
        p.events.push((sequence, event));
    });
}

#[test]
fn what_leaks_or_runs_twice_is_found() {
    finds("processes of QEMU", |p| {
        p.processes.push(("v1".to_owned(), 8));
    });
    finds("processes of QEMU", |p| p.processes.clear());
    finds("folders of machines", |p| {
        p.folders.insert("v9".to_owned());
    });
    finds("names taken", |p| {
        p.names.insert("old".to_owned(), (3, VmName::default()));
    });
    finds("machine v1 is held by j1", |p| {
        p.vms.get_mut("v1").unwrap().1.job_id = "j1".to_owned();
    });
    finds("capacity for v1 is held by j1", |p| {
        let claim = Claim {
            vm_id: "v1".to_owned(),
            job_id: "j1".to_owned(),
            ..Claim::default()
        };
        let claims = HostClaims {
            claims: vec![claim],
            ..HostClaims::default()
        };
        p.claims.insert("h1".to_owned(), (1, claims));
    });
}
