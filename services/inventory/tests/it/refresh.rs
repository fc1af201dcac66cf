//! Hosts that are looked at afresh. The host is the test's, and answers as every host does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::call::{Context, Revisions, Serve, Service};
use contracts::host::{
    HOST, HostFacts, Level, RefreshRequest as Question, RefreshResponse as Answer, VmReport,
    VmState,
};
use contracts::inventory::{Host, InventoryClient, Vm, vm::Origin};
use contracts::refresher::{
    ListTargetsRequest, Outcome, RefreshRequest, RefreshResponse, RefreshableClient,
};
use contracts::{Code, Status, digest};
use kit::rpc::{Caller, Gate, Server};
use prost::Message as _;

use crate::harness::{Fleet, code, context, registration, report, seen};

/// What a played host has, and what it was asked.
#[derive(Default)]
pub(crate) struct Played {
    generation: u64,
    pub(crate) facts: HostFacts,
    pub(crate) machines: Vec<VmReport>,
    reports_waiting: bool,
    questions: Vec<Question>,
    /// Said instead of what differs.
    lie: Option<Answer>,
}

#[derive(Clone)]
pub(crate) struct PlayedHost(Arc<Mutex<Played>>);

impl PlayedHost {
    pub(crate) async fn start(fleet: &Fleet, id: &str, machines: Vec<VmReport>) -> (Self, Server) {
        let played = Played {
            generation: 1,
            machines: machines.clone(),
            ..Played::default()
        };
        let host = Self(Arc::new(Mutex::new(played)));
        let server = Arc::new(host.clone());
        let subject = HOST.subject_of_host(id);
        let serving = kit::rpc::serve(&fleet.bus, Arc::new(NoRecords), &subject, server).await;
        fleet.add_host(id, machines).await;
        (host, serving.unwrap())
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Played) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    fn take_questions(&self) -> Vec<Question> {
        self.with(|played| std::mem::take(&mut played.questions))
    }
}

#[async_trait]
impl Serve for PlayedHost {
    fn service(&self) -> &'static Service {
        &HOST
    }

    async fn dispatch(&self, _: &str, _: &Context, payload: &[u8]) -> Result<Vec<u8>, Status> {
        let question = Question::decode(payload).unwrap();
        Ok(self.with(|played| {
            played.questions.push(question.clone());
            let mut answer = match question.level() {
                Level::Host => digest::answer_facts(&question, played.facts.clone()),
                _ => digest::answer_machines(&question, &played.machines),
            };
            if let Some(lie) = &played.lie {
                answer = lie.clone();
            }
            answer.generation = played.generation;
            answer.reports_waiting = played.reports_waiting;
            answer.encode_to_vec()
        }))
    }
}

pub(crate) struct NoRecords;

#[async_trait]
impl Gate for NoRecords {
    async fn wait_for(&self, _: &Revisions, _: Duration) -> bool {
        true
    }
}

pub(crate) fn client(fleet: &Fleet) -> RefreshableClient {
    RefreshableClient::new(Caller::new(Arc::clone(&fleet.bus)), "inventory")
}

async fn refresh(fleet: &Fleet, kind: &str, vm_id: &str) -> Result<RefreshResponse, Status> {
    let request = RefreshRequest {
        kind: kind.to_owned(),
        target_id: "h1".to_owned(),
        object_id: vm_id.to_owned(),
    };
    client(fleet).refresh(&context(), &request).await
}

/// The outcome and how many objects changed.
pub(crate) async fn outcome(fleet: &Fleet, kind: &str) -> (Outcome, u32) {
    let answer = refresh(fleet, kind, "").await.unwrap();
    (answer.outcome(), answer.changed)
}

#[tokio::test]
async fn an_unchanged_host_answers_with_a_few_dozen_bytes_and_nothing_is_written() {
    let fleet = Fleet::start().await;
    let machines = (0..18).map(|n| seen(&format!("v{n:02}"), VmState::Running));
    let (host, _serving) = PlayedHost::start(&fleet, "h1", machines.collect()).await;
    let revision = fleet.vm_revision().await;
    for kind in ["vm_light", "vm_heavy", "host"] {
        let answer = refresh(&fleet, kind, "").await.unwrap();
        assert_eq!(answer.outcome(), Outcome::Unchanged, "{kind}");
        assert!(answer.bytes < 48, "{kind}: {} bytes", answer.bytes);
    }
    assert_eq!(host.take_questions().len(), 3);
    assert_eq!(fleet.vm_revision().await, revision);
}

