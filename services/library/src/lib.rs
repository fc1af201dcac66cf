//! Library: files on shares of library servers that machines are made from.
//!
//! - Serves: `Library` (servers register and report; people add servers and shares and describe items), `Templates`
//!   (templates and profiles, and what they mean now) and `Refreshable` (shares, looked at afresh).
//! - Calls: `LibraryEnd` of library servers; `Jobs.Record`, for what a refresh has found.
//! - Owns: buckets `library_server`, `library_share`, `library_item`, `template`, `hardware_profile`, `guest_profile` and
//!   `guest_user_data`.
//! - Hears: heartbeats of library servers, kept in memory only.
//! - Never: touches a file, or says what a file is: the library server does.
//!
//! Reading order: [`core`] decides, `store` keeps, `api` answers, `heard` and `sweep` run beside it.

pub mod core;

mod api;
mod config;
mod heard;
mod store;
mod sweep;

use std::sync::Arc;

use contracts::library::{LIBRARY, LibraryServer, TEMPLATES, TemplatesServer};
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
    let opening = store::Desk::open(&own);
    let Some(opened) = parts.stop.run_until_cancelled(opening).await else {
        return Ok(());
    };
    let (desk, gate) = opened?;
    let heard = Arc::new(heard::Heard::new(&parts.config));
    let api = Arc::new(api::Api::new(desk.clone(), Arc::clone(&heard), &parts));
    let server = Arc::new(LibraryServer(Arc::clone(&api)));
    let serving = kit::rpc::serve(&parts.bus, Arc::clone(&gate), LIBRARY.subject, server).await?;
    let server = Arc::new(TemplatesServer(Arc::clone(&api)));
    let templates = kit::rpc::serve(&parts.bus, Arc::clone(&gate), TEMPLATES.subject, server);
    let templates = templates.await?;
    let subject = REFRESHABLE.subject_of_service(Config::NAME);
    let server = Arc::new(RefreshableServer(api));
    let refreshing = kit::rpc::serve(&parts.bus, gate, &subject, server).await?;
    tracing::info!("library is ready");
    let kinds = core::refresh::kinds();
    let announcing = kit::refreshable::announce(&parts.bus, Config::NAME, kinds);
    tokio::join!(
        heard::listen(&heard, &desk, &parts),
        parts.stop.run_until_cancelled(announcing),
        sweep::run(&desk, &parts.stop),
    );
    tokio::join!(serving.stop(), templates.stop(), refreshing.stop());
    Ok(())
}
