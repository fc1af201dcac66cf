//! Configuration of the refresher.

use serde::{Deserialize, Serialize};

use crate::core::plan::line::Limits;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Refreshes that this instance has in work at a time because they were due. Each waits for one host: too low and
    /// hosts that answer slowly hold up the others; too high and a burst presses on inventory.
    pub due_at_once_max: usize,
    /// How many more there may be that somebody asked for.
    pub asked_at_once_max: usize,
    /// Refreshes that may wait that somebody asked for; the next are refused.
    pub asked_waiting_max: usize,
    /// How often it is looked what there is to refresh, in milliseconds. A new host tells everything itself, so nothing
    /// waits for it.
    pub targets_interval_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            due_at_once_max: 64,
            asked_at_once_max: 32,
            asked_waiting_max: 10_000,
            targets_interval_ms: 15_000,
        }
    }
}

impl Config {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            due_max: self.due_at_once_max,
            all_max: self.due_at_once_max.saturating_add(self.asked_at_once_max),
            asked_max: self.asked_waiting_max,
        }
    }
}

impl kit::config::Section for Config {
    const NAME: &'static str = "refresher";

    fn validate(&self) -> Result<(), String> {
        let limits = [
            ("due_at_once_max", self.due_at_once_max),
            ("asked_at_once_max", self.asked_at_once_max),
            ("asked_waiting_max", self.asked_waiting_max),
        ];
        if let Some((name, _)) = limits.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{name}: 0 would refresh nothing."));
        }
        if self.targets_interval_ms < 100 {
            return Err(format!(
                "targets_interval_ms: {} is less than 100.",
                self.targets_interval_ms
            ));
        }
        Ok(())
    }
}
