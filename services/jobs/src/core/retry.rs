//! Whether a failed step is tried again, and when.

use std::time::Duration;

/// Limits of trying again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) attempts_max: u32,
    /// No new try is begun after this time.
    pub(crate) patience: Duration,
    pub(crate) first: Duration,
    pub(crate) most: Duration,
}

/// How long to wait before the next try, or `None` when it was tried enough. The wait doubles with each try; the upper
/// half of it is drawn from `random`, so that many jobs that met one outage do not come back in step.
pub(crate) fn next_try(
    policy: &Policy,
    attempts: u32,
    elapsed: Duration,
    random: u64,
) -> Option<Duration> {
    if attempts >= policy.attempts_max || elapsed >= policy.patience {
        return None;
    }
    let doublings = attempts.saturating_sub(1).min(16);
    let full = policy.first.saturating_mul(1 << doublings).min(policy.most);
    let half = full / 2;
    let share = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
    Some(half + Duration::from_micros(random % share.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        attempts_max: 5,
        patience: Duration::from_secs(60),
        first: Duration::from_millis(100),
        most: Duration::from_millis(500),
    };

    #[test]
    fn the_wait_doubles_up_to_a_limit_and_is_never_under_half() {
        for (attempts, full_ms) in [(1, 100), (2, 200), (3, 400), (4, 500)] {
            for random in [0, 1, u64::MAX] {
                let wait = next_try(&POLICY, attempts, Duration::ZERO, random).unwrap_or_default();
                let full = Duration::from_millis(full_ms);
                assert!(wait >= full / 2 && wait <= full, "{attempts} {wait:?}");
            }
        }
    }

    #[test]
    fn it_ends_after_attempts_and_after_time() {
        assert_eq!(next_try(&POLICY, 5, Duration::ZERO, 0), None);
        assert_eq!(next_try(&POLICY, 1, Duration::from_secs(60), 0), None);
    }
}
