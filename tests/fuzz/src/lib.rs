//! Throws bytes at whatever reads bytes of others: QEMU, guests, `qemu-img`, files of a datastore, programs on the bus,
//! clients of the gateway.
//!
//! A target is a function of bytes that says what went wrong. Inputs are samples of what is really read, changed by chance
//! ([`mutate`]). A run of the tests tries a fixed number of them for each target; `cargo run -p fuzz` goes on for as long as
//! one likes, makes what fails small, and keeps it under `tests/fuzz/kept`, where every run of the tests finds it.

mod mutate;
mod targets;

use std::panic::catch_unwind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use support::dice::Dice;

pub use targets::TARGETS;

/// No input is worth more time than this, on any machine.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Something that reads bytes.
pub struct Target {
    pub name: &'static str,
    /// Inputs as they really come.
    pub samples: fn() -> Vec<Vec<u8>>,
    /// `Err`: a promise was broken.
    pub run: fn(&[u8]) -> Result<(), String>,
}

/// The target of a name.
pub fn target(name: &str) -> anyhow::Result<&'static Target> {
    let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    TARGETS
        .iter()
        .find(|target| target.name == name)
        .with_context(|| format!("there is no target {name}; there are {}", known.join(", ")))
}

impl Target {
    /// Runs one input; a panic and slowness count as broken promises too.
    pub fn try_one(&self, input: &[u8]) -> Result<(), String> {
        let begun = Instant::now();
        let outcome = catch_unwind(|| (self.run)(input));
        if begun.elapsed() > TIME_MAX {
            return Err(format!("it took {:?}", begun.elapsed()));
        }
        outcome.unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("it panicked: {}", said.unwrap_or_default()))
        })
    }

    /// Inputs of a seed, without end.
    pub fn inputs(&self, seed: u64) -> impl Iterator<Item = Vec<u8>> + use<> {
        let samples = (self.samples)();
        let mut dice = Dice::new(seed);
        std::iter::from_fn(move || Some(mutate::input(&samples, &mut dice)))
    }

    /// Where inputs that once failed are kept.
    pub fn folder(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("kept")
            .join(self.name)
    }

    /// Inputs that once failed.
    pub fn kept(&self) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
        let Ok(folder) = std::fs::read_dir(self.folder()) else {
            return Ok(Vec::new());
        };
        folder
            .map(|file| {
                let path = file?.path();
                let input = std::fs::read(&path)?;
                Ok((path, input))
            })
            .collect()
    }

    /// The smallest part of an input found that still fails: pieces are left out, large ones first, until none can be.
    pub fn smallest(&self, input: &[u8]) -> Vec<u8> {
        let mut best = input.to_vec();
        let mut piece = best.len() / 2;
        while piece > 0 {
            let mut at = 0;
            while at < best.len() {
                let end = best.len().min(at + piece);
                let mut shorter = best.clone();
                shorter.drain(at..end);
                if self.try_one(&shorter).is_err() {
                    best = shorter;
                } else {
                    at = end;
                }
            }
            piece /= 2;
        }
        best
    }
}
