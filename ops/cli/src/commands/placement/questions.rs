//! Why a machine is where it is, and what would be if.

use std::fmt::Write as _;

use clap::Args;
use contracts::rest::{
    Decision, SetReserves, Simulate, SimulatedMachines, SimulatedOutcome, Simulation,
};

use super::{GoalArg, total};
use crate::client::{Request, not_understood};
use crate::commands::Session;
use crate::error::{Exit, Failure};
use crate::output::detail::Detail;
use crate::output::{Format, Output, human, rating_table};
use crate::values;

#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// Name or id of the machine
    #[arg(value_parser = values::object)]
    vm: String,
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// A host that is lost with everything on it; can be given several times
    #[arg(long, value_name = "HOST")]
    lose_host: Vec<String>,
    /// A host group that is lost with everything in it; can be given several times
    #[arg(long, value_name = "GROUP")]
    lose_group: Vec<String>,
    /// How many machines are added
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "0",
        hide_default_value = true
    )]
    add: u32,
    /// Virtual processors of each
    #[arg(long, default_value = "1", value_parser = values::cpus)]
    cpus: u32,
    /// Memory of each
    #[arg(long, default_value = "1GiB", value_name = "SIZE", value_parser = values::memory)]
    memory: u64,
    /// Size of a disk of each; can be given several times
    #[arg(long, value_name = "SIZE", value_parser = values::disk_size)]
    disk: Vec<u64>,
    /// CPU that each is expected to use, in percent of its own processors
    #[arg(long, value_name = "PERCENT")]
    expected_cpu: Option<f64>,
    /// CPU reserve of every host instead of its own
    #[arg(long, value_name = "PERCENT")]
    cpu_reserve: Option<f64>,
    /// Memory reserve of every host instead of its own
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    memory_reserve: Option<u64>,
    /// Disk reserve of every host instead of its own
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    disk_reserve: Option<u64>,
    /// Only hosts of this group and below take machines
    #[arg(long)]
    group: Option<String>,
    /// Whether the host with most left or the fullest one is wanted
    #[arg(long, value_enum)]
    goal: Option<GoalArg>,
}

pub(super) async fn why(session: &Session, args: &WhyArgs) -> Result<Exit, Failure> {
    let request = Request::get(&["placement", "why", &args.vm]);
    let value = session.client.send(request).await?.value()?;
    let output = &session.output;
    if !matches!(output.format, Format::Table | Format::Name) {
        output.print_value(&value)?;
        return Ok(Exit::Done);
    }
    let decision: Decision = serde_json::from_value(value).map_err(not_understood)?;
    let host = decision
        .ratings
        .iter()
        .find(|r| r.host_id == decision.host_id);
    let host = host.map_or(decision.host_id.as_str(), |r| r.host_name.as_str());
    if output.format == Format::Name {
        output.print(&format!("host/{host}\n"))?;
        return Ok(Exit::Done);
    }
    output.print(&describe(&decision, host, output))?;
    Ok(Exit::Done)
}

fn describe(decision: &Decision, host: &str, output: &Output) -> String {
    let failed = decision.failed_checks.iter();
    let failed: Vec<String> = failed
        .map(|(check, count)| format!("{} on {count}", check.replace('_', " ")))
        .collect();
    let again = if decision.replays {
        "gives the same host and the same ratings"
    } else {
        "gives something else: this release rates otherwise than the one that decided"
    };
    let detail = Detail::default()
        .line("Placed on", host)
        .line("When", human::moment(decision.time, output.now))
        .line("Job", &decision.job_id)
        .line("Hosts rated", decision.hosts_rated)
        .line("With room", decision.hosts_possible)
        .line("Out of question", failed.join(", "))
        .line("Decided again", again)
        .render();
    format!("{detail}\n{}", rating_table(&decision.ratings, output))
}

pub(super) async fn simulate(session: &Session, args: SimulateArgs) -> Result<Exit, Failure> {
    let add = SimulatedMachines {
        count: args.add,
        vcpus: args.cpus,
        memory_bytes: args.memory,
        disk_bytes: total(&args.disk)?,
        expected_cpu_percent: args.expected_cpu,
    };
    let reserves = SetReserves {
        cpu_percent: args.cpu_reserve,
        memory_bytes: args.memory_reserve,
        disk_bytes: args.disk_reserve,
        ..SetReserves::default()
    };
    let body = Simulate {
        lose_hosts: args.lose_host,
        lose_groups: args.lose_group,
        add: (args.add > 0).then_some(add).into_iter().collect(),
        reserves: (reserves != SetReserves::default()).then_some(reserves),
        goal: args.goal.map(Into::into),
        weights: None,
        group: args.group,
    };
    let request = Request::ask(&["placement", "simulate"]).body(&body)?;
    let value = session.client.send(request).await?.value()?;
    let output = &session.output;
    if matches!(output.format, Format::Json | Format::Yaml) {
        output.print_value(&value)?;
        return Ok(Exit::Done);
    }
    let simulation: Simulation = serde_json::from_value(value).map_err(not_understood)?;
    output.print(&told(&simulation))?;
    Ok(Exit::Done)
}

fn told(simulation: &Simulation) -> String {
    let mut text = format!("{} hosts are left.\n", simulation.hosts);
    if let Some(moved) = &simulation.moved {
        text += &outcome("Machines of lost hosts", moved);
    }
    for added in &simulation.added {
        text += &outcome("Added machines", added);
    }
    for resource in &simulation.resources {
        let name = resource.resource.replace('_', " ");
        let (before, after) = (resource.used_percent_before, resource.used_percent_after);
        let _ = writeln!(
            text,
            "{name}: {before:.1} % in use before, {after:.1} % after."
        );
    }
    text
}

fn outcome(what: &str, outcome: &SimulatedOutcome) -> String {
    let (placed, asked) = (outcome.placed, outcome.asked);
    let mut text = format!(
        "{what}: {placed} of {asked} find a place, on {} hosts.\n",
        outcome.hosts_used
    );
    for bottleneck in &outcome.bottlenecks {
        let (check, hosts) = (&bottleneck.check, bottleneck.hosts);
        let action = &bottleneck.recommended_action;
        let _ = writeln!(text, "  {check} is in the way on {hosts} hosts. {action}");
    }
    if !outcome.left_over.is_empty() {
        let _ = writeln!(text, "  Without a place: {}", outcome.left_over.join("; "));
    }
    text
}
