//! Inventory: the fleet as it is.
//!
//! - Serves: `Inventory` (hosts register and report; jobs take objects and change records; join tokens) and
//!   `Refreshable` (hosts and their machines, looked at afresh).
//! - Calls: `Jobs.Submit`, for hosts that join by a token; `Host.Refresh`, which changes nothing there; `Jobs.Record`, for
//!   what a refresh has found.
//! - Owns: buckets `host_group`, `host`, `vm`, `vm_name`, `join_token`. Mirrors `job`, to know whether the holder of an
//!   object may still act.
//! - Hears: heartbeats, kept in memory only.
//! - Never: commands a host, decides where a machine goes, or keeps what another instance would need to know.
//!
//! Reading order: [`core`] decides, `store` keeps, `api` answers, `heartbeats` and `housekeeping` run beside it.

pub mod core;

mod api;
mod config;
mod heartbeats;
mod housekeeping;
mod store;

use std::sync::Arc;

use contracts::inventory::{INVENTORY, InventoryServer};
use contracts::refresher::{REFRESHABLE, RefreshableServer};
use kit::config::Section;
use kit::service::Parts;
use tokio_util::sync::CancellationToken;

pub use config::Config;

/// Runs one instance until `parts.stop` is cancelled and every request that was taken is answered.
pub async fn run(parts: Parts<Config>) -> anyhow::Result<()> {
    // Views must follow their logs until the last handler has answered.
    let drained = CancellationToken::new();
    let _ends_with_us = drained.clone().drop_guard();
    let own = Parts {
        stop: drained.clone(),
        ..parts.clone()
    };
    let opening = store::Fleet::open(&own);
    let Some(opened) = parts.stop.run_until_cancelled(opening).await else {
        return Ok(());
    };
    let (fleet, gate) = opened?;
    let api = Arc::new(api::Api::new(fleet.clone(), &parts));
    let server = Arc::new(InventoryServer(Arc::clone(&api)));
    let serving = kit::rpc::serve(&parts.bus, Arc::clone(&gate), INVENTORY.subject, server).await?;
    let subject = REFRESHABLE.subject_of_service(Config::NAME);
    let server = Arc::new(RefreshableServer(api));
    let refreshing = kit::rpc::serve(&parts.bus, gate, &subject, server).await?;
    tracing::info!("inventory is ready");
    let announcing = kit::refreshable::announce(&parts.bus, Config::NAME, core::refresh::kinds());
    tokio::join!(
        heartbeats::run(&fleet, &parts),
        housekeeping::run(&fleet, &parts.stop),
        parts.stop.run_until_cancelled(announcing),
    );
    tokio::join!(serving.stop(), refreshing.stop());
    Ok(())
}
