//! What Muster takes of a machine while nothing happens: memory, time of the processor, and how often it wakes.
//!
//! All from `/proc`. A thread wakes as often as its voluntary context switches say; whoever polled faster than once a
//! second would show there.

use std::time::{Duration, Instant};

use crate::kernel;
use crate::muster::Muster;
use crate::table::Report;

/// What was started has its first round of everything behind it.
const SETTLING: Duration = Duration::from_secs(40);

const WINDOW: Duration = Duration::from_secs(60);

/// What the kernel has counted of a process.
struct Counts {
    on_processors: Duration,
    wakes: u64,
}

pub(crate) async fn run() -> anyhow::Result<Report> {
    let muster = Muster::start().await?;
    tokio::time::sleep(SETTLING).await;
    let processes = muster.every_process()?;
    let before = processes
        .iter()
        .map(|(_, id)| counts(*id))
        .collect::<Result<Vec<_>, _>>()?;
    let begun = Instant::now();
    tokio::time::sleep(WINDOW).await;
    let elapsed = begun.elapsed().as_secs_f64();
    let mut report = Report::new(
        "Idle for a minute, one host, no machine (aims: musterd 150 MB, agent 30 MB, all together 2 % of a core)",
        &["", "memory", "of a core", "wakes a second"],
    );
    let (mut all_memory, mut all_share, mut all_wakes) = (0, 0.0, 0.0);
    for ((name, id), before) in processes.iter().zip(before) {
        let after = counts(*id)?;
        let memory = kernel::memory_bytes(*id, "VmRSS:")?;
        let on_processors = after.on_processors.saturating_sub(before.on_processors);
        let share = on_processors.as_secs_f64() / elapsed;
        let wakes = as_f64(after.wakes.saturating_sub(before.wakes)) / elapsed;
        report.row(row(name, memory, share, wakes));
        all_memory += memory;
        all_share += share;
        all_wakes += wakes;
    }
    report.row(row("together", all_memory, all_share, all_wakes));
    Ok(report)
}

fn row(name: &str, memory_bytes: u64, share: f64, wakes: f64) -> [String; 4] {
    [
        name.to_owned(),
        format!("{:.0} MB", as_f64(memory_bytes) / 1e6),
        format!("{:.2} %", share * 100.0),
        format!("{wakes:.1}"),
    ]
}

fn counts(process: u32) -> anyhow::Result<Counts> {
    Ok(Counts {
        on_processors: kernel::times(process)?.own,
        wakes: kernel::waits(process)?,
    })
}

#[allow(clippy::cast_precision_loss)]
fn as_f64(count: u64) -> f64 {
    count as f64
}
