//! Who is there: services that can be refreshed, what they have, and the other instances.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use contracts::call::Context;
use contracts::refresher::{Announcement, ListTargetsRequest, RefreshableClient, RefreshedBatch};
use contracts::{Status, names, subjects};
use futures::StreamExt;
use kit::bus::{BusError, Incoming};
use prost::Message as _;

use crate::Config;
use crate::shared::Shared;

const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Listens to the services, until this one stops.
pub(crate) async fn services(shared: &Shared) {
    listen(shared, &subjects::refreshable("*"), |incoming| {
        let Ok(said) = Announcement::decode(incoming.message.payload) else {
            return;
        };
        // Only a service itself may say what it serves.
        if !names::is_token(&said.service)
            || incoming.subject != subjects::refreshable(&said.service)
        {
            return;
        }
        let now_ms = shared.now_ms();
        let mut plan = shared.plan();
        if !plan.services(now_ms).contains(&said.service) {
            shared.new_service.notify_one();
        }
        plan.announced(&said.service, said.kinds, now_ms);
    })
    .await;
}

/// Listens to the other instances.
pub(crate) async fn instances(shared: &Shared) {
    listen(shared, &subjects::refreshed("*"), |incoming| {
        let Ok(batch) = RefreshedBatch::decode(incoming.message.payload) else {
            return;
        };
        if batch.instance == shared.instance {
            return;
        }
        let now_ms = shared.now_ms();
        shared.plan().heard(&batch.instance, batch.leaving, now_ms);
        let mut ledger = shared.ledger();
        batch
            .refreshed
            .into_iter()
            .for_each(|refreshed| ledger.heard(refreshed));
    })
    .await;
}

async fn listen(shared: &Shared, subject: &str, mut hear: impl FnMut(Incoming)) {
    loop {
        if let Err(error) = listen_once(shared, subject, &mut hear).await {
            tracing::warn!(subject, %error, "nothing is heard now; trying again");
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

async fn listen_once(
    shared: &Shared,
    subject: &str,
    hear: &mut impl FnMut(Incoming),
) -> Result<(), BusError> {
    let mut incoming = shared.bus.subscribe(subject).await?;
    while let Some(said) = incoming.next().await {
        hear(said);
    }
    Ok(())
}

/// Asks every service that is there what it has, now and then and when a new one is heard.
pub(crate) async fn targets(shared: &Arc<Shared>, config: &Config) {
    let interval = Duration::from_millis(config.targets_interval_ms);
    let mut known: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    loop {
        let services = shared.plan().services(shared.now_ms());
        for service in services {
            let digest = known.remove(&service).unwrap_or_default();
            match list(shared, &service, digest).await {
                Ok(digest) => _ = known.insert(service, digest),
                Err(status) => {
                    tracing::warn!(service, %status, "what it has to refresh is not known now");
                }
            }
        }
        // Either is reason enough to ask again.
        let _ = tokio::time::timeout(interval, shared.new_service.notified()).await;
    }
}

fn list(
    shared: &Arc<Shared>,
    service: &str,
    known_digest: Vec<u8>,
) -> impl Future<Output = Result<Vec<u8>, Status>> + Send {
    let (shared, service) = (Arc::clone(shared), service.to_owned());
    async move {
        let client = RefreshableClient::new(Arc::clone(&shared.caller), &service);
        let request = ListTargetsRequest { known_digest };
        let answer = client
            .list_targets(&Context::new("refresher"), &request)
            .await?;
        if answer.digest != request.known_digest {
            let mut plan = shared.plan();
            plan.set_targets(&service, answer.targets, shared.now_ms());
            shared.ledger().keep_only(|key| plan.knows(key));
            drop(plan);
            shared.wake.notify_one();
        }
        Ok(answer.digest)
    }
}
