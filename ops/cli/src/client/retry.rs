//! When a request is sent again.

use std::time::Duration;

/// Attempts of one request. Together with the pauses about twelve seconds, in which a manager that was killed is up
/// again; more would only keep a person from hearing that it is gone.
const ATTEMPTS_MAX: u32 = 7;

const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(4);

/// What came instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nobody listens: the request was never sent.
    Refused,
    /// Sent, and the connection was lost: it may have been carried out.
    Lost,
    /// Answered that it cannot be done now, but perhaps soon.
    Busy,
}

/// The pause before the next attempt, or `None` to give up. `reached` says whether any attempt got through to a server
/// before: when none did, there is no server, and waiting for one is not asked for.
pub(crate) fn pause(attempt: u32, fault: Fault, reached: bool) -> Option<Duration> {
    let hopeless = fault == Fault::Refused && !reached;
    (attempt < ATTEMPTS_MAX && !hopeless).then(|| backoff(attempt, PAUSE_MAX))
}

/// Doubles with every attempt, counted from 1, up to a bound.
pub(crate) fn backoff(attempt: u32, most: Duration) -> Duration {
    let factor = 1u32
        .checked_shl(attempt.saturating_sub(1))
        .unwrap_or(u32::MAX);
    PAUSE_FIRST.saturating_mul(factor).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_was_never_there_is_not_waited_for() {
        assert_eq!(pause(1, Fault::Refused, false), None);
        assert!(pause(2, Fault::Refused, true).is_some());
        assert!(pause(1, Fault::Lost, false).is_some());
        assert!(pause(1, Fault::Busy, false).is_some());
    }

    #[test]
    fn attempts_are_bounded_and_end_after_a_restart_had_its_time() {
        let pauses: Vec<Duration> = (1..).map_while(|n| pause(n, Fault::Lost, true)).collect();
        assert_eq!(pauses.len(), 6);
        let total: Duration = pauses.iter().sum();
        assert!(total > Duration::from_secs(10) && total < Duration::from_secs(15));
        assert_eq!(backoff(200, PAUSE_MAX), PAUSE_MAX);
    }
}
