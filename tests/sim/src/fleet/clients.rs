//! Clients: each asks for one change after another, under a key of its own, and asks again when no answer came.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::call::Context;
use contracts::host::disk::Source;
use contracts::host::{Disk, Hardware};
use contracts::jobs::job_params::Kind;
use contracts::jobs::submit_request::IfBusy;
use contracts::jobs::{
    GroupCreate, GroupTarget, HostMove, Job, JobParams, JobRef, JobsClient, SubmitRequest,
    VmCreate, VmTarget, VmUpdate,
};
use contracts::names::ROOT_GROUP_ID;
use contracts::{Code, Status};
use kit::bus::Bus;
use kit::rpc::Caller;

use super::hosts::{IMAGE, IMAGE_BYTES};
use super::ledger::{Asked, Ledger, Told};
use crate::bus::Server;
use crate::chance::Chance;
use crate::world::World;

/// How long a client waits for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request that is answered within this time was sent once.
const ASKED_ONCE: Duration = Duration::from_secs(2);

/// How often it asks.
const TIMES_MAX: u32 = 3;

/// A third of what the smallest host has beside its reserve.
const MEMORY_BYTES: u64 = 1 << 30;

pub(super) struct Client {
    name: String,
    world: World,
    jobs: JobsClient,
    ledger: Arc<Mutex<Ledger>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_busy: bool,
    asked: u64,
    /// What it has seen.
    seen: Context,
}

/// What a client wants.
enum Wish {
    Change(Box<SubmitRequest>),
    Cancel(String),
    Restart(String),
}

