//! The whole fleet, and what can be done to it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent::store::Store;
use contracts::host::{VmReport, VmState};
use kit::bus::Bus;
use kit::bus::nats::NatsBus;
use kit::config::BusConfig;
use kit::world::World;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::churn::{self, Churn};
use crate::core::compare::Account;
use crate::core::fault::Fault;
use crate::core::plan::plan;
use crate::host::{Host, Shared};
use crate::line::Epoch;

/// Hosts start over this long, as those of a room do after a power cut, so that their heartbeats never come together.
const START_SPREAD: Duration = Duration::from_secs(2);

/// Changes that a listener in this process may fall behind.
const CHANGES_KEPT: usize = 4_096;

/// The bus user that hosts connect as.
const BUS_USER: &str = "agent";

/// A change of a machine, by other hands than Muster's.
#[derive(Clone, Debug)]
pub struct Happened {
    pub vm_id: String,
    /// `None`: the machine vanished.
    pub state: Option<VmState>,
    pub at: Instant,
}

/// Hosts that a fault is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// So many, evenly taken from all.
    Some(usize),
    Named(Vec<String>),
    All,
}

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub hosts: usize,
    pub vms: usize,
    /// Hosts that are silent, slow, flap or lie now.
    pub hosts_in_trouble: usize,
}

/// Simulated hosts that take part in a fleet until this is stopped.
pub struct Fleet {
    hosts: Vec<Arc<Host>>,
    shared: Arc<Shared>,
    connections: Vec<NatsBus>,
    churn: watch::Sender<Churn>,
    happened: broadcast::Sender<Happened>,
}

impl Fleet {
    /// Starts every host of the configuration, over a few connections to the bus. In `folder` it is kept what became of
    /// commands.
    pub async fn start(config: &Config, bus: &BusConfig, folder: &Path) -> anyhow::Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..config.connections.max(1) {
            connections.push(NatsBus::connect(BUS_USER, bus).await?);
        }
        let shared = Arc::new(Shared {
            epoch: Epoch::now(),
            join_token: config.join_token.clone(),
            heartbeat: Duration::from_millis(config.heartbeat_ms.max(1)),
            operations: Arc::new(Store::open(folder)?),
            stop: CancellationToken::new(),
        });
        let fleet = Self {
            hosts: hosts(config, &connections, shared.epoch),
            shared,
            connections,
            churn: watch::channel(config.churn).0,
            happened: broadcast::channel(CHANGES_KEPT).0,
        };
        fleet.start_all().await;
        tokio::spawn(churn::run(
            fleet.hosts.clone(),
            config.seed,
            fleet.churn.subscribe(),
            fleet.happened.clone(),
            fleet.shared.stop.clone(),
        ));
        Ok(fleet)
    }

    async fn start_all(&self) {
        let count = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX).max(1);
        let mut turns = tokio::time::interval(START_SPREAD / count);
        for host in &self.hosts {
            turns.tick().await;
            host.start(&self.shared);
        }
    }

    /// Changes from now on.
    pub fn happened(&self) -> broadcast::Receiver<Happened> {
        self.happened.subscribe()
    }

    pub fn set_churn(&self, churn: Churn) {
        self.churn.send_replace(churn);
    }

    /// Does something bad to hosts; answers how many.
    pub fn fault(&self, which: &Which, fault: &Fault) -> usize {
        let chosen = self.chosen(which);
        for host in &chosen {
            host.suffer(fault, &self.shared);
        }
        chosen.len()
    }

    fn chosen(&self, which: &Which) -> Vec<&Arc<Host>> {
        match which {
            Which::All => self.hosts.iter().collect(),
            Which::Named(names) => {
                let named = |host: &&Arc<Host>| names.contains(&host.name);
                self.hosts.iter().filter(named).collect()
            }
            Which::Some(count) => {
                let step = (self.hosts.len() / (*count).max(1)).max(1);
                self.hosts.iter().step_by(step).take(*count).collect()
            }
        }
    }

    /// Every host and machine as it is.
    pub fn account(&self) -> Account {
        let account = |host: &Arc<Host>| host.account(self.shared.epoch);
        Account {
            hosts: self.hosts.iter().map(account).collect(),
        }
    }

    pub fn status(&self) -> Status {
        let in_trouble = |host: &&Arc<Host>| !host.is_true(self.shared.epoch);
        Status {
            hosts: self.hosts.len(),
            vms: self
                .hosts
                .iter()
                .map(|h| h.hypervisor.reports().len())
                .sum(),
            hosts_in_trouble: self.hosts.iter().filter(in_trouble).count(),
        }
    }

    /// Ends every host's agent. The machines are gone with it.
    pub async fn stop(self) {
        self.shared.stop.cancel();
        for host in &self.hosts {
            host.ended().await;
        }
        for connection in &self.connections {
            connection.drain().await;
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

fn hosts(config: &Config, connections: &[NatsBus], epoch: Epoch) -> Vec<Arc<Host>> {
    let now_ms = World::real().now_ms();
    // More than any run of the same hosts before had.
    let generation = u64::try_from(now_ms).unwrap_or(1);
    let plans = plan(config.seed, config.hosts, config.vms, now_ms);
    let of_next: Vec<Arc<VmReport>> = plans
        .iter()
        .cycle()
        .skip(1)
        .take(plans.len())
        .map(|next| Arc::new(next.machines.first().cloned().unwrap_or_default()))
        .collect();
    let buses = connections.iter().cycle();
    plans
        .into_iter()
        .zip(of_next)
        .zip(buses)
        .map(|((plan, other), bus)| {
            let bus: Arc<dyn Bus> = Arc::new(bus.clone());
            Arc::new(Host::new(plan, bus, epoch, other, generation))
        })
        .collect()
}
