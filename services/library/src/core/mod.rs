//! Decisions: no clock, no randomness, no I/O.

pub mod definition;
pub mod image;
pub mod item;
pub mod refresh;
pub mod report;
pub mod share;
