//! The command line as a whole. What belongs to one noun is in its file below `commands`.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use reqwest::Url;

use crate::commands::{
    completion, definition, events, group, host, image, job, library, placement, refresher, vm,
    webhook,
};
use crate::output::Format;
use crate::{client, values};

const AFTER_HELP: &str = "\
Sizes: KiB, MiB, GiB, TiB; k, M, G, T mean the same (multiples of 1024). Fractions that come out whole are
fine: 1.5GiB. Durations: 30s, 5m, 1h30m, 2d.

Exit codes:
  0    done
  1    the job failed, was cancelled or is stuck
  2    the command line or the request is wrong
  3    not found
  4    refused: the object's state, a conflict, or no room
  5    Muster, or the part of it that is needed, cannot be reached
  6    timed out waiting; the job goes on
  7    denied: not signed in, or not allowed
  8    something failed in itself, here or in Muster
  130  interrupted; what was asked for goes on
When several objects are named, the code is that of the first that failed.

First steps:
  muster status
  muster vm create web-01 --image guest.qcow2 --memory 512MiB --start
  muster vm list --filter state:running";

/// Manages fleets of virtual machines.
#[derive(Debug, Parser)]
#[command(name = "muster", version, after_help = AFTER_HELP, propagate_version = true)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Address of Muster's gateway
    #[arg(long, global = true, env = "MUSTER_SERVER", value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:8100", value_parser = client::server)]
    pub(crate) server: Url,
    /// Form of the output
    #[arg(short, long, global = true, value_enum, value_name = "FORM", default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Say nothing but what was asked for, and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// No colours; the environment variable NO_COLOR says the same
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Virtual machines
    #[command(subcommand)]
    Vm(vm::Command),
    /// Hosts that run them
    #[command(subcommand)]
    Host(host::Command),
    /// Host groups
    #[command(subcommand)]
    Group(group::Command),
    /// Image files that machines are made from
    #[command(subcommand)]
    Image(image::Command),
    /// The library: servers, shares, and the files on them
    #[command(subcommand)]
    Library(library::Command),
    /// What machines are made from
    #[command(subcommand)]
    Template(definition::Command<definition::template::Words>),
    /// What templates are made of
    #[command(subcommand)]
    Profile(Profile),
    /// Jobs: every change, asked for, running or done
    #[command(subcommand)]
    Job(job::Command),
    /// Which host suits a machine
    #[command(subcommand)]
    Placement(placement::Command),
    /// What is looked at again, and how often
    #[command(subcommand)]
    Refresher(refresher::Command),
    /// Addresses that events are delivered to
    #[command(subcommand)]
    Webhook(webhook::Command),
    /// What happens, as it happens
    Events(events::EventsArgs),
    /// The fleet and its manager at a glance
    Status,
    /// Completion for a shell: source <(muster completion bash)
    Completion(completion::CompletionArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Profile {
    /// Processors, memory, disks and network cards
    #[command(subcommand)]
    Hardware(definition::Command<definition::hardware_profile::Words>),
    /// Host name, keys, users, time zone and user data
    #[command(subcommand)]
    Guest(definition::Command<definition::guest_profile::Words>),
}

/// How a change is made.
#[derive(Debug, Args)]
#[command(next_help_heading = "Change")]
pub(crate) struct ChangeArgs {
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// When another job has the object: wait its turn, or be refused
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = IfBusy::Wait)]
    pub(crate) if_busy: IfBusy,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Whether to stay until the job has ended.
#[derive(Debug, Args)]
#[command(next_help_heading = "Change")]
pub(crate) struct WaitArgs {
    /// Stay until the job has ended and show its progress (the default at a terminal)
    #[arg(long, overrides_with = "no_wait")]
    pub(crate) wait: bool,
    /// Return as soon as the job is accepted (the default in scripts)
    #[arg(long, overrides_with = "wait")]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) timeout: TimeoutArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Change")]
pub(crate) struct TimeoutArgs {
    /// Longest to wait for a job
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = values::duration)]
    pub(crate) timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IfBusy {
    Wait,
    Refuse,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_later_of_wait_and_no_wait_counts() {
        let waits = |words: &[&str]| {
            let line = ["muster", "vm", "start", "x"].iter().chain(words);
            match Cli::try_parse_from(line).unwrap().command {
                Command::Vm(vm::Command::Start(args)) => {
                    (args.change.wait.wait, args.change.wait.no_wait)
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(waits(&["--wait", "--no-wait"]), (false, true));
        assert_eq!(waits(&["--no-wait", "--wait"]), (true, false));
    }
}
