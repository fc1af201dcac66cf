//! Hearing samples, and keeping them: the hour in memory, the week in files.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::host::VmState;
use contracts::inventory::{Host, HostGroup, host};
use contracts::performance::{HostSamples, VmSample};
use contracts::{Status, names, subjects};
use futures::StreamExt;
use kit::bus::{Bus, BusError, Incoming};
use kit::records::Mirror;
use kit::rpc::Gate;
use kit::service::Parts;
use kit::world::World;
use prost::Message as _;
use tokio::time::MissedTickBehavior;

use crate::core::fleet::{Fleet, Refused};
use crate::core::{figures, pack};
use crate::week::{INTERVAL_MS, Week, key};
use crate::{Config, meter};

/// Machines that one host may sample: as many as Hyper-V runs on one. A message with more is nonsense.
const VMS_PER_HOST_MAX: usize = 1_024;

pub(crate) const MINUTE_MS: i64 = 60_000;

/// How often it is looked whether an interval of nine minutes is over.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

const RETRY_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Measured {
    pub(crate) groups: Mirror<HostGroup>,
    pub(crate) hosts: Mirror<Host>,
    world: World,
    fleet: Mutex<Fleet>,
    week: Mutex<Week>,
}

impl Measured {
    pub(crate) async fn open(parts: &Parts<Config>) -> anyhow::Result<(Arc<Self>, Arc<dyn Gate>)> {
        let store = parts.open_store()?;
        let measured = Self {
            groups: store.mirror().await?,
            hosts: store.mirror().await?,
            world: parts.world.clone(),
            fleet: Mutex::new(Fleet::new(parts.config.objects_max)),
            week: Mutex::new(Week::open(&parts.folder().join("week"))?),
        };
        Ok((Arc::new(measured), store))
    }

    pub(crate) fn fleet(&self) -> MutexGuard<'_, Fleet> {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Files: to be asked where waiting for a disk holds up nobody.
    pub(crate) fn week(&self) -> MutexGuard<'_, Week> {
        self.week.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.world.now_ms()
    }

    pub(crate) fn minute(&self) -> i64 {
        self.now_ms().div_euclid(MINUTE_MS)
    }

    fn interval(&self) -> i64 {
        self.now_ms().div_euclid(INTERVAL_MS)
    }

    fn hear(&self, incoming: &Incoming) {
        let outcome = match self.read(incoming) {
            Ok(samples) => {
                let refused = self.fleet().take(&samples, self.minute());
                tell_refused(&samples.host_id, &refused)
            }
            Err(outcome) => outcome,
        };
        meter::count(outcome);
    }

    /// Samples of a host that takes part; else why they are not taken.
    fn read(&self, incoming: &Incoming) -> Result<HostSamples, &'static str> {
        let Ok(samples) = HostSamples::decode(incoming.message.payload.clone()) else {
            tracing::warn!(
                subject = incoming.subject,
                "samples cannot be read and are passed over"
            );
            return Err("unreadable");
        };
        if incoming.subject != subjects::samples(&samples.host_id) {
            return Err("unreadable");
        }
        let host = self.hosts.get(&samples.host_id);
        let takes_part = |host: &Host| host.approval() == host::Approval::Approved;
        if !matches!(host, Ok(Some(host)) if takes_part(&host.value)) {
            return Err("unknown_host");
        }
        if !is_sensible(&samples) {
            tracing::warn!(
                host = samples.host_id,
                "samples make no sense and are passed over"
            );
            return Err("unreadable");
        }
        Ok(samples)
    }

    /// Writes the means of the interval that has ended.
    fn keep_means(&self, ended: i64) {
        let means = self.fleet().take_means(self.minute());
        let means = means.iter();
        let packed = means.map(|(kind, id, figures)| (key(*kind, id), pack::coarse(figures)));
        if let Err(error) = self.week().append(ended, packed.collect()) {
            tracing::error!(%error, "nine minutes of means were not written and are lost");
        }
    }
}

fn is_sensible(samples: &HostSamples) -> bool {
    let is_sound =
        |vm: &VmSample| names::is_token(&vm.vm_id) && VmState::try_from(vm.state).is_ok();
    samples.vms.len() <= VMS_PER_HOST_MAX && samples.vms.iter().all(is_sound)
}

fn tell_refused(host_id: &str, refused: &Refused) -> &'static str {
    if refused.too_many > 0 {
        let objects = refused.too_many;
        tracing::warn!(
            host_id,
            objects,
            "no room for more samples: raise performance.objects_max"
        );
        return "too_many";
    }
    if refused.foreign > 0 {
        let machines = refused.foreign;
        tracing::warn!(
            host_id,
            machines,
            "the host has sampled machines that another host runs"
        );
        return "foreign";
    }
    "taken"
}

/// Goes on for ever.
pub(crate) async fn run(measured: &Arc<Measured>, bus: &Arc<dyn Bus>) {
    tokio::join!(keep(measured), listen(measured, bus));
}

async fn keep(measured: &Arc<Measured>) {
    let mut present = measured.interval();
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let now = measured.interval();
        if now == present {
            continue;
        }
        let (measured, ended) = (Arc::clone(measured), std::mem::replace(&mut present, now));
        let written = tokio::task::spawn_blocking(move || measured.keep_means(ended)).await;
        if let Err(error) = written {
            tracing::error!(%error, "nine minutes of means were not written and are lost");
        }
    }
}

async fn listen(measured: &Measured, bus: &Arc<dyn Bus>) {
    loop {
        if let Err(error) = listen_once(measured, bus).await {
            tracing::warn!(%error, "samples are not heard now; trying again");
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

async fn listen_once(measured: &Measured, bus: &Arc<dyn Bus>) -> Result<(), BusError> {
    let mut samples = bus.subscribe(&subjects::samples("*")).await?;
    while let Some(incoming) = samples.next().await {
        measured.hear(&incoming);
    }
    Ok(())
}

/// The place of a figure in a sample.
pub(crate) fn figure(name: &str) -> Result<usize, Status> {
    let name = if name.is_empty() { "cpu" } else { name };
    let known = figures::NAMES.iter().find(|(known, _)| *known == name);
    known.map(|(_, place)| *place).ok_or_else(|| {
        let all: Vec<&str> = figures::NAMES.iter().map(|(name, _)| *name).collect();
        Status::invalid("sort", format!("{:?} is no figure.", names::shorten(name)))
            .action(format!("Sort by one of: {}.", all.join(", ")))
    })
}
