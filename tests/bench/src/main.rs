//! Benchmarks: Muster beside the bare parts that it is made of, in one run, as ratios.
//!
//! `cargo run --release -p bench` prints the tables; `-- calls` or another name runs one. They measure; no build fails
//! on them. Absolute times are of this machine at this moment; the ratios are what to compare.

mod batch;
mod calls;
mod chunks;
mod clones;
mod create;
mod fleet;
mod idle;
mod index;
mod kernel;
mod muster;
mod packing;
mod place;
mod power_off;
mod programs;
mod qmp;
mod scan;
mod steps;
mod table;
mod transfer;
mod writes;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};

/// How long anything may take that is waited for. It bounds what fails, and no figure.
const PATIENCE: Duration = Duration::from_secs(240);

#[derive(Parser)]
#[command(about = "Benchmarks of Muster beside the bare parts that it is made of")]
struct Arguments {
    /// Which to run; all when none is named.
    which: Vec<Bench>,
    /// Hosts of the simulated fleet.
    #[arg(long, default_value_t = 2_500)]
    hosts: usize,
    /// Its machines.
    #[arg(long, default_value_t = 45_000)]
    vms: usize,
    /// Machines that come and go, for `packing`: CSV, plain or xz.
    #[arg(long, env = "MUSTER_TRACE")]
    trace: Option<PathBuf>,
    /// Hosts for `packing`, as <vCPU>x<GiB>[:<number, for the first refusal>]; may be given several times.
    #[arg(long = "host", default_values = ["64x256:1500", "64x144:1800"])]
    shapes: Vec<packing::Shape>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// A typed call beside a bare request.
    Calls,
    /// A simulated fleet joins, lives, and is asked about. Not without being named: it takes minutes.
    Fleet,
    /// What a pass of the refreshers costs as the fleet grows. Not without being named.
    Growth,
    /// Writes of records beside bare compare-and-set puts.
    Writes,
    /// What Muster adds to a create-and-start.
    Create,
    /// From a guest's power-off to the event at a client.
    PowerOff,
    /// Memory, processor and wakes while nothing happens.
    Idle,
    /// Machines with rules solved together beside one after the other.
    Batch,
    /// The best host of many by columns beside host by host.
    Scan,
    /// Rules of placement on a trace, and re-packing. Not without being named: it takes minutes, and a trace.
    Packing,
    /// Placements with a durable claim beside bare compare-and-set puts.
    Place,
    /// Linked and whole clones of a machine with a large disk beside qemu-img.
    Clones,
    /// A share of many files, looked at for the first time and again, beside find.
    Index,
    /// Chunks of a fixed size beside those that are cut by content. Not without being named: it makes images of some GB.
    Chunks,
    /// An image from host to host beside nbdcopy, curl, rsync and scp.
    Transfer,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let all = arguments.which.is_empty();
    let wanted = |bench| all || arguments.which.contains(&bench);
    if wanted(Bench::Calls) {
        println!("{}", calls::run().await?);
    }
    if wanted(Bench::Writes) {
        println!("{}", writes::run().await?);
    }
    if wanted(Bench::Create) {
        for report in create::run().await? {
            println!("{report}");
        }
    }
    if wanted(Bench::PowerOff) {
        println!("{}", power_off::run().await?);
    }
    if wanted(Bench::Idle) {
        println!("{}", idle::run().await?);
    }
    if arguments.which.contains(&Bench::Fleet) {
        for report in fleet::run(arguments.hosts, arguments.vms).await? {
            println!("{report}");
        }
    }
    if arguments.which.contains(&Bench::Growth) {
        println!("{}", fleet::growth().await?);
    }
    if wanted(Bench::Scan) {
        println!("{}", scan::run());
    }
    if wanted(Bench::Batch) {
        println!("{}", batch::run());
    }
    if arguments.which.contains(&Bench::Packing) {
        let trace = arguments.trace.context("`packing` takes --trace <csv>.")?;
        for report in packing::run(&trace, &arguments.shapes)? {
            println!("{report}");
        }
    }
    if wanted(Bench::Clones) {
        for report in clones::run().await? {
            println!("{report}");
        }
    }
    if wanted(Bench::Index) {
        println!("{}", index::run().await?);
    }
    if arguments.which.contains(&Bench::Chunks) {
        println!("{}", chunks::run()?);
    }
    if wanted(Bench::Transfer) {
        for report in transfer::run().await? {
            println!("{report}");
        }
    }
    if wanted(Bench::Place) {
        println!("{}", place::run().await?);
    }
    Ok(())
}
