//! The kit on a real nats-server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod altered;
mod calls;
mod child;
mod fuzz;
mod records;
