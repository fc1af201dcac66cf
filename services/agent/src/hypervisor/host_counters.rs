//! What the host has used, as the kernel counts it.

use std::path::Path;

use super::host_facts::{cpu_times, memory_bytes, read};
use crate::core::usage::Counters;

/// The kernel tells CPU time to programs in hundredths of a second, whatever it counts in itself.
pub(crate) const TICKS_PER_SEC: f64 = 100.0;

const SECTOR_BYTES: u64 = 512;

/// All but what the hypervisor knows: how full its datastores are.
#[allow(clippy::cast_precision_loss)] // Ticks since boot are far below 2^53.
pub(crate) fn read_counters() -> Counters {
    let times = cpu_times(&read("/proc/stat"));
    let meminfo = read("/proc/meminfo");
    let total = memory_bytes(&meminfo, "MemTotal");
    let disks = disks(&read("/proc/diskstats"), |name| is_hardware("block", name));
    let network = network(&read("/proc/net/dev"));
    Counters {
        cpus: std::thread::available_parallelism()
            .map_or(1, |n| u32::try_from(n.get()).unwrap_or(1)),
        cpu_secs: (times.total > 0)
            .then(|| times.total.saturating_sub(times.idle) as f64 / TICKS_PER_SEC),
        memory_bytes: (total > 0)
            .then(|| total.saturating_sub(memory_bytes(&meminfo, "MemAvailable"))),
        disk_read_bytes: disks.map(|d| d.read_bytes),
        disk_write_bytes: disks.map(|d| d.write_bytes),
        disk_operations: disks.map(|d| d.operations),
        disk_used_bytes: None,
        network_received_bytes: network.map(|(received, _)| received),
        network_sent_bytes: network.map(|(_, sent)| sent),
    }
}

/// Not a partition, a loop, a bridge, or another name for what is counted already.
fn is_hardware(class: &str, name: &str) -> bool {
    Path::new("/sys/class")
        .join(class)
        .join(name)
        .join("device")
        .exists()
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Disks {
    read_bytes: u64,
    write_bytes: u64,
    operations: u64,
}

/// A line: major minor name, reads merged sectors ms, writes merged sectors ms, ... `None`: there is no disk.
fn disks(diskstats: &str, is_wanted: impl Fn(&str) -> bool) -> Option<Disks> {
    let mut sum = None;
    for line in diskstats.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !words.get(2).is_some_and(|name| is_wanted(name)) {
            continue;
        }
        let at = |index: usize| {
            words
                .get(index)
                .and_then(|w| w.parse::<u64>().ok())
                .unwrap_or(0)
        };
        let disks: &mut Disks = sum.get_or_insert_default();
        disks.operations += at(3) + at(7);
        disks.read_bytes += at(5).saturating_mul(SECTOR_BYTES);
        disks.write_bytes += at(9).saturating_mul(SECTOR_BYTES);
    }
    sum
}

/// Bytes received and sent by the host's network cards. A host that has none (a container) counts what it has instead.
fn network(dev: &str) -> Option<(u64, u64)> {
    let cards: Vec<(&str, u64, u64)> = dev.lines().filter_map(card).collect();
    let is_card = |name: &str| is_hardware("net", name);
    let has_hardware = cards.iter().any(|(name, ..)| is_card(name));
    let counts = |name: &str| name != "lo" && (!has_hardware || is_card(name));
    let counted = cards.iter().filter(|(name, ..)| counts(name));
    counted
        .map(|(_, received, sent)| (*received, *sent))
        .reduce(|(r, s), (received, sent)| (r + received, s + sent))
}

/// A line: `name: bytes packets errs drop fifo frame compressed multicast bytes ...`.
fn card(line: &str) -> Option<(&str, u64, u64)> {
    let (name, counters) = line.split_once(':')?;
    let mut counters = counters.split_whitespace();
    let received = counters.next()?.parse().ok()?;
    let sent = counters.nth(7)?.parse().ok()?;
    Some((name.trim(), received, sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_counted_once() {
        let text = " 254 0 vda 10 1 20 3 5 1 40 3 0 1 1\n 254 1 vda1 9 1 20 3 5 1 40 3 0 1 1\n";
        let whole = Disks {
            read_bytes: 20 * 512,
            write_bytes: 40 * 512,
            operations: 15,
        };
        assert_eq!(disks(text, |name| name == "vda"), Some(whole));
        assert_eq!(disks(text, |_| false), None);
    }

    #[test]
    fn a_card_is_read_from_its_line() {
        let line = "  eth0: 1200 5 0 0 0 0 0 0 3400 7 0 0 0 0 0 0";
        assert_eq!(card(line), Some(("eth0", 1_200, 3_400)));
        assert_eq!(card("Inter-|   Receive |  Transmit"), None);
    }

    #[test]
    fn this_host_counts_its_cpus() {
        let counters = read_counters();
        assert!(counters.cpus > 0 && counters.cpu_secs > Some(0.0));
        assert!(counters.memory_bytes > Some(0));
    }
}
