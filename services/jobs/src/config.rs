//! Settings of the service.

use std::time::Duration;

use kit::config::Section;
use serde::{Deserialize, Serialize};

use crate::core::retry::Policy;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long ended jobs are kept.
    pub history_days: u32,
    pub prune_interval_hours: u32,
    /// Jobs that one instance runs at a time. A runner mostly waits for hosts; too low and jobs queue for nothing, too high
    /// and a burst of creates makes every host slow at once.
    pub runners_max: usize,
    /// A job whose runner is silent for this long goes to another. Too low and a short outage moves jobs about; too high
    /// and a crash is noticed late.
    pub lease_secs: u64,
    /// How often open jobs that nobody runs are looked for.
    pub sweep_interval_secs: u64,
    /// Tries of one step.
    pub attempts_max: u32,
    /// No new try of a step is begun after this time.
    pub retry_patience_secs: u64,
    /// The same for an undo, and for the steps that end a job: what they leave undone is for a person, so they are tried
    /// for longer.
    pub undo_attempts_max: u32,
    pub undo_patience_secs: u64,
    /// Wait before the second try; it doubles with each.
    pub backoff_first_ms: u64,
    pub backoff_max_ms: u64,
    /// How long a new machine's guest agent is waited for.
    pub guest_patience_secs: u64,
    /// How long running steps may go on when the service stops; then another instance takes their jobs over.
    pub drain_secs: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            history_days: 90,
            prune_interval_hours: 20,
            runners_max: 64,
            lease_secs: 5,
            sweep_interval_secs: 5,
            attempts_max: 60,
            retry_patience_secs: 120,
            undo_attempts_max: 300,
            undo_patience_secs: 600,
            backoff_first_ms: 100,
            backoff_max_ms: 3_000,
            guest_patience_secs: 120,
            drain_secs: 10,
        }
    }
}

impl Section for Config {
    const NAME: &'static str = "jobs";

    fn validate(&self) -> Result<(), String> {
        let at_least_one = [
            ("history_days", u64::from(self.history_days)),
            ("prune_interval_hours", self.prune_interval_hours.into()),
            ("runners_max", self.runners_max as u64),
            ("lease_secs", self.lease_secs),
            ("sweep_interval_secs", self.sweep_interval_secs),
            ("attempts_max", self.attempts_max.into()),
            ("undo_attempts_max", self.undo_attempts_max.into()),
            ("backoff_first_ms", self.backoff_first_ms),
        ];
        match at_least_one.iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(format!("{key}: must be 1 or more.")),
            None => Ok(()),
        }
    }
}

impl Config {
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_secs)
    }

    /// How a step that may be given up is tried again, and how one that must come to its end.
    pub(crate) fn retry(&self, may_give_up: bool) -> Policy {
        let (attempts_max, patience_secs) = if may_give_up {
            (self.attempts_max, self.retry_patience_secs)
        } else {
            (self.undo_attempts_max, self.undo_patience_secs)
        };
        Policy {
            attempts_max,
            patience: Duration::from_secs(patience_secs),
            first: Duration::from_millis(self.backoff_first_ms),
            most: Duration::from_millis(self.backoff_max_ms.max(self.backoff_first_ms)),
        }
    }
}
