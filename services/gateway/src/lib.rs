//! The gateway: what people's programs talk to, as REST with server-sent events.
//!
//! **Serves** HTTP on one address: `/api/v1`, its OpenAPI document, `/healthz`, `/readyz`.
//! **Calls** Jobs (every change is a job), Placement (ratings), Planning (rules, reasons, questions), Inventory
//! (join tokens), Host (screen and console log), Refresher (kinds of refresh, and when what was refreshed).
//! **Owns** nothing: it follows the buckets of host groups, hosts, virtual machines and jobs, the stream of events, and what
//! refreshers tell.
//! **Never** changes a record, decides whether a change is possible, or calls another service to answer a read of the
//! fleet. It does not know who asks yet: until there is authorization everybody is `local`, and so it listens on
//! loopback only.

mod api;
mod config;
mod core;
mod error;
mod events;
pub mod foreign;
mod meter;
mod server;
mod store;

use std::sync::Arc;

use anyhow::Context as _;
use kit::service::Parts;

pub use config::Config;

use api::App;

/// Runs until `parts.stop` is cancelled and open requests are answered.
///
/// It listens at once; until its views have caught up it answers what needs them with "not available now".
pub async fn run(parts: Parts<Config>) -> anyhow::Result<()> {
    server::allow_many_connections();
    let listener = tokio::net::TcpListener::bind(parts.config.listen)
        .await
        .with_context(|| format!("listening on {}", parts.config.listen))?;
    tracing::info!(address = %listener.local_addr()?, "the gateway listens");
    let app = App::new(&parts);
    let opened = tokio::spawn(open(Arc::clone(&app), parts.clone()));
    server::serve(listener, &parts, api::service(app)).await?;
    opened.abort();
    Ok(())
}

async fn open(app: Arc<App>, parts: Parts<Config>) {
    match api::Ready::open(&parts).await {
        Ok(ready) if !parts.stop.is_cancelled() => {
            app.set_ready(ready);
            tracing::info!("the gateway is ready");
        }
        Ok(_) => {}
        Err(error) => {
            tracing::error!(
                error = format!("{error:#}"),
                "the gateway cannot open its store"
            );
            parts.stop.cancel();
        }
    }
}

/// The OpenAPI document, as it is served.
pub fn openapi_json() -> String {
    api::document().to_json().unwrap_or_default()
}
