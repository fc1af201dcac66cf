//! Jobs: every change of the fleet is one.
//!
//! Serves `Jobs` (Submit, Cancel, Restart). Calls inventory, placement, transfer, library, its servers and hosts. Owns the bucket `job` and the work queue
//! `RUNS`; mirrors `vm`, `host` and `host_group`. Never touches a machine but through its host, never changes a record of
//! the fleet but through inventory, and never holds a lock wider than one object.
//!
//! A job is a record and a table of steps ([`kinds`]). What comes next is a pure function of the two ([`core`]). Runners
//! take jobs from the queue, write each result before they go on, and go on where another died ([`engine`]).

mod api;
mod config;
mod core;
mod engine;
mod fleet;
pub mod foreign;
mod hands;
mod kinds;
pub mod probe;

use std::sync::Arc;

use contracts::inventory::{Host, HostGroup, Vm};
use contracts::jobs::{JOBS, Job, JobsServer};
use kit::bus::Bus;
use kit::records::{Records, Store};
use kit::rpc;
use kit::service::Parts;
use tokio_util::sync::CancellationToken;

pub use config::Config;

use crate::engine::Engine;
use crate::fleet::Fleet;
use crate::probe::Probe;

/// Runs one instance until it is told to stop, and lets running steps end first.
pub async fn run(parts: Parts<Config>) -> anyhow::Result<()> {
    run_with(parts, Arc::new(probe::Off)).await
}

/// As [`run`], watched and disturbed by a test.
pub async fn run_with(parts: Parts<Config>, probe: Arc<dyn Probe>) -> anyhow::Result<()> {
    // The views outlive the call to stop: what still runs writes, and waits for its view.
    let views = CancellationToken::new();
    let _views = views.clone().drop_guard();
    let store = Store::open(&parts.folder(), Arc::clone(&parts.bus), &parts.world, views)?;
    let opened = tokio::select! {
        biased;
        opened = open(&store) => opened?,
        () = parts.stop.cancelled() => return Ok(()),
    };
    let (records, fleet) = opened;
    let engine = Engine::start(&parts, records, fleet, probe);
    let api = Arc::new(api::Api::new(Arc::clone(&engine)));
    let bus: &Arc<dyn Bus> = &parts.bus;
    let server = rpc::serve(bus, store, JOBS.subject, Arc::new(JobsServer(api))).await?;
    tracing::info!("jobs are taken");
    parts.stop.cancelled().await;
    server.stop().await;
    engine.drain().await;
    Ok(())
}

async fn open(store: &Arc<Store>) -> anyhow::Result<(Records<Job>, Fleet)> {
    let (records, vms, hosts, groups) = tokio::try_join!(
        store.own::<Job>(),
        store.mirror::<Vm>(),
        store.mirror::<Host>(),
        store.mirror::<HostGroup>(),
    )?;
    let fleet = Fleet {
        store: Arc::clone(store),
        vms,
        hosts,
        groups,
    };
    Ok((records, fleet))
}
