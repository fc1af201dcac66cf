//! Refresher: what is stale, and asking for it.
//!
//! - Serves: `Refresher` (refresh something now, set intervals, tell when what was refreshed).
//! - Calls: `Refreshable` of every service that announces itself: what there is to refresh, and the refresh itself.
//! - Owns: bucket `refresher`, the intervals that somebody has set. Mirrors `host_group`, since they can be set on one.
//! - Hears and says: which services there are, which other instances, and each second what was refreshed.
//! - Never: knows what a target is made of, or writes to the log that something was refreshed.
//!
//! A kind of refresh comes with the service that brings its subject; nothing here names one. Instances share the targets
//! among themselves and need no leader: each knows the others by what they say each second.
//!
//! Reading order: [`core`] decides, `shared` is what the parts have in common, `work` refreshes, `hear` and `tell` keep
//! in touch, `store` keeps, `api` answers.

pub mod core;

mod api;
mod config;
mod hear;
mod meter;
mod shared;
mod store;
mod tell;
mod work;

use std::sync::Arc;

use contracts::refresher::{REFRESHER, RefresherServer};
use kit::service::Parts;
use tokio_util::sync::CancellationToken;

pub use config::Config;

use crate::shared::Shared;

/// Runs one instance until `parts.stop` is cancelled and every request that was taken is answered.
pub async fn run(parts: Parts<Config>) -> anyhow::Result<()> {
    // Views must follow their logs until the last handler has answered.
    let drained = CancellationToken::new();
    let _ends_with_us = drained.clone().drop_guard();
    let own = Parts {
        stop: drained.clone(),
        ..parts.clone()
    };
    let Some(opened) = parts.stop.run_until_cancelled(store::open(&own)).await else {
        return Ok(());
    };
    let (settings, gate) = opened?;
    let folder = parts.folder();
    let shared = Arc::new(Shared::new(&parts, store::load(&folder)));
    let api = Arc::new(api::Api::new(Arc::clone(&shared), settings.clone()));
    let server = Arc::new(RefresherServer(api));
    let serving = kit::rpc::serve(&parts.bus, gate, REFRESHER.subject, server).await?;
    tracing::info!(instance = shared.instance, "refresher is ready");
    let working = async {
        tokio::join!(
            settings.follow(&shared),
            hear::services(&shared),
            hear::instances(&shared),
            hear::targets(&shared, &parts.config),
            tell::run(&shared),
            store::keep(&shared, &folder),
            work::run(&shared),
        )
    };
    parts.stop.run_until_cancelled(working).await;
    shared.drain().await;
    tell::leave(&shared).await;
    store::save(shared.ledger().all(), &folder);
    serving.stop().await;
    Ok(())
}
