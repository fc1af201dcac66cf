//! The performance service, two instances on a real nats-server, and how much room a whole fleet takes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;
mod refresh;
mod room;
mod samples;
