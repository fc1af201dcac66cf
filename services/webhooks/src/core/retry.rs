//! When a delivery that was not taken is tried again, and when it is given up.

use std::time::Duration;

/// Why a delivery was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It will not be taken later either: an answer 4xx, a redirect, an address that is not allowed.
    #[error("{0}")]
    Refused(String),
    /// It may be taken later: nobody answers, or 5xx, 408, 429.
    #[error("{0}")]
    Away(String),
}

/// How patient we are.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Before the second try; it doubles with each.
    pub first: Duration,
    /// The longest pause between two tries.
    pub longest: Duration,
    /// Tries of what is refused. More than one: an endpoint that is just being set up refuses too.
    pub refused_attempts_max: u32,
    /// Tries of what nobody takes.
    pub away_attempts_max: u32,
}

/// What to do after a try that failed, the `attempts`th of this event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    After(Duration),
    GiveUp,
}

pub fn next(problem: &Problem, attempts: u32, patience: &Patience) -> Next {
    let most = match problem {
        Problem::Refused(_) => patience.refused_attempts_max,
        Problem::Away(_) => patience.away_attempts_max,
    };
    if attempts >= most {
        return Next::GiveUp;
    }
    let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
    Next::After(patience.first.saturating_mul(doubled).min(patience.longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(60),
        refused_attempts_max: 3,
        away_attempts_max: 100,
    };

    #[test]
    fn pauses_double_up_to_the_longest() {
        let away = Problem::Away(String::new());
        let pause = |attempts| next(&away, attempts, &PATIENCE);
        assert_eq!(pause(1), Next::After(Duration::from_secs(1)));
        assert_eq!(pause(4), Next::After(Duration::from_secs(8)));
        assert_eq!(pause(99), Next::After(Duration::from_secs(60)));
        assert_eq!(pause(100), Next::GiveUp);
    }

    #[test]
    fn what_is_refused_is_given_up_sooner() {
        let refused = Problem::Refused(String::new());
        assert_eq!(next(&refused, 3, &PATIENCE), Next::GiveUp);
        assert!(matches!(next(&refused, 2, &PATIENCE), Next::After(_)));
    }
}
