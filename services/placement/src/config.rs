//! Configuration of placement.

use serde::{Deserialize, Serialize};

use crate::core::reserves::Reserved;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// CPU that is kept free for a host itself where neither it nor a group above it says otherwise.
    pub reserve_cpu_percent: f64,
    pub reserve_memory_bytes: u64,
    pub reserve_disk_bytes: u64,
    /// CPU that a machine is expected to use, in percent of its own vCPUs, where nobody says otherwise. 20 is the default
    /// of Virtual Machine Manager.
    pub expected_cpu_percent: f64,
    /// A claim that nobody confirmed ends after this time, in seconds. Too low and a slow create loses its place; too high
    /// and the claim of a job that died blocks a host. Each instance counts from when it first saw the claim.
    pub claim_lifetime_secs: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            reserve_cpu_percent: 10.0,
            reserve_memory_bytes: 512 << 20,
            reserve_disk_bytes: 1 << 30,
            expected_cpu_percent: 20.0,
            claim_lifetime_secs: 15 * 60,
        }
    }
}

impl Config {
    pub(crate) fn reserves(&self) -> Reserved {
        Reserved {
            cpu_percent: self.reserve_cpu_percent,
            memory_bytes: self.reserve_memory_bytes,
            disk_bytes: self.reserve_disk_bytes,
        }
    }
}

impl kit::config::Section for Config {
    const NAME: &'static str = "placement";

    fn validate(&self) -> Result<(), String> {
        let percents = [
            ("reserve_cpu_percent", self.reserve_cpu_percent),
            ("expected_cpu_percent", self.expected_cpu_percent),
        ];
        for (key, percent) in percents {
            if !(0.0..=100.0).contains(&percent) {
                return Err(format!("{key}: {percent} is not between 0 and 100."));
            }
        }
        if self.claim_lifetime_secs == 0 {
            return Err("claim_lifetime_secs: 0 would end every claim at once.".to_owned());
        }
        Ok(())
    }
}
