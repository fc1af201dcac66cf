//! What inventory decides, as pure functions: no clock, randomness, I/O or tasks. Time and ids are handed in.

pub mod facts;
pub mod liveness;
pub mod lock;
pub mod machine;
pub mod refresh;
pub mod registration;
pub mod report;
pub mod token;
pub mod tree;
