//! Placement: which host.
//!
//! - Serves: `Placement` (rate hosts for a machine, choose one and claim its capacity, give a claim back).
//! - Calls: nobody.
//! - Owns: bucket `host_claims`, one record a host: all capacity that was promised there and is not yet seen in
//!   inventory. Mirrors `host_group`, `host`, `vm`.
//! - Never: commands a host, or changes what inventory knows.
//!
//! Reading order: [`core`] rates and counts, `store` gathers what it needs, `api` answers, `housekeeping` forgets claims
//! that nobody uses.

pub mod core;

mod api;
mod config;
mod housekeeping;
mod store;

use std::sync::Arc;

use contracts::placement::{PLACEMENT, PlacementServer};
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
    let opening = store::Capacity::open(&own);
    let Some(opened) = parts.stop.run_until_cancelled(opening).await else {
        return Ok(());
    };
    let (capacity, gate) = opened?;
    let api = Arc::new(api::Api::new(capacity.clone(), parts.config.clone()));
    let server = Arc::new(PlacementServer(api));
    let serving = kit::rpc::serve(&parts.bus, gate, PLACEMENT.subject, server).await?;
    tracing::info!("placement is ready");
    housekeeping::run(&capacity, &parts.stop).await;
    serving.stop().await;
    Ok(())
}
