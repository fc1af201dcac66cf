//! What happened in a run, with simulated times, and a hash of it.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Lines kept: the end of a run is where its fault shows.
const LINES_KEPT: usize = 20_000;

#[derive(Default)]
pub struct Story {
    lines: VecDeque<String>,
    hasher: DefaultHasher,
    violations: Vec<String>,
}

impl Story {
    pub(crate) fn tell(&mut self, at: Duration, who: &str, what: &str) {
        let line = format!("{:>12.3} {who:<10} {what}", at.as_secs_f64());
        line.hash(&mut self.hasher);
        if self.lines.len() == LINES_KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub(crate) fn violation(&mut self, at: Duration, what: String) {
        self.tell(at, "VIOLATION", &what);
        self.violations.push(what);
    }

    pub fn lines(&self) -> impl Iterator<Item = &String> {
        self.lines.iter()
    }

    /// Promises that were broken, the first one first.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Equal for two runs that went the same way.
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }
}
