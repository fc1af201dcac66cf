//! The simulated fleet as a program: it runs, is asked how it is, and is told what goes wrong.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use kit::config::{Common, Source};
use kit::service::stop_on_signal;
use kit::telemetry;
use simfleet::check;
use simfleet::control::{self, Order, Remote};
use simfleet::core::fault::{Fault, FaultKind};
use simfleet::core::lies::Lie;
use simfleet::measure::usage::Process;
use simfleet::muster::Muster;
use simfleet::{Churn, Config, Fleet, Which};

#[derive(Parser)]
#[command(version, about = "Simulated hosts for trials of Muster")]
struct Arguments {
    /// Configuration file (TOML).
    #[arg(long, env = "MUSTER_CONFIG", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take part until stopped.
    Run,
    /// How many hosts and machines there are.
    Status,
    /// The fleet's own account of every host and machine, as JSON.
    Account,
    /// Compare the account with what Muster shows; exits 0 when they agree.
    Compare {
        #[arg(long, env = "MUSTER_SERVER")]
        server: String,
    },
    /// Let something go wrong.
    Fault(FaultArguments),
    /// Set how many machines change a minute.
    Churn { changes_per_minute: u32 },
    /// Run a fleet with faults and compare at the end; exits 0 only when all agrees.
    Check(CheckArguments),
}

#[derive(Args)]
struct FaultArguments {
    kind: FaultKind,
    /// On so many hosts; without it and --host on all.
    #[arg(long, conflicts_with = "host")]
    hosts: Option<usize>,
    /// On the host of this name.
    #[arg(long)]
    host: Vec<String>,
    /// For how long: silence, slowness, flapping.
    #[arg(long, default_value_t = 60)]
    secs: u64,
    /// How late: slowness.
    #[arg(long, default_value_t = 1_000)]
    delay_ms: u64,
    /// How long a turn is: flapping.
    #[arg(long, default_value_t = 5_000)]
    period_ms: u64,
    /// What is said: lies.
    #[arg(long, value_enum, default_value_t = Lie::NegativeSizes)]
    lie: Lie,
    /// How far ahead the clock is: skew.
    #[arg(long, default_value_t = 3_600, allow_negative_numbers = true)]
    ahead_secs: i64,
}

#[derive(Args)]
struct CheckArguments {
    #[arg(long, env = "MUSTER_SERVER")]
    server: String,
    /// How long the fleet lives.
    #[arg(long, default_value_t = 180)]
    secs: u64,
    /// A process to measure, as `name=id`.
    #[arg(long)]
    process: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let source = Source::new(arguments.config.as_deref())?;
    let (common, config) = (source.common()?, source.section::<Config>()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(obey(arguments.command, common, config))
}

async fn obey(command: Command, common: Common, config: Config) -> anyhow::Result<()> {
    let remote = Remote::new(&config.control.to_string())?;
    match command {
        Command::Run => run(common, config).await,
        Command::Check(arguments) => check(arguments, common, config).await,
        Command::Compare { server } => compare(&remote, &server).await,
        Command::Status => say(&remote.status().await?),
        Command::Account => say(&remote.account().await?),
        Command::Churn { changes_per_minute } => {
            say(&remote.churn(Churn { changes_per_minute }).await?)
        }
        Command::Fault(arguments) => {
            let hosts = remote.fault(&arguments.order()).await?;
            println!("{hosts} hosts");
            Ok(())
        }
    }
}

fn say(answer: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(answer)?);
    Ok(())
}

async fn run(common: Common, config: Config) -> anyhow::Result<()> {
    let telemetry = telemetry::start("simfleet", &common.telemetry)?;
    let listener = tokio::net::TcpListener::bind(config.control)
        .await
        .with_context(|| format!("listening on {}", config.control))?;
    let stop = stop_on_signal()?;
    let fleet = Fleet::start(&config, &common.bus, &common.data_dir).await?;
    tracing::info!(hosts = config.hosts, vms = config.vms, "the fleet runs");
    let fleet = Arc::new(fleet);
    control::serve(listener, Arc::clone(&fleet), stop).await?;
    if let Ok(fleet) = Arc::try_unwrap(fleet) {
        fleet.stop().await;
    }
    telemetry.finish();
    Ok(())
}

async fn compare(remote: &Remote, server: &str) -> anyhow::Result<()> {
    let account = remote.account().await?;
    let differences = Muster::new(server)?.differences(&account).await?;
    for difference in &differences {
        println!("{difference}");
    }
    anyhow::ensure!(differences.is_empty(), "{} differences", differences.len());
    println!("Muster shows everything as it is.");
    Ok(())
}

async fn check(arguments: CheckArguments, common: Common, config: Config) -> anyhow::Result<()> {
    let telemetry = telemetry::start("simfleet", &common.telemetry)?;
    let settings = check::Settings {
        fleet: config,
        bus: common.bus,
        muster: Muster::new(&arguments.server)?,
        time: Duration::from_secs(arguments.secs),
        processes: arguments
            .process
            .iter()
            .map(|text| process(text))
            .collect::<anyhow::Result<_>>()?,
    };
    let outcome = check::run(settings, &common.data_dir).await?;
    println!("{}", outcome.table());
    for difference in &outcome.differences {
        println!("{difference}");
    }
    telemetry.finish();
    anyhow::ensure!(
        outcome.differences.is_empty(),
        "Muster's picture differs from the fleet in {} places.",
        outcome.differences.len()
    );
    Ok(())
}

fn process(text: &str) -> anyhow::Result<Process> {
    let (name, id) = text
        .split_once('=')
        .with_context(|| format!("--process {text}: give it as name=id"))?;
    Ok(Process {
        name: name.to_owned(),
        id: id
            .parse()
            .with_context(|| format!("--process {text}: {id} is no process id"))?,
    })
}

impl FaultArguments {
    fn order(&self) -> Order {
        let which = match (self.hosts, self.host.is_empty()) {
            (Some(count), _) => Which::Some(count),
            (None, false) => Which::Named(self.host.clone()),
            (None, true) => Which::All,
        };
        Order {
            which,
            fault: self.fault(),
        }
    }

    fn fault(&self) -> Fault {
        let secs = self.secs;
        match self.kind {
            FaultKind::Silence => Fault::Silence { secs },
            FaultKind::Slowness => Fault::Slowness {
                delay_ms: self.delay_ms,
                secs,
            },
            FaultKind::Flapping => Fault::Flapping {
                period_ms: self.period_ms,
                secs,
            },
            FaultKind::Lies => Fault::Lies { lie: self.lie },
            FaultKind::Skew => Fault::Skew {
                ahead_secs: self.ahead_secs,
            },
            FaultKind::Restart => Fault::Restart,
            FaultKind::Calm => Fault::Calm,
        }
    }
}
