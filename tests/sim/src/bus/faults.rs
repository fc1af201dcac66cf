//! Which faults a run has, and how often: drawn from the seed, a random few of them (swarm testing), since one fault
//! that is always on hides what another alone would show.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::chance::Chance;

/// What can go wrong with one message. Faults that happen to the whole bus are in the schedule of each simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A request never reaches the server.
    LostRequest,
    /// The server did it, and its answer is lost.
    LostAnswer,
    /// A message arrives a second time, later.
    Duplicate,
    /// A message takes seconds; those behind it on the connection wait too.
    Delay,
    /// A message is overtaken by later ones.
    Reorder,
    /// A reader gets entries seconds late.
    StaleRead,
    /// A reader ends with an error.
    BrokenRead,
    /// An entry of a queue is delivered although another consumer still holds it.
    Redelivery,
}

impl Fault {
    pub const ALL: [Self; 8] = [
        Self::LostRequest,
        Self::LostAnswer,
        Self::Duplicate,
        Self::Delay,
        Self::Reorder,
        Self::StaleRead,
        Self::BrokenRead,
        Self::Redelivery,
    ];
}

/// Probabilities of faults, which end when told so.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    rates: Arc<Mutex<BTreeMap<Fault, f64>>>,
}

/// Of one message in a thousand, up to one in six.
const RATE_MIN: f64 = 0.001;
const RATE_MAX: f64 = 0.17;

impl Faults {
    /// A bus on which all goes well.
    pub fn none() -> Self {
        Self::default()
    }

    pub fn only(fault: Fault, rate: f64) -> Self {
        let faults = Self::default();
        faults.set(fault, rate);
        faults
    }

    /// Each fault with an even chance, at a rate that is even on a logarithmic scale.
    pub fn swarm(chance: &mut Chance) -> Self {
        let faults = Self::default();
        for fault in Fault::ALL {
            if chance.happens(0.5) {
                faults.set(
                    fault,
                    RATE_MIN * (RATE_MAX / RATE_MIN).powf(chance.fraction()),
                );
            }
        }
        faults
    }

    pub fn set(&self, fault: Fault, rate: f64) {
        self.lock().insert(fault, rate);
    }

    /// From now on as these are.
    pub fn begin(&self, as_in: &Self) {
        let rates = as_in.lock().clone();
        *self.lock() = rates;
    }

    pub fn stop(&self) {
        self.lock().clear();
    }

    pub(super) fn rate(&self, fault: Fault) -> f64 {
        self.lock().get(&fault).copied().unwrap_or(0.0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Fault, f64>> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (fault, rate) in self.lock().iter() {
            write!(f, "{fault:?} {rate:.4} ")?;
        }
        Ok(())
    }
}
