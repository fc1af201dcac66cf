//! Hosts that ask at the same moment, in turn. A fleet that joins, or comes back, brings thousands of whole pictures at once;
//! taken in all together, each would take longer than its host waits for the answer, and would be sent again and again.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Pictures that are taken in at a time. Together they keep the log busy.
const PICTURES_AT_ONCE: usize = 8;

/// Into how many parts the time of a picture is divided for those that are to come: as many as are taken in at a time would
/// just do if all came in time, and leave turns out if not.
const OVERLAP: u32 = 2 * PICTURES_AT_ONCE as u32;

/// Pictures that wait here for their turn, so that no turn is left out; further hosts are told when to come.
const PICTURES_WAITING_MAX: usize = 4 * PICTURES_AT_ONCE;

/// What is thought of a picture before one was taken in.
const PICTURE_TIME: Duration = Duration::from_millis(100);

/// A picture's part in how long one is thought to take.
const WEIGHT: u32 = 8;

/// The shortest that a host is sent away: less is no rest.
const AWAY_MIN: Duration = Duration::from_secs(1);

/// The longest. Where more come than that, several have one time, and some of them are sent away again: how long pictures take
/// is known better by then.
const AWAY_MAX: Duration = Duration::from_secs(5);

/// Gives those that ask times at which to ask again, apart from each other.
pub(super) struct AskTimes {
    least: Duration,
    most: Duration,
    /// Milliseconds since 1970 UTC.
    given_until: AtomicI64,
}

impl AskTimes {
    pub(super) fn within(least: Duration, most: Duration) -> Self {
        Self {
            least,
            most,
            given_until: AtomicI64::new(0),
        }
    }

    /// How long one has to wait if they come at this distance. When all times are given, they are given once more.
    pub(super) fn next(&self, now_ms: i64, spacing: Duration) -> Duration {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let first = now_ms.saturating_add(millis(self.least));
        let last = now_ms.saturating_add(millis(self.most));
        let next = |until: i64| {
            let next = until.saturating_add(millis(spacing).max(1));
            if (first..=last).contains(&next) {
                next
            } else {
                first
            }
        };
        let (at, relaxed) = (&self.given_until, Ordering::Relaxed);
        let until = at.fetch_update(relaxed, relaxed, |until| Some(next(until)));
        let wait_ms = next(until.unwrap_or(0)).saturating_sub(now_ms);
        Duration::from_millis(wait_ms.try_into().unwrap_or(0))
    }
}

/// Turns of whole pictures.
pub(super) struct Intake {
    turns: Semaphore,
    places: Semaphore,
    ask_times: AskTimes,
    picture_time: Mutex<Duration>,
}

/// While it is held, a picture is taken in.
pub(super) struct Turn<'a> {
    intake: &'a Intake,
    since: Instant,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut time = self.intake.picture_time();
        *time = (*time * (WEIGHT - 1) + self.since.elapsed()) / WEIGHT;
    }
}

impl Intake {
    pub(super) fn new() -> Self {
        Self {
            turns: Semaphore::new(PICTURES_AT_ONCE),
            places: Semaphore::new(PICTURES_WAITING_MAX),
            ask_times: AskTimes::within(AWAY_MIN, AWAY_MAX),
            picture_time: Mutex::new(PICTURE_TIME),
        }
    }

    fn picture_time(&self) -> MutexGuard<'_, Duration> {
        self.picture_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn, or how long to stay away.
    pub(super) async fn turn(&self, now_ms: i64) -> Result<Turn<'_>, Duration> {
        let Ok(_place) = self.places.try_acquire() else {
            let between = *self.picture_time() / OVERLAP;
            return Err(self.ask_times.next(now_ms, between));
        };
        match self.turns.acquire().await {
            Ok(permit) => Ok(Turn {
                intake: self,
                since: Instant::now(),
                _permit: permit,
            }),
            // It is never closed.
            Err(_) => Err(AWAY_MIN),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures::FutureExt;

    #[test]
    fn those_that_ask_at_the_same_moment_come_back_each_at_its_own() {
        let times = AskTimes::within(Duration::from_secs(2), Duration::from_secs(60));
        let spacing = Duration::from_millis(20);
        let waits: Vec<u128> = (0..5_000)
            .map(|_| times.next(1_000, spacing).as_millis())
            .collect();
        assert_eq!(waits.get(..3), Some([2_000, 2_020, 2_040].as_slice()));
        // Once around, and the same times again.
        assert_eq!(waits.get(2_900..2_902), Some([60_000, 2_000].as_slice()));
        // Of few that ask none waits for those that asked long ago.
        assert_eq!(times.next(100_000, spacing).as_millis(), 2_000);
        assert_eq!(times.next(102_000, spacing).as_millis(), 2_000);
    }

    #[test]
    fn a_few_are_taken_in_some_wait_and_the_others_are_told_when_to_come() {
        let intake = Intake::new();
        let ask = || intake.turn(0).now_or_never();
        let turns: Vec<Turn<'_>> = (0..PICTURES_AT_ONCE)
            .map(|_| ask().unwrap().ok().unwrap())
            .collect();
        let mut waiting: Vec<_> = (0..PICTURES_WAITING_MAX)
            .map(|_| Box::pin(intake.turn(0)))
            .collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        assert_eq!(ask().unwrap().err(), Some(AWAY_MIN));
        drop(turns);
        for one in waiting.iter_mut().take(PICTURES_AT_ONCE) {
            assert!(one.as_mut().now_or_never().unwrap().is_ok());
        }
        // Who gives up leaves its place.
        waiting.clear();
        assert!(ask().unwrap().is_ok());
    }
}
