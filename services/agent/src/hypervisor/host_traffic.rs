//! What goes over the host's disks and uplinks, from the kernel's counters: use is what passed between two looks.

use std::fs;
use std::path::Path;
use std::time::Instant;

/// As links count.
const BITS_PER_MBIT: f64 = 1e6;

/// Counters since boot, and when they were looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counters {
    at: Instant,
    operations: u64,
    received_bytes: u64,
    sent_bytes: u64,
}

/// Use over the time between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Traffic {
    pub(super) operations_per_sec: f64,
    /// Of the busier direction.
    pub(super) mbit: f64,
}

impl Counters {
    pub(super) fn look() -> Self {
        let disks = |name: &str| Path::new("/sys/block").join(name).exists();
        let links = |name: &str| {
            Path::new("/sys/class/net")
                .join(name)
                .join("device")
                .exists()
        };
        let (received_bytes, sent_bytes) = bytes(&read("/proc/net/dev"), links);
        Self {
            at: Instant::now(),
            operations: operations(&read("/proc/diskstats"), disks),
            received_bytes,
            sent_bytes,
        }
    }

    #[allow(clippy::cast_precision_loss)] // A rate needs no 53 bits.
    pub(super) fn since(&self, last: &Self) -> Traffic {
        let secs = self.at.saturating_duration_since(last.at).as_secs_f64();
        if secs <= 0.0 {
            return Traffic::default();
        }
        let operations = self.operations.saturating_sub(last.operations) as f64;
        let received = self.received_bytes.saturating_sub(last.received_bytes);
        let sent = self.sent_bytes.saturating_sub(last.sent_bytes);
        Traffic {
            operations_per_sec: operations / secs,
            mbit: received.max(sent) as f64 * 8.0 / BITS_PER_MBIT / secs,
        }
    }
}

/// What the uplinks can carry together, in Mbit/s; 0: the drivers do not say.
pub(super) fn links_mbit() -> u32 {
    let Ok(links) = fs::read_dir("/sys/class/net") else {
        return 0;
    };
    let speed = |link: fs::DirEntry| -> Option<u32> {
        let path = link.path();
        // Only what is a device: neither bridges nor the ends of machines.
        path.join("device").exists().then_some(())?;
        fs::read_to_string(path.join("speed"))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    links
        .flatten()
        .filter_map(speed)
        .fold(0, u32::saturating_add)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Reads and writes that have been completed on whole disks: major, minor, name, reads, ..., writes (8th).
fn operations(diskstats: &str, is_disk: impl Fn(&str) -> bool) -> u64 {
    let on = |line: &str| -> Option<u64> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = *words.get(2)?;
        let is_real = !name.starts_with("loop") && !name.starts_with("ram") && is_disk(name);
        let number = |at: usize| words.get(at)?.parse::<u64>().ok();
        is_real.then(|| Some(number(3)?.saturating_add(number(7)?)))?
    };
    diskstats
        .lines()
        .filter_map(on)
        .fold(0, u64::saturating_add)
}

/// Bytes received and sent over links that are devices: name, received (1st), ..., sent (9th).
fn bytes(net_dev: &str, is_link: impl Fn(&str) -> bool) -> (u64, u64) {
    let on = |line: &str| -> Option<(u64, u64)> {
        let (name, counters) = line.split_once(':')?;
        let words: Vec<&str> = counters.split_whitespace().collect();
        let number = |at: usize| words.get(at)?.parse::<u64>().ok();
        is_link(name.trim()).then(|| Some((number(0)?, number(8)?)))?
    };
    let all = net_dev.lines().filter_map(on);
    all.fold((0, 0), |(received, sent), (r, s)| {
        (received.saturating_add(r), sent.saturating_add(s))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn whole_disks_and_links_that_are_devices_are_counted() {
        let diskstats = "   8  0 sda 100 0 800 0 50 0 400 0 0 0 0\n\
                            8  1 sda1 90 0 0 0 40 0 0 0\n   7  0 loop0 9 0 0 0 9 0 0 0\nx\n";
        assert_eq!(operations(diskstats, |name| name != "sda1"), 150);
        let net_dev = "Inter-| Receive\n face |bytes\n  eth0: 1000 1 0 0 0 0 0 0 2000 1 0 0 0 0 0 0\n\
                       lo: 7 1 0 0 0 0 0 0 7 1\n";
        assert_eq!(bytes(net_dev, |name| name == "eth0"), (1_000, 2_000));
    }

    #[test]
    fn use_is_what_passed_between_two_looks() {
        let last = Counters {
            at: Instant::now(),
            operations: 100,
            received_bytes: 0,
            sent_bytes: 0,
        };
        let now = Counters {
            at: last.at + Duration::from_secs(2),
            operations: 300,
            received_bytes: 500_000,
            sent_bytes: 250_000,
        };
        let traffic = now.since(&last);
        assert!((traffic.operations_per_sec - 100.0).abs() < 1e-9);
        assert!((traffic.mbit - 2.0).abs() < 1e-9);
        assert_eq!(last.since(&last), Traffic::default());
    }
}
