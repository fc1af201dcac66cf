//! Every service of Muster in one process, with a nats-server of its own when no bus is configured.
//!
//! For a small site, and for the quickstart. Nothing in the services knows that they share a process: they meet on the
//! bus, each as its own user.

mod bus;
mod config;
mod run;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use kit::config::Source;

#[derive(Parser)]
#[command(
    name = "musterd",
    version,
    about = "Every service of Muster in one process"
)]
struct Arguments {
    /// Configuration file (TOML).
    #[arg(long, env = "MUSTER_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Print the configuration that is in force, without secrets, and exit.
    #[arg(long)]
    print_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Print the users and permissions that a nats-server for Muster needs.
    NatsAuthorization,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Command::NatsAuthorization) = arguments.command {
        print!("{}", contracts::access::nats_authorization());
        return Ok(());
    }
    let source = Source::new(arguments.config.as_deref())?;
    if arguments.print_config {
        print!("{}", run::printed(&source)?);
        return Ok(());
    }
    run::run(&source)
}
