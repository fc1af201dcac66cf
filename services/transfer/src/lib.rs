//! Transfer: files from host to host.
//!
//! - Serves: `Transfer` (plan, start, get and cancel copies; set throttles; certificates for data ends).
//! - Calls: the data ends of hosts.
//! - Says: how far each transfer is, for its job.
//! - Owns: buckets `transfer` (what is to be copied and how it stands), `data_end` (where each host's data end listens) and
//!   `transfer_authority` (the keys that certificates and tickets are signed with). Mirrors `host`,
//!   `host_group` and `library_server`.
//! - Never: touches a byte of a file, or knows what a file is for.
//!
//! Reading order: [`core`] decides, `authority` signs, `store` keeps, `api` answers, `driver` sees every transfer through.

pub mod core;

mod api;
mod authority;
mod config;
mod driver;
mod meter;
mod store;

use std::sync::Arc;

use contracts::transfer::{TRANSFER, TransferServer};
use kit::service::Parts;
use tokio_util::sync::CancellationToken;

pub use config::Config;

/// Runs one instance until `parts.stop` is cancelled and every request that was taken is answered. What is being copied
/// goes on at the hosts, and another instance, or the next start, sees it through.
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
    let driver = driver::Driver::new(&parts, store.clone());
    let api = api::Api::new(&parts, store, Arc::clone(&driver));
    let server = Arc::new(TransferServer(Arc::new(api)));
    let serving = kit::rpc::serve(&parts.bus, gate, TRANSFER.subject, server).await?;
    tracing::info!("transfer is ready");
    driver.run(&parts.stop).await;
    serving.stop().await;
    Ok(())
}
