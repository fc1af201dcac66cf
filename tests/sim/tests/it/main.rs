//! The model of the bus beside the real one, and simulations of fresh seeds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod conformance;
mod faults;
mod seeds;
mod stages;
