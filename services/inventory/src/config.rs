//! Configuration of inventory.

use std::time::Duration;

use contracts::limits::{HEARTBEAT_INTERVAL, HEARTBEATS_MISSED_MAX};
use serde::{Deserialize, Serialize};

/// Beyond the missed heartbeats, for a busy host and a slow network. Too low and a host under load flaps; too high and a
/// dead host is noticed late.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A host that has not been heard for this long is not responding, in milliseconds.
    pub host_silence_max_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        let silence = HEARTBEAT_INTERVAL * HEARTBEATS_MISSED_MAX + GRACE;
        Self {
            host_silence_max_ms: u64::try_from(silence.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl kit::config::Section for Config {
    const NAME: &'static str = "inventory";

    fn validate(&self) -> Result<(), String> {
        if self.host_silence_max_ms < 100 {
            return Err(format!(
                "host_silence_max_ms: {} is less than 100.",
                self.host_silence_max_ms
            ));
        }
        Ok(())
    }
}
