//! What everything in a run shares: chance, time, ids, and the story.
//!
//! A simulation of another part of Muster starts here: make a [`World`], a [`crate::bus::Server`] in it, connect the
//! parts to that, and hand them [`World::kit`] as their clock and source of ids.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kit::world::{Clock, Ids};
use tokio::time::Instant;
use uuid::Uuid;

use crate::chance::Chance;
use crate::story::Story;

/// When every run begins: 2027-01-15, milliseconds since 1970 UTC.
pub const EPOCH_MS: i64 = 1_800_000_000_000;

#[derive(Clone)]
pub struct World {
    chance: Arc<Mutex<Chance>>,
    story: Arc<Mutex<Story>>,
    started: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// Must be called in a runtime whose time is paused.
    pub fn new(seed: u64) -> Self {
        Self {
            chance: Arc::new(Mutex::new(Chance::new(seed))),
            story: Arc::default(),
            started: Instant::now(),
        }
    }

    /// Since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn now_ms(&self) -> i64 {
        EPOCH_MS + i64::try_from(self.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Draws from the seed.
    pub fn draw<T>(&self, with: impl FnOnce(&mut Chance) -> T) -> T {
        with(&mut lock(&self.chance))
    }

    /// Lets simulated time pass.
    pub async fn pass(&self, duration: Duration) {
        tokio::time::sleep_until(Instant::now() + duration).await;
    }

    /// Lets a drawn time pass.
    pub async fn pass_between(&self, low: Duration, high: Duration) {
        let duration = self.draw(|chance| chance.duration(low, high));
        self.pass(duration).await;
    }

    pub fn tell(&self, who: &str, what: impl AsRef<str>) {
        let at = self.elapsed();
        lock(&self.story).tell(at, who, what.as_ref());
    }

    /// A promise was broken: the run has failed, whatever comes after.
    pub fn violation(&self, what: impl Into<String>) {
        let at = self.elapsed();
        lock(&self.story).violation(at, what.into());
    }

    pub fn has_violations(&self) -> bool {
        !lock(&self.story).violations().is_empty()
    }

    pub fn read_story<T>(&self, with: impl FnOnce(&Story) -> T) -> T {
        with(&lock(&self.story))
    }

    /// The part of the world that services know.
    pub fn kit(&self) -> kit::world::World {
        kit::world::World {
            clock: Arc::new(self.clone()),
            ids: Arc::new(self.clone()),
        }
    }
}

impl Clock for World {
    fn now_ms(&self) -> i64 {
        World::now_ms(self)
    }
}

impl Ids for World {
    fn next(&self) -> Uuid {
        let (high, low) = self.draw(|chance| (chance.number(), chance.number()));
        Uuid::from_u64_pair(high, low)
    }
}
