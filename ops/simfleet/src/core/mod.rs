//! What the fleet is and what goes wrong with it: no clock, no bus, no randomness but what a seed gives.

pub mod chance;
pub mod compare;
pub mod fault;
pub mod lies;
pub mod load;
pub mod plan;
