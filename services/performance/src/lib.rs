//! Performance: what hosts and machines use.
//!
//! - Serves: `Performance` (what uses most now, and what one object has used), and `Refreshable` (hosts of which nothing
//!   was heard).
//! - Calls: `Host.SendSamples`, which changes nothing there. It hears the samples that agents send once a minute; every
//!   instance hears all of them.
//! - Owns: an hour of one-minute samples in memory, a week of nine-minute means in files of its own. Mirrors
//!   `host_group` and `host`.
//! - Never: writes a record or an event. Nothing here is worth a place in the log: what is lost is a gap in a curve.
//!
//! Reading order: [`core`] (what is kept, and whose it is), [`week`] (the files), `samples` (hears and keeps), `api`,
//! `refresh`, `meter`.

pub mod core;
pub mod week;

mod api;
mod config;
mod meter;
mod refresh;
mod samples;

use std::sync::Arc;

use contracts::performance::{PERFORMANCE, PerformanceServer};
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
    let opening = samples::Measured::open(&own);
    let Some(opened) = parts.stop.run_until_cancelled(opening).await else {
        return Ok(());
    };
    let (measured, gate) = opened?;
    meter::tell(&measured, parts.config.export_vms);
    let api = api::Api::new(Arc::clone(&measured), Arc::clone(&parts.caller));
    let api = Arc::new(api);
    let server = Arc::new(PerformanceServer(Arc::clone(&api)));
    let subject = PERFORMANCE.subject;
    let serving = kit::rpc::serve(&parts.bus, Arc::clone(&gate), subject, server).await?;
    let subject = REFRESHABLE.subject_of_service(Config::NAME);
    let server = Arc::new(RefreshableServer(api));
    let refreshing = kit::rpc::serve(&parts.bus, gate, &subject, server).await?;
    tracing::info!("performance is ready");
    let kinds = vec![core::refresh::kind()];
    let working = async {
        tokio::join!(
            samples::run(&measured, &parts.bus),
            kit::refreshable::announce(&parts.bus, Config::NAME, kinds),
        )
    };
    parts.stop.run_until_cancelled(working).await;
    tokio::join!(serving.stop(), refreshing.stop());
    Ok(())
}
