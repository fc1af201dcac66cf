//! Machines from templates: fixed when they are asked for, images fetched once, and no word of user data in a record.

use std::sync::atomic::Ordering;

use contracts::Code;
use contracts::jobs::job_params::Kind;
use contracts::jobs::{JobState, VmCreate};
use futures::future::join_all;
use jobs::probe::{At, Verdict};
use prost::Message as _;
use support::eventually;

use crate::cases::of_template;
use crate::fleet::{USER_DATA, file_of, list};
use crate::harness::{House, assert_state, no};

fn from(template: &str, name: &str) -> VmCreate {
    VmCreate {
        template: template.to_owned(),
        ..of_template(name)
    }
}

#[tokio::test]
async fn a_machine_is_what_its_template_was_when_it_was_asked_for() {
    let house = House::build().await;
    let request = VmCreate {
        host_name: "web.example.org".to_owned(),
        ssh_keys: vec!["ssh-ed25519 AAAAC3Nz".to_owned()],
        tags: [("tier".to_owned(), "web".to_owned())].into(),
        ..from("debian", "web")
    };
    let job = house.submit(Kind::VmCreate(request)).await;
    // The template is another one by the time that the job runs.
    house.fleet.templates.version.store(900, Ordering::SeqCst);
    house.script.plan(&job.id, |_| Verdict::GoOn);
    let job = house.end_of(&job.id).await;
    assert_state(&job, JobState::Succeeded, "web");
    assert_eq!(job.steps[0].message, "From template debian, version 0.");
    let vm = house.fleet.vm_named("web").unwrap();
    let hardware = vm.hardware.clone().unwrap();
    assert_eq!((hardware.vcpus, hardware.memory_bytes), (2, 128 << 20));
    let at_host = &house.fleet.machines[0].machines()[0];
    let disks = at_host.hardware.clone().unwrap().disks;
    assert_eq!(disks[0].image, format!("ds/{}", file_of("debian")));
    assert_eq!(hardware.network_cards[0].network, "user");
    let told = house.fleet.machines[0].told(&vm.id).unwrap();
    assert_eq!(told.host_name, "web.example.org");
    assert_eq!(
        (told.ssh_keys.len(), told.user_data.as_str()),
        (1, USER_DATA)
    );
    // Neither the job nor the machine keeps what may be secret.
    for record in [job.encode_to_vec(), vm.encode_to_vec()] {
        assert!(!String::from_utf8_lossy(&record).contains("sesame"));
    }
}

#[tokio::test]
async fn many_machines_at_once_fetch_their_image_once() {
    let house = House::build().await;
    house.fleet.transfer.hold.store(true, Ordering::SeqCst);
    let names: Vec<String> = (1..=20).map(|n| format!("web-{n}")).collect();
    let jobs = names.iter().map(async |name| {
        let job = house.submit(Kind::VmCreate(from("debian", name))).await;
        house.script.plan(&job.id, |_| Verdict::GoOn);
        job
    });
    let jobs = join_all(jobs).await;
    let file = file_of("debian");
    eventually("several jobs to wait for one transfer", async || {
        (house.fleet.transfer.waiting(&file) > 1).then_some(())
    })
    .await
    .unwrap();
    house.fleet.transfer.hold.store(false, Ordering::SeqCst);
    for job in jobs {
        assert_state(&house.end_of(&job.id).await, JobState::Succeeded, "web");
    }
    assert_eq!(list(&house.fleet.vms).len(), 20);
    assert_eq!(house.fleet.transfer.times_fetched("h1", &file), 1);
    // One more, later: it is there.
    let late = house.run(Kind::VmCreate(from("debian", "late"))).await;
    let image = late.steps.iter().find(|step| step.name == "image").unwrap();
    assert!(
        image.message.contains("is there already"),
        "{}",
        image.message
    );
    assert_eq!(house.fleet.transfer.times_fetched("h1", &file), 1);
}

#[tokio::test]
async fn a_job_that_is_cancelled_stops_no_transfer_that_another_waits_for() {
    let house = House::build().await;
    house.fleet.transfer.hold.store(true, Ordering::SeqCst);
    let file = file_of("debian");
    let begin = async |name: &str| {
        let job = house.submit(Kind::VmCreate(from("debian", name))).await;
        house.script.plan(&job.id, |_| Verdict::GoOn);
        job.id
    };
    let (one, other) = (begin("one").await, begin("other").await);
    let waiting = async |count: usize| {
        eventually("so many jobs to wait", async || {
            (house.fleet.transfer.waiting(&file) == count).then_some(())
        })
        .await
        .unwrap();
    };
    waiting(2).await;
    house.cancel(&one).await.unwrap();
    let cancelled = house.end_of(&one).await;
    assert_state(&cancelled, JobState::Cancelled, "one");
    waiting(1).await;
    house.cancel(&other).await.unwrap();
    house.end_of(&other).await;
    // With the last of them it goes.
    assert_eq!(house.fleet.transfer.times_fetched("h1", &file), 0);
    house.fleet.transfer.hold.store(false, Ordering::SeqCst);
    let third = house.run(Kind::VmCreate(from("debian", "third"))).await;
    assert_state(&third, JobState::Succeeded, "third");
}

#[tokio::test]
async fn an_image_that_is_whole_stays_for_the_next_machine() {
    let house = House::build().await;
    let job = house.submit(Kind::VmCreate(from("debian", "web"))).await;
    house
        .script
        .plan(&job.id, |point| match (point.step.as_str(), point.at) {
            ("disks", At::AfterStep) => Verdict::Fail(no()),
            _ => Verdict::GoOn,
        });
    let failed = house.end_of(&job.id).await;
    assert_state(&failed, JobState::Failed, "web");
    assert!(house.fleet.transfer.has("h1", &file_of("debian")));
    assert_eq!(list(&house.fleet.vms), []);
}

#[tokio::test]
async fn what_cannot_be_made_from_a_template_is_refused_before_there_is_a_job() {
    let house = House::build().await;
    let with = |change: fn(&mut VmCreate)| {
        let mut request = from("debian", "web");
        change(&mut request);
        request
    };
    let cases = [
        (from("gone", "web"), Code::NotFound, "template"),
        (
            from("unusable", "web"),
            Code::FailedPrecondition,
            "template",
        ),
        (
            with(|r| r.host_name = "a b".to_owned()),
            Code::InvalidArgument,
            "guest.host_name",
        ),
        (
            with(|r| r.ssh_keys = vec!["secret".to_owned()]),
            Code::InvalidArgument,
            "guest.ssh_keys",
        ),
        (
            VmCreate {
                template: String::new(),
                guest_profile: "web".to_owned(),
                hardware: crate::cases::create("web").hardware,
                ..from("", "web")
            },
            Code::InvalidArgument,
            "guest.profile",
        ),
        (
            with(|r| r.datastore = "other".to_owned()),
            Code::NotFound,
            "",
        ),
    ];
    for (request, code, field) in cases {
        let refused = house.try_submit(Kind::VmCreate(request)).await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.field.as_str()),
            (code, field),
            "{refused}"
        );
        assert!(!refused.recommended_action.is_empty(), "{refused}");
    }
    assert_eq!(list(&house.jobs), []);
    assert_eq!(list(&house.fleet.vms), []);
}