#[tokio::test]
async fn what_happened_behind_musters_back_is_found() {
    let fleet = Fleet::start().await;
    let machines = vec![
        seen("v1", VmState::Running),
        seen("v2", VmState::Stopped),
        seen("v3", VmState::Stopped),
    ];
    let (host, _serving) = PlayedHost::start(&fleet, "h1", machines).await;
    let made = fleet.vm("v2").await.created_ms;
    host.with(|played| {
        played.machines.retain(|m| m.vm_id != "v2");
        played.machines[0].set_state(VmState::Stopped);
        played.machines.push(seen("v9", VmState::Running));
        played.facts.cpus = 8;
    });
    assert_eq!(outcome(&fleet, "vm_light").await, (Outcome::Changed, 3));
    assert_eq!(fleet.state("v1").await, VmState::Stopped);
    assert_eq!(fleet.state("v2").await, VmState::Missing);
    let found = fleet.vm("v9").await;
    assert_eq!(
        (found.origin(), found.state()),
        (Origin::Imported, VmState::Running)
    );
    assert_eq!(outcome(&fleet, "vm_light").await, (Outcome::Unchanged, 0));
    assert_eq!(outcome(&fleet, "host").await, (Outcome::Changed, 1));
    let facts = fleet.record::<Host>("h1").await.unwrap().facts.unwrap();
    assert_eq!(facts.cpus, 8);
    // It comes back as who it was.
    host.with(|played| played.machines.push(seen("v2", VmState::Stopped)));
    assert_eq!(outcome(&fleet, "vm_heavy").await, (Outcome::Changed, 1));
    let back = fleet.vm("v2").await;
    assert_eq!((back.state(), back.created_ms), (VmState::Stopped, made));
}

#[tokio::test]
async fn a_pass_compares_with_the_records_as_they_are_now_whatever_an_earlier_one_has_compared_with()
 {
    let fleet = Fleet::start().await;
    let machines = vec![seen("v1", VmState::Running), seen("v2", VmState::Running)];
    let (host, _serving) = PlayedHost::start(&fleet, "h1", machines.clone()).await;
    assert_eq!(outcome(&fleet, "vm_light").await, (Outcome::Unchanged, 0));
    let told = report("h1", 2, vec![seen("v1", VmState::Paused)]);
    fleet.client.report(&context(), &told).await.unwrap();
    // What the host said before is true no more, and what it says now is known.
    host.with(|played| played.machines[0].set_state(VmState::Paused));
    host.take_questions();
    assert_eq!(outcome(&fleet, "vm_light").await, (Outcome::Unchanged, 0));
    assert_eq!(host.take_questions().len(), 1);
    host.with(|played| played.machines = machines);
    assert_eq!(outcome(&fleet, "vm_light").await, (Outcome::Changed, 1));
    assert_eq!(fleet.state("v1").await, VmState::Running);
}

#[tokio::test]
async fn one_machine_is_refreshed_without_the_others() {
    let fleet = Fleet::start().await;
    let machines = vec![seen("v1", VmState::Running), seen("v2", VmState::Running)];
    let (host, _serving) = PlayedHost::start(&fleet, "h1", machines).await;
    host.with(|played| {
        for machine in &mut played.machines {
            machine.set_state(VmState::Paused);
        }
    });
    let answer = refresh(&fleet, "vm_heavy", "v2").await.unwrap();
    assert_eq!((answer.outcome(), answer.changed), (Outcome::Changed, 1));
    assert_eq!(fleet.state("v1").await, VmState::Running);
    assert_eq!(fleet.state("v2").await, VmState::Paused);
}

