//! Two instances of placement on a real nats-server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod claims;
mod harness;
mod planning;
mod rating;
mod stays;
