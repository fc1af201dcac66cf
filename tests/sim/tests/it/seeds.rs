//! Seeds: some fresh ones at each run, and every one that ever failed.

use std::hash::{BuildHasher, RandomState};
use std::process::{Command, Output};
use std::sync::Mutex;

/// Fresh seeds of records at each run. One takes about a third of a second.
const FRESH: u64 = 60;

/// Fresh seeds of fleets at each run. One takes a second or two.
const FRESH_FLEETS: u64 = 12;

/// Seeds that failed once, each with what it found.
const FAILED_ONCE: &str = include_str!("../../seeds.txt");
const FLEETS_FAILED_ONCE: &str = include_str!("../../fleet_seeds.txt");

/// What is simulated, by its options.
const RECORDS: &[&str] = &[];
const FLEET: &[&str] = &["--fleet", "--steps", "60"];

/// As `cargo run -p sim` does it: a process for each seed, since all of a process's randomness is the seed's.
fn run(options: &[&str], seed: u64) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["--seed", &seed.to_string()])
        .args(options)
        .output()
        .unwrap()
}

fn last_line(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().last().unwrap_or_default().to_owned()
}

/// Runs seeds on every core; panics with the stories of those that failed.
fn all_hold(options: &[&str], seeds: &[u64]) {
    let (next, failed) = (Mutex::new(seeds.iter()), Mutex::new(Vec::new()));
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let Some(seed) = next.lock().unwrap().next() else {
                        break;
                    };
                    let output = run(options, *seed);
                    if !output.status.success() {
                        let story = String::from_utf8_lossy(&output.stdout).into_owned();
                        let said = String::from_utf8_lossy(&output.stderr).into_owned();
                        failed.lock().unwrap().push((*seed, story + &said));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    for (seed, story) in &failed {
        let options = options.join(" ");
        println!("{story}\nreplay it with: cargo run -p sim -- --seed {seed} {options}");
    }
    let seeds: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
    assert!(
        seeds.is_empty(),
        "seeds {seeds:?} failed; when it is mended, put them into seeds.txt"
    );
}

fn fresh_hold(options: &[&str], count: u64) {
    // The one place where the system's randomness is wanted.
    let first = RandomState::new().hash_one(0) >> 16;
    println!("seeds {first} to {}", first + count - 1);
    all_hold(options, &(first..first + count).collect::<Vec<_>>());
}

/// The numbers at the beginnings of lines.
fn those_of(file: &str) -> Vec<u64> {
    file.lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect()
}

#[test]
fn records_hold_under_fresh_seeds() {
    fresh_hold(RECORDS, FRESH);
}

#[test]
fn records_hold_under_every_seed_that_failed_once() {
    all_hold(RECORDS, &those_of(FAILED_ONCE));
}

#[test]
fn fleets_hold_under_fresh_seeds() {
    fresh_hold(FLEET, FRESH_FLEETS);
}

#[test]
fn fleets_hold_under_every_seed_that_failed_once() {
    all_hold(FLEET, &those_of(FLEETS_FAILED_ONCE));
}

#[test]
fn one_seed_is_one_story() {
    for (options, seed) in [(RECORDS, 1), (RECORDS, 2), (RECORDS, 3), (FLEET, 1)] {
        let (first, second) = (
            last_line(&run(options, seed)),
            last_line(&run(options, seed)),
        );
        assert!(first.contains("trace"), "{first}");
        assert_eq!(first, second);
    }
}
