//! The gateway's section of the configuration.

use std::net::SocketAddr;

use kit::config::Section;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen. Any address but loopback is refused unless `i_know_this_is_unprotected` is set.
    pub listen: SocketAddr,
    /// There is no sign-in: whoever reaches the address can do everything, also delete every machine. Set it only
    /// where something else (a network of containers, a proxy that asks who is there) lets nobody else through. Without
    /// it only names of this machine are answered to (`Host`), so that no web page can reach the gateway by a name
    /// of its own.
    pub i_know_this_is_unprotected: bool,
    /// Connections at a time; the next wait to be taken.
    pub connections_max: usize,
    /// Streams of events and watched jobs at a time; the next are refused.
    pub streams_max: usize,
    /// Largest body of a request.
    pub body_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8100)),
            i_know_this_is_unprotected: false,
            connections_max: 4_096,
            streams_max: 2_048,
            body_bytes_max: 1 << 20,
        }
    }
}

impl Section for Config {
    const NAME: &'static str = "gateway";

    /// It writes nothing to the log; the services that it calls look at the bus themselves.
    const CHECKS_BUS: bool = false;

    fn validate(&self) -> Result<(), String> {
        if !self.listen.ip().is_loopback() && !self.i_know_this_is_unprotected {
            return Err(format!(
                "listen: {} is not a loopback address, and there is no sign-in yet: whoever reaches it could do \
                 everything. Listen on 127.0.0.1, or set i_know_this_is_unprotected = true.",
                self.listen
            ));
        }
        let limits = [
            ("connections_max", self.connections_max),
            ("streams_max", self.streams_max),
            ("body_bytes_max", self.body_bytes_max),
        ];
        match limits.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(format!("{name}: 0 would refuse everything.")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(address: &str) -> Config {
        Config {
            listen: address.parse().unwrap_or(Config::default().listen),
            ..Config::default()
        }
    }

    #[test]
    fn an_address_that_others_reach_is_refused_unless_that_is_said_in_plain_words() {
        assert!(Config::default().validate().is_ok());
        assert!(listening("[::1]:8100").validate().is_ok());
        for open in ["0.0.0.0:8100", "192.168.1.5:8100", "[::]:8100"] {
            let refused = listening(open).validate();
            assert!(refused.is_err_and(|text| text.contains("i_know_this_is_unprotected")));
            let open = Config {
                i_know_this_is_unprotected: true,
                ..listening(open)
            };
            assert!(open.validate().is_ok());
        }
    }
}
