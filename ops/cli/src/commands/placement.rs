//! `muster placement`.

mod questions;
mod rule;

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use contracts::rest::{ExpectedLoad, Goal, Placing, RateRequest, Ratings, Weights};
use serde_json::Value;

use super::Session;
use crate::change::remark;
use crate::client::{Request, not_understood};
use crate::error::{Exit, Failure};
use crate::output::{Format, rating_table};
use crate::values;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Rate every host for a machine, best first, with the reasons
    Rate(Box<RateArgs>),
    /// Say why a machine is where it was placed
    Why(questions::WhyArgs),
    /// Try out on a copy of the fleet: lose hosts, add machines, change reserves
    Simulate(questions::SimulateArgs),
    /// Which machines belong together or apart, and on which hosts
    #[command(subcommand)]
    Rule(rule::Command),
}

#[derive(Debug, Args)]
pub(crate) struct RateArgs {
    /// Virtual processors [default: 1, or those of --vm]
    #[arg(long, value_parser = values::cpus)]
    cpus: Option<u32>,
    /// Memory [default: 128MiB, or that of --vm]
    #[arg(long, value_name = "SIZE", value_parser = values::memory)]
    memory: Option<u64>,
    /// An image that the host must have; can be given several times
    #[arg(long)]
    image: Vec<String>,
    /// Size of a disk; can be given several times, all disks go to one datastore
    #[arg(long, value_name = "SIZE", value_parser = values::disk_size)]
    disk: Vec<u64>,
    #[command(flatten)]
    expected: Expected,
    /// How long the machine is expected to stay, such as 12h; counts for the goal maximise [default: what was learned]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    expected_stay: Option<Duration>,
    /// Rate hosts for a move of this machine
    #[arg(long)]
    vm: Option<String>,
    /// Only hosts of this group and below
    #[arg(long)]
    group: Option<String>,
    /// Only this host
    #[arg(long)]
    host: Option<String>,
    /// A tag that the host must have; can be given several times
    #[arg(long, value_name = "TAG")]
    host_tag: Vec<String>,
    /// A tag that the datastore must have; can be given several times
    #[arg(long, value_name = "TAG")]
    datastore_tag: Vec<String>,
    /// A network that the host must have; can be given several times
    #[arg(long)]
    network: Vec<String>,
    /// Only hosts of a cluster
    #[arg(long)]
    highly_available: bool,
    /// A tag that the machine has, as rules name machines by; can be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::tag)]
    vm_tag: Vec<(String, String)>,
    /// Whether the host with most left or the fullest one is wanted
    #[arg(long, value_enum)]
    goal: Option<GoalArg>,
    /// How much CPU, memory, disk I/O and network count, 0 to 100 each
    #[arg(long, value_name = "C,M,D,N", value_parser = weights)]
    weights: Option<Weights>,
    /// At most that many hosts
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GoalArg {
    Balance,
    Maximise,
}

impl From<GoalArg> for Goal {
    fn from(goal: GoalArg) -> Self {
        match goal {
            GoalArg::Balance => Self::Balance,
            GoalArg::Maximise => Self::Maximise,
        }
    }
}

fn weights(text: &str) -> Result<Weights, String> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(str::parse).collect();
    match numbers.as_deref() {
        Ok([cpu, memory, disk_io, network]) => Ok(Weights {
            cpu: *cpu,
            memory: *memory,
            disk_io: *disk_io,
            network: *network,
        }),
        _ => Err("write four numbers: 1,1,0,0".to_owned()),
    }
}

/// What machines are expected to use.
#[derive(Debug, Args)]
pub(crate) struct Expected {
    /// CPU that the machine is expected to use, in percent of its own processors
    #[arg(long, value_name = "PERCENT")]
    pub(crate) expected_cpu: Option<f64>,
    /// Disk operations a second that are expected
    #[arg(long, value_name = "NUMBER")]
    pub(crate) expected_disk_io: Option<f64>,
    /// Mbit/s that are expected
    #[arg(long, value_name = "NUMBER")]
    pub(crate) expected_network: Option<f64>,
}

