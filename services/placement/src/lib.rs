//! Placement: which host.
//!
//! - Serves: `Placement` (rate hosts for a machine, choose one and claim its capacity, give a claim back), `Planning` (the
//!   same for a batch; rules; decisions made again; questions about a fleet that is not).
//! - Calls: nobody.
//! - Owns: bucket `host_claims`, one record a host: all capacity that was promised there and is not yet seen in
//!   inventory; bucket `placement_rule`. Mirrors `host_group`, `host`, `vm`.
//! - Never: commands a host, or changes what inventory knows.
//!
//! Reading order: [`core`] rates and counts; `live` is the fleet in memory, brought up to date by `feed`; `writer` writes
//! claims; `api` answers; `housekeeping` forgets claims that nobody uses.

pub mod core;

mod api;
mod config;
mod feed;
mod housekeeping;
mod learned;
mod live;
mod meter;
mod store;
mod writer;

use std::sync::Arc;

use contracts::placement::{PLACEMENT, PLANNING, PlacementServer, PlanningServer};
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
    let opening = store::Store::open(&own);
    let Some(opened) = parts.stop.run_until_cancelled(opening).await else {
        return Ok(());
    };
    let (store, gate) = opened?;
    let api = Arc::new(api::Api::new(store.clone(), parts.config.defaults()));
    let placing = Arc::new(PlacementServer(Arc::clone(&api)));
    let planning = Arc::new(PlanningServer(api));
    let (bus, second_gate) = (&parts.bus, Arc::clone(&gate));
    let placing = kit::rpc::serve(bus, gate, PLACEMENT.subject, placing).await?;
    let planning = kit::rpc::serve(bus, second_gate, PLANNING.subject, planning).await?;
    tracing::info!("placement is ready");
    let folder = parts.folder();
    tokio::join!(
        housekeeping::run(&store, &parts.stop),
        parts
            .stop
            .run_until_cancelled(learned::keep(&store, &folder)),
    );
    tokio::join!(placing.stop(), planning.stop());
    learned::save(&store, &folder);
    Ok(())
}
