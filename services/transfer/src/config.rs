//! Configuration of the transfer service.

use std::time::Duration;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Transfers that a host takes part in at a time; the next ones wait. More only make each slower.
    pub transfers_per_host: usize,
    /// How long a host's certificate holds. It is renewed after half of that; too short and an outage of this service ends
    /// transfers, too long and a host that was removed keeps one.
    pub certificate_lifetime_secs: u64,
    /// How long the authority's own certificate holds; a new one is made after half of that.
    pub authority_lifetime_days: u32,
    /// How long a ticket can be used to make a connection. Clocks of hosts may differ by less than this.
    pub ticket_lifetime_secs: u64,
    /// A transfer that makes no headway for so long fails.
    pub patience_secs: u64,
    /// How long transfers that ended are kept.
    pub history_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            transfers_per_host: 4,
            certificate_lifetime_secs: 24 * 3600,
            authority_lifetime_days: 3650,
            ticket_lifetime_secs: 3600,
            patience_secs: 600,
            history_days: 7,
        }
    }
}

impl Config {
    pub(crate) fn certificate_lifetime(&self) -> Duration {
        Duration::from_secs(self.certificate_lifetime_secs)
    }

    pub(crate) fn authority_lifetime(&self) -> Duration {
        Duration::from_secs(u64::from(self.authority_lifetime_days) * 24 * 3600)
    }

    pub(crate) fn ticket_lifetime(&self) -> Duration {
        Duration::from_secs(self.ticket_lifetime_secs)
    }

    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.patience_secs)
    }

    pub(crate) fn history(&self) -> Duration {
        Duration::from_secs(u64::from(self.history_days) * 24 * 3600)
    }
}

impl kit::config::Section for Config {
    const NAME: &'static str = "transfer";

    fn validate(&self) -> Result<(), String> {
        let least = [
            ("transfers_per_host", self.transfers_per_host as u64, 1),
            (
                "certificate_lifetime_secs",
                self.certificate_lifetime_secs,
                60,
            ),
            (
                "authority_lifetime_days",
                self.authority_lifetime_days.into(),
                2,
            ),
            ("ticket_lifetime_secs", self.ticket_lifetime_secs, 10),
        ];
        for (key, value, least) in least {
            if value < least {
                return Err(format!("{key}: {value} is less than {least}."));
            }
        }
        if self.authority_lifetime() < 2 * self.certificate_lifetime() {
            return Err(
                "authority_lifetime_days: certificates would outlive who has signed them."
                    .to_owned(),
            );
        }
        Ok(())
    }
}
