//! Performance: what hosts and machines use.
//!
//! - Serves: `Performance` (what uses most now, and what one object has used).
//! - Calls: nobody. It hears the samples that agents send once a minute; every instance hears all of them.
//! - Owns: an hour of one-minute samples in memory, a week of nine-minute means in files of its own. Mirrors
//!   `host_group` and `host`.
//! - Never: writes a record or an event. Nothing here is worth a place in the log: what is lost is a gap in a curve.
//!
//! Reading order: [`core`] (what is kept, and whose it is), [`week`] (the files), `samples` (hears and keeps), `api`,
//! `meter`.

pub mod core;
pub mod week;

mod api;
mod config;
mod meter;
mod samples;

use std::sync::Arc;

use contracts::performance::{PERFORMANCE, PerformanceServer};
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
    let opening = samples::Measured::open(&own);
    let Some(opened) = parts.stop.run_until_cancelled(opening).await else {
        return Ok(());
    };
    let (measured, gate) = opened?;
    meter::tell(&measured, parts.config.export_vms);
    let api = Arc::new(api::Api::new(Arc::clone(&measured)));
    let server = Arc::new(PerformanceServer(api));
    let serving = kit::rpc::serve(&parts.bus, gate, PERFORMANCE.subject, server).await?;
    tracing::info!("performance is ready");
    parts
        .stop
        .run_until_cancelled(samples::run(&measured, &parts.bus))
        .await;
    serving.stop().await;
    Ok(())
}
