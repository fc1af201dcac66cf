//! The deterministic simulator: real code of Muster on a model of the bus, under one seed.
//!
//! Simulates: [`records`], with real redb, and on them a whole [`fleet`]. Proves the model itself: [`conformance`], run on the model and on a real
//! nats-server. Never: a stand-in for QEMU, or for the real bus in a test that claims that something works on it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub mod bus;
pub mod chance;
pub mod conformance;
pub mod entropy;
pub mod fleet;
pub mod records;
pub mod story;
pub mod world;
