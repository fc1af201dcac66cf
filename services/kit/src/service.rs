//! The life of a program: arguments, telemetry, bus, signals, an orderly end.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use contracts::call::Call;
use tokio_util::sync::CancellationToken;

use crate::bus::Bus;
use crate::bus::nats::NatsBus;
use crate::config::{BusConfig, Common, Section, Source, print};
use crate::records::Store;
use crate::rpc::Caller;
use crate::telemetry;
use crate::world::World;

/// Arguments that every service takes.
#[derive(Parser)]
#[command(version, about = "A service of Muster")]
struct Arguments {
    /// Configuration file (TOML).
    #[arg(long, env = "MUSTER_CONFIG")]
    config: Option<PathBuf>,
    /// Print the configuration that is in force, without secrets, and exit.
    #[arg(long)]
    print_config: bool,
}

/// What a service is handed to live with.
#[derive(Clone)]
pub struct Parts<S> {
    pub config: S,
    pub common: Common,
    pub bus: Arc<dyn Bus>,
    pub caller: Arc<dyn Call>,
    pub world: World,
    /// Cancelled when the program should end.
    pub stop: CancellationToken,
}

impl<S: Section> Parts<S> {
    /// Connects a service to its bus, as the bus user of the service's name if none is configured.
    pub async fn connect(
        config: S,
        common: Common,
        stop: CancellationToken,
    ) -> anyhow::Result<(Self, NatsBus)> {
        let nats = NatsBus::connect(S::NAME, &common.bus)
            .await
            .with_context(|| format!("{} found no bus", S::NAME))?;
        let bus: Arc<dyn Bus> = Arc::new(nats.clone());
        let parts = Self {
            caller: Caller::named(S::NAME, Arc::clone(&bus)),
            config,
            common,
            bus,
            world: World::real(),
            stop,
        };
        Ok((parts, nats))
    }

    /// Folder of this instance.
    pub fn folder(&self) -> PathBuf {
        self.common
            .data_dir
            .join(format!("{}-{}", S::NAME, self.common.instance))
    }

    /// Opens this instance's store of records.
    pub fn open_store(&self) -> anyhow::Result<Arc<Store>> {
        Ok(Store::open(
            &self.folder(),
            Arc::clone(&self.bus),
            &self.world,
            self.stop.clone(),
        )?)
    }
}

/// Runs one service as a program of its own.
pub fn main<S, F>(run: impl FnOnce(Parts<S>) -> F) -> anyhow::Result<()>
where
    S: Section,
    F: Future<Output = anyhow::Result<()>>,
{
    let arguments = Arguments::parse();
    let source = Source::new(arguments.config.as_deref())?;
    let (common, section) = (source.common()?, source.section::<S>()?);
    if arguments.print_config {
        print!("{}", print(&common, &section)?);
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let telemetry = telemetry::start(S::NAME, &common.telemetry)?;
        anyhow::ensure!(
            !common.bus.url.is_empty(),
            "bus.url is not set: which bus should {} join?",
            S::NAME
        );
        let stop = stop_on_signal()?;
        let (parts, nats) = Parts::connect(section, common, stop).await?;
        if S::CHECKS_BUS {
            refuse_unsynced(&parts.common.bus).await?;
        }
        let result = run_connected(run(parts), &nats).await;
        telemetry.finish();
        result
    })
}

/// Runs a service to its end, or until its connection has ended for good: then nobody reaches it any more, and whoever
/// started it starts it anew.
pub async fn run_connected(
    run: impl Future<Output = anyhow::Result<()>>,
    nats: &NatsBus,
) -> anyhow::Result<()> {
    tokio::select! {
        result = run => {
            nats.drain().await;
            result
        }
        () = nats.ended() => anyhow::bail!("the connection to the bus fell over; it has to be started anew"),
    }
}

/// A token that SIGTERM and SIGINT cancel.
pub fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let cancelled = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        cancelled.cancel();
    });
    Ok(stop)
}

/// Refuses a bus whose servers acknowledge before they have synced: a power cut would lose what was acknowledged.
pub async fn refuse_unsynced(config: &BusConfig) -> anyhow::Result<()> {
    if config.allow_unsynced {
        tracing::warn!("bus.allow_unsynced is set: a power cut may lose what was acknowledged");
        return Ok(());
    }
    anyhow::ensure!(
        !config.monitor_urls.trim().is_empty(),
        "bus.monitor_urls is not set, so it cannot be seen whether the bus syncs every write. \
         Set it to the monitoring address of every nats-server (http://host:8222), or set bus.allow_unsynced."
    );
    for url in config.monitor_urls.split(',').map(str::trim) {
        let synced = is_synced(url)
            .await
            .with_context(|| format!("asking {url} whether it syncs every write"))?;
        anyhow::ensure!(
            synced,
            "The nats-server at {url} does not sync every write and may lose what it acknowledged. \
             Set `sync_interval: always` in its jetstream section and restart it, or set bus.allow_unsynced."
        );
    }
    Ok(())
}

async fn is_synced(monitor_url: &str) -> anyhow::Result<bool> {
    #[derive(serde::Deserialize)]
    struct Jsz {
        config: Config,
    }
    #[derive(serde::Deserialize)]
    struct Config {
        #[serde(default)]
        sync_always: bool,
    }
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .build()?;
    let url = format!("{}/jsz?config=true", monitor_url.trim_end_matches('/'));
    let answer: Jsz = client
        .get(url)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    Ok(answer.config.sync_always)
}