#[tokio::test]
async fn a_host_with_reports_on_their_way_or_started_anew_is_left_to_them() {
    let fleet = Fleet::start().await;
    let machines = vec![seen("v1", VmState::Running)];
    let (host, _serving) = PlayedHost::start(&fleet, "h1", machines).await;
    host.with(|played| {
        played.machines[0].set_state(VmState::Stopped);
        played.reports_waiting = true;
    });
    assert_eq!(outcome(&fleet, "vm_light").await, (Outcome::Unchanged, 0));
    host.with(|played| {
        played.reports_waiting = false;
        played.generation = 2;
    });
    assert_eq!(outcome(&fleet, "vm_light").await, (Outcome::Unchanged, 0));
    assert_eq!(fleet.state("v1").await, VmState::Running);
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_blamed_and_one_that_is_not_there_is_not_found() {
    let fleet = Fleet::start().await;
    fleet.add_host("h1", vec![]).await;
    let silent = refresh(&fleet, "vm_light", "").await.unwrap_err();
    assert_eq!(silent.code(), Code::Unavailable);
    assert_eq!(silent.object.unwrap().id, "h1");
    let request = RefreshRequest {
        kind: "vm_light".to_owned(),
        target_id: "h2".to_owned(),
        ..RefreshRequest::default()
    };
    let nobody = client(&fleet).refresh(&context(), &request).await;
    assert_eq!(code(nobody), Some(Code::NotFound));
    let kind = refresh(&fleet, "tips", "").await;
    assert_eq!(code(kind), Some(Code::InvalidArgument));
}

#[tokio::test]
async fn a_host_that_answers_nonsense_harms_no_other_and_not_its_own_good_machines() {
    let fleet = Fleet::start().await;
    fleet
        .add_host("h2", vec![seen("other", VmState::Running)])
        .await;
    let machines = vec![seen("v1", VmState::Running)];
    let (host, _serving) = PlayedHost::start(&fleet, "h1", machines).await;
    let mut absurd = seen("absurd", VmState::Running);
    absurd.hardware.get_or_insert_default().memory_bytes = u64::MAX;
    let lie = Answer {
        vms: vec![
            absurd,
            seen("other", VmState::Stopped),
            seen("v1", VmState::Paused),
            seen("not an id", VmState::Running),
        ],
        removed_vm_ids: vec!["other".to_owned(), "nobody".to_owned()],
        ..Answer::default()
    };
    host.with(|played| played.lie = Some(lie.clone()));
    assert_eq!(outcome(&fleet, "vm_light").await, (Outcome::Changed, 1));
    assert_eq!(fleet.state("v1").await, VmState::Paused);
    assert_eq!(fleet.state("other").await, VmState::Running);
    assert!(fleet.record::<Vm>("absurd").await.is_none());
    // More machines than a host has: refused as a whole, and the host is blamed.
    let crowd = (0..100_000).map(|n| seen(&format!("x{n}"), VmState::Stopped));
    let crowd = Answer {
        vms: crowd.collect(),
        ..Answer::default()
    };
    host.with(|played| played.lie = Some(crowd));
    let refused = refresh(&fleet, "vm_light", "").await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.object.unwrap().id),
        (Code::InvalidArgument, "h1".to_owned())
    );
    // Facts that cannot be.
    let facts = HostFacts {
        cpu_used_percent: f64::NAN,
        ..HostFacts::default()
    };
    host.with(|played| {
        played.lie = Some(Answer {
            facts: Some(facts),
            ..Answer::default()
        });
    });
    assert!(refresh(&fleet, "host", "").await.is_err());
}

/// Reports that its machine has stopped, and then answers that it is paused, which it was when it looked.
struct SlowHost(InventoryClient);

#[async_trait]
impl Serve for SlowHost {
    fn service(&self) -> &'static Service {
        &HOST
    }

    async fn dispatch(&self, _: &str, _: &Context, _: &[u8]) -> Result<Vec<u8>, Status> {
        let stopped = report("h1", 2, vec![seen("v1", VmState::Stopped)]);
        self.0.report(&context(), &stopped).await.unwrap();
        let paused = Answer {
            vms: vec![seen("v1", VmState::Paused)],
            generation: 1,
            ..Answer::default()
        };
        Ok(paused.encode_to_vec())
    }
}

#[tokio::test]
async fn a_report_that_came_while_the_host_was_asked_is_not_overtaken() {
    let fleet = Fleet::start().await;
    fleet
        .add_host("h1", vec![seen("v1", VmState::Running)])
        .await;
    let slow = Arc::new(SlowHost(fleet.client.clone()));
    let subject = HOST.subject_of_host("h1");
    let serving = kit::rpc::serve(&fleet.bus, Arc::new(NoRecords), &subject, slow).await;
    assert_eq!(outcome(&fleet, "vm_light").await, (Outcome::Unchanged, 0));
    assert_eq!(fleet.state("v1").await, VmState::Stopped);
    drop(serving);
}

#[tokio::test]
async fn only_hosts_of_the_fleet_are_there_to_be_refreshed() {
    let fleet = Fleet::start().await;
    fleet.add_host("h1", vec![]).await;
    fleet
        .client
        .register(&context(), &registration("h2", 1))
        .await
        .unwrap();
    let list = async |known_digest: Vec<u8>| {
        let request = ListTargetsRequest { known_digest };
        client(&fleet)
            .list_targets(&context(), &request)
            .await
            .unwrap()
    };
    let first = list(Vec::new()).await;
    let ids: Vec<&str> = first.targets.iter().map(|t| t.id.as_str()).collect();
    assert_eq!(ids, ["h1"]);
    assert!(list(first.digest).await.targets.is_empty());
}
