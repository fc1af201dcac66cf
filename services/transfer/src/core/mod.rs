//! What is decided: no clock, no randomness, no I/O.

pub mod checks;
pub mod encryption;
pub mod pace;
pub mod queue;
pub mod renewal;
pub mod state;
