//! Webhooks: events as signed HTTP requests to addresses that people name.
//!
//! - Serves: `Webhooks` (add, list, remove, enable, test, dead letters).
//! - Calls: nobody on the bus; the endpoints of webhooks outside of it.
//! - Owns: buckets `webhook`, `webhook_state`, `webhook_lease`, `dead_letter`. Reads the stream of events.
//! - Never: shows a secret twice, follows a redirect, or lets one endpoint hold up another.
//!
//! One instance delivers, the one that holds the lease; the others stand by. Each webhook has a courier, which takes
//! events in the order of the stream and goes on only when one is taken or given up, so that order holds for each object.
//! How far it got is a record: whichever instance goes on, goes on there, and repeats at most what was under way.
//!
//! Reading order: [`core`], `store`, `send` (one request), `courier` (one webhook), `lease`, `couriers` (all of them), `api`.

pub mod core;

mod api;
mod config;
mod courier;
mod couriers;
mod lease;
mod meter;
mod send;
mod store;

use std::sync::Arc;

use contracts::webhooks::{WEBHOOKS, WebhooksServer};
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
    let opening = store::Desk::open(&own);
    let Some(opened) = parts.stop.run_until_cancelled(opening).await else {
        return Ok(());
    };
    let (desk, gate) = opened?;
    let sender = Arc::new(send::Sender::new(&parts.config));
    let api = api::Api::new(desk.clone(), Arc::clone(&sender), parts.config.clone());
    let server = Arc::new(WebhooksServer(Arc::new(api)));
    let serving = kit::rpc::serve(&parts.bus, gate, WEBHOOKS.subject, server).await?;
    tracing::info!("webhooks is ready");
    couriers::run(&desk, &sender, &parts).await;
    serving.stop().await;
    Ok(())
}
