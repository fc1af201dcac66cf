//! How fast bytes may go: one for each transfer, one for the host. Whoever waits is let through in turn, chunk by chunk,
//! so that two transfers that share a throttle each get half of it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::limits;

/// Waiting is cut into pieces, to see whether it is still wanted.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

pub(super) struct Throttle {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// 0: no limit.
    bytes_per_sec: u64,
    /// Until when what was let through takes.
    busy_until: Option<Instant>,
    /// Those who wait, in their turn.
    queue: VecDeque<u64>,
    last: u64,
}

impl Throttle {
    pub(super) fn new(bytes_per_sec: u64) -> Self {
        let throttle = Self {
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        throttle.set(bytes_per_sec);
        throttle
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rate that is in effect; 0: no limit.
    pub(super) fn get(&self) -> u64 {
        self.lock().bytes_per_sec
    }

    /// Sets the rate; 0: as fast as it goes. Who waits waits for the new one.
    pub(super) fn set(&self, bytes_per_sec: u64) {
        let mut state = self.lock();
        state.bytes_per_sec = match bytes_per_sec {
            0 => 0,
            rate => rate.max(limits::RATE_MIN),
        };
        // What was let through at the old rate is forgotten: at most a chunk of each who waits.
        state.busy_until = None;
        self.changed.notify_all();
    }

    /// Waits until bytes may go. False: it is not wanted any more.
    pub(super) fn wait(&self, bytes: usize, is_wanted: impl Fn() -> bool) -> bool {
        let mut state = self.lock();
        state.last += 1;
        let me = state.last;
        state.queue.push_back(me);
        let passed = loop {
            if !is_wanted() {
                break false;
            }
            let left = match state.queue.front() == Some(&me) {
                true => state.left(),
                false => LOOK_INTERVAL,
            };
            if left.is_zero() {
                state.let_through(bytes);
                break true;
            }
            let waited = self.changed.wait_timeout(state, left.min(LOOK_INTERVAL));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        state.queue.retain(|number| *number != me);
        drop(state);
        self.changed.notify_all();
        passed
    }
}

impl State {
    fn left(&self) -> Duration {
        let until = self.busy_until.filter(|_| self.bytes_per_sec > 0);
        until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        })
    }

    fn let_through(&mut self, bytes: usize) {
        if self.bytes_per_sec > 0 {
            #[allow(clippy::cast_precision_loss)]
            let secs = bytes as f64 / self.bytes_per_sec as f64;
            self.busy_until = Some(Instant::now() + Duration::from_secs_f64(secs));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    const LONG: usize = 1 << 40;

    /// Starts somebody who waits, and returns when he is in the queue.
    fn waiting(
        throttle: &Arc<Throttle>,
        wanted: &Arc<AtomicBool>,
    ) -> std::thread::JoinHandle<bool> {
        let before = throttle.lock().queue.len();
        let (shared, wanted) = (throttle.clone(), wanted.clone());
        let waits = move || shared.wait(1, || wanted.load(Ordering::SeqCst));
        let thread = std::thread::spawn(waits);
        while throttle.lock().queue.len() == before {
            std::thread::yield_now();
        }
        thread
    }

    #[test]
    fn a_new_rate_holds_for_those_who_wait_already() {
        let throttle = Arc::new(Throttle::new(limits::RATE_MIN));
        let wanted = Arc::new(AtomicBool::new(true));
        assert!(throttle.wait(LONG, || true));
        let thread = waiting(&throttle, &wanted);
        throttle.set(0);
        assert!(thread.join().unwrap());
    }

    #[test]
    fn one_who_does_not_want_any_more_lets_the_next_through() {
        let throttle = Arc::new(Throttle::new(limits::RATE_MIN));
        assert!(throttle.wait(LONG, || true));
        let (gone, stays) = (AtomicBool::new(true), AtomicBool::new(true));
        let (gone, stays) = (Arc::new(gone), Arc::new(stays));
        let (first, second) = (waiting(&throttle, &gone), waiting(&throttle, &stays));
        gone.store(false, Ordering::SeqCst);
        assert!(!first.join().unwrap());
        throttle.set(0);
        assert!(second.join().unwrap());
    }

    #[test]
    fn two_who_share_a_throttle_get_as_much_each() {
        let throttle = Arc::new(Throttle::new(1 << 30));
        let counts = [AtomicUsize::new(0), AtomicUsize::new(0)];
        std::thread::scope(|scope| {
            for count in &counts {
                let total = || {
                    counts
                        .iter()
                        .map(|c| c.load(Ordering::SeqCst))
                        .sum::<usize>()
                };
                let throttle = &throttle;
                scope.spawn(move || {
                    while total() < 200 {
                        throttle.wait(1 << 20, || true);
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        let [one, other] = counts.map(|c| c.into_inner());
        assert!(one.abs_diff(other) < 60, "{one} and {other}");
    }
}
