//! Says once a minute what the host and its machines use: one message, whatever their number. A task of its own; one that
//! is not sent is a gap in a curve, and nothing waits for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::performance::{HostSamples, VmSample};
use contracts::subjects;
use kit::bus::{Bus, Message};
use prost::Message as _;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::core::usage::usage;
use crate::hypervisor::{Hypervisor, Reading};
use crate::store::Identity;

pub(crate) struct Sampler {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) identity: Identity,
    pub(crate) hypervisor: Arc<dyn Hypervisor>,
    pub(crate) interval: Duration,
}

impl Sampler {
    /// Goes on for ever.
    pub(crate) async fn run(self) {
        let mut last = (Instant::now(), self.hypervisor.counters().await);
        let first = last.0 + phase(&self.identity.host_id, self.interval);
        let mut ticks = interval_at(first, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = (Instant::now(), self.hypervisor.counters().await);
            let samples = self.samples(&last, &now);
            last = now;
            self.send(&samples).await;
        }
    }

    fn samples(&self, before: &(Instant, Reading), after: &(Instant, Reading)) -> HostSamples {
        let elapsed = after.0 - before.0;
        let secs = elapsed.as_secs_f64();
        let machines = before.1.vms.iter();
        let known: HashMap<_, _> = machines
            .map(|vm| ((&vm.vm_id, vm.started_ms), vm))
            .collect();
        let vms = after.1.vms.iter().map(|vm| {
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
            host: Some(usage(&before.1.host, &after.1.host, secs)),
            vms: vms.collect(),
        }
    }

    async fn send(&self, samples: &HostSamples) {
        let subject = subjects::samples(&self.identity.host_id);
        let message = Message::new(samples.encode_to_vec());
        if let Err(error) = self.bus.publish(&subject, message).await {
            tracing::debug!(%error, "samples were not sent");
        }
    }
}

/// When in the interval a host sends: always the same, and each host at another time, so that thousands of hosts that were
/// started at once do not all speak at once.
fn phase(host_id: &str, interval: Duration) -> Duration {
    let hash = blake3::hash(host_id.as_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    let part = f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX);
    interval.mul_f64(part)
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
