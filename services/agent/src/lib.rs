//! The agent: one on each host, the only hand on its hypervisor.
//!
//! - Serves: `Host` for the one host it runs on.
//! - Calls: `Inventory.Register` and `Inventory.Report`.
//! - Says: a heartbeat every few seconds.
//! - Owns: the machines of the host, whose definitions lie beside their disks; a store of its own for who it is and what
//!   became of its commands.
//! - Never: decides what should run, and never touches a running machine by being stopped, restarted or cut off.
//!
//! Reading order: [`hypervisor`] and in it `qemu`, then `operations` (done once), `api`, `reporter`, `heartbeat`, and
//! `member`, which puts them together.

pub mod core;
pub mod hypervisor;
pub mod store;

mod api;
mod config;
mod heartbeat;
mod limits;
mod member;
mod meter;
mod operations;
mod reporter;

use std::sync::Arc;

use anyhow::Context as _;
use kit::service::Parts;

use crate::hypervisor::Hypervisor;
use crate::hypervisor::qemu::Qemu;
use crate::hypervisor::simulated::Simulated;
use crate::store::Store;

pub use config::{Config, DatastoreConfig, HypervisorKind};
pub use member::{Beating, Member};
pub use operations::Operations;

/// Runs the agent until `parts.stop` is cancelled and every request that was taken is answered. Machines run on.
pub async fn run(parts: Parts<Config>) -> anyhow::Result<()> {
    let store = Arc::new(Store::open(&parts.folder())?);
    let identity = store.start(&parts.config.host_id, &parts.world.new_id())?;
    let world = parts.world.clone();
    let member = Member {
        bus: Arc::clone(&parts.bus),
        caller: Arc::clone(&parts.caller),
        identity,
        name: host_name(&parts.config),
        join_token: parts.config.join_token.clone(),
        operations: Operations::new(store, "", move || world.now_ms()),
    };
    let _beating = member.beat(contracts::limits::HEARTBEAT_INTERVAL);
    let hypervisor = open_hypervisor(&parts).await?;
    let counting = tokio::spawn(meter::count_machines(Arc::clone(&hypervisor)));
    let ran = member.run(hypervisor, &parts.stop).await;
    counting.abort();
    Ok(ran?)
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
