//! Tells inventory what there is: registers until the host is approved, then reports what changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use contracts::Status;
use contracts::call::{Call, Context};
use contracts::host::{HostFacts, HostPicture};
use contracts::inventory::{InventoryClient, RegisterRequest};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::core::backlog::{Backlog, Heard, Next};
use crate::core::{facts, spread};
use crate::hypervisor::{Change, Hypervisor};
use crate::store::Identity;
use crate::{limits, meter};

pub(crate) struct Reporter {
    pub(crate) inventory: InventoryClient,
    pub(crate) hypervisor: Arc<dyn Hypervisor>,
    pub(crate) identity: Identity,
    pub(crate) name: String,
    pub(crate) join_token: String,
    context: Context,
    /// Changes that inventory has not acknowledged, for those who would tell it something newer.
    untold: Arc<AtomicUsize>,
}

/// Waits longer after each failure in a row, each host for times of its own: thousands lose a bus at the same moment, and
/// must not all come back at the same one.
struct Patience {
    longest: Duration,
    /// Of the longest time, what this host waits.
    part: f64,
}

impl Patience {
    fn new(host_id: &str) -> Self {
        Self {
            longest: limits::RETRY_MIN,
            part: 0.5 + spread::fraction(host_id) / 2.0,
        }
    }

    fn next(&mut self) -> Duration {
        let pause = self.longest.mul_f64(self.part);
        self.longest = (self.longest * 2).min(limits::RETRY_MAX);
        pause
    }

    async fn wait(&mut self) {
        sleep(self.next()).await;
    }
}

impl Reporter {
    pub(crate) fn new(
        caller: Arc<dyn Call>,
        hypervisor: Arc<dyn Hypervisor>,
        identity: Identity,
        name: String,
        join_token: String,
        untold: Arc<AtomicUsize>,
    ) -> Self {
        let context = Context::new(format!("host:{}", identity.host_id));
        Self {
            inventory: InventoryClient::new(caller),
            hypervisor,
            identity,
            name,
            join_token,
            context,
            untold,
        }
    }

    /// Goes on for ever.
    pub(crate) async fn run(self) {
        let mut backlog = Backlog::new(&self.identity.host_id, self.identity.generation);
        loop {
            self.register().await;
            backlog.want_whole();
            self.report(&mut backlog).await;
        }
    }

    /// Asks until inventory says that the host is approved.
    async fn register(&self) {
        let mut patience = Patience::new(&self.identity.host_id);
        let mut last_word = String::new();
        loop {
            let (word, pause) = match self.register_once().await {
                Ok(answer) if answer.approved => {
                    tracing::info!(
                        host = self.name,
                        id = self.identity.host_id,
                        "the host is in the fleet"
                    );
                    return;
                }
                Ok(answer) => {
                    let pause = Duration::from_millis(answer.retry_after_ms.into());
                    (
                        answer.message,
                        pause.clamp(limits::RETRY_MAX, limits::ASK_AGAIN_MAX),
                    )
                }
                Err(status) => (status.to_string(), patience.next()),
            };
            if word != last_word {
                tracing::info!(host = self.name, word, "the host is not in the fleet yet");
                last_word = word;
            }
            sleep(pause).await;
        }
    }

    async fn register_once(&self) -> Result<contracts::inventory::RegisterResponse, Status> {
        let request = RegisterRequest {
            host_id: self.identity.host_id.clone(),
            name: self.name.clone(),
            generation: self.identity.generation,
            join_token: self.join_token.clone(),
            facts: Some(self.hypervisor.facts().await),
        };
        self.inventory.register(&self.context, &request).await
    }

    /// Reports until inventory does not know the host any more.
    async fn report(&self, backlog: &mut Backlog) {
        let mut changes = self.hypervisor.changes();
        let mut told = HostFacts::default();
        let mut told_at = Instant::now();
        let mut ticks = interval_at(
            Instant::now() + limits::FACTS_INTERVAL,
            limits::FACTS_INTERVAL,
        );
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.send_all(backlog, &mut changes, &mut told).await == Heard::RegisterAgain {
                return;
            }
            tokio::select! {
                change = changes.recv() => note(backlog, change),
                _ = ticks.tick() => {
                    let now = self.hypervisor.facts().await;
                    let is_old = told_at.elapsed() >= limits::FACTS_RETOLD;
                    if is_old || facts::differ(&told, &now) {
                        told = now.clone();
                        told_at = Instant::now();
                        backlog.facts(now);
                    }
                }
            }
            // What came together goes together.
            while let Ok(change) = changes.try_recv() {
                note(backlog, Ok(change));
            }
        }
    }

    /// Sends until nothing is left, however long inventory is away. Changes wait in their channel meanwhile; when they
    /// overflow it, the whole picture is sent instead.
    async fn send_all(
        &self,
        backlog: &mut Backlog,
        changes: &mut broadcast::Receiver<Change>,
        told: &mut HostFacts,
    ) -> Heard {
        let mut patience = Patience::new(&self.identity.host_id);
        loop {
            let waiting = backlog.waiting() + changes.len();
            self.untold.store(waiting, Ordering::Relaxed);
            meter::note_backlog(waiting);
            let report = match backlog.next_step() {
                Next::Nothing => return Heard::Fine,
                Next::Send(report) => report,
                Next::TakePicture => {
                    // Changes from before the picture are in it.
                    *changes = self.hypervisor.changes();
                    let picture = self.picture().await;
                    *told = picture.facts.clone().unwrap_or_default();
                    backlog.whole(picture);
                    continue;
                }
            };
            match self.inventory.report(&self.context, &report).await {
                Ok(answer) if answer.retry_after_ms > 0 => {
                    let pause = Duration::from_millis(answer.retry_after_ms.into());
                    sleep(pause.min(limits::ASK_AGAIN_MAX)).await;
                }
                Ok(answer) => {
                    if backlog.answered(answer) == Heard::RegisterAgain {
                        return Heard::RegisterAgain;
                    }
                }
                Err(status) if status.retryable() => {
                    tracing::debug!(number = report.number, %status, "a report was not taken");
                    patience.wait().await;
                }
                Err(status) => {
                    tracing::warn!(number = report.number, %status, "a report was refused");
                    sleep(limits::RETRY_MAX).await;
                    return Heard::RegisterAgain;
                }
            }
        }
    }

    async fn picture(&self) -> HostPicture {
        HostPicture {
            facts: Some(self.hypervisor.facts().await),
            vms: self.hypervisor.machines().await,
        }
    }
}

fn note(backlog: &mut Backlog, change: Result<Change, RecvError>) {
    match change {
        Ok(Change::Vm(report)) => backlog.changed(*report),
        Ok(Change::Removed { vm_id }) => backlog.removed(vm_id),
        // Some were lost.
        Err(_) => backlog.want_whole(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_lose_the_bus_together_come_back_at_times_of_their_own() {
        let fifth = |host: String| {
            let mut patience = Patience::new(&host);
            (0..5).map(|_| patience.next()).sum::<Duration>()
        };
        let mut times: Vec<Duration> = (0..600).map(|n| fifth(format!("host-{n}"))).collect();
        times.sort_unstable();
        // Over 2.9 s; in no tenth of a second are many more than their part.
        let together = |from: &Duration| {
            let tenth = *from..*from + Duration::from_millis(100);
            times.iter().filter(|time| tenth.contains(*time)).count()
        };
        let fullest = times.iter().map(together).max();
        assert!(fullest < Some(60), "{fullest:?} of 600");
    }
}
