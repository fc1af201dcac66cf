//! All couriers: one for each webhook that is enabled, while this instance has the lease.

use std::collections::HashMap;
use std::sync::Arc;

use kit::service::Parts;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Config;
use crate::courier::Courier;
use crate::lease;
use crate::send::Sender;
use crate::store::Desk;

struct Couriers<'a> {
    desk: &'a Desk,
    sender: &'a Arc<Sender>,
    config: &'a Config,
    tasks: TaskTracker,
    /// By webhook: the revision that the courier works by, and what ends it.
    at_work: HashMap<String, (u64, CancellationToken)>,
}

/// Runs until the service stops and every delivery under way has ended.
pub(crate) async fn run(desk: &Desk, sender: &Arc<Sender>, parts: &Parts<Config>) {
    let me = parts.world.new_id();
    let (held, holds) = watch::channel(false);
    let mut couriers = Couriers {
        desk,
        sender,
        config: &parts.config,
        tasks: TaskTracker::new(),
        at_work: HashMap::new(),
    };
    let work = async {
        tokio::join!(lease::run(desk, &me, &held), couriers.manage(holds));
    };
    parts.stop.run_until_cancelled(work).await;
    couriers.end_all();
    couriers.tasks.close();
    couriers.tasks.wait().await;
    lease::give_up(desk, &me).await;
}

impl Couriers<'_> {
    /// Goes on for ever.
    async fn manage(&mut self, mut holds: watch::Receiver<bool>) {
        let mut changes = self.desk.webhooks.changes();
        loop {
            if *holds.borrow_and_update() {
                self.reconcile();
            } else {
                self.end_all();
            }
            tokio::select! {
                // That some were missed is no matter: all are looked at.
                _ = changes.recv() => {}
                changed = holds.changed() => if changed.is_err() { return },
            }
        }
    }

    fn end_all(&mut self) {
        for (_, (_, stop)) in self.at_work.drain() {
            stop.cancel();
        }
    }

    fn reconcile(&mut self) {
        let webhooks = match self.desk.webhooks.list() {
            Ok(webhooks) => webhooks,
            Err(error) => {
                tracing::warn!(%error, "webhooks cannot be read now; deliveries go on as they were");
                return;
            }
        };
        self.at_work.retain(|id, (revision, stop)| {
            let is_same = |w: &&kit::records::Stored<_>| w.id == *id && w.revision == *revision;
            let goes_on = webhooks.iter().any(|w| is_same(&w));
            if !goes_on {
                stop.cancel();
            }
            goes_on
        });
        for webhook in webhooks.into_iter().filter(|webhook| webhook.value.enabled) {
            if self.at_work.contains_key(&webhook.id) {
                continue;
            }
            let stop = CancellationToken::new();
            self.at_work
                .insert(webhook.id, (webhook.revision, stop.clone()));
            let courier = Courier {
                desk: self.desk.clone(),
                sender: Arc::clone(self.sender),
                patience: self.config.patience(),
                webhook: webhook.value,
                stop,
            };
            self.tasks.spawn(courier.run());
        }
    }
}
