//! What a machine has used: its virtual CPUs and its memory as the host's kernel counts them, its disks as QEMU does.
//!
//! QEMU counts nothing of its own user-mode network, so what a machine sends there is not known.

use std::path::Path;

use contracts::host::VmReport;
use serde_json::{Value, json};

use super::machine::{Live, Machine};
use crate::core::usage::Counters;
use crate::hypervisor::VmReading;
use crate::hypervisor::host_counters::TICKS_PER_SEC;
use crate::limits;

/// Reads a machine that has a process. One whose QEMU does not answer is read as far as the kernel knows it.
pub(super) async fn read(machine: &Machine, live: &Live, report: &VmReport) -> VmReading {
    let pid = live.process.identity.pid;
    let (threads, blocks) =
        tokio::join!(ask(live, "query-cpus-fast"), ask(live, "query-blockstats"));
    let blocks = blocks.as_ref().and_then(block_counters).unwrap_or_default();
    let disks = machine.definition.hardware(&machine.folder).disks;
    VmReading {
        vm_id: report.vm_id.clone(),
        state: report.state(),
        started_ms: live.started_ms,
        counters: Counters {
            cpus: machine.definition.vcpus,
            cpu_secs: threads.as_ref().and_then(|threads| cpu_secs(pid, threads)),
            memory_bytes: resident_bytes(pid),
            disk_used_bytes: Some(disks.iter().map(|disk| disk.allocated_bytes).sum()),
            ..blocks
        },
    }
}

async fn ask(live: &Live, command: &str) -> Option<Value> {
    let limit = limits::SAMPLE_QMP_TIMEOUT;
    live.qmp
        .execute_within(limit, command, json!({}))
        .await
        .ok()
}

/// CPU time of the threads that run the guest: what QEMU does beside is not the machine's.
fn cpu_secs(pid: i32, cpus: &Value) -> Option<f64> {
    let threads = cpus.as_array()?.iter();
    let secs = threads.map(|cpu| {
        let thread = cpu.get("thread-id")?.as_i64()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/stat")).ok()?;
        thread_secs(&stat)
    });
    secs.sum()
}

/// Fields 14 and 15 of a thread's `stat`. The name in parentheses may hold anything, so we count from its end.
#[allow(clippy::cast_precision_loss)] // Ticks are far below 2^53.
fn thread_secs(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let (user, system) = (ticks()?, ticks()?);
    Some((user + system) as f64 / TICKS_PER_SEC)
}

fn resident_bytes(pid: i32) -> Option<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(Path::new(&path)).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Of all disks together.
fn block_counters(stats: &Value) -> Option<Counters> {
    let mut counters = Counters {
        disk_read_bytes: Some(0),
        disk_write_bytes: Some(0),
        disk_operations: Some(0),
        ..Counters::default()
    };
    for disk in stats.as_array()? {
        let stats = disk.get("stats")?;
        let count = |name: &str| stats.get(name)?.as_u64();
        add(&mut counters.disk_read_bytes, count("rd_bytes")?);
        add(&mut counters.disk_write_bytes, count("wr_bytes")?);
        let operations = count("rd_operations")?.saturating_add(count("wr_operations")?);
        add(&mut counters.disk_operations, operations);
    }
    Some(counters)
}

fn add(sum: &mut Option<u64>, more: u64) {
    *sum = sum.map(|sum| sum.saturating_add(more));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threads_time_is_counted_whatever_it_is_called() {
        let stat = "7 (CPU 0/TCG) x) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0";
        assert_eq!(thread_secs(stat), Some(2.0));
        assert_eq!(thread_secs("7 (x"), None);
    }

    #[test]
    fn disks_are_counted_together_and_nonsense_is_nothing() {
        let disk = |bytes: i64| {
            json!({"stats": {
                "rd_bytes": bytes, "wr_bytes": 2, "rd_operations": 3, "wr_operations": 4,
            }})
        };
        let counters = block_counters(&json!([disk(10), disk(20)])).unwrap();
        assert_eq!(counters.disk_read_bytes, Some(30));
        assert_eq!(counters.disk_operations, Some(14));
        assert_eq!(block_counters(&json!([disk(-1)])), None);
        assert_eq!(block_counters(&json!({})), None);
    }
}
