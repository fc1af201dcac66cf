//! Configuration of the simulated fleet.

use std::net::SocketAddr;

use contracts::limits::HEARTBEAT_INTERVAL;
use serde::{Deserialize, Serialize};

use crate::churn::Churn;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub hosts: usize,
    pub vms: usize,
    /// Gives the fleet: the same seed, the same hosts and machines.
    pub seed: u64,
    /// Lets the hosts join without a person's approval.
    pub join_token: String,
    /// Connections to the bus that the hosts share.
    pub connections: usize,
    /// How often each host says that it is alive.
    pub heartbeat_ms: u64,
    /// What happens by itself.
    pub churn: Churn,
    /// Where faults are asked for and the fleet's own account is given. Without a password, so loopback only.
    pub control: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hosts: 25,
            vms: 450,
            seed: 1,
            join_token: String::new(),
            connections: 4,
            heartbeat_ms: u64::try_from(HEARTBEAT_INTERVAL.as_millis()).unwrap_or(u64::MAX),
            churn: Churn::default(),
            control: SocketAddr::from(([127, 0, 0, 1], 8110)),
        }
    }
}

impl kit::config::Section for Config {
    const NAME: &'static str = "simfleet";
    /// It appends nothing to a log.
    const CHECKS_BUS: bool = false;

    fn validate(&self) -> Result<(), String> {
        if self.hosts == 0 {
            return Err("hosts: a fleet has at least 1 host.".to_owned());
        }
        if !self.control.ip().is_loopback() {
            return Err(format!(
                "control: {} asks for no password and must be a loopback address.",
                self.control
            ));
        }
        Ok(())
    }
}
