//! How much room the largest fleet takes: 2,500 hosts and 45,000 machines, each with a load of its own.

use std::fs;
use std::path::Path;

use contracts::performance::{HostSamples, Usage, VmSample};
use performance::core::figures;
use performance::core::fleet::{Fleet, Kind};
use performance::core::pack::{self, Coarse};
use performance::week::{INTERVALS, Key, Week, key};
use support::dice::Dice;

const HOSTS: usize = 2_500;
const VMS: usize = 45_000;

/// Bytes that this process holds.
fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    kib * 1_024
}

/// A load that goes up and down over the day, with noise of a fifth and now and then a burst.
struct Load {
    level: f64,
    phase: f64,
}

impl Load {
    fn new(dice: &mut Dice) -> Self {
        Self {
            level: 0.02 + part(dice).powi(3),
            phase: part(dice),
        }
    }

    fn usage(&self, interval: usize, dice: &mut Dice) -> Usage {
        let day = (interval as f64 / 160.0 + self.phase) * std::f64::consts::TAU;
        let burst = if dice.below(50) == 0 { 4.0 } else { 1.0 };
        let mut noisy =
            |base: f64| base * self.level * (1.2 + day.sin()) * (0.8 + 0.4 * part(dice)) * burst;
        let mut whole = |base: f64| Some(noisy(base) as u64);
        Usage {
            disk_read_bytes_per_sec: whole(2e6),
            disk_write_bytes_per_sec: whole(4e6),
            disk_operations_per_sec: whole(300.0),
            network_received_bytes_per_sec: whole(1e6),
            network_sent_bytes_per_sec: whole(5e5),
            cpu_percent: Some((noisy(40.0) as f32).min(100.0)),
            memory_bytes: Some((4e9 * (1.0 + self.level / 10.0 * day.sin())) as u64),
            disk_used_bytes: Some((2e10 * self.level) as u64 + interval as u64 * 100_000),
        }
    }
}

fn part(dice: &mut Dice) -> f64 {
    dice.below(1_000_000) as f64 / 1e6
}

#[test]
fn an_hour_of_the_largest_fleet_takes_less_than_100_mb_of_memory() {
    let usage = Load::new(&mut Dice::new(1)).usage(1, &mut Dice::new(2));
    let messages: Vec<HostSamples> = (0..HOSTS)
        .map(|host| HostSamples {
            host_id: format!("{host:08x}-1111-7222-8333-444455556666"),
            host: Some(usage),
            vms: (0..VMS / HOSTS)
                .map(|vm| VmSample {
                    vm_id: format!("{host:08x}-{vm:04x}-7222-8333-444455556666"),
                    usage: Some(usage),
                    ..VmSample::default()
                })
                .collect(),
            ..HostSamples::default()
        })
        .collect();
    let before = resident_bytes();
    let mut fleet = Fleet::new(100_000);
    // What an object takes does not depend on how many of its minutes there are.
    for minute in [0, 59] {
        for message in &messages {
            fleet.take(message, minute);
        }
    }
    let grown = resident_bytes() - before;
    assert_eq!(fleet.len(), HOSTS + VMS);
    let newest = format!("{:08x}-{:04x}-7222-8333-444455556666", HOSTS - 1, 0);
    assert_eq!(fleet.minutes(Kind::Vm, &newest, 0, 59).len(), 2);
    println!(
        "an hour of {} objects: {} MB",
        fleet.len(),
        grown / 1_000_000
    );
    assert!(grown < 100_000_000, "{grown} bytes");
}

/// Bytes of a week on disk, measured on some objects over the longest time that a journal spans, and one interval more,
/// which makes a segment of it.
fn bytes_of_a_week(folder: &Path, objects: usize) -> (u64, u64) {
    let mut dice = Dice::new(7);
    let loads: Vec<(Key, Load)> = (0..objects)
        .map(|n| (key(Kind::Vm, &format!("vm-{n}")), Load::new(&mut dice)))
        .collect();
    let mut week = Week::open(folder).unwrap();
    let mut means = |interval: usize| -> Vec<(Key, Coarse)> {
        let mean = |load: &Load, dice: &mut Dice| figures::of_message(&load.usage(interval, dice));
        let loads = loads.iter();
        loads
            .map(|(key, load)| (*key, pack::coarse(&mean(load, &mut dice))))
            .collect()
    };
    for interval in 0..pack::ROWS {
        week.append(i64::try_from(interval).unwrap(), means(interval))
            .unwrap();
    }
    let journal = fs::metadata(folder.join("journal")).unwrap().len();
    week.append(i64::try_from(pack::ROWS).unwrap(), Vec::new())
        .unwrap();
    (journal, fs::metadata(folder.join("0.means")).unwrap().len())
}

#[test]
fn a_week_of_the_largest_fleet_takes_less_than_500_mb_on_disk() {
    // A twentieth of the fleet: what an object takes does not depend on how many there are.
    const PART: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let (journal, segment) = bytes_of_a_week(folder.path(), (HOSTS + VMS) / PART);
    let segments = u64::try_from(INTERVALS).unwrap() / pack::ROWS as u64 + 1;
    let whole = (journal + segment * segments) * PART as u64;
    println!(
        "a week of {} objects: {} MB, {} bytes of it for each mean",
        HOSTS + VMS,
        whole / 1_000_000,
        segment * PART as u64 / (HOSTS + VMS) as u64 / pack::ROWS as u64
    );
    assert!(whole < 500_000_000, "{whole} bytes");
}
