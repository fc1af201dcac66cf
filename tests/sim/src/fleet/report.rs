//! What a stand-in for a host says of itself: that it is alive, and what changed, as the agent does it.

use std::sync::Arc;
use std::time::Duration;

use agent::core::backlog::{Backlog, Heard, Next};
use contracts::call::Context;
use contracts::host::HostPicture;
use contracts::inventory::{Heartbeat, InventoryClient, RegisterRequest};
use contracts::limits::HEARTBEAT_INTERVAL;
use contracts::subjects;
use kit::bus::{Bus, Message};
use kit::rpc::Caller;
use prost::Message as _;
use tokio::sync::mpsc;

use super::hosts::{Change, Host};
use crate::world::World;

/// Between calls to inventory while it does not take them.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Says every few seconds that the host is alive.
pub(super) async fn beat(world: World, bus: Arc<dyn Bus>, host_id: String, generation: u64) {
    let subject = subjects::heartbeat(&host_id);
    let beat = Heartbeat {
        host_id,
        generation,
    };
    loop {
        let sent = bus.publish(&subject, Message::new(beat.encode_to_vec()));
        sent.await.expect("a beat is small");
        world.pass(HEARTBEAT_INTERVAL).await;
    }
}

/// Registers, and reports what changed.
pub(super) async fn tell(
    host: Arc<Host>,
    bus: Arc<dyn Bus>,
    generation: u64,
    mut changes: mpsc::UnboundedReceiver<Change>,
) {
    let reporter = Reporter {
        inventory: InventoryClient::new(Caller::named("agent", bus)),
        context: Context::new(format!("host:{}", host.id)),
        generation,
        host,
    };
    let mut backlog = Backlog::new(&reporter.host.id, generation);
    loop {
        reporter.register().await;
        backlog.want_whole();
        while reporter.send_all(&mut backlog).await == Heard::Fine {
            match changes.recv().await {
                Some((_, Some(machine))) => backlog.changed(machine),
                Some((vm_id, None)) => backlog.removed(vm_id),
                None => return,
            }
        }
    }
}

struct Reporter {
    host: Arc<Host>,
    generation: u64,
    inventory: InventoryClient,
    context: Context,
}

impl Reporter {
    async fn register(&self) {
        let request = RegisterRequest {
            host_id: self.host.id.clone(),
            name: self.host.id.clone(),
            generation: self.generation,
            facts: Some(self.host.facts()),
            ..RegisterRequest::default()
        };
        loop {
            let answer = self.inventory.register(&self.context, &request).await;
            if answer.is_ok_and(|answer| answer.approved) {
                return;
            }
            self.host.world.pass(RETRY_INTERVAL).await;
        }
    }

    /// Until nothing is left to tell, or inventory does not know the host.
    async fn send_all(&self, backlog: &mut Backlog) -> Heard {
        loop {
            let report = match backlog.next_step() {
                Next::Nothing => return Heard::Fine,
                Next::Send(report) => report,
                Next::TakePicture => {
                    backlog.whole(HostPicture {
                        facts: Some(self.host.facts()),
                        vms: self.host.machines(),
                    });
                    continue;
                }
            };
            match self.inventory.report(&self.context, &report).await {
                Ok(answer) if backlog.answered(answer) == Heard::RegisterAgain => {
                    return Heard::RegisterAgain;
                }
                Ok(_) => {}
                Err(error) if error.retryable() => self.host.world.pass(RETRY_INTERVAL).await,
                Err(_) => {
                    self.host.world.pass(RETRY_INTERVAL).await;
                    return Heard::RegisterAgain;
                }
            }
        }
    }
}
