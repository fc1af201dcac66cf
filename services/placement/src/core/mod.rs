//! How hosts are rated and claims are counted, as pure functions: no clock, randomness, I/O or tasks.

pub mod checks;
pub mod claims;
pub mod load;
pub mod model;
pub mod rate;
pub mod requirements;
pub mod reserves;
pub mod scope;
pub mod summary;
