//! What Muster takes of a machine while nothing happens: memory, time of the processor, and how often it wakes.
//!
//! All from `/proc`. A thread wakes as often as its voluntary context switches say; whoever polled faster than once a
//! second would show there.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::muster::Muster;
use crate::table::Report;

/// What was started has its first round of everything behind it.
const SETTLING: Duration = Duration::from_secs(40);

const WINDOW: Duration = Duration::from_secs(60);

/// What the kernel has counted of a process.
struct Counts {
    ticks: u64,
    wakes: u64,
}

pub(crate) async fn run() -> anyhow::Result<Report> {
    let muster = Muster::start().await?;
    tokio::time::sleep(SETTLING).await;
    let processes = muster.processes()?;
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
        let memory = memory_kib(*id)?;
        let share = seconds(after.ticks - before.ticks) / elapsed;
        let wakes = as_f64(after.wakes.saturating_sub(before.wakes)) / elapsed;
        report.row(row(name, memory, share, wakes));
        all_memory += memory;
        all_share += share;
        all_wakes += wakes;
    }
    report.row(row("together", all_memory, all_share, all_wakes));
    Ok(report)
}

fn row(name: &str, memory_kib: u64, share: f64, wakes: f64) -> [String; 4] {
    [
        name.to_owned(),
        format!("{:.0} MB", as_f64(memory_kib) * 1024.0 / 1e6),
        format!("{:.2} %", share * 100.0),
        format!("{wakes:.1}"),
    ]
}

fn counts(process: u32) -> anyhow::Result<Counts> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold anything; utime and stime are the 12th and 13th field after it.
    let (_, fields) = stat
        .rsplit_once(')')
        .context("a line of /proc is not understood")?;
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks = times.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    let mut wakes = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end while we look.
        let status = fs::read_to_string(thread?.path().join("status")).unwrap_or_default();
        wakes += field(&status, "voluntary_ctxt_switches:").unwrap_or(0);
    }
    Ok(Counts { ticks, wakes })
}

fn memory_kib(process: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    field(&status, "VmRSS:").context("the kernel does not say how much memory it takes")
}

fn field(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn seconds(ticks: u64) -> f64 {
    as_f64(ticks) / as_f64(rustix::param::clock_ticks_per_second())
}

#[allow(clippy::cast_precision_loss)]
fn as_f64(count: u64) -> f64 {
    count as f64
}
