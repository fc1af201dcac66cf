//! Runs one seed and, if it fails, tells its story.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::process::ExitCode;

use clap::Parser;
use sim::world::World;
use sim::{entropy, fleet, records};

/// Simulates records, or a whole fleet, on a model of the bus, with faults, all drawn from one seed.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[arg(long)]
    seed: u64,
    /// A fleet with its jobs, not records alone.
    #[arg(long)]
    fleet: bool,
    /// How much happens before the faults end.
    #[arg(long, default_value_t = 150)]
    steps: u64,
    /// Tell the story although nothing failed.
    #[arg(long)]
    story: bool,
    /// What the services log, as a filter (`debug`, `kit=debug`); it goes to the standard error.
    #[arg(long, default_value = "off")]
    log: String,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    entropy::seed(arguments.seed);
    tracing_subscriber::fmt()
        .with_env_filter(&arguments.log)
        .with_writer(std::io::stderr)
        .without_time()
        .init();
    let memory = std::path::Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => tempfile::tempdir_in(memory)?,
        false => tempfile::tempdir()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    let world = runtime.block_on(async {
        let world = World::new(arguments.seed);
        if arguments.fleet {
            fleet::run(&world, folder.path(), arguments.steps).await;
        } else {
            records::run(&world, folder.path(), arguments.steps).await;
        }
        world
    });
    let failed = world.has_violations();
    world.read_story(|story| {
        if failed || arguments.story {
            story.lines().for_each(|line| println!("{line}"));
        }
        for violation in story.violations() {
            println!("broken: {violation}");
        }
        let verdict = if failed { "FAILED" } else { "held" };
        println!(
            "seed {}: {verdict}, trace {:016x}",
            arguments.seed,
            story.hash()
        );
    });
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
