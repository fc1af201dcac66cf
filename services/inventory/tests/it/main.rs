//! Two instances of inventory on a real nats-server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod found;
mod groups;
mod harness;
mod hosts;
mod joining;
mod locks;
mod machines;
mod nonsense;
mod refresh;
mod reports;
