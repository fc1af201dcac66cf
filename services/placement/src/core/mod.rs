//! How hosts are rated and claims are counted, as pure functions: no clock, randomness, I/O or tasks.

pub mod checks;
pub mod claims;
pub mod drain;
pub mod load;
pub mod model;
pub mod pack;
pub mod rate;
pub mod repack;
pub mod requirements;
pub mod reserves;
pub mod scan;
pub mod scope;
pub mod summary;
