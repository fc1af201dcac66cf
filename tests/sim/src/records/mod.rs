//! Records under faults: real stores on real redb, on the model of the bus.
//!
//! A few owners, mirrors and clients do their work while messages are lost and programs die ([`Plan`]); then the faults
//! end, and everything must come to rest. What was promised meanwhile is checked against what the log really took:
//! in passing by [`watch`] and [`sessions`], at the end by [`writes`], [`events`] and [`rest`].

mod disasters;
mod events;
mod ledger;
mod plan;
mod program;
mod rest;
mod sessions;
mod subscriber;
mod watch;
mod writes;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::inventory::Vm;
use contracts::records::Record;
use contracts::subjects;
use kit::bus::{LogEntry, headers};
use prost::Message as _;

pub use plan::{Disaster, Plan};

use crate::bus::{Backup, Server};
use crate::world::World;
use ledger::{Ledger, Wish};
use program::{Program, Role};
use sessions::Session;
use subscriber::Subscriber;

/// Everything of one run.
struct Site {
    world: World,
    server: Arc<Server>,
    plan: Plan,
    programs: Vec<Arc<Program>>,
    sessions: Vec<Arc<Session>>,
    subscriber: Arc<Subscriber>,
    ledger: Arc<Mutex<Ledger>>,
    /// An older copy of the bus.
    backup: Mutex<Option<Vec<Backup>>>,
}

/// Runs one seed in a folder, which must be empty. What was broken is in the world's story.
pub async fn run(world: &World, folder: &Path, steps: u64) {
    let plan = world.draw(|chance| Plan::draw(chance, steps));
    world.tell("plan", plan.to_string());
    let site = Site::new(world, plan, folder);
    for program in &site.programs {
        program.start();
    }
    for _ in 0..site.plan.steps {
        site.step().await;
        if world.has_violations() {
            return;
        }
    }
    world.tell("plan", "the faults end");
    site.plan.faults.stop();
    rest::comes_to_rest(&site).await;
    if world.has_violations() {
        return;
    }
    writes::check(&site);
    events::check(&site);
}

impl Site {
    fn new(world: &World, plan: Plan, folder: &Path) -> Self {
        let server = Server::new(world, &plan.faults, plan.order);
        let ledger = Arc::default();
        let program = |role, name| Program::new(name, role, folder, world, &server);
        let owners = (0..plan.owners).map(|n| program(Role::Owner, format!("owner-{n}")));
        let mirrors = (0..plan.mirrors).map(|n| program(Role::Mirror, format!("mirror-{n}")));
        let session = |n| Session::new(format!("client-{n}"), world, &server, &ledger);
        Self {
            world: world.clone(),
            programs: owners.chain(mirrors).collect(),
            sessions: (0..plan.sessions).map(session).collect(),
            subscriber: Subscriber::start(world, &server),
            server: Arc::clone(&server),
            plan,
            ledger,
            backup: Mutex::default(),
        }
    }

    fn owners(&self) -> impl Iterator<Item = &Arc<Program>> {
        self.programs
            .iter()
            .filter(|program| program.role == Role::Owner)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn step(&self) {
        let pause = Duration::from_millis(self.plan.pause_ms_max);
        self.world.pass_between(Duration::ZERO, pause).await;
        for (disaster, rate) in &self.plan.disasters {
            if self.world.draw(|chance| chance.happens(*rate)) {
                self.strike(*disaster).await;
            }
        }
        self.ask();
    }

    /// A client does something.
    fn ask(&self) {
        let session = self
            .world
            .draw(|chance| Arc::clone(chance.one_of(&self.sessions)));
        if session.is_busy() {
            return;
        }
        let (id, kind) = self.world.draw(|chance| {
            (
                format!("vm-{}", chance.between(0, self.plan.objects)),
                chance.fraction(),
            )
        });
        let any = |role: Option<Role>| {
            let ready = self
                .programs
                .iter()
                .filter(|program| program.ready().is_some());
            let fit: Vec<_> = ready
                .filter(|p| role.is_none_or(|role| p.role == role))
                .collect();
            (!fit.is_empty()).then(|| self.world.draw(|chance| Arc::clone(*chance.one_of(&fit))))
        };
        let wish = match kind {
            k if k < 0.3 => None,
            k if k < 0.4 => Some(Wish::Create),
            k if k < 0.9 => Some(Wish::Count),
            _ => Some(Wish::Delete),
        };
        match wish {
            None => {
                if let Some(program) = any(None) {
                    session.read(&program, id);
                }
            }
            Some(wish) => {
                if let Some(owner) = any(Some(Role::Owner)) {
                    session.write(&owner, id, wish);
                }
            }
        }
    }
}

fn log_of_records() -> String {
    subjects::bucket_stream(Vm::BUCKET)
}

/// What an entry of the log says an object is; `None`: nothing.
fn value_of(entry: &LogEntry) -> Option<Vm> {
    let deleted = entry.message.get(headers::OPERATION).is_some();
    let value = (!deleted).then(|| Vm::decode(entry.message.payload.clone()));
    value.and_then(Result::ok)
}

/// Whether an entry was put back from a view after the log was lost.
fn was_put_back(entry: &LogEntry) -> Option<u64> {
    entry.message.get(headers::REPAIRED)?.parse().ok()
}
