//! What the host is and has, read from the kernel.

use std::fs;
use std::sync::{Mutex, PoisonError};

use contracts::host::{HostFacts, Network};

use super::host_traffic::{Counters, Traffic, links_mbit};

/// Reads facts; remembers the last look at the CPU, since its use is what passed between two.
#[derive(Default)]
pub(crate) struct HostReader {
    last: Mutex<CpuTimes>,
    counters: Mutex<Option<Counters>>,
}

/// Ticks since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuTimes {
    pub(crate) idle: u64,
    pub(crate) total: u64,
}

impl HostReader {
    /// All that is not the hypervisor's own.
    pub(crate) fn read(&self) -> HostFacts {
        let cpuinfo = read("/proc/cpuinfo");
        let meminfo = read("/proc/meminfo");
        let total = memory_bytes(&meminfo, "MemTotal");
        let uname = rustix::system::uname();
        let traffic = self.traffic();
        HostFacts {
            hostname: uname.nodename().to_string_lossy().into_owned(),
            os: os_name(&read("/etc/os-release")),
            kernel: uname.release().to_string_lossy().into_owned(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            cpus: std::thread::available_parallelism()
                .map_or(1, |n| u32::try_from(n.get()).unwrap_or(1)),
            cpu_model: cpu_model(&cpuinfo),
            memory_bytes: total,
            memory_used_bytes: total.saturating_sub(memory_bytes(&meminfo, "MemAvailable")),
            cpu_used_percent: self.cpu_used_percent(),
            // QEMU's own network needs nothing of the host; bridges come with networks.
            networks: vec![Network {
                name: "user".to_owned(),
                ..Network::default()
            }],
            platform: std::env::consts::ARCH.to_owned(),
            cpu_features: cpu_features(&cpuinfo),
            other_virtualization: other_virtualization(),
            disk_io_per_sec: traffic.operations_per_sec,
            network_mbit: traffic.mbit,
            network_mbit_max: links_mbit(),
            ..HostFacts::default()
        }
    }

    fn traffic(&self) -> Traffic {
        let now = Counters::look();
        let mut last = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let traffic = last.map(|last| now.since(&last)).unwrap_or_default();
        *last = Some(now);
        traffic
    }

    fn cpu_used_percent(&self) -> f64 {
        let now = cpu_times(&read("/proc/stat"));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let percent = used_percent(*last, now);
        *last = now;
        percent
    }
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn os_name(os_release: &str) -> String {
    let line = os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.unwrap_or("Linux").trim_matches('"').to_owned()
}

fn cpu_model(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let model = line
        .and_then(|line| line.split_once(':'))
        .map(|(_, model)| model.trim());
    model.unwrap_or_default().to_owned()
}

/// Of the first processor; hosts whose processors differ are not made for machines that move.
fn cpu_features(cpuinfo: &str) -> Vec<String> {
    let mut lines = cpuinfo.lines();
    let line = lines.find(|line| line.starts_with("flags") || line.starts_with("Features"));
    let words = line.and_then(|line| line.split_once(':'));
    let words = words.map(|(_, words)| words.split_whitespace());
    words.into_iter().flatten().map(str::to_owned).collect()
}

/// Other software that wants the processors for machines of its own: by the devices that it makes while it is there.
fn other_virtualization() -> String {
    let marks = [
        ("/dev/vboxdrv", "VirtualBox"),
        ("/dev/vmmon", "VMware"),
        ("/proc/xen/privcmd", "Xen"),
    ];
    let found = marks
        .iter()
        .find(|(path, _)| fs::exists(path).unwrap_or(false));
    found
        .map(|(_, name)| (*name).to_owned())
        .unwrap_or_default()
}

/// A line of `/proc/meminfo`, which counts in KiB.
pub(crate) fn memory_bytes(meminfo: &str, key: &str) -> u64 {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let kib: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// First line of `/proc/stat`: user nice system idle iowait irq softirq steal.
pub(crate) fn cpu_times(stat: &str) -> CpuTimes {
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|t| t.parse().ok())
        .collect();
    let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
    CpuTimes {
        idle: at(3) + at(4),
        total: ticks.iter().sum(),
    }
}

fn used_percent(last: CpuTimes, now: CpuTimes) -> f64 {
    let total = now.total.saturating_sub(last.total);
    let idle = now.idle.saturating_sub(last.idle);
    if total == 0 {
        return 0.0;
    }
    #[allow(clippy::cast_precision_loss)]
    let used = total.saturating_sub(idle) as f64 / total as f64;
    used * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_use_is_what_passed_between_two_looks() {
        let last = cpu_times("cpu  100 0 100 800 0 0 0 0 0 0\n");
        let now = cpu_times("cpu  150 0 150 890 10 0 0 0 0 0\n");
        assert_eq!(
            last,
            CpuTimes {
                idle: 800,
                total: 1000
            }
        );
        assert!((used_percent(last, now) - 50.0).abs() < 0.01);
        assert!(used_percent(now, now).abs() < 0.01);
    }

    #[test]
    fn memory_and_names_are_read_from_the_kernels_tables() {
        assert_eq!(
            memory_bytes("MemTotal:       1024 kB\nMemFree: 1 kB\n", "MemTotal"),
            1 << 20
        );
        assert_eq!(memory_bytes("", "MemTotal"), 0);
        assert_eq!(
            os_name("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            "Debian GNU/Linux 12 (bookworm)"
        );
        assert_eq!(
            cpu_model("processor: 0\nmodel name\t: Fast CPU\n"),
            "Fast CPU"
        );
    }
}
