//! Settings of musterd itself: all of them about the nats-server that it starts.

use std::net::SocketAddr;
use std::path::PathBuf;

use kit::config::Section;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// The nats-server to start when `bus.url` is empty: a path, or a name to be found in PATH. 2.12 or newer.
    pub(crate) nats_program: PathBuf,
    /// Where it listens. Agents on other machines need an address that they can reach.
    pub(crate) nats_listen: SocketAddr,
    /// Where it answers monitoring. Without a password, so loopback only.
    pub(crate) nats_monitor: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            nats_program: PathBuf::from("nats-server"),
            nats_listen: SocketAddr::from(([127, 0, 0, 1], 4222)),
            nats_monitor: SocketAddr::from(([127, 0, 0, 1], 8222)),
        }
    }
}

impl Section for Config {
    const NAME: &'static str = "musterd";

    fn validate(&self) -> Result<(), String> {
        if !self.nats_monitor.ip().is_loopback() {
            return Err(format!(
                "nats_monitor: {} asks for no password and must be a loopback address.",
                self.nats_monitor
            ));
        }
        Ok(())
    }
}
