//! Inventory: the fleet as it is.
//!
//! - Serves: `Inventory` (hosts register and report; jobs take objects and change records; join tokens).
//! - Calls: `Jobs.Submit`, for hosts that join by a token.
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
    let server = Arc::new(InventoryServer(api));
    let serving = kit::rpc::serve(&parts.bus, gate, INVENTORY.subject, server).await?;
    tracing::info!("inventory is ready");
    tokio::join!(
        heartbeats::run(&fleet, &parts),
        housekeeping::run(&fleet, &parts.stop),
    );
    serving.stop().await;
    Ok(())
}
