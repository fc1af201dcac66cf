//! `muster placement`.

use clap::{Args, Subcommand};
use contracts::rest::{RateRequest, Ratings};
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
    Rate(RateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RateArgs {
    /// Virtual processors
    #[arg(long, default_value = "1", value_parser = values::cpus)]
    cpus: u32,
    /// Memory
    #[arg(long, default_value = "128MiB", value_name = "SIZE", value_parser = values::memory)]
    memory: u64,
    /// An image that the host must have; can be given several times
    #[arg(long)]
    image: Vec<String>,
    /// Size of a disk; can be given several times, all disks go to one datastore
    #[arg(long, value_name = "SIZE", value_parser = values::disk_size)]
    disk: Vec<u64>,
    /// CPU that the machine is expected to use, in percent of its own processors
    #[arg(long, value_name = "PERCENT")]
    expected_cpu: Option<f64>,
    /// Only hosts of this group and below
    #[arg(long)]
    group: Option<String>,
    /// Only this host
    #[arg(long)]
    host: Option<String>,
}

pub(crate) async fn run(session: &Session, command: Command) -> Result<Exit, Failure> {
    let Command::Rate(args) = command;
    let request = RateRequest {
        vcpus: args.cpus,
        memory_bytes: args.memory,
        disk_bytes: total(&args.disk)?,
        images: args.image,
        expected_cpu_percent: args.expected_cpu,
        group: args.group,
        host: args.host,
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
    let Ratings { ratings } = serde_json::from_value(value.clone()).map_err(not_understood)?;
    if ratings.is_empty() {
        remark(session, "There are no hosts to rate.");
    }
    match output.format {
        Format::Name => {
            let lines = ratings.iter().map(|r| format!("host/{}\n", r.host_name));
            output.print(&lines.collect::<String>())?;
        }
        _ => output.print(&rating_table(&ratings, output))?,
    }
    Ok(Exit::Done)
}
