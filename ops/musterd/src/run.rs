//! Starting every service, and ending all when one ends.

use std::future::Future;

use anyhow::Context;
use kit::config::{BusConfig, Common, Section, Source, print, print_section};
use kit::service::{Parts, refuse_unsynced, run_connected, stop_on_signal};
use kit::telemetry;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bus::OwnBus;
use crate::config::Config;

/// Where services find their bus.
enum Bus {
    Own(Box<OwnBus>),
    Configured,
}

/// The configuration in force, of musterd and of every service in it.
pub(crate) fn printed(source: &Source) -> anyhow::Result<String> {
    let common = source.common()?;
    let sections = [
        print(&common, &source.section::<Config>()?)?,
        print_section(&source.section::<gateway::Config>()?)?,
        print_section(&source.section::<inventory::Config>()?)?,
        print_section(&source.section::<jobs::Config>()?)?,
        print_section(&source.section::<placement::Config>()?)?,
        print_section(&source.section::<refresher::Config>()?)?,
        print_section(&source.section::<transfer::Config>()?)?,
        print_section(&source.section::<performance::Config>()?)?,
        print_section(&source.section::<webhooks::Config>()?)?,
        print_section(&source.section::<library::Config>()?)?,
    ];
    Ok(sections.join("\n"))
}

/// Runs until a signal, or until a service fails.
pub(crate) fn run(source: &Source) -> anyhow::Result<()> {
    let common = source.common()?;
    let config = source.section::<Config>()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let telemetry = telemetry::start("musterd", &common.telemetry)?;
        let stop = stop_on_signal()?;
        let bus = if common.bus.url.is_empty() {
            Bus::Own(Box::new(OwnBus::start(&common, &config).await?))
        } else {
            refuse_unsynced(&common.bus).await?;
            Bus::Configured
        };
        let result = run_on(bus, source, &common, stop).await;
        telemetry.finish();
        result
    })
}

async fn run_on(
    bus: Bus,
    source: &Source,
    common: &Common,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut services = JoinSet::new();
    let connection = |name: &str| match &bus {
        Bus::Own(own) => own.connection(name),
        Bus::Configured => common.bus.clone(),
    };
    start(
        &mut services,
        source,
        common,
        connection(inventory::Config::NAME),
        &stop,
        inventory::run,
    )?;
    start(
        &mut services,
        source,
        common,
        connection(placement::Config::NAME),
        &stop,
        placement::run,
    )?;
    start(
        &mut services,
        source,
        common,
        connection(refresher::Config::NAME),
        &stop,
        refresher::run,
    )?;
    start(
        &mut services,
        source,
        common,
        connection(transfer::Config::NAME),
        &stop,
        transfer::run,
    )?;
    start(
        &mut services,
        source,
        common,
        connection(performance::Config::NAME),
        &stop,
        performance::run,
    )?;
    start(
        &mut services,
        source,
        common,
        connection(webhooks::Config::NAME),
        &stop,
        webhooks::run,
    )?;
    start(
        &mut services,
        source,
        common,
        connection(library::Config::NAME),
        &stop,
        library::run,
    )?;
    start(
        &mut services,
        source,
        common,
        connection(jobs::Config::NAME),
        &stop,
        jobs::run,
    )?;
    start(
        &mut services,
        source,
        common,
        connection(gateway::Config::NAME),
        &stop,
        gateway::run,
    )?;
    match bus {
        Bus::Configured => wait_for_all(services, &stop).await,
        Bus::Own(mut own) => {
            // The server is kept alive until the last service has drained, not only until the signal.
            let drained = CancellationToken::new();
            let (result, kept) = tokio::join!(
                async {
                    let result = wait_for_all(services, &stop).await;
                    drained.cancel();
                    result
                },
                async {
                    let kept = own.keep_alive(&drained).await;
                    stop.cancel();
                    kept
                }
            );
            own.stop().await;
            result.and(kept)
        }
    }
}

fn start<S, F>(
    services: &mut JoinSet<anyhow::Result<()>>,
    source: &Source,
    common: &Common,
    bus: BusConfig,
    stop: &CancellationToken,
    run: impl FnOnce(Parts<S>) -> F + Send + 'static,
) -> anyhow::Result<()>
where
    S: Section,
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let section = source.section::<S>()?;
    let common = Common {
        bus,
        ..common.clone()
    };
    let stop = stop.clone();
    services.spawn(async move {
        let (parts, connection) = Parts::connect(section, common, stop).await?;
        let result = run_connected(run(parts), &connection).await;
        result.with_context(|| format!("The service {} failed", S::NAME))
    });
    Ok(())
}

/// One that ends ends all: half a Muster would only hide that something is wrong.
async fn wait_for_all(
    mut services: JoinSet<anyhow::Result<()>>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut result = Ok(());
    while let Some(ended) = services.join_next().await {
        let ended =
            ended.unwrap_or_else(|panic| Err(anyhow::anyhow!("A service fell over: {panic}")));
        if let Err(error) = &ended {
            tracing::error!(error = format!("{error:#}"), "stopping all");
        }
        result = result.and(ended);
        stop.cancel();
    }
    result
}
