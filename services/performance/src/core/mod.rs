//! Pure: what samples are kept as, whose they are, and how they are packed. No clock, no I/O.

pub mod figures;
pub mod fleet;
pub mod hour;
pub mod pack;
pub mod refresh;
pub mod scope;
