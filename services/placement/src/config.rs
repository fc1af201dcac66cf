//! Configuration of placement.

use contracts::inherit::{DEFAULT_RESERVES, Reserved};
use contracts::placement::Weights;
use serde::{Deserialize, Serialize};

use crate::core::model::Goal;
use crate::core::query::{Defaults, thousandths};

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
    /// Resource maximisation instead of load balancing, where a request does not say.
    pub maximise: bool,
    /// How much each resource counts where a request does not say, 0 to 100.
    pub weight_cpu: f64,
    pub weight_memory: f64,
    pub weight_disk_io: f64,
    pub weight_network: f64,
    /// A claim that nobody confirmed ends after this time, in seconds. Too low and a slow create loses its place; too high
    /// and the claim of a job that died blocks a host. Each instance counts from when it first saw the claim.
    pub claim_lifetime_secs: u64,
    /// Samples of a host that are older count no more, in seconds. Agents tell theirs every ten minutes even when nothing
    /// has changed. Too low and clocks that differ make hosts stale; too high and a host is rated by what was.
    pub samples_lifetime_secs: u64,
    /// Where the site's goal is resource maximisation, machines are placed beside such as stay as long, by what is learned of
    /// how long machines of their size and owner stay.
    pub learn_stays: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            reserve_cpu_percent: DEFAULT_RESERVES.cpu_percent,
            reserve_memory_bytes: DEFAULT_RESERVES.memory_bytes,
            reserve_disk_bytes: DEFAULT_RESERVES.disk_bytes,
            expected_cpu_percent: 20.0,
            maximise: false,
            weight_cpu: 1.0,
            weight_memory: 1.0,
            weight_disk_io: 1.0,
            weight_network: 1.0,
            claim_lifetime_secs: 15 * 60,
            samples_lifetime_secs: 60 * 60,
            learn_stays: true,
        }
    }
}

impl Config {
    pub(crate) fn defaults(&self) -> Defaults {
        Defaults {
            reserves: Reserved {
                cpu_percent: self.reserve_cpu_percent,
                memory_bytes: self.reserve_memory_bytes,
                disk_bytes: self.reserve_disk_bytes,
                ..DEFAULT_RESERVES
            },
            expected_cpu_percent: self.expected_cpu_percent,
            goal: if self.maximise {
                Goal::Maximise
            } else {
                Goal::Balance
            },
            weights: self.weights(),
        }
    }

    fn weights(&self) -> Weights {
        Weights {
            cpu: self.weight_cpu,
            memory: self.weight_memory,
            disk_io: self.weight_disk_io,
            network: self.weight_network,
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
        if self.samples_lifetime_secs == 0 {
            return Err("samples_lifetime_secs: 0 would trust no sample.".to_owned());
        }
        thousandths(&self.weights()).map_err(|refusal| refusal.message)?;
        Ok(())
    }
}
