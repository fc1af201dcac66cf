//! Says what the host and its machines use, once a minute, soon after a change of power, and when it is asked: one message,
//! whatever their number. A task of its own; one that is not sent is a gap in a curve, and nothing waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::performance::{HostSamples, VmSample};
use contracts::subjects;
use kit::bus::{Bus, BusError, Message};
use prost::Message as _;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::core::spread;
use crate::core::usage::usage;
use crate::hypervisor::{Change, Hypervisor, Reading, VmReading};
use crate::limits;
use crate::store::Identity;

pub(crate) struct Sampler {
    bus: Arc<dyn Bus>,
    identity: Identity,
    hypervisor: Arc<dyn Hypervisor>,
    interval: Duration,
    last: Mutex<Last>,
}

/// What was read last.
struct Last {
    /// What rates are taken since: the last reading of those that are due. One in between does not move it, or the next
    /// minute would be a part of one.
    due: Taken,
    newest: Taken,
}

/// A reading, with when it was taken.
#[derive(Clone)]
struct Taken {
    at: Instant,
    reading: Arc<Reading>,
}

impl Sampler {
    pub(crate) fn new(
        bus: Arc<dyn Bus>,
        identity: Identity,
        hypervisor: Arc<dyn Hypervisor>,
        interval: Duration,
    ) -> Self {
        let nothing = Taken {
            at: Instant::now(),
            reading: Arc::default(),
        };
        let last = Last {
            due: nothing.clone(),
            newest: nothing,
        };
        Self {
            bus,
            identity,
            hypervisor,
            interval,
            last: Mutex::new(last),
        }
    }

    /// Goes on for ever.
    pub(crate) async fn run(&self) {
        let mut changes = self.hypervisor.changes();
        let first = self.read().await;
        self.last().due = first;
        let due = Instant::now() + phase(&self.identity.host_id, self.interval);
        let mut ticks = interval_at(due, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut soon = None;
        loop {
            let sent = tokio::select! {
                _ = ticks.tick() => self.send_due().await,
                () = at(soon) => self.send().await.map(drop),
                () = self.power_changes(&mut changes) => {
                    // Many machines that are started together are one message.
                    soon = soon.or(Some(Instant::now() + limits::SAMPLES_AFTER_POWER));
                    continue;
                }
            };
            soon = None;
            if let Err(error) = sent {
                tracing::debug!(%error, "samples were not sent");
            }
        }
    }

    /// Comes back when a machine has been turned on or off, paused, or is another process.
    async fn power_changes(&self, changes: &mut broadcast::Receiver<Change>) {
        loop {
            match changes.recv().await {
                Ok(change) if !self.is_as_read(&change) => return,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// Whether the last reading has the machine in the power state that it is in now.
    fn is_as_read(&self, change: &Change) -> bool {
        let last = Arc::clone(&self.last().newest.reading);
        let read = |id: &str| last.vms.iter().find(|vm| vm.vm_id == *id);
        let life = |vm: &VmReading| (vm.state, vm.started_ms);
        match change {
            Change::Vm(report) => {
                let now = (report.started_ms != 0).then(|| (report.state(), report.started_ms));
                read(&report.vm_id).map(life) == now
            }
            Change::Removed { vm_id } => read(vm_id).is_none(),
        }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self) -> Taken {
        let at = Instant::now();
        let reading = Arc::new(self.hypervisor.counters().await);
        let taken = Taken { at, reading };
        self.last().newest = taken.clone();
        taken
    }

    async fn send_due(&self) -> Result<(), BusError> {
        let now = self.read().await;
        let before = std::mem::replace(&mut self.last().due, now.clone());
        self.publish(&self.samples(&before, &now)).await.map(drop)
    }

    /// Says now what is used; answers with the bytes of it.
    pub(crate) async fn send(&self) -> Result<u64, BusError> {
        let now = self.read().await;
        let before = self.last().due.clone();
        self.publish(&self.samples(&before, &now)).await
    }

    fn samples(&self, before: &Taken, after: &Taken) -> HostSamples {
        let elapsed = after.at.saturating_duration_since(before.at);
        let secs = elapsed.as_secs_f64();
        // Over a moment a rate is noise.
        let nothing = Reading::default();
        let before = match elapsed < limits::SAMPLED_OVER_MIN {
            true => &nothing,
            false => &*before.reading,
        };
        let machines = before.vms.iter();
        let known: HashMap<_, _> = machines
            .map(|vm| ((&vm.vm_id, vm.started_ms), vm))
            .collect();
        let vms = after.reading.vms.iter().map(|vm| {
            // Without an earlier reading of the same process there is only what needs none.
            let before = known.get(&(&vm.vm_id, vm.started_ms));
            let before = before.map(|vm| vm.counters).unwrap_or_default();
            VmSample {
                vm_id: vm.vm_id.clone(),
                state: vm.state.into(),
                started_ms: vm.started_ms,
                usage: Some(usage(&before, &vm.counters, secs)),
            }
        });
        HostSamples {
            host_id: self.identity.host_id.clone(),
            generation: self.identity.generation,
            interval_ms: u32::try_from(elapsed.as_millis()).unwrap_or(u32::MAX),
            host: Some(usage(&before.host, &after.reading.host, secs)),
            vms: vms.collect(),
        }
    }

    async fn publish(&self, samples: &HostSamples) -> Result<u64, BusError> {
        let subject = subjects::samples(&self.identity.host_id);
        let payload = samples.encode_to_vec();
        let bytes = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        self.bus.publish(&subject, Message::new(payload)).await?;
        Ok(bytes)
    }
}

/// Comes back at a moment; never, where there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// When in the interval a host sends: always the same, and each host at another time, so that thousands of hosts that were
/// started at once do not all speak at once.
fn phase(host_id: &str, interval: Duration) -> Duration {
    interval.mul_f64(spread::fraction(host_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_send_at_times_of_their_own() {
        let minute = Duration::from_secs(60);
        let phases: Vec<Duration> = (0..600)
            .map(|n| phase(&format!("host-{n}"), minute))
            .collect();
        assert_eq!(phases[0], phase("host-0", minute));
        for part in 0..6 {
            let is_in = |p: &&Duration| p.as_secs() / 10 == part;
            let count = phases.iter().filter(is_in).count();
            assert!((60..140).contains(&count), "{count} of 600 in one sixth");
        }
    }
}
