//! Two instances of the refresher on a real nats-server, and a service to refresh that the test plays.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;
mod intervals;
mod sharing;
