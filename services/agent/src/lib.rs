//! The agent: one on each host, the only hand on its hypervisor.
//!
//! - Serves: `Host` for the one host it runs on.
//! - Calls: `Inventory.Register` and `Inventory.Report`.
//! - Says: a heartbeat every few seconds.
//! - Owns: the machines of the host, whose definitions lie beside their disks; a store of its own for who it is and what
//!   became of its commands.
//! - Never: decides what should run, and never touches a running machine by being stopped, restarted or cut off.
//!
//! Reading order: [`hypervisor`] and in it `qemu`, then `operations` (done once), `api`, `reporter`, `heartbeat`.

pub mod core;
pub mod hypervisor;
pub mod store;

mod api;
mod config;
mod heartbeat;
mod limits;
mod meter;
mod operations;
mod reporter;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use anyhow::Context as _;
use async_trait::async_trait;
use contracts::call::Revisions;
use contracts::host::{HOST, HostServer};
use kit::service::Parts;

use crate::hypervisor::Hypervisor;
use crate::hypervisor::qemu::Qemu;
use crate::hypervisor::simulated::Simulated;
use crate::operations::Operations;
use crate::reporter::Reporter;
use crate::store::Store;

pub use config::{Config, DatastoreConfig, HypervisorKind};

/// Runs the agent until `parts.stop` is cancelled and every request that was taken is answered. Machines run on.
pub async fn run(parts: Parts<Config>) -> anyhow::Result<()> {
    let store = Arc::new(Store::open(&parts.folder())?);
    let identity = store.start(&parts.config.host_id, &parts.world.new_id())?;
    let beating = tokio::spawn(heartbeat::run(Arc::clone(&parts.bus), identity.clone()));
    let hypervisor = open_hypervisor(&parts).await?;
    let counting = tokio::spawn(meter::count_machines(Arc::clone(&hypervisor)));
    let world = parts.world.clone();
    let operations = Operations::new(store, move || world.now_ms());
    let untold = Arc::new(AtomicUsize::new(0));
    let api = api::Api::new(
        Arc::clone(&hypervisor),
        operations,
        identity.generation,
        Arc::clone(&untold),
    );
    let subject = HOST.subject_of_host(&identity.host_id);
    let server = Arc::new(HostServer(Arc::new(api)));
    let serving = kit::rpc::serve(&parts.bus, Arc::new(NoRecords), &subject, server).await?;
    tracing::info!(
        id = identity.host_id,
        generation = identity.generation,
        "the agent is ready"
    );
    let reporter = Reporter::new(
        Arc::clone(&parts.caller),
        hypervisor,
        identity,
        host_name(&parts.config),
        parts.config.join_token.clone(),
        untold,
    );
    parts.stop.run_until_cancelled(reporter.run()).await;
    serving.stop().await;
    beating.abort();
    counting.abort();
    Ok(())
}

async fn open_hypervisor(parts: &Parts<Config>) -> anyhow::Result<Arc<dyn Hypervisor>> {
    Ok(match parts.config.hypervisor {
        HypervisorKind::Simulated => Arc::new(Simulated::default()),
        HypervisorKind::Qemu => {
            let settings = parts.config.settings(&parts.common.data_dir);
            let settings = settings.context("the paths of the configuration make no sense")?;
            Arc::new(Qemu::open(settings).await.map_err(anyhow::Error::msg)?)
        }
    })
}

fn host_name(config: &Config) -> String {
    if config.name.is_empty() {
        return rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
    }
    config.name.clone()
}

/// The agent keeps no records that a caller could have seen newer.
struct NoRecords;

#[async_trait]
impl kit::rpc::Gate for NoRecords {
    async fn wait_for(&self, _: &Revisions, _: std::time::Duration) -> bool {
        true
    }
}
