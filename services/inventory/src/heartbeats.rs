//! Hosts that fall silent and hosts that are heard again. Heartbeats are kept in memory only; the record changes when the
//! status does. Every instance listens and any may write: the compare-and-set makes it one change.

use std::sync::Arc;
use std::time::Duration;

use contracts::call::Context;
use contracts::inventory::host::Status as HostStatus;
use contracts::inventory::{Heartbeat, Host};
use contracts::records::Record;
use contracts::{Status, subjects};
use futures::future::{Fuse, FusedFuture};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use kit::bus::{Bus, BusError, Incoming};
use kit::records::Decision;
use kit::service::Parts;
use prost::Message as _;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::Config;
use crate::core::liveness::Liveness;
use crate::core::registration::{has_new_status, is_approved, with_status};
use crate::store::Fleet;

/// How often silent hosts are looked for. Less than a heartbeat, so that it adds little to the time until one is noticed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How late the bus may answer and still count as heard. Too low and a busy bus hides silent hosts; too high and hosts
/// count as silent because of an outage of the bus.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);

/// Records that are written at the same time when many hosts fall silent at once.
const WRITES_AT_ONCE: usize = 32;

struct Watch<'a> {
    fleet: &'a Fleet,
    bus: &'a Arc<dyn Bus>,
    liveness: Liveness,
    silence_max_ms: u64,
    started: Instant,
    tasks: TaskTracker,
    /// The look that runs now: a slow one must not be overtaken by the next.
    marking: Option<tokio::task::JoinHandle<()>>,
}

/// Runs until the service stops.
pub(crate) async fn run(fleet: &Fleet, parts: &Parts<Config>) {
    let mut watch = Watch {
        fleet,
        bus: &parts.bus,
        liveness: Liveness::new(parts.config.host_silence_max_ms, 0),
        silence_max_ms: parts.config.host_silence_max_ms,
        started: Instant::now(),
        tasks: TaskTracker::new(),
        marking: None,
    };
    parts.stop.run_until_cancelled(watch.listen()).await;
    watch.tasks.close();
    watch.tasks.wait().await;
}

impl Watch<'_> {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn listen(&mut self) {
        loop {
            if let Err(error) = self.listen_once().await {
                tracing::warn!(%error, "heartbeats are not heard now; trying again");
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
            let now_ms = self.now_ms();
            self.liveness.start_over(now_ms);
        }
    }

    async fn listen_once(&mut self) -> Result<(), BusError> {
        let mut heartbeats: BoxStream<'static, Incoming> =
            self.bus.subscribe(&subjects::all_heartbeats()).await?;
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut probe = Fuse::terminated();
        loop {
            tokio::select! {
                heartbeat = heartbeats.next() => match heartbeat {
                    Some(heartbeat) => self.hear(&heartbeat),
                    None => return Ok(()),
                },
                _ = look.tick(), if probe.is_terminated() => {
                    probe = probe_bus(Arc::clone(self.bus)).boxed().fuse();
                }
                bus_answers = &mut probe => self.look(bus_answers),
            }
        }
    }

    /// Only the agent that is registered counts; what is unknown or newer has to register first.
    fn hear(&mut self, incoming: &Incoming) {
        let Ok(heartbeat) = Heartbeat::decode(incoming.message.payload.clone()) else {
            return;
        };
        if incoming.subject != subjects::heartbeat(&heartbeat.host_id) {
            return;
        }
        // Whoever looks for silent hosts says so, once a second.
        let Ok(hosts) = self.fleet.all_hosts.snapshot() else {
            return;
        };
        let known = hosts.get(&heartbeat.host_id).cloned();
        drop(hosts);
        let Some(host) = known.filter(|host| host.generation == heartbeat.generation) else {
            return;
        };
        let now_ms = self.now_ms();
        self.liveness.heard(&host.id, now_ms);
        if is_approved(&host) && host.status() == HostStatus::NotResponding {
            let fleet = self.fleet.clone();
            self.tasks.spawn(async move {
                let (from, to) = (HostStatus::NotResponding, HostStatus::Responding);
                report_failure(&host.id, mark(&fleet, &host.id, from, to).await);
            });
        }
    }

    /// Nobody is silent while it is we who cannot hear.
    fn look(&mut self, bus_answers: bool) {
        let now_ms = self.now_ms();
        if !bus_answers {
            return self.liveness.start_over(now_ms);
        }
        let hosts = match self.fleet.all_hosts.snapshot() {
            Ok(hosts) => hosts,
            Err(status) => return tracing::error!(%status, "hosts could not be looked at"),
        };
        self.liveness.keep_only(|id| hosts.get(id).is_some());
        let (wall_ms, silence_max_ms) = (self.fleet.now_ms(), self.silence_max_ms);
        let silent: Vec<String> = hosts
            .records()
            .filter(|host| is_approved(host))
            .filter(|host| host.status() != HostStatus::NotResponding)
            .filter(|host| !has_new_status(host, silence_max_ms, wall_ms))
            .filter(|host| self.liveness.is_silent(&host.id, now_ms))
            .map(|host| host.id.clone())
            .collect();
        drop(hosts);
        let is_busy = self
            .marking
            .as_ref()
            .is_some_and(|marking| !marking.is_finished());
        if !silent.is_empty() && !is_busy {
            let fleet = self.fleet.clone();
            self.marking = Some(self.tasks.spawn(mark_silent(fleet, silent)));
        }
    }
}

/// Whether the bus answers at once. A connection that was lost, even for a moment, shows as an answer that is late.
async fn probe_bus(bus: Arc<dyn Bus>) -> bool {
    let log = subjects::bucket_stream(Host::BUCKET);
    matches!(
        tokio::time::timeout(PROBE_PATIENCE, bus.info(&log)).await,
        Ok(Ok(_))
    )
}

async fn mark_silent(fleet: Fleet, silent: Vec<String>) {
    futures::stream::iter(silent)
        .for_each_concurrent(WRITES_AT_ONCE, |id| {
            let fleet = &fleet;
            async move {
                tracing::warn!(host = id, "the host is not responding");
                let (from, to) = (HostStatus::Responding, HostStatus::NotResponding);
                report_failure(&id, mark(fleet, &id, from, to).await);
            }
        })
        .await;
}

async fn mark(fleet: &Fleet, id: &str, from: HostStatus, to: HostStatus) -> Result<(), Status> {
    let now_ms = fleet.now_ms();
    let context = Context::new("system");
    fleet
        .hosts
        .update(&context, id, |current| {
            Ok(match current {
                Some(host) if is_approved(&host.value) && host.value.status() == from => {
                    Decision::Put(with_status(&host.value, to, now_ms), ())
                }
                _ => Decision::Keep(()),
            })
        })
        .await
}

fn report_failure(host_id: &str, result: Result<(), Status>) {
    if let Err(status) = result {
        tracing::warn!(host = host_id, %status, "the host's status was not written; it is tried again");
    }
}
