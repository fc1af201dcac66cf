//! A whole fleet under faults: real inventory, placement and jobs, several instances of each with real redb, on the model
//! of the bus, with stand-ins for hosts.
//!
//! Clients ask for machines and for changes of them, and take back what they asked for, while messages are lost, instances
//! die at any message that they send, and hosts refuse ([`Plan`]). Then the faults end, and everything must come to rest
//! ([`rest`]). What must always hold is checked against what the logs really took ([`promises`]) and what hosts really did
//! ([`effects`]).

mod answers;
mod clients;
mod disasters;
mod effects;
mod history;
mod hosts;
mod ledger;
mod plan;
mod program;
mod promises;
mod report;
mod rest;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::inventory::Host as HostRecord;
use contracts::inventory::host::Approval;
use contracts::jobs::job_params::Kind as Params;
use contracts::jobs::{HostAdd, JobParams, SubmitRequest};

pub use plan::{Disaster, Plan};

use crate::bus::{Faults, Server};
use crate::world::World;
use clients::Client;
use hosts::Host;
use ledger::Ledger;
use plan::Whims;
use program::{Kind, Program};

/// How long an empty fleet may take until its hosts are in it, while nothing fails.
const BEGINNING: Duration = Duration::from_secs(60);

/// Everything of one run.
struct Site {
    world: World,
    server: Arc<Server>,
    /// Those of the plan, while they rain.
    faults: Faults,
    plan: Plan,
    programs: Vec<Arc<Program>>,
    hosts: Vec<Arc<Host>>,
    clients: Vec<Arc<Client>>,
    /// A person who adds hosts and sees to what is stuck.
    operator: Arc<Client>,
    ledger: Arc<Mutex<Ledger>>,
}

/// Runs one seed in a folder, which must be empty. What was broken is in the world's story.
pub async fn run(world: &World, folder: &Path, steps: u64) {
    let plan = world.draw(|chance| Plan::draw(chance, steps));
    world.tell("plan", plan.to_string());
    let site = Site::new(world, plan, folder);
    site.begin().await;
    site.faults.begin(&site.plan.faults);
    site.set_whims(site.plan.whims);
    world.tell("plan", "the faults begin");
    for _ in 0..site.plan.steps {
        site.step().await;
        if world.has_violations() {
            return;
        }
    }
    world.tell("plan", "the faults end");
    site.faults.stop();
    site.set_whims(Whims::default());
    rest::comes_to_rest(&site).await;
    promises::check(&site);
    effects::check(&site);
}

impl Site {
    fn new(world: &World, plan: Plan, folder: &Path) -> Self {
        let faults = Faults::none();
        let server = Server::new(world, &faults, plan.order);
        let ledger = Arc::default();
        let programs = |count: usize, name: &str, kind: &Kind| {
            let program =
                |n| Program::new(format!("{name}-{n}"), kind.clone(), folder, world, &server);
            (0..count).map(program).collect::<Vec<_>>()
        };
        let client = |name: String| Client::new(name, world, &server, &ledger);
        Self {
            world: world.clone(),
            programs: [
                programs(
                    plan.inventories,
                    "inventory",
                    &Kind::Inventory(Default::default()),
                ),
                programs(
                    plan.placements,
                    "placement",
                    &Kind::Placement(Default::default()),
                ),
                programs(plan.runners, "jobs", &Kind::Jobs(plan.jobs.clone())),
            ]
            .concat(),
            hosts: (0..plan.hosts)
                .map(|n| Host::new(format!("host-{n}"), world, &server))
                .collect(),
            clients: (0..plan.sessions)
                .map(|n| client(format!("client-{n}")))
                .collect(),
            operator: client("operator".to_owned()),
            server: Arc::clone(&server),
            faults,
            plan,
            ledger,
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_whims(&self, whims: Whims) {
        self.hosts.iter().for_each(|host| host.set_whims(whims));
    }

    /// Starts everything, and has the hosts added to the fleet.
    async fn begin(&self) {
        for program in &self.programs {
            program.start();
        }
        for host in &self.hosts {
            host.start().await;
        }
        let adding = async {
            for number in 0.. {
                for host in self.hosts.iter().filter(|host| !self.is_in_fleet(&host.id)) {
                    let add = HostAdd {
                        host_id: host.id.clone(),
                        ..HostAdd::default()
                    };
                    let request = SubmitRequest {
                        params: Some(JobParams {
                            kind: Some(Params::HostAdd(add)),
                        }),
                        ..SubmitRequest::default()
                    };
                    let key = format!("operator-{}-{number}", host.id);
                    self.operator.submit(&key, &request).await;
                }
                if self.hosts.iter().all(|host| self.is_in_fleet(&host.id)) {
                    return;
                }
                self.world.pass(Duration::from_secs(1)).await;
            }
        };
        if tokio::time::timeout(BEGINNING, adding).await.is_err() {
            self.world.violation("the hosts do not come into the fleet");
        }
    }

    fn is_in_fleet(&self, host_id: &str) -> bool {
        let hosts = history::now::<HostRecord>(&self.server);
        hosts
            .get(host_id)
            .is_some_and(|host| host.approval() == Approval::Approved)
    }

    async fn step(&self) {
        let pause = Duration::from_millis(self.plan.pause_ms_max);
        self.world.pass_between(Duration::ZERO, pause).await;
        for (disaster, rate) in &self.plan.disasters {
            if self.world.draw(|chance| chance.happens(*rate)) {
                self.strike(*disaster).await;
            }
        }
        self.programs
            .iter()
            .for_each(|program| program.check_alive());
        let client = self
            .world
            .draw(|chance| Arc::clone(chance.one_of(&self.clients)));
        if !client.is_busy() {
            client.ask(self.plan.names, self.plan.hosts);
        }
    }
}
