//! Configuration of the library service.

use contracts::limits::{HEARTBEAT_INTERVAL, HEARTBEATS_MISSED_MAX};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a library server may be silent before it is shown as not responding, in seconds.
    pub server_silence_max_secs: u64,
}

impl Default for Config {
    fn default() -> Self {
        let silence = HEARTBEAT_INTERVAL * (HEARTBEATS_MISSED_MAX + 1);
        Self {
            server_silence_max_secs: silence.as_secs(),
        }
    }
}

impl kit::config::Section for Config {
    const NAME: &'static str = "library";

    fn validate(&self) -> Result<(), String> {
        if self.server_silence_max_secs == 0 {
            return Err("server_silence_max_secs: 0 lets no server respond.".to_owned());
        }
        Ok(())
    }
}
