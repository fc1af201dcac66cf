//! What happens on the hosts by itself: machines are started, stopped, paused, made and removed by other hands.

use std::sync::Arc;
use std::time::Duration;

use contracts::host::{VmReport, VmState};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::core::chance::Chance;
use crate::core::plan::newcomer;
use crate::fleet::Happened;
use crate::host::Host;

/// One of so many changes makes a machine, and one removes one.
const ONE_IN: usize = 50;

/// How much happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Churn {
    /// Machines that change, a minute and for all of the fleet.
    pub changes_per_minute: u32,
}

impl Churn {
    fn interval(self) -> Option<Duration> {
        let minute = Duration::from_secs(60);
        minute.checked_div(self.changes_per_minute)
    }
}

pub(crate) async fn run(
    hosts: Vec<Arc<Host>>,
    seed: u64,
    mut churn: watch::Receiver<Churn>,
    happened: broadcast::Sender<Happened>,
    stop: CancellationToken,
) {
    let mut chance = Chance::new(seed);
    let mut number = 0;
    let work = async {
        loop {
            let interval = churn.borrow_and_update().interval();
            let pause = async {
                match interval {
                    Some(interval) => tokio::time::sleep(interval).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = pause => {
                    number += 1;
                    let Some(host) = hosts.get(chance.below(hosts.len())) else { return };
                    if let Some(news) = change(host, number, &mut chance) {
                        // Nobody listening is no error.
                        let _ = happened.send(news);
                    }
                }
                changed = churn.changed() => if changed.is_err() { return },
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

/// Lets one thing happen on a host.
fn change(host: &Host, number: usize, chance: &mut Chance) -> Option<Happened> {
    let what = chance.below(ONE_IN);
    if what == 0 {
        return Some(make(host, number, chance));
    }
    let machines = host.hypervisor.reports();
    let machine = machines.get(chance.below(machines.len()))?;
    let at = Instant::now();
    if what == 1 {
        host.hypervisor.lose(&machine.vm_id);
        return Some(Happened {
            vm_id: machine.vm_id.clone(),
            state: None,
            at,
        });
    }
    let state = next_state(machine, chance);
    let report = host.hypervisor.bring(&machine.vm_id, state)?;
    Some(Happened {
        vm_id: report.vm_id,
        state: Some(state),
        at,
    })
}

fn make(host: &Host, number: usize, chance: &mut Chance) -> Happened {
    let machine = newcomer(number, &host.name, chance);
    let happened = Happened {
        vm_id: machine.vm_id.clone(),
        state: Some(machine.state()),
        at: Instant::now(),
    };
    host.hypervisor.put(machine);
    happened
}

fn next_state(machine: &VmReport, chance: &mut Chance) -> VmState {
    let rare = |often: VmState, rarely: VmState, chance: &mut Chance| match chance.below(8) {
        0 => rarely,
        _ => often,
    };
    match machine.state() {
        VmState::Running => rare(VmState::Stopped, VmState::Paused, chance),
        VmState::Paused => rare(VmState::Running, VmState::Saved, chance),
        _ => VmState::Running,
    }
}