impl Client {
    pub(super) fn new(
        name: String,
        world: &World,
        server: &Arc<Server>,
        ledger: &Arc<Mutex<Ledger>>,
    ) -> Arc<Self> {
        let bus: Arc<dyn Bus> = Arc::new(server.connect(&name));
        Arc::new(Self {
            name,
            world: world.clone(),
            jobs: JobsClient::new(Caller::named("gateway", bus)),
            ledger: Arc::clone(ledger),
            state: Mutex::default(),
        })
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn ledger<T>(&self, with: impl FnOnce(&mut Ledger) -> T) -> T {
        with(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn is_busy(&self) -> bool {
        self.state(|state| state.is_busy)
    }

    /// Asks for something, drawn.
    pub(super) fn ask(self: &Arc<Self>, names: u64, hosts: usize) {
        let wish = self.ledger(|ledger| {
            self.world
                .draw(|chance| wish(chance, ledger, names, hosts as u64))
        });
        let number = self.state(|state| {
            state.is_busy = true;
            state.asked += 1;
            state.asked
        });
        let (client, token) = (Arc::clone(self), format!("{}-{number}", self.name));
        tokio::spawn(async move {
            match wish {
                Wish::Change(request) => client.submit(&token, &request).await,
                Wish::Cancel(id) => {
                    let context = client.context(&token);
                    let request = JobRef { job_id: id.clone() };
                    let answer = client.jobs.cancel(&context, &request).await;
                    client.heard_of(&id, "cancel", answer);
                }
                Wish::Restart(id) => client.restart(&token, &id).await,
            }
            client.state(|state| state.is_busy = false);
        });
    }

    /// In which a request is made; what it shows, the client has seen from then on.
    fn context(&self, token: &str) -> Context {
        let mut context = self
            .state(|state| state.seen.clone())
            .with_timeout(PATIENCE);
        token.clone_into(&mut context.principal);
        context
    }

    /// Submits, and again while it is not known what came of it.
    pub(super) async fn submit(&self, token: &str, request: &SubmitRequest) {
        let mut context = self.context(token);
        token.clone_into(&mut context.idempotency_key);
        self.world
            .tell(&self.name, format!("{token}: {}", describe(request)));
        let (mut told, begun) = (Told::Unknown, self.world.elapsed());
        for _ in 0..TIMES_MAX {
            told = self.told(self.jobs.submit(&context, request).await.map(|a| a.job));
            if told != Told::Unknown {
                break;
            }
        }
        if told == Told::Refused && self.world.elapsed() - begun >= ASKED_ONCE {
            // It was sent more than once: another instance may still be at work on a copy, and see it otherwise.
            told = Told::Unknown;
        }
        self.world.tell(&self.name, format!("{token}: {told:?}"));
        self.ledger(|ledger| ledger.asked.insert(token.to_owned(), Asked { told }));
    }

    fn told(&self, answer: Result<Option<Job>, Status>) -> Told {
        match answer {
            Ok(job) => {
                let job = job.unwrap_or_default();
                self.ledger(|ledger| ledger.know(&job));
                Told::Accepted(job.id)
            }
            Err(error) if error.retryable() || error.code() == Code::DeadlineExceeded => {
                self.world.tell(&self.name, error.to_string());
                Told::Unknown
            }
            Err(error) => {
                self.world.tell(&self.name, error.to_string());
                Told::Refused
            }
        }
    }

    pub(super) async fn restart(&self, token: &str, id: &str) {
        let request = JobRef {
            job_id: id.to_owned(),
        };
        let answer = self.jobs.restart(&self.context(token), &request).await;
        self.heard_of(id, "restart", answer);
    }

    /// Whoever was told of a job finds it.
    fn heard_of(&self, id: &str, what: &str, answer: Result<Job, Status>) {
        let said = match &answer {
            Ok(job) => format!("{what} {id}: {:?}", job.state()),
            Err(error) => format!("{what} {id}: {error}"),
        };
        self.world.tell(&self.name, &said);
        if answer.is_err_and(|error| error.code() == Code::NotFound) {
            self.world.violation(format!("{}: {said}", self.name));
        }
    }
}

fn wish(chance: &mut Chance, ledger: &Ledger, names: u64, hosts: u64) -> Wish {
    let job = |chance: &mut Chance| chance.one_of(&ledger.jobs).clone();
    match chance.fraction() {
        part if part < 0.12 && !ledger.jobs.is_empty() => Wish::Cancel(job(chance)),
        part if part < 0.18 && !ledger.jobs.is_empty() => Wish::Restart(job(chance)),
        part => {
            let kind = if part < 0.5 || ledger.machines.is_empty() {
                create(chance, ledger, names)
            } else if part < 0.9 {
                let vm_id = chance.one_of(&ledger.machines).clone();
                of_machine(chance, vm_id)
            } else {
                of_groups(chance, ledger, hosts)
            };
            Wish::Change(Box::new(request(chance, kind)))
        }
    }
}

fn request(chance: &mut Chance, kind: Kind) -> SubmitRequest {
    let if_busy = *chance.one_of(&[IfBusy::Wait, IfBusy::Wait, IfBusy::Refuse]);
    SubmitRequest {
        params: Some(JobParams { kind: Some(kind) }),
        if_busy: if_busy.into(),
        ..SubmitRequest::default()
    }
}

fn create(chance: &mut Chance, ledger: &Ledger, names: u64) -> Kind {
    let mut groups = ledger.groups.clone();
    groups.extend([String::new(), String::new(), String::new()]);
    Kind::VmCreate(VmCreate {
        name: format!("vm-{}", chance.between(0, names)),
        hardware: Some(Hardware {
            vcpus: 1,
            memory_bytes: MEMORY_BYTES,
            disks: vec![disk(chance)],
            ..Hardware::default()
        }),
        group_id: chance.one_of(&groups).clone(),
        start: chance.happens(0.7),
        wait_for_guest: chance.happens(0.5),
        ..VmCreate::default()
    })
}

fn disk(chance: &mut Chance) -> Disk {
    if chance.happens(0.5) {
        return Disk {
            image: IMAGE.to_owned(),
            ..Disk::default()
        };
    }
    Disk {
        source: Source::Blank.into(),
        size_bytes: IMAGE_BYTES,
        ..Disk::default()
    }
}

fn of_machine(chance: &mut Chance, vm_id: String) -> Kind {
    let target = VmTarget {
        vm_id: vm_id.clone(),
        force: chance.happens(0.7),
    };
    match chance.between(0, 10) {
        0 => Kind::VmStart(target),
        1 => Kind::VmShutdown(target),
        2 => Kind::VmTurnOff(target),
        3 => Kind::VmReset(target),
        4 => Kind::VmPause(target),
        5 => Kind::VmResume(target),
        6 => Kind::VmSave(target),
        7 => Kind::VmUpdate(VmUpdate {
            vm_id,
            description: Some(format!("Description {}", chance.between(0, 3))),
            ..VmUpdate::default()
        }),
        _ => Kind::VmDelete(target),
    }
}

fn of_groups(chance: &mut Chance, ledger: &Ledger, hosts: u64) -> Kind {
    let mut groups = ledger.groups.clone();
    groups.push(ROOT_GROUP_ID.to_owned());
    let group_id = chance.one_of(&groups).clone();
    match chance.between(0, 3) {
        0 => Kind::GroupCreate(GroupCreate {
            name: format!("group-{}", chance.between(0, 4)),
            parent_id: group_id,
            ..GroupCreate::default()
        }),
        1 => Kind::GroupDelete(GroupTarget { group_id }),
        _ => Kind::HostMove(HostMove {
            host_id: format!("host-{}", chance.between(0, hosts)),
            group_id,
        }),
    }
}

fn describe(request: &SubmitRequest) -> String {
    let kind = request.params.as_ref().and_then(|p| p.kind.as_ref());
    kind.map_or(String::new(), |kind| format!("{kind:?}"))
}
