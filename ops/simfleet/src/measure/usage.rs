//! What processes take of the machine, from `/proc`.

use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Clock ticks a second, as Linux shows them to programs on every architecture.
const TICKS: u32 = 100;

/// A process by its id.
#[derive(Clone, Debug)]
pub struct Process {
    pub name: String,
    pub id: u32,
}

impl Process {
    /// Memory of its own and shared that is in use now.
    pub fn memory_bytes(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.id);
        let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib: u64 = kib.and_then(|kib| kib.parse().ok()).context(path)?;
        Ok(kib * 1024)
    }

    /// Time on processors since its start.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let path = format!("/proc/{}/stat", self.id);
        let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        // The name in parentheses may hold anything; user and system time are the 12th and 13th field after it.
        let (_, rest) = text.rsplit_once(')').context("no name")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |n: usize| fields.get(n).and_then(|text| text.parse::<u32>().ok());
        let (user, system) = (ticks(11).context("no time")?, ticks(12).context("no time")?);
        Ok(Duration::from_secs(1) * (user + system) / TICKS)
    }
}

/// Processes together, from a moment on.
pub struct Meter {
    processes: Vec<Process>,
    from: Instant,
    cpu: Vec<Duration>,
}

impl Meter {
    pub fn start(processes: &[Process]) -> anyhow::Result<Self> {
        Ok(Self {
            from: Instant::now(),
            cpu: processes
                .iter()
                .map(Process::cpu)
                .collect::<Result<_, _>>()?,
            processes: processes.to_vec(),
        })
    }

    /// Of each process its part of one core since the start, 1 for the whole.
    pub fn parts(&self) -> anyhow::Result<Vec<(String, f64)>> {
        let elapsed = self.from.elapsed().as_secs_f64();
        self.processes
            .iter()
            .zip(&self.cpu)
            .map(|(process, before)| {
                let used = process.cpu()?.saturating_sub(*before);
                Ok((process.name.clone(), used.as_secs_f64() / elapsed))
            })
            .collect()
    }
}