/// What is rated for when nothing is said.
const MEMORY_DEFAULT: u64 = 128 << 20;

pub(crate) async fn run(session: &Session, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Rate(args) => rate(session, *args).await,
        Command::Why(args) => questions::why(session, &args).await,
        Command::Simulate(args) => questions::simulate(session, args).await,
        Command::Rule(command) => rule::run(session, command).await,
    }
}

async fn rate(session: &Session, args: RateArgs) -> Result<Exit, Failure> {
    let default = if args.vm.is_some() { 0 } else { MEMORY_DEFAULT };
    let request = RateRequest {
        vcpus: args.cpus,
        memory_bytes: args.memory.unwrap_or(default),
        disk_bytes: total(&args.disk)?,
        images: args.image,
        expected_cpu_percent: args.expected.expected_cpu,
        group: args.group,
        host: args.host,
        placing: Placing {
            goal: args.goal.map(Into::into),
            weights: args.weights,
            expected_disk_io_per_sec: args.expected.expected_disk_io,
            expected_network_mbit: args.expected.expected_network,
            expected_stay_secs: args.expected_stay.map(|stay| stay.as_secs()),
            networks: args.network,
            highly_available: args.highly_available,
            host_tags: args.host_tag,
            datastore_tags: args.datastore_tag,
            vm_tags: args.vm_tag.into_iter().collect(),
            ..Placing::default()
        },
        limit: args.limit,
        vm: args.vm,
    };
    let request = Request::ask(&["placement", "rate"]).body(&request)?;
    let answer = session.client.send(request).await?;
    tell(session, &answer.value()?)
}

/// Disks are bounded each, so only very many of them do not add up.
fn total(disks: &[u64]) -> Result<u64, Failure> {
    let sum = disks
        .iter()
        .try_fold(0u64, |sum, disk| sum.checked_add(*disk));
    sum.ok_or_else(|| Failure::Usage("The disks together are more than can be counted.".to_owned()))
}

fn tell(session: &Session, value: &Value) -> Result<Exit, Failure> {
    let output = &session.output;
    if matches!(output.format, Format::Json | Format::Yaml) {
        output.print_value(value)?;
        return Ok(Exit::Done);
    }
    let rated: Ratings = serde_json::from_value(value.clone()).map_err(not_understood)?;
    let ratings = rated.ratings;
    if ratings.is_empty() {
        remark(session, "There are no hosts to rate.");
    }
    if let Some(load) = &rated.learnt {
        remark(session, &learnt(load));
    }
    match output.format {
        Format::Name => {
            let lines = ratings.iter().map(|r| format!("host/{}\n", r.host_name));
            output.print(&lines.collect::<String>())?;
        }
        _ => {
            output.print(&rating_table(&ratings, output))?;
            let shown = u32::try_from(ratings.len()).unwrap_or(u32::MAX);
            if rated.hosts_rated > shown {
                let (all, possible) = (rated.hosts_rated, rated.hosts_possible);
                let text = format!("{shown} of {all} hosts; {possible} can take the machine.");
                remark(session, &text);
            }
        }
    }
    Ok(Exit::Done)
}

fn learnt(load: &ExpectedLoad) -> String {
    format!(
        "Expected by what it used in the last week: {}.",
        words(load)
    )
}

/// What is expected, without what is not said.
pub(crate) fn words(load: &ExpectedLoad) -> String {
    let parts = [
        (load.cpu_percent, "% CPU"),
        (load.disk_io_per_sec, "disk operations/s"),
        (load.network_mbit, "Mbit/s"),
    ];
    let said = parts
        .iter()
        .filter_map(|(figure, unit)| Some(format!("{:.1} {unit}", (*figure)?)));
    let said: Vec<String> = said.collect();
    said.join(", ")
}
