//! What the refresher decides: no clock, no randomness, no bus.

pub mod backoff;
pub mod intervals;
pub mod ledger;
pub mod plan;
pub mod schedule;
pub mod share;
