//! Configuration of the webhooks service.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::address::Reach;
use crate::core::retry::Patience;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Deliver also to addresses of private networks and of this machine itself. Whoever may add a webhook can then make
    /// Muster send a request to what only Muster reaches. Link-local addresses and those of clouds' metadata are never
    /// delivered to.
    pub allow_internal: bool,
    /// How long an endpoint may take to answer, in seconds.
    pub timeout_secs: u64,
    /// Pause before the second try of a delivery, in milliseconds; it doubles with each.
    pub retry_first_ms: u64,
    /// The longest pause between two tries, in seconds.
    pub retry_longest_secs: u64,
    /// Tries of an event that the endpoint refuses (4xx) before it becomes a dead letter.
    pub refused_attempts_max: u32,
    /// Tries of an event while the endpoint is away (no answer, 5xx). 300 are about a day.
    pub away_attempts_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            allow_internal: false,
            timeout_secs: 15,
            retry_first_ms: 1_000,
            retry_longest_secs: 300,
            refused_attempts_max: 5,
            away_attempts_max: 300,
        }
    }
}

impl Config {
    pub(crate) fn reach(&self) -> Reach {
        match self.allow_internal {
            true => Reach::Internal,
            false => Reach::Outside,
        }
    }

    pub(crate) fn patience(&self) -> Patience {
        Patience {
            first: Duration::from_millis(self.retry_first_ms),
            longest: Duration::from_secs(self.retry_longest_secs),
            refused_attempts_max: self.refused_attempts_max,
            away_attempts_max: self.away_attempts_max,
        }
    }
}

impl kit::config::Section for Config {
    const NAME: &'static str = "webhooks";

    fn validate(&self) -> Result<(), String> {
        if !(1..=60).contains(&self.timeout_secs) {
            return Err(format!(
                "timeout_secs: {} is not from 1 to 60.",
                self.timeout_secs
            ));
        }
        if self.retry_first_ms == 0 || self.refused_attempts_max == 0 || self.away_attempts_max == 0
        {
            return Err(
                "retry_first_ms, refused_attempts_max and away_attempts_max are at least 1."
                    .to_owned(),
            );
        }
        Ok(())
    }
}
