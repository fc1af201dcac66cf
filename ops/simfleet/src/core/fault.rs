//! What can be wrong with a host, and when.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::lies::Lie;

/// Something to go wrong on a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// Nothing comes from it and nothing reaches it.
    Silence { secs: u64 },
    /// Everything it says or answers comes late.
    Slowness { delay_ms: u64, secs: u64 },
    /// Silent and there in turn, each for the period.
    Flapping { period_ms: u64, secs: u64 },
    /// Its reports say what cannot be.
    Lies { lie: Lie },
    /// Its clock is ahead by so much, or behind.
    Skew { ahead_secs: i64 },
    /// Its agent is started anew.
    Restart,
    /// Everything is well again.
    Calm,
}

/// Kinds of faults, as they are named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FaultKind {
    Silence,
    Slowness,
    Flapping,
    Lies,
    Skew,
    Restart,
    Calm,
}

/// What is wrong with a host now. Times are milliseconds since the fleet began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trouble {
    /// Silent from `from_ms` on; with a period, by turns.
    silence: Option<Silence>,
    delay: Option<Delay>,
    pub lie: Option<Lie>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Silence {
    from_ms: u64,
    until_ms: u64,
    period_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Delay {
    delay_ms: u64,
    until_ms: u64,
}

impl Trouble {
    /// Adds a fault that shows on the host's line.
    pub fn add(&mut self, fault: &Fault, now_ms: u64) {
        let until = |secs: u64| now_ms.saturating_add(secs.saturating_mul(1000));
        match *fault {
            Fault::Silence { secs } => {
                self.silence = Some(Silence {
                    from_ms: now_ms,
                    until_ms: until(secs),
                    period_ms: None,
                });
            }
            Fault::Flapping { period_ms, secs } => {
                self.silence = Some(Silence {
                    from_ms: now_ms,
                    until_ms: until(secs),
                    period_ms: Some(period_ms.max(1)),
                });
            }
            Fault::Slowness { delay_ms, secs } => {
                self.delay = Some(Delay {
                    delay_ms,
                    until_ms: until(secs),
                });
            }
            Fault::Lies { lie } => self.lie = Some(lie),
            Fault::Calm => *self = Self::default(),
            Fault::Skew { .. } | Fault::Restart => {}
        }
    }

    /// When the host is heard again; `None`: it is heard now.
    pub fn silent_until(&self, now_ms: u64) -> Option<u64> {
        let silence = self.silence.filter(|s| now_ms < s.until_ms)?;
        let Some(period_ms) = silence.period_ms else {
            return Some(silence.until_ms);
        };
        let turn = now_ms.saturating_sub(silence.from_ms) / period_ms;
        let turn_ends = silence.from_ms + (turn + 1) * period_ms;
        turn.is_multiple_of(2)
            .then_some(turn_ends.min(silence.until_ms))
    }

    pub fn delay_ms(&self, now_ms: u64) -> u64 {
        let delay = self.delay.filter(|delay| now_ms < delay.until_ms);
        delay.map_or(0, |delay| delay.delay_ms)
    }

    /// Whether Muster can know how the host is: it is heard, all the time, and tells the truth.
    pub fn is_true(&self, now_ms: u64) -> bool {
        let silent = self.silence.is_some_and(|s| now_ms < s.until_ms);
        !silent && self.lie.is_none() && self.delay_ms(now_ms) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_host_is_heard_again_after_its_time() {
        let mut trouble = Trouble::default();
        trouble.add(&Fault::Silence { secs: 2 }, 1_000);
        assert_eq!(trouble.silent_until(1_000), Some(3_000));
        assert_eq!(trouble.silent_until(3_000), None);
        assert!(!trouble.is_true(2_999) && trouble.is_true(3_000));
    }

    #[test]
    fn a_flapping_host_comes_and_goes() {
        let mut trouble = Trouble::default();
        let fault = Fault::Flapping {
            period_ms: 100,
            secs: 1,
        };
        trouble.add(&fault, 0);
        assert_eq!(trouble.silent_until(50), Some(100));
        assert_eq!(trouble.silent_until(150), None);
        assert!(!trouble.is_true(150));
        assert_eq!(trouble.silent_until(250), Some(300));
        assert_eq!(trouble.silent_until(1_050), None);
    }

    #[test]
    fn calm_ends_everything() {
        let mut trouble = Trouble::default();
        let slow = Fault::Slowness {
            delay_ms: 5,
            secs: 10,
        };
        trouble.add(&slow, 0);
        trouble.add(&Fault::Lies { lie: Lie::TooMany }, 0);
        assert_eq!(trouble.delay_ms(9_999), 5);
        trouble.add(&Fault::Calm, 1);
        assert_eq!(trouble, Trouble::default());
    }
}
