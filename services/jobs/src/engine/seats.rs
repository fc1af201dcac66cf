//! Which jobs run in this process, and how to interrupt them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

#[derive(Default)]
pub(super) struct Seats(Mutex<HashMap<String, CancellationToken>>);

/// A job's place in this process, until it is dropped.
pub(super) struct Seat {
    seats: Arc<Seats>,
    job_id: String,
    pub(super) cancelled: CancellationToken,
}

impl Seats {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat for a job that does not run here yet.
    pub(super) fn sit(self: &Arc<Self>, job_id: &str) -> Option<Seat> {
        let mut seats = self.lock();
        if seats.contains_key(job_id) {
            return None;
        }
        let cancelled = CancellationToken::new();
        seats.insert(job_id.to_owned(), cancelled.clone());
        Some(Seat {
            seats: Arc::clone(self),
            job_id: job_id.to_owned(),
            cancelled,
        })
    }

    pub(super) fn interrupt(&self, job_id: &str) {
        if let Some(cancelled) = self.lock().get(job_id) {
            cancelled.cancel();
        }
    }

    pub(super) fn is_taken(&self, job_id: &str) -> bool {
        self.lock().contains_key(job_id)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.lock().remove(&self.job_id);
    }
}
