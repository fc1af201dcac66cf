//! The agent: one on each host, the only hand on its hypervisor.
//!
//! - Serves: `Host` and `DataEnd` for the one host it runs on, `LibraryEnd` for its shares, and files of it to other hosts.
//! - Calls: `Inventory.Register`, `Inventory.Report` and `Transfer.Enroll`; `Library.Register` and `Library.Report`.
//! - Says: a heartbeat every few seconds, and once a minute and after changes of power what the host and its machines use.
//! - Owns: the machines of the host, whose definitions lie beside their disks; a store of its own for who it is and what
//!   became of its commands.
//! - Never: decides what should run, and never touches a running machine by being stopped, restarted or cut off.
//!
//! Reading order: [`hypervisor`] and in it `qemu`, then `operations` (done once), `api`, `reporter`, `heartbeat`, and
//! `member`, which puts them together; [`data`] for what goes from host to host; [`library`] for shares.

pub mod core;
pub mod data;
pub mod hypervisor;
pub mod library;
pub mod store;

mod api;
mod config;
mod heartbeat;
mod limits;
mod member;
mod meter;
mod operations;
mod reporter;
mod samples;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use contracts::data::{DATAEND, DataEndServer};
use contracts::library::{LIBRARYEND, LibraryEndServer};
use kit::service::Parts;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::data::DataEnd;
use crate::hypervisor::Hypervisor;
use crate::hypervisor::qemu::Qemu;
use crate::hypervisor::simulated::Simulated;
use crate::member::NoRecords;
use crate::store::{Identity, Store};

pub use config::{Config, DatastoreConfig, HypervisorKind, Role};
pub use member::{Beating, Member};
pub use operations::Operations;

/// Runs the agent until `parts.stop` is cancelled and every request that was taken is answered. Machines run on.
pub async fn run(parts: Parts<Config>) -> anyhow::Result<()> {
    // A file that may not grow is an error to see, not a signal to die of.
    let _signals = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    let store = Arc::new(Store::open(&parts.folder())?);
    let identity = store.start(&parts.config.host_id, &parts.world.new_id())?;
    let world = parts.world.clone();
    let member = Member {
        bus: Arc::clone(&parts.bus),
        caller: Arc::clone(&parts.caller),
        identity: identity.clone(),
        name: host_name(&parts.config),
        join_token: parts.config.join_token.clone(),
        operations: Operations::new(store, "", move || world.now_ms()),
        samples_interval: Duration::from_secs(parts.config.samples_interval_secs),
    };
    let _beating = member.beat(contracts::limits::HEARTBEAT_INTERVAL);
    let operations = Arc::clone(&member.operations);
    let (data, enrolling) = open_data_end(&parts, &identity)?;
    let subject = DATAEND.subject_of_host(&identity.host_id);
    let server = Arc::new(DataEndServer(Arc::new(data::Api(Arc::clone(&data)))));
    let serving_data = kit::rpc::serve(&parts.bus, Arc::new(NoRecords), &subject, server).await?;
    let has = |role| parts.config.roles.contains(&role);
    let library = async {
        match has(Role::Library) {
            true => keep_library(&parts, &identity, &data, operations).await,
            false => Ok(()),
        }
    };
    let host = async {
        match has(Role::Host) {
            true => run_host(&parts, member, identity.generation).await,
            false => {
                parts.stop.cancelled().await;
                Ok(())
            }
        }
    };
    let ran = tokio::try_join!(library, host);
    serving_data.stop().await;
    enrolling.abort();
    ran.map(|((), ())| ())
}

async fn run_host(parts: &Parts<Config>, member: Member, generation: u64) -> anyhow::Result<()> {
    let hypervisor = open_hypervisor(parts, generation).await?;
    let counting = tokio::spawn(meter::count_machines(Arc::clone(&hypervisor)));
    let ran = member.run(hypervisor, &parts.stop).await;
    counting.abort();
    Ok(ran?)
}

/// Keeps the shares of a library server until the agent stops.
async fn keep_library(
    parts: &Parts<Config>,
    identity: &Identity,
    data: &Arc<DataEnd>,
    operations: Arc<Operations>,
) -> anyhow::Result<()> {
    let config = &parts.config;
    let datastores = config.settings(&parts.common.data_dir)?.datastores;
    let datastores = datastores.into_iter();
    let settings = library::Settings {
        identity: identity.clone(),
        name: host_name(config),
        folders: config.library_folders(&parts.common.data_dir)?,
        datastores: datastores.map(|(_, path)| path).collect(),
        index_folder: parts.folder().join("library"),
        with_attributes: config.library_attributes,
        qemu_img: config.qemu_img.clone(),
        qemu_user: config.qemu_user.clone(),
        world: parts.world.clone(),
    };
    let (caller, data) = (Arc::clone(&parts.caller), Arc::clone(data));
    let opened = library::Librarian::open(settings, caller, data, operations);
    let librarian = opened
        .await
        .context("the folders of the library cannot be used")?;
    let subject = LIBRARYEND.subject_of_host(&identity.host_id);
    let server = Arc::new(LibraryEndServer(Arc::new(library::Api(Arc::clone(
        &librarian,
    )))));
    let serving = kit::rpc::serve(&parts.bus, Arc::new(NoRecords), &subject, server).await?;
    parts.stop.run_until_cancelled(librarian.run()).await;
    serving.stop().await;
    Ok(())
}

/// Opens the data end and sees to its certificate.
fn open_data_end(
    parts: &Parts<Config>,
    identity: &Identity,
) -> anyhow::Result<(Arc<DataEnd>, JoinHandle<()>)> {
    let config = &parts.config;
    let settings = config.settings(&parts.common.data_dir)?;
    let world = parts.world.clone();
    let roots = data::Roots::new(settings.datastores);
    let data = DataEnd::open(data::Settings {
        host_id: identity.host_id.clone(),
        roots: match config.roles.contains(&Role::Library) {
            true => roots.with_shares_to_come(),
            false => roots,
        },
        folder: parts.folder().join("hashes"),
        listen: config.data_listen(&parts.common.bus.url)?,
        now_ms: Box::new(move || world.now_ms()),
    })?;
    let data = Arc::new(data);
    let address = match config.data_address.as_str() {
        "" => data.address().map_or(String::new(), |a| a.to_string()),
        address => address.to_owned(),
    };
    let enrolling = tokio::spawn(data::keep_enrolled(
        Arc::clone(&data),
        Arc::clone(&parts.caller),
        identity.host_id.clone(),
        address,
    ));
    Ok((data, enrolling))
}

async fn open_hypervisor(
    parts: &Parts<Config>,
    generation: u64,
) -> anyhow::Result<Arc<dyn Hypervisor>> {
    Ok(match parts.config.hypervisor {
        HypervisorKind::Simulated => Arc::new(Simulated::of_generation(generation)),
        HypervisorKind::Qemu => {
            let settings = parts.config.settings(&parts.common.data_dir);
            let settings = settings.context("the paths of the configuration make no sense")?;
            Arc::new(
                Qemu::open(settings, generation)
                    .await
                    .map_err(anyhow::Error::msg)?,
            )
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
