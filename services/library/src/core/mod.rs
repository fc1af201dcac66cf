//! What the library decides, without clock, bus or store.

pub mod item;
pub mod refresh;
pub mod report;
pub mod share;
